"""What an attempt that is handed in has earned, and where its learner stands by it.

Many attempts are settled with a few statements: a whole class hands in at the bell.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.data.tables import among
from libs.common.events.quizzes import QuestionResult, QuizGraded
from libs.common.runtime.trace import Trace, current_trace, tracing
from services.learning.access import Seat
from services.learning.checks import want_checks
from services.learning.completion.service import complete_if_met
from services.learning.gradebook.history import record_grade
from services.learning.lessons.service import complete_by_work
from services.learning.models import Attempt, AttemptQuestion, Quiz, QuizExtension
from services.learning.quizzes import rules
from services.learning.quizzes.kinds import kind_of
from services.learning.rules import rounded
from services.learning.windows import is_visible, latest_close

KEEP_RESULTS = text(
    "INSERT INTO quiz_results AS r (quiz, enrollment, percentage, finished_at) SELECT * FROM unnest("
    " CAST(:quizzes AS uuid[]), CAST(:enrollments AS uuid[]), CAST(:percentages AS numeric[]),"
    " CAST(:finished AS timestamptz[])) ON CONFLICT (quiz, enrollment) DO UPDATE"
    " SET percentage = excluded.percentage, finished_at = coalesce(r.finished_at, excluded.finished_at)"
    " RETURNING quiz, enrollment, finished_at"
)

Learner = tuple[UUID, UUID]
"""Quiz and student."""


@dataclass(slots=True)
class PinnedQuestion:
    """An `AttemptQuestion` to read and to score, at a fraction of its cost: an attempt has many."""

    attempt: UUID
    question: UUID
    position: int
    kind: str
    text: str
    points: Decimal
    explanation: str
    partial_credit: bool
    content: dict[str, Any]
    answer: Any = None
    score: Decimal | None = None
    comment: str = ""
    graded_by: UUID | None = None


PINNED = select(*(getattr(AttemptQuestion, column.name) for column in fields(PinnedQuestion)))


@dataclass(slots=True, eq=False)
class Case:
    """One attempt with all that decides about it. The caller holds the seat and the attempt."""

    seat: Seat
    attempt: Attempt
    quiz: Quiz
    questions: Sequence[AttemptQuestion | PinnedQuestion]
    extended: datetime | None = None
    """The learner's own close of the quiz."""
    excused: bool = False
    """Whether the quiz does not count for them: then attempts change nothing in the gradebook."""
    earlier: list[tuple[int, Decimal]] = field(default_factory=list)
    """Number and percentage of the learner's other graded attempts at the quiz."""
    trace: Trace = field(default_factory=current_trace)
    """Of the request that hands in or grades."""

    points: dict[UUID, Fraction] = field(default_factory=dict)
    """What each question earned, once that is known."""

    @property
    def learner(self) -> Learner:
        return self.attempt.quiz, self.attempt.student

    @property
    def waits(self) -> bool:
        """Whether an answer waits for a teacher."""
        return self.quiz.kind != "survey" and any(
            kind_of(q.kind).awaits_grading(q.content, q.answer, q.score) for q in self.questions
        )


async def list_questions_of(
    session: AsyncSession, attempts: Iterable[UUID]
) -> dict[UUID, list[AttemptQuestion]]:
    """By attempt, as it pinned them, in its order; read anew."""
    rows = await session.scalars(
        select(AttemptQuestion)
        .where(among(AttemptQuestion.attempt, attempts))
        .order_by(AttemptQuestion.attempt, AttemptQuestion.position)
        .execution_options(populate_existing=True)
    )
    questions = defaultdict(list)
    for row in rows:
        questions[row.attempt].append(row)
    return questions


async def read_pinned(
    session: AsyncSession, attempts: Collection[UUID]
) -> defaultdict[UUID, list[PinnedQuestion]]:
    """The same, only to read and to score."""
    rows = await session.execute(
        PINNED.where(among(AttemptQuestion.attempt, attempts)).order_by(
            AttemptQuestion.attempt, AttemptQuestion.position
        )
    )
    questions = defaultdict(list)
    for row in rows:
        question = PinnedQuestion(*row)
        questions[question.attempt].append(question)
    return questions


async def load_standing(session: AsyncSession, cases: Sequence[Case]) -> None:
    """Fill in what else each learner has: their own close, and what earlier attempts brought."""
    by_learner: dict[Learner, list[Case]] = defaultdict(list)
    for case in cases:
        case.earlier = []
        by_learner[case.learner].append(case)
    quizzes, students = {quiz for quiz, _ in by_learner}, {student for _, student in by_learner}
    extensions = await session.execute(
        select(
            QuizExtension.quiz, QuizExtension.student, QuizExtension.closes_at, QuizExtension.excused
        ).where(among(QuizExtension.quiz, quizzes), among(QuizExtension.student, students))
    )
    for quiz, student, closes_at, excused in extensions:
        for case in by_learner.get((quiz, student), ()):
            case.extended, case.excused = closes_at, excused
    graded = await session.execute(
        select(Attempt.quiz, Attempt.student, Attempt.uuid, Attempt.number, Attempt.percentage).where(
            among(Attempt.quiz, quizzes),
            among(Attempt.student, students),
            Attempt.status == "graded",
        )
    )
    for quiz, student, uuid, number, percentage in graded:
        for case in by_learner.get((quiz, student), ()):
            if case.attempt.uuid != uuid and percentage is not None:
                case.earlier.append((number, percentage))


def earned(question: AttemptQuestion | PinnedQuestion) -> Fraction:
    """Points, exact where the rules gave them: rounded thirds would not add up.

    What a teacher gave stands, and what was given for a text that is erased by now; above both lies full
    credit.
    """
    if rules.has_full_credit(question.content):
        return Fraction(question.points)
    kind = kind_of(question.kind)
    erased = question.answer is None and question.score
    if question.graded_by is not None or erased or kind.is_graded_by_hand:
        return Fraction(question.score or 0)
    share = kind.share(question.content, question.answer, question.partial_credit)
    return Fraction(question.points) * share


async def settle(session: AsyncSession, cases: Sequence[Case], now: datetime, *, is_regrade: bool) -> None:
    """Grade handed-in attempts of different learners as a whole, each at its next version, unless an answer
    waits for a teacher.

    The caller holds the seats and the attempts. Completion that was reached is never taken back.
    """
    with session.no_autoflush:
        await load_standing(session, cases)
    ready = [case for case in cases if not case.waits]
    standings = {case.attempt.uuid: _grade(session, case, now, is_regrade=is_regrade) for case in ready}
    await session.flush()
    if not ready:
        return
    finished = await _keep_results(session, ready, standings, now)
    for case in ready:
        with tracing(case.trace):
            if (case.quiz.uuid, case.attempt.enrollment) in finished:
                await complete_by_work(session, case.seat, case.quiz.lesson, now)
            if case.seat.has_rules:
                await complete_if_met(session, case.seat.enrollment, case.seat, now)
    completed = [case.attempt.enrollment for case in ready if case.seat.enrollment.status == "completed"]
    if completed:
        await want_checks(session, completed, now)


def _grade(session: AsyncSession, case: Case, now: datetime, *, is_regrade: bool) -> Decimal | None:
    """The attempt's result and its event. Returns where the learner stands in the quiz by now."""
    attempt, quiz = case.attempt, case.quiz
    survey = quiz.kind == "survey"
    attempt.status = "graded"
    results = [] if survey else [(question, _earned(case, question)) for question in case.questions]
    if not survey:
        total = sum((points for _, points in results), Fraction(0))
        attempt.score = rules.stored(total)
        if attempt.max_score:
            attempt.percentage = rules.stored(total * 100 / Fraction(attempt.max_score))
        attempt.passed = _is_passed(case, attempt.percentage)
    closes_at = latest_close(quiz.closes_at, case.extended)
    attempt.score_shown = not survey and is_visible(quiz.feedback["score"], closes_at, now)
    event = publish_graded(session, attempt, quiz, results, is_regrade=is_regrade, trace=case.trace)
    reached = list(case.earlier)
    if attempt.percentage is not None:
        reached.append((attempt.number, attempt.percentage))
    percentage = rules.standing(quiz.scoring, [share for _, share in sorted(reached)])
    if percentage is not None and not case.excused:
        record_grade(
            session, course=quiz.course, item=quiz.uuid, student=attempt.student, status="graded",
            score=percentage * attempt.max_score / 100, points=attempt.max_score, late_seconds=0, at=now,
            event=event,
        )  # fmt: skip
    return percentage


def publish_graded(
    session: AsyncSession,
    attempt: Attempt,
    quiz: Quiz,
    results: Sequence[tuple[AttemptQuestion | PinnedQuestion, Fraction]],
    *,
    is_regrade: bool,
    trace: Trace,
) -> UUID:
    """The next version of a locked attempt that is graded, with the points of each question."""
    attempt.version += 1
    graded = QuizGraded(
        **identity(attempt, quiz),
        score=rounded(attempt.score) or 0,
        max_score=0 if quiz.kind == "survey" else float(attempt.max_score),
        percentage=rounded(attempt.percentage),
        passed=attempt.passed,
        is_regrade=is_regrade,
        score_visible=bool(attempt.score_shown),
        questions=tuple(_result(question, points) for question, points in results),
    )
    return record(session, graded, attempt.version, trace=trace)


def _earned(case: Case, question: AttemptQuestion | PinnedQuestion) -> Fraction:
    known = case.points.get(question.question)
    return earned(question) if known is None else known


def _result(question: AttemptQuestion | PinnedQuestion, points: Fraction) -> QuestionResult:
    share = points / Fraction(question.points) if question.points else Fraction(0)
    return QuestionResult(
        question=question.question,
        kind=kind_of(question.kind).nearest,
        question_kind=question.kind,
        score=rounded(rules.stored(points)) or 0,
        points=float(question.points),
        share=float(round(share * 100, 2)),
    )


def _is_passed(case: Case, percentage: Decimal | None) -> bool:
    """Where there is nothing to earn, nobody fails."""
    return not case.attempt.max_score or rules.is_passing(percentage, case.quiz.pass_mark)


async def _keep_results(
    session: AsyncSession, cases: Sequence[Case], standings: dict[UUID, Decimal | None], now: datetime
) -> set[tuple[UUID, UUID]]:
    """Where the learners stand by now. Returns quiz and enrolment of those for whom the quiz counts as
    finished."""
    finished = [
        case.quiz.kind == "survey" or _is_passed(case, standings[case.attempt.uuid]) for case in cases
    ]
    kept = await session.execute(
        KEEP_RESULTS,
        {
            "quizzes": [case.quiz.uuid for case in cases],
            "enrollments": [case.attempt.enrollment for case in cases],
            "percentages": [standings[case.attempt.uuid] for case in cases],
            "finished": [now if done else None for done in finished],
        },
    )
    return {(quiz, enrollment) for quiz, enrollment, at in kept if at is not None}


def identity(attempt: Attempt, quiz: Quiz) -> dict[str, Any]:
    """What every fact of an attempt says."""
    return {
        "attempt": attempt.uuid,
        "number": attempt.number,
        "quiz": quiz.uuid,
        "kind": quiz.kind,
        "title": quiz.title,
        "course": quiz.course,
        "lesson": quiz.lesson,
        "enrollment": attempt.enrollment,
        "student": attempt.student,
    }

"""What an attempt that is handed in has earned, and where its learner stands by it.

Many attempts are graded with a few statements: a whole class submits at the same moment.
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
from libs.common.data.tables import is_any_of
from libs.common.events.quizzes import QuestionResult, QuizGraded
from libs.common.runtime.trace import Trace, current_trace, tracing
from services.learning.access import EnrolledLearner
from services.learning.checks import want_checks
from services.learning.completion.service import complete_if_met
from services.learning.gradebook.history import record_grade
from services.learning.lessons.service import complete_by_work
from services.learning.models import Attempt, AttemptQuestion, Quiz, QuizExtension
from services.learning.quizzes import rules
from services.learning.quizzes.kinds import kind_of
from services.learning.quizzes.kinds.regrades import has_full_credit
from services.learning.rules import rounded
from services.learning.windows import is_visible, latest_close

STORE_RESULTS = text(
    "INSERT INTO quiz_results AS r (quiz, enrollment, percentage, finished_at) SELECT * FROM unnest("
    " CAST(:quizzes AS uuid[]), CAST(:enrollments AS uuid[]), CAST(:percentages AS numeric[]),"
    " CAST(:finished AS timestamptz[])) ON CONFLICT (quiz, enrollment) DO UPDATE"
    " SET percentage = excluded.percentage, finished_at = coalesce(r.finished_at, excluded.finished_at)"
    " RETURNING quiz, enrollment, finished_at"
)


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
class LoadedAttempt:
    """An attempt with its quiz, questions and learner. The caller holds the locks of enrolment and
    attempt."""

    learner: EnrolledLearner
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
    def key(self) -> tuple[UUID, UUID]:
        """Quiz and student."""
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
        .where(is_any_of(AttemptQuestion.attempt, attempts))
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
        PINNED.where(is_any_of(AttemptQuestion.attempt, attempts)).order_by(
            AttemptQuestion.attempt, AttemptQuestion.position
        )
    )
    questions = defaultdict(list)
    for row in rows:
        question = PinnedQuestion(*row)
        questions[question.attempt].append(question)
    return questions


async def load_results(session: AsyncSession, batch: Sequence[LoadedAttempt]) -> None:
    """Load what else decides: the learner's own close, and the results of earlier attempts."""
    by_learner: dict[tuple[UUID, UUID], list[LoadedAttempt]] = defaultdict(list)
    for loaded in batch:
        loaded.earlier = []
        by_learner[loaded.key].append(loaded)
    quizzes, students = {quiz for quiz, _ in by_learner}, {student for _, student in by_learner}
    extensions = await session.execute(
        select(
            QuizExtension.quiz, QuizExtension.student, QuizExtension.closes_at, QuizExtension.excused
        ).where(is_any_of(QuizExtension.quiz, quizzes), is_any_of(QuizExtension.student, students))
    )
    for quiz, student, closes_at, excused in extensions:
        for loaded in by_learner.get((quiz, student), ()):
            loaded.extended, loaded.excused = closes_at, excused
    graded = await session.execute(
        select(Attempt.quiz, Attempt.student, Attempt.uuid, Attempt.number, Attempt.percentage).where(
            is_any_of(Attempt.quiz, quizzes),
            is_any_of(Attempt.student, students),
            Attempt.status == "graded",
        )
    )
    for quiz, student, uuid, number, percentage in graded:
        for loaded in by_learner.get((quiz, student), ()):
            if loaded.attempt.uuid != uuid and percentage is not None:
                loaded.earlier.append((number, percentage))


def points_earned(question: AttemptQuestion | PinnedQuestion) -> Fraction:
    """Points, exact where the rules gave them: rounded thirds would not add up.

    What a teacher gave stands, and what was given for a text that is erased by now; above both lies full
    credit.
    """
    if has_full_credit(question.content):
        return Fraction(question.points)
    kind = kind_of(question.kind)
    erased = question.answer is None and question.score
    if question.graded_by is not None or erased or kind.is_graded_by_hand:
        return Fraction(question.score or 0)
    share = kind.share(question.content, question.answer, question.partial_credit)
    return Fraction(question.points) * share


async def grade_attempts(
    session: AsyncSession, batch: Sequence[LoadedAttempt], now: datetime, *, is_regrade: bool
) -> None:
    """Grade handed-in attempts of different learners as a whole, each at its next version, unless an answer
    waits for a teacher.

    The caller holds the locks of enrolments and attempts. Completion that was reached is never taken back.
    """
    with session.no_autoflush:
        await load_results(session, batch)
    ready = [loaded for loaded in batch if not loaded.waits]
    percentages = {
        loaded.attempt.uuid: _grade(session, loaded, now, is_regrade=is_regrade) for loaded in ready
    }
    await session.flush()
    if not ready:
        return
    finished = await _store_results(session, ready, percentages, now)
    for loaded in ready:
        with tracing(loaded.trace):
            learner, has_looked = loaded.learner, False
            if (loaded.quiz.uuid, loaded.attempt.enrollment) in finished:
                has_looked = await complete_by_work(session, learner, loaded.quiz.lesson, now)
            if learner.has_rules and not has_looked:
                await complete_if_met(session, learner.enrollment, learner, now)
    completed = [
        loaded.attempt.enrollment for loaded in ready if loaded.learner.enrollment.status == "completed"
    ]
    if completed:
        await want_checks(session, completed, now)


def _grade(
    session: AsyncSession, loaded: LoadedAttempt, now: datetime, *, is_regrade: bool
) -> Decimal | None:
    """The attempt's result and its event. Returns where the learner stands in the quiz by now."""
    attempt, quiz = loaded.attempt, loaded.quiz
    survey = quiz.kind == "survey"
    attempt.status = "graded"
    results = (
        [] if survey else [(question, _points_earned(loaded, question)) for question in loaded.questions]
    )
    if not survey:
        total = sum((points for _, points in results), Fraction(0))
        attempt.score = rules.stored(total)
        if attempt.max_score:
            attempt.percentage = rules.stored(total * 100 / Fraction(attempt.max_score))
        attempt.passed = _is_passed(loaded, attempt.percentage)
    closes_at = latest_close(quiz.closes_at, loaded.extended)
    attempt.score_shown = not survey and is_visible(quiz.feedback["score"], closes_at, now)
    event = publish_graded(session, attempt, quiz, results, is_regrade=is_regrade, trace=loaded.trace)
    reached = list(loaded.earlier)
    if attempt.percentage is not None:
        reached.append((attempt.number, attempt.percentage))
    percentage = rules.quiz_result(quiz.scoring, [share for _, share in sorted(reached)])
    if percentage is not None and not loaded.excused:
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


def _points_earned(loaded: LoadedAttempt, question: AttemptQuestion | PinnedQuestion) -> Fraction:
    known = loaded.points.get(question.question)
    return points_earned(question) if known is None else known


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


def _is_passed(loaded: LoadedAttempt, percentage: Decimal | None) -> bool:
    """Where there is nothing to earn, nobody fails."""
    return not loaded.attempt.max_score or rules.is_passing(percentage, loaded.quiz.pass_mark)


async def _store_results(
    session: AsyncSession,
    batch: Sequence[LoadedAttempt],
    percentages: dict[UUID, Decimal | None],
    now: datetime,
) -> set[tuple[UUID, UUID]]:
    """Where the learners stand by now. Returns quiz and enrolment of those for whom the quiz counts as
    finished."""
    finished = [
        loaded.quiz.kind == "survey" or _is_passed(loaded, percentages[loaded.attempt.uuid])
        for loaded in batch
    ]
    row = await session.execute(
        STORE_RESULTS,
        {
            "quizzes": [loaded.quiz.uuid for loaded in batch],
            "enrollments": [loaded.attempt.enrollment for loaded in batch],
            "percentages": [percentages[loaded.attempt.uuid] for loaded in batch],
            "finished": [now if done else None for done in finished],
        },
    )
    return {(quiz, enrollment) for quiz, enrollment, at in row if at is not None}


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

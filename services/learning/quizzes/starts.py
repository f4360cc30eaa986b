"""StartAttempt attempts: the window, the learner's share of attempts, the questions that are pinned.

A whole class presses the button when the window opens, so what is simple is started below the ORM and many in
a transaction. Locks: the quiz, shared; the learner's enrolment.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import orjson
from psycopg.types.json import Jsonb
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import driver
from libs.common.data.outbox import record
from libs.common.data.tables import is_any_of
from libs.common.events.quizzes import QuizStarted
from libs.common.runtime.errors import LecternError, NotFound
from libs.common.runtime.trace import Trace, current_trace
from libs.common.security.tokens import Principal
from libs.common.web.zones import local_date
from services.learning.access import EnrolledLearner, lock_learner, lock_learners
from services.learning.errors import NoAttemptsLeft, NotEnrolled, QuizClosed, QuizNotOpen
from services.learning.models import ENROLLED, Attempt, Enrollment, Question, Quiz, QuizExtension
from services.learning.quizzes import rules
from services.learning.quizzes.access import access_quiz
from services.learning.quizzes.attempts import close_open, extended_deadline, lock_attempt
from services.learning.quizzes.kinds import kind_of
from services.learning.quizzes.queries import draw_questions
from services.learning.quizzes.results import LoadedAttempt, PinnedQuestion, identity, read_pinned
from services.learning.windows import is_over, latest_close

START = """
WITH attempt AS (INSERT INTO attempts (uuid, version, quiz, enrollment, student, number, status, started_at,
  deadline, time_limit_seconds, closes_at, max_score) SELECT * FROM unnest(%(uuid)s::uuid[],
  %(version)s::int8[], %(quiz)s::uuid[], %(enrollment)s::uuid[], %(student)s::uuid[], %(number)s::int[],
  %(status)s::text[], %(started_at)s::timestamptz[], %(deadline)s::timestamptz[],
  %(time_limit_seconds)s::int[], %(closes_at)s::timestamptz[], %(max_score)s::numeric[])),
 pinned AS (INSERT INTO attempt_questions (attempt, question, position, kind, text, points, explanation,
  partial_credit, content) SELECT q.* FROM jsonb_to_recordset(%(questions)s) AS q(attempt uuid,
  question uuid, position int, kind text, text text, points numeric, explanation text, partial_credit bool,
  content jsonb))
INSERT INTO study_days (student, local_date) SELECT DISTINCT * FROM
 unnest(%(student)s::uuid[], %(days)s::date[]) AS d(student, local_date) ORDER BY student, local_date
 ON CONFLICT DO NOTHING
"""
STARTED = (
    "uuid", "version", "quiz", "enrollment", "student", "number", "status", "started_at", "deadline",
    "time_limit_seconds", "closes_at", "max_score",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class StartAttempt:
    """A request to start an attempt."""

    student: UUID
    quiz: UUID
    now: datetime
    trace: Trace


@dataclass(slots=True)
class Eligibility:
    """What decides whether a learner may start an attempt."""

    learner: EnrolledLearner
    quiz: Quiz
    now: datetime
    trace: Trace
    extension: QuizExtension | None = None
    attempts: list[tuple[UUID, str]] = field(default_factory=list)
    """Their attempts so far, uuid and status, oldest first."""

    @property
    def closes_at(self) -> datetime | None:
        """The learner's own close."""
        return self.extension.closes_at if self.extension else None

    def check(self) -> None:
        """Raises QuizNotOpen, QuizClosed or NoAttemptsLeft."""
        closes_at = latest_close(self.quiz.closes_at, self.closes_at)
        extra = self.extension.extra_attempts if self.extension else 0
        allowed = rules.attempts_allowed(self.quiz.attempts_allowed, extra)
        if self.quiz.opens_at is not None and self.now < self.quiz.opens_at:
            raise QuizNotOpen
        if closes_at is not None and self.now >= closes_at:
            raise QuizClosed
        if allowed is not None and len(self.attempts) >= allowed:
            raise NoAttemptsLeft


async def start_attempt(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime
) -> tuple[LoadedAttempt, bool]:
    """Start an attempt, or take up the open one. Returns it and whether it is new."""
    quiz = await session.get(Quiz, uuid, with_for_update={"read": True})
    if quiz is None or quiz.deleted_at is not None:
        raise NotFound
    learner = await lock_learner(session, Enrollment.course == quiz.course, Enrollment.student == who.user)
    if learner is None or learner.enrollment.status not in ENROLLED:
        if learner is None or not quiz.is_published:
            await access_quiz(session, who, uuid)  # hidden from them it is not there
        raise NotEnrolled
    if not quiz.is_published:
        raise NotFound
    eligibility = Eligibility(learner, quiz, now, current_trace())
    await _load(session, [eligibility])
    if eligibility.attempts and eligibility.attempts[-1][1] == "in_progress":
        attempt = await lock_attempt(session, eligibility.attempts[-1][0])
        questions = (await read_pinned(session, [attempt.uuid]))[attempt.uuid]
        loaded = LoadedAttempt(learner, attempt, quiz, questions, eligibility.closes_at)
        if not is_over(attempt.deadline, now):
            return loaded, False
        await close_open(session, [loaded], now)
    eligibility.check()
    (loaded,) = await _begin(session, [eligibility])
    return loaded, True


async def start_together(
    session: AsyncSession, wanted: Sequence[StartAttempt]
) -> dict[StartAttempt, tuple[LoadedAttempt, set[str]]]:
    """Start attempts that may start. Waits for no lock of enrolments: leaves out learners who are locked,
    have an open attempt, or may not start one."""
    quizzes = {
        quiz.uuid: quiz
        for quiz in await session.scalars(
            select(Quiz)
            .where(
                is_any_of(Quiz.uuid, {one.quiz for one in wanted}),
                Quiz.is_published,
                Quiz.deleted_at.is_(None),
            )
            .order_by(Quiz.uuid)
            .with_for_update(read=True)
        )
    }
    there = [one for one in wanted if one.quiz in quizzes]
    places = {(quizzes[one.quiz].course, one.student) for one in there}
    learners = {
        (learner.enrollment.course, learner.enrollment.student): learner
        for learner in await lock_learners(
            session,
            is_any_of(Enrollment.course, {course for course, _ in places}),
            is_any_of(Enrollment.student, {student for _, student in places}),
            skip_locked=True,
        )
        if learner.enrollment.status in ENROLLED
    }
    candidates = {
        (one.quiz, one.student): (
            one,
            Eligibility(
                learners[quizzes[one.quiz].course, one.student], quizzes[one.quiz], one.now, one.trace
            ),
        )
        for one in there
        if (quizzes[one.quiz].course, one.student) in learners
    }  # of the same learner twice: the other finds an open attempt, in its own way
    await _load(session, [eligibility for _, eligibility in candidates.values()])
    ready = [(one, eligibility) for one, eligibility in candidates.values() if _may_start(eligibility)]
    batch = await _begin(session, [eligibility for _, eligibility in ready])
    return {one: (loaded, {str(loaded.attempt.uuid)}) for (one, _), loaded in zip(ready, batch, strict=True)}


def _may_start(eligibility: Eligibility) -> bool:
    if eligibility.attempts and eligibility.attempts[-1][1] == "in_progress":
        return False
    try:
        eligibility.check()
    except LecternError:
        return False
    return True


async def _load(session: AsyncSession, candidates: Sequence[Eligibility]) -> None:
    """Load the learners' extensions and attempts. The caller holds the locks of their enrolments."""
    by_learner = {
        (eligibility.quiz.uuid, eligibility.learner.enrollment.student): eligibility
        for eligibility in candidates
    }
    quizzes, students = {quiz for quiz, _ in by_learner}, {student for _, student in by_learner}
    extensions = await session.scalars(
        select(QuizExtension).where(
            is_any_of(QuizExtension.quiz, quizzes), is_any_of(QuizExtension.student, students)
        )
    )
    for extension in extensions:
        if (extension.quiz, extension.student) in by_learner:
            by_learner[extension.quiz, extension.student].extension = extension
    attempts = await session.execute(
        select(Attempt.quiz, Attempt.student, Attempt.uuid, Attempt.status)
        .where(is_any_of(Attempt.quiz, quizzes), is_any_of(Attempt.student, students))
        .order_by(Attempt.number)
    )
    for quiz, student, uuid, status in attempts:
        if (quiz, student) in by_learner:
            by_learner[quiz, student].attempts.append((uuid, status))


async def _begin(session: AsyncSession, candidates: Sequence[Eligibility]) -> list[LoadedAttempt]:
    """New attempts with their questions pinned, and their events, in the order of the candidates."""
    by_quiz = defaultdict(list)
    for eligibility in candidates:
        by_quiz[eligibility.quiz.uuid].append(eligibility)
    drawn = {
        quiz: iter(await draw_questions(session, same[0].quiz, len(same))) for quiz, same in by_quiz.items()
    }
    batch: list[LoadedAttempt] = []
    pinned: list[dict[str, Any]] = []
    days: list[date] = []
    for eligibility in candidates:
        quiz, day = eligibility.quiz, local_date(eligibility.now, eligibility.learner.time_zone)
        attempt, questions = _new_attempt(eligibility, next(drawn[quiz.uuid]))
        shown = [PinnedQuestion(**fields) for fields in questions]
        loaded = LoadedAttempt(eligibility.learner, attempt, quiz, shown, eligibility.closes_at)
        started = QuizStarted(**identity(attempt, quiz), deadline=attempt.deadline, local_date=day)
        record(session, started, attempt.version, trace=eligibility.trace)
        batch.append(loaded)
        pinned += questions
        days.append(day)
    if batch:
        values = {name: [getattr(loaded.attempt, name) for loaded in batch] for name in STARTED}
        connection = await driver(session)
        await connection.execute(START, values | {"days": days, "questions": Jsonb(pinned, dumps=_plain)})
    return batch


def _new_attempt(eligibility: Eligibility, questions: list[Question]) -> tuple[Attempt, list[dict[str, Any]]]:
    quiz, enrollment = eligibility.quiz, eligibility.learner.enrollment
    attempt = Attempt(
        uuid=uuid4(),
        version=1,
        quiz=quiz.uuid,
        enrollment=enrollment.uuid,
        student=enrollment.student,
        number=len(eligibility.attempts) + 1,
        status="in_progress",
        started_at=eligibility.now,
        time_limit_seconds=quiz.time_limit_seconds,
        closes_at=quiz.closes_at,
        max_score=sum((question.points for question in questions), Decimal(0)),
    )
    attempt.deadline = extended_deadline(attempt, eligibility.extension)
    if quiz.shuffle_questions:
        random.shuffle(questions)
    return attempt, [_pin(attempt.uuid, place, question, quiz) for place, question in enumerate(questions)]


def _pin(attempt: UUID, place: int, question: Question, quiz: Quiz) -> dict[str, Any]:
    content = kind_of(question.kind).pin(
        question.content, lambda ones: random.sample(ones, len(ones)), quiz.shuffle_answers
    )
    return {
        "attempt": attempt,
        "question": question.uuid,
        "position": place,
        "kind": question.kind,
        "text": question.text,
        "points": question.points,
        "explanation": question.explanation,
        "partial_credit": question.partial_credit,
        "content": content,
    }


def _plain(questions: Any) -> bytes:
    return orjson.dumps(questions, default=str)  # points as text: exact

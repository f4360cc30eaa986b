"""Attempts: started, saved, handed in, graded, all by the server's clock.

Locks: the learner's enrolment, then the attempt. An autosave shares the attempt's lock, so a submit waits for
saves that are under way, and what comes after it is refused.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any
from uuid import UUID, uuid4

import orjson
from psycopg.types.json import Jsonb
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from libs.common.db import driver
from libs.common.errors import NotFound
from libs.common.events.quizzes import QuizStarted, QuizSubmitted
from libs.common.outbox import record, take_recorded
from libs.common.tokens import Principal
from libs.common.trace import Trace, current_trace
from services.learning.access import Seat, lock_seat, lock_seats
from services.learning.enrollments.rules import SEATED, local_date
from services.learning.errors import (
    AttemptAlreadySubmitted,
    AttemptClosed,
    NoAttemptsLeft,
    NotEnrolled,
    QuizClosed,
    QuizNotOpen,
)
from services.learning.gradebook.service import keep_mark
from services.learning.lessons.queries import KEEP_STUDY_DAY
from services.learning.models import (
    Attempt,
    AttemptQuestion,
    Enrollment,
    Question,
    Quiz,
    QuizExtension,
)
from services.learning.quizzes import rules
from services.learning.quizzes.access import access_quiz, find_extension
from services.learning.quizzes.queries import draw_questions
from services.learning.quizzes.results import (
    Case,
    earned,
    identity,
    list_questions_of,
    load_standing,
    settle,
)

# An autosave goes below the ORM: a class saves every few seconds.
FOR_SAVE = """
SELECT a.student, a.status, a.deadline, q.kind, q.content FROM attempts a
 LEFT JOIN attempt_questions q ON q.attempt = a.uuid AND q.question = %(question)s
 WHERE a.uuid = %(attempt)s FOR SHARE OF a
"""
SAVE = """
UPDATE attempt_questions SET answer = %(answer)s, saved_at = %(now)s
 WHERE attempt = %(attempt)s AND question = %(question)s
"""

# So does a start: a whole class presses the button when the window opens.
MINE = """
SELECT uuid, status, deadline FROM attempts WHERE quiz = %(quiz)s AND student = %(student)s ORDER BY number
"""
START = """
WITH attempt AS (INSERT INTO attempts (uuid, version, quiz, enrollment, student, number, status, started_at,
  deadline, time_limit_seconds, closes_at, max_score) VALUES (%(uuid)s, %(version)s, %(quiz)s,
  %(enrollment)s, %(student)s, %(number)s, %(status)s, %(started_at)s, %(deadline)s,
  %(time_limit_seconds)s, %(closes_at)s, %(max_score)s)),
 day AS (INSERT INTO study_days (student, local_date) VALUES (%(student)s, %(local_date)s)
  ON CONFLICT DO NOTHING),
 pinned AS (INSERT INTO attempt_questions (attempt, question, position, kind, text, points, explanation,
  partial_credit, content) SELECT %(uuid)s, q.* FROM jsonb_to_recordset(%(questions)s) AS q(question uuid,
  position int, kind text, text text, points numeric, explanation text, partial_credit bool, content jsonb))
INSERT INTO outbox (lane, id, topic, key, key_seq, type, occurred_at, headers, payload) VALUES (%(lane)s,
 %(id)s, %(topic)s, %(key)s, %(key_seq)s, %(type)s, %(occurred_at)s, %(headers)s, %(payload)s)
"""
STARTED = (
    "uuid", "version", "quiz", "enrollment", "student", "number", "status", "started_at", "deadline",
    "time_limit_seconds", "closes_at", "max_score",
)  # fmt: skip

SCORE = text(
    "UPDATE attempt_questions q SET score = s.score FROM unnest(CAST(:attempts AS uuid[]),"
    " CAST(:questions AS uuid[]), CAST(:scores AS numeric[])) AS s(attempt, question, score)"
    " WHERE q.attempt = s.attempt AND q.question = s.question"
)


async def start_attempt(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime
) -> tuple[Case, bool]:
    """Start an attempt, or take up the open one. Returns it and whether it is new."""
    quiz = await session.get(Quiz, uuid)
    if quiz is None or quiz.deleted_at is not None:
        raise NotFound
    seat = await lock_seat(session, Enrollment.course == quiz.course, Enrollment.student == who.user)
    if seat is None or seat.enrollment.status not in SEATED:
        await access_quiz(session, who, uuid)  # hidden from them it is not there
        raise NotEnrolled
    if not quiz.is_published:
        raise NotFound
    extension = await find_extension(session, quiz.uuid, who.user)
    extended = extension.closes_at if extension else None
    connection = await driver(session)
    mine = await connection.execute(MINE, {"quiz": quiz.uuid, "student": who.user})
    attempts = await mine.fetchall()
    if attempts and attempts[-1][1] == "in_progress":
        attempt = await lock_attempt(session, attempts[-1][0])
        questions = (await list_questions_of(session, [attempt.uuid]))[attempt.uuid]
        case = Case(seat, attempt, quiz, questions, extended)
        if not rules.is_over(attempt.deadline, now):
            return case, False
        await _close(session, [case], now)
    closes_at = rules.latest_close(quiz.closes_at, extended)
    allowed = rules.attempts_allowed(quiz.attempts_allowed, extension.extra_attempts if extension else 0)
    if quiz.opens_at is not None and now < quiz.opens_at:
        raise QuizNotOpen
    if closes_at is not None and now >= closes_at:
        raise QuizClosed
    if allowed is not None and len(attempts) >= allowed:
        raise NoAttemptsLeft
    attempt, questions = await _begin(session, seat, quiz, extension, len(attempts) + 1, now)
    return Case(seat, attempt, quiz, questions, extended), True


async def save_answer(
    session: AsyncSession, who: Principal, uuid: UUID, question: UUID, answer: Any, now: datetime
) -> datetime | None:
    """Keep an answer: this is the record. Returns the deadline. Raises AttemptClosed after it."""
    connection = await driver(session)
    found = await connection.execute(FOR_SAVE, {"attempt": uuid, "question": question})
    row: Any = await found.fetchone()
    if row is None:
        raise NotFound
    student, status, deadline, kind, content = row
    if student != who.user or kind is None:
        raise NotFound
    if status != "in_progress":
        raise AttemptAlreadySubmitted
    if rules.is_over(deadline, now):
        raise AttemptClosed
    rules.check_answer(kind, content, answer)
    kept = None if answer is None else Jsonb(answer)
    await connection.execute(SAVE, {"attempt": uuid, "question": question, "answer": kept, "now": now})
    moment: datetime | None = deadline
    return moment


async def close_attempts(
    session: AsyncSession,
    wanted: Mapping[UUID, Trace],
    now: datetime,
    *,
    owners: Collection[tuple[UUID, UUID]] | None,
) -> dict[UUID, Case]:
    """Hand in and grade open attempts once, all in this transaction; what is closed already stays as it is.

    `wanted` has the trace of who asks for each. Only attempts that are there with their student in `owners`;
    without owners only those whose deadline has passed. Too late, one is graded from what was saved in time.
    """
    found = {
        attempt: (enrollment, quiz)
        for attempt, enrollment, student, quiz in await session.execute(
            select(Attempt.uuid, Attempt.enrollment, Attempt.student, Quiz)
            .join(Quiz, Quiz.uuid == Attempt.quiz)
            .where(Attempt.uuid.in_(wanted))
        )
        if owners is None or (attempt, student) in owners
    }
    seats = {
        seat.enrollment.uuid: seat
        for seat in await lock_seats(session, Enrollment.uuid.in_({seat for seat, _ in found.values()}))
    }
    attempts = await session.scalars(
        select(Attempt)
        .where(Attempt.uuid.in_(found), Attempt.enrollment.in_(seats))
        .order_by(Attempt.uuid)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    questions = await list_questions_of(session, found)
    cases = {
        attempt.uuid: Case(
            seats[attempt.enrollment], attempt, found[attempt.uuid][1], questions[attempt.uuid],
            trace=wanted[attempt.uuid],
        )
        for attempt in attempts
    }  # fmt: skip
    closing = [
        case
        for case in cases.values()
        if case.attempt.status == "in_progress"
        and (owners is not None or rules.is_over(case.attempt.deadline, now))
    ]
    closed = [case for case in cases.values() if case not in closing]
    if closed:
        await load_standing(session, closed)
    if closing:
        await _close(session, closing, now)
    return cases


async def close_attempt(session: AsyncSession, uuid: UUID, now: datetime, *, owner: UUID) -> Case:
    """The same for one. Raises NotFound."""
    cases = await close_attempts(session, {uuid: current_trace()}, now, owners={(uuid, owner)})
    if uuid not in cases:
        raise NotFound
    return cases[uuid]


async def _begin(
    session: AsyncSession,
    seat: Seat,
    quiz: Quiz,
    extension: QuizExtension | None,
    number: int,
    now: datetime,
) -> tuple[Attempt, list[AttemptQuestion]]:
    questions = await draw_questions(session, quiz)
    if quiz.shuffle_questions:
        random.shuffle(questions)
    attempt = Attempt(
        uuid=uuid4(),
        version=1,
        quiz=quiz.uuid,
        enrollment=seat.enrollment.uuid,
        student=seat.enrollment.student,
        number=number,
        status="in_progress",
        started_at=now,
        time_limit_seconds=quiz.time_limit_seconds,
        closes_at=quiz.closes_at,
        max_score=sum((question.points for question in questions), Decimal(0)),
    )
    attempt.deadline = extended_deadline(attempt, extension)
    pinned = [_pin(place, question, quiz) for place, question in enumerate(questions)]
    day = local_date(now, seat.time_zone)
    started = QuizStarted(**identity(attempt, quiz), deadline=attempt.deadline, local_date=day)
    record(session, started, attempt.version)
    (row,) = take_recorded(session, 1)
    values = {name: getattr(attempt, name) for name in STARTED} | row
    values |= {"headers": Jsonb(row["headers"]), "local_date": day, "questions": Jsonb(pinned, dumps=_plain)}
    await (await driver(session)).execute(START, values)
    return attempt, [AttemptQuestion(attempt=attempt.uuid, **fields) for fields in pinned]


def _plain(questions: Any) -> bytes:
    return orjson.dumps(questions, default=str)  # points as text: exact


def _pin(place: int, question: Question, quiz: Quiz) -> dict[str, Any]:
    content = rules.in_order(
        question.kind, question.content, lambda ones: random.sample(ones, len(ones)), quiz.shuffle_answers
    )
    return {
        "question": question.uuid,
        "position": place,
        "kind": question.kind,
        "text": question.text,
        "points": question.points,
        "explanation": question.explanation,
        "partial_credit": question.partial_credit,
        "content": content,
    }


def extended_deadline(attempt: Attempt, extension: QuizExtension | None) -> datetime | None:
    """From what the quiz said when the attempt started and what its learner has beyond others."""
    if extension is None:
        return rules.attempt_deadline(attempt.started_at, attempt.time_limit_seconds, attempt.closes_at)
    closes_at = rules.latest_close(attempt.closes_at, extension.closes_at)
    return rules.attempt_deadline(
        attempt.started_at, attempt.time_limit_seconds, closes_at, extension.extra_seconds
    )


async def lock_attempt(session: AsyncSession, uuid: UUID) -> Attempt:
    return (
        await session.execute(
            select(Attempt)
            .where(Attempt.uuid == uuid)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    ).scalar_one()


async def _close(session: AsyncSession, cases: Sequence[Case], now: datetime) -> None:
    """Submitted at one version, graded at the next if no answer waits. The caller holds both locks."""
    days = []
    events = {}
    for case in cases:
        attempt, quiz = case.attempt, case.quiz
        by_deadline = rules.is_over(attempt.deadline, now)
        attempt.submitted_at = attempt.deadline if by_deadline else now
        assert attempt.submitted_at is not None
        attempt.status = "submitted"
        day = local_date(attempt.submitted_at, case.seat.time_zone)
        taken = max(0, int((attempt.submitted_at - attempt.started_at).total_seconds()))
        attempt.version += 1
        submitted = QuizSubmitted(
            **identity(attempt, quiz), by_deadline=by_deadline, seconds_taken=taken, local_date=day
        )
        events[attempt.uuid] = record(session, submitted, attempt.version, trace=case.trace)
        days.append({"student": attempt.student, "local_date": day})
    with session.no_autoflush:  # the attempts are written once, with their results
        await session.execute(KEEP_STUDY_DAY, sorted(days, key=itemgetter("student")))
        await _score(
            session, [question for case in cases if case.quiz.kind != "survey" for question in case.questions]
        )
    await settle(session, cases, now, is_regrade=False)
    for case in cases:
        if case.attempt.status == "submitted" and not case.earlier:
            attempt = case.attempt
            keep_mark(
                session, course=case.quiz.course, item=case.quiz.uuid, student=attempt.student,
                status="submitted", score=None, points=attempt.max_score, late_seconds=0, at=now,
                event=events[attempt.uuid],
            )  # fmt: skip


async def _score(session: AsyncSession, questions: Sequence[AttemptQuestion]) -> None:
    """Points for what the rules can grade, in one statement."""
    graded = [q for q in questions if not rules.awaits_grading(q.kind, q.answer, q.score)]
    for question in graded:
        set_committed_value(question, "score", rules.stored(earned(question)))
    if graded:
        await session.execute(
            SCORE,
            {
                "attempts": [question.attempt for question in graded],
                "questions": [question.question for question in graded],
                "scores": [question.score for question in graded],
            },
        )

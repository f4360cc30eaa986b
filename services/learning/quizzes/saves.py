"""SaveAnswer answers: what was saved is the record, and everything is graded from it.

A class saves every few seconds, so this goes below the ORM and takes many in a transaction. A save shares the
attempt's lock: a submit waits for saves that are under way, and what comes after it is refused. Who has left
the course saves nothing more: an open attempt waits for their return, or for its deadline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Direct, driver
from libs.common.runtime.errors import LecternError, NotFound
from libs.common.security.tokens import Principal
from services.learning.errors import AttemptAlreadySubmitted, AttemptClosed, NotEnrolled
from services.learning.models import ENROLLED
from services.learning.quizzes.access import refuse_others
from services.learning.quizzes.kinds import kind_of
from services.learning.windows import is_over

FOUND = """
SELECT a.student, e.status, a.status, a.deadline, q.kind, q.content FROM attempts a
 JOIN enrollments e ON e.uuid = a.enrollment
 LEFT JOIN attempt_questions q ON q.attempt = a.uuid AND q.question = %(question)s
 WHERE a.uuid = %(attempt)s FOR SHARE OF a
"""
FOUND_TOGETHER = """
SELECT w.place, a.student, e.status, a.status, a.deadline, q.kind, q.content
 FROM unnest(%(attempts)s::uuid[], %(questions)s::uuid[]) WITH ORDINALITY AS w(attempt, question, place)
 JOIN attempts a ON a.uuid = w.attempt
 JOIN enrollments e ON e.uuid = a.enrollment
 JOIN attempt_questions q ON q.attempt = w.attempt AND q.question = w.question
 ORDER BY w.place FOR SHARE OF a SKIP LOCKED FOR NO KEY UPDATE OF q SKIP LOCKED
"""
SAVE = """
UPDATE attempt_questions q SET answer = s.answer, saved_at = s.saved_at
 FROM unnest(%(attempts)s::uuid[], %(questions)s::uuid[], %(answers)s::jsonb[], %(moments)s::timestamptz[])
  AS s(attempt, question, answer, saved_at) WHERE q.attempt = s.attempt AND q.question = s.question
"""


@dataclass(frozen=True, slots=True, eq=False)
class SaveAnswer:
    """A request to save an answer; None takes it back."""

    student: UUID
    attempt: UUID
    question: UUID
    answer: Any
    now: datetime

    def check(
        self,
        student: UUID,
        enrollment_status: str,
        status: str,
        deadline: datetime | None,
        kind: str | None,
        content: Any,
    ) -> None:
        """Raises NotFound, NotEnrolled, AttemptAlreadySubmitted, AttemptClosed or InvalidAnswer."""
        if student != self.student or kind is None:
            raise NotFound
        if enrollment_status not in ENROLLED:
            raise NotEnrolled
        if status != "in_progress":
            raise AttemptAlreadySubmitted
        if is_over(deadline, self.now):
            raise AttemptClosed
        kind_of(kind).check_answer(content, self.answer)


async def save_answer(
    session: AsyncSession, who: Principal, uuid: UUID, question: UUID, answer: Any, now: datetime
) -> datetime | None:
    """Keep an answer. Returns the deadline. Raises AttemptClosed after it, Forbidden for its teacher."""
    connection = await driver(session)
    found = await connection.execute(FOUND, {"attempt": uuid, "question": question})
    row: Any = await found.fetchone()
    if row is None:
        raise NotFound
    if row[0] != who.user:
        await refuse_others(session, who, uuid)
    save = SaveAnswer(who.user, uuid, question, answer, now)
    save.check(*row)
    await connection.execute(SAVE, _columns([save]))
    deadline: datetime | None = row[3]
    return deadline


async def save_together(
    transaction: Direct, wanted: Sequence[SaveAnswer]
) -> dict[SaveAnswer, tuple[datetime | None, tuple[()]]]:
    """Keep those answers that may be kept, and tell their deadlines. Waits for no lock."""
    places = {
        "attempts": [one.attempt for one in wanted],
        "questions": [one.question for one in wanted],
    }
    found = await transaction.connection.execute(FOUND_TOGETHER, places)
    stored: dict[SaveAnswer, tuple[datetime | None, tuple[()]]] = {}
    newest = {}
    for place, *row in await found.fetchall():
        one = wanted[place - 1]
        try:
            one.check(*row)
        except LecternError:
            continue
        stored[one] = row[3], ()
        newest[one.attempt, one.question] = one
    if newest:
        await transaction.connection.execute(SAVE, _columns(list(newest.values())))
    return stored


def _columns(saves: Sequence[SaveAnswer]) -> dict[str, list[Any]]:
    return {
        "attempts": [one.attempt for one in saves],
        "questions": [one.question for one in saves],
        "answers": [None if one.answer is None else Jsonb(one.answer) for one in saves],
        "moments": [one.now for one in saves],
    }

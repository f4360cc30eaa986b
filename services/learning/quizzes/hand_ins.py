"""Submits of one moment, graded in one transaction: a class hands in at the bell.

While one transaction is under way, who comes next waits for the one after it. Nobody waits for a full batch,
and one attempt that cannot be graded holds up no other.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.logs import get_logger
from libs.common.outbox import consistency_token
from libs.common.trace import Trace, current_trace
from services.learning.quizzes.attempts import close_attempts
from services.learning.quizzes.results import Case

log = get_logger(__name__)

MOST = 25
"""Attempts graded together: whoever is among them waits for all of them."""


@dataclass(slots=True, eq=False)
class HandIn:
    """One call that waits."""

    attempt: UUID
    student: UUID
    trace: Trace
    result: asyncio.Future[tuple[Case, str | None]]


class HandIns:
    """Collects the submits of this process."""

    def __init__(self, db: Database, clock: Callable[[], datetime]) -> None:
        self._db = db
        self._clock = clock
        self._waiting: list[HandIn] = []
        self._work: asyncio.Task[None] | None = None

    async def submit(self, attempt: UUID, student: UUID) -> tuple[Case, str | None]:
        """Hand in; returns once that is committed, with the consistency token. Again → the same result.

        Raises NotFound when it is not an attempt of theirs.
        """
        hand_in = HandIn(attempt, student, current_trace(), asyncio.get_running_loop().create_future())
        self._waiting.append(hand_in)
        if self._work is None:
            self._work = asyncio.create_task(self._close_all(), name="hand-ins")
        return await hand_in.result

    async def _close_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                if not await self._closed(batch):
                    for hand_in in batch:
                        await self._closed([hand_in], last=True)
        finally:
            self._work = None

    async def _closed(self, batch: list[HandIn], *, last: bool = False) -> bool:
        """Whether all of them have their answers; a `last` attempt answers with its error."""
        wanted = {hand_in.attempt: hand_in.trace for hand_in in batch}
        owners = {(hand_in.attempt, hand_in.student) for hand_in in batch}
        try:
            async with self._db.session() as session:
                cases = await close_attempts(session, wanted, self._clock(), owners=owners)
        except Exception as error:
            if last:
                _answer(batch[0], error)
            else:
                log.warning("hand_ins_one_by_one", attempts=len(batch), error=repr(error)[:300])
            return last
        for hand_in in batch:
            case = cases.get(hand_in.attempt)
            if case is None or case.attempt.student != hand_in.student:
                _answer(hand_in, NotFound())
            else:
                written = {str(case.attempt.uuid), str(case.attempt.enrollment)}
                _answer(hand_in, (case, consistency_token(session, written)))
        return True


def _answer(hand_in: HandIn, result: tuple[Case, str | None] | Exception) -> None:
    if hand_in.result.done():  # the client has gone
        return
    if isinstance(result, Exception):
        hand_in.result.set_exception(result)
    else:
        hand_in.result.set_result(result)

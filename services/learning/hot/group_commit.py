"""Group commit: requests of one moment share a transaction, because a class does everything at the bell.

While one transaction is under way, who comes next waits for the one after it; nobody waits for a group to
fill. What a group leaves out (a row that somebody else has locked, a rule that says no) and what fails with
it is for each request to do by itself, so that nobody is held up or refused because of others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from libs.common.data.outbox import Recorder, consistency_token
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

MOST = 50
"""Requests of one transaction: whoever is among them waits for all of them."""

Item = TypeVar("Item", bound=Hashable)
Result = TypeVar("Result")
Transaction = TypeVar("Transaction", bound=Recorder)
Work = Callable[[Transaction, Sequence[Item]], Awaitable[Mapping[Item, tuple[Result, Collection[str]]]]]
"""Does what it can of the items without waiting for locks. Tells for each one that is done its result and
the keys of the events that it published; an item that it leaves out has written nothing."""


class GroupCommit(Generic[Transaction, Item, Result]):
    """Collects the items of this process, each an object of its own; `begin` opens a transaction."""

    def __init__(
        self,
        begin: Callable[[], AbstractAsyncContextManager[Transaction]],
        work: Work[Transaction, Item, Result],
    ) -> None:
        self._begin = begin
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[tuple[Result, str | None] | None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> tuple[Result, str | None] | None:
        """The result once it is committed, with the consistency token; None where it was not done."""
        future: asyncio.Future[tuple[Result, str | None] | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"group-commit {self._work}")
        return await future

    async def _run(self) -> None:
        group = []
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                done = await self._commit([item for item, _ in group])
                for item, future in group:
                    if not future.done():  # else its client has gone
                        future.set_result(done.get(item))
        finally:
            self._task = None
            for _, future in (*group, *self._waiting):  # only when the process ends there are any
                future.cancel()

    async def _commit(self, items: Sequence[Item]) -> dict[Item, tuple[Result, str | None]]:
        try:
            async with self._begin() as session:
                done = await self._work(session, items)
        except Exception as error:
            log.warning("group_left_to_each", requests=len(items), error=repr(error)[:300])
            return {}
        return {item: (result, consistency_token(session, keys)) for item, (result, keys) in done.items()}

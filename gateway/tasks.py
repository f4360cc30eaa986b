"""Tasks of this process that no one awaits."""

import asyncio
from collections.abc import Coroutine

from libs.common.runtime.logs import get_logger

log = get_logger(__name__)


class Tasks:
    """Keeps tasks from the garbage collector and logs their failures."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("gateway_task_failed", exc_info=task.exception())

    async def stop(self) -> None:
        """Cancel what still runs."""
        for task in list(self._tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

"""Work of catalog outside of requests: forgetting old answers."""

from libs.common.idempotency import forget_old
from libs.common.jobs import TaskRun, Tasks
from services.catalog.settings import Settings

TASKS = Tasks("catalog", Settings)


@TASKS.task(every=3600)
async def sweep_old(run: TaskRun) -> None:
    """Forget stored answers older than a day."""
    async with run.db.session() as session:
        await forget_old(session)

"""Tasks of forum."""

from libs.common.idempotency import forget_old
from libs.common.jobs import TaskRun, Tasks
from services.forum.privacy import PRIVACY
from services.forum.settings import Settings

TASKS = Tasks("forum", Settings)
PRIVACY.declare(TASKS)


@TASKS.task(every=3600)
async def sweep_old(run: TaskRun) -> None:
    """Forget answers to idempotent requests after a day."""
    async with run.db.session() as session:
        await forget_old(session)

"""Tasks of support."""

from libs.common.data.jobs import TaskRun, Tasks
from libs.common.web.idempotency import forget_old
from services.support.privacy import PRIVACY
from services.support.settings import Settings

TASKS = Tasks("support", Settings)
PRIVACY.declare(TASKS)


@TASKS.task(every=3600)
async def sweep_old(run: TaskRun) -> None:
    """Forget answers to idempotent requests after a day."""
    async with run.db.session() as session:
        await forget_old(session)

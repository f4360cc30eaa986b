"""Tasks of support."""

from libs.common.data.jobs import TaskRun, Tasks
from services.support import status
from services.support.privacy import PRIVACY
from services.support.settings import Settings

TASKS = Tasks("support", Settings)
PRIVACY.declare(TASKS)


@TASKS.task(every=60)
async def measure_status(run: TaskRun) -> None:
    """Ask the gateway how all parts are, and count it for the day."""
    settings: Settings = run.settings
    parts = await status.ask(settings.status_url)
    async with run.db.session() as session:
        await status.count(session, parts, run.clock())

"""Tasks of forum."""

from libs.common.data.jobs import TaskRun, Tasks
from services.forum.discussions.service import publish_states
from services.forum.privacy import PRIVACY
from services.forum.settings import Settings

TASKS = Tasks("forum", Settings)
PRIVACY.declare(TASKS)


@TASKS.task(every=60)
async def sweep_states(run: TaskRun) -> None:
    """Tell what each discussion is called that nobody has told yet."""
    settings: Settings = run.settings
    async with run.db.session() as session:
        await publish_states(session, settings.states_batch)

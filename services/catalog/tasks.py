"""Periodic tasks of catalog: publishing by plan, counting views, deleting what is no longer used."""

from libs.common.data.jobs import TaskRun, Tasks
from libs.common.files.storage import Storage
from services.catalog.content.uploads import delete_unused_files
from services.catalog.courses.service import publish_due
from services.catalog.courses.visits import count_views
from services.catalog.media.service import delete_unused_media
from services.catalog.media.uploads import drop_expired
from services.catalog.privacy import PRIVACY
from services.catalog.search.lexemes import refresh_lexemes
from services.catalog.settings import Settings
from services.catalog.thumbnails.service import delete_unused_thumbnails

TASKS = Tasks("catalog", Settings)
PRIVACY.declare(TASKS)


@TASKS.task(every=5)
async def sweep_publications(run: TaskRun) -> None:
    """Publish the courses whose planned time has come."""
    await publish_due(run.db, run.clock())


@TASKS.task(every=10)
async def sweep_views(run: TaskRun) -> None:
    """Add new views to the numbers of their courses."""
    async with run.db.session() as session:
        await count_views(session, run.clock().date())


@TASKS.task(every=60)
async def sweep_lexemes(run: TaskRun) -> None:
    """Rebuild the words with which misspelt searches are compared."""
    async with run.db.session() as session:
        await refresh_lexemes(session)


@TASKS.task(every=600)
async def sweep_media(run: TaskRun) -> None:
    """Delete expired uploads, then files that neither the library nor a lesson uses."""
    async with run.db.session() as session:
        await drop_expired(session, run.clock())
    await delete_unused_media(run.db, Storage(run.settings), run.clock())
    await delete_unused_files(run.db, Storage(run.settings), run.clock())


@TASKS.task(every=600)
async def sweep_thumbnails(run: TaskRun) -> None:
    """Delete thumbnails that no course uses."""
    await delete_unused_thumbnails(run.db, Storage(run.settings), run.clock())

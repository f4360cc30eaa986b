"""Export and erasure in analytics: nothing personal is here, and a rebuild still equals what is live."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.common.bus.inbox import apply_batch
from libs.common.events.identity import ErasureRequested
from libs.common.testing.harness import Harness, as_record
from libs.common.testing.privacy import answers_to, apply, erase, export, tables_with, tombstone
from services.analytics.models import Base
from services.analytics.privacy import PEOPLE
from services.analytics.read_models import TABLES
from services.analytics.rebuild import rebuild
from services.analytics.tests.conftest import Story, scalar

# Every table was looked at for what it holds of people. A new one is to be gathered and erased in privacy.py,
# or kept for a reason, and then named here.
DECIDED = {
    "event_log": "ids; states of an erased user lose language and time zone, names never come here",
    "live_projection": "nothing personal",
    "iceberg_tables": "names of files", "iceberg_namespace_properties": "nothing personal",
    "lake_months": "nothing personal", "lake_erasures": "ids, until the lake has followed",
    "processes": "nothing personal", "rebuilds": "the id of the administrator who asked",
    "exports": "what the person asked for goes, and the file", "privacy_parts": "ids only: the proof",
    "readers": "goes", "reports": "the person's go; they go from others' recipients",
    "report_runs": "they go from who got it", "report_files": "theirs alone go; others are of nobody",
    "report_letters": "the person's go",
    "outbox": "ids only", "key_progress": "ids only",
    "epochs": "nothing personal", "void_events": "ids only",
    "dead_letter": "parked states of the person become tombstones", "idempotency_keys": "the person's go",
}  # fmt: skip
WITHOUT_PEOPLE = {"courses", "quizzes"}


def test_every_table_is_decided():
    assert set(Base.metadata.tables) == set(DECIDED)
    assert set(TABLES.tables) == {table.name for table in PEOPLE} | WITHOUT_PEOPLE


async def learned(story: Story) -> UUID:
    """Somebody from Cairo who learns, asks and discusses."""
    ada, teacher, course = uuid4(), uuid4(), uuid4()
    story.user(ada, zone="Africa/Cairo")
    story.user(teacher, "teacher")
    lessons = story.course(course, teacher)
    enrollment = story.enrol(ada, course)
    story.lesson(enrollment, ada, course, lessons[:1], 4)
    story.quiz(ada, course, 80)
    story.study(ada, course, 600)
    story.discussion(ada, course)
    story.ticket(ada)
    await story.tell()
    return ada


async def test_an_export_holds_every_read_model(story: Story):
    ada = await learned(story)
    part = await export(story.service, ada)
    filled = {name for name, rows in part["data"].items() if rows}
    empty = {"submissions", "certificates", "replies", "media", "exports", "reports", "reports_received"}
    assert filled == set(part["data"]) - empty
    assert part["data"]["study"][0]["seconds"] == 600


@pytest.mark.parametrize("tombstone_first", [True, False])
async def test_an_erased_person_is_an_id_and_statistics_hold(story: Story, tombstone_first: bool):
    ada = await learned(story)
    assert await tables_with(story.service, "canary", "secret@") == set()
    assert await tables_with(story.service, "africa/cairo")
    await erase(story.service, ada, tombstone_first=tombstone_first)
    assert await tables_with(story.service, "africa/cairo") == set()
    assert await scalar(story.service, "SELECT count(*) FROM projection_1.users") == 1
    assert await scalar(story.service, "SELECT sum(seconds) FROM projection_1.study") == 600
    assert await scalar(story.service, "SELECT count(*) FROM projection_1.attempts") == 1


async def test_a_rebuild_after_an_erasure_equals_what_is_live_and_erases_nobody_again(story: Story):
    ada = await learned(story)
    await erase(story.service, ada)
    async with story.service.db.session() as session:
        await session.execute(text("DELETE FROM privacy_parts"))
    result = await rebuild(story.service.db, 50)
    assert result.differing == []
    assert await scalar(story.service, "SELECT count(*) FROM privacy_parts") == 0


async def test_one_batch_may_bring_states_tombstone_and_request_together(analytics: Harness, story: Story):
    ada = uuid4()
    story.user(ada)
    request = ErasureRequested(job=uuid4(), user=ada, user_version=2, actor=ada)
    records = [*story.records, tombstone(ada, 2), as_record(request, 1)]
    assert analytics.subscription is not None
    assert (await apply_batch(analytics.db, analytics.subscription, records)).parked == 0
    await apply(analytics, *records)
    assert [kind for kind, _ in await answers_to(analytics, request.job)] == ["analytics.person_erased.v1"]

"""Export and erasure in notify."""

from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.events import learning
from libs.common.testing.privacy import erase, export, tables_with
from services.notify.models import Base
from services.notify.tests.conftest import Scene, user_state

# Every table was looked at for what it holds of people. A new one is to be gathered and erased in privacy.py,
# or kept for a reason, and then named here.
DECIDED = {
    "notifications": "go, and the name from those of others", "inboxes": "goes", "people": "goes",
    "deliveries": "stay: ids and times, no address; what waits is ended",
    "course_titles": "nothing personal",
    "discussion_titles": "stay as the discussions do: a deleted one is gone",
    "privacy_parts": "ids only: the proof",
    "outbox": "ids only", "key_progress": "ids only",
    "epochs": "nothing personal", "void_events": "ids only", "processes": "nothing personal",
    "dead_letter": "parked states of the person become tombstones", "idempotency_keys": "the person's go",
}  # fmt: skip


def test_every_table_is_decided():
    assert set(Base.metadata.tables) == set(DECIDED)


async def tell_both(scene: Scene) -> None:
    """A notification for Ada and one for Eve, each with a mail that has not gone out yet."""
    for person in (scene.ada, scene.eve):
        await scene.service.deliver(
            learning.StudentEnrolled(enrollment=uuid4(), course=scene.course, student=person.uuid)
        )
    scene.service.queue.started.clear()


async def rows(scene: Scene, query: str) -> list[tuple]:
    async with scene.service.db.sessions() as session:
        return [tuple(row) for row in await session.execute(text(query))]


async def test_an_export_holds_notifications_and_mails(scene: Scene):
    await tell_both(scene)
    part = await export(scene.service, scene.ada.uuid)
    assert [(n["type"], n["course"]) for n in part["data"]["notifications"]] == [("enrollment", "Algebra")]
    assert [(m["kind"], m["status"]) for m in part["data"]["mails"]] == [("enrollment", "pending")]


@pytest.mark.parametrize("tombstone_first", [True, False])
async def test_an_erased_person_is_neither_named_nor_mailed(scene: Scene, tombstone_first: bool):
    await scene.service.deliver(user_state(scene.ada.uuid, "Canary"))
    await tell_both(scene)
    assert await tables_with(scene.service, "canary")
    await erase(scene.service, scene.ada.uuid, tombstone_first=tombstone_first)
    assert await tables_with(scene.service, "canary") == set()
    assert await rows(scene, 'SELECT "user" FROM notifications') == [(scene.eve.uuid,)]
    for uuid, version, status in await rows(scene, "SELECT recipient, version, status FROM deliveries"):
        assert (version, status) == ((2, "failed") if uuid == scene.ada.uuid else (1, "pending"))
    published = [kind for kind, _, _ in await scene.service.published()]
    assert published.count("notify.mail_failed.v1") == 1
    assert scene.mailbox.messages == []


async def test_a_late_fact_brings_nothing_back(scene: Scene):
    await erase(scene.service, scene.ada.uuid)
    await tell_both(scene)
    assert await rows(scene, 'SELECT "user" FROM notifications') == [(scene.eve.uuid,)]
    assert await rows(scene, "SELECT recipient FROM deliveries") == [(scene.eve.uuid,)]

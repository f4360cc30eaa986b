"""Mails: one per event and person, whatever is repeated or interrupted."""

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from libs.common.bus.inbox import apply_batch
from libs.common.events import learning
from libs.common.runtime.clock import system_clock
from libs.common.runtime.mail import unlinked
from libs.common.testing.harness import as_record
from services.notify.tests.conftest import Scene, user_state


async def enrol(scene: Scene, uuid=None) -> None:
    event = learning.StudentEnrolled(enrollment=uuid4(), course=scene.course, student=uuid or scene.ada.uuid)
    await apply_batch(scene.service.db, scene.service.subscription, [as_record(event, 1)])


async def statuses(scene: Scene) -> list[str]:
    async with scene.service.db.sessions() as session:
        return list(await session.scalars(text("SELECT status FROM deliveries ORDER BY created_at")))


async def sweep(scene: Scene, **later: float) -> None:
    moment = system_clock() + timedelta(**later)
    await scene.service.run_task("notify.sweep_deliveries", clock=lambda: moment)
    await scene.service.run_tasks()


async def test_a_mail_carries_the_request_id_and_both_forms(scene: Scene):
    await enrol(scene)
    await scene.service.run_tasks()
    (message,) = scene.mailbox.messages
    assert message["To"] == "Ada L <ada@lectern.example>"
    assert message["Subject"] == "You are enrolled: Algebra"
    assert message["X-Request-ID"] == "test-1"
    assert "Algebra" in message.get_body(("html",)).get_content()
    assert await statuses(scene) == ["sent"]
    kinds = [kind for kind, _, _ in await scene.service.published()]
    assert kinds == ["notify.mail_queued.v1", "notify.mail_sent.v1"]


async def test_a_task_that_runs_twice_mails_once(scene: Scene):
    await enrol(scene)
    scene.service.queue.started *= 3
    await scene.service.run_tasks()
    assert len(scene.mailbox.messages) == 1


async def test_a_lost_task_is_swept(scene: Scene):
    await enrol(scene)
    scene.service.queue.started.clear()
    await sweep(scene, seconds=5)
    assert scene.mailbox.messages == []
    await sweep(scene, seconds=30)
    assert len(scene.mailbox.messages) == 1
    await sweep(scene, seconds=90)
    assert len(scene.mailbox.messages) == 1


async def test_a_refused_mail_is_tried_again_and_given_up_after_a_day(scene: Scene):
    scene.mailbox.refuse = True
    await enrol(scene)
    await scene.service.run_tasks()
    assert await statuses(scene) == ["pending"]
    await sweep(scene, hours=25)
    assert await statuses(scene) == ["failed"]
    scene.mailbox.refuse = False
    await enrol(scene)
    scene.mailbox.refuse = True
    await scene.service.run_tasks()
    scene.mailbox.refuse = False
    await sweep(scene, seconds=40)
    assert await statuses(scene) == ["failed", "sent"]


async def test_what_may_have_gone_out_is_not_sent_again(scene: Scene):
    await enrol(scene)
    scene.service.queue.started.clear()
    async with (
        scene.service.db.session() as session
    ):  # as a worker leaves it that is killed at the wrong moment
        await session.execute(text("UPDATE deliveries SET status = 'sending', tried_at = now()"))
    await sweep(scene, minutes=5)
    assert scene.mailbox.messages == []
    assert await statuses(scene) == ["failed"]


async def test_a_mail_waits_for_its_reader_to_be_known(scene: Scene):
    uuid = uuid4()
    await enrol(scene, uuid)
    await scene.service.run_tasks()
    assert scene.mailbox.messages == []
    await scene.service.deliver(user_state(uuid, "Late"))
    await sweep(scene, seconds=40)
    assert scene.mailbox.messages[0]["To"] == "Late L <late@lectern.example>"


async def test_titles_cannot_smuggle_headers(scene: Scene):
    async with scene.service.db.session() as session:
        await session.execute(text("UPDATE course_titles SET title = E'X\\r\\nBcc: eve@lectern.example'"))
    await enrol(scene)
    await scene.service.run_tasks()
    (message,) = scene.mailbox.messages
    assert message["Bcc"] is None
    assert message["Subject"] == "You are enrolled: " + unlinked("X Bcc: eve@lectern.example")

"""Who is told: nobody who is locked out, has left, or is of the staff no longer; and no mail makes links."""

import re
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.events import forum, learning, support
from libs.common.tests.test_addresses import LINK
from services.notify.tests.conftest import Scene, course_state, user_state


async def told(scene: Scene) -> int:
    async with scene.service.db.sessions() as session:
        return await session.scalar(text("SELECT count(*) FROM notifications"))


async def test_who_is_disabled_gets_neither_notification_nor_mail(scene: Scene):
    enrolled: Any = learning.StudentEnrolled(enrollment=uuid4(), course=scene.course, student=scene.ada.uuid)
    await scene.service.deliver(enrolled)
    gone = user_state(scene.ada.uuid, "Ada").model_copy(update={"is_active": False})
    await scene.service.deliver(gone)  # before the mail has gone out
    await scene.service.run_tasks()
    await scene.service.deliver(enrolled.model_copy(update={"enrollment": uuid4()}))
    await scene.service.run_tasks()
    assert scene.mailbox.messages == []
    assert await told(scene) == 1
    async with scene.service.db.sessions() as session:
        assert list(await session.scalars(text("SELECT status FROM deliveries"))) == ["failed"]


def posted(scene: Scene, **fields: Any) -> forum.ReplyPosted:
    values: dict[str, Any] = dict(
        reply=uuid4(), discussion=uuid4(), forum=uuid4(), course=scene.course, author=scene.eve.uuid,
        discussion_author=scene.ada.uuid, parent=None, parent_author=None, is_chat=False,
        is_instructor_reply=False, mentions=(),
    )  # fmt: skip
    return forum.ReplyPosted(**values | fields)


async def test_who_has_left_a_course_hears_nothing_of_its_forum(scene: Scene):
    await scene.service.deliver(posted(scene, readers=()))
    assert await told(scene) == 0
    await scene.service.deliver(posted(scene, readers=(scene.ada.uuid,)))
    await scene.service.deliver(posted(scene))  # a fact from before it was said
    assert await told(scene) == 2


async def test_an_answer_to_a_ticket_is_not_told_to_who_is_of_the_staff_no_longer(scene: Scene):
    answered = support.TicketAnswered(
        ticket=uuid4(), number="T-1", requester=scene.ada.uuid, assigned_to=scene.eve.uuid, course=None,
        category="x", priority="low", status="open", actor=scene.ada.uuid, message=uuid4(),
        author=scene.ada.uuid, is_internal=False, by_staff=False, is_first_response=False,
    )  # fmt: skip
    await scene.service.deliver(answered)
    assert await told(scene) == 0
    await scene.service.deliver(user_state(scene.eve.uuid, "Eve").model_copy(update={"role": "moderator"}))
    await scene.service.deliver(answered.model_copy(update={"ticket": uuid4()}))
    assert await told(scene) == 1


@pytest.mark.promise("injection")
@pytest.mark.parametrize(
    "title", ["evil.com/login", "http://evil.com", "www.evil.com", "x@evil.com", "evil。com"]
)
async def test_no_mail_makes_a_link_of_a_name_or_a_title(scene: Scene, title: str):
    person = user_state(scene.ada.uuid, "Ada").model_copy(update={"first_name": title, "full_name": title})
    await scene.service.deliver(person, course_state(scene.course, title))
    await scene.service.deliver(
        learning.StudentEnrolled(enrollment=uuid4(), course=scene.course, student=scene.ada.uuid)
    )
    await scene.service.run_tasks()
    (message,) = scene.mailbox.messages
    own = f"{scene.service.settings.public_url}/api/courses/{scene.course}/"
    for kind in ("plain", "html"):
        content = message.get_body((kind,)).get_content().replace(own, "")
        shown = content if kind == "plain" else " ".join(re.split(r"<[^>]*>", content))
        assert not LINK.search(shown), shown
    assert not LINK.search(message["Subject"])
    assert not LINK.search(message["To"].addresses[0].display_name)

"""What other services tell forum, and what it makes of it."""

from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Record
from libs.common.testing.harness import Harness, as_record
from services.forum.consumers import HANDLERS
from services.forum.tests.conftest import course_state, enrollment_state, kinds, user_state


async def test_every_course_gets_one_forum(forum: Harness):
    first, second, teacher = uuid4(), uuid4(), uuid4()
    records = [
        as_record(course_state(first, teacher), 1),
        as_record(course_state(second, teacher, "Draft", status="draft"), 1),
        as_record(course_state(first, teacher, "Light"), 2),
    ]
    await apply_batch(forum.db, forum.subscription, records)
    await apply_batch(forum.db, forum.subscription, records)
    await forum.deliver(course_state(first, teacher, "Waves"))
    assert await kinds(forum) == ["forum_created", "forum_created"]
    async with forum.db.session() as session:
        found = set(await session.scalars(text("SELECT course FROM forums")))
        headers = await session.scalars(text("SELECT headers ->> 'x-request-id' FROM outbox"))
        assert set(headers) <= {"test-1", "test-2"}
    assert found == {first, second}


@pytest.mark.parametrize("kind", [cls.type for cls in HANDLERS if cls.state])
async def test_a_replayed_state_has_one_effect(forum: Harness, kind: str):
    uuid = uuid4()
    event = {
        "identity.user.v1": lambda: user_state(uuid, "Ada"),
        "catalog.course.v1": lambda: course_state(uuid, uuid4()),
        "learning.enrollment.v1": lambda: enrollment_state(uuid4(), uuid4(), uuid=uuid),
    }[kind]()
    record = as_record(event, 1)
    first = await apply_batch(forum.db, forum.subscription, [record, record])
    again = await apply_batch(forum.db, forum.subscription, [record])
    assert (first.applied, first.duplicates) == (1, 1)
    assert (again.applied, again.duplicates, again.parked) == (0, 1, 0)
    table = {"identity.users": "people", "catalog.courses": "courses", "learning.enrollments": "enrollments"}
    async with forum.db.session() as session:
        assert await session.scalar(text(f"SELECT count(*) FROM {table[event.topic]}")) == 1
    gone = Record(record.topic, record.key, None, record.headers | {"ce_sequence": "2"})
    await apply_batch(forum.db, forum.subscription, [gone])
    async with forum.db.session() as session:
        assert await session.scalar(text(f"SELECT count(*) FROM {table[event.topic]}")) == 0

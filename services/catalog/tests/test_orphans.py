"""Objects that nothing used for a while and something uses again: they stay, and get their hour anew."""

from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from uuid import uuid4

import pytest
from PIL import Image
from sqlalchemy import text

from libs.common.files.storage import Storage
from libs.common.runtime.clock import SettableClock
from libs.common.testing.harness import Harness, Person
from services.catalog.errors import ObjectExpired
from services.catalog.models import LessonObject
from services.catalog.objects import claim_object, register_object
from services.catalog.tests.conftest import PDF, School, ok


@dataclass
class Shop:
    """A course with a thumbnail and a lesson's file, the sweeps, and their clock."""

    catalog: Harness
    clock: SettableClock
    course: dict
    lesson: str

    async def sweep(self, **later: float) -> None:
        self.clock.advance(**later)
        for task in ("thumbnails", "media"):
            await self.catalog.run_task(f"catalog.sweep_{task}", clock=self.clock)

    async def objects(self) -> set[str]:
        """What the course needs and storage has."""
        storage = Storage(self.catalog.settings)
        there = set(await storage.list_folder(""))
        wanted = {self.course["thumbnail"].split("/media/catalog/")[1]}
        async with self.catalog.db.sessions() as session:
            query = "SELECT file->>'path' FROM lessons WHERE uuid = :u"
            wanted.add(await session.scalar(text(query), {"u": self.lesson}))
        return wanted & there

    async def ledger(self) -> list[tuple[bool, bool]]:
        """Of each object of the ledgers, whether it is unused, and condemned."""
        query = (
            "SELECT unused_since IS NOT NULL, condemned_at IS NOT NULL FROM thumbnails UNION ALL"
            " SELECT unused_since IS NOT NULL, condemned_at IS NOT NULL FROM lesson_objects"
        )
        async with self.catalog.db.sessions() as session:
            return [(unused, condemned) for unused, condemned in await session.execute(text(query))]


def picture() -> bytes:
    out = BytesIO()
    Image.new("RGB", (640, 360), "teal").save(out, "JPEG")
    return out.getvalue()


async def show_picture(teacher: Person, course: dict) -> dict:
    files = {"thumbnail": ("photo.jpg", picture(), "image/jpeg")}
    return ok(await teacher.client.post(f"/api/courses/{course['uuid']}/upload-image/", files=files))


@pytest.fixture
async def shop(catalog: Harness, school: School, teacher: Person) -> Shop:
    course = await school.course(teacher)
    lesson = await school.lesson(teacher, await school.module(teacher, course), content_type="pdf")
    path = f"/api/courses/{course['uuid']}/lessons/{lesson['uuid']}/upload/"
    ok(await teacher.client.post(path, files={"file": ("a.pdf", PDF)}))
    course = await show_picture(teacher, course)
    return Shop(catalog, SettableClock(datetime.now(UTC)), course, lesson["uuid"])


async def delete_and_forget(shop: Shop, teacher: Person) -> None:
    """The course is deleted for so long that a sweep finds its files unused: thirty days."""
    gone = ok(await teacher.client.delete(f"/api/courses/{shop.course['uuid']}/"))
    assert gone["status"] == "deleted"
    await shop.sweep(days=29)
    assert await shop.ledger() == [(False, False), (False, False)]
    await shop.sweep(days=2)
    assert await shop.ledger() == [(True, False), (True, False)]


async def test_files_of_a_course_that_comes_back_within_the_hour_stay(
    shop: Shop, school: School, teacher: Person, student: Person
):
    await delete_and_forget(shop, teacher)
    await school.enroll(shop.course, student)
    await shop.sweep(minutes=61)
    await shop.sweep(minutes=61)
    assert len(await shop.objects()) == 2
    assert await shop.ledger() == [(False, False), (False, False)]


async def test_files_of_a_course_that_nobody_brings_back_go_after_the_hour(shop: Shop, teacher: Person):
    await delete_and_forget(shop, teacher)
    await shop.sweep(minutes=59)
    assert len(await shop.objects()) == 2
    await shop.sweep(minutes=2)
    assert await shop.objects() == set()
    assert await shop.ledger() == []


async def test_what_a_killed_sweep_condemned_stays_when_the_course_comes_back(
    shop: Shop, school: School, teacher: Person, student: Person, monkeypatch: pytest.MonkeyPatch
):
    await delete_and_forget(shop, teacher)

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", killed)
        for task in ("thumbnails", "media"):
            shop.clock.advance(minutes=61)
            with pytest.raises(KeyboardInterrupt):
                await shop.catalog.run_task(f"catalog.sweep_{task}", clock=shop.clock)
    assert await shop.ledger() == [(True, True), (True, True)]
    await school.enroll(shop.course, student)
    for _ in range(3):
        await shop.sweep(minutes=61)
    assert len(await shop.objects()) == 2
    assert await shop.ledger() == [(False, False), (False, False)]


async def test_a_picture_that_was_used_again_has_its_hour_when_it_is_replaced(
    shop: Shop, school: School, teacher: Person, student: Person
):
    await delete_and_forget(shop, teacher)
    await school.enroll(shop.course, student)
    await shop.sweep(minutes=30)
    await show_picture(teacher, shop.course)
    await shop.sweep(minutes=45)
    assert len(await shop.objects()) == 2
    await shop.sweep(minutes=59)
    assert len(await shop.objects()) == 2
    await shop.sweep(minutes=2)
    assert len(await shop.objects()) == 1


async def test_what_was_claimed_has_its_hour_anew(shop: Shop):
    storage = Storage(shop.catalog.settings)
    path = f"lessons/{uuid4()}/{uuid4()}"
    await register_object(shop.catalog.db, LessonObject(path=path, owner=uuid4(), size=0))
    await storage.put_bytes(path, PDF)
    await shop.sweep()
    async with shop.catalog.db.session() as session:
        await claim_object(session, LessonObject, path)
    await shop.sweep(minutes=45)  # it was replaced at once
    await shop.sweep(minutes=45)
    assert path in await storage.list_folder("lessons")
    await shop.sweep(minutes=16)
    assert path not in await storage.list_folder("lessons")
    async with shop.catalog.db.session() as session:
        with pytest.raises(ObjectExpired):
            await claim_object(session, LessonObject, path)

"""Mails with reports: what analytics has written, once, to those who may still be written to."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import text

from libs.common.events.analytics import ReportRecipient, ReportWritten
from libs.common.files.letters import Enclosure, Letter, letter_storage, path_of, put_content, put_letter
from libs.common.testing.states import user_state
from services.notify.tests.conftest import Scene

PNG = b"\x89PNG\r\n\x1a\n"
LETTER = Letter(
    "Weekly <numbers> from evil.example/login",
    "en",
    '<div><h1>Weekly</h1><img src="cid:chart-1@lectern"></div>',
    "Algebra: 6\n",
    [Enclosure("chart-1@lectern", "image/png", PNG)],
    Enclosure("lectern-2026-11-30.csv", "text/csv; charset=utf-8", b"courses.title,count\r\n"),
)


async def ready(scene: Scene, letter: Letter, *readers: UUID, link: str | None = None) -> list[UUID]:
    """Write a letter for each reader, and let notify hear of them; the ids of the letters."""
    storage = letter_storage(scene.service.settings)
    path, letters = f"reports/{uuid4()}/{uuid4()}", [uuid4() for _ in readers]
    await put_content(storage, path, letter)
    for each in letters:
        await put_letter(storage, each, path, link)
    event = ReportWritten(
        run=uuid4(), report=uuid4(), owner=uuid4(), format="csv", as_of=datetime.now(UTC),
        recipients=tuple(ReportRecipient(user=u, letter=n) for u, n in zip(readers, letters, strict=True)),
    )  # fmt: skip
    for _ in range(2):
        await scene.service.deliver((event, 1))
    return letters


async def test_a_report_is_mailed_with_its_pictures_and_its_file(scene: Scene):
    await ready(scene, LETTER, scene.ada.uuid)
    scene.service.queue.started *= 3
    await scene.service.run_tasks()
    (message,) = scene.mailbox.messages
    assert message["Subject"].replace("\u2060", "") == "Weekly <numbers> from evil.example/login"
    assert "evil.example/login" not in message["Subject"]
    plain, page = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert plain.startswith("Hello Ada,")
    assert "Algebra: 6" in plain
    assert "<numbers>" not in page
    assert '<img src="cid:chart-1@lectern">' in page
    parts = {part.get_content_type(): part for part in message.walk()}
    assert parts["image/png"]["Content-ID"] == "<chart-1@lectern>"
    assert parts["image/png"].get_content() == PNG
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "lectern-2026-11-30.csv"
    assert attached.get_content() == "courses.title,count\r\n"
    (row,) = (await scene.ada.client.get("/api/core/notifications/")).json()["results"]
    assert (row["notification_type"], row["title"]) == ("system", "A report is ready")


async def test_in_arabic_from_right_to_left_with_a_link(scene: Scene):
    letter = replace(LETTER, language="ar", title="التقرير", attachment=None)
    link = "https://lectern.example/media/analytics/reports/x.csv?of=report:1&signature=a"
    await ready(scene, letter, scene.ada.uuid, link=link)
    await scene.service.run_tasks()
    (message,) = scene.mailbox.messages
    page = message.get_body(("html",)).get_content()
    assert '<html lang="ar" dir="rtl">' in page
    assert "إليك التقرير" in page
    assert f'href="{link.replace("&", "&amp;")}"' in page
    assert link in message.get_body(("plain",)).get_content()
    assert list(message.iter_attachments()) == []


async def test_who_is_locked_or_whose_letter_is_gone_gets_none(scene: Scene):
    (letter,) = await ready(scene, LETTER, scene.ada.uuid)
    await letter_storage(scene.service.settings).delete(path_of(letter))
    await scene.service.run_tasks()
    await scene.service.deliver(user_state(scene.ada.uuid, "Ada L", is_active=False))
    await ready(scene, LETTER, scene.ada.uuid)
    await scene.service.run_tasks()
    assert scene.mailbox.messages == []
    async with scene.service.db.sessions() as session:
        assert (await session.scalars(text("SELECT status FROM deliveries"))).all() == ["failed"]

import asyncio
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from deploy.local.mail import Mailbox, make_app
from deploy.local.project import free_ports


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path, most=3)


@pytest.fixture
async def web(mailbox: Mailbox) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app(mailbox))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8025") as client:
        yield client


def letter(subject: str = "Your code", html: str = "<b>123456</b>") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Lectern <no-reply@lectern.example>"
    message["To"] = "Sami <sami@lectern.example>"
    message["Subject"] = subject
    message["X-Request-ID"] = "req-1"
    message.set_content("Your code is 123456. Grüße!")
    message.add_alternative(html, subtype="html")
    return message


async def test_a_mail_sent_by_smtp_is_listed_newest_first(mailbox: Mailbox, web: httpx.AsyncClient):
    (port,) = free_ports(1)
    app = make_app(mailbox, port)
    async with app.router.lifespan_context(app):
        for subject in ("first", "sécond"):
            await aiosmtplib.send(letter(subject), hostname="127.0.0.1", port=port, start_tls=False)
    newest, oldest = (await web.get("/api/messages")).json()
    assert (newest["subject"], oldest["subject"]) == ("sécond", "first")
    assert set(newest) == {"id", "from", "to", "subject", "text", "html", "received_at"}
    assert newest["from"] == "Lectern <no-reply@lectern.example>"
    assert newest["to"] == "sami@lectern.example"
    assert newest["text"].strip() == "Your code is 123456. Grüße!"
    assert newest["html"].strip() == "<b>123456</b>"
    assert newest["received_at"].endswith("Z")


async def test_the_raw_message_keeps_every_header(mailbox: Mailbox, web: httpx.AsyncClient):
    mail = mailbox.add(letter().as_bytes(), ["sami@lectern.example"])
    assert "X-Request-ID: req-1" in (await web.get(f"/api/messages/{mail.id}/raw")).text
    assert (await web.get("/api/messages/unknown/raw")).status_code == 404


async def test_delete_empties_the_mailbox(mailbox: Mailbox, web: httpx.AsyncClient):
    mailbox.add(letter().as_bytes(), ["sami@lectern.example"])
    assert (await web.delete("/api/messages")).json() == {"deleted": 1}
    assert (await web.get("/api/messages")).json() == []
    assert list(mailbox.directory.iterdir()) == []


async def test_the_oldest_goes_when_the_box_is_full_and_the_rest_survives_a_restart(mailbox: Mailbox):
    for number in range(5):
        mailbox.add(letter(f"mail {number}").as_bytes(), ["a@lectern.example"])
    reopened = Mailbox(mailbox.directory, most=3)
    assert [mail.subject for mail in reopened.newest_first()] == ["mail 4", "mail 3", "mail 2"]


async def test_the_page_shows_foreign_html_in_a_sandbox_and_loads_nothing_from_outside(
    web: httpx.AsyncClient,
):
    page = await web.get("/")
    assert 'setAttribute("sandbox", "")' in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_another_host_name_is_refused(web: httpx.AsyncClient):
    answer = await web.get("/api/messages", headers={"Host": "evil.example"})
    assert answer.status_code == 400


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe\x00", b"Content-Type: text/plain; charset=nope\r\n\r\nhi"])
async def test_a_malformed_mail_is_kept_all_the_same(mailbox: Mailbox, raw: bytes):
    await asyncio.to_thread(mailbox.add, raw, ["a@lectern.example"])
    assert len(mailbox.messages) == 1

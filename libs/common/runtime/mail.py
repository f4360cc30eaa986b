"""Sending one mail over SMTP. Which mail goes to whom is decided, and written down, by the services."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate, make_msgid, parseaddr
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from libs.common.runtime import metrics
from libs.common.runtime.addresses import address
from libs.common.runtime.settings import SuiteSettings
from libs.common.runtime.telemetry import span
from libs.common.runtime.trace import current_trace

TIMEOUT = 10.0


class MailUncertain(Exception):
    """The connection was lost after the text was handed over: it may have gone out, or not."""


class Unmailable(aiosmtplib.SMTPException):
    """No mail server takes this address."""


class Enclosed(Protocol):
    """A file in a mail; `kind` is its media type."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def data(self) -> bytes: ...


_LINKING = re.compile(r"(?<=\S)([.。．｡:/@\\])(?=\S)")


def unlinked(text: str) -> str:
    """What somebody wrote, for a mail to others: it looks as it was written, and nothing makes a link of it.

    Mail programs make links of anything like `evil.example/login`; a word joiner, which takes no room, on
    both sides of each sign that holds such a thing together leaves none. For text, HTML and subject.
    """
    return _LINKING.sub("\u2060\\1\u2060", text)


def _line(text: str) -> str:
    """One header line: CR and LF would begin a header of somebody else's choosing."""
    return " ".join(text.split())


def _client(settings: SuiteSettings) -> aiosmtplib.SMTP:
    url = urlsplit(settings.smtp_url)
    return aiosmtplib.SMTP(
        hostname=url.hostname,
        port=url.port or (465 if url.scheme == "smtps" else 25),
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        use_tls=url.scheme == "smtps",
        start_tls=False if url.scheme == "smtp" and url.hostname in ("127.0.0.1", "localhost") else None,
        timeout=TIMEOUT,
    )


async def send_mail(
    settings: SuiteSettings,
    *,
    to: str,
    name: str,
    subject: str,
    text: str,
    html: str,
    message_id: str | None = None,
    headers: dict[str, str] | None = None,
    pictures: Sequence[Enclosed] = (),
    attachments: Sequence[Enclosed] = (),
    before_data: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Send text and HTML to one address.

    Raises aiosmtplib.SMTPException or OSError when it certainly did not go out, MailUncertain when nobody can
    tell. `before_data` runs when the server has taken sender and recipient, just before the text: who must
    not send twice writes that down there. `message_id` (unique part) makes a repeated sending recognisable.
    The request id travels along. `pictures` are those that the HTML shows as `cid:<name>`.
    """
    sender_name, sender = parseaddr(settings.mail_from)
    try:
        to = address(to)
    except ValueError as error:
        raise Unmailable(str(error)) from error
    user, _, domain = to.rpartition("@")
    message = EmailMessage()
    message["From"] = Address(_line(sender_name), addr_spec=sender)
    message["To"] = Address(_line(unlinked(name)), username=user, domain=domain)
    message["Subject"] = _line(subject)
    message["Date"] = formatdate(localtime=False)
    host = sender.rpartition("@")[2]
    message["Message-ID"] = f"<{message_id}@{host}>" if message_id else make_msgid(domain=host)
    message["X-Request-ID"] = _line(current_trace().request_id)
    for header, value in (headers or {}).items():
        message[header] = _line(value)
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    _enclose(message, pictures, attachments)
    began = time.perf_counter()
    try:
        with span("send mail", "client", {"network.protocol.name": "smtp"}):
            await _hand_over(_client(settings), sender, to, message, before_data)
    except MailUncertain:
        metrics.MAILS.labels("uncertain").inc()
        raise
    except (aiosmtplib.SMTPException, OSError):
        metrics.MAILS.labels("refused").inc()
        raise
    metrics.MAILS.labels("sent").inc()
    metrics.MAIL_SECONDS.observe(time.perf_counter() - began)


def _enclose(message: EmailMessage, pictures: Sequence[Enclosed], attachments: Sequence[Enclosed]) -> None:
    html = message.get_body(("html",))
    assert isinstance(html, EmailMessage)
    for each in pictures:
        main, _, sub = each.kind.partition("/")
        html.add_related(each.data, main, sub, cid=f"<{each.name}>", disposition="inline")
    for each in attachments:
        main, _, sub = each.kind.partition(";")[0].partition("/")
        message.add_attachment(each.data, main, sub, filename=_line(each.name))


async def _hand_over(
    client: aiosmtplib.SMTP,
    sender: str,
    to: str,
    message: EmailMessage,
    before_data: Callable[[], Awaitable[None]] | None,
) -> None:
    try:
        await client.connect()
        await client.mail(sender)
        await client.rcpt(to)
        if before_data is not None:
            await before_data()
        try:
            await client.data(message.as_bytes(policy=SMTP_POLICY))
        except aiosmtplib.SMTPResponseException:
            raise
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUncertain(repr(error)) from error
    finally:
        client.close()  # without QUIT: what happens after the text was taken is no failure to send

"""The mail catcher: an SMTP server that delivers to nobody, and a web view.

`GET /api/messages` newest first, `DELETE /api/messages`, `GET /api/messages/{id}/raw`, a page at `/`. Mail is
kept in one file a message, so that it survives a restart; the oldest beyond `MOST` go.
"""

import asyncio
import json
import os
import signal
import sys
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

MOST = 5_000
MOST_BYTES = 25_000_000
_PAGE = Path(__file__).with_name("mail.html")
# The page shows foreign HTML in a sandboxed frame; nothing of it may run or be loaded.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Mail:
    """`to` holds the envelope's recipients, comma separated: also those that no header names."""

    id: str
    sender: str
    to: str
    subject: str
    text: str
    html: str
    received_at: str

    def as_json(self) -> dict[str, str]:
        values = asdict(self)
        values["from"] = values.pop("sender")
        return values


class Mailbox:
    """All mail in the order it came; `<id>.json` and `<id>.eml` for each, under `directory`."""

    def __init__(self, directory: Path, most: int = MOST) -> None:
        self.directory = directory
        self.most = most
        self.messages: OrderedDict[str, Mail] = OrderedDict()
        directory.mkdir(parents=True, exist_ok=True)
        kept = []
        for path in directory.glob("*.json"):
            try:
                kept.append(Mail(**json.loads(path.read_text())))
            except (ValueError, TypeError):  # cut off by a crash
                path.unlink()
        for mail in sorted(kept, key=lambda mail: mail.received_at):
            self.messages[mail.id] = mail

    def add(self, raw: bytes, recipients: list[str]) -> Mail:
        parsed = BytesParser(policy=policy.default).parsebytes(raw)
        mail = Mail(
            id=str(uuid.uuid4()),
            sender=_header(parsed, "from"),
            to=", ".join(recipients),
            subject=_header(parsed, "subject"),
            text=_body(parsed, "plain"),
            html=_body(parsed, "html"),
            received_at=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        )
        self.raw(mail.id).write_bytes(raw)
        (self.directory / f"{mail.id}.json").write_text(json.dumps(asdict(mail)))
        self.messages[mail.id] = mail
        while len(self.messages) > self.most:
            self._forget(next(iter(self.messages)))
        return mail

    def newest_first(self) -> list[Mail]:
        return list(reversed(self.messages.values()))

    def raw(self, identifier: str) -> Path:
        return self.directory / f"{identifier}.eml"

    def clear(self) -> int:
        count = len(self.messages)
        for identifier in list(self.messages):
            self._forget(identifier)
        return count

    def _forget(self, identifier: str) -> None:
        del self.messages[identifier]
        self.raw(identifier).unlink(missing_ok=True)
        (self.directory / f"{identifier}.json").unlink(missing_ok=True)


class Catcher:
    """What aiosmtpd calls for each message."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:
        content = envelope.content
        raw = content if isinstance(content, bytes) else (content or "").encode()
        self.mailbox.add(raw, list(envelope.rcpt_tos))
        return "250 Message accepted"


def make_app(mailbox: Mailbox, smtp_port: int | None = None) -> Starlette:
    """The web view; with `smtp_port` the SMTP server lives and dies with it."""

    async def page(_: Request) -> Response:
        return FileResponse(_PAGE, media_type="text/html", headers={"Content-Security-Policy": _POLICY})

    async def messages(_: Request) -> Response:
        return JSONResponse([mail.as_json() for mail in mailbox.newest_first()])

    async def clear(_: Request) -> Response:
        return JSONResponse({"deleted": mailbox.clear()})

    async def raw(request: Request) -> Response:
        identifier = request.path_params["id"]
        if identifier not in mailbox.messages:
            return JSONResponse({"detail": "There is no such message."}, status_code=404)
        return Response(mailbox.raw(identifier).read_bytes(), media_type="text/plain; charset=utf-8")

    async def ready(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if smtp_port is None:
            yield
            return
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _smtp(mailbox), "127.0.0.1", smtp_port)
        async with server:
            yield

    routes = [
        Route("/", page),
        Route("/api/messages", messages, methods=["GET"]),
        Route("/api/messages", clear, methods=["DELETE"]),
        Route("/api/messages/{id:str}/raw", raw),
        Route("/livez", ready),
        Route("/readyz", ready),
    ]
    # Mail holds codes: a page of another name that resolves to this address must not read it.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False)
    return Starlette(routes=routes, middleware=[hosts], lifespan=lifespan)


def _smtp(mailbox: Mailbox) -> Any:
    return SMTP(Catcher(mailbox), data_size_limit=MOST_BYTES, enable_SMTPUTF8=True, ident="Lectern")


def _header(message: EmailMessage, name: str) -> str:
    return str(message.get(name, ""))


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except LookupError:  # a charset nobody knows
        payload = part.get_payload(decode=True)
        return payload.decode(errors="replace") if isinstance(payload, bytes) else ""


def main() -> None:
    if os.environ.get("LECTERN_ENVIRONMENT") == "production":
        sys.exit("The mail catcher shows everybody's mail and does not run in production.")
    mailbox = Mailbox(Path(os.environ["LECTERN_DIRECTORY"]) / "mail")
    app = make_app(mailbox, int(os.environ["LECTERN_PORT_SMTP"]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["LECTERN_PORT_MAIL"]),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()

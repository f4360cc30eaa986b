"""`Idempotency-Key`: the answer is stored in the transaction of the effect and given again, byte for byte.

A replay passes the same check of the token as the first request (signature, expiry, ended sessions), and
shows the caller's own answer to the caller alone. The role belongs to what is compared: who has another one
meanwhile is not shown what the former one saw, and does not do it twice.

For signed-in callers on POST, PUT, PATCH and DELETE. The same key with another request is a 422, one whose
first request is still in flight a 409, after a moment in which it may end: a gateway repeats what a process
that died had in hand, and PostgreSQL learns of that death a little later.

Only 2xx answers are stored: a refused request had no effect. Sessions and credentials (`exempt` paths) are
left out, so that no token is ever stored. So are bodies above `limit`, uploads all of them: whether one is
the same as before is known only once it has arrived, and until then it would have to be kept in memory, or
the transaction open for as long as a slow client takes.
"""

import asyncio
import hashlib
import re
from collections.abc import Collection
from typing import Any

from fastapi import Request
from sqlalchemy import LargeBinary, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.data.db import Database
from libs.common.data.outbox import consistency_token
from libs.common.runtime.errors import BadRequest, Conflict, Unprocessable
from libs.common.security.auth import check_token
from libs.common.web.middleware import again

KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")
METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
BOUNDARY = re.compile(r'multipart/form-data;.*\bboundary="?([^\s";,]{1,70})', re.IGNORECASE)
KEPT_HEADERS = ("content-type", "etag", "location")
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between looks at a key that another request holds; no connection is held meanwhile."""


class IdempotencyKeyReused(Unprocessable):
    code = "idempotency_key_reused"
    detail = "This was sent before with other content, and nothing was done now."


class RequestInFlight(Conflict):
    code = "request_in_flight"
    detail = "The same request was sent before and is still being answered."


class Idempotency:
    """Innermost middleware: owns the transaction of a request that carries a key."""

    def __init__(self, app: ASGIApp, db: Database, limit: int, exempt: Collection[str] = ()) -> None:
        self.app = app
        self.db = db
        self.limit = limit
        self.exempt = frozenset(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in METHODS:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = headers.get("idempotency-key")
        if key is None or scope["path"] in self.exempt:
            await self.app(scope, receive, send)
            return
        who = await check_token(Request(scope))
        if who is None:
            await self.app(scope, receive, send)
            return
        if not KEY.match(key):
            raise BadRequest("Idempotency-Key takes 1 to 255 visible ASCII characters.")
        first = await self._read(receive)
        receive = again(first, receive)
        if len(first["body"]) > self.limit:  # the route has a limit of its own
            await self.app(scope, receive, send)
            return
        body = _without_boundary(first["body"], headers.get("content-type", ""))
        path = f"{who.role} {scope['method']} {scope['path']}?{scope['query_string'].decode('latin-1')}"
        request_hash = hashlib.sha256(path.encode() + b"\0" + body).digest()
        await self._once(scope, receive, send, str(who.user), key, request_hash)

    async def _read(self, receive: Receive) -> Message:
        """The body as one message; of one that passes the limit, the beginning."""
        body, more = bytearray(), True
        while more and len(body) <= self.limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("The body ended early.")
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return {"type": "http.request", "body": bytes(body), "more_body": more}

    async def _once(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        principal: str,
        key: str,
        request_hash: bytes,
    ) -> None:
        start: Message = {}
        answer = bytearray()

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                answer.extend(message.get("body", b""))

        async with self.db.sessions() as session:
            await _hold(session, principal, key)
            stored = await _find(session, principal, key)
            if stored is not None:
                if bytes(stored.request_hash) != request_hash:
                    raise IdempotencyKeyReused
                await session.rollback()
                headers = {name: value for name, value in stored.headers}
                scope["lectern.token"] = headers.pop("consistency-token", None)
                await _send(send, stored.status, list(headers.items()), bytes(stored.body))
                return
            scope["lectern.session"] = session
            await self.app(scope, receive, collect)
            if 200 <= start["status"] < 300:
                await session.flush()
                token = consistency_token(session)
                kept = [
                    (n.decode("latin-1"), v.decode("latin-1"))
                    for n, v in start["headers"]
                    if n.lower().decode("latin-1") in KEPT_HEADERS
                ]
                if token:
                    kept.append(("consistency-token", token))  # sealed anew with each answer
                await _store(session, principal, key, request_hash, start["status"], kept, bytes(answer))
                await session.commit()
                await self.db.committed(session)
                scope["lectern.token"] = token
            else:
                await session.rollback()
        await send(start)
        await send({"type": "http.response.body", "body": bytes(answer)})


def _without_boundary(body: bytes, kind: str) -> bytes:
    """What is compared of a body: clients draw a new boundary each time that they send the same form."""
    match = BOUNDARY.match(kind)
    return body.replace(b"--" + match[1].encode("latin-1"), b"--") if match else body


async def _hold(session: AsyncSession, principal: str, key: str) -> None:
    """Take the key for this transaction. Raises RequestInFlight."""
    query = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 7))")
    for pause in (*PAUSES, None):
        if (await session.execute(query, {"name": f"{principal} {key}"})).scalar_one():
            return
        await session.rollback()
        if pause is None:
            raise RequestInFlight
        await asyncio.sleep(pause)


async def _find(session: AsyncSession, principal: str, key: str) -> Any:
    """The stored answer, or None."""
    result = await session.execute(
        text(
            "SELECT request_hash, status, headers, body FROM idempotency_keys"
            " WHERE principal = :p AND key = :k AND created_at > now() - interval '24 hours'"
        ),
        {"p": principal, "k": key},
    )
    return result.one_or_none()


async def _store(
    session: AsyncSession,
    principal: str,
    key: str,
    request_hash: bytes,
    status: int,
    headers: list[tuple[str, str]],
    body: bytes,
) -> None:
    await session.execute(
        text(
            "INSERT INTO idempotency_keys (principal, key, request_hash, status, headers, body)"
            " VALUES (:p, :k, :h, :s, :headers, :body) ON CONFLICT (principal, key) DO UPDATE SET"
            " request_hash = excluded.request_hash, status = excluded.status, headers = excluded.headers,"
            " body = excluded.body, created_at = now()"
        ).bindparams(
            bindparam("headers", type_=JSONB),
            bindparam("h", type_=LargeBinary),
            bindparam("body", type_=LargeBinary),
        ),
        {
            "p": principal,
            "k": key,
            "h": request_hash,
            "s": status,
            "headers": [list(pair) for pair in headers],
            "body": body,
        },
    )


async def _send(send: Send, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    raw = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]
    raw += [(b"content-length", b"%d" % len(body)), (b"idempotency-replayed", b"true")]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})

"""Hot paths: the few calls that every learner makes all day go past the framework's parsing and checking.

A hot handler answers an ordinary request: a valid token, ids in the path, at most a JSON body (checked like
every other by strict.py), no Idempotency-Key. Whatever is not that simple it leaves to the route of the same
name, which answers the same with all its checks, and says what is wrong where something is.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from libs.common.security.auth import check_token
from libs.common.security.tokens import Principal
from libs.common.web.routing import Shortcut


@dataclass(frozen=True, slots=True)
class HotRequest:
    """`ids` by the names of the path's parameters; `body` is None where there is no JSON."""

    app: FastAPI
    who: Principal
    ids: Mapping[str, UUID]
    body: Any


@dataclass(frozen=True, slots=True)
class HotAnswer:
    """JSON, and the token of what was written."""

    body: bytes
    token: str | None = None
    status: int = 200


HotHandler = Callable[[HotRequest], Awaitable[HotAnswer | None]]


def as_shortcut(handler: HotHandler) -> Shortcut:
    """`handler` in front of a route."""

    async def shortcut(scope: Scope, receive: Receive, send: Send) -> bool:
        return await _answered(handler, scope, send)

    return shortcut


async def _answered(handler: HotHandler, scope: Scope, send: Send) -> bool:
    """Whether the request is answered; nothing of the body is read. Raises NotAuthenticated."""
    if "lectern.session" in scope:  # an Idempotency-Key owns the transaction
        return False
    request = Request(scope)
    who = await check_token(request)
    if who is None:
        return False
    ids = {name: _uuid(value) for name, value in scope["path_params"].items()}
    if not all(ids.values()):
        return False
    body = None
    if request.headers.get("content-type", "").startswith("application/json"):
        if "lectern.json" not in scope:
            return False
        body = scope["lectern.json"]
    answer = await handler(HotRequest(request.app, who, cast(dict[str, UUID], ids), body))
    if answer is None:
        return False
    scope["lectern.token"] = answer.token
    length = b"%d" % len(answer.body)
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
    return True


def _uuid(value: str) -> UUID | None:
    """Only as it is usually written: other spellings are the route's to judge."""
    try:
        uuid = UUID(value)
    except ValueError:
        return None
    return uuid if str(uuid) == value else None

"""What routes take from the application and from the request."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv6Address, ip_address
from time import monotonic
from typing import Annotated

from fastapi import Depends, Request

from libs.common.data.db import Database
from services.identity.rules import device_name
from services.identity.sessions import Caller, Identity


async def identity_of(request: Request) -> Identity:
    parts: Identity = request.app.state.identity
    return parts


async def database_of(request: Request) -> Database:
    db: Database = request.app.state.db
    return db


async def caller_of(request: Request) -> Caller:
    """Where the request comes from.

    The gateway puts the client's address alone into `X-Forwarded-For`, whatever the client sent. A value that
    is no single address is not the gateway's: then the peer counts.
    """
    peer = request.client.host if request.client else ""
    seen = _address(request.headers.get("x-forwarded-for", "")) or _address(peer) or peer[:64]
    return Caller(seen, device_name(request.headers.get("user-agent", "")))


def _address(text: str) -> str:
    """An address in its one spelling, "" for anything else."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


async def even_time(request: Request) -> AsyncIterator[None]:
    """Answer at multiples of `answer_step` seconds, so that known and unknown addresses take the same time.

    It stands before the session in the order of dependencies, and so ends after the commit. A token that says
    what was written would tell too.
    """
    started = monotonic()
    try:
        yield
    finally:
        request.scope.pop("lectern.token", None)
        step: float = request.app.state.settings.answer_step
        await asyncio.sleep(-(monotonic() - started) % step)


IdentityDep = Annotated[Identity, Depends(identity_of)]
DatabaseDep = Annotated[Database, Depends(database_of)]
CallerDep = Annotated[Caller, Depends(caller_of)]
EVEN_TIME = [Depends(even_time, scope="function")]

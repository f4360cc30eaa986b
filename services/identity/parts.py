"""What routes take from the application and from the request."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated

from fastapi import Depends, Request

from libs.common.data.db import Database
from libs.common.web.border import client_address
from services.identity.rules import device_name
from services.identity.sessions import Caller, Identity


async def identity_of(request: Request) -> Identity:
    parts: Identity = request.app.state.identity
    return parts


async def database_of(request: Request) -> Database:
    db: Database = request.app.state.db
    return db


async def caller_of(request: Request) -> Caller:
    """Where the request comes from, and on which device."""
    return Caller(client_address(request), device_name(request.headers.get("user-agent", "")))


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

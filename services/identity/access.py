"""Loading and authorising in one step, hidden and missing answer alike; and what else routes depend on."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.runtime.errors import NotFound
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.border import client_address
from services.identity.models import Session, User
from services.identity.rules import device_name, shows_card
from services.identity.sessions import Caller, Identity

# Whoever writes a row that refers to a user shares its key, and need not wait: keys never change.
LOCK = {"key_share": True}


async def access_self(session: AsyncSession, who: Principal, *, lock: bool = False) -> User:
    """The caller's own account. Raises NotFound when it is gone."""
    user = await session.get(User, who.user, with_for_update=LOCK if lock else None)
    if user is None or user.erased_at is not None:
        raise NotFound
    return user


async def access_user(session: AsyncSession, uuid: UUID, *, lock: bool = False) -> User:
    """Somebody's account, for managers. Raises NotFound."""
    user = await session.get(User, uuid, with_for_update=LOCK if lock else None)
    if user is None or user.erased_at is not None:
        raise NotFound
    return user


async def access_card(session: AsyncSession, who: Principal | None, uuid: UUID) -> tuple[User, bool]:
    """Somebody and whether the caller sees all of them. Raises NotFound where not even the card is shown."""
    user = await session.get(User, uuid)
    if user is None or user.erased_at is not None:
        raise NotFound
    full = who is not None and (who.user == uuid or at_least(who, "manager"))
    if not full and not (
        user.is_active and user.is_verified and shows_card(user.role, signed_in=who is not None)
    ):
        raise NotFound
    return user, full


async def access_session(session: AsyncSession, who: Principal, uuid: UUID) -> Session:
    """One of the caller's own live sessions, locked. Raises NotFound."""
    row = await session.get(Session, uuid, with_for_update=True)
    if row is None or row.user_uuid != who.user or row.ended_at is not None:
        raise NotFound
    return row


async def identity_of(request: Request) -> Identity:
    identity: Identity = request.app.state.identity
    return identity


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

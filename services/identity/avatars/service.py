"""Avatars: made from what is uploaded, worn by their owner, deleted when replaced."""

from uuid import UUID, uuid4

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database, enqueue
from libs.common.events.identity import ProfileUpdated
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.identity.access import access_self
from services.identity.models import AvatarFile, User
from services.identity.service import publish
from services.identity.sessions import Caller, Identity, note


def path_of(uuid: UUID) -> str:
    return f"public/avatars/{uuid}.webp"


def unworn() -> Select[AvatarFile]:
    """Pictures that are nobody's avatar."""
    worn = select(User.uuid).where(User.uuid == AvatarFile.user_uuid, User.avatar == AvatarFile.url)
    return select(AvatarFile).where(~worn.exists())


async def change_avatar(
    session: AsyncSession,
    db: Database,
    identity: Identity,
    who: Principal,
    caller: Caller,
    data: bytes,
    if_match: Precondition,
) -> User:
    """Wear a picture. Raises PictureRefused; `if_match` is asked about the locked version.

    The file is written down before it is stored: one that nobody comes to wear is found by the sweep.
    """
    webp = await identity.pictures.make_avatar(data)
    uuid = uuid4()
    url = identity.storage.public_url(path_of(uuid))
    async with db.session() as ledger:
        user = await access_self(ledger, who)
        ledger.add(AvatarFile(uuid=uuid, user_uuid=user.uuid, url=url, created_at=identity.clock()))
    await identity.storage.put_bytes(path_of(uuid), webp)
    return await _wear(session, who, caller, url, if_match)


async def remove_avatar(
    session: AsyncSession, who: Principal, caller: Caller, if_match: Precondition
) -> User:
    """Wear none; nothing happens where there is none."""
    return await _wear(session, who, caller, None, if_match)


async def _wear(
    session: AsyncSession, who: Principal, caller: Caller, url: str | None, if_match: Precondition
) -> User:
    user = await access_self(session, who, lock=True)
    if_match.check(user.version)
    if user.avatar == url:
        return user
    replaced = await session.scalar(
        select(AvatarFile.uuid).where(AvatarFile.user_uuid == user.uuid, AvatarFile.url == user.avatar)
    )
    if replaced is not None:
        enqueue(session, "identity.delete_avatar", str(replaced))
    user.avatar = url
    user.version += 1
    publish(session, user, ProfileUpdated(user=user.uuid, changed=("avatar",)))
    note(session, user.uuid, "profile_changed", caller)
    return user

"""Loading files and uploads of the library; loading authorises as well."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import NotFound
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from services.catalog.models import MediaFile, MediaUpload


async def access_media(session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False) -> MediaFile:
    """Load a file that the person owns; managers may load any. Raises NotFound."""
    media = await session.get(MediaFile, uuid, with_for_update=lock or None, populate_existing=lock)
    if media is None or media.deleted_at is not None:
        raise NotFound
    if media.owner != who.user and not at_least(who, "manager"):
        raise NotFound
    return media


async def access_upload(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime, *, lock: bool = False
) -> MediaUpload:
    """Load the person's own upload if it has not expired. Raises NotFound."""
    upload = await session.get(MediaUpload, uuid, with_for_update=lock or None, populate_existing=lock)
    if upload is None or upload.owner != who.user or upload.expires_at <= now:
        raise NotFound
    return upload

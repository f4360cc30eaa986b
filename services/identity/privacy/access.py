"""Loading and authorising jobs in one step."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import NotFound
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from services.identity.models import PrivacyJob


async def access_job(session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False) -> PrivacyJob:
    """One's own job; an erasure also for managers and admins, who keep its proof. Raises NotFound."""
    job = await session.get(PrivacyJob, uuid, with_for_update=lock)
    if job is None or not (job.user_uuid == who.user or (job.kind == "erasure" and at_least(who, "manager"))):
        raise NotFound
    return job

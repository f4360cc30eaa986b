"""Who may read a stored object through a signed URL: asked at each use."""

from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.security.tokens import Principal
from services.learning.assignments.access import access_submission
from services.learning.certificates.queries import access_certificate
from services.learning.models import SubmissionFile


async def may_read(session: AsyncSession, who: Principal | None, of: str, path: str) -> bool:
    """Of `submission:<uuid>` or `certificate:<uuid>`. Raises NotFound for what they do not see."""
    kind, _, uuid = of.partition(":")
    if who is None:
        return False
    if kind == "submission":
        submission, _, _ = await access_submission(session, who, UUID(uuid))
        has = exists().where(SubmissionFile.submission == submission.uuid, SubmissionFile.path == path)
        return bool(await session.scalar(select(has)))
    certificate = (await access_certificate(session, who, UUID(uuid))).certificate
    return certificate.status == "valid" and certificate.pdf_path == path

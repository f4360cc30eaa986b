"""Reads of exports and erasures: how jobs look to clients, and what identity itself holds of a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.files.storage import URL_SECONDS, Storage
from libs.common.privacy.content import PersonalData, rows_of
from libs.common.runtime.clock import system_clock
from libs.common.runtime.settings import SERVICES
from libs.common.security.tokens import Principal
from libs.common.web import etags
from services.identity.avatars.service import path_of
from services.identity.models import Activity, AvatarFile, CodeMail, PrivacyJob, PrivacyPart, Session, User
from services.identity.privacy.rules import eta_seconds, percent, shown_error, shown_status


async def parts_of(session: AsyncSession, job: UUID) -> Sequence[PrivacyPart]:
    """One for each service, in the suite's order."""
    parts = await session.scalars(select(PrivacyPart).where(PrivacyPart.job == job))
    return sorted(parts, key=lambda part: SERVICES.index(part.service))


async def job_answer(
    session: AsyncSession, job: PrivacyJob, storage: Storage, now: datetime
) -> dict[str, Any]:
    parts = await parts_of(session, job.uuid)
    acknowledged = sum(part.acknowledged_at is not None for part in parts)
    share = percent(job.status, job.kind, acknowledged, len(parts), job.progress)
    link = None
    if job.object is not None and job.expires_at is not None and now < job.expires_at:
        name = f"lectern-export-{job.created_at:%Y-%m-%d}.zip"
        link = storage.url(job.object, "application/zip", name, f"export:{job.uuid}")
    return {
        "uuid": job.uuid,
        "kind": job.kind,
        "status": shown_status(job.status, job.version, job.kind, acknowledged),
        "percent": share,
        "eta_seconds": eta_seconds(job.created_at, now, share) if job.status == "open" else None,
        "result_url": link,
        "expires_at": job.expires_at if link else None,
        "error": shown_error(job.error) if job.error and job.status == "failed" else None,
        "created_at": job.created_at,
        "services": parts,
    }


def job_tag(job: PrivacyJob, answer: dict[str, Any], now: datetime) -> str:
    """Changes with every answer of a service, and before the link in the reader's copy has died."""
    moments = [part.acknowledged_at for part in answer["services"]]
    fresh = int(now.timestamp() / (URL_SECONDS / 2)) if answer["result_url"] else 0
    return etags.etag(job.version, answer["status"], answer["percent"], moments, fresh)


async def may_read(session: AsyncSession, who: Principal | None, of: str, path: str) -> bool:
    """Whether a finished copy, `export:<job>`, is the reader's own and still there."""
    job = await session.get(PrivacyJob, UUID(of.removeprefix("export:")))
    if who is None or job is None or job.user_uuid != who.user or job.expires_at is None:
        return False
    return job.object == path and system_clock() < job.expires_at


async def gather(session: AsyncSession, uuid: UUID) -> PersonalData:
    """Identity's own part of an export."""
    user = await session.get_one(User, uuid)
    account = {
        "uuid": user.uuid, "email": user.email, "first_name": user.first_name, "last_name": user.last_name,
        "role": user.role, "is_active": user.is_active, "is_verified": user.is_verified,
        "phone_number": user.phone_number, "date_of_birth": user.date_of_birth,
        "date_joined": user.date_joined, "last_login": user.last_login, "avatar": user.avatar,
        "has_two_factor_login": user.mfa_enabled, "courses_completed": user.courses_completed,
        "study_seconds": user.study_seconds, "points": user.points,
    }  # fmt: skip
    sessions = await rows_of(
        session,
        select(
            Session.device, Session.ip, Session.created_at, Session.last_seen, Session.expires_at,
            Session.ended_at, Session.end_reason,
        )
        .where(Session.user_uuid == uuid)
        .order_by(Session.created_at),
    )  # fmt: skip
    activity = await rows_of(
        session,
        select(Activity.kind, Activity.ip, Activity.device, Activity.created_at)
        .where(Activity.user_uuid == uuid)
        .order_by(Activity.created_at),
    )
    mails = await rows_of(
        session,
        select(CodeMail.purpose, CodeMail.status, CodeMail.created_at, CodeMail.sent_at, CodeMail.used_at)
        .where(CodeMail.user_uuid == uuid)
        .order_by(CodeMail.created_at),
    )
    jobs = await rows_of(
        session,
        select(PrivacyJob.kind, PrivacyJob.status, PrivacyJob.created_at, PrivacyJob.ended_at)
        .where(PrivacyJob.user_uuid == uuid)
        .order_by(PrivacyJob.created_at),
    )
    worn = await session.scalar(
        select(AvatarFile.uuid).where(AvatarFile.user_uuid == uuid, AvatarFile.url == user.avatar)
    )
    return PersonalData(
        {
            "account": account,
            "profile": user.profile,
            "sessions": sessions,
            "activity": activity,
            "mails": mails,
            "exports_and_erasures": jobs,
        },
        [("avatar.webp", path_of(worn))] if worn is not None else [],
    )

"""Certificates: requested when a course is completed, issued once the PDF is stored; revoked, reissued."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.db import enqueue
from libs.common.data.outbox import record
from libs.common.events.learning import (
    CertificateFact,
    CertificateIssued,
    CertificateRequested,
    CertificateRevoked,
    CertificateSuperseded,
)
from libs.common.privacy.parts import find_erased
from libs.common.runtime.errors import Forbidden
from libs.common.runtime.trace import Trace
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning import errors
from services.learning.certificates.queries import find_newest, lock_certificate
from services.learning.certificates.rules import new_number
from services.learning.models import Certificate, Course, Enrollment, PrivacyPart, User
from services.learning.signals import course_completed, final_score_changed

TRIES = 10


@course_completed.connect
async def request_certificate(
    session: AsyncSession, enrollment: Enrollment, now: datetime, trace: Trace | None
) -> None:
    """Ask for the certificate of a completed enrolment: one for ever, whatever is repeated."""
    title = await session.scalar(select(Course.title).where(Course.uuid == enrollment.course))
    await session.flush()
    values = {
        "enrollment": enrollment.uuid,
        "course": enrollment.course,
        "student": enrollment.student,
        "course_title": title or "",
        "final_score": enrollment.final_score,
        "completed_at": now,
    }
    for _ in range(TRIES):
        if await _insert(session, values, now, trace) is not None:
            return
        taken = select(Certificate.uuid).where(Certificate.enrollment == enrollment.uuid)
        if (await session.scalars(taken)).first() is not None:
            return
    raise RuntimeError("no free certificate number was found")


@final_score_changed.connect
async def change_score(session: AsyncSession, enrollment: Enrollment) -> None:
    """Write a changed score into the valid certificate of an enrolment."""
    await session.execute(
        update(Certificate)
        .where(Certificate.enrollment == enrollment.uuid, Certificate.status == "valid")
        .values(final_score=enrollment.final_score)
    )


async def write_name(session: AsyncSession, uuid: UUID) -> Certificate | None:
    """The certificate whose PDF is to be made, with the learner's present name on it for good.

    None if there is nothing to do, or not yet: the learner's state may still be on its way.
    """
    certificate = await _lock_wanted(session, uuid)
    if certificate is None or certificate.issued_at is not None:
        return None
    if certificate.student_name is None:
        name = await session.scalar(select(User.full_name).where(User.uuid == certificate.student))
        if name is None:
            return None
        certificate.student_name = name
    return certificate


async def mark_issued(session: AsyncSession, uuid: UUID, path: str, now: datetime) -> bool:
    """The PDF is stored: tell everybody, once. Returns whether it may stay."""
    certificate = await _lock_wanted(session, uuid)
    if certificate is None:
        return False
    if certificate.issued_at is not None:
        return True
    certificate.pdf_path = path
    certificate.issued_at = now
    certificate.version += 1
    record(session, _fact(CertificateIssued, certificate), certificate.version)
    return True


async def _lock_wanted(session: AsyncSession, uuid: UUID) -> Certificate | None:
    """Under its row lock, unless it is revoked or superseded or its learner is erased."""
    certificate = await session.scalar(select(Certificate).where(Certificate.uuid == uuid).with_for_update())
    if certificate is None or certificate.status != "valid":
        return None
    if await find_erased(session, PrivacyPart, {certificate.student}):
        return None
    return certificate


async def revoke_certificate(
    session: AsyncSession, who: Principal, uuid: UUID, reason: str, if_match: Precondition, now: datetime
) -> None:
    """Take a certificate back; again → the first time stands.

    Raises NotFound, Forbidden for its learner, CertificateSuperseded.
    """
    certificate, taught = await lock_certificate(session, who, uuid)
    if not taught:
        raise Forbidden
    if_match.check(certificate.version)
    if certificate.status == "superseded":
        raise errors.CertificateSuperseded
    if certificate.status == "revoked":
        return
    certificate.status = "revoked"
    certificate.revoked_at = now
    certificate.revoked_by = who.user
    certificate.revocation_reason = reason
    certificate.version += 1
    record(session, _fact(CertificateRevoked, certificate, actor=who.user), certificate.version)
    await write_entry(session, "certificate.revoked", uuid, actor=who.user, reason=reason)
    enqueue(session, "learning.drop_certificate_file", str(uuid))
    await session.flush()


async def reissue_certificate(
    session: AsyncSession, who: Principal, uuid: UUID, reason: str, if_match: Precondition, now: datetime
) -> tuple[UUID, bool]:
    """Make a new certificate, with the learner's present name, in place of this one.

    One that is replaced already is not replaced again. Staff may replace a revoked one, which stays revoked.
    Returns the newest one and whether it is new. Raises NotFound, CertificateNotReady, CertificateRevoked,
    LearnerErased.
    """
    old, taught = await lock_certificate(session, who, uuid)
    if_match.check(old.version)
    newest = await find_newest(session, old.uuid)
    if newest != old.uuid:
        return newest, False
    if old.status == "revoked" and not taught:
        raise errors.CertificateRevoked
    if old.status == "valid" and old.issued_at is None:
        raise errors.CertificateNotReady
    if await find_erased(session, PrivacyPart, {old.student}):
        raise errors.LearnerErased
    was_valid = old.status == "valid"
    if was_valid:
        old.status = "superseded"
        old.version += 1
        await session.flush()
    names = ("enrollment", "course", "student", "course_title", "final_score", "completed_at")
    values = {name: getattr(old, name) for name in names} | {"replaces": old.uuid}
    for _ in range(TRIES):
        made = await _insert(session, values, now)
        if made is not None:
            break
    else:
        raise RuntimeError("no free certificate number was found")
    if was_valid:
        fact = _fact(CertificateSuperseded, old, replaced_by=made, actor=who.user)
        record(session, fact, old.version)
        enqueue(session, "learning.drop_certificate_file", str(uuid))
    if taught:
        details = {"replaced_by": str(made)}
        await write_entry(
            session, "certificate.reissued", uuid, actor=who.user, reason=reason, details=details
        )
    return made, True


async def _insert(
    session: AsyncSession, values: Mapping[str, Any], now: datetime, trace: Trace | None = None
) -> UUID | None:
    """A new certificate that waits to be made; None if its number or its place is taken."""
    made = await session.execute(
        insert(Certificate)
        .values(
            uuid=uuid4(),
            version=1,
            certificate_number=new_number(now),
            status="valid",
            requested_at=now,
            **values,
        )
        .on_conflict_do_nothing()
        .returning(Certificate)
    )
    certificate = made.scalar_one_or_none()
    if certificate is None:
        return None
    record(session, _fact(CertificateRequested, certificate, replaces=certificate.replaces), 1, trace=trace)
    enqueue(session, "learning.make_certificate", str(certificate.uuid), trace=trace)
    return certificate.uuid


def _fact(kind: type[CertificateFact], certificate: Certificate, **fields: Any) -> CertificateFact:
    return kind(
        certificate=certificate.uuid,
        number=certificate.certificate_number,
        enrollment=certificate.enrollment,
        course=certificate.course,
        student=certificate.student,
        **fields,
    )

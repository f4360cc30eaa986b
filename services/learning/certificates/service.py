"""Certificates: requested in the transaction that completes the course, issued once the PDF is stored."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.db import enqueue
from libs.common.events.learning import CertificateFact, CertificateIssued, CertificateRequested
from libs.common.outbox import record
from libs.common.privacy import erased_among
from libs.common.trace import Trace
from services.learning.certificates.rules import new_number
from services.learning.models import Certificate, Course, Enrollment, PrivacyPart

TRIES = 10


async def request_certificate(
    session: AsyncSession, enrollment: Enrollment, now: datetime, trace: Trace | None = None
) -> None:
    """Ask for the certificate of a completed enrolment: one for ever, whatever is repeated."""
    title = await session.scalar(select(Course.title).where(Course.uuid == enrollment.course))
    await session.flush()
    for _ in range(TRIES):
        made = await session.execute(
            insert(Certificate)
            .values(
                uuid=uuid4(),
                version=1,
                certificate_number=new_number(now),
                enrollment=enrollment.uuid,
                course=enrollment.course,
                student=enrollment.student,
                course_title=title or "",
                status="valid",
                final_score=enrollment.final_score,
                completed_at=now,
                requested_at=now,
            )
            .on_conflict_do_nothing()
            .returning(Certificate.uuid, Certificate.certificate_number)
        )
        row = made.one_or_none()
        if row is not None:
            fact = _fact(CertificateRequested, row[0], row[1], enrollment)
            record(session, fact, 1, trace=trace)
            enqueue(session, "learning.make_certificate", str(row[0]), trace=trace)
            return
        taken = select(Certificate.uuid).where(Certificate.enrollment == enrollment.uuid)
        if await session.scalar(taken) is not None:
            return
    raise RuntimeError("no free certificate number was found")


async def mark_issued(session: AsyncSession, uuid: UUID, path: str, now: datetime) -> bool:
    """The PDF is stored: tell everybody, once. Returns whether this call did it, not for the erased."""
    certificate = await session.scalar(select(Certificate).where(Certificate.uuid == uuid).with_for_update())
    if certificate is None or certificate.issued_at is not None:
        return False
    if await erased_among(session, PrivacyPart, {certificate.student}):
        return False
    certificate.pdf_path = path
    certificate.issued_at = now
    certificate.version += 1
    record(
        session,
        CertificateIssued(
            certificate=certificate.uuid,
            number=certificate.certificate_number,
            enrollment=certificate.enrollment,
            course=certificate.course,
            student=certificate.student,
        ),
        certificate.version,
    )
    return True


def _fact(kind: type[CertificateFact], uuid: UUID, number: str, enrollment: Enrollment) -> CertificateFact:
    fields: dict[str, Any] = {"course": enrollment.course, "student": enrollment.student}
    return kind(certificate=uuid, number=number, enrollment=enrollment.uuid, **fields)

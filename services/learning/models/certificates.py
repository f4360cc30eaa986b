"""Tables of certificates and of how they look."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Aggregate
from services.learning.models.base import Base


class Certificate(Aggregate, Base):
    """The certificate of a completed enrolment: requested, then issued once its PDF is stored.

    valid → superseded by the one whose `replaces` names it, or → revoked. An enrolment has one certificate
    that replaces none, and at most one that is valid. `student_name` is what the PDF says, null until it is
    made and for the erased. `pdf_path` is null until the PDF is stored, and again once the file of an invalid
    one is deleted.
    """

    __tablename__ = "certificates"
    __topics__ = ("learning.events",)

    certificate_number: Mapped[str] = mapped_column(unique=True)
    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"))
    course: Mapped[UUID] = mapped_column(index=True)
    student: Mapped[UUID] = mapped_column(index=True)
    student_name: Mapped[str | None]
    course_title: Mapped[str]
    status: Mapped[str] = mapped_column(default="valid")
    final_score: Mapped[Decimal | None]
    completed_at: Mapped[datetime]
    requested_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    issued_at: Mapped[datetime | None]
    pdf_path: Mapped[str | None]
    replaces: Mapped[UUID | None] = mapped_column(ForeignKey("certificates.uuid"), unique=True)
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[UUID | None]
    revocation_reason: Mapped[str] = mapped_column(default="", server_default="")

    __table_args__ = (
        CheckConstraint("status IN ('valid', 'revoked', 'superseded')", name="status"),
        CheckConstraint("(status = 'revoked') = (revoked_at IS NOT NULL)", name="revoked"),
        Index("uq_certificates_first", "enrollment", unique=True, postgresql_where=text("replaces IS NULL")),
        Index("uq_certificates_valid", "enrollment", unique=True, postgresql_where=text("status = 'valid'")),
        Index("ix_certificates_pending", "requested_at", postgresql_where=text("issued_at IS NULL")),
        Index(
            "ix_certificates_invalid_files",
            "requested_at",
            postgresql_where=text("status <> 'valid' AND pdf_path IS NOT NULL"),
        ),
    )


class CertificateTemplate(Aggregate, Base):
    """How the certificates of a course look from now on; those that are made already keep their PDF.

    `logo` and `signature` are PNGs that we have encoded ourselves, at most `pictures.MOST_STORED` bytes each.
    """

    __tablename__ = "certificate_templates"
    __topics__ = ("learning.events",)

    course: Mapped[UUID] = mapped_column(unique=True)
    title: Mapped[str]
    text: Mapped[str] = mapped_column("text", Text())
    signer_name: Mapped[str]
    signer_title: Mapped[str]
    accent_color: Mapped[str]
    logo: Mapped[bytes | None]
    signature: Mapped[bytes | None]
    updated_at: Mapped[datetime]

"""Bodies of certificates (api.md §4a)."""

from datetime import UTC, date
from html import escape
from typing import Annotated, Any
from uuid import UUID

from libs.common.files.storage import Storage
from libs.common.web.schemas import Answer, Body, Identifier, Length, Moment, PlainText, Uri
from services.learning.certificates.queries import CertificateRow
from services.learning.models import Certificate

Reason = Annotated[PlainText, Length(0, 500)]


class ReasonRequest(Body):
    """Why; kept in the audit log."""

    reason: Reason = ""


class CertificateSummary(Answer):
    uuid: UUID
    certificate_number: Identifier
    verification_url: Uri


class CertificateBase(Answer):
    uuid: UUID
    certificate_number: Identifier
    status: Identifier
    is_valid: bool
    course: UUID
    course_title: PlainText
    student_name: PlainText
    issue_date: date | None
    completion_date: Moment
    final_score: float | None
    pdf_file: Uri | None
    verification_url: Uri
    revoked_at: Moment | None
    replaces: UUID | None
    replaced_by: CertificateSummary | None


class CertificateRead(CertificateBase):
    revocation_reason: PlainText


class CertificateCheck(CertificateBase):
    """What anybody sees: without the file, and without why it was revoked."""

    valid: bool


def verification_url(public_url: str, number: str) -> str:
    return f"{public_url.rstrip('/')}/api/certificates/{number}/verify/"


def file_name(certificate: Certificate) -> str:
    return f"{certificate.certificate_number}.pdf"


def certificate_read(shown: CertificateRow, public_url: str, storage: Storage | None) -> dict[str, Any]:
    """Without `storage` no link to the PDF: who merely checks a certificate does not get the file."""
    c = shown.certificate
    link = None
    if storage is not None and c.pdf_path is not None and c.status == "valid":
        link = storage.url(c.pdf_path, "application/pdf", file_name(c), f"certificate:{c.uuid}")
    newer = None
    if shown.replaced_by is not None:
        number = shown.replaced_by_number or ""
        newer = {
            "uuid": shown.replaced_by,
            "certificate_number": number,
            "verification_url": verification_url(public_url, number),
        }
    return {
        "uuid": c.uuid,
        "certificate_number": c.certificate_number,
        "status": c.status,
        "is_valid": c.status == "valid",
        "course": c.course,
        "course_title": c.course_title,
        "student_name": shown.student_name or "",
        "issue_date": c.issued_at.date() if c.issued_at else None,
        "completion_date": c.completed_at,
        "final_score": None if c.final_score is None else float(c.final_score),
        "pdf_file": link,
        "verification_url": verification_url(public_url, c.certificate_number),
        "revoked_at": c.revoked_at,
        "revocation_reason": c.revocation_reason,
        "replaces": c.replaces,
        "replaced_by": newer,
    }


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{number}</title><style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;
padding:0 1rem;color:#1f3a5f}}dt{{color:#5d6b7a}}dd{{margin:0 0 .8rem}}</style></head>
<body><h1>{verdict}</h1><dl><dt>Number</dt><dd>{number}</dd><dt>Awarded to</dt><dd dir="auto">{name}</dd>
<dt>Course</dt><dd dir="auto">{course}</dd><dt>Completed</dt><dd>{day}</dd>{more}</dl></body></html>
"""


def check_page(body: dict[str, Any]) -> str:
    """The same answer for people."""
    more = ""
    if body["revoked_at"] is not None:
        more += f"<dt>Revoked</dt><dd>{body['revoked_at'].astimezone(UTC).date().isoformat()}</dd>"
    if body["replaced_by"] is not None:
        number, url = body["replaced_by"]["certificate_number"], body["replaced_by"]["verification_url"]
        more += f'<dt>Replaced by</dt><dd><a href="{escape(url)}">{escape(number)}</a></dd>'
    return PAGE.format(
        verdict="This certificate is valid" if body["valid"] else f"This certificate is {body['status']}",
        number=escape(body["certificate_number"]),
        name=escape(body["student_name"]),
        course=escape(body["course_title"]),
        day=body["completion_date"].date().isoformat(),
        more=more,
    )

"""The certificate as a PDF: typst sets it, segno draws the QR code. Pure CPU: call it in a thread."""

import io
from datetime import date
from pathlib import Path

import segno
import typst

TEMPLATE = Path(__file__).with_name("certificate.typ").read_bytes()


def render_certificate(
    *, student_name: str, course_title: str, number: str, completed_on: date, verification_url: str
) -> bytes:
    """The finished PDF. Texts reach typst as values, never as markup."""
    code = io.BytesIO()
    segno.make(verification_url, error="m").save(code, kind="svg", border=0, dark="#1f3a5f", xmldecl=False)
    pdf = typst.compile(
        {"main.typ": TEMPLATE, "code.svg": code.getvalue()},  # type: ignore[call-overload]
        sys_inputs={
            "name": student_name,
            "course": course_title,
            "number": number,
            "date": f"{completed_on.day} {completed_on:%B %Y}",
            "url": verification_url,
        },
    )
    assert isinstance(pdf, bytes)
    return pdf

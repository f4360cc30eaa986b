"""The certificate as a PDF: typst sets it, segno draws the QR code. Pure CPU: call it in a thread."""

import base64
import io
import struct
import textwrap
import unicodedata
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import segno
import typst

TEMPLATE = Path(__file__).with_name("certificate.typ").read_bytes()
JOINERS = "\u200c\u200d"  # of Persian and Indic writing
LONGEST_WORD = 40
FONTS = ("Libertinus Serif", "DejaVu Sans")


@dataclass(frozen=True, slots=True)
class Look:
    """What a course's template changes. Pictures are PNGs."""

    title: str
    text: str
    signer_name: str
    signer_title: str
    accent_color: str
    logo: bytes | None = None
    signature: bytes | None = None


PLAIN = Look("Certificate of completion", "has completed the course", "", "", "#1f3a5f")


def render_certificate(
    *,
    student_name: str,
    course_title: str,
    number: str,
    completed_on: date,
    verification_url: str,
    look: Look = PLAIN,
    is_sample: bool = False,
) -> bytes:
    """The finished PDF, one page. Texts reach typst as values, never as markup."""
    code = io.BytesIO()
    segno.make(verification_url, error="m").save(code, kind="svg", border=0, dark="#1f3a5f", xmldecl=False)
    files = {"main.typ": TEMPLATE, "code.svg": code.getvalue()}
    pictures = {"logo": look.logo, "signature": look.signature}
    files |= {f"{name}.svg": _framed(data) for name, data in pictures.items() if data is not None}
    values = {
        "document": f"Certificate {number}",
        "fonts": FONTS,
        "accent": look.accent_color,
        "title": _said(look.title),
        "name": _said(student_name),
        "text": _said(look.text),
        "course": _said(course_title),
        "signer": _said(look.signer_name),
        "position": _said(look.signer_title),
        "number": number,
        "date": f"{completed_on.day} {completed_on:%B %Y}",
        "url": verification_url,
        "sample": is_sample,
        **{name: data is not None for name, data in pictures.items()},
    }
    pdf = typst.compile(
        files,  # type: ignore[call-overload]
        sys_inputs={"data": orjson.dumps(values).decode()},
        timestamp=0,
    )
    assert isinstance(pdf, bytes)
    return pdf


def _framed(png: bytes) -> bytes:
    """A PNG inside of an SVG: the files that typst takes from memory have to be text."""
    width, height = struct.unpack(">II", png[16:24])
    code = base64.b64encode(png).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{code}"/></svg>'
    ).encode()


def legible(text: str) -> str:
    """One line without invisible characters that could turn it round, and with breaks in endless words."""
    plain = "".join(c for c in text if c in JOINERS or c.isspace() or unicodedata.category(c)[0] != "C")
    words = (textwrap.wrap(word, LONGEST_WORD, break_on_hyphens=False) for word in plain.split())
    return " ".join("\u200b".join(parts) for parts in words)


def _said(text: str) -> dict[str, Any]:
    """A text as the template takes it: one line, with its direction and language."""
    text = legible(text)
    strong = (unicodedata.bidirectional(char) for char in text)
    first = next((kind for kind in strong if kind in ("L", "R", "AL")), "L")
    return {"text": text, "rtl": first != "L", "lang": "ar" if first == "AL" else "en"}

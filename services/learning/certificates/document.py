"""The certificate as a PDF: typst sets it, segno draws the QR code. Pure CPU: call it in a thread."""

import base64
import io
import struct
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import segno

from libs.common.files.typesetting import (
    GlyphMissing,
    compile_document,
    has_glyph,
    legible,
    typeset,
    without_marks,
)
from libs.common.runtime.logs import get_logger
from services.learning.certificates.writing import ENGLISH, labels_in

log = get_logger(__name__)

PLACE = Path(__file__).parent
TEMPLATE = (PLACE / "certificate.typ").read_bytes()


@dataclass(frozen=True, slots=True)
class Design:
    """What a course's template changes. Pictures are PNGs."""

    title: str
    text: str
    signer_name: str
    signer_title: str
    accent_color: str
    logo: bytes | None = None
    signature: bytes | None = None


PLAIN = Design(ENGLISH.title, ENGLISH.completed, "", "", "#1f3a5f")


def render_certificate(
    *,
    student_name: str,
    course_title: str,
    number: str,
    completed_on: date,
    verification_url: str,
    design: Design = PLAIN,
    locale: str = "en",
    language: str = "en",
    is_sample: bool = False,
) -> bytes:
    """The finished PDF (PDF/UA-1), one page. Texts reach typst as values, never as markup.

    `locale` is the learner's and `language` the course's: they decide between shapes of the same character,
    and in which language the fixed words stand.
    """
    code = io.BytesIO()
    segno.make(verification_url, error="m").save(code, kind="svg", border=0, dark="#1f3a5f", xmldecl=False)
    files = {"main.typ": TEMPLATE, "code.svg": code.getvalue()}
    pictures = {"logo": design.logo, "signature": design.signature}
    files |= {f"{name}.svg": _framed(data) for name, data in pictures.items() if data is not None}
    labels = labels_in(language)
    words = {
        "title": (labels.title if design.title == PLAIN.title else design.title, language),
        "name": (student_name, locale),
        "text": (labels.completed if design.text == PLAIN.text else design.text, language),
        "course": (course_title, language),
        "signer": (design.signer_name, language),
        "position": (design.signer_title, language),
        "certifies": (labels.certifies, language),
        "date_label": (labels.dated, language),
        "date": (labels.day(completed_on), language),
        "number_label": (labels.numbered, language),
        "check": (labels.check, language),
    }
    values = {
        "document": f"Certificate {number}",
        "accent": design.accent_color,
        "number": number,
        "url": verification_url,
        "sample": is_sample,
        **{name: data is not None for name, data in pictures.items()},
    }
    try:
        return compile_document(files, values | {name: typeset(*each) for name, each in words.items()})
    except GlyphMissing:  # PDF/UA-1 refuses a text that no font has glyphs for
        log.info("glyphs_missing", number=number)  # the error itself quotes the name
    plain = {name: (legible(text, has_glyph), hint) for name, (text, hint) in words.items()}
    try:
        return compile_document(files, values | {name: typeset(*each) for name, each in plain.items()})
    except GlyphMissing:  # a mark and a letter of different fonts
        log.info("marks_left_out", number=number)
    bare = {name: typeset(without_marks(text), hint) for name, (text, hint) in plain.items()}
    return compile_document(files, values | bare)


def _framed(png: bytes) -> bytes:
    """A PNG inside of an SVG: the files that typst takes from memory have to be text."""
    width, height = struct.unpack(">II", png[16:24])
    code = base64.b64encode(png).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{code}"/></svg>'
    ).encode()

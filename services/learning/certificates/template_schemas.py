"""Bodies of certificate templates."""

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from libs.common.web.schemas import Answer, Body, Identifier, Length, Moment, PlainText
from services.learning.certificates.document import PLAIN
from services.learning.certificates.rules import is_readable
from services.learning.models import CertificateTemplate


def _one_line(value: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") for char in value):
        raise ValueError("must be one line, without control characters")
    return value


def _readable(value: str) -> str:
    if not is_readable(value):
        raise ValueError("is too light to be read on white")
    return value.lower()


Line = Annotated[PlainText, AfterValidator(_one_line)]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$"), AfterValidator(_readable)]


class CertificateTemplateUpdate(Body):
    """Plain text throughout: nothing of it is markup."""

    model_config = Body.model_config | ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "Diploma",
                    "text": "has completed the course with all of its exercises",
                    "signer_name": "Grace Hopper",
                    "signer_title": "Dean of computing",
                    "accent_color": "#7a1f3a",
                }
            ]
        }
    )

    title: Annotated[Line, Length(1, 80)] = PLAIN.title
    text: Annotated[Line, Length(0, 240)] = Field(
        PLAIN.text, description="stands between the learner's name and the course's title"
    )
    signer_name: Annotated[Line, Length(0, 80)] = ""
    signer_title: Annotated[Line, Length(0, 120)] = ""
    accent_color: Color = Field(PLAIN.accent_color, description="#rrggbb, dark enough to be read on white")


class CertificateTemplateRead(Answer):
    title: PlainText
    text: PlainText
    signer_name: PlainText
    signer_title: PlainText
    accent_color: Identifier
    has_logo: bool
    has_signature: bool
    updated_at: Moment | None


def template_read(template: CertificateTemplate | None) -> dict[str, Any]:
    """What is saved, or what holds as long as nothing is."""
    names = ("title", "text", "signer_name", "signer_title", "accent_color")
    return {
        **{name: getattr(template or PLAIN, name) for name in names},
        "has_logo": template is not None and template.logo is not None,
        "has_signature": template is not None and template.signature is not None,
        "updated_at": None if template is None else template.updated_at,
    }

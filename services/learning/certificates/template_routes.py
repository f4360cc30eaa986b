"""HTTP of certificate templates: words, colour, pictures, and a sample to look at."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.data.db import SessionDep
from libs.common.files.forms import FRAME, picture_form, received_picture
from libs.common.security.auth import Teacher
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from services.learning.access import access_taught_course
from services.learning.certificates import templates
from services.learning.certificates.document import render_certificate
from services.learning.certificates.pictures import MOST_BYTES, MOST_PIXELS, clean_picture
from services.learning.certificates.schemas import verification_url
from services.learning.certificates.template_schemas import (
    CertificateTemplateRead,
    CertificateTemplateUpdate,
    template_read,
)
from services.learning.certificates.templates import Picture
from services.learning.errors import PictureMissing, PictureRefused

router = APIRouter(prefix="/api/courses/{course}/certificate-template", tags=["certificates"])

SAMPLE_NAME = "Ada Lovelace"
SAMPLE_NUMBER = "CERT-0000-SAMPLE"  # never a number of ours: it has an L


@router.get("/", response_model=CertificateTemplateRead)
async def get_certificate_template(
    course: UUID, who: Teacher, session: SessionDep, request: Request, response: Response
) -> Any:
    """How the certificates of the course look."""
    await access_taught_course(session, who, course)
    template = await templates.find_template(session, course)
    tag = etags.etag(template.version if template else 0)
    return etags.answer(request, response, tag) or template_read(template)


@router.put("/", response_model=CertificateTemplateRead)
async def save_certificate_template(
    course: UUID,
    body: CertificateTemplateUpdate,
    who: Teacher,
    session: SessionDep,
    now: Now,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Save words and colour for the certificates that are made from now on; what is left out is as usual."""
    template = await templates.save_template(session, who, course, body, now, if_match)
    response.headers["ETag"] = etags.etag(template.version)
    return template_read(template)


@router.get("/preview/", response_class=Response, responses={200: {"content": {"application/pdf": {}}}})
async def preview_certificate(
    course: UUID, who: Teacher, session: SessionDep, now: Now, request: Request
) -> Any:
    """A sample as PDF, marked as such, with a made-up learner and number."""
    found = await access_taught_course(session, who, course)
    design = await templates.find_design(session, course)
    pdf = await asyncio.to_thread(
        render_certificate,
        student_name=SAMPLE_NAME,
        course_title=found.title,
        number=SAMPLE_NUMBER,
        completed_on=now.date(),
        verification_url=verification_url(request.app.state.settings.public_url, SAMPLE_NUMBER),
        design=design,
        language=found.language,
        is_sample=True,
    )
    frames = " ".join(request.app.state.settings.cors_origins)
    headers = {
        "Content-Disposition": 'inline; filename="certificate-sample.pdf"',
        "Cache-Control": "private, no-store",
        "Content-Security-Policy": f"default-src 'none'; frame-ancestors 'self' {frames}",
    }
    return Response(pdf, media_type="application/pdf", headers=headers)


async def uploaded(course: UUID, picture: Picture, request: Request, who: Teacher) -> bytes:
    """The file of the field `image`, encoded anew. Raises PictureMissing, PictureRefused, PayloadTooLarge."""
    async with request.app.state.db.sessions() as early:  # who may not is refused before the body is read
        await access_taught_course(early, who, course)
    _, data = await received_picture(request, "image", most_bytes=MOST_BYTES, missing=PictureMissing)
    return await asyncio.to_thread(clean_picture, data)


@router.put(
    "/{picture}/",
    response_model=CertificateTemplateRead,
    max_body_size=MOST_BYTES + FRAME,
    openapi_extra=picture_form("image", MOST_BYTES, MOST_PIXELS),
    responses=raises(PictureMissing, PictureRefused),
)
async def save_certificate_picture(
    course: UUID,
    picture: Picture,
    who: Teacher,
    png: Annotated[bytes, Depends(uploaded)],
    session: SessionDep,
    now: Now,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Put a logo or a signature on the certificates: the file of the field `image`, shrunk, encoded anew."""
    template = await templates.save_picture(session, who, course, picture, png, now, if_match)
    response.headers["ETag"] = etags.etag(template.version)
    return template_read(template)


@router.delete("/{picture}/", response_model=CertificateTemplateRead)
async def remove_certificate_picture(
    course: UUID,
    picture: Picture,
    who: Teacher,
    session: SessionDep,
    now: Now,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Take the logo or the signature away; again → the same answer."""
    template = await templates.save_picture(session, who, course, picture, None, now, if_match)
    response.headers["ETag"] = etags.etag(template.version)
    return template_read(template)


@router.get("/{picture}/", response_class=Response, responses={200: {"content": {"image/png": {}}}})
async def get_certificate_picture(
    course: UUID, picture: Picture, who: Teacher, session: SessionDep
) -> Response:
    """The logo or the signature as it is printed."""
    png = await templates.read_picture(session, who, course, picture)
    return Response(png, media_type="image/png", headers={"Cache-Control": "private, no-store"})

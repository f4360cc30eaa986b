"""Files that come in a multipart form, and the forms as OpenAPI describes them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from libs.common.runtime.errors import LecternError, PayloadTooLarge
from libs.common.web.strict import read_form

FRAME = 64 * 1024
"""Bytes of a body that stand around its file."""


def file_form(field: str, description: str, **others: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that takes one file in `field`; `others` are schemas of text fields."""
    file = {"type": "string", "format": "binary", "description": description}
    schema = {"type": "object", "required": [field], "properties": {field: file, **others}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def picture_form(field: str, most_bytes: int, most_pixels: int) -> dict[str, Any]:
    """`openapi_extra` of a route that takes one picture."""
    most = f"{most_bytes // 2**20} MB and {most_pixels // 1_000_000} million pixels"
    return file_form(field, f"JPEG, PNG or WebP of at most {most}")


@asynccontextmanager
async def received_file(
    request: Request, *fields: str, most_bytes: int, missing: Callable[[], LecternError]
) -> AsyncIterator[tuple[UploadFile, FormData]]:
    """The one file of a form, in the first of `fields` that has one, and the form.

    Raises `missing`, and PayloadTooLarge before a byte is read where the body says that it is larger.
    """
    if int(request.headers.get("content-length") or 0) > most_bytes + FRAME:
        raise PayloadTooLarge(f"The file is larger than {most_bytes:,} bytes.")
    async with read_form(request, max_files=1, max_fields=10) as form:
        for field in fields:
            file = form.get(field)
            if isinstance(file, UploadFile):
                yield file, form
                return
        raise missing()


async def received_picture(
    request: Request, field: str, *, most_bytes: int, missing: Callable[[], LecternError]
) -> tuple[str, bytes]:
    """Name and bytes of the picture in a form, not looked at yet. Raises `missing`, PayloadTooLarge."""
    async with received_file(request, field, most_bytes=most_bytes, missing=missing) as (file, _):
        data = await file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise PayloadTooLarge(f"{field}: is larger than {most_bytes:,} bytes.")
    return file.filename or "", data

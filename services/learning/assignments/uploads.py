"""Taking in work: JSON with a text, or multipart with a text and files, which are stored first."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy import select
from starlette.datastructures import FormData, UploadFile

from libs.common.data.db import Database
from libs.common.files.pictures import FORMATS, without_metadata
from libs.common.files.storage import Storage
from libs.common.files.uploads import HEAD, TYPES, checked_type, chunks, extension_of, shown_name
from libs.common.runtime.errors import FileTypeRefused, PayloadTooLarge, Unprocessable
from libs.common.security.auth import CurrentUser
from libs.common.web.clock import Now
from libs.common.web.openapi import PLAIN_TEXT
from libs.common.web.strict import parse, read_form
from services.learning.assignments.access import access_open_assignment
from services.learning.assignments.schemas import SubmissionCreate
from services.learning.models import Assignment, SubmissionFile
from services.learning.schemas import LONGEST_TEXT

MOST_FILES = 10
"""Files of one version."""
UPLOAD_BODY = 128 * 1024 * 1024
BESIDE_FILES = 1024 * 1024
"""Bytes of a form for its text and what stands between its parts."""
MOST_PICTURE = 32 * 1024 * 1024
_PICTURES = asyncio.Semaphore(2)
"""Pictures that are decoded at once: each takes hundreds of MB at most."""
LEFT_ALONE = timedelta(hours=1)
"""Time in which a stored file may wait for the submission that it belongs to."""

_FILE = {"type": "string", "format": "binary"}
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": SubmissionCreate.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "description": "The assignment says `allowed_types` and `max_bytes`",
                    "properties": {
                        "text": PLAIN_TEXT | {"maxLength": LONGEST_TEXT},
                        "files": {"type": "array", "items": _FILE, "maxItems": MOST_FILES},
                    },
                }
            },
        },
    }
}


@dataclass(frozen=True, slots=True)
class SubmittedWork:
    """What somebody hands in: a text, and the ids and SHA-256 of stored files."""

    text: str
    files: dict[UUID, str] = field(default_factory=dict)


async def received(uuid: UUID, request: Request, who: CurrentUser, now: Now) -> SubmittedWork:
    """The submission in the body. Users who may not submit are refused before the body is read, and hold no
    lock."""
    async with request.app.state.db.sessions() as early:
        assignment = await access_open_assignment(early, who, uuid, now)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return SubmittedWork(_body(await _limited(request)).text)
    limit = min(request.app.state.settings.file_limit, assignment.max_bytes or UPLOAD_BODY)
    if int(request.headers.get("content-length") or 0) > MOST_FILES * limit + BESIDE_FILES:
        raise PayloadTooLarge(f"A file may have {limit:,} bytes, and {MOST_FILES} files may come at once.")
    async with read_form(request, max_files=MOST_FILES, max_fields=10) as form:
        files, body = _parts(form)
        rows = []
        for place, file in enumerate(files):
            row, files[place] = await _checked(file, assignment, limit, who.user, place)
            rows.append(row)
        if not rows and not body.text.strip():
            raise Unprocessable.field("text", "is needed, or a file")
        state = request.app.state
        return SubmittedWork(body.text, await _stored(state.db, state.storage, rows, files))


ReceivedWork = Annotated[SubmittedWork, Depends(received)]


async def _limited(request: Request) -> bytes:
    """A JSON body, which is shorter than one with files may be."""
    limit = request.app.state.settings.body_limit
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise PayloadTooLarge
    return bytes(data)


def _body(data: bytes | dict[str, Any]) -> SubmissionCreate:
    try:
        if isinstance(data, dict):
            return SubmissionCreate.model_validate(data)
        with suppress(ValueError):  # which is told below
            parse(data)  # whatever its Content-Type says
        body = SubmissionCreate.model_validate_json(data)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        raise RequestValidationError(found) from error
    if not body.text.strip():
        raise Unprocessable.field("text", "must not be empty")
    return body


def _parts(form: FormData) -> tuple[list[UploadFile], SubmissionCreate]:
    files: list[UploadFile] = []
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name not in ("file", "files"):
                raise Unprocessable.field(name, "is not a field for files")
            files.append(value)
        else:
            fields[name] = value
    return files, _body({"text": "", **fields})


def taken_types(allowed: Sequence[str] | None) -> frozenset[str]:
    """Extensions of files that an assignment takes; `jpg` and `jpeg` are the same."""
    found = frozenset(allowed or TYPES)
    return found | {"jpg", "jpeg"} if found & {"jpg", "jpeg"} else found


async def _checked(
    file: UploadFile, assignment: Assignment, limit: int, student: UUID, place: int
) -> tuple[SubmissionFile, UploadFile]:
    """The row of a file that the assignment takes, and what of it is kept: a picture without the place where
    it was taken. Raises FileTypeRefused or PayloadTooLarge."""
    name = shown_name(file.filename or "")
    extension = extension_of(name)
    takes = taken_types(assignment.allowed_types)
    if extension not in takes:
        raise FileTypeRefused(f"the assignment takes one of: {', '.join(sorted(takes))}")
    media_type = checked_type(extension, await file.read(HEAD))
    await file.seek(0)
    size = file.size or 0
    if size > limit:
        raise PayloadTooLarge(f"A file may have {limit:,} bytes, and {name} has {size:,}.")
    if media_type in FORMATS:
        if size > MOST_PICTURE:
            raise PayloadTooLarge(f"A picture may have {MOST_PICTURE:,} bytes, and {name} has {size:,}.")
        async with _PICTURES:
            clean = await asyncio.to_thread(without_metadata, await file.read(), media_type)
        file = UploadFile(BytesIO(clean), size=len(clean))
    uuid = uuid4()
    row = SubmissionFile(
        uuid=uuid, position=place, student=student, path=f"submissions/{uuid}", name=name,
        media_type=media_type, size=file.size or 0,
    )  # fmt: skip
    return row, file


async def _stored(
    db: Database, storage: Storage, rows: Sequence[SubmissionFile], files: Sequence[UploadFile]
) -> dict[UUID, str]:
    """Write the files down, then store them: what a failure leaves behind, the sweep finds."""
    if rows:
        async with db.session() as ledger:
            ledger.add_all(rows)
    sums = {}
    for row, file in zip(rows, files, strict=True):
        stored = await storage.put(row.path, chunks(file), row.size)
        sums[row.uuid] = stored.sha256
    return sums


async def delete_left_files(db: Database, storage: Storage, now: datetime) -> None:
    """Delete files that no submission has, an hour after they came."""
    async with db.session() as session:
        rows = await session.scalars(
            select(SubmissionFile)
            .where(SubmissionFile.submission.is_(None), SubmissionFile.created_at < now - LEFT_ALONE)
            .with_for_update(skip_locked=True)
            .limit(500)
        )
        for row in rows.all():
            await storage.delete(row.path)
            await session.delete(row)

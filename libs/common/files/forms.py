"""Files that come in a multipart form, and the forms as OpenAPI describes them.

A file goes on as a stream while it arrives: it lies in no temporary file, and is stored once.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from libs.common.runtime.errors import BadRequest, LecternError, PayloadTooLarge
from libs.common.web.strict import check_texts

FRAME = 64 * 1024
"""Bytes of a body that stand around its file."""
MOST_FIELDS = 10
MOST_TEXT = 1024 * 1024
MALFORMED = "Invalid multipart data."


def file_form(field: str, description: str, **others: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that takes one file in `field`; `others` are schemas of text fields."""
    file = {"type": "string", "format": "binary", "description": description}
    schema = {"type": "object", "required": [field], "properties": {field: file, **others}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def picture_form(field: str, most_bytes: int, most_pixels: int) -> dict[str, Any]:
    """`openapi_extra` of a route that takes one picture."""
    most = f"{most_bytes // 2**20} MB and {most_pixels // 1_000_000} million pixels"
    return file_form(field, f"JPEG, PNG or WebP of at most {most}")


@dataclass(frozen=True, slots=True)
class _Event:
    """What comes next in a form: a text field, the beginning of a file, its data, its end."""

    kind: Literal["text", "file", "data", "end"]
    field: str = ""
    text: str = ""
    """The value of a text field; the name of a file."""
    data: bytes = b""


class FormFile:
    """The one file of a form while it arrives."""

    def __init__(self, events: AsyncGenerator[_Event, None]) -> None:
        self._events = events
        self._held: list[bytes] = []
        self._ended = False
        self._texts: list[tuple[str, str]] = []
        self.name = ""
        """The client's name of the file."""

    async def find(self, fields: Collection[str]) -> bool:
        """Read up to the file in one of these fields; False if there is none. Raises InvalidInput."""
        async for event in self._events:
            if event.kind == "text":
                self._texts.append((event.field, event.text))
            elif event.kind == "file" and event.field in fields:
                self.name = event.text
                break
        else:
            self._ended = True
        check_texts(self._texts)
        return not self._ended

    async def head(self, size: int) -> bytes:
        """The first bytes, or all of a shorter file; `chunks` yields them again."""
        while sum(map(len, self._held)) < size and (chunk := await self._next()):
            self._held.append(chunk)
        return b"".join(self._held)[:size]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file, once."""
        held, self._held = self._held, []
        for chunk in held:
            yield chunk
        while chunk := await self._next():
            yield chunk

    async def _next(self) -> bytes:
        """The next bytes of the file, or none at its end. Raises BadRequest if the form ends before it."""
        if self._ended:
            return b""
        async for event in self._events:
            if event.kind == "data":
                return event.data
            self._ended = True
            return b""
        raise BadRequest(MALFORMED)

    async def texts(self) -> dict[str, str]:
        """The text fields of the whole form, those behind the file as well. Raises InvalidInput."""
        while await self._next():
            pass
        async for event in self._events:
            if event.kind == "text":
                self._texts.append((event.field, event.text))
        check_texts(self._texts)
        return dict(self._texts)


@asynccontextmanager
async def received_file(
    request: Request, *fields: str, most_bytes: int, missing: Callable[[], LecternError]
) -> AsyncIterator[FormFile]:
    """The one file of a form, in one of `fields`.

    Raises `missing`, BadRequest for a malformed form, and PayloadTooLarge before a byte is read if the body
    says that it is larger.
    """
    if int(request.headers.get("content-length") or 0) > most_bytes + FRAME:
        raise PayloadTooLarge(f"The file is larger than {most_bytes:,} bytes.")
    events = _events(request)
    file = FormFile(events)
    try:
        if not await file.find(fields):
            raise missing()
        yield file
        await file.texts()
    except LecternError:
        # A client that is still sending would not see the answer.
        with suppress(LecternError, ClientDisconnect, RuntimeError):
            async for _ in request.stream():
                pass
        raise
    finally:
        await events.aclose()


async def received_picture(
    request: Request, field: str, *, most_bytes: int, missing: Callable[[], LecternError]
) -> tuple[str, bytes]:
    """Name and bytes of the picture in a form, not looked at yet. Raises `missing`, PayloadTooLarge."""
    async with received_file(request, field, most_bytes=most_bytes, missing=missing) as file:
        data = bytearray()
        async for chunk in file.chunks():
            data += chunk
            if len(data) > most_bytes:
                raise PayloadTooLarge(f"{field}: is larger than {most_bytes:,} bytes.")
    return file.name, bytes(data)


async def _events(request: Request) -> AsyncGenerator[_Event, None]:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        return
    if b"boundary" not in options:
        raise BadRequest("Missing boundary in multipart.")
    found = _Found()
    try:
        parser = MultipartParser(options[b"boundary"], found.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            while found.events:
                yield found.events.popleft()
        parser.finalize()
    except FormParserError as error:
        raise BadRequest(MALFORMED) from error
    while found.events:
        yield found.events.popleft()


class _Found:
    """Collects what the parser finds."""

    def __init__(self) -> None:
        self.events: deque[_Event] = deque()
        self._header = self._value = self._disposition = b""
        self._field = ""
        self._in_file = False
        self._text = bytearray()
        self._files = self._fields = 0

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
        }

    def _part_begin(self) -> None:
        self._disposition = b""
        self._text = bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise BadRequest('The Content-Disposition header field "name" must be provided.')
        self._field = _decoded(options[b"name"])
        self._in_file = b"filename" in options
        if self._in_file:
            self._files += 1
            if self._files > 1:
                raise BadRequest("Too many files. Maximum number of files is 1.")
            self.events.append(_Event("file", self._field, _decoded(options[b"filename"])))
        else:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise BadRequest(f"Too many fields. Maximum number of fields is {MOST_FIELDS}.")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.events.append(_Event("data", data=data[start:end]))
            return
        if len(self._text) + end - start > MOST_TEXT:
            raise BadRequest(f"Part exceeded maximum size of {MOST_TEXT // 1024}KB.")
        self._text += data[start:end]

    def _part_end(self) -> None:
        if self._in_file:
            self.events.append(_Event("end"))
        else:
            self.events.append(_Event("text", self._field, _decoded(bytes(self._text))))


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")

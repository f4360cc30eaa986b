"""Uploads: a file's type is what its first bytes say and its extension allows, both; its name is harmless."""

import re
from collections.abc import AsyncIterator

import puremagic
from starlette.datastructures import UploadFile

from libs.common.errors import FileTypeRefused

HEAD = 8192
CHUNK = 256 * 1024

TYPES = {
    "pdf": "application/pdf",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "zip": "application/zip",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "txt": "text/plain",
    "md": "text/plain",
    "csv": "text/plain",
}
TEXTS = frozenset({"txt", "md", "csv"})
DOCUMENTS = frozenset({"pdf", "docx", "pptx", "xlsx", "zip"}) | TEXTS
IMAGES = frozenset({"png", "jpg", "jpeg", "gif", "webp"})
# Signatures must stand at the very start; puremagic also finds some further in.
_STARTS = {
    "pdf": (b"%PDF-",),
    "zip": (b"PK\x03\x04",),
    "docx": (b"PK\x03\x04",),
    "pptx": (b"PK\x03\x04",),
    "xlsx": (b"PK\x03\x04",),
}
_SAME = {"m4v": "mp4", "jpeg": "jpg", "jfif": "jpg"}
_ACTIVE = re.compile(rb"<\s*(!doctype\s+html|html|head|body|script|svg|iframe|\?xml)", re.IGNORECASE)


def extension_of(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def checked_type(extension: str, head: bytes) -> str:
    """The type under which a file with this extension, one of `TYPES`, is kept. Raises FileTypeRefused."""
    if not head:
        raise FileTypeRefused("the file is empty")
    if extension in TEXTS:
        if not _is_text(head) or _ACTIVE.search(head):
            raise FileTypeRefused("the content is not plain text")
        return TYPES[extension]
    starts = _STARTS.get(extension)
    found = {_SAME.get(kind, kind) for kind in _kinds(head)}
    # What a browser could take for a page is refused whatever else it may be.
    if (starts and not head.startswith(starts)) or _ACTIVE.match(head.lstrip()):
        raise FileTypeRefused(f"the content is not what .{extension} says")
    if _SAME.get(extension, extension) not in found and not starts:
        raise FileTypeRefused(f"the content is not what .{extension} says")
    return TYPES[extension]


def _kinds(head: bytes) -> set[str]:
    try:
        return {match.extension.lstrip(".").lower() for match in puremagic.magic_string(head)}
    except (puremagic.PureError, ValueError):
        return set()


def _is_text(head: bytes) -> bool:
    try:
        # A character may be cut at the end of the head.
        head.decode("utf-8") if len(head) < HEAD else head[:-4].decode("utf-8", "ignore").encode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in head and not head.startswith((b"%PDF", b"PK\x03\x04", b"MZ"))


def shown_name(name: str) -> str:
    """The client's file name as it may be shown again: its last part, without controls, not too long."""
    last = re.split(r"[\\/]", name)[-1]
    clean = "".join(char for char in last if char.isprintable() and char not in '"<>|:*?').strip(". ")
    stem, dot, extension = clean.rpartition(".")
    return f"{stem[:150]}{dot}{extension[:10]}" if stem else clean[:150] or "file"


async def chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK):
        yield chunk

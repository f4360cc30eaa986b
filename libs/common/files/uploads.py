"""Uploads: a file's type is what its first bytes say and its extension allows, both; its name is harmless.

Text may say what it likes, programs and pages too: it is served as plain text, for download only.
"""

import codecs
import re
from collections.abc import AsyncIterator, Iterator

from starlette.datastructures import UploadFile

from libs.common.runtime.errors import FileTypeRefused

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
# What stands at the very start, so that nothing that a browser takes for a page can come before it.
_MPEG_AUDIO = rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x00-\xef]"
_ZIP = rb"PK\x03\x04"
_STARTS = {
    "pdf": rb"(?:\xef\xbb\xbf)?[\s\0]{0,1000}%PDF-",
    # The brands are many and their names tell little; only those of pictures are none of a film or a sound.
    "mp4": rb"\0\0[\0-\x1f].ftyp(?!avi[fs]|hei[cfmsx]|hev[cmsx]|mif[12]|msf1|jxl )",
    "webm": rb"\x1a\x45\xdf\xa3.{0,120}?\x42\x82.{1,8}?webm",
    "mp3": rb"ID3[\x02-\x04][^\xff]|" + _MPEG_AUDIO,
    "ogg": rb"OggS\0",
    "wav": rb"(?:RIFF|RF64|BW64).{4}WAVE",
    "png": rb"\x89PNG\r\n\x1a\n",
    "jpg": rb"\xff\xd8\xff",
    "gif": rb"GIF8[79]a",
    "webp": rb"RIFF.{4}WEBP",
    "zip": _ZIP + rb"|PK\x05\x06|PK\x07\x08PK\x03\x04",
    "docx": _ZIP,
    "pptx": _ZIP,
    "xlsx": _ZIP,
}
_SIGNATURES = {kind: re.compile(start, re.DOTALL) for kind, start in _STARTS.items()}
_SAME = {"m4v": "mp4", "jpeg": "jpg"}
_FOLDERS = {"docx": "word/", "pptx": "ppt/", "xlsx": "xl/"}
# What every document of Office may have beside its own folder.
_BESIDE = (
    "[content_types].xml", "_rels/", "docprops/", "docmetadata/", "customxml/", "customui/",
    "_xmlsignatures/",
)  # fmt: skip


def extension_of(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def checked_type(extension: str, head: bytes) -> str:
    """The type under which a file with this extension, one of `TYPES`, is kept; `head` are its first `HEAD`
    bytes. Raises FileTypeRefused."""
    if not head:
        raise FileTypeRefused("the file is empty")
    if extension in TEXTS:
        if not _is_text(head):
            raise FileTypeRefused("the content is not plain text")
    elif not _SIGNATURES[_SAME.get(extension, extension)].match(head) or (
        extension in _FOLDERS and not _is_office(_FOLDERS[extension], head)
    ):
        raise FileTypeRefused(f"the content is not what .{extension} says")
    return TYPES[extension]


def _is_text(head: bytes) -> bool:
    """UTF-8, or UTF-16 with its mark, that the end of the head may cut in the middle of a character."""
    if _SIGNATURES["pdf"].match(head):
        return False
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        return "\0" not in codecs.getincrementaldecoder(encoding)().decode(head, final=len(head) < HEAD)
    except UnicodeDecodeError:
        return False


def _is_office(folder: str, head: bytes) -> bool:
    """Whether an archive is a document of Office: it has the folder of its kind, and none of another kind.

    Where the head ends before any folder has come, the members before it must be those of a document.
    """
    names = list(_members(head))
    kinds = {kind for kind in _FOLDERS.values() if any(name.startswith(kind) for name in names)}
    if kinds or len(head) < HEAD:
        return kinds == {folder}
    return bool(names) and all(name.startswith(_BESIDE) for name in names)


def _members(head: bytes) -> Iterator[str]:
    """The names of the members of an archive that begin within the head, in small letters."""
    at = 0
    while at >= 0 and head.startswith(b"PK\x03\x04", at) and at + 30 <= len(head):
        flags, packed = head[at + 6], int.from_bytes(head[at + 18 : at + 22], "little")
        name = int.from_bytes(head[at + 26 : at + 28], "little")
        extra = int.from_bytes(head[at + 28 : at + 30], "little")
        start = at + 30
        yield head[start : start + name].decode("utf-8", "replace").lower().replace("\\", "/").lstrip("/")
        at = start + name + extra + packed
        if flags & 8 and not packed:  # the size comes only behind the content
            at = head.find(b"PK\x03\x04", at)


def shown_name(name: str) -> str:
    """The client's file name as it may be shown again: its last part, without controls, not too long."""
    last = re.split(r"[\\/]", name)[-1]
    clean = "".join(char for char in last if char.isprintable() and char not in '"<>|:*?').strip(". ")
    stem, dot, extension = clean.rpartition(".")
    return f"{stem[:150]}{dot}{extension[:10]}" if stem else clean[:150] or "file"


async def whole(data: bytes) -> AsyncIterator[bytes]:
    """Bytes as a stream."""
    yield data


async def chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK):
        yield chunk

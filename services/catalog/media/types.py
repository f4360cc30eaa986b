"""Which files lessons and the media library take, and what they keep of them."""

import sys
from collections.abc import AsyncIterator

from libs.common.files.uploads import DOCUMENTS, IMAGES, checked_type, extension_of
from libs.common.runtime.errors import FileTypeRefused, PayloadTooLarge
from services.catalog.pictures import Pictures

ALLOWED = {
    "video": frozenset({"mp4", "m4v", "webm", "mp3", "ogg", "wav"}),
    "pdf": frozenset({"pdf"}),
    "slides": frozenset({"pdf", "pptx"}),
    "interactive": frozenset({"zip"}),
    "text": DOCUMENTS | IMAGES,
    "assignment": DOCUMENTS | IMAGES,
    "quiz": DOCUMENTS | IMAGES,
}
LIBRARY = {
    **dict.fromkeys(("mp4", "m4v", "webm"), "video"),
    **dict.fromkeys(("mp3", "ogg", "wav"), "audio"),
    **dict.fromkeys(IMAGES, "image"),
    **dict.fromkeys(DOCUMENTS, "document"),
    "pptx": "presentation",
    "zip": "archive",
}
"""Extensions that the media library takes, and the kind of each."""
UPLOAD_BODY = 512 * 1024 * 1024
"""The largest file of any setting with the form around it; the setting itself is kept while storing."""
MOST_PICTURE = 25_000_000
"""Bytes of a picture, which is decoded."""


def media_type(content_type: str, name: str, head: bytes) -> str:
    """The type under which a file is stored and served. Raises FileTypeRefused."""
    extension = extension_of(name)
    allowed = ALLOWED[content_type]
    if extension not in allowed:
        names = ", ".join(sorted(allowed))
        raise FileTypeRefused(f"a lesson of type {content_type} takes one of: {names}")
    return checked_type(extension, head)


def refuse_extension(name: str) -> None:
    """Raises FileTypeRefused for names that the library never takes."""
    if extension_of(name) not in LIBRARY:
        raise FileTypeRefused(f"the library takes one of: {', '.join(sorted(LIBRARY))}")


def most_bytes(name: str) -> int:
    """How large a file of the library with this name may be, whatever the limit."""
    return MOST_PICTURE if LIBRARY[extension_of(name)] == "image" else sys.maxsize


def library_type(name: str, head: bytes) -> tuple[str, str]:
    """Kind and type of a file for the library. Raises FileTypeRefused."""
    refuse_extension(name)
    extension = extension_of(name)
    return LIBRARY[extension], checked_type(extension, head)


async def picture_bytes(chunks: AsyncIterator[bytes], media_type: str, pictures: Pictures) -> bytes:
    """What is stored of a picture: the visible part, without where it was taken.

    Raises PayloadTooLarge, FileTypeRefused.
    """
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > MOST_PICTURE:
            raise PayloadTooLarge(f"A picture may have {MOST_PICTURE:,} bytes.")
    return await pictures.without_metadata(bytes(data), media_type)

"""Which files lessons and the media library take."""

from libs.common.errors import FileTypeRefused
from libs.common.uploads import DOCUMENTS, IMAGES, checked_type, extension_of

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


def library_type(name: str, head: bytes) -> tuple[str, str]:
    """Kind and type of a file for the library. Raises FileTypeRefused."""
    refuse_extension(name)
    extension = extension_of(name)
    return LIBRARY[extension], checked_type(extension, head)

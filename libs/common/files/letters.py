"""Letters: what one service has written, and notify sends by mail.

They lie in the exchange area of storage, because what people wrote, and numbers, must not travel in events;
the event names a letter by its id. Who writes one deletes it. What many letters share lies there once.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from libs.common.files.storage import EXCHANGE, Storage
from libs.common.runtime.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A file of a letter: a picture that the HTML shows as `cid:<name>`, or one that is attached."""

    name: str
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """`html` is safe and is put into the page as it is; `text` says the same. `link` is for its reader
    alone.
    """

    title: str
    language: str
    html: str
    text: str
    pictures: Sequence[Enclosure] = ()
    attachment: Enclosure | None = None
    link: str | None = field(default=None)


def letter_storage(settings: ServiceSettings) -> Storage:
    return Storage(settings, EXCHANGE)


async def put_content(storage: Storage, path: str, letter: Letter) -> None:
    """Store what letters share; `link` is no part of it."""
    content = {
        "title": letter.title,
        "language": letter.language,
        "html": letter.html,
        "text": letter.text,
        "pictures": [_packed(each) for each in letter.pictures],
        "attachment": _packed(letter.attachment) if letter.attachment else None,
    }
    await storage.put_bytes(path, orjson.dumps(content))


async def put_letter(storage: Storage, letter: UUID, content: str, link: str | None) -> None:
    """Store a letter with the content at a path."""
    await storage.put_bytes(path_of(letter), orjson.dumps({"content": content, "link": link}))


async def take_letter(storage: Storage, letter: UUID) -> Letter:
    """Raises NotFound when it is there no more."""
    found = orjson.loads(await storage.read_all(path_of(letter)))
    content = orjson.loads(await storage.read_all(found["content"]))
    return Letter(
        content["title"],
        content["language"],
        content["html"],
        content["text"],
        [_unpacked(each) for each in content["pictures"]],
        _unpacked(content["attachment"]) if content["attachment"] else None,
        found["link"],
    )


def path_of(letter: UUID) -> str:
    return f"letters/{letter}"


def _packed(each: Enclosure) -> dict[str, str]:
    return {"name": each.name, "kind": each.kind, "data": b64encode(each.data).decode()}


def _unpacked(each: dict[str, Any]) -> Enclosure:
    return Enclosure(each["name"], each["kind"], b64decode(each["data"]))

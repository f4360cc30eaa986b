"""What an export holds: rows and files of a person, and the JSON that they are written as."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

import orjson
from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.files.storage import NO_LIMIT, Storage, Stored

JSON = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z
LEAST_INTEGER, MOST_INTEGER = -(2**63), 2**64 - 1
"""What orjson writes."""
MOST_BITS = 10_000
"""Longer integers take too long to write in decimal."""


@dataclass
class PersonalData:
    """What a service holds of a person: lists of rows by readable names, and files as (name, own path)."""

    data: dict[str, Any]
    files: list[tuple[str, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(len(section) for section in self.data.values() if isinstance(section, list))


async def rows_of(session: AsyncSession, query: Executable) -> list[dict[str, Any]]:
    """The rows of a query with the names of its columns."""
    rows = (await session.execute(query)).mappings()
    return [{str(name): value for name, value in row.items()} for row in rows]


def as_json(value: Any) -> bytes:
    """Readable JSON: indented, moments in UTC with a `Z`, decimals as numbers.

    Whatever was stored once goes out: what JSON or its readers cannot hold is written as a text.
    """
    try:
        return orjson.dumps(value, default=_plain, option=JSON)
    except TypeError:
        return orjson.dumps(_readable(value), option=JSON)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal) and isfinite(number := float(value)):
        return number
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _readable(value: Any) -> Any:
    """The same where everything has a form in JSON."""
    if isinstance(value, dict):
        return {_readable(str(name)): _readable(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_readable(each) for each in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, int) and not LEAST_INTEGER <= value <= MOST_INTEGER:
        return str(value) if value.bit_length() < MOST_BITS else hex(value)
    try:
        orjson.dumps(value, default=_plain, option=JSON)
    except TypeError:
        return str(value)
    return _plain(value) if isinstance(value, Decimal | timedelta) else value


async def copy_object(source: Storage, path: str, target: Storage, place: str) -> Stored:
    """Copy one object in chunks. Raises NotFound."""
    size = await source.size(path)

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in source.read(path, 0, size):
            yield chunk

    return await target.put(place, chunks(), NO_LIMIT)

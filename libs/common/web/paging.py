"""Lists: `{count, next, previous, results}` by page number, or by cursor for what grows without end."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import Depends, Query, Request
from pydantic import BaseModel
from sqlalchemy import Select, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from libs.common.runtime.errors import BadRequest, InvalidFilter
from libs.common.web.schemas import Uri

T = TypeVar("T")
DEFAULT_SIZE = 20
MOST = 100
READERS: dict[type, Any] = {datetime: datetime.fromisoformat, UUID: UUID, int: int, bool: bool}


class Page(BaseModel, Generic[T]):
    """One page of a list; `next` and `previous` are absolute URLs or null."""

    count: int
    next: Uri | None
    previous: Uri | None
    results: list[T]


@dataclass(frozen=True, slots=True)
class Paging:
    """The part of a list that a request asks for."""

    url: str
    parameters: tuple[tuple[str, str], ...]
    page: int
    size: int
    cursor: str | None

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size

    def link(self, **changes: str | int | None) -> str:
        """The list's own absolute URL with these parameters changed."""
        kept = [(name, value) for name, value in self.parameters if name not in changes]
        kept += [(name, str(value)) for name, value in changes.items() if value is not None]
        return f"{self.url}?{urlencode(kept)}" if kept else self.url

    def answer(self, count: int, results: Sequence[Any]) -> dict[str, Any]:
        """The body for a page by number."""
        more = self.offset + len(results) < count
        return {
            "count": count,
            "next": self.link(page=self.page + 1) if more else None,
            "previous": self.link(page=self.page - 1) if self.page > 1 else None,
            "results": list(results),
        }


async def paging(
    request: Request,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, description="at most 100; more counts as 100")] = DEFAULT_SIZE,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Paging:
    public: str = request.app.state.settings.public_url
    return Paging(
        public.rstrip("/") + request.url.path,
        tuple(request.query_params.multi_items()),
        page,
        min(page_size, MOST),
        cursor or None,
    )


PagingDep = Annotated[Paging, Depends(paging)]


async def paginate(session: AsyncSession, query: Select[Any], page: Paging) -> tuple[int, Sequence[Any]]:
    """Number of all rows of `query` and the scalars of this page."""
    count = await session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    rows = await session.scalars(query.limit(page.size).offset(page.offset))
    return count, rows.all()


def encode_cursor(*values: Any) -> str:
    """The place after `values`, those of the columns by which a list is ordered."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> list[Any]:
    """The values of `encode_cursor`, in these types. Raises BadRequest for what no list has answered."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return [READERS[kind](value) for kind, value in zip(types, values, strict=True)]
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error) as error:
        raise BadRequest("cursor is not one that this list, in this order, has answered.") from error


async def paginate_by_cursor(
    session: AsyncSession,
    query: Select[Any],
    page: Paging,
    columns: Sequence[InstrumentedAttribute[Any]],
    *,
    descending: bool = True,
) -> dict[str, Any]:
    """One page ordered by `columns`, the last of them unique; `results` are the ORM rows, for the caller to
    render.

    `next` carries a cursor, so that rows written meanwhile move nothing. With `page` instead of `cursor` it
    answers like a list by number, for clients that count pages.
    """
    count = await session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    ordered = query.order_by(*(c.desc() if descending else c.asc() for c in columns))
    if page.cursor is None and page.page > 1:
        rows = (await session.scalars(ordered.limit(page.size).offset(page.offset))).all()
        return page.answer(count, rows)
    if page.cursor is not None:
        values = decode_cursor(page.cursor, *(c.type.python_type for c in columns))
        after = tuple_(*(literal(value, c.type) for value, c in zip(values, columns, strict=True)))
        place = tuple_(*columns)
        ordered = ordered.where(place < after if descending else place > after)
    found = (await session.scalars(ordered.limit(page.size + 1))).all()
    rows = found[: page.size]
    follow = None
    if len(found) > page.size:
        follow = page.link(cursor=encode_cursor(*(getattr(rows[-1], c.key) for c in columns)), page=None)
    return {"count": count, "next": follow, "previous": None, "results": list(rows)}


def choose(field: str, value: str | None, allowed: Sequence[str]) -> str | None:
    """A filter's value, None when absent. Raises InvalidFilter, which names the allowed ones."""
    if value is None or value == "":
        return None
    if value not in allowed:
        raise InvalidFilter(field, allowed)
    return value


def choose_bool(field: str, value: str | None) -> bool | None:
    chosen = choose(field, value.lower() if value else None, ("true", "false", "1", "0"))
    return None if chosen is None else chosen in ("true", "1")


def choose_uuid(field: str, value: str | None) -> UUID | None:
    """A filter that takes an id. Raises BadRequest that names the field."""
    if not value:
        return None
    try:
        return UUID(value)
    except ValueError as error:
        raise BadRequest(
            f"{field} takes a UUID.", errors=[{"field": field, "message": "must be a UUID"}]
        ) from error

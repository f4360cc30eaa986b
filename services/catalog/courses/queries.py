"""The list of courses and their cards: one SQL statement that answers JSON, sent on as it is.

Every text that becomes SQL is a constant of this file; what a client sends is a bound parameter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from libs.common.runtime.errors import NotFound
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.paging import Paging

SORTS = ("relevance", "newest", "popular", "rating", "duration")
MOST_OWN = 2000
"""Courses of one teacher that fit on their one page."""

_MOMENT = 'to_char({0}, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')'
_ENROLLED = "('enrolled', 'in_progress', 'completed')"

_PERSON = (
    "json_build_object('uuid', {0}, 'full_name', coalesce(u.full_name, ''),"
    " 'name', coalesce(u.full_name, ''), 'email', {1}, 'avatar', u.avatar,"
    " 'bio', coalesce(u.bio, ''), 'role', coalesce(u.role, 'teacher'))"
)

_SHARED = f"""c.uuid, c.title, c.slug, c.short_description, c.thumbnail,
 CASE WHEN c.thumbnail LIKE '%/1280.webp' THEN json_build_object(
  '320', left(c.thumbnail, -9) || '320.webp', '640', left(c.thumbnail, -9) || '640.webp',
  '1280', c.thumbnail) END AS thumbnail_variants, c.preview_video, c.is_featured,
 c.status, c.level, c.language,
 CASE WHEN g.uuid IS NULL THEN NULL
  ELSE json_build_object('uuid', g.uuid, 'name', g.name, 'slug', g.slug) END AS category,
 g.name AS category_name, c.tags, {{instructor}} AS instructor,
 coalesce(u.full_name, '') AS instructor_name, u.avatar AS instructor_avatar,
 c.hours AS duration_hours, c.enrollment_limit, coalesce(s.enrolled_count, 0) AS enrolled_count,
 coalesce(s.enrolled_count, 0) AS enrollment_count, coalesce(s.enrolled_count, 0) AS enrolled_students_count,
 coalesce(s.average_rating, 0) AS average_rating, coalesce(s.reviews_count, 0) AS reviews_count,
 c.total_lessons, {{is_enrolled}} AS is_enrolled, coalesce(s.views_count, 0) AS views_count,
 {_MOMENT.format("c.created_at")} AS created_at, {_MOMENT.format("c.updated_at")} AS updated_at,
 {_MOMENT.format("c.published_at")} AS published_at, {{students}} AS enrolled_students"""

_OWNS = "(c.instructor = CAST(:teacher AS uuid) OR CAST(:teacher AS uuid) = ANY (c.co_instructors))"

_ANONYMOUS = _SHARED.format(
    instructor=_PERSON.format("c.instructor", "NULL"), is_enrolled="false", students="NULL::json"
)
_SIGNED_IN = _SHARED.format(
    instructor=_PERSON.format(
        "c.instructor", f"CASE WHEN CAST(:manages AS boolean) OR {_OWNS} THEN u.email END"
    ),
    is_enrolled="EXISTS (SELECT FROM enrollments e WHERE e.student = CAST(:user AS uuid)"
    f" AND e.course = c.uuid AND e.status IN {_ENROLLED})",
    students=f"""CASE WHEN {_OWNS} THEN (
   SELECT coalesce(json_agg(json_build_object('uuid', e.student, 'name', coalesce(p.full_name, ''))
    ORDER BY p.full_name, e.student), '[]') FROM enrollments e LEFT JOIN users p ON p.uuid = e.student
   WHERE e.course = c.uuid AND e.status IN {_ENROLLED}) END""",
)

_JOINS = (
    "LEFT JOIN users u ON u.uuid = c.instructor LEFT JOIN categories g ON g.uuid = c.category_uuid"
    " LEFT JOIN course_stats s ON s.course = c.uuid"
)

_NAMED = "strpos(normalize(c.search_words, NFKC), q.first) > 0"
_SEARCH = """q AS MATERIALIZED (
  SELECT websearch_to_tsquery('english', w.words) AS query, w.words, s.*
  FROM (SELECT plain_words(:search) AS words) w, sign_query(w.words) s),
 exact AS MATERIALIZED (
  SELECT uuid, max(rank) AS rank FROM (
   SELECT c.uuid, ts_rank(c.search, q.query) AS rank
   FROM q, courses c WHERE c.search @@ q.query AND {visible}
   UNION ALL
   SELECT c.uuid, CASE WHEN {named} THEN 1.0::real ELSE 0.1::real END
   FROM q, courses c WHERE q.rest IS NULL AND c.search_grams @> q.grams AND {visible}
   UNION ALL
   SELECT c.uuid, CASE WHEN {named} THEN 1.0::real ELSE 0.1::real END
    + ts_rank(c.search, q.rest)
   FROM q, courses c WHERE c.search_grams @> q.grams AND c.search @@ q.rest AND {visible}) found
  GROUP BY uuid),
 missed AS MATERIALIZED (
  SELECT words, corrected_query(words) AS query FROM q
  WHERE grams IS NULL AND NOT EXISTS (SELECT FROM exact)),
 mended AS MATERIALIZED (
  SELECT c.uuid, ts_rank(c.search, missed.query) AS rank
  FROM missed, courses c WHERE c.search @@ missed.query AND {visible}),
 hits AS MATERIALIZED (
  SELECT uuid, rank FROM exact UNION ALL SELECT uuid, rank FROM mended UNION ALL
  SELECT near.uuid, near.rank FROM (
   SELECT c.uuid, s.rank, max(s.rank) OVER () AS best
   FROM missed, similar_courses(missed.words) s, courses c WHERE c.uuid = s.uuid AND {visible}) AS near
  WHERE near.rank >= 0.8 * near.best AND NOT EXISTS (SELECT FROM mended))"""

PUBLIC = "c.status = 'published' AND c.deleted_at IS NULL"
_CONDITIONS = {
    "category": """c.category_uuid IN (WITH RECURSIVE inside AS (
   SELECT uuid FROM categories WHERE deleted_at IS NULL AND (slug = :category OR uuid::text = :category)
   UNION SELECT k.uuid FROM categories k JOIN inside i ON k.parent_uuid = i.uuid WHERE k.deleted_at IS NULL)
  SELECT uuid FROM inside)""",
    "tag": "c.tags && ARRAY(SELECT t.name::text FROM tags t"
    " WHERE t.name = CAST(:tag AS citext) OR t.slug = :tag)",
    "level": "c.level = :level",
    "language": "lower(c.language) = lower(:language)",
    "instructor": "(c.instructor = CAST(:instructor AS uuid)"
    " OR c.co_instructors @> ARRAY[CAST(:instructor AS uuid)])",
    "min_rating": "s.average_rating >= CAST(:min_rating AS numeric)",
    "is_featured": "c.is_featured = CAST(:is_featured AS boolean)",
    "status": "c.status = :status",
    "uuid": "c.uuid = CAST(:uuid AS uuid)",
}
_SEEN = f"""c.deleted_at IS NULL AND (c.status = 'published' OR CAST(:manages AS boolean) OR {_OWNS}
  OR c.status = 'archived' AND EXISTS (SELECT FROM enrollments e WHERE e.student = CAST(:user AS uuid)
   AND e.course = c.uuid AND e.status IN {_ENROLLED}))"""
_FAVORITE = 'SELECT FROM favorites f WHERE f."user" = CAST(:user AS uuid) AND f.course_uuid = c.uuid'
_REMEMBERED = _FAVORITE.replace("SELECT FROM", "SELECT f.created_at FROM")
_ORDERS = {
    "relevance": "h.rank DESC, c.published_at DESC NULLS LAST, c.uuid",
    "newest": "c.published_at DESC, c.uuid",
    "popular": "s.enrolled_count DESC, c.published_at DESC NULLS LAST, c.uuid",
    "rating": "s.average_rating DESC, s.reviews_count DESC, s.course",
    "duration": "c.hours, c.uuid",
    "changed": "c.updated_at DESC, c.uuid",
    "remembered": f"({_REMEMBERED}) DESC, c.uuid",
}


@dataclass(frozen=True, slots=True)
class CourseQuery:
    """Search, filters and order of a list; `filters` by the names of `_CONDITIONS`, with checked values."""

    filters: Mapping[str, Any] = field(default_factory=dict)
    search: str | None = None
    sort: str = "newest"
    own: bool = False


def search_terms(visible: str) -> str:
    """The common table expressions of a search; its results are `hits`."""
    return _SEARCH.format(visible=visible, named=_NAMED)


def matching(
    filters: tuple[str, ...], search: bool, visible: str = PUBLIC, *, by_stats: bool = False
) -> tuple[str, str]:
    """FROM and WHERE of the courses `c` that match. Every course has its row of numbers."""
    source = "courses c"
    if search:
        source += " JOIN hits h ON h.uuid = c.uuid"
    if by_stats or "min_rating" in filters:
        source += " JOIN course_stats s ON s.course = c.uuid"
    return source, " AND ".join([visible, *(_CONDITIONS[name] for name in filters)])


@lru_cache(maxsize=1024)
def list_statement(
    filters: tuple[str, ...], search: bool, sort: str, own: bool, visible: str, signed_in: bool
) -> TextClause:
    """The statement of one kind of list; it answers the count and the cards as bytes of JSON."""
    source, where = matching(filters, search, visible, by_stats=sort in ("popular", "rating"))
    if own:
        where += f" AND {_OWNS}"
    order = _ORDERS[sort]
    with_search = f"WITH {search_terms(visible)} " if search else ""
    rank = ", h.rank" if search else ""
    # The page is cut before anything is joined to it; `h` and `c` are its names outside, too.
    outer = order.replace("h.rank", "c.rank")
    return text(
        f"{with_search}SELECT (SELECT count(*) FROM {source} WHERE {where}), convert_to(coalesce("
        f"(SELECT json_agg(row_to_json(card)) FROM (SELECT {_SIGNED_IN if signed_in else _ANONYMOUS}"
        f" FROM (SELECT c.*{rank} FROM {source} WHERE {where} ORDER BY {order} LIMIT :size OFFSET :offset) c"
        f" {_JOINS} ORDER BY {outer}) card), '[]')::text, 'UTF8')"
    )


def viewer(who: Principal | None) -> dict[str, Any]:
    """The parameters that name the reader; none for the anonymous, whose statement has no such parameters."""
    if who is None:
        return {}
    return {
        "user": str(who.user),
        "teacher": str(who.user) if at_least(who, "teacher") else None,
        "manages": at_least(who, "manager"),
    }


async def list_courses(
    reader: AsyncConnection | AsyncSession,
    who: Principal | None,
    wanted: CourseQuery,
    size: int,
    offset: int = 0,
    visible: str = PUBLIC,
) -> tuple[int, bytes]:
    """The number of matching courses, and one page of cards as JSON."""
    statement = list_statement(
        tuple(sorted(wanted.filters)),
        wanted.search is not None,
        wanted.sort,
        wanted.own,
        visible,
        who is not None,
    )
    parameters = {**viewer(who), **wanted.filters, "size": size, "offset": offset}
    if wanted.search is not None:
        parameters["search"] = wanted.search
    row = (await reader.execute(statement, parameters)).one()
    return row[0], bytes(row[1])


async def list_own(
    reader: AsyncConnection | AsyncSession, who: Principal, wanted: CourseQuery
) -> tuple[int, bytes]:
    """All courses that a person teaches, in every status, the last changed first."""
    return await list_courses(reader, who, wanted, MOST_OWN, visible="c.deleted_at IS NULL")


async def list_favorites(
    reader: AsyncConnection | AsyncSession, who: Principal, size: int, offset: int
) -> tuple[int, bytes]:
    """The favourite courses that a person may still see, the last added first."""
    visible = f"{_SEEN} AND EXISTS ({_FAVORITE})"
    return await list_courses(reader, who, CourseQuery(sort="remembered"), size, offset, visible)


async def get_card(session: AsyncSession, who: Principal | None, uuid: UUID) -> dict[str, Any]:
    """The card of one course, which the caller has authorised. Raises NotFound if it is gone meanwhile."""
    _, cards = await list_courses(
        session, who, CourseQuery({"uuid": str(uuid)}), 1, visible="c.deleted_at IS NULL"
    )
    found: list[dict[str, Any]] = orjson.loads(cards)
    if not found:
        raise NotFound
    return found[0]


def page_bytes(
    page: Paging, count: int, cards: bytes, *, whole: bool = False, facets: dict[str, Any] | None = None
) -> bytes:
    """`{count, next, previous, results}` around cards that are JSON already; `facets` where asked for."""
    frame = page.answer(count, ())
    more = not whole and page.offset + page.size < count
    frame["next"] = page.link(page=page.page + 1) if more else None
    if whole:
        frame["previous"] = None
    del frame["results"]
    if facets is not None:
        frame["facets"] = facets
    return orjson.dumps(frame)[:-1] + b',"results":' + cards + b"}"

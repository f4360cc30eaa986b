"""Facets of a list: how many courses each further filter would leave, by category, level, language, tag."""

from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.courses.queries import PUBLIC, CourseQuery, matching, search_terms

MOST_TAGS = 50
# Each category with itself and every one that it lies within: a filter by these takes its courses, too.
_WITHIN = """within AS (
  SELECT uuid, uuid AS above FROM categories WHERE deleted_at IS NULL
  UNION SELECT w.uuid, p.uuid FROM within w JOIN categories g ON g.uuid = w.above
   JOIN categories p ON p.uuid = g.parent_uuid AND p.deleted_at IS NULL)"""
_VALUES = {
    "category": (
        "JOIN within w ON w.uuid = c.category_uuid JOIN categories g ON g.uuid = w.above",
        "g.uuid, g.name, g.slug, count(*)::int AS count",
        "GROUP BY g.uuid ORDER BY count(*) DESC, g.name",
    ),
    "level": ("", "c.level AS value, count(*)::int AS count", "GROUP BY c.level ORDER BY count(*) DESC, 1"),
    "language": (
        "",
        "c.language AS value, count(*)::int AS count",
        "GROUP BY c.language ORDER BY count(*) DESC, 1",
    ),
    "tag": (
        "CROSS JOIN LATERAL unnest(c.tags) AS t(name)",
        "t.name AS value, count(*)::int AS count",
        f"GROUP BY t.name ORDER BY count(*) DESC, 1 LIMIT {MOST_TAGS}",
    ),
}


@lru_cache(maxsize=256)
def facet_statement(filters: tuple[str, ...], search: bool) -> TextClause:
    """One statement for all facets. Each ignores its own filter, so that another value can be chosen."""
    parts = []
    for name, (join, columns, rest) in _VALUES.items():
        source, where = matching(tuple(each for each in filters if each != name), search)
        parts.append(
            f"'{name}', (SELECT coalesce(json_agg(row_to_json(f)), '[]')"
            f" FROM (SELECT {columns} FROM {source} {join} WHERE {where} {rest}) f)"
        )
    terms = f", {search_terms(PUBLIC)}" if search else ""
    return text(f"WITH RECURSIVE {_WITHIN}{terms} SELECT json_build_object({', '.join(parts)})::text")


async def count_facets(reader: AsyncConnection, wanted: CourseQuery) -> dict[str, Any]:
    """The facets of a public list."""
    parameters: dict[str, Any] = dict(wanted.filters)
    if wanted.search is not None:
        parameters["search"] = wanted.search
    statement = facet_statement(tuple(sorted(wanted.filters)), wanted.search is not None)
    found: dict[str, Any] = orjson.loads((await reader.execute(statement, parameters)).scalar_one())
    return found

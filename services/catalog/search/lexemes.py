"""Words of published courses, with which misspelt searches are compared (`corrected_query`).

Words are added when a course is published; a sweep rebuilds the table from the search index.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

# Those who note words do so side by side, in the order of the words; others want to be alone.
SHARED = text("SELECT pg_advisory_xact_lock_shared(hashtext('catalog.lexemes'))")
LOCK = text("SELECT pg_advisory_xact_lock(hashtext('catalog.lexemes'))")
_PUBLISHED = "status = 'published' AND deleted_at IS NULL"
_COMPARED = "length(word) BETWEEN 3 AND 40 AND word ~ '^[[:alnum:]]*[[:alpha:]][[:alnum:]]*$'"
NOTE = text(
    "INSERT INTO course_lexemes (word, courses)"
    " SELECT DISTINCT word, 1 FROM courses, unnest(tsvector_to_array(search)) AS word"
    f" WHERE uuid = ANY(:courses) AND {_PUBLISHED} AND {_COMPARED} ORDER BY word ON CONFLICT DO NOTHING"
).bindparams(bindparam("courses", type_=ARRAY(Uuid())))
FORGET = text(
    "DELETE FROM course_lexemes"
    " WHERE word = ANY(tsvector_to_array(to_tsvector('english', plain_words(:names))))"
    f" AND NOT EXISTS (SELECT FROM courses WHERE search @@ plainto_tsquery('simple', word) AND {_PUBLISHED})"
)
REFRESH = text(
    "WITH found AS MATERIALIZED (SELECT word, ndoc FROM ts_stat("
    "'SELECT search FROM courses WHERE status = ''published'' AND deleted_at IS NULL')"
    f" WHERE {_COMPARED}),"
    " gone AS (DELETE FROM course_lexemes l WHERE NOT EXISTS (SELECT FROM found f WHERE f.word = l.word))"
    " INSERT INTO course_lexemes AS l (word, courses) SELECT word, ndoc FROM found"
    " ON CONFLICT (word) DO UPDATE SET courses = excluded.courses WHERE l.courses <> excluded.courses"
)


async def add_words(session: AsyncSession, courses: Collection[UUID]) -> None:
    """Add the words of those of these courses that are published. The caller holds their row locks."""
    if courses:
        await session.execute(SHARED)
        await session.execute(NOTE, {"courses": list(courses)})


async def remove_names(session: AsyncSession, names: Collection[str]) -> None:
    """Remove the words of names that courses no longer show, except those that some course still has."""
    if any(names):
        await session.execute(LOCK)
        await session.execute(FORGET, {"names": " ".join(names)})


async def refresh_lexemes(session: AsyncSession) -> None:
    """Rebuild the table: add the words of published courses, remove those that no course has any more."""
    await session.execute(LOCK)
    await session.execute(REFRESH)

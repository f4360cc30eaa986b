"""The words that misspelt searches are compared with (`corrected_query`), drawn from the search index."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

LOCK = text("SELECT pg_advisory_xact_lock(hashtext('catalog.lexemes'))")
# Without weight B, which holds the names of instructors.
REFRESH = text(
    "WITH found AS MATERIALIZED (SELECT word, ndoc FROM ts_stat("
    "'SELECT search FROM courses WHERE status = ''published'' AND deleted_at IS NULL', 'acd')"
    " WHERE length(word) BETWEEN 4 AND 40 AND word ~ '^[[:alpha:]]+$'),"
    " gone AS (DELETE FROM course_lexemes l WHERE NOT EXISTS (SELECT FROM found f WHERE f.word = l.word))"
    " INSERT INTO course_lexemes AS l (word, courses) SELECT word, ndoc FROM found"
    " ON CONFLICT (word) DO UPDATE SET courses = excluded.courses WHERE l.courses <> excluded.courses"
)


async def refresh_lexemes(session: AsyncSession) -> None:
    """Take in the words of what was published since, and forget those that no course has any more."""
    await session.execute(LOCK)
    await session.execute(REFRESH)

"""Near words beside the nearest, and searches of signs alone."""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Each word is itself, and where no course has it those that it is with two neighbours swapped (trigrams find these
# badly in short words), the nearest by trigrams, and all that are near. What is no word for a query, such as the
# path of an address that holds signs alone, is left out; the query is NULL when nothing remains.
CORRECT = """CREATE OR REPLACE FUNCTION corrected_query(words text) RETURNS tsquery
    LANGUAGE sql STABLE PARALLEL SAFE SET pg_trgm.similarity_threshold = 0.3
    BEGIN ATOMIC
        SELECT string_agg('(' || (
            SELECT string_agg(
                nullif(plainto_tsquery('pg_catalog.simple'::regconfig, chosen.word)::text, ''), ' | '
            )
            FROM (
                SELECT l.lexeme AS word
                UNION ALL
                SELECT near.word FROM (
                    SELECT tried.word, tried.distance, rank() OVER (ORDER BY tried.distance) AS place FROM (
                        SELECT k.word, 0::real AS distance
                        FROM generate_series(1, length(l.lexeme) - 1) AS n
                        JOIN course_lexemes k ON k.word = overlay(l.lexeme PLACING
                            reverse(substr(l.lexeme, n, 2)) FROM n FOR 2)
                        UNION ALL
                        SELECT k.word, 1 - public.similarity(k.word, l.lexeme)
                        FROM course_lexemes k
                        WHERE k.word OPERATOR(public.%) l.lexeme
                            AND abs(length(k.word) - length(l.lexeme)) <= 2
                    ) AS tried
                ) AS near
                WHERE (near.place <= 3 OR near.distance <= 0.5)
                    AND NOT EXISTS (SELECT FROM course_lexemes k WHERE k.word = l.lexeme)
            ) AS chosen
        ) || ')', ' & ')::tsquery
        FROM unnest(to_tsvector('pg_catalog.english'::regconfig, words)) AS l;
    END"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(CORRECT)


def downgrade() -> None:
    # The release before works with the mended `corrected_query`, too.
    pass

"""Words for misspelt searches."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Each word that no course has is replaced by those that are it with two neighbours swapped (trigrams find these
# badly in short words), or else by the nearest by trigrams. A word without any stays, and finds nothing.
CORRECT = """CREATE FUNCTION corrected_query(words text) RETURNS tsquery
    LANGUAGE sql STABLE PARALLEL SAFE SET pg_trgm.similarity_threshold = 0.3
    BEGIN ATOMIC
        SELECT string_agg('(' || (
            SELECT string_agg(plainto_tsquery('pg_catalog.simple'::regconfig, chosen.word)::text, ' | ')
            FROM (
                SELECT l.lexeme AS word
                WHERE EXISTS (SELECT FROM course_lexemes k WHERE k.word = l.lexeme)
                UNION ALL
                SELECT near.word FROM (
                    SELECT tried.word, rank() OVER (ORDER BY tried.distance) AS place FROM (
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
                WHERE near.place <= 3
                    AND NOT EXISTS (SELECT FROM course_lexemes k WHERE k.word = l.lexeme)
                UNION ALL
                SELECT l.lexeme
                WHERE NOT EXISTS (SELECT FROM course_lexemes k WHERE k.word = l.lexeme)
            ) AS chosen
        ) || ')', ' & ')::tsquery
        FROM unnest(to_tsvector('pg_catalog.english'::regconfig, words)) AS l;
    END"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "course_lexemes",
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("courses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("word", name=op.f("pk_course_lexemes")),
    )
    op.create_index(
        "ix_course_lexemes_word_trigrams",
        "course_lexemes",
        ["word"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"word": "gin_trgm_ops"},
    )
    op.execute(CORRECT)


def downgrade() -> None:
    op.execute("DROP FUNCTION corrected_query(text)")
    op.drop_table("course_lexemes")

"""Words of scripts without spaces, and hours from lessons."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Characters of scripts that are written without spaces, or whose words (Korean) are parts of what stands between
# spaces: Thai, Lao, Tibetan, Myanmar, Khmer, Hangul, kana, Bopomofo, Han.
SIGNS = (
    r"\u0E00-\u0FFF\u1000-\u109F\u1100-\u11FF\u1780-\u17FF\u3005-\u3007\u3040-\u312F\u3130-\u318F\u31A0-\u31BF"
    r"\u31F0-\u31FF\u3400-\u4DBF\u4E00-\u9FFF\uA960-\uA97F\uAC00-\uD7FF\uF900-\uFAFF\uFF66-\uFF9F"
    r"\U00020000-\U0003FFFF"
)
BEFORE = """CREATE OR REPLACE FUNCTION plain_words(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN lower(public.unaccent('public.unaccent'::regdictionary, value))"""
# A Latin word beside such characters is a word of its own; other texts stay as they were.
PLAIN = f"""CREATE OR REPLACE FUNCTION plain_words(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN regexp_replace(regexp_replace(
        lower(public.unaccent('public.unaccent'::regdictionary, value)),
        '([a-z0-9])([{SIGNS}])', '\\1 \\2', 'g'), '([{SIGNS}])([a-z0-9])', '\\1 \\2', 'g')"""
# Each such character, and each with the next one: a word of any length is found inside others by its pairs.
GRAMS = f"""CREATE FUNCTION sign_grams(value text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT coalesce(array_agg(DISTINCT gram), '{{}}') FROM (
            SELECT unnest(ARRAY[sign, sign || next]) AS gram FROM (
                SELECT c.sign, lead(c.sign) OVER (PARTITION BY r.number ORDER BY c.place) AS next
                FROM regexp_matches(lower(normalize(value, NFKC)), '[{SIGNS}]+', 'g') WITH ORDINALITY AS r(run, number),
                    unnest(string_to_array(r.run[1], NULL)) WITH ORDINALITY AS c(sign, place)
            ) AS signs
        ) AS grams WHERE gram IS NOT NULL;
    END"""
COURSE = """CREATE FUNCTION course_grams(
        title text, tags text[], instructor text, summary text, description text, outcomes text
    ) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sign_grams(title || E'\\n' || array_to_string(tags, E'\\n') || E'\\n' || instructor || E'\\n' || summary
        || E'\\n' || description || E'\\n' || outcomes)"""
# What a search asks of such characters: `grams` to be contained (NULL: nothing is asked), the first run of them,
# and the rest of the words. What is to be absent (`-word`) belongs to the rest.
QUERY = f"""CREATE FUNCTION sign_query(words text, OUT grams text[], OUT first text, OUT rest tsquery)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
        WITH asked AS (
            SELECT regexp_replace(words, '(^|\\s)-\\S+', ' ', 'g') AS wanted,
                coalesce((SELECT string_agg(m[1], ' ') FROM regexp_matches(words, '(?:^|\\s)(-\\S+)', 'g') AS m), '') AS absent
        ), runs AS (
            SELECT r.run[1] AS run, r.number FROM asked,
                regexp_matches(lower(normalize(asked.wanted, NFKC)), '[{SIGNS}]+', 'g') WITH ORDINALITY AS r(run, number)
        ), others AS (
            SELECT websearch_to_tsquery('pg_catalog.english'::regconfig,
                regexp_replace(asked.wanted, '[{SIGNS}]+', ' ', 'g') || ' ' || asked.absent) AS query FROM asked
        )
        SELECT (SELECT array_agg(DISTINCT g.gram) FROM runs, unnest(sign_grams(runs.run)) AS g(gram)
                WHERE length(runs.run) = 1 OR length(g.gram) > 1),
            (SELECT runs.run FROM runs ORDER BY runs.number LIMIT 1),
            (SELECT others.query FROM others WHERE numnode(others.query) > 0);
    END"""
SEARCH = "course_search(title, tags, instructor_name, short_description, description, learning_outcomes)"
AGAIN = (
    f"ALTER TABLE courses ALTER COLUMN search SET EXPRESSION AS ({SEARCH}),"
    " ALTER COLUMN search_words SET EXPRESSION AS (course_words(title, tags, instructor_name))"
)
# Of what learners see, or while there is no revision, of what the authors are working on.
BACKFILL = """UPDATE courses c SET lesson_minutes = found.minutes FROM (
        SELECT c.uuid, sum(coalesce(l.minutes, ceil(l.seconds / 60.0), 0))::int AS minutes
        FROM courses c LEFT JOIN course_revisions r ON r.course_uuid = c.uuid AND r.number = c.revision
        CROSS JOIN LATERAL (
            SELECT (shown->>'estimated_time_minutes')::int AS minutes, (shown->>'video_duration')::int AS seconds
            FROM jsonb_path_query(r.content, '$[*].lessons[*]') AS shown
            UNION ALL
            SELECT w.estimated_time_minutes, w.video_duration FROM lessons w
            WHERE c.revision IS NULL AND w.course_uuid = c.uuid AND w.removed_at IS NULL
        ) AS l GROUP BY c.uuid
    ) AS found WHERE found.uuid = c.uuid AND found.minutes <> 0"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in (PLAIN, GRAMS, COURSE, QUERY):
        op.execute(statement)
    op.add_column("courses", sa.Column("lesson_minutes", sa.Integer(), server_default="0", nullable=False))
    op.execute(BACKFILL)
    # Checks of rows that wait for the end of the transaction would keep the table from being altered.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.add_column(
        "courses",
        sa.Column(
            "hours",
            sa.Float(),
            sa.Computed("coalesce(duration_hours, round(lesson_minutes / 60.0, 2)::float8)", persisted=True),
            nullable=False,
        ),
    )
    op.add_column(
        "courses",
        sa.Column(
            "search_grams",
            postgresql.ARRAY(sa.Text()),
            sa.Computed(SEARCH.replace("course_search", "course_grams"), persisted=True),
            nullable=False,
        ),
    )
    op.execute(AGAIN)
    op.create_index(
        op.f("ix_courses_search_grams"), "courses", ["search_grams"], unique=False, postgresql_using="gin"
    )
    op.create_index(
        "ix_courses_hours",
        "courses",
        ["hours", "uuid"],
        unique=False,
        postgresql_where=sa.text("status = 'published' AND deleted_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_courses_hours",
        table_name="courses",
        postgresql_where=sa.text("status = 'published' AND deleted_at IS NULL"),
    )
    op.drop_index(op.f("ix_courses_search_grams"), table_name="courses", postgresql_using="gin")
    op.drop_column("courses", "search_grams")
    op.drop_column("courses", "hours")
    op.drop_column("courses", "lesson_minutes")
    op.execute("DROP FUNCTION sign_query(text)")
    op.execute("DROP FUNCTION course_grams(text, text[], text, text, text, text)")
    op.execute("DROP FUNCTION sign_grams(text)")
    op.execute(BEFORE)
    op.execute(AGAIN)

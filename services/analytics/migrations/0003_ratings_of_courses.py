"""Ratings of courses in the read models."""

from collections.abc import Sequence

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Projections are schemas of their own (`projection_<number>`). What they show comes from the log, as a rebuild
# would take it: the newest state of each course.
UPGRADE = """
DO $$
DECLARE
    projection text;
BEGIN
    FOR projection IN
        SELECT schemaname FROM pg_tables WHERE tablename = 'courses' AND schemaname ~ '^projection_[0-9]+$'
    LOOP
        EXECUTE format('ALTER TABLE %I.courses ADD COLUMN average_rating double precision,'
            ' ADD COLUMN reviews_count integer', projection);
        EXECUTE format('UPDATE %I.courses c SET'
            ' average_rating = coalesce((e.payload->>''average_rating'')::float, 0),'
            ' reviews_count = coalesce((e.payload->>''reviews_count'')::int, 0)'
            ' FROM (SELECT DISTINCT ON (key) key, payload FROM event_log WHERE topic = ''catalog.courses'''
            ' ORDER BY key, seq DESC) e WHERE e.key = c.uuid::text', projection);
    END LOOP;
END $$
"""
DOWNGRADE = """
DO $$
DECLARE
    projection text;
BEGIN
    FOR projection IN
        SELECT schemaname FROM pg_tables WHERE tablename = 'courses' AND schemaname ~ '^projection_[0-9]+$'
    LOOP
        EXECUTE format('ALTER TABLE %I.courses DROP COLUMN average_rating,'
            ' DROP COLUMN reviews_count', projection);
    END LOOP;
END $$
"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(DOWNGRADE)

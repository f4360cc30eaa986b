"""Aggregates of the live projection.

In a transaction of their own: while they are summed up the projection can be read, but not written.
"""

from collections.abc import Sequence

from alembic import op

from services.analytics.projection import keep_live

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


VIEWS = """
DO $$
DECLARE
    views text;
BEGIN
    FOR views IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^analytics_views' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', views);
    END LOOP;
END $$
"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    keep_live(op.get_bind())


def downgrade() -> None:
    """What is kept beside the base tables does not hinder the release before; the next rebuild drops it.

    The views of analysts would: no column of theirs could be dropped.
    """
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(VIEWS)

"""Indexes for each order of the list."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_course_stats_popular",
        "course_stats",
        [sa.literal_column("enrolled_count DESC"), "course"],
        unique=False,
    )
    op.create_index(
        "ix_course_stats_rating",
        "course_stats",
        [sa.literal_column("average_rating DESC"), sa.literal_column("reviews_count DESC"), "course"],
        unique=False,
    )
    op.create_index(
        "ix_courses_duration",
        "courses",
        ["duration_hours", "uuid"],
        unique=False,
        postgresql_where=sa.text("status = 'published' AND deleted_at IS NULL"),
    )
    op.execute("INSERT INTO course_stats (course) SELECT uuid FROM courses ON CONFLICT DO NOTHING")


def downgrade() -> None:
    op.drop_index(
        "ix_courses_duration",
        table_name="courses",
        postgresql_where=sa.text("status = 'published' AND deleted_at IS NULL"),
    )
    op.drop_index("ix_course_stats_rating", table_name="course_stats")
    op.drop_index("ix_course_stats_popular", table_name="course_stats")

"""Totals of enrolments."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("enrollments", sa.Column("study_seconds", sa.Integer(), server_default="0", nullable=False))
    op.add_column("enrollments", sa.Column("points", sa.Integer(), server_default="0", nullable=False))
    op.execute(
        "UPDATE enrollments e SET study_seconds = s.seconds, points = s.points FROM"
        " (SELECT enrollment, sum(study_seconds) AS seconds, sum(points) AS points FROM lesson_progress"
        " GROUP BY enrollment) s WHERE s.enrollment = e.uuid"
    )


def downgrade() -> None:
    op.drop_column("enrollments", "points")
    op.drop_column("enrollments", "study_seconds")

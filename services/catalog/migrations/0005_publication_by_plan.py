"""Publication by plan."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("courses", sa.Column("publish_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_courses_due",
        "courses",
        ["publish_at"],
        unique=False,
        postgresql_where=sa.text("publish_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_courses_due", table_name="courses", postgresql_where=sa.text("publish_at IS NOT NULL"))
    op.drop_column("courses", "publish_at")

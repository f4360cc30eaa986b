"""Ratings of courses."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("courses", sa.Column("average_rating", sa.Float(), server_default="0", nullable=False))
    op.add_column("courses", sa.Column("reviews_count", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("courses", "reviews_count")
    op.drop_column("courses", "average_rating")

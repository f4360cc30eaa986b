"""Rubrics"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "assignments",
        sa.Column("rubric", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
    )
    op.add_column(
        "submissions",
        sa.Column("rubric_scores", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    )
    op.create_index(
        "ix_submissions_waiting",
        "submissions",
        ["assignment"],
        unique=False,
        postgresql_where=sa.text("status = 'submitted'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_submissions_waiting", table_name="submissions", postgresql_where=sa.text("status = 'submitted'")
    )
    op.drop_column("submissions", "rubric_scores")
    op.drop_column("assignments", "rubric")

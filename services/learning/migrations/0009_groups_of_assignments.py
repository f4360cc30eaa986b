"""Groups of assignments"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "assignments",
        sa.Column("teams", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
    )
    op.add_column("submission_versions", sa.Column("submitted_by", sa.Uuid(), nullable=True))
    op.add_column("submissions", sa.Column("team", sa.Uuid(), nullable=True))
    op.add_column(
        "submissions", sa.Column("individual", sa.Boolean(), server_default="false", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("submissions", "individual")
    op.drop_column("submissions", "team")
    op.drop_column("submission_versions", "submitted_by")
    op.drop_column("assignments", "teams")

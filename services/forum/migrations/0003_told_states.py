"""Which version of a discussion `forum.discussions` was told.

Expand, backfill, contract: this must work while the previous release is running. Its changes leave
`state_version` behind, and so do all discussions from before: the sweep `publish_states` tells them.
"""

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
    op.add_column(
        "discussions", sa.Column("state_version", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.create_index(
        "ix_discussions_unsaid",
        "discussions",
        ["uuid"],
        unique=False,
        postgresql_where=sa.text("state_version < version"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_discussions_unsaid",
        table_name="discussions",
        postgresql_where=sa.text("state_version < version"),
    )
    op.drop_column("discussions", "state_version")

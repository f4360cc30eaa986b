"""Thumbnails."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "thumbnails",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_thumbnails")),
        sa.UniqueConstraint("url", name=op.f("uq_thumbnails_url")),
    )
    op.create_index(op.f("ix_thumbnails_created_at"), "thumbnails", ["created_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_thumbnails_created_at"), table_name="thumbnails")
    op.drop_table("thumbnails")

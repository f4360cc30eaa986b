"""Who and what a notification names.

Expand, backfill, contract: this must work while the previous release is running. Its notifications have no
`facts`, and name nobody.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "discussion_titles",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_discussion_titles")),
    )
    op.add_column("notifications", sa.Column("actor", sa.Uuid(), nullable=True))
    op.add_column("notifications", sa.Column("discussion", sa.Uuid(), nullable=True))
    op.add_column("notifications", sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    for name in ("actor", "discussion"):
        op.create_index(
            op.f(f"ix_notifications_{name}"),
            "notifications",
            [name],
            unique=False,
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
        )


def downgrade() -> None:
    for name in ("discussion", "actor"):
        op.drop_index(
            op.f(f"ix_notifications_{name}"),
            table_name="notifications",
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
        )
    op.drop_column("notifications", "facts")
    op.drop_column("notifications", "discussion")
    op.drop_column("notifications", "actor")
    op.drop_table("discussion_titles")

"""How far the live projection is, and by which code it was folded."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from services.analytics.projection import widen

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

FILL = """
UPDATE live_projection SET since = now(),
    position = coalesce((SELECT max(position) FROM event_log), 0),
    as_of = (SELECT max(occurred_at) FROM event_log)
"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("live_projection", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        "live_projection", sa.Column("position", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("live_projection", sa.Column("as_of", sa.DateTime(timezone=True), nullable=True))
    op.execute(FILL)
    # A projection has no history of its own: it gets the columns that this release's code writes.
    widen(op.get_bind())


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("as_of", "position", "version"):
        op.drop_column("live_projection", name)

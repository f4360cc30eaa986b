"""Parts of exports and erasures."""

from collections.abc import Sequence

from alembic import op

from libs.common.data import shared_tables as shared

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    shared.create_privacy_parts_v1()


def downgrade() -> None:
    shared.drop_privacy_parts_v1()

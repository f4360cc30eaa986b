"""Processes."""

from collections.abc import Sequence

from alembic import op

from libs.common.data.shared_tables import create_processes_v1, drop_processes_v1

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    create_processes_v1()


def downgrade() -> None:
    drop_processes_v1()

"""First tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.common.data import shared_tables as shared

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    shared.create_service_tables_v1()
    op.create_table(
        "event_log",
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("position", "occurred_at", name=op.f("pk_event_log")),
        postgresql_partition_by="RANGE (occurred_at)",
    )
    op.execute("CREATE TABLE event_log_default PARTITION OF event_log DEFAULT")
    op.create_index(op.f("ix_event_log_topic_key_seq"), "event_log", ["topic", "key", "seq"], unique=False)
    op.create_index(op.f("ix_event_log_type_occurred_at"), "event_log", ["type", "occurred_at"], unique=False)
    op.create_table(
        "live_projection",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_live_projection_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_live_projection")),
    )


def downgrade() -> None:
    shared.drop_service_tables_v1()
    op.drop_table("live_projection")
    op.drop_index(op.f("ix_event_log_type_occurred_at"), table_name="event_log")
    op.drop_index(op.f("ix_event_log_topic_key_seq"), table_name="event_log")
    op.drop_table("event_log")

"""First tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from libs.common.data import shared_tables as shared

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "course_titles",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_course_titles")),
    )
    shared.create_service_tables_v1()
    op.create_table(
        "deliveries",
        sa.Column("recipient", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Uuid(), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'sending', 'sent', 'failed')", name=op.f("ck_deliveries_status")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("source", "recipient", "kind", name=op.f("uq_deliveries_source_recipient_kind")),
    )
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'sending')"),
    )
    op.create_table(
        "inboxes",
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user", name=op.f("pk_inboxes")),
    )
    op.create_table(
        "notifications",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Uuid(), nullable=False),
        sa.Column("notification_type", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("action_url", sa.Text(), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=True),
        sa.Column("is_read", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_notifications")),
        sa.UniqueConstraint("user", "seq", name=op.f("uq_notifications_user_seq")),
        sa.UniqueConstraint("user", "source", name=op.f("uq_notifications_user_source")),
    )
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["user"],
        unique=False,
        postgresql_where=sa.text("NOT is_read AND deleted_at IS NULL"),
    )
    op.create_index(
        op.f("ix_notifications_user_created_at_uuid"),
        "notifications",
        ["user", "created_at", "uuid"],
        unique=False,
    )
    op.create_table(
        "people",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_people")),
    )


def downgrade() -> None:
    op.drop_table("people")
    shared.drop_service_tables_v1()
    op.drop_index(op.f("ix_notifications_user_created_at_uuid"), table_name="notifications")
    op.drop_index(
        "ix_notifications_unread",
        table_name="notifications",
        postgresql_where=sa.text("NOT is_read AND deleted_at IS NULL"),
    )
    op.drop_table("notifications")
    op.drop_table("inboxes")
    op.drop_index(
        "ix_deliveries_waiting",
        table_name="deliveries",
        postgresql_where=sa.text("status IN ('pending', 'sending')"),
    )
    op.drop_table("deliveries")
    op.drop_table("course_titles")

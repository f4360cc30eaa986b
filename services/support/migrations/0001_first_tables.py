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
    op.execute(sa.schema.CreateSequence(sa.Sequence("ticket_numbers")))
    op.create_table(
        "course_titles",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_course_titles")),
    )
    shared.create_service_tables_v1()
    op.create_table(
        "people",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("avatar", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_people")),
    )
    op.create_table(
        "tickets",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("requester", sa.Uuid(), nullable=False),
        sa.Column("assigned_to", sa.Uuid(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=True),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("first_response_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_for", sa.Interval(), nullable=False),
        sa.Column("rating", sa.SmallInteger(), nullable=True),
        sa.Column("rating_comment", sa.Text(), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status = 'waiting') = (paused_since IS NOT NULL)", name=op.f("ck_tickets_paused")
        ),
        sa.CheckConstraint(
            "priority IN ('low', 'medium', 'high', 'urgent')", name=op.f("ck_tickets_priority")
        ),
        sa.CheckConstraint(
            "status IN ('open', 'in_progress', 'waiting', 'resolved', 'closed')",
            name=op.f("ck_tickets_status"),
        ),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_tickets_rating")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_tickets")),
        sa.UniqueConstraint("number", name=op.f("uq_tickets_number")),
    )
    op.create_index(op.f("ix_tickets_assigned_to"), "tickets", ["assigned_to"], unique=False)
    op.create_index(op.f("ix_tickets_requester"), "tickets", ["requester"], unique=False)
    op.create_index(op.f("ix_tickets_status_created_at"), "tickets", ["status", "created_at"], unique=False)
    op.create_table(
        "messages",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("ticket", sa.Uuid(), nullable=False),
        sa.Column("author", sa.Uuid(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("is_internal", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.uuid"], name=op.f("fk_messages_ticket_tickets")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_messages")),
    )
    op.create_index(op.f("ix_messages_ticket_created_at"), "messages", ["ticket", "created_at"], unique=False)


def downgrade() -> None:
    op.execute(sa.schema.DropSequence(sa.Sequence("ticket_numbers")))
    op.drop_index(op.f("ix_messages_ticket_created_at"), table_name="messages")
    op.drop_table("messages")
    op.drop_index(op.f("ix_tickets_status_created_at"), table_name="tickets")
    op.drop_index(op.f("ix_tickets_requester"), table_name="tickets")
    op.drop_index(op.f("ix_tickets_assigned_to"), table_name="tickets")
    op.drop_table("tickets")
    op.drop_table("people")
    shared.drop_service_tables_v1()
    op.drop_table("course_titles")

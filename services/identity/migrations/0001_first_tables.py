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
        "token_keys",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("public_jwk", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("signs_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_token_keys")),
    )
    op.create_table(
        "users",
        sa.Column("email", postgresql.CITEXT(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_verified", sa.Boolean(), nullable=False),
        sa.Column("avatar", sa.Text(), nullable=True),
        sa.Column("phone_number", sa.Text(), nullable=False),
        sa.Column("date_of_birth", sa.Date(), nullable=True),
        sa.Column("profile", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("date_joined", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_login", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "role IN ('student', 'teacher', 'moderator', 'manager', 'admin')", name=op.f("ck_users_role")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_index(op.f("ix_users_date_joined_uuid"), "users", ["date_joined", "uuid"], unique=False)
    op.create_table(
        "activities",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("user_uuid", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ip", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_uuid"], ["users.uuid"], name=op.f("fk_activities_user_uuid_users")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_activities")),
    )
    op.create_index(
        op.f("ix_activities_user_uuid_created_at_uuid"),
        "activities",
        ["user_uuid", "created_at", "uuid"],
        unique=False,
    )
    op.create_table(
        "code_mails",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("user_uuid", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code_hmac", sa.LargeBinary(), nullable=True),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "purpose IN ('verify', 'reset', 'known_address')", name=op.f("ck_code_mails_purpose")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'sending', 'sent', 'failed')", name=op.f("ck_code_mails_status")
        ),
        sa.ForeignKeyConstraint(["user_uuid"], ["users.uuid"], name=op.f("fk_code_mails_user_uuid_users")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_code_mails")),
    )
    op.create_index(op.f("ix_code_mails_user_uuid"), "code_mails", ["user_uuid"], unique=False)
    op.create_index(
        op.f("ix_code_mails_user_uuid_purpose_created_at"),
        "code_mails",
        ["user_uuid", "purpose", "created_at"],
        unique=False,
    )
    op.create_index(
        "ix_code_mails_waiting",
        "code_mails",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'sending')"),
    )
    op.create_table(
        "sessions",
        sa.Column("user_uuid", sa.Uuid(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("ip", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_uuid"], ["users.uuid"], name=op.f("fk_sessions_user_uuid_users")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_sessions")),
    )
    op.create_index(
        "ix_sessions_expires_at_live",
        "sessions",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(op.f("ix_sessions_user_uuid"), "sessions", ["user_uuid"], unique=False)
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("session_uuid", sa.Uuid(), nullable=False),
        sa.Column("predecessor", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_uuid"], ["sessions.uuid"], name=op.f("fk_refresh_tokens_session_uuid_sessions")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_refresh_tokens")),
    )
    op.create_index(op.f("ix_refresh_tokens_session_uuid"), "refresh_tokens", ["session_uuid"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_refresh_tokens_session_uuid"), table_name="refresh_tokens")
    op.drop_table("refresh_tokens")
    op.drop_index(op.f("ix_sessions_user_uuid"), table_name="sessions")
    op.drop_index(
        "ix_sessions_expires_at_live", table_name="sessions", postgresql_where=sa.text("ended_at IS NULL")
    )
    op.drop_table("sessions")
    op.drop_index(
        "ix_code_mails_waiting",
        table_name="code_mails",
        postgresql_where=sa.text("status IN ('pending', 'sending')"),
    )
    op.drop_index(op.f("ix_code_mails_user_uuid_purpose_created_at"), table_name="code_mails")
    op.drop_index(op.f("ix_code_mails_user_uuid"), table_name="code_mails")
    op.drop_table("code_mails")
    op.drop_index(op.f("ix_activities_user_uuid_created_at_uuid"), table_name="activities")
    op.drop_table("activities")
    op.drop_index(op.f("ix_users_date_joined_uuid"), table_name="users")
    op.drop_table("users")
    op.drop_table("token_keys")
    shared.drop_service_tables_v1()

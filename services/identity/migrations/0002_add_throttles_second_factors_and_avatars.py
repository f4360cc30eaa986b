"""Add throttles, second factors and avatars."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "throttles",
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "place", name=op.f("pk_throttles")),
    )
    op.create_index(op.f("ix_throttles_last_at"), "throttles", ["last_at"], unique=False)
    op.create_table(
        "avatar_files",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("user_uuid", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_uuid"], ["users.uuid"], name=op.f("fk_avatar_files_user_uuid_users")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_avatar_files")),
    )
    op.create_index(op.f("ix_avatar_files_created_at"), "avatar_files", ["created_at"], unique=False)
    op.create_index(op.f("ix_avatar_files_user_uuid"), "avatar_files", ["user_uuid"], unique=False)
    op.create_table(
        "code_tries",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("user_uuid", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_uuid"], ["users.uuid"], name=op.f("fk_code_tries_user_uuid_users")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_code_tries")),
    )
    op.create_index(
        op.f("ix_code_tries_user_uuid_purpose_tried_at"),
        "code_tries",
        ["user_uuid", "purpose", "tried_at"],
        unique=False,
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_uuid", sa.Uuid(), nullable=False),
        sa.Column("code_hmac", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_uuid"], ["users.uuid"], name=op.f("fk_recovery_codes_user_uuid_users")
        ),
        sa.PrimaryKeyConstraint("user_uuid", "code_hmac", name=op.f("pk_recovery_codes")),
    )
    op.create_table(
        "totp_secrets",
        sa.Column("user_uuid", sa.Uuid(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_uuid"], ["users.uuid"], name=op.f("fk_totp_secrets_user_uuid_users")),
        sa.PrimaryKeyConstraint("user_uuid", name=op.f("pk_totp_secrets")),
    )
    op.alter_column("token_keys", "private_key", existing_type=postgresql.BYTEA(), nullable=True)
    op.add_column(
        "users", sa.Column("mfa_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.drop_constraint(op.f("ck_code_mails_purpose"), "code_mails")
    op.create_check_constraint(
        op.f("ck_code_mails_purpose"),
        "code_mails",
        "purpose IN ('verify', 'reset', 'known_address', 'password_changed', 'mfa_enabled',"
        " 'mfa_disabled', 'recovery_codes_renewed')",
    )


def downgrade() -> None:
    op.execute("DELETE FROM code_mails WHERE purpose NOT IN ('verify', 'reset', 'known_address')")
    op.drop_constraint(op.f("ck_code_mails_purpose"), "code_mails")
    op.create_check_constraint(
        op.f("ck_code_mails_purpose"), "code_mails", "purpose IN ('verify', 'reset', 'known_address')"
    )
    op.execute("UPDATE token_keys SET private_key = '' WHERE private_key IS NULL")
    op.drop_column("users", "mfa_enabled")
    op.alter_column("token_keys", "private_key", existing_type=postgresql.BYTEA(), nullable=False)
    op.drop_table("totp_secrets")
    op.drop_table("recovery_codes")
    op.drop_index(op.f("ix_code_tries_user_uuid_purpose_tried_at"), table_name="code_tries")
    op.drop_table("code_tries")
    op.drop_index(op.f("ix_avatar_files_user_uuid"), table_name="avatar_files")
    op.drop_index(op.f("ix_avatar_files_created_at"), table_name="avatar_files")
    op.drop_table("avatar_files")
    op.drop_index(op.f("ix_throttles_last_at"), table_name="throttles")
    op.drop_table("throttles")

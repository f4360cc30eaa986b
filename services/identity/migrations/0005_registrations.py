"""Registrations."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "registrations",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("user_uuid", sa.Uuid(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("phone_number", sa.Text(), nullable=False),
        sa.Column("date_of_birth", sa.Date(), nullable=True),
        sa.Column("ip", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('student', 'teacher')", name=op.f("ck_registrations_role")),
        sa.ForeignKeyConstraint(["user_uuid"], ["users.uuid"], name=op.f("fk_registrations_user_uuid_users")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_registrations")),
    )
    op.create_index(op.f("ix_registrations_user_uuid"), "registrations", ["user_uuid"], unique=False)
    op.create_index(op.f("ix_registrations_created_at"), "registrations", ["created_at"], unique=False)
    op.add_column("code_mails", sa.Column("registration", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_code_mails_registration_registrations"),
        "code_mails",
        "registrations",
        ["registration"],
        ["uuid"],
        ondelete="SET NULL",
    )
    op.create_index(op.f("ix_code_mails_registration"), "code_mails", ["registration"], unique=False)
    # Who registered before gets another code on request. Codes mailed before tell of no registration and are
    # refused: they live for ten minutes.
    op.execute(
        "INSERT INTO registrations (uuid, user_uuid, password_hash, first_name, last_name, role, phone_number,"
        " date_of_birth, ip, device, created_at)"
        " SELECT gen_random_uuid(), uuid, password_hash, first_name, last_name, role, phone_number,"
        " date_of_birth, '', '', now() FROM users"
        " WHERE NOT is_verified AND erased_at IS NULL AND role IN ('student', 'teacher')"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("fk_code_mails_registration_registrations"), "code_mails", type_="foreignkey")
    op.drop_index(op.f("ix_code_mails_registration"), table_name="code_mails")
    op.drop_column("code_mails", "registration")
    op.drop_index(op.f("ix_registrations_created_at"), table_name="registrations")
    op.drop_index(op.f("ix_registrations_user_uuid"), table_name="registrations")
    op.drop_table("registrations")

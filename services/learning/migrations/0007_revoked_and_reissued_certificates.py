"""Revoked and reissued certificates"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("certificates", sa.Column("student_name", sa.Text(), nullable=True))
    op.add_column("certificates", sa.Column("replaces", sa.Uuid(), nullable=True))
    op.add_column("certificates", sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("certificates", sa.Column("revoked_by", sa.Uuid(), nullable=True))
    op.add_column(
        "certificates", sa.Column("revocation_reason", sa.Text(), server_default="", nullable=False)
    )
    op.drop_constraint(op.f("uq_certificates_enrollment"), "certificates", type_="unique")
    op.create_index(
        "ix_certificates_invalid_files",
        "certificates",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("status <> 'valid' AND pdf_path IS NOT NULL"),
    )
    op.create_index(
        "uq_certificates_first",
        "certificates",
        ["enrollment"],
        unique=True,
        postgresql_where=sa.text("replaces IS NULL"),
    )
    op.create_unique_constraint(op.f("uq_certificates_replaces"), "certificates", ["replaces"])
    op.create_index(
        "uq_certificates_valid",
        "certificates",
        ["enrollment"],
        unique=True,
        postgresql_where=sa.text("status = 'valid'"),
    )
    op.create_foreign_key(
        op.f("fk_certificates_replaces_certificates"), "certificates", "certificates", ["replaces"], ["uuid"]
    )
    op.create_check_constraint(
        op.f("ck_certificates_revoked"), "certificates", "(status = 'revoked') = (revoked_at IS NOT NULL)"
    )
    # What the PDFs say, as nearly as it is still known.
    op.execute(
        "UPDATE certificates c SET student_name = u.full_name FROM users u"
        " WHERE u.uuid = c.student AND c.issued_at IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("fk_certificates_replaces_certificates"), "certificates", type_="foreignkey")
    op.drop_index(
        "uq_certificates_valid", table_name="certificates", postgresql_where=sa.text("status = 'valid'")
    )
    op.drop_constraint(op.f("uq_certificates_replaces"), "certificates", type_="unique")
    op.drop_index(
        "uq_certificates_first", table_name="certificates", postgresql_where=sa.text("replaces IS NULL")
    )
    op.drop_index(
        "ix_certificates_invalid_files",
        table_name="certificates",
        postgresql_where=sa.text("status <> 'valid' AND pdf_path IS NOT NULL"),
    )
    op.drop_constraint(op.f("ck_certificates_revoked"), "certificates", type_="check")
    op.execute("DELETE FROM certificates WHERE replaces IS NOT NULL")
    op.create_unique_constraint(
        op.f("uq_certificates_enrollment"),
        "certificates",
        ["enrollment"],
        postgresql_nulls_not_distinct=False,
    )
    op.drop_column("certificates", "revocation_reason")
    op.drop_column("certificates", "revoked_by")
    op.drop_column("certificates", "revoked_at")
    op.drop_column("certificates", "replaces")
    op.drop_column("certificates", "student_name")

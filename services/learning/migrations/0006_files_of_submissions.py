"""Files of submissions"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "submission_files",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("submission", sa.Uuid(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(submission IS NULL) = (number IS NULL)", name=op.f("ck_submission_files_handed_in")
        ),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.uuid"], name=op.f("fk_submission_files_submission_submissions")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_submission_files")),
    )
    op.create_index(op.f("ix_submission_files_path"), "submission_files", ["path"], unique=False)
    op.create_index(op.f("ix_submission_files_student"), "submission_files", ["student"], unique=False)
    op.create_index(
        op.f("ix_submission_files_submission_number_position"),
        "submission_files",
        ["submission", "number", "position"],
        unique=False,
    )
    op.create_index(
        "ix_submission_files_waiting",
        "submission_files",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("submission IS NULL"),
    )
    op.add_column("assignments", sa.Column("allowed_types", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("assignments", sa.Column("max_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("assignments", "max_bytes")
    op.drop_column("assignments", "allowed_types")
    op.drop_index(
        "ix_submission_files_waiting",
        table_name="submission_files",
        postgresql_where=sa.text("submission IS NULL"),
    )
    op.drop_index(op.f("ix_submission_files_submission_number_position"), table_name="submission_files")
    op.drop_index(op.f("ix_submission_files_student"), table_name="submission_files")
    op.drop_index(op.f("ix_submission_files_path"), table_name="submission_files")
    op.drop_table("submission_files")

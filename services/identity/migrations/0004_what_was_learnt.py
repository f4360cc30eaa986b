"""What was learnt."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "enrollments",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("is_completed", sa.Boolean(), nullable=False),
        sa.Column("study_seconds", sa.Integer(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_enrollments")),
    )
    op.create_index(op.f("ix_enrollments_student"), "enrollments", ["student"], unique=False)
    op.add_column("users", sa.Column("courses_completed", sa.Integer(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("study_seconds", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("points", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("users", "points")
    op.drop_column("users", "study_seconds")
    op.drop_column("users", "courses_completed")
    op.drop_index(op.f("ix_enrollments_student"), table_name="enrollments")
    op.drop_table("enrollments")

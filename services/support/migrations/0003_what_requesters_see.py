"""What requesters see."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "seats",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_seats")),
    )
    op.create_index(op.f("ix_seats_student_course"), "seats", ["student", "course"], unique=False)
    op.add_column("tickets", sa.Column("shown_version", sa.Integer(), server_default="0", nullable=False))
    op.add_column(
        "tickets",
        sa.Column("shown_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    # Courses that were known before count as published until their next version comes.
    op.add_column("course_titles", sa.Column("status", sa.Text(), server_default="published", nullable=False))
    op.add_column(
        "course_titles",
        sa.Column("instructors", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
    )
    op.execute("UPDATE tickets SET shown_version = version, shown_at = updated_at")


def downgrade() -> None:
    op.drop_column("course_titles", "instructors")
    op.drop_column("course_titles", "status")
    op.drop_column("tickets", "shown_at")
    op.drop_column("tickets", "shown_version")
    op.drop_index(op.f("ix_seats_student_course"), table_name="seats")
    op.drop_table("seats")

"""Privacy jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "privacy_jobs",
        sa.Column("user_uuid", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("farewell", sa.Text(), nullable=True),
        sa.Column("progress", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("object", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(status = 'open') = (ended_at IS NULL)", name=op.f("ck_privacy_jobs_ended")),
        sa.CheckConstraint(
            "farewell IN ('pending', 'sending', 'sent', 'failed')", name=op.f("ck_privacy_jobs_farewell")
        ),
        sa.CheckConstraint(
            "kind = 'export' OR status IN ('open', 'done')", name=op.f("ck_privacy_jobs_erasure")
        ),
        sa.CheckConstraint("kind IN ('export', 'erasure')", name=op.f("ck_privacy_jobs_kind")),
        sa.CheckConstraint(
            "status IN ('open', 'done', 'failed', 'cancelled')", name=op.f("ck_privacy_jobs_status")
        ),
        sa.ForeignKeyConstraint(["user_uuid"], ["users.uuid"], name=op.f("fk_privacy_jobs_user_uuid_users")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_privacy_jobs")),
    )
    op.create_index(
        "ix_privacy_jobs_open_kind",
        "privacy_jobs",
        ["kind", "created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index(
        "ix_privacy_jobs_uncleared",
        "privacy_jobs",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_index(op.f("ix_privacy_jobs_user_uuid"), "privacy_jobs", ["user_uuid"], unique=False)
    op.create_index(
        "uq_privacy_jobs_open",
        "privacy_jobs",
        ["user_uuid", "kind"],
        unique=True,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_table(
        "privacy_parts",
        sa.Column("job", sa.Uuid(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("object", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job"], ["privacy_jobs.uuid"], name=op.f("fk_privacy_parts_job_privacy_jobs")
        ),
        sa.PrimaryKeyConstraint("job", "service", name=op.f("pk_privacy_parts")),
    )


def downgrade() -> None:
    op.drop_table("privacy_parts")
    op.drop_index(
        "uq_privacy_jobs_open", table_name="privacy_jobs", postgresql_where=sa.text("status = 'open'")
    )
    op.drop_index(op.f("ix_privacy_jobs_user_uuid"), table_name="privacy_jobs")
    op.drop_index(
        "ix_privacy_jobs_uncleared", table_name="privacy_jobs", postgresql_where=sa.text("cleared_at IS NULL")
    )
    op.drop_index(
        "ix_privacy_jobs_open_kind", table_name="privacy_jobs", postgresql_where=sa.text("status = 'open'")
    )
    op.drop_table("privacy_jobs")

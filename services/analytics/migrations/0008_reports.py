"""Reports."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Everybody's last state: what was heard before there were readers.
KNOWN = """
INSERT INTO readers (uuid, role, is_active, locale, time_zone)
SELECT key::uuid, payload->>'role', (payload->>'is_active')::boolean, coalesce(payload->>'locale', ''),
 coalesce(payload->>'time_zone', 'UTC')
FROM (SELECT DISTINCT ON (key) key, payload FROM event_log WHERE topic = 'identity.users'
 ORDER BY key, seq DESC) newest
WHERE payload IS NOT NULL
"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    json = postgresql.JSONB(astext_type=sa.Text())
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "readers",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_readers")),
    )
    op.execute(KNOWN)
    op.create_table(
        "reports",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("asked", json, nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("recipients", json, nullable=False),
        sa.Column("next_run_at", moment, nullable=True),
        sa.Column("created_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_reports")),
    )
    op.create_index("ix_reports_owner_created_at", "reports", ["owner", "created_at"], unique=False)
    op.create_index(
        "ix_reports_next_run_at", "reports", ["next_run_at"], unique=False,
        postgresql_where=sa.text("next_run_at IS NOT NULL"),
    )  # fmt: skip
    op.create_table(
        "report_runs",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("report", sa.Uuid(), nullable=False),
        sa.Column("due_at", moment, nullable=True),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("percent", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("as_of", moment, nullable=True),
        sa.Column("recipients", json, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("tried_at", moment, nullable=True),
        sa.Column("ended_at", moment, nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'done', 'failed', 'cancelled')",
            name=op.f("ck_report_runs_status"),
        ),
        sa.ForeignKeyConstraint(
            ["report"], ["reports.uuid"], name=op.f("fk_report_runs_report_reports"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_report_runs")),
        sa.UniqueConstraint("report", "due_at", name=op.f("uq_report_runs_report_due_at")),
    )
    op.create_index("ix_report_runs_report_created_at", "report_runs", ["report", "created_at"], unique=False)
    op.create_index(
        "ix_report_runs_open", "report_runs", ["created_at"], unique=False,
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )  # fmt: skip
    op.create_table(
        "report_files",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("run", sa.Uuid(), nullable=False),
        sa.Column("reader", sa.Uuid(), nullable=True),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("letters_until", moment, nullable=True),
        sa.Column("expires_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_report_files")),
    )
    for column in ("run", "reader", "letters_until", "expires_at"):
        op.create_index(op.f(f"ix_report_files_{column}"), "report_files", [column], unique=False)
    op.create_table(
        "report_letters",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_report_letters")),
    )
    for column in ("user", "expires_at"):
        op.create_index(op.f(f"ix_report_letters_{column}"), "report_letters", [column], unique=False)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("report_letters", "report_files", "report_runs", "reports", "readers"):
        op.drop_table(table)

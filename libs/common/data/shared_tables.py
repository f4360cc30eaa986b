"""Tables that every service has, as its migrations make them.

Frozen: what a migration has made once, it makes for ever. A change of these tables is a next version here
(`…_v2`, that alters them) and a migration in each service that calls it; tables.py says what has come of it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql


def create_service_tables_v1() -> None:
    """Outbox, key_progress, dead_letter and idempotency_keys."""
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=True),
        sa.Column("offset", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False, comment="error, behind, gap or malformed"),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("parked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True, comment="who or what resolved it, and how"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
        sa.UniqueConstraint(
            "consumer", "topic", "key", "seq", name=op.f("uq_dead_letter_consumer_topic_key_seq")
        ),
        sa.UniqueConstraint(
            "consumer",
            "topic",
            "partition",
            "offset",
            name=op.f("uq_dead_letter_consumer_topic_partition_offset"),
        ),
        comment="Events that could not be applied, and those waiting behind them.",
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_idempotency_keys")),
        comment="Answers to requests that carried an Idempotency-Key, kept 24 hours.",
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "key_progress",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column(
            "parked",
            sa.Text(),
            nullable=True,
            comment="error or gap: later events of this key wait in dead_letter",
        ),
        sa.CheckConstraint("parked IN ('error', 'gap')", name=op.f("ck_key_progress_parked")),
        sa.PrimaryKeyConstraint("consumer", "topic", "key", name=op.f("pk_key_progress")),
        comment="Sequence number of the last event applied, per consumer, topic and key.",
    )
    op.create_index(
        op.f("ix_key_progress_parked"),
        "key_progress",
        ["parked"],
        unique=False,
        postgresql_where=sa.text("parked IS NOT NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("key_seq", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("lane >= 0 AND lane < 32", name=op.f("ck_outbox_lane")),
        sa.PrimaryKeyConstraint("lane", "seq", name=op.f("pk_outbox")),
        sa.UniqueConstraint("id", name=op.f("uq_outbox_id")),
        sa.UniqueConstraint("topic", "key", "key_seq", name=op.f("uq_outbox_topic_key_key_seq")),
        comment="Events that Kafka has not acknowledged yet; the relay deletes what it delivered.",
    )


def drop_service_tables_v1() -> None:
    """What `create_service_tables_v1` has made."""
    op.drop_table("outbox")
    op.drop_index(
        op.f("ix_key_progress_parked"),
        table_name="key_progress",
        postgresql_where=sa.text("parked IS NOT NULL"),
    )
    op.drop_table("key_progress")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("dead_letter")


def create_privacy_parts_v1() -> None:
    """What a service was asked to do with somebody's data; see libs/common/privacy/parts.py."""
    op.create_table(
        "privacy_parts",
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_version", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("objects", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(kind = 'erasure') = (user_version IS NOT NULL)", name=op.f("ck_privacy_parts_user_version")
        ),
        sa.CheckConstraint("(status = 'pending') = (version = 0)", name=op.f("ck_privacy_parts_answered")),
        sa.CheckConstraint("kind IN ('export', 'erasure')", name=op.f("ck_privacy_parts_kind")),
        sa.CheckConstraint("status IN ('pending', 'done', 'failed')", name=op.f("ck_privacy_parts_status")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_privacy_parts")),
    )
    op.create_index(
        "ix_privacy_parts_pending",
        "privacy_parts",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(op.f("ix_privacy_parts_user_kind"), "privacy_parts", ["user", "kind"], unique=False)


def drop_privacy_parts_v1() -> None:
    """What `create_privacy_parts_v1` has made."""
    op.drop_index(op.f("ix_privacy_parts_user_kind"), table_name="privacy_parts")
    op.drop_index(
        "ix_privacy_parts_pending", table_name="privacy_parts", postgresql_where=sa.text("status = 'pending'")
    )
    op.drop_table("privacy_parts")


def create_epochs_v1() -> None:
    """What a restore has undone; see libs/common/bus/epochs.py."""
    op.create_table(
        "epochs",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "restored_to",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="what happened until then has happened",
        ),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_epochs")),
        comment="A restore begins an epoch; the newest is stamped on every event. None: the first, 0.",
    )
    op.create_table(
        "void_events",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "key", "epoch", name=op.f("pk_void_events")),
        comment="Of epochs before `epoch`, events of the key beyond `last_seq` were undone by a restore.",
    )


def drop_epochs_v1() -> None:
    """What `create_epochs_v1` has made."""
    op.drop_table("void_events")
    op.drop_table("epochs")


def create_processes_v1() -> None:
    """What processes say of themselves; see libs.common.data.heartbeat.py."""
    op.create_table(
        "processes",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="api, worker, or tasks (a Celery worker)"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "facts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="release, consumers, connections, recent errors",
        ),
        sa.PrimaryKeyConstraint("instance", "kind", name=op.f("pk_processes")),
        comment="Processes of the service, each as it said of itself a few seconds ago.",
        prefixes=["UNLOGGED"],
    )


def drop_processes_v1() -> None:
    """What `create_processes_v1` has made."""
    op.drop_table("processes")

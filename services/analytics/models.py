"""Tables of analytics that last: the event log, and which projection is the live one.

The read models themselves live in schemas of their own (`projection.py`): they can be thrown away, because
they are a fold of the event log.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.common.data.tables import TYPES, Aggregate, Timestamps, service_metadata
from libs.common.privacy.parts import PrivacyPartTable


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = TYPES


# Partitions of the log, one a month, are made ahead by a task.
Base.metadata.info["unmanaged"] = r"event_log_"


class LoggedEvent(Base):
    """Every event that analytics has applied, append-only, partitioned by month of occurrence.

    `position` is the order of application. What is personal in `identity.users` is left out.
    """

    __tablename__ = "event_log"

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    event_id: Mapped[UUID]
    topic: Mapped[str]
    key: Mapped[str]
    seq: Mapped[int] = mapped_column(BigInteger)
    type: Mapped[str]
    payload: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    __table_args__ = (
        Index(None, "topic", "key", "seq"),
        Index(None, "type", "occurred_at"),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )


class LiveProjection(Base):
    """One row: the number of the schema `projection_<number>` that is read and written, and how far it is.

    `version` is that of the code that folded it (`projection.VERSION`), `position` the last of the log that
    it holds, `as_of` the newest occurrence.
    """

    __tablename__ = "live_projection"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, default=1)
    number: Mapped[int]
    since: Mapped[datetime] = mapped_column(server_default=func.now())
    version: Mapped[int] = mapped_column(server_default="1")
    position: Mapped[int] = mapped_column(BigInteger, server_default="0")
    as_of: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("id = 1", name="single"),)


class Export(Base):
    """Somebody's export: queued → running → done or failed, or cancelled.

    `asked` is `{"query": …}` or `{"dataset": name}`. `tried_at` is when its writer last said that it lives;
    `object` is the file, until `expires_at`. `role` is what the owner was when asking.
    """

    __tablename__ = "exports"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    owner: Mapped[UUID]
    role: Mapped[str]
    asked: Mapped[dict[str, Any]] = mapped_column(JSONB)
    format: Mapped[str]
    status: Mapped[str] = mapped_column(default="queued", server_default="queued")
    percent: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    error: Mapped[str | None]
    object: Mapped[str | None]
    manifest: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    tried_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
        Index("ix_exports_owner_created_at", "owner", "created_at"),
        Index("ix_exports_open", "created_at", postgresql_where=text("status IN ('queued', 'running')")),
        Index("ix_exports_expires_at", "expires_at", postgresql_where=text("object IS NOT NULL")),
    )


class Rebuild(Base):
    """A rebuild that an administrator asked for: queued → running → done or failed.

    `tried_at` is when its worker last said that it lives. `differing` names tables whose digests differ: then
    it has failed, and the live read models have stayed.
    """

    __tablename__ = "rebuilds"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    requested_by: Mapped[UUID]
    status: Mapped[str] = mapped_column(default="queued", server_default="queued")
    percent: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    events: Mapped[int | None] = mapped_column(BigInteger)
    differing: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default="[]")
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    tried_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'done', 'failed')", name="status"),
        Index("uq_rebuilds_open", text("(true)"), unique=True, postgresql_where=text("ended_at IS NULL")),
    )


class Reader(Base):
    """Replica of identity.users: who may get a report today, in which language and time zone."""

    __tablename__ = "readers"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[str]
    is_active: Mapped[bool]
    locale: Mapped[str]
    time_zone: Mapped[str]


class Report(Aggregate, Timestamps, Base):
    """Somebody's report. `asked` is `{"query": …}` or `{"dashboard": name, "course": …, "days": …}`.

    `next_run_at` is when it is due; null without a schedule. Beat's sweep makes a run of what is due.
    """

    __tablename__ = "reports"

    owner: Mapped[UUID]
    role: Mapped[str]
    name: Mapped[str]
    asked: Mapped[dict[str, Any]] = mapped_column(JSONB)
    format: Mapped[str]
    cron: Mapped[str | None]
    time_zone: Mapped[str | None]
    recipients: Mapped[list[Any]] = mapped_column(JSONB)
    next_run_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_reports_owner_created_at", "owner", "created_at"),
        Index("ix_reports_next_run_at", "next_run_at", postgresql_where=text("next_run_at IS NOT NULL")),
    )


class ReportRun(Base):
    """One time that a report was due (`due_at`), or was asked for by hand: queued → running → done or failed,
    or cancelled.

    `recipients` says of each `{user, outcome, reason, file}` once it is done. The run is done in the
    transaction that publishes its mails, so that it is mailed once, whatever dies when.
    """

    __tablename__ = "report_runs"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    report: Mapped[UUID] = mapped_column(ForeignKey("reports.uuid", ondelete="CASCADE"))
    due_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(default="queued", server_default="queued")
    percent: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    error: Mapped[str | None]
    as_of: Mapped[datetime | None]
    recipients: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default=text("'[]'::jsonb"))
    created_at: Mapped[datetime]
    tried_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("report", "due_at"),
        CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
        Index("ix_report_runs_report_created_at", "report", "created_at"),
        Index("ix_report_runs_open", "created_at", postgresql_where=text("status IN ('queued', 'running')")),
    )


class ReportFile(Base):
    """One file of a run: of `reader` alone where it holds what they may see, else for all who may see all.

    It outlives its report, so that the sweep finds what is to be deleted: at `expires_at` the file, at
    `letters_until` what its letters share.
    """

    __tablename__ = "report_files"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    run: Mapped[UUID] = mapped_column(index=True)
    reader: Mapped[UUID | None] = mapped_column(index=True)
    object: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    rows: Mapped[int]
    letters_until: Mapped[datetime | None] = mapped_column(index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ReportLetter(Base):
    """What lies ready to be mailed to one person, until `expires_at` (libs/common/files/letters.py)."""

    __tablename__ = "report_letters"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    user: Mapped[UUID] = mapped_column(index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class IcebergTable(Base):
    """The catalog, as PyIceberg and Iceberg's JDBC catalog have it: where each table's newest metadata lie.

    A commit of the lake is the change of one row of it.
    """

    __tablename__ = "iceberg_tables"

    catalog_name: Mapped[str] = mapped_column(String(255), primary_key=True)
    table_namespace: Mapped[str] = mapped_column(String(255), primary_key=True)
    table_name: Mapped[str] = mapped_column(String(255), primary_key=True)
    metadata_location: Mapped[str | None] = mapped_column(String(1000))
    previous_metadata_location: Mapped[str | None] = mapped_column(String(1000))
    iceberg_type: Mapped[str | None] = mapped_column(String(5))


class IcebergNamespaceProperty(Base):
    """Namespaces of the catalog."""

    __tablename__ = "iceberg_namespace_properties"

    catalog_name: Mapped[str] = mapped_column(String(255), primary_key=True)
    namespace: Mapped[str] = mapped_column(String(255), primary_key=True)
    property_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    property_value: Mapped[str] = mapped_column(String(1000))


class LakeMonth(Base):
    """A month of the log whose partition was detached: the lake has its events up to `last_position`, and
    nothing else has. `digest` is what both had at that moment. Later events of the month are in the log."""

    __tablename__ = "lake_months"

    month: Mapped[date] = mapped_column(primary_key=True)
    first_position: Mapped[int] = mapped_column(BigInteger)
    last_position: Mapped[int] = mapped_column(BigInteger)
    events: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str]
    detached_at: Mapped[datetime]


class LakeErasure(Base):
    """Somebody who is erased in the log and not yet in the lake."""

    __tablename__ = "lake_erasures"

    user: Mapped[UUID] = mapped_column(primary_key=True)
    requested_at: Mapped[datetime]


class PrivacyPart(PrivacyPartTable, Base):
    """What analytics was asked to pack or to erase."""

    __topics__ = ("analytics.privacy.events",)

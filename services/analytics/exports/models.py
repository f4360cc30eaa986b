"""Exports and their jobs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.analytics.models import Base

STATUSES = ("queued", "running", "done", "failed", "cancelled")


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
    size: Mapped[int | None] = mapped_column(BigInteger)
    manifest: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    tried_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(f"status IN {STATUSES}", name="status"),
        Index("ix_exports_owner_created_at", "owner", "created_at"),
        Index("ix_exports_open", "created_at", postgresql_where=text("status IN ('queued', 'running')")),
        Index("ix_exports_expires_at", "expires_at", postgresql_where=text("object IS NOT NULL")),
    )

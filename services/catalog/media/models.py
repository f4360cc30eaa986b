"""Tables of the media library."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.tables import Timestamps
from services.catalog.models import Base


class MediaFile(Timestamps, Base):
    """A teacher's file for lessons: stored → replaced under the same id → deleted while no lesson has it.

    `path` is the stored object; lessons name the `uuid`, so that they show what it was replaced by.
    """

    __tablename__ = "media_files"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner: Mapped[UUID]
    title: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    path: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int] = mapped_column(default=1)
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "kind IN ('video', 'audio', 'image', 'document', 'presentation', 'archive')", name="kind"
        ),
        Index(
            "ix_media_files_newest",
            "owner",
            text("created_at DESC"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )


class MediaObject(Base):
    """A stored object of the library, written down before it is stored; swept away when no file is it."""

    __tablename__ = "media_objects"

    path: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)

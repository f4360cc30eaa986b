"""Tables of stored files: those of the media library, and those of lessons."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Timestamps
from services.catalog.models.base import Base, StoredObject


class MediaFile(Timestamps, Base):
    """A teacher's file for lessons: stored → replaced under the same id → deleted while no lesson has it.

    `path` is the stored object; lessons name the `uuid`, so that they show what it was replaced by.
    `variants` are the widths in which a picture is stored beside it (`variant_path`).
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
    variants: Mapped[list[int]] = mapped_column(ARRAY(Integer()), default=list, server_default="{}")
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


class MediaObject(StoredObject, Base):
    """A stored object of the library; swept away an hour after no file or part is it any more.

    One that came as a part is `part_of` the object that was joined of it and others, and stays with that.
    """

    __tablename__ = "media_objects"

    path: Mapped[str] = mapped_column(primary_key=True)
    part_of: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class MediaUpload(Base):
    """A file that comes in parts: begun → parts, each where the one before ended → finished, or expired.

    `received` is how far the parts reach. A finished one stays until it expires, to answer again.
    """

    __tablename__ = "media_uploads"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner: Mapped[UUID] = mapped_column(index=True)
    title: Mapped[str]
    name: Mapped[str]
    length: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)
    media: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (CheckConstraint("received BETWEEN 0 AND length", name="received"),)


class MediaPart(Base):
    """A stored part of an upload, from `start` on, until the upload is finished."""

    __tablename__ = "media_parts"

    upload_uuid: Mapped[UUID] = mapped_column(
        ForeignKey("media_uploads.uuid", ondelete="CASCADE"), primary_key=True
    )
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(unique=True)


class LessonObject(StoredObject, Base):
    """The stored file of a lesson, and of its copies; swept away an hour after no course uses it any more.

    Its bytes count to the `owner`, whose course it was stored for. It is not among the library's objects:
    what sweeps those takes what no file of the library is.
    """

    __tablename__ = "lesson_objects"

    path: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[UUID] = mapped_column(index=True)
    size: Mapped[int] = mapped_column(BigInteger, default=0)

"""Table of thumbnails."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from services.catalog.models.base import Base, StoredObject


class ThumbnailFile(StoredObject, Base):
    """A picture stored for a course; a sweep deletes it an hour after no course uses its `url` any more."""

    __tablename__ = "thumbnails"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)

"""Table of favourites."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from services.catalog.models.base import Base


class Favorite(Base):
    """A course that somebody wants to find again."""

    __tablename__ = "favorites"

    user: Mapped[UUID] = mapped_column(primary_key=True)
    course_uuid: Mapped[UUID] = mapped_column(ForeignKey("courses.uuid"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

"""Table of tags."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import Mapped, mapped_column

from services.catalog.models.base import Base


class Tag(Base):
    """A word that courses carry, as it was first written: made by its first use → renamed → deleted.

    Courses hold it by name, so whoever gives a course its tags holds their rows first.
    """

    __tablename__ = "tags"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(CITEXT(), unique=True)
    slug: Mapped[str] = mapped_column(index=True)
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

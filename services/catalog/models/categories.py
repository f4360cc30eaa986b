"""Tables of categories."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
    Index,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Aggregate, Timestamps
from services.catalog.models.base import Base


class Category(Aggregate, Timestamps, Base):
    """A category in the tree of subjects: created → renamed, moved → deleted (the row stays).

    The slug is unique among those that are not deleted. A category with courses or children stays.
    """

    __tablename__ = "categories"
    __topics__ = ("catalog.events",)

    name: Mapped[str]
    slug: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    parent_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("categories.uuid"), index=True)
    position: Mapped[int] = mapped_column(default=0)
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_categories_slug_live", "slug", unique=True, postgresql_where=text("deleted_at IS NULL")),
    )

"""Table of the lessons' stored files."""

from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from services.catalog.models import Base, StoredObject


class LessonObject(StoredObject, Base):
    """The stored file of a lesson, and of its copies; swept away an hour after no course uses it any more.

    Its bytes count to the `owner`, whose course it was stored for. It is not among the library's objects:
    what sweeps those takes what no file of the library is.
    """

    __tablename__ = "lesson_objects"

    path: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[UUID] = mapped_column(index=True)
    size: Mapped[int] = mapped_column(BigInteger, default=0)

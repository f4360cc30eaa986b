"""Tables of completion: the rules of courses, and enrolments to look at."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Aggregate
from services.learning.models.base import Base


class CompletionRules(Aggregate, Base):
    """When a course counts as completed: `content` is a list of rules that must all be met."""

    __tablename__ = "completion_rules"
    __topics__ = ("learning.events",)

    course: Mapped[UUID] = mapped_column(unique=True)
    content: Mapped[list[dict[str, Any]]]
    check_wanted_at: Mapped[datetime | None]
    """Since when those underway may meet them without having been looked at; null once they were."""


class CompletionCheck(Base):
    """An enrolment that may meet its course's rules by now, until a task has looked."""

    __tablename__ = "completion_checks"

    enrollment: Mapped[UUID] = mapped_column(primary_key=True)
    wanted_at: Mapped[datetime] = mapped_column(index=True)

"""What happens in one folder and concerns one above it, told in the same transaction.

A folder calls what lies below it and sends signals to what lies above. Receivers connect where they are
defined; a signal that nobody receives raises, so that no process runs without them.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Generic, ParamSpec

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.trace import Trace
from services.learning.models import Course, Enrollment

P = ParamSpec("P")


class Signal(Generic[P]):
    """Calls its receivers one after another, in the sender's transaction."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.receivers: list[Callable[P, Awaitable[None]]] = []

    def connect(self, receiver: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        """Call `receiver` with what is sent from now on; use it as a decorator."""
        self.receivers.append(receiver)
        return receiver

    async def send(self, *args: P.args, **kwargs: P.kwargs) -> None:
        if not self.receivers:
            raise RuntimeError(f"nobody receives {self.name}: its receiver was not imported")
        for receiver in self.receivers:
            await receiver(*args, **kwargs)


learner_enrolled = Signal[[AsyncSession, Enrollment, Course, datetime, Trace | None]]("learner_enrolled")
"""A learner has a seat in the course from now on."""
course_completed = Signal[[AsyncSession, Enrollment, datetime, Trace | None]]("course_completed")
"""The enrolment is completed, with its final score."""
final_score_changed = Signal[[AsyncSession, Enrollment]]("final_score_changed")
"""The final score of a completed enrolment is another one by now."""

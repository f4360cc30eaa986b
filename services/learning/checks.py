"""Asking for a look at who may have completed a course by now: a row in the transaction, then a task.

Who holds the learner's enrolment looks at once (`completion`). The grade of a submission is given under the
lock of that alone, and a policy concerns everybody.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import enqueue
from libs.common.runtime.trace import Trace
from services.learning.models import CompletionRules

WANT = text(
    "INSERT INTO completion_checks (enrollment, wanted_at) SELECT e.uuid, :now FROM enrollments e"
    " LEFT JOIN completion_rules r ON r.course = e.course"
    " WHERE e.uuid = ANY(:enrollments) AND (e.status = 'completed' OR r.uuid IS NOT NULL) ORDER BY e.uuid"
    " ON CONFLICT (enrollment) DO UPDATE SET wanted_at = excluded.wanted_at RETURNING enrollment"
)


async def want_checks(session: AsyncSession, enrollments: Iterable[UUID], now: datetime) -> None:
    """A grade of theirs has changed: the course may be completed by it, or what its certificate says."""
    rows = await session.scalars(WANT, {"enrollments": list(enrollments), "now": now})
    for enrollment in rows:
        enqueue(session, "learning.check_completion", str(enrollment))


async def want_course_check(
    session: AsyncSession, course: UUID, now: datetime, trace: Trace | None = None
) -> None:
    """Items, grades or rules of the course have changed: anybody underway may have completed it."""
    found = await session.scalars(
        update(CompletionRules)
        .where(CompletionRules.course == course)
        .values(check_wanted_at=now)
        .returning(CompletionRules.uuid)
        .execution_options(synchronize_session=False)
    )
    if found.first() is not None:
        enqueue(session, "learning.check_course_completions", str(course), trace=trace)

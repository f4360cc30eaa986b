"""What identity hears of the others: what people have learnt, and answers to exports and erasures."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.received import Handler
from libs.common.bus.replicas import replicate
from libs.common.events import analytics, catalog, forum, learning, notify, support
from libs.common.runtime.clock import system_clock
from services.identity.models import Enrollment, User
from services.identity.privacy.service import miss_part, take_erasure, take_part

ADD_UP = text(
    "UPDATE users u SET courses_completed = s.courses, study_seconds = s.seconds, points = s.points"
    " FROM (SELECT w.student, count(*) FILTER (WHERE e.is_completed) AS courses,"
    " coalesce(sum(e.study_seconds), 0) AS seconds, coalesce(sum(e.points), 0) AS points"
    " FROM unnest(:students) AS w(student) LEFT JOIN enrollments e ON e.student = w.student"
    " GROUP BY w.student) s WHERE u.uuid = s.student AND u.erased_at IS NULL"
    " AND (u.courses_completed, u.study_seconds, u.points) <> (s.courses, s.seconds, s.points)"
).bindparams(bindparam("students", type_=ARRAY(Uuid())))

Batch = Sequence[Any]  # Received[…] of the class that the handler is registered for


def _by_job(batch: Batch) -> list[tuple[str, Any]]:
    """Services with their answers, in the order in which jobs are locked."""
    ordered = sorted(batch, key=lambda item: str(item.key))
    return [(item.topic.partition(".")[0], item.event) for item in ordered]


async def on_export_part_packed(session: AsyncSession, batch: Batch) -> None:
    for service, event in _by_job(batch):
        await take_part(session, service, event, system_clock())


async def on_export_part_failed(session: AsyncSession, batch: Batch) -> None:
    for service, event in _by_job(batch):
        await miss_part(session, service, event, event.reason, system_clock())


async def on_person_erased(session: AsyncSession, batch: Batch) -> None:
    for service, event in _by_job(batch):
        await take_erasure(session, service, event, event.rows, system_clock())


async def on_enrollment(session: AsyncSession, batch: Batch) -> None:
    """Keep the replica, and recompute the numbers of everybody whom it touches."""
    ids = [UUID(item.key) for item in batch]
    before = await session.scalars(select(Enrollment.student).where(Enrollment.uuid.in_(ids)))
    students = set(before) | {item.event.student for item in batch if item.event is not None}
    # The users' rows first: whoever adds up after another sees what that one wrote.
    await session.execute(
        select(User.uuid).where(User.uuid.in_(students)).order_by(User.uuid).with_for_update(key_share=True)
    )
    await replicate(
        session,
        Enrollment,
        batch,
        lambda state: {
            "uuid": state.uuid,
            "student": state.student,
            "is_completed": state.status == "completed",
            "study_seconds": state.study_seconds,
            "points": state.points,
        },
    )
    await session.execute(ADD_UP, {"students": list(students)})


OTHERS: tuple[Any, ...] = (analytics, catalog, forum, learning, notify, support)
HANDLERS: dict[type[Any], Handler] = {
    learning.EnrollmentState: on_enrollment,
    **{module.ExportPartPacked: on_export_part_packed for module in OTHERS},
    **{module.ExportPartFailed: on_export_part_failed for module in OTHERS},
    **{module.PersonErased: on_person_erased for module in OTHERS},
}

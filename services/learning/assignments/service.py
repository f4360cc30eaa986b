"""Assignments set, changed and taken away."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.learning import (
    AssignmentChanged,
    AssignmentCreated,
    AssignmentDeleted,
    AssignmentFact,
)
from libs.common.runtime.errors import Unprocessable
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning.access import access_taught_course, check_lesson
from services.learning.assignments.access import (
    access_taught_assignment,
)
from services.learning.assignments.grading import grading_terms, revise_grades
from services.learning.assignments.rubrics import rubric_content
from services.learning.assignments.schemas import AssignmentCreate, AssignmentUpdate
from services.learning.checks import want_course_check
from services.learning.gradebook.history import record_items
from services.learning.gradebook.queries import policy_at
from services.learning.models import (
    Assignment,
)
from services.learning.windows import check_order, zone_of


async def create_assignment(
    session: AsyncSession, who: Principal, body: AssignmentCreate, now: datetime
) -> Assignment:
    """Set an assignment; learners of the course see it at once."""
    check_lesson(await access_taught_course(session, who, body.course), body.lesson)
    await _check_group(session, body.course, body.group, now)
    check_order(body.due_at, body.closes_at, "must not be before due_at", strict=False)
    assignment = Assignment(
        **body.model_dump(exclude={"time_zone", "rubric"}),
        rubric=rubric_content(body.rubric),
        uuid=uuid4(),
        version=0,
        time_zone=body.time_zone or await zone_of(session, who.user),
        created_at=now,
        updated_at=now,
    )
    session.add(assignment)
    await publish(session, assignment, AssignmentCreated, who, now)
    return assignment


async def change_assignment(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: AssignmentUpdate,
    if_match: Precondition,
    now: datetime,
) -> Assignment:
    """Change text, points, dates or rules; what is not sent stays. Grades that were given follow: they keep
    their share of the points, cost what they are late by now, and say so when they are shown or hidden."""
    assignment = await access_taught_assignment(session, who, uuid)
    if_match.check(assignment.version)
    changes = body.model_dump(exclude_unset=True, exclude={"rubric"})
    if body.rubric is not None:
        changes["rubric"] = rubric_content(body.rubric)
    if changes.pop("course", assignment.course) != assignment.course:
        raise Unprocessable.field("course", "cannot be changed")
    if changes.get("lesson") is not None:
        check_lesson(await access_taught_course(session, who, assignment.course), changes["lesson"])
    if changes.get("group") != assignment.group:
        await _check_group(session, assignment.course, changes.get("group"), now)
    before = grading_terms(assignment)
    for field, value in changes.items():
        setattr(assignment, field, value)
    check_order(assignment.due_at, assignment.closes_at, "must not be before due_at", strict=False)
    await publish(session, assignment, AssignmentChanged, who, now)
    if grading_terms(assignment) != before:
        await revise_grades(session, who, assignment, before, now)
    return assignment


async def delete_assignment(
    session: AsyncSession, who: Principal, uuid: UUID, if_match: Precondition, now: datetime
) -> None:
    """Take an assignment away; what was handed in stays on record."""
    assignment = await access_taught_assignment(session, who, uuid)
    if_match.check(assignment.version)
    assignment.deleted_at = now
    await publish(session, assignment, AssignmentDeleted, who, now)


async def _check_group(session: AsyncSession, course: UUID, group: UUID | None, now: datetime) -> None:
    """Raises Unprocessable for what is no group of the course's policy: its items would count for nothing."""
    if group is None:
        return
    policy = (await policy_at(session, course, now)).body
    if group not in {each.uuid for each in policy.groups}:
        raise Unprocessable.field("group", "is no group of the course's grading policy")


async def publish(
    session: AsyncSession,
    assignment: Assignment,
    fact: type[AssignmentFact],
    who: Principal,
    now: datetime,
) -> None:
    """The next version of a locked assignment, and the event of it."""
    assignment.version += 1
    assignment.updated_at = now
    event = fact(
        assignment=assignment.uuid,
        course=assignment.course,
        lesson=assignment.lesson,
        title=assignment.title,
        points=float(assignment.points),
        due_at=assignment.due_at,
        closes_at=assignment.closes_at,
        actor=who.user,
    )
    record(session, event, assignment.version)
    await record_items(session, assignment.course, [assignment.uuid], now)
    await want_course_check(session, assignment.course, now)

"""Assignments set, work handed in."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.errors import Conflict, Unprocessable
from libs.common.etags import check_if_match
from libs.common.events.learning import (
    AssignmentChanged,
    AssignmentCreated,
    AssignmentDeleted,
    AssignmentFact,
    AssignmentSubmitted,
)
from libs.common.outbox import record
from libs.common.tokens import Principal
from services.learning.access import access_taught_course, lock_seat
from services.learning.assignments import rules
from services.learning.assignments.access import (
    access_open_assignment,
    access_taught_assignment,
)
from services.learning.assignments.rubrics import rubric_kept
from services.learning.assignments.schemas import AssignmentBody, AssignmentPatch
from services.learning.enrollments.rules import SEATED, local_date
from services.learning.errors import NoSubmissionsLeft, NotEnrolled
from services.learning.gradebook.service import keep_mark
from services.learning.lessons.queries import keep_study_day
from services.learning.lessons.service import complete_by_work
from services.learning.models import (
    Assignment,
    Enrollment,
    Submission,
    SubmissionFile,
    SubmissionVersion,
    User,
)
from services.learning.quizzes.service import check_lesson


async def create_assignment(
    session: AsyncSession, who: Principal, body: AssignmentBody, now: datetime
) -> Assignment:
    """Set an assignment; learners of the course see it at once."""
    check_lesson(await access_taught_course(session, who, body.course), body.lesson)
    _check_dates(body.due_at, body.closes_at)
    zone = (
        body.time_zone or await session.scalar(select(User.time_zone).where(User.uuid == who.user)) or "UTC"
    )
    assignment = Assignment(
        **body.model_dump(exclude={"time_zone", "rubric"}),
        rubric=rubric_kept(body.rubric),
        uuid=uuid4(),
        version=0,
        time_zone=zone,
        created_at=now,
        updated_at=now,
    )
    session.add(assignment)
    _publish(session, assignment, AssignmentCreated, who, now)
    await session.flush()
    return assignment


async def change_assignment(
    session: AsyncSession, who: Principal, uuid: UUID, body: AssignmentPatch, request: Request, now: datetime
) -> Assignment:
    """Change text, points, dates or rules; what is not sent stays."""
    assignment = await access_taught_assignment(session, who, uuid)
    check_if_match(request, assignment.version)
    changes = body.model_dump(exclude_unset=True, exclude={"rubric"})
    if body.rubric is not None:
        changes["rubric"] = rubric_kept(body.rubric)
    if changes.pop("course", assignment.course) != assignment.course:
        raise Unprocessable.field("course", "cannot be changed")
    if changes.get("lesson") is not None:
        check_lesson(await access_taught_course(session, who, assignment.course), changes["lesson"])
    for field, value in changes.items():
        setattr(assignment, field, value)
    _check_dates(assignment.due_at, assignment.closes_at)
    _publish(session, assignment, AssignmentChanged, who, now)
    return assignment


async def delete_assignment(
    session: AsyncSession, who: Principal, uuid: UUID, request: Request, now: datetime
) -> None:
    """Take an assignment away; what was handed in stays on record."""
    assignment = await access_taught_assignment(session, who, uuid)
    check_if_match(request, assignment.version)
    assignment.deleted_at = now
    _publish(session, assignment, AssignmentDeleted, who, now)


async def submit_work(
    session: AsyncSession, who: Principal, uuid: UUID, text: str, files: dict[UUID, str], now: datetime
) -> Submission:
    """Hand in work, or a newer version of it; the assignment's lesson completes with the first.

    `files` are stored ones of theirs that wait, with the SHA-256 of each.
    """
    assignment = await access_open_assignment(session, who, uuid, now)
    seat = await lock_seat(session, Enrollment.course == assignment.course, Enrollment.student == who.user)
    if seat is None or seat.enrollment.status not in SEATED:
        raise NotEnrolled
    submission = await session.scalar(
        select(Submission)
        .where(Submission.assignment == uuid, Submission.enrollment == seat.enrollment.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if submission is None:
        submission = Submission(
            uuid=uuid4(),
            version=0,
            assignment=assignment.uuid,
            enrollment=seat.enrollment.uuid,
            student=who.user,
            number=0,
            feedback="",
        )
        session.add(submission)
    if not rules.may_submit(submission.number, assignment.max_submissions):
        raise NoSubmissionsLeft
    submission.number += 1
    submission.status = "submitted"
    submission.version += 1
    late = rules.late_seconds(now, assignment.due_at)
    day = local_date(now, seat.time_zone)
    event = AssignmentSubmitted(
        **identity(submission, assignment), version=submission.number, late_seconds=late, local_date=day
    )
    mark = record(session, event, submission.version)
    keep_mark(
        session, course=assignment.course, item=assignment.uuid, student=who.user, status="submitted",
        score=None, points=assignment.points, late_seconds=late, at=now, event=mark,
    )  # fmt: skip
    await session.flush()
    session.add(
        SubmissionVersion(
            submission=submission.uuid,
            number=submission.number,
            text=text,
            submitted_at=now,
            late_seconds=late,
        )
    )
    await _attach(session, submission, files)
    await keep_study_day(session, who.user, day)
    await complete_by_work(session, seat, assignment.lesson, now)
    return submission


async def _attach(session: AsyncSession, submission: Submission, files: dict[UUID, str]) -> None:
    """Make stored files part of the newest version. Raises Conflict when one was taken away meanwhile."""
    if not files:
        return
    rows = await session.scalars(
        select(SubmissionFile)
        .where(SubmissionFile.uuid.in_(files), SubmissionFile.submission.is_(None))
        .with_for_update()
    )
    found = rows.all()
    if len(found) < len(files):
        raise Conflict("The files came too slowly, and were swept away: send them again.")
    for row in found:
        row.submission, row.number, row.sha256 = submission.uuid, submission.number, files[row.uuid]
    await session.flush()


def _check_dates(due_at: datetime | None, closes_at: datetime | None) -> None:
    if due_at is not None and closes_at is not None and closes_at < due_at:
        raise Unprocessable.field("closes_at", "must not be before due_at")


def _publish(
    session: AsyncSession,
    assignment: Assignment,
    fact: type[AssignmentFact],
    who: Principal,
    now: datetime,
) -> None:
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


def identity(submission: Submission, assignment: Assignment) -> dict[str, Any]:
    """What every event of a submission says."""
    return {
        "submission": submission.uuid,
        "assignment": assignment.uuid,
        "title": assignment.title,
        "course": assignment.course,
        "lesson": assignment.lesson,
        "enrollment": submission.enrollment,
        "student": submission.student,
    }

"""Reads of assignments and of the work handed in."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.files.storage import Storage
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.paging import Paging, paginate
from services.learning.access import taught_by
from services.learning.assignments.groups import first_of_team, members_of, names_of
from services.learning.assignments.schemas import submission_read, submission_summary
from services.learning.models import (
    ENROLLED,
    Assignment,
    Course,
    Enrollment,
    Submission,
    SubmissionFile,
    SubmissionVersion,
    User,
)


async def list_assignments(
    session: AsyncSession, who: Principal, course: UUID | None, lesson: UUID | None, page: Paging
) -> tuple[int, Sequence[Assignment]]:
    """Assignments of courses that one teaches or is enrolled in."""
    enrolled = select(Enrollment.course).where(
        Enrollment.student == who.user, Enrollment.status.in_(ENROLLED)
    )
    visible: ColumnElement[bool] = Assignment.course.in_(enrolled)
    if at_least(who, "teacher"):
        visible = or_(visible, Assignment.course.in_(select(Course.uuid).where(taught_by(who))))
    query = select(Assignment).where(Assignment.deleted_at.is_(None), visible)
    if course is not None:
        query = query.where(Assignment.course == course)
    if lesson is not None:
        query = query.where(Assignment.lesson == lesson)
    return await paginate(session, query.order_by(Assignment.created_at.desc(), Assignment.uuid), page)


async def list_submissions(
    session: AsyncSession,
    who: Principal,
    assignment: Assignment,
    taught: bool,
    status: str | None,
    page: Paging,
    storage: Storage,
) -> tuple[int, list[dict[str, Any]]]:
    """Submissions of an assignment: everybody's for its teachers, one for each group; one's own for
    learners."""
    query = select(Submission).where(Submission.assignment == assignment.uuid)
    query = query.where(first_of_team() if taught else Submission.student == who.user)
    # A hidden grade without any work would show that there is one; and without both there is nothing.
    given = Submission.status != "submitted" if taught or assignment.posted else false()
    query = query.where(or_(Submission.number > 0, given))
    if status is not None:
        shown = Submission.status if taught or assignment.posted else literal("submitted")
        query = query.where(shown == status)
    count, rows = await paginate(session, query.order_by(Submission.uuid), page)
    return count, await show(session, rows, assignment, storage, taught=taught)


async def list_waiting(
    session: AsyncSession,
    who: Principal,
    course: UUID | None,
    assignment: UUID | None,
    only: str | None,
    page: Paging,
) -> tuple[int, list[dict[str, Any]]]:
    """Submissions that wait for a grade in the teacher's courses, oldest first.

    `ungraded` never had one, `late` came too late, `resubmitted` is not the first version.
    """
    query = (
        select(Submission, SubmissionVersion, Assignment, Course.title, User.full_name)
        .join(Assignment, Assignment.uuid == Submission.assignment)
        .join(Course, Course.uuid == Assignment.course)
        .join(Enrollment, Enrollment.uuid == Submission.enrollment)
        .join(User, User.uuid == Submission.student)
        .join(
            SubmissionVersion,
            (SubmissionVersion.submission == Submission.uuid)
            & (SubmissionVersion.number == Submission.number),
        )
        .where(Submission.status == "submitted", Assignment.deleted_at.is_(None), taught_by(who))
        .where(Enrollment.status.in_(ENROLLED), first_of_team())
    )
    if course is not None:
        query = query.where(Assignment.course == course)
    if assignment is not None:
        query = query.where(Assignment.uuid == assignment)
    if only == "ungraded":
        query = query.where(Submission.graded_at.is_(None))
    elif only == "late":
        query = query.where(SubmissionVersion.submitted_at > Assignment.due_at)
    elif only == "resubmitted":
        query = query.where(Submission.number > 1)
    count = await session.scalar(select(func.count()).select_from(query.order_by(None).subquery()))
    rows = await session.execute(
        query.order_by(SubmissionVersion.submitted_at, Submission.uuid).limit(page.size).offset(page.offset)
    )
    return count or 0, [submission_summary(*row) for row in rows]


async def show(
    session: AsyncSession,
    rows: Iterable[Submission],
    assignment: Assignment,
    storage: Storage,
    *,
    taught: bool,
) -> list[dict[str, Any]]:
    """Submissions with all their versions, files and their learners' names."""
    found = list(rows)
    versions: dict[UUID, list[SubmissionVersion]] = defaultdict(list)
    for version in await session.scalars(
        select(SubmissionVersion)
        .where(SubmissionVersion.submission.in_([row.uuid for row in found]))
        .order_by(SubmissionVersion.number)
    ):
        versions[version.submission].append(version)
    files: dict[UUID | None, list[SubmissionFile]] = defaultdict(list)
    for file in await session.scalars(
        select(SubmissionFile)
        .where(SubmissionFile.submission.in_([row.uuid for row in found]))
        .order_by(SubmissionFile.number, SubmissionFile.position)
    ):
        files[file.submission].append(file)
    name = await names_of(session, {row.student for row in found})
    members = await members_of(session, found, assignment, taught=taught)
    return [
        submission_read(
            row,
            assignment,
            versions[row.uuid],
            files[row.uuid],
            members[row.team] if row.team else [],
            name.get(row.student),
            storage,
            taught=taught,
        )
        for row in found
    ]

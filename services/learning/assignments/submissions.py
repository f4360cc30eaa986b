"""Work handed in: by one learner, or by one for their group.

Every learner has a submission of their own, with its versions and its grade. What is handed in for a group is
the next version of each member's, so that moving between groups, grades of one's own and erasure need nothing
special. Locks: the members' enrolments by id, then their submissions by id.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.learning import AssignmentSubmitted
from libs.common.runtime.errors import Conflict
from libs.common.security.tokens import Principal
from libs.common.web.zones import local_date
from services.learning.access import EnrolledLearner, lock_learners
from services.learning.assignments import rules
from services.learning.assignments.access import access_open_assignment
from services.learning.errors import NoSubmissionsLeft, NotEnrolled
from services.learning.gradebook.history import record_grade
from services.learning.lessons.queries import store_study_day
from services.learning.lessons.service import complete_by_work
from services.learning.models import (
    ENROLLED,
    Assignment,
    Enrollment,
    Submission,
    SubmissionFile,
    SubmissionVersion,
)


async def submit_work(
    session: AsyncSession, who: Principal, uuid: UUID, text: str, files: dict[UUID, str], now: datetime
) -> Submission:
    """Hand in work, or a newer version of it; the assignment's lesson completes with the first.

    A grade or an excuse that was given before stands until the next one is given.
    `files` are stored ones of theirs that wait, with the SHA-256 of each.
    """
    assignment = await access_open_assignment(session, who, uuid, now)
    team = rules.team_of(assignment.teams, who.user)
    members = {UUID(member) for member in team["members"]} if team else {who.user}
    learners = await _lock_members(session, assignment.course, members)
    if all(learner.enrollment.student != who.user for learner in learners):
        raise NotEnrolled
    submissions = await _lock_submissions(session, assignment, learners)
    same = UUID(team["uuid"]) if team else None
    handed_in = [
        each.number for each in submissions if each.student == who.user or (same and each.team == same)
    ]
    if not rules.may_submit(max(handed_in), assignment.max_submissions):
        raise NoSubmissionsLeft
    mine = next(each for each in submissions if each.student == who.user)
    stored = await _take_files(session, files)
    by_student = {learner.enrollment.student: learner for learner in learners}
    for submission in sorted(submissions, key=lambda each: each is not mine):
        submission.team = same
        learner = by_student[submission.student]
        await _add_version(session, assignment, submission, learner, text, who.user, now)
        _attach(session, submission, stored, files)
        await session.flush()
        await complete_by_work(session, learner, assignment.lesson, now)
    return mine


async def _lock_members(session: AsyncSession, course: UUID, members: set[UUID]) -> list[EnrolledLearner]:
    learners = await lock_learners(session, Enrollment.course == course, Enrollment.student.in_(members))
    return [learner for learner in learners if learner.enrollment.status in ENROLLED]


async def _lock_submissions(
    session: AsyncSession, assignment: Assignment, learners: Sequence[EnrolledLearner]
) -> list[Submission]:
    """A submission for each learner, made where there is none yet: the enrolments are locked, so nobody else
    makes it."""
    rows = await session.scalars(
        select(Submission)
        .where(
            Submission.assignment == assignment.uuid,
            Submission.enrollment.in_([learner.enrollment.uuid for learner in learners]),
        )
        .order_by(Submission.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = {submission.enrollment: submission for submission in rows}
    for learner in learners:
        if learner.enrollment.uuid not in found:
            found[learner.enrollment.uuid] = new_submission(assignment, learner.enrollment)
            session.add(found[learner.enrollment.uuid])
    return list(found.values())


def new_submission(assignment: Assignment, enrollment: Enrollment) -> Submission:
    """A submission of a learner who has not handed in anything yet; the caller holds the enrolment's lock."""
    return Submission(
        uuid=uuid4(),
        version=0,
        assignment=assignment.uuid,
        enrollment=enrollment.uuid,
        student=enrollment.student,
        status="submitted",
        number=0,
        feedback="",
        individual=False,
    )


async def _add_version(
    session: AsyncSession,
    assignment: Assignment,
    submission: Submission,
    learner: EnrolledLearner,
    text: str,
    by: UUID,
    now: datetime,
) -> None:
    submission.number += 1
    if submission.status != "excused":
        submission.status = "submitted"
    submission.version += 1
    late = rules.late_seconds(now, assignment.due_at)
    day = local_date(now, learner.time_zone)
    event = AssignmentSubmitted(
        **identity(submission, assignment), version=submission.number, late_seconds=late, local_date=day
    )
    mark = record(session, event, submission.version)
    if submission.status == "submitted" and submission.score is None:  # else what stands goes on to stand
        record_grade(
            session, course=assignment.course, item=assignment.uuid, student=submission.student,
            status="submitted", score=None, points=assignment.points, late_seconds=late, at=now, event=mark,
        )  # fmt: skip
    await session.flush()
    session.add(
        SubmissionVersion(
            submission=submission.uuid,
            number=submission.number,
            text=text,
            submitted_at=now,
            submitted_by=by,
            late_seconds=late,
        )
    )
    await store_study_day(session, submission.student, day)


async def _take_files(session: AsyncSession, files: dict[UUID, str]) -> list[SubmissionFile]:
    """Stored files that wait, locked. Raises Conflict when one was taken away meanwhile."""
    if not files:
        return []
    rows = await session.scalars(
        select(SubmissionFile)
        .where(SubmissionFile.uuid.in_(files), SubmissionFile.submission.is_(None))
        .order_by(SubmissionFile.position)
        .with_for_update()
    )
    found = list(rows)
    if len(found) < len(files):
        raise Conflict("The files came too slowly, and were removed. Please hand them in again.")
    return found


def _attach(
    session: AsyncSession, submission: Submission, stored: Sequence[SubmissionFile], sums: dict[UUID, str]
) -> None:
    """Make files part of the newest version; what another member has already, as rows of one's own."""
    for file in stored:
        row = file
        if file.submission is not None:
            row = SubmissionFile(
                uuid=uuid4(), position=file.position, student=submission.student, path=file.path,
                name=file.name, media_type=file.media_type, size=file.size,
            )  # fmt: skip
            session.add(row)
        row.submission, row.number, row.sha256 = submission.uuid, submission.number, sums[file.uuid]


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

"""Grades of handed-in work: by points or by rubric, given again, or excused."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from fastapi import Request
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.errors import Forbidden, NotFound, Unprocessable
from libs.common.etags import check_if_match
from libs.common.events.learning import SubmissionGraded
from libs.common.outbox import record
from libs.common.tokens import Principal
from services.learning.access import lock_seat
from services.learning.assignments import rules
from services.learning.assignments.access import access_assignment, access_submission
from services.learning.assignments.schemas import GradeBody
from services.learning.assignments.submissions import identity, new_submission
from services.learning.completion.checks import want_checks
from services.learning.enrollments.rules import SEATED
from services.learning.gradebook.service import keep_mark
from services.learning.models import Assignment, Enrollment, Submission, SubmissionVersion


@dataclass(frozen=True, slots=True)
class Grade:
    """What is given: a score, perhaps by rubric, or none when the work is excused."""

    score: Decimal | None
    rubric_scores: dict[str, str] | None = None


async def grade_submission(
    session: AsyncSession, who: Principal, uuid: UUID, body: GradeBody, request: Request, now: datetime
) -> Submission:
    """Grade, grade anew, or excuse; only the feedback may be changed alone once there is a grade.

    The grade is the whole group's, except for members with a grade of their own (`individual`).
    """
    submission, assignment, taught = await access_submission(session, who, uuid)
    if not taught:
        raise Forbidden
    return await _grade(session, who, submission, assignment, body, request, now)


async def grade_learner(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    student: UUID,
    body: GradeBody,
    request: Request,
    now: datetime,
) -> tuple[Submission, Assignment]:
    """The same for a learner of the course who may have handed in nothing, as for an excuse."""
    assignment, taught = await access_assignment(session, who, uuid)
    if not taught:
        raise Forbidden
    seat = await lock_seat(session, Enrollment.course == assignment.course, Enrollment.student == student)
    if seat is None or seat.enrollment.status not in SEATED:
        raise NotFound
    submission = await session.scalar(
        select(Submission).where(Submission.assignment == uuid, Submission.enrollment == seat.enrollment.uuid)
    )
    if submission is None:
        submission = new_submission(assignment, seat.enrollment)
        session.add(submission)
        await session.flush()
    return await _grade(session, who, submission, assignment, body, request, now), assignment


async def _grade(
    session: AsyncSession,
    who: Principal,
    submission: Submission,
    assignment: Assignment,
    body: GradeBody,
    request: Request,
    now: datetime,
) -> Submission:
    together = await _lock_together(session, submission)
    check_if_match(request, submission.version)
    grade = _new_grade(submission, assignment, body)
    alone = bool(body.individual and submission.team)
    for each in together:
        if each is submission or not (alone or each.individual):
            await keep_grade(session, who, each, assignment, grade, body.feedback, now)
    submission.individual = alone
    await session.flush()
    return submission


async def _lock_together(session: AsyncSession, submission: Submission) -> list[Submission]:
    """The submission and those of the group that it was handed in for."""
    same = Submission.uuid == submission.uuid
    if submission.team is not None:
        same = or_(
            same, and_(Submission.assignment == submission.assignment, Submission.team == submission.team)
        )
    rows = await session.scalars(
        select(Submission)
        .where(same)
        .order_by(Submission.uuid)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list(rows)


async def keep_grade(
    session: AsyncSession,
    who: Principal,
    submission: Submission,
    assignment: Assignment,
    grade: Grade,
    feedback: str | None,
    now: datetime,
    late: int | None = None,
) -> None:
    """Write a grade into a locked submission, its event and the history; no feedback: what was stays.

    `late` are the seconds that the grade counts as too late, if not those of the newest version.
    """
    submission.score = grade.score
    submission.rubric_scores = grade.rubric_scores
    submission.status = "excused" if grade.score is None else "graded"
    if feedback is not None:
        submission.feedback = feedback
    submission.graded_by = who.user
    submission.graded_at = now
    mark = _publish(session, submission, assignment, who)
    keep_mark(
        session, course=assignment.course, item=assignment.uuid, student=submission.student,
        status=submission.status, score=grade.score, points=assignment.points,
        late_seconds=await _lateness(session, submission) if late is None else late, at=now, event=mark,
    )  # fmt: skip
    await session.flush()
    await want_checks(session, [submission.enrollment], now)


async def publish_grades(session: AsyncSession, who: Principal, assignment: Assignment) -> None:
    """Say of every grade of a locked assignment whether its learner may see it by now."""
    rows = await session.scalars(
        select(Submission)
        .where(Submission.assignment == assignment.uuid, Submission.status.in_(("graded", "excused")))
        .order_by(Submission.uuid)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    for submission in rows.all():
        _publish(session, submission, assignment, who)
    await session.flush()


def _publish(session: AsyncSession, submission: Submission, assignment: Assignment, who: Principal) -> UUID:
    """The next version of a locked submission, and the event of its grade."""
    submission.version += 1
    score = submission.score
    event = SubmissionGraded(
        **identity(submission, assignment),
        score=None if score is None else float(score),
        points=float(assignment.points),
        percentage=None if score is None else float(round(score * 100 / assignment.points, 2)),
        excused=score is None,
        posted=assignment.posted,
        actor=who.user,
    )
    return record(session, event, submission.version)


async def _lateness(session: AsyncSession, submission: Submission) -> int:
    """Seconds by which the newest version was late."""
    late = await session.scalar(
        select(SubmissionVersion.late_seconds).where(
            SubmissionVersion.submission == submission.uuid, SubmissionVersion.number == submission.number
        )
    )
    return late or 0


def _new_grade(submission: Submission, assignment: Assignment, body: GradeBody) -> Grade:
    """Raises Unprocessable where the body does not say how the work is graded."""
    given = [name for name in ("score", "rubric_scores") if getattr(body, name) is not None]
    if body.excused:
        if given:
            raise Unprocessable.field(given[0], "cannot go with excused")
        return Grade(None)
    if len(given) > 1:
        raise Unprocessable.field("score", "follows from rubric_scores: send one of the two")
    if body.rubric_scores is not None:
        return _by_rubric(assignment, {str(each): points for each, points in body.rubric_scores.items()})
    if body.score is None:
        if body.excused is None and submission.status == "excused":
            return Grade(None)
        if submission.score is None:
            raise Unprocessable.field("score", "is needed, or rubric_scores, or excused")
        return Grade(submission.score, submission.rubric_scores)
    if body.score > assignment.points:
        raise Unprocessable.field("score", f"must be at most {assignment.points.normalize():f}")
    return Grade(body.score)


def _by_rubric(assignment: Assignment, given: dict[str, Decimal]) -> Grade:
    most = {criterion["uuid"]: Decimal(criterion["points"]) for criterion in assignment.rubric}
    if not most:
        raise Unprocessable.field("rubric_scores", "the assignment has no rubric")
    for criterion in assignment.rubric:
        points = given.get(criterion["uuid"])
        if points is None:
            raise Unprocessable.field("rubric_scores", f"misses {criterion['title']}")
        if points > most[criterion["uuid"]]:
            raise Unprocessable.field(
                "rubric_scores", f"{criterion['title']} brings at most {criterion['points']}"
            )
    if given.keys() - most.keys():
        raise Unprocessable.field("rubric_scores", "names what is not in the rubric")
    score = rules.score_by_rubric(most, given, assignment.points)
    return Grade(score, {uuid: str(points) for uuid, points in given.items()})

"""Grades of handed-in work: by points or by rubric, given again, or excused.

Locks: the assignment, shared; the learner's enrolment; submissions by id.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.learning import SubmissionGraded
from libs.common.runtime.errors import Forbidden, NotFound, Unprocessable
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning.access import lock_learner
from services.learning.assignments import rules
from services.learning.assignments.access import access_assignment, access_submission, hold_assignment
from services.learning.assignments.schemas import SubmissionGradeUpdate
from services.learning.assignments.submissions import identity, new_submission
from services.learning.checks import want_checks
from services.learning.gradebook.history import record_grade
from services.learning.models import ENROLLED, Assignment, Enrollment, Submission, SubmissionVersion


@dataclass(frozen=True, slots=True)
class Grade:
    """What is given: a score, perhaps by rubric, or none when the work is excused."""

    score: Decimal | None
    rubric_scores: dict[str, str] | None = None


async def grade_submission(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: SubmissionGradeUpdate,
    if_match: Precondition,
    now: datetime,
) -> Submission:
    """Grade, grade anew, excuse, or end an excuse; only the feedback may be changed alone once there is a
    grade.

    The grade is the whole group's, except for members with a grade of their own (`individual`); feedback
    alone is for this member.
    """
    submission, assignment, taught = await access_submission(session, who, uuid)
    if not taught:
        raise Forbidden
    await hold_assignment(session, assignment)
    return await _grade(session, who, submission, assignment, body, if_match, now)


async def grade_learner(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    student: UUID,
    body: SubmissionGradeUpdate,
    if_match: Precondition,
    now: datetime,
) -> tuple[Submission, Assignment]:
    """The same for a learner of the course who may have handed in nothing, as for an excuse."""
    assignment, taught = await access_assignment(session, who, uuid)
    if not taught:
        raise Forbidden
    await hold_assignment(session, assignment)
    learner = await lock_learner(
        session, Enrollment.course == assignment.course, Enrollment.student == student
    )
    if learner is None or learner.enrollment.status not in ENROLLED:
        raise NotFound
    submission = await session.scalar(
        select(Submission).where(
            Submission.assignment == uuid, Submission.enrollment == learner.enrollment.uuid
        )
    )
    if submission is None:
        submission = new_submission(assignment, learner.enrollment)
        session.add(submission)
        await session.flush()
    return await _grade(session, who, submission, assignment, body, if_match, now), assignment


async def _grade(
    session: AsyncSession,
    who: Principal,
    submission: Submission,
    assignment: Assignment,
    body: SubmissionGradeUpdate,
    if_match: Precondition,
    now: datetime,
) -> Submission:
    """The caller holds the assignment, for whether its grades are posted."""
    together = await _lock_together(session, submission)
    if_match.check(submission.version)
    taken_back = body.excused is False and submission.status == "excused"
    if body.score is None and body.rubric_scores is None and not (body.excused or taken_back):
        await _change_feedback(session, who, submission, assignment, body)
        return submission
    alone = bool(body.individual and submission.team)
    grade = None if taken_back and not _given(body) else _new_grade(assignment, body)
    for each in together:
        if each is not submission and (alone or each.individual):
            continue
        if grade is not None:
            await give_grade(session, who, each, assignment, grade, body.feedback, now)
        elif each.status == "excused":
            await _take_back(session, who, each, assignment, body.feedback, now)
    submission.individual = alone
    await session.flush()
    return submission


async def _change_feedback(
    session: AsyncSession,
    who: Principal,
    submission: Submission,
    assignment: Assignment,
    body: SubmissionGradeUpdate,
) -> None:
    """What is said to a grade, for this member of the group alone. Raises Unprocessable where none was given
    to the newest version."""
    if submission.status == "submitted":
        raise Unprocessable.field("score", "is needed, or rubric_scores, or excused")
    individual = submission.individual if body.individual is None else body.individual
    if body.feedback is None and individual == submission.individual:
        return
    submission.individual = individual and submission.team is not None
    submission.feedback = submission.feedback if body.feedback is None else body.feedback
    publish_grade(session, submission, assignment, who)
    await session.flush()


async def _take_back(
    session: AsyncSession,
    who: Principal,
    submission: Submission,
    assignment: Assignment,
    feedback: str | None,
    now: datetime,
) -> None:
    """End an excuse: the grade from before stands again; without one the work waits, or there is none."""
    waits = submission.score is None or submission.graded_number not in (None, submission.number)
    submission.status = "submitted" if waits else "graded"
    if feedback is not None:
        submission.feedback = feedback
    event = publish_grade(session, submission, assignment, who)
    await record_current_grade(session, submission, assignment, event, now)


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


async def give_grade(
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

    It costs what the newest version is too late, unless `late` (0) says otherwise. An excuse keeps the grade
    behind it.
    """
    submission.status = "excused" if grade.score is None else "graded"
    if grade.score is not None:
        submission.score = grade.score
        submission.rubric_scores = grade.rubric_scores
        submission.graded_number = submission.number if late is None else None
    if feedback is not None:
        submission.feedback = feedback
    submission.graded_by = who.user
    submission.graded_at = now
    event = publish_grade(session, submission, assignment, who)
    await record_current_grade(session, submission, assignment, event, now)


@dataclass(frozen=True, slots=True)
class GradingTerms:
    """What of an assignment decides about grades that are given already."""

    points: Decimal
    due_at: datetime | None
    posted: bool
    most: dict[str, Decimal] = field(compare=False)
    """The points of each criterion of the rubric, by which scores were given."""


def grading_terms(assignment: Assignment) -> GradingTerms:
    most = {criterion["uuid"]: Decimal(criterion["points"]) for criterion in assignment.rubric}
    return GradingTerms(assignment.points, assignment.due_at, assignment.posted, most)


async def revise_grades(
    session: AsyncSession, who: Principal, assignment: Assignment, before: GradingTerms, now: datetime
) -> None:
    """Carry changed points, due time and visibility of a locked assignment into the grades that it has.

    A score keeps its share of the points. Each grade that changes, in itself or for whoever sees it, is a
    version of its submission.
    """
    rows = await session.execute(
        select(Submission, SubmissionVersion.submitted_at)
        .outerjoin(
            SubmissionVersion,
            (SubmissionVersion.submission == Submission.uuid)
            & (SubmissionVersion.number == Submission.graded_number),
        )
        .where(Submission.assignment == assignment.uuid)
        .where(or_(Submission.status != "submitted", Submission.score.is_not(None)))
        .order_by(Submission.uuid)
        .with_for_update(of=Submission, key_share=True)
        .execution_options(populate_existing=True)
    )
    changed = []
    for submission, at in rows.all():
        score = _rescaled(submission, before, assignment.points)
        counts = score != submission.score or _late(at, before.due_at) != _late(at, assignment.due_at)
        if not counts and assignment.posted == before.posted:
            continue
        submission.score = score
        event = publish_grade(session, submission, assignment, who)
        if counts and submission.status != "excused":
            _record_grade(session, submission, assignment, at, event, now)
        changed.append(submission.enrollment)
    await session.flush()
    await want_checks(session, changed, now)


def _rescaled(submission: Submission, before: GradingTerms, points: Decimal) -> Decimal | None:
    if submission.score is None or points == before.points:
        return submission.score
    given = {uuid: Decimal(each) for uuid, each in (submission.rubric_scores or {}).items()}
    if given and given.keys() == before.most.keys():
        return rules.score_by_rubric(before.most, given, points)
    return rules.rescaled(submission.score, before.points, points)


async def record_current_grade(
    session: AsyncSession, submission: Submission, assignment: Assignment, event: UUID, now: datetime
) -> None:
    """Note in the history of grades where its learner stands by a locked submission."""
    submitted_at = await session.scalar(
        select(SubmissionVersion.submitted_at).where(
            SubmissionVersion.submission == submission.uuid,
            SubmissionVersion.number == submission.graded_number,
        )
    )
    _record_grade(session, submission, assignment, submitted_at, event, now)
    await session.flush()
    await want_checks(session, [submission.enrollment], now)


def _record_grade(
    session: AsyncSession,
    submission: Submission,
    assignment: Assignment,
    submitted_at: datetime | None,
    event: UUID,
    now: datetime,
) -> None:
    """`submitted_at` is when the version came that the grade is of."""
    status, score = submission.status, None
    if status != "excused" and submission.score is not None:
        status, score = "graded", submission.score
    elif status == "submitted" and not submission.number:
        status = "open"
    record_grade(
        session, course=assignment.course, item=assignment.uuid, student=submission.student, status=status,
        score=score, points=assignment.points, late_seconds=_late(submitted_at, assignment.due_at), at=now,
        event=event,
    )  # fmt: skip


def _late(submitted_at: datetime | None, due_at: datetime | None) -> int:
    return 0 if submitted_at is None else rules.late_seconds(submitted_at, due_at)


def publish_grade(
    session: AsyncSession, submission: Submission, assignment: Assignment, who: Principal
) -> UUID:
    """The next version of a locked submission, and the event of its grade."""
    submission.version += 1
    excused = submission.status == "excused"
    score = None if excused else submission.score
    event = SubmissionGraded(
        **identity(submission, assignment),
        score=None if score is None else float(score),
        points=float(assignment.points),
        percentage=None if score is None else float(round(score * 100 / assignment.points, 2)),
        excused=excused,
        posted=assignment.posted,
        actor=who.user,
    )
    return record(session, event, submission.version)


def _given(body: SubmissionGradeUpdate) -> list[str]:
    return [name for name in ("score", "rubric_scores") if getattr(body, name) is not None]


def _new_grade(assignment: Assignment, body: SubmissionGradeUpdate) -> Grade:
    """Raises Unprocessable where the body does not say how the work is graded."""
    given = _given(body)
    if body.excused:
        if given:
            raise Unprocessable.field(given[0], "cannot go with excused")
        return Grade(None)
    if len(given) > 1:
        raise Unprocessable.field("score", "follows from the rubric: only one of the two can be given")
    if body.rubric_scores is not None:
        return _by_rubric(assignment, {str(each): points for each, points in body.rubric_scores.items()})
    if body.score is None or body.score > assignment.points:
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

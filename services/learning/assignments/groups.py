"""Groups of an assignment: their members hand in together and are graded together."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import UUID4, AfterValidator, ConfigDict, Field
from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from libs.common.events.learning import AssignmentChanged
from libs.common.runtime.errors import Unprocessable
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from libs.common.web.schemas import Answer, Body, Length, PlainText
from services.learning.assignments import rules
from services.learning.assignments.access import access_taught_assignment
from services.learning.assignments.service import publish
from services.learning.models import ENROLLED, Assignment, Enrollment, Submission, User
from services.learning.rules import as_seen, rounded

Name = Annotated[PlainText, Length(1, 100)]


class AssignmentGroupInput(Body):
    uuid: UUID4 = Field(default_factory=uuid4, description="made when missing")
    name: Name
    members: Annotated[list[UUID], Field(min_length=1, max_length=50)]


def _apart(teams: list[AssignmentGroupInput]) -> list[AssignmentGroupInput]:
    members = [member for team in teams for member in team.members]
    if len(set(members)) < len(members):
        raise ValueError("somebody is in one group only, and once")
    if len({team.uuid for team in teams}) < len(teams):
        raise ValueError("groups must have different uuids")
    if len({as_seen(team.name) for team in teams}) < len(teams):
        raise ValueError("groups must have different names")
    return teams


class AssignmentGroupsUpdate(Body):
    model_config = Body.model_config | ConfigDict(
        json_schema_extra={
            "examples": [{"groups": [{"name": "Red", "members": ["0b5e2f6a-3c1d-4e8f-9a7b-6c5d4e3f2a1b"]}]}]
        }
    )

    groups: Annotated[list[AssignmentGroupInput], Field(max_length=500), AfterValidator(_apart)]


class PersonSummary(Answer):
    uuid: UUID
    name: PlainText


class AssignmentGroupRead(Answer):
    uuid: UUID
    name: PlainText
    members: list[PersonSummary]


class AssignmentGroupsRead(Answer):
    """All groups for teachers; a learner sees their own."""

    groups: list[AssignmentGroupRead]


async def save_teams(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: AssignmentGroupsUpdate,
    if_match: Precondition,
    now: datetime,
) -> Assignment:
    """Set the groups, all of them; what was handed in stays whose it was."""
    assignment = await access_taught_assignment(session, who, uuid)
    if_match.check(assignment.version)
    wanted = {member for team in body.groups for member in team.members}
    seated = await session.scalars(
        select(Enrollment.student).where(
            Enrollment.course == assignment.course,
            Enrollment.student.in_(wanted),
            Enrollment.status.in_(ENROLLED),
        )
    )
    strangers = wanted - set(seated)
    if strangers:
        raise Unprocessable.field("groups", f"{min(map(str, strangers))} is not enrolled in the course")
    assignment.teams = [team.model_dump(mode="json") for team in body.groups]
    await publish(session, assignment, AssignmentChanged, who, now)
    await session.flush()
    return assignment


async def show_teams(
    session: AsyncSession, who: Principal, assignment: Assignment, taught: bool
) -> dict[str, Any]:
    teams = list(assignment.teams)
    if not taught:
        own = rules.team_of(teams, who.user)
        teams = [dict(own)] if own else []
    names = await names_of(session, {UUID(member) for team in teams for member in team["members"]})
    return {
        "groups": [
            {
                **team,
                "members": [{"uuid": each, "name": names.get(UUID(each), "")} for each in team["members"]],
            }
            for team in teams
        ]
    }


async def names_of(session: AsyncSession, users: Iterable[UUID]) -> dict[UUID, str]:
    """Names of those who are not erased."""
    rows = await session.execute(select(User.uuid, User.full_name).where(User.uuid.in_(set(users))))
    return {uuid: name for uuid, name in rows}


async def members_of(
    session: AsyncSession, rows: Iterable[Submission], assignment: Assignment, *, taught: bool
) -> dict[UUID, list[dict[str, Any]]]:
    """By group of these submissions, who handed in together, and what each of them got."""
    teams = {row.team for row in rows if row.team is not None}
    if not teams:
        return {}
    found = await session.execute(
        select(Submission, User.full_name)
        .outerjoin(User, User.uuid == Submission.student)
        .where(Submission.assignment == assignment.uuid, Submission.team.in_(teams))
        .order_by(User.full_name, Submission.uuid)
    )
    members: dict[UUID, list[dict[str, Any]]] = {team: [] for team in teams}
    for submission, name in found:
        members[submission.team or submission.uuid].append(
            {
                "student": submission.student,
                "student_name": name or "",
                "submission": submission.uuid if taught else None,
                "score": rounded(submission.score) if taught and submission.status != "excused" else None,
                "individual": submission.individual if taught else None,
            }
        )
    return members


def first_of_team() -> ColumnElement[bool]:
    """Of a group's submissions in one state, the one that stands for all in lists for teachers; those with a
    grade of their own stand for themselves."""
    other = aliased(Submission)
    enrollment = aliased(Enrollment)
    earlier = exists().where(
        and_(
            other.assignment == Submission.assignment,
            other.team == Submission.team,
            other.status == Submission.status,
            ~other.individual,
            other.uuid < Submission.uuid,
            enrollment.uuid == other.enrollment,
            enrollment.status.in_(ENROLLED),
        )
    )
    return or_(Submission.team.is_(None), Submission.individual, ~earlier)

"""Grading policy, gradebook, own grades and their explanation."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, AwareDatetime

from libs.common.data.db import SessionDep
from libs.common.runtime.errors import NotFound
from libs.common.security.auth import CurrentUser, Teacher
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import choose
from libs.common.web.schemas import EmptyIsNone
from services.learning.access import access_grades, access_learnt_course, access_taught_course
from services.learning.errors import NotEnrolled
from services.learning.gradebook import service, sheets
from services.learning.gradebook.explain import explain
from services.learning.gradebook.queries import emails_of, load_grades, policy_at
from services.learning.gradebook.schemas import (
    Explanation,
    Gradebook,
    GradeChanges,
    GradingPolicyRead,
    GradingPolicyUpdate,
    OwnGrades,
)

FILES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
BINARY = {"type": "string", "format": "binary"}
router = APIRouter(prefix="/api/courses/{course}", tags=["gradebook"])


def _past(moment: datetime | None) -> datetime | None:
    if moment is None or PAST <= moment <= FUTURE:
        return moment
    raise ValueError("must lie between 1970 and 9999")


AsOf = Annotated[
    Annotated[AwareDatetime | None, EmptyIsNone, AfterValidator(_past)],
    Query(description="a past moment: everything as it was then; one to come is now"),
]
PAST, FUTURE = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def before(as_of: datetime | None, now: datetime) -> datetime | None:
    """A past moment; None: now."""
    return as_of if as_of is not None and as_of < now else None


@router.get("/grading-policy/", response_model=GradingPolicyRead)
async def get_grading_policy(
    course: UUID, who: Teacher, session: SessionDep, now: Now, request: Request, response: Response
) -> Any:
    """How the grades of the course come about."""
    await access_taught_course(session, who, course)
    saved = await policy_at(session, course, now)
    return etags.answer(request, response, etags.etag(saved.version)) or saved.body.model_dump(by_alias=True)


@router.put("/grading-policy/", response_model=GradingPolicyRead | GradeChanges)
async def save_grading_policy(
    course: UUID,
    body: GradingPolicyUpdate,
    who: Teacher,
    session: SessionDep,
    now: Now,
    if_match: IfMatch,
    response: Response,
    dry_run: bool = False,
) -> Any:
    """Save the policy; with `dry_run=true` only say whose current grade would move."""
    if dry_run:
        return {"changes": await service.try_policy(session, who, course, body, now)}
    policy = await service.save_policy(session, who, course, body, if_match, now)
    response.headers["ETag"] = etags.etag(policy.version)
    return body.model_dump(by_alias=True)


@router.get("/gradebook/", response_model=Gradebook)
async def get_gradebook(course: UUID, who: Teacher, session: SessionDep, now: Now, as_of: AsOf = None) -> Any:
    """Every learner's grades, now or at a past moment."""
    await access_taught_course(session, who, course)
    at = before(as_of, now)
    grades = await load_grades(session, course, now, as_of=at)
    # In a thread: for a large class this takes as long as hundreds of other calls.
    rows = await asyncio.to_thread(lambda: [service.row(grades, user) for user in grades.names])
    return {"items": service.items(grades), "rows": rows, "as_of": at}


@router.get(
    "/gradebook/export/",
    response_class=Response,
    responses={200: {"content": {kind.partition(";")[0]: {"schema": BINARY} for kind in FILES.values()}}},
)
async def export_gradebook(
    course: UUID, who: Teacher, session: SessionDep, now: Now, file: str = "csv", as_of: AsOf = None
) -> Any:
    """The gradebook as CSV or XLSX; what a spreadsheet would take for a formula is text.

    Columns: `user`, `name`, `email`, one for each item as `Title [uuid]`, then `current`, `final`, `letter`.
    """
    kind = choose("file", file, tuple(FILES)) or "csv"
    await access_taught_course(session, who, course)
    grades = await load_grades(session, course, now, as_of=before(as_of, now))
    emails = await emails_of(session, grades.names)
    headers = {"Content-Disposition": f'attachment; filename="gradebook-{course}.{kind}"'}
    if kind == "csv":
        text = await asyncio.to_thread(sheets.as_csv, grades, emails)
        return Response(text, media_type=FILES[kind], headers=headers)
    sheet = await asyncio.to_thread(sheets.as_xlsx, grades, emails)
    return StreamingResponse(sheets.chunks(sheet), media_type=FILES[kind], headers=headers)


@router.get("/grades/me/", response_model=OwnGrades, responses=raises(NotEnrolled))
async def get_own_grades(
    course: UUID, who: CurrentUser, session: SessionDep, now: Now, as_of: AsOf = None
) -> Any:
    """The caller's own grades, as far as they are posted."""
    await access_learnt_course(session, who, course)
    at = before(as_of, now)
    grades = await load_grades(session, course, now, as_of=at, student=who.user, posted_only=True)
    if who.user not in grades.names:
        raise NotEnrolled
    return {"items": service.items(grades), "as_of": at, **service.row(grades, who.user)}


@router.get("/grades/{user}/explain/", response_model=Explanation)
async def explain_grade(
    course: UUID,
    user: UUID,
    who: CurrentUser,
    session: SessionDep,
    now: Now,
    view: str = "current",
    as_of: AsOf = None,
) -> Any:
    """How a learner's `current` or `final` grade came about; learners see their own, as far as posted."""
    wanted = choose("view", view, ("current", "final"))
    taught = await access_grades(session, who, course, user)
    at = before(as_of, now)
    grades = await load_grades(session, course, now, as_of=at, student=user, posted_only=not taught)
    if user not in grades.names:
        raise NotFound
    return explain(grades, user, "final" if wanted == "final" else "current")

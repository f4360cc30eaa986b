"""Assignments, the work handed in for them, and its grades."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from libs.common import etags
from libs.common.auth import CurrentUser, Teacher
from libs.common.db import SessionDep
from libs.common.openapi import raises
from libs.common.paging import Page, PagingDep, choose, choose_uuid
from services.learning.assignments import queries, service
from services.learning.assignments.access import access_assignment, access_submission
from services.learning.assignments.schemas import (
    AssignmentBody,
    AssignmentOut,
    AssignmentPatch,
    GradeBody,
    SubmissionBody,
    SubmissionOut,
    assignment_out,
)
from services.learning.clock import Now
from services.learning.errors import AssignmentClosed, NoSubmissionsLeft, NotEnrolled
from services.learning.quizzes.schemas import Deleted

router = APIRouter(tags=["assignments"])
Filter = Annotated[str | None, Query(description="a uuid")]
STATUSES = ("submitted", "graded", "excused")


@router.post("/api/assignments/", status_code=201, response_model=AssignmentOut)
async def create_assignment(
    body: AssignmentBody, who: Teacher, session: SessionDep, now: Now, response: Response
) -> Any:
    """Set an assignment; the course's learners see it at once."""
    assignment = await service.create_assignment(session, who, body, now)
    response.headers["ETag"] = etags.etag(assignment.version)
    return assignment_out(assignment)


@router.get("/api/assignments/", response_model=Page[AssignmentOut])
async def list_assignments(
    who: CurrentUser, session: SessionDep, page: PagingDep, course: Filter = None, lesson: Filter = None
) -> Any:
    """Assignments of the courses that one teaches or is enrolled in."""
    wanted, within = choose_uuid("course", course), choose_uuid("lesson", lesson)
    count, rows = await queries.list_assignments(session, who, wanted, within, page)
    return page.answer(count, [assignment_out(row) for row in rows])


@router.get("/api/assignments/{uuid}/", response_model=AssignmentOut)
async def get_assignment(
    uuid: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep
) -> Any:
    """One assignment."""
    assignment, _ = await access_assignment(session, who, uuid)
    tag = etags.etag(assignment.version)
    return etags.answer(request, response, tag) or assignment_out(assignment)


@router.patch("/api/assignments/{uuid}/", response_model=AssignmentOut)
async def change_assignment(
    uuid: UUID,
    body: AssignmentPatch,
    request: Request,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Change an assignment."""
    assignment = await service.change_assignment(session, who, uuid, body, request, now)
    response.headers["ETag"] = etags.etag(assignment.version)
    return assignment_out(assignment)


@router.delete("/api/assignments/{uuid}/", response_model=Deleted)
async def delete_assignment(uuid: UUID, request: Request, who: Teacher, session: SessionDep, now: Now) -> Any:
    """Take an assignment away; what was handed in stays on record."""
    await service.delete_assignment(session, who, uuid, request, now)
    return {"deleted": True}


@router.post(
    "/api/assignments/{uuid}/submissions/",
    status_code=201,
    response_model=SubmissionOut,
    responses=raises(NotEnrolled, AssignmentClosed, NoSubmissionsLeft),
)
async def submit_work(
    uuid: UUID, body: SubmissionBody, who: CurrentUser, session: SessionDep, now: Now
) -> Any:
    """Hand in work, or a newer version of it; earlier ones are kept."""
    submission = await service.submit_work(session, who, uuid, body, now)
    assignment, _ = await access_assignment(session, who, uuid)
    return (await queries.show(session, [submission], assignment, taught=False))[0]


@router.get("/api/assignments/{uuid}/submissions/", response_model=Page[SubmissionOut])
async def list_submissions(
    uuid: UUID,
    who: CurrentUser,
    session: SessionDep,
    page: PagingDep,
    status: Annotated[str | None, Query(description=" · ".join(STATUSES))] = None,
) -> Any:
    """Everybody's work for who teaches the assignment, one's own otherwise."""
    assignment, taught = await access_assignment(session, who, uuid)
    chosen = choose("status", status, STATUSES)
    count, rows = await queries.list_submissions(session, who, assignment, taught, chosen, page)
    return page.answer(count, rows)


@router.get("/api/submissions/{uuid}/", response_model=SubmissionOut)
async def get_submission(
    uuid: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep
) -> Any:
    """One submission with all its versions."""
    submission, assignment, taught = await access_submission(session, who, uuid)
    body = (await queries.show(session, [submission], assignment, taught=taught))[0]
    tag = etags.etag(submission.version, assignment.version, taught)
    return etags.answer(request, response, tag) or body


@router.patch("/api/submissions/{uuid}/grade/", response_model=SubmissionOut)
async def grade_submission(
    uuid: UUID,
    body: GradeBody,
    request: Request,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Grade or excuse a submission."""
    submission = await service.grade_submission(session, who, uuid, body, request, now)
    _, assignment, taught = await access_submission(session, who, uuid)
    response.headers["ETag"] = etags.etag(submission.version, assignment.version, taught)
    return (await queries.show(session, [submission], assignment, taught=taught))[0]

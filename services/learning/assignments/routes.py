"""Assignments, the work handed in for them, and its grades."""

import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from libs.common.data.db import SessionDep
from libs.common.files.storage import URL_SECONDS
from libs.common.runtime.errors import FileTypeRefused
from libs.common.security.auth import CurrentUser, Teacher
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_uuid
from services.learning.assignments import grading, groups, queries, service, submissions
from services.learning.assignments.access import access_assignment, access_submission
from services.learning.assignments.schemas import (
    AssignmentCreate,
    AssignmentRead,
    AssignmentUpdate,
    SubmissionGradeUpdate,
    SubmissionRead,
    SubmissionSummary,
    assignment_read,
)
from services.learning.assignments.uploads import FORM, UPLOAD_BODY, ReceivedWork
from services.learning.errors import AssignmentClosed, NoSubmissionsLeft, NotEnrolled
from services.learning.models import Assignment, Submission
from services.learning.schemas import Deleted

router = APIRouter(tags=["assignments"])
Filter = Annotated[str | None, Query(description="a uuid")]
STATUSES = ("submitted", "graded", "excused")
WAITING = ("ungraded", "late", "resubmitted")


@router.post("/api/assignments/", status_code=201, response_model=AssignmentRead)
async def create_assignment(
    body: AssignmentCreate, who: Teacher, session: SessionDep, now: Now, response: Response
) -> Any:
    """Set an assignment; the course's learners see it at once."""
    assignment = await service.create_assignment(session, who, body, now)
    response.headers["ETag"] = etags.etag(assignment.version)
    return assignment_read(assignment)


@router.get("/api/assignments/", response_model=Page[AssignmentRead])
async def list_assignments(
    who: CurrentUser, session: SessionDep, page: PagingDep, course: Filter = None, lesson: Filter = None
) -> Any:
    """Assignments of the courses that one teaches or is enrolled in."""
    wanted, within = choose_uuid("course", course), choose_uuid("lesson", lesson)
    count, rows = await queries.list_assignments(session, who, wanted, within, page)
    return page.answer(count, [assignment_read(row) for row in rows])


@router.get("/api/assignments/{uuid}/", response_model=AssignmentRead)
async def get_assignment(
    uuid: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep
) -> Any:
    """One assignment."""
    assignment, _ = await access_assignment(session, who, uuid)
    tag = etags.etag(assignment.version)
    return etags.answer(request, response, tag) or assignment_read(assignment)


@router.patch("/api/assignments/{uuid}/", response_model=AssignmentRead)
async def change_assignment(
    uuid: UUID,
    body: AssignmentUpdate,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Change an assignment."""
    assignment = await service.change_assignment(session, who, uuid, body, if_match, now)
    response.headers["ETag"] = etags.etag(assignment.version)
    return assignment_read(assignment)


@router.delete("/api/assignments/{uuid}/", response_model=Deleted)
async def delete_assignment(
    uuid: UUID, if_match: IfMatch, who: Teacher, session: SessionDep, now: Now
) -> Any:
    """Take an assignment away; what was handed in stays on record."""
    await service.delete_assignment(session, who, uuid, if_match, now)
    return {"deleted": True}


@router.get("/api/assignments/{uuid}/groups/", response_model=groups.AssignmentGroupsRead)
async def get_groups(
    uuid: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep
) -> Any:
    """The groups that hand in together; a learner sees their own."""
    assignment, taught = await access_assignment(session, who, uuid)
    body = await groups.show_teams(session, who, assignment, taught)
    return etags.answer(request, response, etags.etag(assignment.version, taught, body)) or body


@router.put("/api/assignments/{uuid}/groups/", response_model=groups.AssignmentGroupsRead)
async def save_groups(
    uuid: UUID,
    body: groups.AssignmentGroupsUpdate,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Set the groups of an assignment, all of them; learners in none hand in alone."""
    assignment = await groups.save_teams(session, who, uuid, body, if_match, now)
    shown = await groups.show_teams(session, who, assignment, True)
    response.headers["ETag"] = etags.etag(assignment.version, True, shown)
    return shown


@router.post(
    "/api/assignments/{uuid}/submissions/",
    status_code=201,
    response_model=SubmissionRead,
    max_body_size=UPLOAD_BODY,
    openapi_extra=FORM,
    responses=raises(NotEnrolled, AssignmentClosed, NoSubmissionsLeft, FileTypeRefused),
)
async def submit_work(
    uuid: UUID, work: ReceivedWork, request: Request, who: CurrentUser, session: SessionDep, now: Now
) -> Any:
    """Hand in work, or a newer version of it: a text, or as multipart `text` and up to ten `files`.

    What a member of a group hands in is the work of all its members.
    """
    submission = await submissions.submit_work(session, who, uuid, work.text, work.files, now)
    assignment, _ = await access_assignment(session, who, uuid)
    return await _shown(request, who, session, submission, assignment, taught=False)


async def _shown(
    request: Request,
    who: Principal,
    session: SessionDep,
    submission: Submission,
    assignment: Assignment,
    *,
    taught: bool,
) -> dict[str, Any]:
    storage = request.app.state.storage.seen_by(who)
    return (await queries.show(session, [submission], assignment, storage, taught=taught))[0]


@router.get("/api/assignments/{uuid}/submissions/", response_model=Page[SubmissionRead])
async def list_submissions(
    uuid: UUID,
    request: Request,
    who: CurrentUser,
    session: SessionDep,
    page: PagingDep,
    status: Annotated[str | None, Query(description=" · ".join(STATUSES))] = None,
) -> Any:
    """Submissions of an assignment: everybody's for its teachers, one for each group; one's own for
    learners."""
    assignment, taught = await access_assignment(session, who, uuid)
    chosen = choose("status", status, STATUSES)
    storage = request.app.state.storage.seen_by(who)
    count, rows = await queries.list_submissions(session, who, assignment, taught, chosen, page, storage)
    return page.answer(count, rows)


@router.get("/api/submissions/queue/", response_model=Page[SubmissionSummary])
async def list_grading_queue(
    who: Teacher,
    session: SessionDep,
    page: PagingDep,
    course: Filter = None,
    assignment: Filter = None,
    only: Annotated[str | None, Query(max_length=50, description=" · ".join(WAITING))] = None,
) -> Any:
    """Submissions that wait for a grade in the teacher's courses, oldest first."""
    within, of = choose_uuid("course", course), choose_uuid("assignment", assignment)
    chosen = choose("only", only, WAITING)
    count, rows = await queries.list_waiting(session, who, within, of, chosen, page)
    return page.answer(count, rows)


@router.get("/api/submissions/{uuid}/", response_model=SubmissionRead)
async def get_submission(
    uuid: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep
) -> Any:
    """One submission with all its versions."""
    submission, assignment, taught = await access_submission(session, who, uuid)
    body = await _shown(request, who, session, submission, assignment, taught=taught)
    return etags.answer(request, response, _tag(submission, assignment, taught, body)) or body


def _tag(submission: Submission, assignment: Assignment, taught: bool, body: dict[str, Any]) -> str:
    """It follows the group's members, and changes before the links in the reader's copy have died.

    A learner's says nothing of the version, which counts what teachers do and have not shown yet.
    """
    window = int(time.time() / (URL_SECONDS / 2))
    if taught:
        return etags.etag(submission.version, assignment.version, window, body["members"])
    seen = {name: body[name] for name in body if name not in ("files", "versions")}
    return etags.etag(submission.number, window, seen)


@router.patch("/api/submissions/{uuid}/grade/", response_model=SubmissionRead)
async def grade_submission(
    uuid: UUID,
    body: SubmissionGradeUpdate,
    request: Request,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Grade by `score` or by `rubric_scores`, or excuse: a submission with those of its whole group."""
    submission = await grading.grade_submission(session, who, uuid, body, if_match, now)
    _, assignment, taught = await access_submission(session, who, uuid)
    shown = await _shown(request, who, session, submission, assignment, taught=taught)
    response.headers["ETag"] = _tag(submission, assignment, taught, shown)
    return shown


@router.put("/api/assignments/{uuid}/grades/{user}/", response_model=SubmissionRead)
async def grade_learner(
    uuid: UUID,
    user: UUID,
    body: SubmissionGradeUpdate,
    request: Request,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Grade or excuse a learner of the course, also one who has handed in nothing."""
    submission, assignment = await grading.grade_learner(session, who, uuid, user, body, if_match, now)
    shown = await _shown(request, who, session, submission, assignment, taught=True)
    response.headers["ETag"] = _tag(submission, assignment, True, shown)
    return shown

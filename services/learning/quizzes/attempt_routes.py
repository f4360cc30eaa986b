"""Attempts: start or resume, autosave, submit, look at the result, grade."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_uuid
from services.learning.errors import (
    AttemptAlreadySubmitted,
    AttemptClosed,
    AttemptNotSubmitted,
    InvalidAnswer,
    NoAttemptsLeft,
    NotEnrolled,
    QuestionKindChanged,
    QuizClosed,
    QuizNotOpen,
)
from services.learning.quizzes import attempts, excuses, extensions, grading, saves, starts, statistics, views
from services.learning.quizzes.grading_schemas import (
    AnswerGradeUpdate,
    QuizStatistics,
    RegradeChanges,
    RegradeRequest,
)
from services.learning.quizzes.routes import Filter
from services.learning.quizzes.schemas import ExcuseUpdate, ExtensionTeacherRead, ExtensionUpdate

router = APIRouter(tags=["attempts"])
STATUSES = ("in_progress", "submitted", "graded")
StatusFilter = Annotated[str | None, Query(description=f"one of: {', '.join(STATUSES)}")]


@router.post(
    "/api/quizzes/{uuid}/attempts/",
    status_code=201,
    response_model=views.AttemptRead,
    responses=raises(NotEnrolled, QuizNotOpen, QuizClosed, NoAttemptsLeft)
    | {200: {"model": views.AttemptRead, "description": "The attempt that is open already"}},
)
async def start_attempt(uuid: UUID, who: CurrentUser, session: SessionDep, now: Now) -> Any:
    """Start an attempt: 201; an open one is taken up again: 200."""
    loaded, is_new = await starts.start_attempt(session, who, uuid, now)
    return views.as_answer(views.show_own_attempt(loaded, now), 201 if is_new else 200)


@router.get("/api/quizzes/{uuid}/attempts/", response_model=Page[views.AttemptSummary])
async def list_attempts(
    uuid: UUID,
    who: CurrentUser,
    session: SessionDep,
    now: Now,
    page: PagingDep,
    status: StatusFilter = None,
    student: Filter = None,
) -> Any:
    """Attempts of a quiz: everybody's for its teachers, one's own for learners; newest first.

    `status=submitted` is the queue of attempts that wait for a teacher, oldest first.
    """
    wanted = choose("status", status, STATUSES) if status else None
    count, rows = await views.list_attempts(
        session, who, uuid, wanted, choose_uuid("student", student), now, page
    )
    return page.answer(count, rows)


@router.get("/api/attempts/{uuid}/", response_model=views.AttemptRead)
async def get_attempt(
    uuid: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep, now: Now
) -> Any:
    """An attempt: open ones with what was saved, handed-in ones as far as the feedback policy shows them."""
    body, tag = await views.read_attempt(session, who, uuid, now)
    return etags.answer(request, response, tag) or body


@router.put(
    "/api/attempts/{uuid}/answers/{question}/",
    response_model=views.AnswerRead,
    responses=raises(NotEnrolled, AttemptAlreadySubmitted, AttemptClosed, InvalidAnswer),
)
async def save_answer(
    uuid: UUID, question: UUID, body: views.AnswerUpdate, who: CurrentUser, session: SessionDep, now: Now
) -> Any:
    """Save an answer; counts until the deadline plus five seconds by the server's clock."""
    deadline = await saves.save_answer(session, who, uuid, question, body.answer, now)
    return views.show_saved(question, body.answer, deadline, now)


@router.post("/api/attempts/{uuid}/submit/", response_model=views.AttemptRead, responses=raises(NotEnrolled))
async def submit_attempt(uuid: UUID, who: CurrentUser, session: SessionDep, now: Now) -> Any:
    """Hand in what was saved; again → the same result."""
    loaded = await attempts.close_attempt(session, who, uuid, now)
    return views.as_answer(views.show_own_attempt(loaded, now))


@router.patch(
    "/api/attempts/{uuid}/grade/",
    response_model=views.AttemptRead,
    responses=raises(AttemptNotSubmitted),
)
async def grade_answer(
    uuid: UUID,
    body: AnswerGradeUpdate,
    if_match: IfMatch,
    response: Response,
    who: CurrentUser,
    session: SessionDep,
    now: Now,
) -> Any:
    """Give points for one answer: an essay's, or against what the rules gave.

    Once nothing waits any more, the attempt is graded.
    """
    await grading.grade_answer(session, who, uuid, body, if_match, now)
    answer, response.headers["ETag"] = await views.read_attempt(session, who, uuid, now)
    return answer


@router.post(
    "/api/quizzes/{uuid}/regrade/",
    response_model=RegradeChanges,
    responses=raises(QuestionKindChanged),
)
async def regrade_quiz(
    uuid: UUID, body: RegradeRequest, if_match: IfMatch, who: CurrentUser, session: SessionDep, now: Now
) -> Any:
    """Grade a question anew in all attempts, by the question as it is now; `dry_run` only shows the changes.

    `If-Match` takes the quiz's ETag. Completed lessons and courses stay completed. The act is kept in the
    audit log, with its `reason`.
    """
    return {"changes": await grading.regrade(session, who, uuid, body, if_match, now)}


@router.get("/api/quizzes/{uuid}/extensions/", response_model=list[ExtensionTeacherRead])
async def list_extensions(uuid: UUID, who: CurrentUser, session: SessionDep) -> Any:
    """Extensions of a quiz: learners with more time, more attempts or a later close."""
    return await extensions.list_extensions(session, who, uuid)


@router.put("/api/quizzes/{uuid}/extensions/{user}/", response_model=ExtensionTeacherRead)
async def put_extension(
    uuid: UUID,
    user: UUID,
    body: ExtensionUpdate,
    if_match: IfMatch,
    response: Response,
    who: CurrentUser,
    session: SessionDep,
    now: Now,
) -> Any:
    """Give a learner more time, attempts or a later close, also in an attempt that is under way."""
    extension = await extensions.put_extension(session, who, uuid, user, body, if_match, now)
    response.headers["ETag"] = etags.etag(extension.version)
    return await extensions.show_extension(session, extension)


@router.put("/api/quizzes/{uuid}/grades/{user}/", response_model=ExtensionTeacherRead)
async def excuse_learner(
    uuid: UUID,
    user: UUID,
    body: ExcuseUpdate,
    if_match: IfMatch,
    response: Response,
    who: CurrentUser,
    session: SessionDep,
    now: Now,
) -> Any:
    """Excuse a learner from a quiz, or take that back; their attempts stay, and count as soon as it is."""
    extension = await excuses.excuse_learner(session, who, uuid, user, body, if_match, now)
    response.headers["ETag"] = etags.etag(extension.version)
    return await extensions.show_extension(session, extension)


@router.get("/api/quizzes/{uuid}/statistics/", response_model=QuizStatistics)
async def get_statistics(uuid: UUID, who: CurrentUser, session: SessionDep) -> Any:
    """How hard each question is, how well it tells learners apart, and what was answered."""
    return await statistics.get_statistics(session, who, uuid)

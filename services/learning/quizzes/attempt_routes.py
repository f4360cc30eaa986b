"""Attempts: start or resume, autosave, submit, look at the result."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from libs.common import etags
from libs.common.auth import CurrentUser
from libs.common.db import SessionDep
from libs.common.paging import Page, PagingDep
from services.learning.clock import Now
from services.learning.quizzes import attempts, views
from services.learning.quizzes.access import access_quiz

router = APIRouter(tags=["attempts"])


@router.post("/api/quizzes/{uuid}/attempts/", status_code=201, response_model=views.AttemptOut)
async def start_attempt(
    uuid: UUID, who: CurrentUser, session: SessionDep, now: Now, response: Response
) -> Any:
    """Start an attempt: 201; an open one is taken up again: 200."""
    attempt, is_new = await attempts.start_attempt(session, who, uuid, now)
    response.status_code = 201 if is_new else 200
    return await views.get_attempt(session, who, attempt.uuid, now)


@router.get("/api/quizzes/{uuid}/attempts/", response_model=Page[views.AttemptRow])
async def list_attempts(uuid: UUID, who: CurrentUser, session: SessionDep, now: Now, page: PagingDep) -> Any:
    """All attempts for who teaches the quiz, one's own otherwise; newest first."""
    quiz, taught = await access_quiz(session, who, uuid)
    count, rows = await views.list_attempts(session, who, quiz, taught, now, page)
    return page.answer(count, rows)


@router.get("/api/attempts/{uuid}/", response_model=views.AttemptOut)
async def get_attempt(
    uuid: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep, now: Now
) -> Any:
    """An attempt: open ones with what was saved, handed-in ones as far as the feedback policy shows them."""
    body = await views.get_attempt(session, who, uuid, now)
    return etags.answer(request, response, etags.etag(0, body.model_dump_json())) or body


@router.put("/api/attempts/{uuid}/answers/{question}/", response_model=views.SavedAnswer)
async def save_answer(
    uuid: UUID, question: UUID, body: views.AnswerBody, who: CurrentUser, session: SessionDep, now: Now
) -> Any:
    """Save an answer; counts until the deadline plus five seconds by the server's clock."""
    deadline = await attempts.save_answer(session, who, uuid, question, body.answer, now)
    return {
        "question": question,
        "answer": body.answer,
        "saved_at": now,
        "deadline": deadline,
        "seconds_left": views.seconds_left(deadline, now),
    }


@router.post("/api/attempts/{uuid}/submit/", response_model=views.AttemptOut)
async def submit_attempt(uuid: UUID, who: CurrentUser, session: SessionDep, now: Now) -> Any:
    """Hand in what was saved; again → the same result."""
    await attempts.submit_attempt(session, who, uuid, now)
    return await views.get_attempt(session, who, uuid, now)

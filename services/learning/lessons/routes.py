"""What a learner does in a lesson."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from services.learning.errors import LessonNotFinished, NotEnrolled
from services.learning.lessons import service
from services.learning.lessons.completion import show_completion
from services.learning.lessons.schemas import (
    HeartbeatRead,
    HeartbeatRequest,
    LessonCompletion,
    LessonProgressRead,
    NotesRead,
    NotesUpdate,
)

router = APIRouter(prefix="/api/courses/{course}/lessons/{lesson}", tags=["lessons"])


@router.post("/complete/", response_model=LessonCompletion, responses=raises(NotEnrolled, LessonNotFinished))
async def complete_lesson(course: UUID, lesson: UUID, who: CurrentUser, session: SessionDep, now: Now) -> Any:
    """Complete a lesson; again → the same answer. One with a quiz or an assignment completes by that."""
    return show_completion(await service.complete_lesson(session, who, course, lesson, now))


@router.post("/progress/", response_model=HeartbeatRead, responses=raises(NotEnrolled))
async def record_lesson_progress(
    course: UUID, lesson: UUID, body: HeartbeatRequest, who: CurrentUser, session: SessionDep, now: Now
) -> Any:
    """A heartbeat: resume position and study time, which never passes wall clock.

    What counts is at most a minute, the time since the last heartbeat anywhere, and since the enrolment.
    """
    position, counted, total = await service.record_heartbeat(
        session, who, course, lesson, body.position_seconds, body.seconds_spent, now
    )
    return {
        "lesson": lesson,
        "position_seconds": position,
        "seconds_counted": counted,
        "study_seconds": total,
    }


@router.get("/progress/", response_model=LessonProgressRead, responses=raises(NotEnrolled))
async def get_lesson_progress(course: UUID, lesson: UUID, who: CurrentUser, session: SessionDep) -> Any:
    """Where to go on with a lesson, and how much time it took so far."""
    found = await service.read_progress(session, who, course, lesson)
    return {
        "lesson": lesson,
        "position_seconds": found.position_seconds if found else 0,
        "study_seconds": found.study_seconds if found else 0,
        "is_completed": bool(found and found.completed_at),
        "completed_at": found and found.completed_at,
    }


@router.get("/notes/", response_model=NotesRead, responses=raises(NotEnrolled))
async def get_lesson_notes(
    course: UUID, lesson: UUID, who: CurrentUser, session: SessionDep, request: Request, response: Response
) -> Any:
    """One's own notes on a lesson."""
    notes, at = await service.read_notes(session, who, course, lesson)
    tag = etags.etag(service.notes_version(at))
    return etags.answer(request, response, tag) or {"lesson": lesson, "notes": notes, "updated_at": at}


@router.post("/notes/", response_model=NotesRead, responses=raises(NotEnrolled))
async def save_lesson_notes(
    course: UUID,
    lesson: UUID,
    body: NotesUpdate,
    who: CurrentUser,
    session: SessionDep,
    now: Now,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Replace one's own notes on a lesson."""
    await service.save_notes(session, who, course, lesson, body.notes, if_match, now)
    response.headers["ETag"] = etags.etag(service.notes_version(now))
    return {"lesson": lesson, "notes": body.notes, "updated_at": now}

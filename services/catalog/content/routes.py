"""HTTP of modules and lessons (api.md §3)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from libs.common.data.db import SessionDep
from libs.common.files.forms import received_file
from libs.common.files.pictures import FORMATS
from libs.common.files.uploads import HEAD, shown_name, whole
from libs.common.runtime.errors import FileTypeRefused
from libs.common.security.auth import CurrentUser, OptionalUser
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_uuid
from services.catalog.access import StorageDep, View, access_course, access_module, lock_lesson, lock_module
from services.catalog.content import service
from services.catalog.content.schemas import (
    LessonCreate,
    LessonRead,
    LessonUpdate,
    ModuleCreate,
    ModuleRead,
    ModuleUpdate,
)
from services.catalog.content.uploads import attach_file, store_file
from services.catalog.content.views import (
    WHICH,
    find_lesson,
    find_module,
    seen_structure,
    show_lesson,
    show_module,
    show_modules,
)
from services.catalog.errors import (
    CourseRequired,
    CourseTooLarge,
    FileMissing,
    MediaQuotaExceeded,
    ObjectExpired,
)
from services.catalog.media.types import UPLOAD_BODY, media_type, picture_bytes
from services.catalog.models import Course
from services.catalog.schemas import Done

modules = APIRouter(prefix="/api/modules", tags=["modules"])
lessons = APIRouter(prefix="/api/courses/{course}/lessons", tags=["lessons"])


def _tag(view: View, part: dict[str, Any], shown: dict[str, Any]) -> str:
    """The entity tag of a module or lesson: its version, and what this reader sees of it."""
    inside = [shown, *shown.get("lessons", ())]
    facts = [
        (
            row.get("is_locked"),
            row.get("is_completed"),
            (row.get("file") or {}).get("url"),
            row.get("resources"),
        )
        for row in inside
    ]
    versions = [part["version"], *(lesson["version"] for lesson in part.get("lessons", ()))]
    return etags.etag(part["version"], view.edits, facts, versions)


@modules.get("/", response_model=Page[ModuleRead], responses=raises(CourseRequired))
async def list_modules(
    session: SessionDep, who: OptionalUser, page: PagingDep, storage: StorageDep, course: str | None = None
) -> Any:
    """The modules of one course with their lessons, all on one page."""
    uuid = choose_uuid("course", course)
    if uuid is None:
        raise CourseRequired
    view = await access_course(session, who, uuid)
    shown = await show_modules(view, await seen_structure(session, view), storage.seen_by(who))
    return {"count": len(shown), "next": None, "previous": None, "results": shown}


@modules.post("/", status_code=201, response_model=ModuleRead, responses=raises(CourseTooLarge))
async def create_module(
    body: ModuleCreate, session: SessionDep, who: CurrentUser, storage: StorageDep, response: Response
) -> Any:
    """Add a module to a course's working structure."""
    course, module = await service.create_module(session, who, body)
    return await _module_answer(session, course, module.uuid, storage.seen_by(who), response)


async def _module_answer(
    session: SessionDep, course: Course, uuid: UUID, storage: StorageDep, response: Response
) -> dict[str, Any]:
    view = View(course, True, False)
    module = find_module(await seen_structure(session, view), uuid)
    shown = await show_module(view, module, storage)
    response.headers["ETag"] = _tag(view, module, shown)
    return shown


@modules.get("/{uuid}/", response_model=ModuleRead)
async def get_module(
    uuid: UUID,
    session: SessionDep,
    who: OptionalUser,
    storage: StorageDep,
    request: Request,
    response: Response,
) -> Any:
    """One module, as the caller may see it."""
    view = await access_course(session, who, (await access_module(session, uuid)).course_uuid)
    module = find_module(await seen_structure(session, view), uuid)
    shown = await show_module(view, module, storage.seen_by(who))
    return etags.answer(request, response, _tag(view, module, shown)) or shown


@modules.patch("/{uuid}/", response_model=ModuleRead)
async def change_module(
    uuid: UUID,
    body: ModuleUpdate,
    session: SessionDep,
    who: CurrentUser,
    storage: StorageDep,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Rename, describe or move a module of the working structure."""
    course, module = await lock_module(session, who, uuid, if_match)
    await service.change_module(session, who, course, module, body)
    return await _module_answer(session, course, uuid, storage.seen_by(who), response)


@modules.delete("/{uuid}/", response_model=Done)
async def remove_module(uuid: UUID, session: SessionDep, who: CurrentUser, if_match: IfMatch) -> Any:
    """Take a module and its lessons out of the working structure."""
    course, module = await lock_module(session, who, uuid, if_match)
    await service.remove_module(session, who, course, module)
    return {"detail": "The module is removed; learners see it until the next publish."}


@lessons.get("/", response_model=Page[LessonRead])
async def list_lessons(
    course: UUID, session: SessionDep, who: OptionalUser, storage: StorageDep, view: str | None = None
) -> Any:
    """All lessons of a course in order, on one page, with the bodies that the caller may read."""
    which = choose("view", view, WHICH)
    seen = await access_course(session, who, course)
    structure = await seen_structure(session, seen, which)
    modules = await show_modules(seen, structure, storage.seen_by(who))
    shown = [lesson for module in modules for lesson in module["lessons"]]
    return {"count": len(shown), "next": None, "previous": None, "results": shown}


@lessons.post("/", status_code=201, response_model=LessonRead, responses=raises(CourseTooLarge))
async def create_lesson(
    course: UUID,
    body: LessonCreate,
    session: SessionDep,
    who: CurrentUser,
    storage: StorageDep,
    response: Response,
) -> Any:
    """Add a lesson to a module of the course's working structure."""
    row, lesson = await service.create_lesson(session, who, course, body)
    return await _lesson_answer(session, row, lesson.uuid, storage.seen_by(who), response)


async def _lesson_answer(
    session: SessionDep, course: Course, uuid: UUID, storage: StorageDep, response: Response
) -> dict[str, Any]:
    view = View(course, True, False)
    lesson = find_lesson(await seen_structure(session, view), uuid)
    shown = await show_lesson(view, lesson, storage)
    response.headers["ETag"] = _tag(view, lesson, shown)
    return shown


@lessons.get("/{uuid}/", response_model=LessonRead)
async def get_lesson(
    course: UUID,
    uuid: UUID,
    session: SessionDep,
    who: OptionalUser,
    storage: StorageDep,
    request: Request,
    response: Response,
) -> Any:
    """One lesson: the body for learners and editors, of a preview for everybody; otherwise the outline."""
    view = await access_course(session, who, course)
    lesson = find_lesson(await seen_structure(session, view), uuid)
    shown = await show_lesson(view, lesson, storage.seen_by(who))
    return etags.answer(request, response, _tag(view, lesson, shown)) or shown


@lessons.patch("/{uuid}/", response_model=LessonRead)
async def change_lesson(
    course: UUID,
    uuid: UUID,
    body: LessonUpdate,
    session: SessionDep,
    who: CurrentUser,
    storage: StorageDep,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Change or move a lesson of the working structure."""
    row, lesson, _ = await lock_lesson(session, who, course, uuid, if_match)
    await service.change_lesson(session, who, row, lesson, body)
    return await _lesson_answer(session, row, uuid, storage.seen_by(who), response)


@lessons.delete("/{uuid}/", response_model=Done)
async def remove_lesson(
    course: UUID, uuid: UUID, session: SessionDep, who: CurrentUser, if_match: IfMatch
) -> Any:
    """Take a lesson out of the working structure."""
    row, lesson, _ = await lock_lesson(session, who, course, uuid, if_match)
    await service.remove_lesson(session, who, row, lesson)
    return {"detail": "The lesson is removed; learners see it until the next publish."}


@lessons.post(
    "/{uuid}/upload/",
    response_model=LessonRead,
    max_body_size=UPLOAD_BODY,
    responses=raises(FileMissing, FileTypeRefused, MediaQuotaExceeded, ObjectExpired),
)
async def upload_lesson_file(
    course: UUID,
    uuid: UUID,
    session: SessionDep,
    who: CurrentUser,
    storage: StorageDep,
    if_match: IfMatch,
    now: Now,
    request: Request,
    response: Response,
) -> Any:
    """Store the lesson's file from the multipart field `file` or `resource`; another one replaces it."""
    # Refuse before a byte of the body is read, and hold no lock while it arrives.
    async with request.app.state.db.sessions() as early:
        before, lesson, _ = await lock_lesson(early, who, course, uuid, if_match)
        owner, content_type = before.instructor, lesson.content_type
    file = await _received(request, owner, uuid, content_type)
    row, lesson, _ = await lock_lesson(session, who, course, uuid, if_match)
    state = request.app.state
    await attach_file(session, who, row, lesson, file, state.settings.media_quota, now)
    return await _lesson_answer(session, row, uuid, storage.seen_by(who), response)


async def _received(request: Request, owner: UUID, lesson: UUID, content_type: str) -> dict[str, Any]:
    """Store the file of the form. If the lesson does not get it, a sweep deletes it."""
    state = request.app.state
    limit: int = state.settings.file_limit
    async with received_file(request, "file", "resource", most_bytes=limit, missing=FileMissing) as file:
        name = shown_name(file.name)
        kind = media_type(content_type, name, await file.head(HEAD))
        content = file.chunks()
        if kind in FORMATS:
            content = whole(await picture_bytes(content, kind, state.pictures))
        stored = await store_file(state.db, state.storage, owner, lesson, content, limit)
    return {**stored, "name": name, "media_type": kind}

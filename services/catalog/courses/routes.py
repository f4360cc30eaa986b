"""HTTP of courses (api.md §3)."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser, OptionalUser, Teacher
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.border import client_address
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_bool
from services.catalog.access import StorageDep, View, access_course, access_taught_course
from services.catalog.content.schemas import CourseOrderRead, CourseReorderRequest
from services.catalog.content.service import reorder_tree
from services.catalog.content.views import WHICH, seen_structure, show_modules
from services.catalog.courses import copies, removal, service
from services.catalog.courses.access import CourseQueryDep, require_teacher
from services.catalog.courses.facets import count_facets
from services.catalog.courses.queries import (
    CourseQuery,
    list_courses,
    list_favorites,
    list_own,
    page_bytes,
)
from services.catalog.courses.schemas import (
    CourseCreate,
    CourseList,
    CoursePublishRequest,
    CourseRead,
    CourseRemoval,
    CourseSummary,
    CourseUpdate,
    InstructorsRead,
    InstructorsUpdate,
    PrerequisitesRead,
    PrerequisitesUpdate,
)
from services.catalog.courses.views import course_tag, list_instructors, list_prerequisites, show_course
from services.catalog.courses.visits import record_view
from services.catalog.errors import (
    CourseTooLarge,
    FeaturingNotAllowed,
    IncompleteTree,
    InvalidTransition,
    NothingToPublish,
    PrerequisiteCycle,
)
from services.catalog.models import Course
from services.catalog.parameters import TRUTHS, one_of

router = APIRouter(prefix="/api/courses", tags=["courses"])


@router.get("/", response_model=CourseList)
async def list_all_courses(
    request: Request,
    who: OptionalUser,
    page: PagingDep,
    wanted: CourseQueryDep,
    facets: Annotated[str | None, one_of(TRUTHS, "; true: count what filters leave")] = None,
) -> Response:
    """Published courses, searched, filtered, sorted. `my_courses=true`: all of the caller's on one page."""
    with_facets = choose_bool("facets", facets)
    # One statement that only reads needs no transaction around it.
    async with request.app.state.reader.connect() as reader:
        if wanted.own:
            mine = await list_own(reader, require_teacher(who), wanted)
            return Response(page_bytes(page, *mine, whole=True), media_type="application/json")
        count, cards = await list_courses(reader, who, wanted, page.size, page.offset)
        counted = await count_facets(reader, wanted) if with_facets else None
    return Response(page_bytes(page, count, cards, facets=counted), media_type="application/json")


@router.get("/teacher/", response_model=list[CourseSummary])
async def list_taught_courses(request: Request, who: Teacher) -> Response:
    """All courses that the caller teaches, in every status, as a bare list."""
    async with request.app.state.reader.connect() as reader:
        _, cards = await list_own(reader, who, CourseQuery(sort="changed", own=True))
    return Response(cards, media_type="application/json")


@router.get("/favorites/", response_model=Page[CourseSummary])
async def list_my_favorites(request: Request, who: CurrentUser, page: PagingDep) -> Response:
    """The caller's favourite courses that they may still see, the last added first."""
    async with request.app.state.reader.connect() as reader:
        count, cards = await list_favorites(reader, who, page.size, page.offset)
    return Response(page_bytes(page, count, cards), media_type="application/json")


@router.post("/", status_code=201, response_model=CourseRead, responses=raises(FeaturingNotAllowed))
async def create_course(
    body: CourseCreate, session: SessionDep, who: Teacher, storage: StorageDep, response: Response
) -> Any:
    """Create a course, as a draft that only its editors see."""
    course = await service.create_course(session, who, body)
    return await _answer(session, who, View(course, True, False), storage, response)


async def _answer(
    session: SessionDep, who: Principal, view: View, storage: StorageDep, response: Response
) -> Any:
    """Answer a change: the course with its new entity tag."""
    answer = await show_course(session, who, view, storage.seen_by(who))
    response.headers["ETag"] = course_tag(view, answer)
    return answer


@router.get("/{uuid}/", response_model=CourseRead)
async def get_course(
    uuid: UUID,
    session: SessionDep,
    who: OptionalUser,
    storage: StorageDep,
    now: Now,
    request: Request,
    response: Response,
    view: Annotated[str | None, Query(description="for editors: draft (default) or published")] = None,
) -> Any:
    """The whole course with its modules and lessons, as the caller may see them."""
    which = choose("view", view, WHICH)
    seen = await access_course(session, who, uuid)
    secret = request.app.state.settings.secret
    await record_view(session, who, client_address(request), seen, now.date(), secret)
    answer = await show_course(session, who, seen, storage.seen_by(who), which)
    return etags.answer(request, response, course_tag(seen, answer)) or answer


@router.patch(
    "/{uuid}/",
    response_model=CourseRead,
    responses=raises(FeaturingNotAllowed, InvalidTransition, NothingToPublish),
)
async def change_course(
    uuid: UUID,
    body: CourseUpdate,
    session: SessionDep,
    who: CurrentUser,
    storage: StorageDep,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Change the fields that are sent. A changed `status` publishes, unpublishes or archives."""
    await service.hold_names(session, body.category, "tags" in body.model_fields_set)
    course = await access_taught_course(session, who, uuid)
    if_match.check(course.edited_version)
    await service.change_course(session, who, course, body)
    return await _answer(session, who, View(course, True, False), storage, response)


@router.delete("/{uuid}/", response_model=CourseRemoval)
async def delete_course(uuid: UUID, session: SessionDep, who: CurrentUser, if_match: IfMatch) -> Any:
    """Delete the course; it is archived instead if anyone ever enrolled."""
    course = await access_taught_course(session, who, uuid)
    if_match.check(course.edited_version)
    return removal.answer_removed(await removal.delete_course(session, who, course))


@router.post(
    "/{uuid}/publish/", response_model=CourseRead, responses=raises(NothingToPublish, InvalidTransition)
)
async def publish_course(
    uuid: UUID,
    session: SessionDep,
    who: CurrentUser,
    storage: StorageDep,
    if_match: IfMatch,
    now: Now,
    response: Response,
    body: CoursePublishRequest | None = None,
) -> Any:
    """Publish the working structure as the course's next revision, now or at `publish_at`."""
    course = await access_taught_course(session, who, uuid)
    if_match.check(course.edited_version)
    await service.publish_or_plan(session, who, course, body, now)
    return await _answer(session, who, View(course, True, False), storage, response)


@router.post("/{uuid}/unpublish/", response_model=CourseRead, responses=raises(InvalidTransition))
async def unpublish_course(
    uuid: UUID,
    session: SessionDep,
    who: CurrentUser,
    storage: StorageDep,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Make a published or archived course a draft again."""
    course = await access_taught_course(session, who, uuid)
    if_match.check(course.edited_version)
    await service.unpublish(session, who, course)
    return await _answer(session, who, View(course, True, False), storage, response)


@router.post(
    "/{uuid}/duplicate/", status_code=201, response_model=CourseRead, responses=raises(CourseTooLarge)
)
async def duplicate_course(
    uuid: UUID, session: SessionDep, who: CurrentUser, storage: StorageDep, response: Response
) -> Any:
    """Copy the course into a new draft of the caller; files are shared."""
    copy = await copies.duplicate_course(session, who, uuid)
    return await _answer(session, who, View(copy, True, False), storage, response)


@router.post("/{uuid}/archive/", response_model=CourseRead, responses=raises(InvalidTransition))
async def archive_course(
    uuid: UUID,
    session: SessionDep,
    who: CurrentUser,
    storage: StorageDep,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Take the course out of the catalogue; its learners keep access."""
    course = await access_taught_course(session, who, uuid)
    if_match.check(course.edited_version)
    await service.archive(session, who, course)
    return await _answer(session, who, View(course, True, False), storage, response)


@router.post("/{uuid}/reorder/", response_model=CourseOrderRead, responses=raises(IncompleteTree))
async def reorder_course(
    uuid: UUID,
    body: CourseReorderRequest,
    session: SessionDep,
    who: CurrentUser,
    storage: StorageDep,
    if_match: IfMatch,
) -> Any:
    """Reorder all modules and lessons at once; an incomplete list is a 422."""
    course = await access_taught_course(session, who, uuid)
    if_match.check(course.edited_version)
    await reorder_tree(session, who, course, body)
    seen = View(course, True, False)
    return {"modules": await show_modules(seen, await seen_structure(session, seen), storage.seen_by(who))}


@router.get("/{uuid}/instructors/", response_model=InstructorsRead)
async def get_instructors(
    uuid: UUID, session: SessionDep, who: CurrentUser, request: Request, response: Response
) -> Any:
    """Instructors of the course, the owner first; for its instructors and managers."""
    course = await access_taught_course(session, who, uuid, lock=False)
    return await _answer_people(session, course, request, response)


async def _answer_people(session: SessionDep, course: Course, request: Request, response: Response) -> Any:
    answer = {"instructors": await list_instructors(session, View(course, True, False))}
    return etags.answer(request, response, etags.etag(course.edited_version, answer)) or answer


@router.put("/{uuid}/instructors/", response_model=InstructorsRead)
async def set_instructors(
    uuid: UUID,
    body: InstructorsUpdate,
    session: SessionDep,
    who: CurrentUser,
    if_match: IfMatch,
    request: Request,
    response: Response,
) -> Any:
    """Set the co-instructors; the owner stays."""
    course = await service.set_instructors(session, who, uuid, body.instructors, if_match)
    return await _answer_people(session, course, request, response)


@router.get("/{uuid}/prerequisites/", response_model=PrerequisitesRead)
async def get_prerequisites(
    uuid: UUID, session: SessionDep, who: OptionalUser, request: Request, response: Response
) -> Any:
    """The courses that must be completed before enrolling."""
    return await _answer_required(session, await access_course(session, who, uuid), request, response)


async def _answer_required(session: SessionDep, view: View, request: Request, response: Response) -> Any:
    answer = {"prerequisites": await list_prerequisites(session, view)}
    return etags.answer(request, response, etags.etag(view.course.edited_version, answer)) or answer


@router.put("/{uuid}/prerequisites/", response_model=PrerequisitesRead, responses=raises(PrerequisiteCycle))
async def set_prerequisites(
    uuid: UUID,
    body: PrerequisitesUpdate,
    session: SessionDep,
    who: CurrentUser,
    if_match: IfMatch,
    request: Request,
    response: Response,
) -> Any:
    """Set the courses that must be completed before enrolling; a cycle is refused."""
    course = await service.set_prerequisites(session, who, uuid, body.prerequisites, if_match)
    return await _answer_required(session, View(course, True, False), request, response)

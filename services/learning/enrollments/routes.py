"""Enrolling, leaving, and the lists of one's courses and learners."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser, Teacher
from libs.common.web.clock import Now
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_uuid
from libs.common.web.schemas import PlainText
from services.learning.access import teaches
from services.learning.enrollments import queries, service
from services.learning.enrollments.schemas import (
    EnrollmentRead,
    EnrollmentStudentRead,
    EnrollmentTeacherRead,
    EnrollRequest,
    student_read,
    teacher_read,
)
from services.learning.errors import (
    CourseArchived,
    CourseFull,
    EnrollmentCompleted,
    InstructorCannotEnroll,
    NotEnrolled,
    PrerequisitesMissing,
)

router = APIRouter(tags=["enrollments"])
STATUSES = ("waitlisted", "enrolled", "in_progress", "completed", "dropped")
CourseFilter = Annotated[str | None, Query(alias="course", description="uuid of a course")]
StatusFilter = Annotated[str | None, Query(alias="status", description=" · ".join(STATUSES))]


@router.post(
    "/api/courses/{uuid}/enroll/",
    status_code=201,
    response_model=EnrollmentStudentRead,
    responses=raises(CourseFull, PrerequisitesMissing, CourseArchived, InstructorCannotEnroll)
    | {200: {"model": EnrollmentStudentRead, "description": "Enrolled already: the same enrolment"}},
)
async def enroll_in_course(
    uuid: UUID,
    who: CurrentUser,
    session: SessionDep,
    now: Now,
    response: Response,
    body: EnrollRequest | None = None,
) -> Any:
    """Enrol in a published course: 201, and 200 with the same enrolment when repeated."""
    enrollment, changed = await service.enroll(session, who, uuid, bool(body and body.waitlist), now)
    response.status_code = 201 if changed else 200
    return student_read(await queries.get_one(session, enrollment), who.user)


@router.post(
    "/api/courses/{uuid}/unenroll/",
    response_model=EnrollmentStudentRead | dict[str, PlainText],
    responses=raises(NotEnrolled, EnrollmentCompleted),
)
async def unenroll_from_course(uuid: UUID, who: CurrentUser, session: SessionDep, now: Now) -> Any:
    """Leave a course, keeping what was learnt; or leave its waitlist."""
    enrollment = await service.unenroll(session, who, uuid, now)
    if enrollment.status == "waitlisted":
        return {"detail": "You wait for this course no longer."}
    return student_read(await queries.get_one(session, enrollment), who.user)


@router.get("/api/enrollments/", response_model=Page[EnrollmentRead])
async def list_enrollments(
    who: CurrentUser,
    session: SessionDep,
    page: PagingDep,
    course: CourseFilter = None,
    status: StatusFilter = None,
) -> Any:
    """Enrolments of one's own; with `course`, for its teachers, those of all its learners."""
    wanted, chosen = choose_uuid("course", course), choose("status", status, STATUSES)
    count, rows = await queries.list_visible(session, who, wanted, chosen, page)
    shown = [teacher_read if teaches(who, row.course) else student_read for row in rows]
    return page.answer(count, [show(row, who.user) for show, row in zip(shown, rows, strict=True)])


@router.get("/api/enrollments/my-courses/", response_model=list[EnrollmentStudentRead])
async def list_my_courses(who: CurrentUser, session: SessionDep, status: StatusFilter = None) -> Any:
    """One's own enrolments as a bare list, newest first; without `status` those that were not dropped."""
    chosen = choose("status", status, STATUSES)
    _, rows = await queries.list_own(session, who, None, chosen, None)
    return [student_read(row, who.user) for row in rows if chosen or row.enrollment.shown_status != "dropped"]


@router.get("/api/courses/teacher/students/", response_model=list[EnrollmentTeacherRead])
async def list_students(
    who: Teacher,
    session: SessionDep,
    course: CourseFilter = None,
    status: StatusFilter = None,
) -> Any:
    """Learners in the teacher's courses, as a bare list, newest enrolment first."""
    wanted, chosen = choose_uuid("course", course), choose("status", status, STATUSES)
    _, rows = await queries.list_taught(session, who, wanted, chosen, None)
    return [teacher_read(row, who.user) for row in rows]

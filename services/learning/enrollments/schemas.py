"""Bodies of enrolments, with the course's card (api.md §3, §4)."""

from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from libs.common.web.schemas import Answer, Body, Identifier, Moment, PlainText, Uri
from services.learning.enrollments.queries import Listed, outline_next
from services.learning.models import Course


class EnrollBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"waitlist": True}]})

    waitlist: bool = Field(False, description="wait for a seat when the course is full")


class CategoryOut(Answer):
    uuid: UUID
    name: PlainText
    slug: Identifier


class InstructorOut(Answer):
    uuid: UUID
    full_name: PlainText
    name: PlainText
    avatar: Uri | None
    bio: PlainText
    role: Identifier


class CourseCard(Answer):
    """The card of a course. Views are catalog's alone: no event carries them, and they are 0 here."""

    uuid: UUID
    title: PlainText
    slug: Identifier
    short_description: PlainText
    thumbnail: Uri | None
    preview_video: Uri | None
    is_featured: bool
    status: Identifier
    level: Identifier
    language: Identifier
    category: CategoryOut | None
    category_name: PlainText | None
    tags: list[PlainText]
    instructor: InstructorOut
    instructor_name: PlainText
    instructor_avatar: Uri | None
    duration_hours: float
    enrolled_count: int
    enrollment_count: int
    enrolled_students_count: int
    average_rating: float
    reviews_count: int
    total_lessons: int
    is_enrolled: bool
    views_count: int = 0
    created_at: Moment
    updated_at: Moment
    published_at: Moment | None


class NextLesson(Answer):
    uuid: UUID
    title: PlainText
    content_type: Identifier
    module: UUID
    module_title: PlainText


class EnrollmentOut(Answer):
    uuid: UUID
    student: UUID
    course: CourseCard
    title: PlainText
    thumbnail: Uri | None
    status: Identifier
    progress_percentage: float
    progress: float
    completed_lessons: list[UUID]
    enrolled_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    last_accessed: Moment | None
    next_lesson: NextLesson | None
    waitlist_position: int | None = None


class RosterRow(EnrollmentOut):
    """What a teacher sees of a learner."""

    name: PlainText
    email: Identifier
    last_active: Moment | None
    course_name: PlainText
    course_uuid: UUID


class VisibleEnrollment(EnrollmentOut):
    """`name` and what follows it only for those who teach the course."""

    name: PlainText | None = None
    email: Identifier | None = None
    last_active: Moment | None = None
    course_name: PlainText | None = None
    course_uuid: UUID | None = None


def hours_of(course: Course) -> float:
    """As catalog says; a state from before it always did leaves the lessons' minutes to be added up."""
    if course.duration_hours is not None:
        return course.duration_hours
    lessons = [lesson for module in course.modules for lesson in module["lessons"]]
    minutes: int = sum(lesson["estimated_time_minutes"] or 0 for lesson in lessons)
    return round(minutes / 60, 2)


def course_card(listed: Listed, viewer: UUID) -> dict[str, Any]:
    course, teacher = listed.course, listed.instructor
    name = teacher.full_name if teacher else ""
    count = listed.enrolled_count
    own = listed.enrollment.student == viewer
    return {
        **{field: getattr(course, field) for field in CourseCard.model_fields if hasattr(course, field)},
        "duration_hours": hours_of(course),
        "category_name": course.category["name"] if course.category else None,
        "instructor": {
            "uuid": course.instructor,
            "full_name": name,
            "name": name,
            "avatar": teacher.avatar if teacher else None,
            "bio": teacher.bio if teacher else "",
            "role": teacher.role if teacher else "teacher",
        },
        "instructor_name": name,
        "instructor_avatar": teacher.avatar if teacher else None,
        "enrolled_count": count,
        "enrollment_count": count,
        "enrolled_students_count": count,
        "total_lessons": len(course.lessons),
        "is_enrolled": own and listed.enrollment.shown_status not in ("dropped", "waitlisted"),
    }


def enrollment_out(listed: Listed, viewer: UUID) -> dict[str, Any]:
    enrollment, course = listed.enrollment, listed.course
    percentage = float(enrollment.progress_percentage)
    return {
        "uuid": enrollment.uuid,
        "student": enrollment.student,
        "course": course_card(listed, viewer),
        "title": course.title,
        "thumbnail": course.thumbnail,
        "status": enrollment.shown_status,
        "progress_percentage": percentage,
        "progress": percentage,
        "completed_lessons": enrollment.completed_lessons,
        "enrolled_at": enrollment.enrolled_at,
        "started_at": enrollment.started_at,
        "completed_at": enrollment.completed_at,
        "last_accessed": enrollment.last_accessed,
        "next_lesson": outline_next(listed) if enrollment.shown_status != "waitlisted" else None,
        "waitlist_position": listed.waitlist_position,
    }


def roster_row(listed: Listed, viewer: UUID) -> dict[str, Any]:
    student = listed.student
    return {
        **enrollment_out(listed, viewer),
        "name": student.full_name if student else "",
        "email": student.email if student else "",
        "last_active": listed.enrollment.last_accessed,
        "course_name": listed.course.title,
        "course_uuid": listed.course.uuid,
    }

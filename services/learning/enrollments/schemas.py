"""Bodies of enrolments, with the course's card (api.md §3, §4)."""

from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from libs.common.web.schemas import Answer, Body, Identifier, Moment, PlainText, Uri
from services.learning.enrollments.queries import EnrollmentRow, next_lesson_summary
from services.learning.models import Course


class EnrollRequest(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"waitlist": True}]})

    waitlist: bool = Field(False, description="wait for a seat when the course is full")


class CategorySummary(Answer):
    uuid: UUID
    name: PlainText
    slug: Identifier


class InstructorSummary(Answer):
    uuid: UUID
    full_name: PlainText
    name: PlainText
    avatar: Uri | None
    bio: PlainText
    role: Identifier


class CourseSummary(Answer):
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
    category: CategorySummary | None
    category_name: PlainText | None
    tags: list[PlainText]
    instructor: InstructorSummary
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


class LessonSummary(Answer):
    uuid: UUID
    title: PlainText
    content_type: Identifier
    module: UUID
    module_title: PlainText


class EnrollmentStudentRead(Answer):
    uuid: UUID
    student: UUID
    course: CourseSummary
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
    next_lesson: LessonSummary | None
    waitlist_position: int | None = None


class EnrollmentTeacherRead(EnrollmentStudentRead):
    """What a teacher sees of a learner."""

    name: PlainText
    email: Identifier
    last_active: Moment | None
    course_name: PlainText
    course_uuid: UUID


class EnrollmentRead(EnrollmentStudentRead):
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


def course_summary(row: EnrollmentRow, viewer: UUID) -> dict[str, Any]:
    course, teacher = row.course, row.instructor
    name = teacher.full_name if teacher else ""
    count = row.enrolled_count
    own = row.enrollment.student == viewer
    return {
        **{field: getattr(course, field) for field in CourseSummary.model_fields if hasattr(course, field)},
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
        "is_enrolled": own and row.enrollment.shown_status not in ("dropped", "waitlisted"),
    }


def student_read(row: EnrollmentRow, viewer: UUID) -> dict[str, Any]:
    enrollment, course = row.enrollment, row.course
    percentage = float(enrollment.progress_percentage)
    return {
        "uuid": enrollment.uuid,
        "student": enrollment.student,
        "course": course_summary(row, viewer),
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
        "next_lesson": next_lesson_summary(row) if enrollment.shown_status != "waitlisted" else None,
        "waitlist_position": row.waitlist_position,
    }


def teacher_read(row: EnrollmentRow, viewer: UUID) -> dict[str, Any]:
    student = row.student
    return {
        **student_read(row, viewer),
        "name": student.full_name if student else "",
        "email": student.email if student else "",
        "last_active": row.enrollment.last_accessed,
        "course_name": row.course.title,
        "course_uuid": row.course.uuid,
    }

"""Whole states of users, courses and enrolments, as their owners publish them: a test names what it needs."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from libs.common.events.catalog import CourseState, LessonState, ModuleState
from libs.common.events.fields import ContentType
from libs.common.events.identity import UserState
from libs.common.events.learning import EnrollmentState

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def user_state(
    uuid: UUID | None = None, name: str = "Ada Lovelace", role: str = "student", **changes: Any
) -> UserState:
    """Somebody active and verified; the first word of the name is the first name and the mail address."""
    first, _, last = name.partition(" ")
    values: dict[str, Any] = {
        "uuid": uuid or uuid4(),
        "email": f"{first.lower()}@lectern.example",
        "first_name": first,
        "last_name": last,
        "full_name": name,
        "role": role,
        "is_active": True,
        "is_verified": True,
        "avatar": None,
        "bio": "",
        "locale": "en",
        "time_zone": "UTC",
        "date_joined": LONG_AGO,
    }
    return UserState(**values | changes)


def module_state(*lessons: UUID, kind: ContentType = "text", points: int = 10) -> ModuleState:
    """A module of lessons, five minutes and so many points each."""
    return ModuleState(
        uuid=uuid4(),
        title="A module",
        order=0,
        lessons=tuple(
            LessonState(
                uuid=lesson,
                title=f"Lesson {order}",
                content_type=kind,
                order=order,
                estimated_time_minutes=5,
                points=points,
                is_preview=False,
                requires_submission=False,
            )
            for order, lesson in enumerate(lessons)
        ),
    )


def course_state(uuid: UUID | None = None, instructor: UUID | None = None, **changes: Any) -> CourseState:
    """A published course of one teacher, its first revision, without modules."""
    uuid, instructor = uuid or uuid4(), instructor or uuid4()
    values: dict[str, Any] = {
        "uuid": uuid,
        "title": "Graphs from the ground up",
        "slug": f"graphs-{uuid}",
        "short_description": "Vertices, edges, walks.",
        "status": "published",
        "level": "beginner",
        "language": "en",
        "category": None,
        "tags": (),
        "instructor": instructor,
        "instructors": (instructor,),
        "thumbnail": None,
        "preview_video": None,
        "is_featured": False,
        "duration_hours": 1.5,
        "enrollment_limit": None,
        "revision": 1,
        "modules": (),
        "draft_modules": (),
        "prerequisites": (),
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "published_at": LONG_AGO,
    }
    return CourseState(**values | changes)


def enrollment_state(
    course: UUID | str, student: UUID, status: str = "enrolled", **changes: Any
) -> EnrollmentState:
    """A seat of which nothing is done yet."""
    values: dict[str, Any] = {
        "uuid": uuid4(),
        "course": course,
        "student": student,
        "status": status,
        "progress_percentage": 0,
        "completed_lessons": (),
        "enrolled_at": LONG_AGO,
        "started_at": None,
        "completed_at": None,
        "last_accessed": None,
    }
    return EnrollmentState(**values | changes)

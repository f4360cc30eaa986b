"""The whole course as one person sees it."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.files.storage import Storage
from libs.common.runtime.clock import system_clock
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.richtext import as_html
from services.catalog.access import View
from services.catalog.content.views import seen_structure, show_modules
from services.catalog.courses.queries import get_card
from services.catalog.favorites.service import is_favorite
from services.catalog.models import Course, CoursePrerequisite, User
from services.catalog.reviews.queries import newest_reviews, own_review

# What the course's row says itself is shown as of one moment, that of its tag.
PLAIN = (
    "title", "slug", "short_description", "preview_video", "is_featured", "status", "level", "language",
    "tags", "enrollment_limit", "created_at", "updated_at", "published_at",
    "learning_outcomes", "prerequisites", "revision",
)  # fmt: skip


async def show_course(
    session: AsyncSession, who: Principal | None, view: View, storage: Storage, which: str | None = None
) -> dict[str, Any]:
    """The card, and beside it texts, people and the structure that the caller may see."""
    course = view.course
    structure = await seen_structure(session, view, which)
    modules = await show_modules(view, structure, storage)
    lessons = [lesson for module in modules for lesson in module["lessons"]]
    card = await get_card(session, who, course.uuid)
    return {
        **card,
        **{name: getattr(course, name) for name in PLAIN},
        "duration_hours": course.shown_hours,
        "description": course.description,
        "description_html": as_html(course.description),
        "prerequisite_courses": await list_prerequisites(session, view),
        "instructors": await list_instructors(session, view),
        "has_draft_changes": course.draft_changed if view.edits else None,
        "can_edit": view.edits,
        "publish_at": course.publish_at if view.edits else None,
        "total_lessons": len(lessons),
        "modules": modules,
        "lessons": lessons,
        "reviews": await newest_reviews(session, who, course.uuid),
        "my_review": await own_review(session, who, course.uuid) if who else None,
        "is_favorite": await is_favorite(session, who, course.uuid),
    }


def course_tag(view: View, answer: dict[str, Any]) -> str:
    """The entity tag of an answer: its version, and what else of it can change without one.

    Signed URLs in it for nobody in particular live five minutes, so a tag with files lives two.
    """
    resources = [each for lesson in answer["lessons"] for each in lesson["resources"]]
    files = bool(resources) or any(lesson["file"] for lesson in answer["lessons"])
    stats = [answer[name] for name in ("enrolled_count", "average_rating", "reviews_count", "views_count")]
    return etags.etag(
        view.course.edited_version,
        view.edits,
        view.enrolled,
        sorted(str(uuid) for uuid in view.completed),
        stats,
        answer["instructors"],
        answer["prerequisite_courses"],
        answer.get("enrolled_students"),
        answer["reviews"],
        answer["my_review"],
        answer["is_favorite"],
        [module["uuid"] for module in answer["modules"]],
        [
            (each["media"], each["title"], each["name"])
            for row in answer["lessons"]
            for each in row["resources"]
        ],
        system_clock().timestamp() // 120 if files else 0,
    )


async def list_instructors(session: AsyncSession, view: View) -> list[dict[str, Any]]:
    """The owner first, then the co-instructors; addresses for editors only."""
    wanted = [view.course.instructor, *view.course.co_instructors]
    people = {user.uuid: user for user in await session.scalars(select(User).where(User.uuid.in_(wanted)))}
    return [_person(uuid, people.get(uuid), view.edits) for uuid in wanted]


def _person(uuid: UUID, user: User | None, with_email: bool) -> dict[str, Any]:
    name = user.full_name if user else ""
    return {
        "uuid": str(uuid),
        "full_name": name,
        "name": name,
        "email": user.email if user and with_email else None,
        "avatar": user.avatar if user else None,
        "bio": user.bio if user else "",
        "role": user.role if user else "teacher",
    }


async def list_prerequisites(session: AsyncSession, view: View) -> list[dict[str, Any]]:
    """The courses to be completed before; drafts among them for editors only."""
    rows = await session.scalars(
        select(Course)
        .join(CoursePrerequisite, CoursePrerequisite.requires_uuid == Course.uuid)
        .where(CoursePrerequisite.course_uuid == view.course.uuid, Course.deleted_at.is_(None))
        .order_by(Course.title, Course.uuid)
    )
    return [
        {"uuid": str(row.uuid), "title": row.title, "slug": row.slug, "status": row.status}
        for row in rows
        if view.edits or row.status != "draft"
    ]

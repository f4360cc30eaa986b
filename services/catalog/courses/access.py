"""Dependencies of the routes of courses."""

from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field

from libs.common.events.fields import CourseLevel
from libs.common.runtime.errors import BadRequest, Forbidden, NotAuthenticated
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.paging import choose, choose_bool, choose_uuid
from libs.common.web.schemas import EmptyIsNone
from services.catalog.courses.queries import SORTS, CourseQuery
from services.catalog.parameters import TRUTHS, one_of
from services.catalog.rules import STATUSES

Words = Annotated[str | None, Query(max_length=200)]
Rating = Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)]
LEVELS = CourseLevel.__args__  # type: ignore[attr-defined]


async def course_query(
    search: Words = None,
    category: Words = None,
    tag: Words = None,
    level: Annotated[str | None, one_of(LEVELS)] = None,
    language: Words = None,
    instructor: Words = None,
    min_rating: Annotated[Rating | None, EmptyIsNone, Query()] = None,
    is_featured: Annotated[str | None, one_of(TRUTHS)] = None,
    status: Annotated[str | None, one_of(STATUSES, "; with my_courses only")] = None,
    my_courses: Annotated[str | None, one_of(TRUTHS)] = None,
    sort_by: Annotated[str | None, one_of(SORTS, alias="sortBy")] = None,
) -> CourseQuery:
    """Check the parameters of the list. An unknown value is a 400 that names the allowed ones."""
    own = bool(choose_bool("my_courses", my_courses))
    teacher = choose_uuid("instructor", instructor)
    filters = {
        "category": category or None,
        "tag": tag or None,
        "level": choose("level", level, LEVELS),
        "language": language or None,
        "instructor": str(teacher) if teacher else None,
        "min_rating": min_rating,
        "is_featured": choose_bool("is_featured", is_featured),
        "status": choose("status", status, STATUSES),
    }
    if not own:
        del filters["status"]
    search = (search or "").strip() or None
    for name, value in [*filters.items(), ("search", search)]:
        if isinstance(value, str) and "\0" in value:
            raise BadRequest(f"{name} must not contain NUL.")
    sort = choose("sortBy", sort_by, SORTS)
    if sort is None or (sort == "relevance" and search is None):
        sort = "relevance" if search else "changed" if own else "newest"
    return CourseQuery({k: v for k, v in filters.items() if v is not None}, search, sort, own)


def require_teacher(who: Principal | None) -> Principal:
    """The caller, if they are a teacher or above. Raises NotAuthenticated, Forbidden."""
    if who is None:
        raise NotAuthenticated
    if not at_least(who, "teacher"):
        raise Forbidden("Only teachers have courses of their own.")
    return who


CourseQueryDep = Annotated[CourseQuery, Depends(course_query)]

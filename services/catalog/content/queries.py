"""Where the stored files of lessons are used."""

from sqlalchemy import ColumnElement, exists, func, literal_column, or_

from services.catalog.content.models import LessonObject
from services.catalog.models import Course, CourseRevision, Lesson

_REVISED = func.jsonb_path_query_array(
    CourseRevision.content, literal_column("'$[*].lessons[*].file.path'::jsonpath")
)


def is_used(courses: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a working lesson or any revision of such `courses` has the object."""
    return or_(
        exists().where(
            Lesson.file["path"].astext == LessonObject.path,
            Lesson.file.is_not(None),
            Lesson.removed_at.is_(None),
            Course.uuid == Lesson.course_uuid,
            courses,
        ),
        exists().where(
            _REVISED.bool_op("?")(LessonObject.path), Course.uuid == CourseRevision.course_uuid, courses
        ),
    )

"""Events of catalog: courses with their modules and lessons, and categories.

Everything inside a course is a fact of the course: its key is the course, its version the course's. A course
whose category is renamed or re-slugged gets a `course_updated` of its own, so that its state stays whole.
"""

from typing import Annotated
from uuid import UUID

from pydantic import Field, model_validator

from libs.common.events.base import Event, Payload, State
from libs.common.events.fields import (
    ContentType,
    Count,
    CourseLevel,
    CourseStatus,
    Instant,
    OpenName,
    open_name,
)
from libs.common.events.privacy import Erased, PartFailed, PartPacked

Rating = Annotated[int, Field(ge=1, le=5)]


class CourseFact(Event):
    """What every fact of a course says; `actor` is null when the system acted."""

    topic = "catalog.events"
    key_field = "course"

    course: UUID
    title: str
    instructor: UUID
    actor: UUID | None


class CourseCreated(CourseFact):
    """Trigger: a teacher makes a course; it is a draft. Key: course. Consumers: analytics."""

    type = "catalog.course_created.v1"

    category: UUID | None
    level: CourseLevel
    language: str


class LessonCopy(Payload):
    """A lesson of a course and what it became in a copy."""

    source: UUID
    copied: UUID


class CourseDuplicated(CourseFact):
    """Trigger: a teacher copies a course that they teach, in the version after the copy's making. `course` is
    the copy, `lessons` names every lesson that was copied; who keeps work of a course copies that, too.
    Key: course. Consumers: analytics, learning."""

    type = "catalog.course_duplicated.v1"

    source: UUID
    lessons: tuple[LessonCopy, ...]


class CourseUpdated(CourseFact):
    """Trigger: a course's own fields, tags, instructors, prerequisites or thumbnail change; `changed` names
    them. Key: course. Consumers: analytics."""

    type = "catalog.course_updated.v1"

    changed: tuple[str, ...]


class CoursePublished(CourseFact):
    """Trigger: a course is published for the first time, or its next revision is; `added_lessons` are those
    that the revision before did not have. Key: course. Consumers: analytics."""

    type = "catalog.course_published.v1"

    revision: Count
    module_count: Count
    lesson_count: Count
    added_lessons: tuple[UUID, ...]


class CourseUnpublished(CourseFact):
    """Trigger: a published course becomes a draft again. Key: course. Consumers: analytics."""

    type = "catalog.course_unpublished.v1"


class CourseArchived(CourseFact):
    """Trigger: a course is archived, also by deletion once anyone has enrolled. Key: course.
    Consumers: analytics."""

    type = "catalog.course_archived.v1"


class CourseDeleted(CourseFact):
    """Trigger: a course in which nobody ever enrolled is deleted; the tombstone on `catalog.courses` has the
    same version. Key: course. Consumers: analytics."""

    type = "catalog.course_deleted.v1"


class ModuleFact(CourseFact):
    """What every fact of a module says; `title` is the course's, `module_title` the module's."""

    module: UUID
    module_title: str
    order: Count


class ModuleAdded(ModuleFact):
    """Trigger: a module is added to a course's working structure. Key: course. Consumers: analytics."""

    type = "catalog.module_added.v1"


class ModuleChanged(ModuleFact):
    """Trigger: a module is renamed, described anew or moved. Key: course. Consumers: analytics."""

    type = "catalog.module_changed.v1"


class ModuleRemoved(ModuleFact):
    """Trigger: a module leaves the working structure, with its lessons. Key: course.
    Consumers: analytics."""

    type = "catalog.module_removed.v1"


class LessonFact(CourseFact):
    """What every fact of a lesson says; `title` is the course's, `lesson_title` the lesson's.
    `lesson_type` is open: readers take one that they do not know as any other. `content_type` names the
    nearest of the first seven."""

    module: UUID
    lesson: UUID
    lesson_title: str
    content_type: ContentType
    order: Count
    lesson_type: OpenName = ""

    _named = model_validator(mode="before")(open_name("lesson_type", "content_type"))


class LessonAdded(LessonFact):
    """Trigger: a lesson is added to a course's working structure. Key: course. Consumers: analytics."""

    type = "catalog.lesson_added.v1"


class LessonChanged(LessonFact):
    """Trigger: a lesson's text, kind, place or settings change. Key: course. Consumers: analytics."""

    type = "catalog.lesson_changed.v1"


class LessonRemoved(LessonFact):
    """Trigger: a lesson leaves the working structure. Key: course. Consumers: analytics."""

    type = "catalog.lesson_removed.v1"


class LessonFileUploaded(LessonFact):
    """Trigger: the file of a lesson is stored or replaced; `media_type` by its magic bytes. Key: course.
    Consumers: analytics."""

    type = "catalog.lesson_file_uploaded.v1"

    media_type: str
    size: Count


class ReviewFact(CourseFact):
    """What every fact of a review says; the words stay in catalog."""

    review: UUID
    student: UUID
    rating: Rating


class ReviewPosted(ReviewFact):
    """Trigger: an enrolled student reviews a course. Key: course. Consumers: analytics."""

    type = "catalog.review_posted.v1"


class ReviewChanged(ReviewFact):
    """Trigger: a review's author changes the rating or the words. Key: course. Consumers: analytics."""

    type = "catalog.review_changed.v1"


class ReviewRemoved(ReviewFact):
    """Trigger: a review is deleted, by its author or by staff. Key: course. Consumers: analytics."""

    type = "catalog.review_removed.v1"


class CategoryFact(Event):
    """What every fact of a category says; `title` is the name that readers see."""

    topic = "catalog.events"
    key_field = "category"

    category: UUID
    title: str
    slug: str
    parent: UUID | None
    actor: UUID | None


class CategoryCreated(CategoryFact):
    """Trigger: a manager makes a category. Key: category. Consumers: analytics."""

    type = "catalog.category_created.v1"


class CategoryUpdated(CategoryFact):
    """Trigger: a manager renames, re-slugs or moves a category. Key: category. Consumers: analytics."""

    type = "catalog.category_updated.v1"


class CategoryDeleted(CategoryFact):
    """Trigger: a manager deletes a category. Key: category. Consumers: analytics."""

    type = "catalog.category_deleted.v1"


class CategoryRef(Payload):
    """The category of a course, as its card shows it."""

    uuid: UUID
    name: str
    slug: str


class LessonState(Payload):
    """One lesson: what others need of it, never its content. `lesson_type` and `content_type` are as in the
    facts of lessons."""

    uuid: UUID
    title: str
    content_type: ContentType
    order: Count
    estimated_time_minutes: Count | None
    points: Count
    is_preview: bool
    requires_submission: bool
    lesson_type: OpenName = ""

    _named = model_validator(mode="before")(open_name("lesson_type", "content_type"))


class ModuleState(Payload):
    """One module with its lessons, in order."""

    uuid: UUID
    title: str
    order: Count
    lessons: tuple[LessonState, ...]


class CourseState(State):
    """Trigger: every version of a course; a tombstone deletes it. `modules` is the structure of the published
    `revision` (empty when there never was one), `draft_modules` what the authors are working on. Key: uuid.
    Consumers: analytics, forum, learning, notify, support."""

    type = "catalog.course.v1"
    topic = "catalog.courses"
    key_field = "uuid"

    uuid: UUID
    title: str
    slug: str
    short_description: str
    status: CourseStatus
    level: CourseLevel
    language: str
    category: CategoryRef | None
    tags: tuple[str, ...]
    instructor: UUID
    instructors: tuple[UUID, ...]
    thumbnail: str | None
    preview_video: str | None
    is_featured: bool
    duration_hours: float | None
    enrollment_limit: Count | None
    revision: Count | None
    modules: tuple[ModuleState, ...]
    draft_modules: tuple[ModuleState, ...]
    prerequisites: tuple[UUID, ...]
    created_at: Instant
    updated_at: Instant
    published_at: Instant | None
    average_rating: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = 0
    reviews_count: Count = 0


class ExportPartPacked(PartPacked):
    """Trigger: what catalog holds of a person lies packed for their export. Key: job.
    Consumers: analytics, identity."""

    type = "catalog.export_part_packed.v1"
    topic = "catalog.privacy.events"


class ExportPartFailed(PartFailed):
    """Trigger: catalog could not pack its part of an export. Key: job. Consumers: analytics, identity."""

    type = "catalog.export_part_failed.v1"
    topic = "catalog.privacy.events"


class PersonErased(Erased):
    """Trigger: catalog has erased a person. Key: job. Consumers: analytics, identity."""

    type = "catalog.person_erased.v1"
    topic = "catalog.privacy.events"

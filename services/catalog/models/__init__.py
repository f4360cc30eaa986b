"""All tables, a module per noun: most are read by several folders.

Locks are taken in the order category, course; a course's row guards everything inside the course.
"""

from services.catalog.models.base import Base, StoredObject
from services.catalog.models.categories import Category
from services.catalog.models.content import Lesson, Module
from services.catalog.models.courses import (
    Course,
    CoursePrerequisite,
    CourseRevision,
    CourseStats,
    CourseView,
)
from services.catalog.models.favorites import Favorite
from services.catalog.models.media import LessonObject, MediaFile, MediaObject, MediaPart, MediaUpload
from services.catalog.models.privacy import PrivacyPart
from services.catalog.models.replicas import Enrollment, User
from services.catalog.models.reviews import HelpfulVote, Review
from services.catalog.models.search import CourseLexeme
from services.catalog.models.tags import Tag
from services.catalog.models.thumbnails import ThumbnailFile

__all__ = [
    "Base",
    "Category",
    "Course",
    "CourseLexeme",
    "CoursePrerequisite",
    "CourseRevision",
    "CourseStats",
    "CourseView",
    "Enrollment",
    "Favorite",
    "HelpfulVote",
    "Lesson",
    "LessonObject",
    "MediaFile",
    "MediaObject",
    "MediaPart",
    "MediaUpload",
    "Module",
    "PrivacyPart",
    "Review",
    "StoredObject",
    "Tag",
    "ThumbnailFile",
    "User",
]

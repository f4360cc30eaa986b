"""What catalog refuses, by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from libs.common.runtime.errors import BadRequest, Conflict, Forbidden, Unprocessable


class NothingToPublish(Conflict):
    code = "nothing_to_publish"
    detail = "A course needs at least one module with one published lesson before it can be published."


class InvalidTransition(Conflict):
    code = "invalid_transition"


class CourseTooLarge(Conflict):
    code = "course_too_large"
    detail = "A course has at most 100 modules and 500 lessons: divide it."


class CategoryInUse(Conflict):
    code = "category_in_use"
    detail = "Courses or other categories are in this category: move them first."


class CategoryCycle(Unprocessable):
    code = "category_cycle"
    detail = "A category cannot lie inside itself: choose another parent."


class CategoryTooDeep(Unprocessable):
    code = "category_too_deep"
    detail = "At most 20 categories lie within each other."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "parent", "message": "at most 20 lie within each other"}])


class TagTaken(Conflict):
    code = "tag_taken"
    detail = "Another tag has this name already."


class PrerequisiteCycle(Unprocessable):
    code = "prerequisite_cycle"
    detail = "These prerequisites would make the course depend on itself."


class IncompleteTree(Unprocessable):
    code = "incomplete_tree"
    detail = "The order must name every module and every lesson of the course exactly once."


class FeaturingNotAllowed(Forbidden):
    code = "featuring_not_allowed"
    detail = "Only managers and admins feature a course."


class NotEnrolled(Forbidden):
    code = "not_enrolled"
    detail = "Only those who are in the course review it."


class AlreadyReviewed(Conflict):
    code = "already_reviewed"
    detail = "You have reviewed this course already: change that review instead."


class OwnReview(Forbidden):
    code = "own_review"
    detail = "Your own review is for others to find helpful."


class FileMissing(Unprocessable):
    code = "file_missing"
    detail = "No file has arrived."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "file", "message": "a file is needed"}])


class MediaInUse(Conflict):
    """Says where: one error for each lesson that has the file."""

    code = "media_in_use"
    detail = "Lessons have this file: take it out of them first."

    def __init__(self, uses: Sequence[Mapping[str, Any]] = ()) -> None:
        where = [f"{use['course_title']}: {use['lesson_title']}" for use in uses]
        detail = f"Lessons have this file: {'; '.join(where[:5])}." if where else None
        super().__init__(detail, errors=[{"field": "used_in", "message": place} for place in where])


class MediaQuotaExceeded(Conflict):
    code = "media_quota_exceeded"
    detail = "The files of the library and of lessons fill the quota: delete what is not needed."


class ObjectExpired(Conflict):
    code = "object_expired"
    detail = "What was stored has waited for too long and is being deleted. Please upload it again."


class UploadOffsetMismatch(Conflict):
    """The answer's `Upload-Offset` says where to go on."""

    code = "upload_offset_mismatch"
    detail = "The upload has come to another place than this part begins at."

    def __init__(self, offset: int = 0) -> None:
        detail = f"{offset:,} bytes of the file have come: this part does not follow them."
        super().__init__(detail, headers={"Upload-Offset": str(offset)})


class UploadIncomplete(Conflict):
    code = "upload_incomplete"
    detail = "Not every byte of the file has come yet."


class UploadFinished(Conflict):
    code = "upload_finished"
    detail = "The upload is finished: it takes no more parts."


class TooManyUploads(Conflict):
    code = "too_many_uploads"
    detail = "Too many uploads are open: finish or delete some first."


class PictureMissing(Unprocessable):
    code = "file_missing"
    detail = "No picture has arrived."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "thumbnail", "message": "a picture is needed"}])


class PictureRefused(Unprocessable):
    code = "picture_refused"

    def __init__(self, detail: str = "cannot be read as a picture") -> None:
        super().__init__(f"The picture {detail}.", errors=[{"field": "thumbnail", "message": detail}])


class CourseRequired(BadRequest):
    code = "course_required"
    detail = "Modules are shown for one course at a time, and none was chosen."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "course", "message": "must be given"}])

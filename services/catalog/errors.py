"""What catalog refuses, by name."""

from libs.common.errors import BadRequest, Conflict, Forbidden, Unprocessable


class NothingToPublish(Conflict):
    code = "nothing_to_publish"
    detail = "A course needs at least one module with one published lesson before it can be published."


class InvalidTransition(Conflict):
    code = "invalid_transition"


class SlugTaken(Conflict):
    code = "slug_taken"
    detail = "Another one has this slug already: choose another."


class CategoryInUse(Conflict):
    code = "category_in_use"
    detail = "Courses or other categories are in this category: move them first."


class CategoryCycle(Unprocessable):
    code = "category_cycle"
    detail = "A category cannot lie inside itself: choose another parent."


class PrerequisiteCycle(Unprocessable):
    code = "prerequisite_cycle"
    detail = "These prerequisites would make the course depend on itself."


class IncompleteTree(Unprocessable):
    code = "incomplete_tree"
    detail = "The order must name every module and every lesson of the course exactly once."


class FeaturingNotAllowed(Forbidden):
    code = "featuring_not_allowed"
    detail = "Only managers and admins feature a course."


class FileMissing(Unprocessable):
    code = "file_missing"
    detail = "file: send one file in the multipart field `file` or `resource`."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "file", "message": "send one file in `file` or `resource`"}])


class FileTypeRefused(Unprocessable):
    code = "file_type_refused"

    def __init__(self, detail: str) -> None:
        super().__init__(f"file: {detail}.", errors=[{"field": "file", "message": detail}])


class CourseRequired(BadRequest):
    code = "course_required"
    detail = "course: name the course whose modules you want."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "course", "message": "must be given"}])

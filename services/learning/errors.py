"""What learning refuses, by name: stable code and one human sentence."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from libs.common.runtime.errors import Conflict, Forbidden, Unprocessable


class NotEnrolled(Forbidden):
    code = "not_enrolled"
    detail = "This is for learners who are enrolled in the course."


class InstructorCannotEnroll(Forbidden):
    code = "instructor_cannot_enroll"
    detail = "You teach this course, so you cannot enrol in it."


class CourseArchived(Conflict):
    code = "course_archived"
    detail = "The course is archived and takes no new learners."


class CourseFull(Conflict):
    code = "course_full"
    detail = "Every seat of the course is taken, but there is a waiting list."


class PrerequisitesMissing(Conflict):
    code = "prerequisites_missing"

    def __init__(self, missing: Sequence[tuple[UUID, str]]) -> None:
        titles = ", ".join(title for _, title in missing)
        super().__init__(
            f"First complete: {titles}.",
            errors=[
                {"field": str(uuid), "message": f"{title} is not completed yet"} for uuid, title in missing
            ],
        )


class EnrollmentCompleted(Conflict):
    code = "enrollment_completed"
    detail = "The course is completed, and stays so."


class LessonNotFinished(Conflict):
    code = "lesson_not_finished"

    def __init__(self, work: Sequence[str]) -> None:
        super().__init__(f"The lesson completes with its work: {', '.join(work)}.")


class QuizEmpty(Conflict):
    code = "quiz_empty"
    detail = "A quiz needs a question before it can be published, and keeps one while it is."


class QuizNotOpen(Conflict):
    code = "quiz_not_open"
    detail = "The quiz does not take attempts yet."


class QuizClosed(Conflict):
    code = "quiz_closed"
    detail = "The quiz has closed."


class NoAttemptsLeft(Conflict):
    code = "no_attempts_left"
    detail = "Every attempt at this quiz is used up."


class PoolTooSmall(Conflict):
    code = "pool_too_small"
    detail = "A pool picks more questions than its bank has."


class BankInUse(Conflict):
    code = "bank_in_use"
    detail = "A quiz draws from this bank as many questions as it has."


class AttemptNotSubmitted(Conflict):
    code = "attempt_not_submitted"
    detail = "The attempt is still under way; it can be graded once it is handed in."


class QuestionKindChanged(Conflict):
    code = "question_kind_changed"
    detail = "The question is of another kind than it was answered as, so it can only be given full credit."


class AttemptAlreadySubmitted(Conflict):
    code = "attempt_already_submitted"
    detail = "The attempt is handed in; its answers stand."


class AttemptClosed(Conflict):
    code = "attempt_closed"
    detail = "The deadline has passed; what was saved until then counts."


class InvalidAnswer(Unprocessable):
    code = "invalid_answer"

    def __init__(self, message: str) -> None:
        super().__init__(f"answer: {message}.", errors=[{"field": "answer", "message": message}])


class InvalidQuestion(Unprocessable):
    code = "invalid_question"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}.", errors=[{"field": field, "message": message}])


class AssignmentClosed(Conflict):
    code = "assignment_closed"
    detail = "The assignment takes no more work."


class NoSubmissionsLeft(Conflict):
    code = "no_submissions_left"
    detail = "The work was handed in as often as the assignment allows."


class FileMissing(Unprocessable):
    code = "file_missing"
    detail = "No file has arrived."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "file", "message": "a file is needed"}])


class ImportRefused(Unprocessable):
    """Says what is wrong in each row, and that nothing was written."""

    code = "import_refused"
    detail = "Nothing was imported: the file has errors."

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        found = [
            {"field": f"row {each['row']} {each['column']}".strip(), "message": each["message"]}
            for each in errors
        ]
        first = f" {found[0]['field']}: {found[0]['message']}." if found else ""
        super().__init__(f"{self.detail}{first}", errors=found)


class CertificateNotReady(Conflict):
    code = "certificate_not_ready"
    detail = "The certificate is being made; try again in a few seconds."


class CertificateRevoked(Conflict):
    code = "certificate_revoked"
    detail = "The certificate was revoked."


class CertificateSuperseded(Conflict):
    code = "certificate_superseded"
    detail = "A newer certificate has taken the place of this one."


class LearnerErased(Conflict):
    code = "learner_erased"
    detail = "The learner is erased: their certificate stays as it is, and no other is made."


class PictureMissing(Unprocessable):
    code = "picture_missing"
    detail = "There is no picture: choose one."


class PictureRefused(Unprocessable):
    code = "picture_refused"
    detail = "The picture must be a JPEG, PNG or WebP."

    def __init__(self, message: str = "must be a JPEG, PNG or WebP") -> None:
        super().__init__(f"The picture {message}.", errors=[{"field": "image", "message": message}])

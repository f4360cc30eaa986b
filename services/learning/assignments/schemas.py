"""Bodies of assignments and submissions (api.md §4a). Files, groups and rubrics are not there yet."""

from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, field_validator

from libs.common.richtext import RichText
from libs.common.schemas import Answer, Body, EmptyIsNone, Moment, Text
from services.learning.models import Assignment, Submission, SubmissionVersion
from services.learning.quizzes.rules import shown
from services.learning.quizzes.schemas import Long, OptionalMoment, Title, _known_zone


class AssignmentPatch(Body):
    course: UUID | None = Field(None, description="accepted while it does not change")
    lesson: Annotated[UUID | None, EmptyIsNone] = None
    title: Title | None = None
    instructions: Long | None = None
    points: Decimal | None = Field(None, gt=0, le=10_000, decimal_places=4)
    due_at: OptionalMoment = None
    closes_at: OptionalMoment = None
    time_zone: str | None = Field(None, max_length=64, description="where the dates were set; the author's")
    max_submissions: int | None = Field(None, ge=1, le=1000, description="null: any number")
    posted: bool | None = Field(None, description="whether a grade shows once given")
    group: Annotated[UUID | None, EmptyIsNone] = Field(None, description="of the grading policy")
    extra_credit: bool | None = Field(None, description="adds to what is earned only")

    _zone = field_validator("time_zone")(_known_zone)

    @field_validator(
        "course", "title", "instructions", "points", "time_zone", "posted", "extra_credit", mode="before"
    )
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("must not be null")
        return value


class AssignmentBody(AssignmentPatch):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "course": "00000020-0000-4000-8000-000000000020",
                    "title": "Draw a graph",
                    "instructions": "Any graph with five vertices.",
                    "points": 20,
                    "due_at": "2026-04-01T20:00:00Z",
                    "max_submissions": 3,
                }
            ]
        }
    )

    course: UUID
    title: Title
    instructions: Long = ""
    points: Decimal = Field(Decimal(100), gt=0, le=10_000, decimal_places=4)
    posted: bool = True
    extra_credit: bool = False


class AssignmentOut(Answer):
    uuid: UUID
    course: UUID
    lesson: UUID | None
    title: str
    instructions: RichText
    points: float
    group: UUID | None
    extra_credit: bool
    due_at: Moment | None
    closes_at: Moment | None
    time_zone: str
    allowed_types: list[str] = []
    max_bytes: int | None = None
    max_submissions: int | None
    rubric: list[Any] = []
    posted: bool
    created_at: Moment
    updated_at: Moment


class SubmissionBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "My graph has five vertices."}]})

    text: Annotated[Text, StringConstraints(min_length=1, max_length=200_000)]


class GradeBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"score": 18, "feedback": "Well drawn."}]})

    score: Decimal | None = Field(None, ge=0, le=10_000, decimal_places=4)
    feedback: Long | None = None
    excused: bool | None = None


class VersionOut(Answer):
    version: int
    text: RichText
    files: list[Any] = []
    submitted_at: Moment
    late_seconds: int


class SubmissionOut(Answer):
    uuid: UUID
    assignment: UUID
    student: UUID
    student_name: str
    version: int
    text: RichText
    files: list[Any] = []
    submitted_at: Moment
    late_seconds: int
    status: Literal["submitted", "graded", "excused"]
    score: float | None
    points: float
    feedback: RichText | None
    rubric_scores: dict[str, float] | None = None
    graded_at: Moment | None
    versions: list[VersionOut]


def assignment_out(assignment: Assignment) -> dict[str, Any]:
    fields = {f: getattr(assignment, f) for f in AssignmentOut.model_fields if hasattr(assignment, f)}
    return {**fields, "points": shown(assignment.points)}


def submission_out(
    submission: Submission,
    assignment: Assignment,
    versions: list[SubmissionVersion],
    name: str | None,
    *,
    taught: bool,
) -> dict[str, Any]:
    """What a learner gets hides score and feedback until the assignment's grades are posted."""
    visible = taught or assignment.posted
    newest = versions[-1]
    status = submission.status
    return {
        "uuid": submission.uuid,
        "assignment": submission.assignment,
        "student": submission.student,
        "student_name": name or "",
        "version": submission.number,
        "text": newest.text,
        "submitted_at": newest.submitted_at,
        "late_seconds": newest.late_seconds,
        "status": status if visible else "submitted",
        "score": shown(submission.score) if visible else None,
        "points": shown(assignment.points),
        "feedback": submission.feedback if visible else None,
        "graded_at": submission.graded_at if visible else None,
        "versions": [
            {
                "version": version.number,
                "text": version.text,
                "submitted_at": version.submitted_at,
                "late_seconds": version.late_seconds,
            }
            for version in versions
        ],
    }

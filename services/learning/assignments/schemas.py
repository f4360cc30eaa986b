"""Bodies of assignments and submissions (api.md §4a)."""

from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from libs.common.files.storage import Storage
from libs.common.files.uploads import TYPES
from libs.common.web.schemas import (
    Answer,
    Body,
    EmptyIsNone,
    Exact,
    Identifier,
    Length,
    Moment,
    PlainText,
    TimeZone,
    Uri,
)
from services.learning.assignments.rubrics import Points, Rubric, RubricCriterionRead, total
from services.learning.assignments.rules import late_seconds
from services.learning.models import Assignment, Submission, SubmissionFile, SubmissionVersion
from services.learning.rules import rounded
from services.learning.schemas import LONGEST_TEXT, Long, OptionalMoment, Title


def _extensions(wanted: Any) -> Any:
    """File types as extensions, given as such (`pdf`, `.pdf`) or as media types (`application/pdf`)."""
    if not isinstance(wanted, list) or not all(isinstance(each, str) for each in wanted):
        return wanted
    found: list[str] = []
    for each in wanted:
        name = each.strip().lower().removeprefix(".")
        same = [name] if name in TYPES else [known for known, kind in TYPES.items() if kind == name]
        if not same:
            raise ValueError(f"each must be one of: {', '.join(sorted(TYPES))}")
        found += [extension for extension in same if extension not in found]
    return found or None


FileTypes = Annotated[
    Annotated[list[Identifier], Field(max_length=50)] | None,
    BeforeValidator(_extensions),
    Field(description="extensions or media types of files; none: all that are known"),
]


class AssignmentUpdate(Body):
    course: UUID | None = Field(None, description="accepted while it does not change")
    lesson: Annotated[UUID | None, EmptyIsNone] = None
    title: Title | None = None
    instructions: Long | None = None
    points: Exact | None = Field(None, gt=0, le=10_000, decimal_places=4)
    due_at: OptionalMoment = None
    closes_at: OptionalMoment = None
    time_zone: TimeZone | None = Field(None, description="where the dates were set; the author's")
    max_submissions: int | None = Field(None, ge=1, le=1000, description="null: any number")
    allowed_types: FileTypes = None
    max_bytes: int | None = Field(None, ge=1, le=2**40, description="of one file; null: the suite's limit")
    rubric: Rubric | None = Field(None, description="its points are scaled to the assignment's")
    posted: bool | None = Field(None, description="whether a grade shows once given")
    group: Annotated[UUID | None, EmptyIsNone] = Field(None, description="of the grading policy")
    extra_credit: bool | None = Field(None, description="adds to what is earned only")

    @field_validator(
        "course", "title", "instructions", "points", "time_zone", "rubric", "posted", "extra_credit",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("must not be null")
        return value


class AssignmentCreate(AssignmentUpdate):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "course": "00000020-0000-4000-8000-000000000020",
                    "title": "Draw a graph",
                    "instructions": "Any graph with five vertices.",
                    "points": 20,
                    "rubric": [
                        {
                            "title": "Vertices",
                            "points": 20,
                            "levels": [{"title": "All", "points": 20}, {"title": "Some", "points": 8}],
                        }
                    ],
                    "due_at": "2026-04-01T20:00:00Z",
                    "max_submissions": 3,
                    "allowed_types": ["pdf", "png"],
                    "max_bytes": 5_000_000,
                }
            ]
        }
    )

    course: UUID
    title: Title
    instructions: Long = ""
    points: Exact = Field(
        Decimal(100), gt=0, le=10_000, decimal_places=4, description="without it what a rubric brings, or 100"
    )
    rubric: Rubric = []
    posted: bool = True
    extra_credit: bool = False

    @model_validator(mode="after")
    def _points_of_rubric(self) -> "AssignmentCreate":
        if self.rubric and "points" not in self.model_fields_set:
            self.points = total(self.rubric)
        return self


class AssignmentRead(Answer):
    uuid: UUID
    course: UUID
    lesson: UUID | None
    title: PlainText
    instructions: PlainText
    points: float
    group: UUID | None
    extra_credit: bool
    due_at: Moment | None
    closes_at: Moment | None
    time_zone: Identifier
    max_submissions: int | None
    allowed_types: list[Identifier]
    max_bytes: int | None
    rubric: list[RubricCriterionRead]
    has_groups: bool
    posted: bool
    created_at: Moment
    updated_at: Moment


class SubmissionCreate(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "My graph has five vertices."}]})

    text: Annotated[PlainText, Length(0, LONGEST_TEXT)]


class SubmissionGradeUpdate(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"score": 18, "feedback": "Well drawn."}]})

    score: Exact | None = Field(None, ge=0, le=10_000, decimal_places=4)
    rubric_scores: dict[UUID, Points] | None = Field(
        None, description="points by criterion, all of them; the score follows"
    )
    feedback: Long | None = None
    excused: bool | None = Field(
        None, description="false alone: the grade from before the excuse stands again"
    )
    individual: bool | None = Field(
        None, description="for this member of the group alone; later grades of the group leave it as it is"
    )


class SubmissionSummary(Answer):
    """Work in the grading queue; `score` is what an earlier version got."""

    submission: UUID
    assignment: UUID
    assignment_title: PlainText
    course: UUID
    course_title: PlainText
    student: UUID
    student_name: PlainText
    group: UUID | None
    version: int
    submitted_at: Moment
    late_seconds: int
    score: float | None
    points: float


class SubmissionFileRead(Answer):
    """A file as it was handed in; `url` needs no token: it is for the caller and their session."""

    uuid: UUID
    name: PlainText
    media_type: Identifier
    size: int
    url: Uri


class SubmissionVersionRead(Answer):
    version: int
    text: PlainText
    files: list[SubmissionFileRead]
    submitted_at: Moment
    submitted_by: UUID
    late_seconds: int


class SubmissionMemberRead(Answer):
    """A member of the group that handed in together; their grade, for teachers only."""

    student: UUID
    student_name: PlainText
    submission: UUID | None
    score: float | None
    individual: bool | None


class SubmissionRead(Answer):
    """`group` and `members` where a group handed in together; `submitted_at` is null without any work.

    `submitted` waits for a grade: `score` is then what an earlier version got, and counts until the next one.
    """

    uuid: UUID
    assignment: UUID
    student: UUID
    student_name: PlainText
    version: int
    text: PlainText
    files: list[SubmissionFileRead]
    submitted_at: Moment | None
    submitted_by: UUID | None
    late_seconds: int
    group: UUID | None
    members: list[SubmissionMemberRead]
    status: Literal["submitted", "graded", "excused"]
    score: float | None
    points: float
    feedback: PlainText | None
    rubric_scores: dict[UUID, float] | None
    graded_at: Moment | None
    versions: list[SubmissionVersionRead]


def assignment_read(assignment: Assignment) -> dict[str, Any]:
    fields = {f: getattr(assignment, f) for f in AssignmentRead.model_fields if hasattr(assignment, f)}
    return {
        **fields,
        "points": rounded(assignment.points),
        "allowed_types": assignment.allowed_types or [],
        "has_groups": bool(assignment.teams),
    }


def submission_read(
    submission: Submission,
    assignment: Assignment,
    versions: list[SubmissionVersion],
    files: list[SubmissionFile],
    members: list[dict[str, Any]],
    name: str | None,
    storage: Storage,
    *,
    taught: bool,
) -> dict[str, Any]:
    """What a learner gets hides score and feedback until the assignment's grades are posted."""
    visible = taught or assignment.posted
    scored = visible and submission.status != "excused"
    shown_versions = [_version_read(submission, version, assignment, files, storage) for version in versions]
    return {
        **(shown_versions[-1] if shown_versions else NO_WORK),
        "uuid": submission.uuid,
        "assignment": submission.assignment,
        "student": submission.student,
        "student_name": name or "",
        "group": submission.team,
        "members": members,
        "status": submission.status if visible else "submitted",
        "score": rounded(submission.score) if scored else None,
        "points": rounded(assignment.points),
        "feedback": submission.feedback if visible else None,
        "rubric_scores": submission.rubric_scores if scored else None,
        "graded_at": submission.graded_at if visible else None,
        "versions": shown_versions,
    }


NO_WORK: dict[str, Any] = {
    "version": 0, "text": "", "files": [], "submitted_at": None, "submitted_by": None, "late_seconds": 0,
}  # fmt: skip


def _version_read(
    submission: Submission,
    version: SubmissionVersion,
    assignment: Assignment,
    files: list[SubmissionFile],
    storage: Storage,
) -> dict[str, Any]:
    return {
        "version": version.number,
        "text": version.text,
        "submitted_at": version.submitted_at,
        "submitted_by": version.submitted_by or submission.student,
        "late_seconds": late_seconds(version.submitted_at, assignment.due_at),
        "files": [
            {
                "uuid": file.uuid,
                "name": file.name,
                "media_type": file.media_type,
                "size": file.size,
                "url": storage.url(file.path, file.media_type, file.name, f"submission:{submission.uuid}"),
            }
            for file in files
            if file.number == version.number
        ],
    }


def submission_summary(
    submission: Submission, version: SubmissionVersion, assignment: Assignment, course_title: str, name: str
) -> dict[str, Any]:
    return {
        "submission": submission.uuid,
        "assignment": assignment.uuid,
        "assignment_title": assignment.title,
        "course": assignment.course,
        "course_title": course_title,
        "student": submission.student,
        "student_name": name,
        "group": submission.team,
        "version": version.number,
        "submitted_at": version.submitted_at,
        "late_seconds": late_seconds(version.submitted_at, assignment.due_at),
        "score": rounded(submission.score),
        "points": rounded(assignment.points),
    }

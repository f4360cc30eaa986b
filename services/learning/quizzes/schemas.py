"""Bodies of quizzes and questions. What a teacher sees and what a student sees are separate models."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, field_validator

from libs.common.runtime.errors import Unprocessable
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
)
from services.learning.models import Question, Quiz, QuizExtension
from services.learning.quizzes.kinds import KindFields, KindName, KindTeacherFields, kind_of
from services.learning.rules import rounded
from services.learning.schemas import Long, OptionalMoment, Title

When = Literal["immediately", "after_close", "never"]
QuizKind = Literal["practice", "graded", "final", "survey"]
Scoring = Literal["highest", "latest", "average", "first"]


class FeedbackPolicy(Body):
    score: When = "immediately"
    correctness: When = "immediately"
    answers: When = "after_close"


class QuestionPool(Body):
    """So many questions of a bank of the same course, drawn at random when an attempt starts."""

    bank: UUID
    pick: int = Field(ge=1, le=1000)


Pools = Annotated[list[QuestionPool], Field(max_length=50)]


class QuizCreate(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "course": "00000020-0000-4000-8000-000000000020",
                    "title": "Check yourself",
                    "kind": "graded",
                    "time_limit_seconds": 900,
                    "attempts_allowed": 2,
                    "pass_mark": 60,
                    "feedback": {"score": "immediately", "correctness": "immediately", "answers": "never"},
                }
            ]
        }
    )

    course: UUID
    lesson: Annotated[UUID | None, EmptyIsNone] = None
    title: Title
    description: Long = ""
    kind: QuizKind = "graded"
    time_limit_seconds: int | None = Field(None, ge=1, le=604_800)
    opens_at: OptionalMoment = None
    closes_at: OptionalMoment = None
    time_zone: TimeZone | None = Field(None, description="where the dates were set; the author's")
    attempts_allowed: int | None = Field(None, ge=1, le=1000, description="null: any number")
    scoring: Scoring = "highest"
    pass_mark: Exact = Field(Decimal(50), ge=0, le=100, decimal_places=2)
    shuffle_questions: bool = False
    shuffle_answers: bool = False
    pools: Pools = Field(default_factory=list)
    feedback: FeedbackPolicy = FeedbackPolicy()


class QuizUpdate(Body):
    """What is not sent stays, also of `feedback`; what only GET answers is taken while it does not change."""

    uuid: UUID | None = None
    course: UUID | None = None
    is_published: bool | None = None
    question_count: int | None = None
    max_score: float | None = None
    attempts_count: int | None = None
    questions: list[Any] | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    lesson: Annotated[UUID | None, EmptyIsNone] = None
    title: Title | None = None
    description: Long | None = None
    kind: QuizKind | None = None
    time_limit_seconds: int | None = Field(None, ge=1, le=604_800)
    opens_at: OptionalMoment = None
    closes_at: OptionalMoment = None
    time_zone: TimeZone | None = None
    attempts_allowed: int | None = Field(None, ge=1, le=1000)
    scoring: Scoring | None = None
    pass_mark: Exact | None = Field(None, ge=0, le=100, decimal_places=2)
    shuffle_questions: bool | None = None
    shuffle_answers: bool | None = None
    pools: Pools | None = None
    feedback: FeedbackPolicy | None = None

    @field_validator(
        "title", "description", "kind", "time_zone", "scoring", "pass_mark", "shuffle_questions",
        "shuffle_answers", "pools", "feedback", mode="before",
    )  # fmt: skip
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("must not be null")
        return value


class QuestionUpdate(KindFields):
    """By kind: `options`, `correct`, `accepted`, `value` and `tolerance`, `pairs`, or `items` in order."""

    uuid: UUID | None = Field(None, description="accepted while it does not change")
    kind: KindName | None = None
    text: Annotated[PlainText, Length(1, 20_000)] | None = None
    points: Exact | None = Field(None, ge=0, le=10_000, decimal_places=4, description="one, if not given")
    order: int | None = Field(None, ge=0, le=100_000)
    explanation: Long | None = None
    partial_credit: bool | None = None


class QuestionCreate(QuestionUpdate):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "single_choice",
                    "text": "What joins two vertices?",
                    "points": 2,
                    "options": [{"text": "an edge", "is_correct": True}, {"text": "a walk"}],
                },
                {
                    "kind": "matching",
                    "text": "Which belongs to which?",
                    "pairs": [
                        {"left": "tree", "right": "no cycle"},
                        {"left": "complete", "right": "all edges"},
                    ],
                },
                {"kind": "ordering", "text": "From small to large?", "items": ["edge", "path", "graph"]},
                {"kind": "essay", "text": "Why is a tree bipartite?", "points": 5},
            ]
        }
    )

    kind: KindName
    text: Annotated[PlainText, Length(1, 20_000)]


class QuestionTeacherRead(KindTeacherFields):
    uuid: UUID
    kind: Identifier
    text: PlainText
    points: float
    order: int
    explanation: PlainText
    partial_credit: bool


class QuizBase(Answer):
    uuid: UUID
    course: UUID
    lesson: UUID | None
    title: PlainText
    description: PlainText
    kind: QuizKind
    time_limit_seconds: int | None
    opens_at: Moment | None
    closes_at: Moment | None
    time_zone: Identifier
    attempts_allowed: int | None
    scoring: Scoring
    pass_mark: float
    shuffle_questions: bool
    shuffle_answers: bool
    pools: list[QuestionPool]
    feedback: FeedbackPolicy
    question_count: int
    max_score: float = Field(description="of pools the most that their questions can bring")
    is_published: bool
    created_at: Moment
    updated_at: Moment


class QuizTeacherRead(QuizBase):
    """With what is right; `questions` only where one quiz is asked for."""

    questions: list[QuestionTeacherRead] | None
    attempts_count: int


class ExtensionUpdate(Body):
    """All three are set; what is not sent is taken back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"extra_seconds": 900, "extra_attempts": 1, "closes_at": "2026-03-09T09:00:00Z"}]
        }
    )

    extra_seconds: int = Field(0, ge=0, le=604_800, description="on top of the time limit, if there is one")
    extra_attempts: int = Field(0, ge=0, le=1000)
    closes_at: OptionalMoment = Field(None, description="the window's end for this learner, if it is later")


class ExcuseUpdate(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"excused": True}]})

    excused: bool = Field(description="the quiz does not count for them; false: it counts again")


class ExtensionStudentRead(Answer):
    """`time_zone` is the quiz's."""

    extra_seconds: int
    extra_attempts: int
    closes_at: Moment | None
    time_zone: Identifier
    excused: bool = Field(description="the quiz does not count for them")


class ExtensionTeacherRead(ExtensionStudentRead):
    quiz: UUID
    user: UUID
    user_name: PlainText
    updated_at: Moment


class QuizStudentRead(QuizBase):
    """What a learner sees before an attempt: no questions, and nothing of what is right."""

    attempts_used: int
    attempts_left: int | None = Field(description="with those of an extension; null: any number")
    open_attempt: UUID | None
    extension: ExtensionStudentRead | None = Field(description="what this learner has beyond others")


# What changes by itself while somebody edits: an older value asks for nothing.
MOVING = frozenset({"attempts_count", "updated_at"})


def check_unchanged(body: Body, names: Sequence[str], shown: Answer) -> None:
    """Raises Unprocessable where a field that only GET answers is sent with another value."""
    sent = body.model_dump(mode="json", include=body.model_fields_set & {*names} - MOVING)
    there = shown.model_dump(mode="json")
    for name, value in sent.items():
        if value != there[name]:
            raise Unprocessable.field(name, "cannot be changed here")


def extension_read(extension: QuizExtension, zone: str) -> ExtensionStudentRead:
    """`zone` is the quiz's."""
    return ExtensionStudentRead(
        extra_seconds=extension.extra_seconds,
        extra_attempts=extension.extra_attempts,
        closes_at=extension.closes_at,
        time_zone=zone,
        excused=extension.excused,
    )


def question_read(question: Question) -> QuestionTeacherRead:
    return QuestionTeacherRead(
        uuid=question.uuid,
        kind=question.kind,
        text=question.text,
        points=float(question.points),
        order=question.position,
        explanation=question.explanation,
        partial_credit=question.partial_credit,
        **kind_of(question.kind).for_teacher(question.content),
    )


def quiz_fields(quiz: Quiz, count: int, points: Decimal) -> dict[str, Any]:
    """What every view of a quiz has."""
    fields = {name: getattr(quiz, name) for name in QuizBase.model_fields if hasattr(quiz, name)}
    return {
        **fields,
        "pass_mark": float(quiz.pass_mark),
        "question_count": count,
        "max_score": rounded(points),
    }


class QuestionBankCreate(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"course": "00000020-0000-4000-8000-000000000020", "title": "Graphs, easy ones"}]
        }
    )

    course: UUID
    title: Title


class QuestionBankUpdate(Body):
    """What is not sent stays; what only GET answers is accepted while it does not change."""

    uuid: UUID | None = None
    course: UUID | None = None
    question_count: int | None = None
    questions: list[Any] | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    title: Title | None = None


class QuestionBankRead(Answer):
    uuid: UUID
    course: UUID
    title: PlainText
    question_count: int
    created_at: Moment
    updated_at: Moment
    questions: list[QuestionTeacherRead] | None = Field(None, description="only where one bank is asked for")

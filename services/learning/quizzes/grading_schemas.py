"""Bodies of grading by hand, regrading and statistics."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from libs.common.web.schemas import Answer, Body, Exact, Identifier, Length, PlainText
from services.learning.quizzes.kinds import AnswerCount
from services.learning.schemas import Long


class AnswerGradeUpdate(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "question": "00000033-0000-4000-8000-000000000033",
                    "points": 4.5,
                    "comment": "Well argued; the last step is missing.",
                }
            ]
        }
    )

    question: UUID
    points: Exact = Field(ge=0, le=10_000, decimal_places=4)
    comment: Long | None = Field(None, description="what is not sent stays")


class RegradeRequest(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "question": "00000033-0000-4000-8000-000000000033",
                    "mode": "old_or_new",
                    "dry_run": True,
                    "reason": "The second option is right, too.",
                }
            ]
        }
    )

    question: UUID
    mode: Literal["full_credit", "old_or_new", "new_only"]
    dry_run: bool = False
    reason: Annotated[PlainText, Length(0, 1_000)] = ""


class PointsChange(Answer):
    """Points of an attempt, before and after."""

    user: UUID
    attempt: UUID
    before: float
    after: float


class RegradeChanges(Answer):
    changes: list[PointsChange]


class QuestionStatistics(Answer):
    question: UUID
    kind: Identifier
    text: PlainText
    attempts: int = Field(description="handed-in attempts that had the question")
    answered: int
    average_points: float | None
    difficulty: float | None = Field(description="average share that was right, 0 to 100: high is easy")
    discrimination: float | None = Field(
        description="correlation with the rest of the attempt, -1 to 1; null below three graded attempts"
    )
    distribution: list[AnswerCount]


class QuizStatistics(Answer):
    attempts: int = Field(description="handed in")
    waiting: int = Field(description="of these, waiting for a teacher")
    learners: int
    average_percentage: float | None
    passed_percentage: float | None
    questions: list[QuestionStatistics]

"""Rubrics: criteria with the most points of each, and the levels that a grader chooses from."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import UUID4, AfterValidator, Field, model_validator

from libs.common.web.schemas import Answer, Body, Exact, Length, PlainText
from services.learning.rules import as_seen

Points = Annotated[Exact, Field(ge=0, le=10_000, decimal_places=4)]
Name = Annotated[PlainText, Length(1, 200)]
Description = Annotated[PlainText, Length(0, 2000)]


class RubricLevelInput(Body):
    title: Name
    description: Description = ""
    points: Points


class RubricCriterionInput(Body):
    uuid: UUID4 = Field(default_factory=uuid4, description="made when missing")
    title: Name
    description: Description = ""
    points: Points = Field(description="the most that it brings")
    levels: Annotated[list[RubricLevelInput], Field(max_length=20)] = []

    @model_validator(mode="after")
    def _levels_fit(self) -> "RubricCriterionInput":
        if any(level.points > self.points for level in self.levels):
            raise ValueError("a level brings at most the points of its criterion")
        if len({as_seen(level.title) for level in self.levels}) < len(self.levels):
            raise ValueError("levels of a criterion must have different titles")
        return self


def _whole(rubric: list[RubricCriterionInput]) -> list[RubricCriterionInput]:
    if len({criterion.uuid for criterion in rubric}) < len(rubric):
        raise ValueError("criteria must have different uuids")
    if len({as_seen(criterion.title) for criterion in rubric}) < len(rubric):
        raise ValueError("criteria must have different titles")
    if rubric and not total(rubric):
        raise ValueError("one criterion must bring points")
    return rubric


Rubric = Annotated[list[RubricCriterionInput], Field(max_length=50), AfterValidator(_whole)]


def total(rubric: list[RubricCriterionInput]) -> Decimal:
    return sum((criterion.points for criterion in rubric), Decimal(0))


def rubric_content(rubric: list[RubricCriterionInput] | None) -> list[dict[str, Any]]:
    """As an assignment keeps it."""
    return [criterion.model_dump(mode="json") for criterion in rubric or ()]


class RubricLevelRead(Answer):
    title: PlainText
    description: PlainText
    points: float


class RubricCriterionRead(Answer):
    uuid: UUID
    title: PlainText
    description: PlainText
    points: float
    levels: list[RubricLevelRead]

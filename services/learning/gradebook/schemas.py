"""Bodies of the grading policy, the gradebook and the explanation of a grade (api.md §4a)."""

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID, uuid4

from pydantic import ConfigDict, Field, model_validator

from libs.common.web.schemas import Answer, Body, Exact, Length, Moment, PlainText
from services.learning.gradebook import rules

Percent = Annotated[Exact, Field(ge=0, le=100, decimal_places=4)]
Name = Annotated[PlainText, Length(1, 100)]
Drops = Annotated[int, Field(ge=0, le=100)]
Items = Annotated[list[UUID], Field(max_length=500)]


class GradeGroupInput(Body):
    uuid: UUID = Field(default_factory=uuid4, description="made when missing")
    name: Name
    weight: Annotated[Exact, Field(ge=0, le=1000, decimal_places=4)]
    drop_lowest: Drops = 0
    drop_highest: Drops = 0
    items: Items = Field([], description="quizzes and assignments; an assignment may name its group instead")


class LatePolicyInput(Body):
    unit: Literal["hour", "day"]
    percent: Percent = Field(description="of the maximum, for every unit begun")
    floor: Percent = Decimal(0)


class LetterInput(Body):
    letter: Annotated[PlainText, Length(1, 10)]
    start: Percent = Field(alias="from")

    model_config = Body.model_config | ConfigDict(populate_by_name=True, serialize_by_alias=True)


class GradingPolicyUpdate(Body):
    """How the grades of a course come about. Without groups all items count together by their points."""

    groups: Annotated[list[GradeGroupInput], Field(max_length=50)] = []
    late: LatePolicyInput | None = None
    missing_as_zero: bool = True
    letters: Annotated[list[LetterInput], Field(max_length=50)] = []
    extra_credit: Items = Field([], description="items that add to what is earned only")

    model_config = Body.model_config | ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "groups": [
                        {"name": "Quizzes", "weight": 40, "drop_lowest": 1},
                        {"name": "Essays", "weight": 60},
                    ],
                    "late": {"unit": "day", "percent": 10, "floor": 50},
                    "missing_as_zero": True,
                    "letters": [{"letter": "A", "from": 90}, {"letter": "B", "from": 80}],
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _no_doubles(self) -> "GradingPolicyUpdate":
        if len({group.uuid for group in self.groups}) < len(self.groups):
            raise ValueError("groups must have different uuids")
        placed = [item for group in self.groups for item in group.items]
        if len(set(placed)) < len(placed):
            raise ValueError("an item lies in one group only")
        if self.groups and not any(group.weight for group in self.groups):
            raise ValueError("one group must have a weight")
        if len({letter.start for letter in self.letters}) < len(self.letters):
            raise ValueError("letters must begin at different percentages")
        return self

    def policy(self) -> rules.Policy:
        return rules.Policy(
            tuple(
                rules.Group(group.uuid, group.name, group.weight, group.drop_lowest, group.drop_highest)
                for group in self.groups
            ),
            rules.Late(self.late.unit, self.late.percent, self.late.floor) if self.late else None,
            self.missing_as_zero,
            tuple(rules.Letter(letter.letter, letter.start) for letter in self.letters),
        )


class GradeGroupRead(Answer):
    uuid: UUID
    name: PlainText
    weight: float
    drop_lowest: int
    drop_highest: int
    items: list[UUID]


class LatePolicyRead(Answer):
    unit: Literal["hour", "day"]
    percent: float
    floor: float


class LetterRead(Answer):
    letter: PlainText
    start: float = Field(alias="from")

    model_config = Answer.model_config | ConfigDict(populate_by_name=True)


class GradingPolicyRead(Answer):
    groups: list[GradeGroupRead]
    late: LatePolicyRead | None
    missing_as_zero: bool
    letters: list[LetterRead]
    extra_credit: list[UUID]


class GradeChange(Answer):
    """A learner whose grade moves; both are current percentages as shown."""

    user: UUID
    before: float | None
    after: float | None


class GradeChanges(Answer):
    changes: list[GradeChange]


class GradeItemRead(Answer):
    uuid: UUID
    kind: Literal["quiz", "assignment"]
    title: PlainText
    points: float
    group: UUID | None
    extra_credit: bool
    due_at: Moment | None
    posted: bool


class GradeCell(Answer):
    """`score` is after any cost of lateness; null where there is none, or none to be seen."""

    score: float | None
    status: Literal["graded", "excused", "missing", "submitted", "open"]


class GradebookRow(Answer):
    user: UUID
    name: PlainText
    cells: dict[UUID, GradeCell]
    current: float | None
    final: float | None
    letter: PlainText | None


class Gradebook(Answer):
    items: list[GradeItemRead]
    rows: list[GradebookRow]
    as_of: Moment | None = Field(description="the past moment that is shown; null: now")


class OwnGrades(Answer):
    """What the learner may see by now: what is not posted counts as not graded."""

    items: list[GradeItemRead]
    cells: dict[UUID, GradeCell]
    current: float | None
    final: float | None
    letter: PlainText | None
    as_of: Moment | None = Field(description="the past moment that is shown; null: now")


class ExplanationSource(Answer):
    """What a line of an explanation comes from: a policy version, an item, or a published event."""

    type: Literal["policy", "item", "event"]
    uuid: UUID
    event_id: UUID | None


class Explanation(Answer):
    """A line of how a grade came about: `value` a percentage or points, `contribution` to the line above."""

    label: PlainText
    value: float | None
    contribution: float | None
    rule: PlainText
    source: ExplanationSource | None
    children: list["Explanation"]

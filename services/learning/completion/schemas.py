"""Bodies of completion rules."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from libs.common.web.schemas import Answer, Body, Exact
from services.learning.completion.rules import Kind, Rule

NEEDED: dict[str, str | None] = {
    "all_lessons": None,
    "required_lessons": "lessons",
    "minimum_score": "score",
    "quiz_passed": "quiz",
    "assignment_graded": "assignment",
}


class CompletionRuleInput(Body):
    """One rule; each kind but `all_lessons` needs the one field that it speaks of."""

    kind: Kind
    lessons: Annotated[list[UUID], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="of required_lessons"
    )
    score: Annotated[Exact, Field(gt=0, le=100, max_digits=7, decimal_places=4)] | None = Field(
        None, description="of minimum_score: the least final grade as shown, of what is posted"
    )
    quiz: UUID | None = Field(None, description="of quiz_passed; a survey is passed by submitting it")
    assignment: UUID | None = Field(None, description="of assignment_graded: a posted grade or an excuse")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "CompletionRuleInput":
        for name in ("lessons", "score", "quiz", "assignment"):
            given, needed = getattr(self, name) is not None, NEEDED[self.kind] == name
            if needed and not given:
                raise ValueError(f"{self.kind} needs {name}")
            if given and not needed:
                raise ValueError(f"{self.kind} takes no {name}")
        return self

    def content(self) -> dict[str, Any]:
        """As its row keeps it."""
        content: dict[str, Any] = {"kind": self.kind}
        if self.lessons is not None:
            content["lessons"] = [str(lesson) for lesson in dict.fromkeys(self.lessons)]
        if self.score is not None:
            content["score"] = f"{self.score.normalize():f}"
        for name in ("quiz", "assignment"):
            if getattr(self, name) is not None:
                content[name] = str(getattr(self, name))
        return content


class CompletionRulesUpdate(Body):
    """All of them must be met. None at all: all lessons."""

    rules: Annotated[list[CompletionRuleInput], Field(max_length=50)]

    model_config = Body.model_config | ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "rules": [
                        {
                            "kind": "required_lessons",
                            "lessons": ["00000020-0000-4000-8000-000000000020"],
                        },
                        {"kind": "minimum_score", "score": 60},
                    ]
                }
            ]
        }
    )


class CompletionRuleRead(Answer):
    """`met` tells callers where they stand; null for those who are not enrolled."""

    kind: Literal["all_lessons", "required_lessons", "minimum_score", "quiz_passed", "assignment_graded"]
    lessons: list[UUID] | None = None
    score: float | None = None
    quiz: UUID | None = None
    assignment: UUID | None = None
    met: bool | None = None


class CompletionRulesRead(Answer):
    rules: list[CompletionRuleRead]


class CompletionPreview(Answer):
    """Whom the rules would let complete the course at once."""

    completes: list[UUID]


def rule_read(rule: Rule, met: bool | None) -> CompletionRuleRead:
    return CompletionRuleRead(
        kind=rule.kind,
        lessons=sorted(rule.lessons) if rule.kind == "required_lessons" else None,
        score=float(rule.score) if rule.kind == "minimum_score" else None,
        quiz=rule.subject if rule.kind == "quiz_passed" else None,
        assignment=rule.subject if rule.kind == "assignment_graded" else None,
        met=met,
    )

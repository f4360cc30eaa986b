"""Choices: `options: [{uuid, text, is_correct, feedback}]`. What the two kinds of them have in common."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import UUID4, Field

from libs.common.web.schemas import Answer, Body, Length, PlainText
from services.learning.errors import InvalidAnswer, InvalidQuestion
from services.learning.quizzes.kinds.base import (
    AnswerCount,
    Content,
    Known,
    QuestionKind,
    Shuffle,
    check_distinct,
)
from services.learning.quizzes.kinds.fields import PartRead, Side


class OptionInput(Body):
    uuid: UUID4 | None = Field(None, description="made when missing")
    text: Side
    is_correct: bool = False
    feedback: Annotated[PlainText, Length(0, 5_000)] = ""


class ChoiceFields(Body):
    options: list[OptionInput] | None = Field(None, max_length=50)


class OptionTeacherRead(Answer):
    uuid: UUID
    text: PlainText
    is_correct: bool
    feedback: PlainText


class ChoiceTeacherFields(Answer):
    options: list[OptionTeacherRead] | None = None


class ChoiceStudentFields(Answer):
    options: list[PartRead] | None = None
    option_feedback: dict[UUID, PlainText] | None = None


class Choice(QuestionKind[ChoiceFields]):
    fields = ChoiceFields
    teacher_fields = ChoiceTeacherFields
    student_fields = ChoiceStudentFields

    def parse(self, fields: ChoiceFields, stored: Content) -> dict[str, Any]:
        if fields.options is None:
            return {}
        known = Known(stored.get("options", ()))
        return {
            "options": [
                {
                    "uuid": str(option.uuid) if option.uuid else known.uuid(option.text),
                    "text": option.text,
                    "is_correct": option.is_correct,
                    "feedback": option.feedback,
                }
                for option in fields.options
            ]
        }

    def check(self, content: Content) -> None:
        options: Sequence[Content] = content.get("options") or ()
        check_distinct("options", [option["text"] for option in options])
        if len(options) < 2:
            raise InvalidQuestion("options", "at least two are needed")
        self._check_right(sum(1 for option in options if option["is_correct"]))
        if len({option["uuid"] for option in options}) != len(options):
            raise InvalidQuestion("options", "each needs a uuid of its own")

    def _check_right(self, right: int) -> None:
        if right == 0:
            raise InvalidQuestion("options", "at least one must be correct")

    def for_teacher(self, content: Content) -> dict[str, Any]:
        return {"options": content["options"]}

    def pin(self, content: Content, shuffle: Shuffle, mixed: bool) -> Content:
        return {**content, "options": shuffle(content["options"])} if mixed else content

    def for_student(self, content: Content) -> dict[str, Any]:
        return {"options": [{"uuid": each["uuid"], "text": each["text"]} for each in content["options"]]}

    def _check_chosen(self, content: Content, chosen: list[str]) -> None:
        known = self.answerable(content) | set(content.get("removed", ()))
        if not known.issuperset(chosen):
            raise InvalidAnswer("names an option that the question does not have")
        if len(set(chosen)) != len(chosen):
            raise InvalidAnswer("names an option twice")

    def _right(self, content: Content) -> list[str]:
        return [option["uuid"] for option in content["options"] if option["is_correct"]]

    def _reordered(self, pinned: Content, current: Content, shuffle: Shuffle) -> dict[str, Any]:
        places = {option["uuid"]: place for place, option in enumerate(pinned["options"])}
        options = sorted(current["options"], key=lambda option: places.get(option["uuid"], len(places)))
        return {**current, "options": options}

    def answerable(self, content: Content) -> set[str]:
        return {option["uuid"] for option in content["options"]}

    def explain(self, content: Content) -> dict[str, Any]:
        feedback = {option["uuid"]: option["feedback"] for option in content["options"]}
        return {**super().explain(content), "option_feedback": feedback}

    def statistics(self, content: Content, answers: Sequence[Any], *, graded: bool) -> list[AnswerCount]:
        """All options, in their order."""
        chosen = Counter(
            one for answer in answers for one in (answer if isinstance(answer, list) else [answer])
        )
        return [
            AnswerCount(
                answer=option["text"],
                count=chosen[option["uuid"]],
                is_right=option["is_correct"] if graded else None,
            )
            for option in content["options"]
        ]

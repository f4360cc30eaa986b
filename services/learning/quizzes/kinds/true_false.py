"""A statement that is true or false: `correct`; the answer is a boolean."""

from fractions import Fraction
from typing import Any

from libs.common.web.schemas import Answer, Body
from services.learning.errors import InvalidAnswer, InvalidQuestion
from services.learning.quizzes.kinds.base import Content, QuestionKind


class TrueFalseFields(Body):
    correct: bool | None = None


class TrueFalseTeacherFields(Answer):
    correct: bool | None = None


class TrueFalse(QuestionKind[TrueFalseFields]):
    name = "true_false"
    nearest = "true_false"
    fields = TrueFalseFields
    teacher_fields = TrueFalseTeacherFields

    def parse(self, fields: TrueFalseFields, stored: Content) -> dict[str, Any]:
        return {} if fields.correct is None else {"correct": fields.correct}

    def check(self, content: Content) -> None:
        if not isinstance(content.get("correct"), bool):
            raise InvalidQuestion("correct", "true or false is needed")

    def for_teacher(self, content: Content) -> dict[str, Any]:
        return {"correct": content["correct"]}

    def _check_answer(self, content: Content, answer: Any) -> None:
        if not isinstance(answer, bool):
            raise InvalidAnswer("takes true or false")

    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        return Fraction(content["correct"] == answer)

    def right_answer(self, content: Content) -> Any:
        return content["correct"]

"""A number: `value` and `tolerance` as decimal strings; right if it is at most the tolerance away."""

from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field

from libs.common.web.schemas import Answer, Body, Exact
from services.learning.errors import InvalidAnswer, InvalidQuestion
from services.learning.quizzes.kinds.base import Content, QuestionKind

LARGEST_NUMBER = 10**30
LARGEST_INTEGER = 2**53 - 1
"""What every client can hold exactly; larger numbers are floats."""
Number = Annotated[Exact, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER, allow_inf_nan=False)]


class NumericFields(Body):
    value: Number | None = None
    tolerance: Annotated[Number, Field(ge=0)] | None = None


class NumericTeacherFields(Answer):
    value: float | None = None
    tolerance: float | None = None


class Numeric(QuestionKind[NumericFields]):
    name = "numeric"
    nearest = "numeric"
    fields = NumericFields
    teacher_fields = NumericTeacherFields

    def parse(self, fields: NumericFields, stored: Content) -> dict[str, Any]:
        numbers = {"value": fields.value, "tolerance": fields.tolerance}
        return {name: str(number) for name, number in numbers.items() if number is not None}

    def check(self, content: Content) -> None:
        if content.get("value") is None:
            raise InvalidQuestion("value", "a number is needed")

    def for_teacher(self, content: Content) -> dict[str, Any]:
        return {name: float(content[name]) for name in ("value", "tolerance") if name in content}

    def _check_answer(self, content: Content, answer: Any) -> None:
        number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
        largest = LARGEST_INTEGER if isinstance(answer, int) else LARGEST_NUMBER
        if not number or not abs(answer) <= largest:
            raise InvalidAnswer("takes a number: an integer of at most 2^53 - 1, or a float of at most 1e30")

    def saved_answer(self, answer: Any) -> Any:
        """A large float comes back from JSONB as an integer that few clients hold."""
        return float(answer) if abs(answer) > LARGEST_INTEGER else answer

    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        difference = Fraction(str(answer)) - Fraction(content["value"])  # exact, however far apart
        return Fraction(abs(difference) <= Fraction(content.get("tolerance") or 0))

    def right_answer(self, content: Content) -> Any:
        return float(content["value"])

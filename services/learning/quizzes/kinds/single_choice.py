"""One option is right; the answer is its uuid."""

from fractions import Fraction
from typing import Any

from services.learning.errors import InvalidAnswer, InvalidQuestion
from services.learning.quizzes.kinds.base import Content
from services.learning.quizzes.kinds.choice import Choice


class SingleChoice(Choice):
    name = "single_choice"
    nearest = "single_choice"

    def _check_right(self, right: int) -> None:
        if right != 1:
            raise InvalidQuestion("options", "exactly one must be correct")

    def _check_answer(self, content: Content, answer: Any) -> None:
        if not isinstance(answer, str):
            raise InvalidAnswer("takes a uuid")
        self._check_chosen(content, [answer])

    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        return Fraction(answer in self._right(content))

    def right_answer(self, content: Content) -> Any:
        return self._right(content)[0]

"""Some options are right; the answer is the list of their uuids."""

from fractions import Fraction
from typing import Any

from services.learning.quizzes.kinds.base import Content, check_uuids
from services.learning.quizzes.kinds.choice import Choice


class MultipleChoice(Choice):
    name = "multiple_choice"
    nearest = "multiple_choice"

    def _check_answer(self, content: Content, answer: Any) -> None:
        self._check_chosen(content, check_uuids(answer, "takes a list of uuids"))

    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        """With partial credit right less wrong ones, of all right ones."""
        right = set(self._right(content))
        chosen = self.answerable(content).intersection(answer)
        if not partial_credit:
            return Fraction(chosen == right)
        return max(Fraction(len(chosen & right) - len(chosen - right), len(right)), Fraction(0))

    def right_answer(self, content: Content) -> Any:
        return self._right(content)

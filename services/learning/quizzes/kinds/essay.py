"""A text that a teacher reads and grades."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from services.learning.quizzes.kinds.base import AnswerCount, Content, NoFields, QuestionKind, check_text
from services.learning.schemas import LONGEST_TEXT


class Essay(QuestionKind[NoFields]):
    name = "essay"
    nearest = "essay"
    is_graded_by_hand = True
    is_free_text = True

    def parse(self, fields: NoFields, stored: Content) -> dict[str, Any]:
        return {}

    def check(self, content: Content) -> None:
        """Nothing is right or wrong in it."""

    def _check_answer(self, content: Content, answer: Any) -> None:
        check_text(answer, LONGEST_TEXT)

    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        return Fraction(0)

    def right_answer(self, content: Content) -> Any:
        return None

    def statistics(self, content: Content, answers: Sequence[Any], *, graded: bool) -> list[AnswerCount]:
        """None: each is another one."""
        return []

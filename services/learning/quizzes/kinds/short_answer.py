"""A few words, right if they are one of the `accepted` texts."""

import unicodedata
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field

from libs.common.web.schemas import Answer, Body, Length, PlainText
from services.learning.errors import InvalidQuestion
from services.learning.quizzes.kinds.base import Content, QuestionKind, check_text

LONGEST_ANSWER = 2_000


class ShortAnswerFields(Body):
    accepted: list[Annotated[PlainText, Length(1, LONGEST_ANSWER)]] | None = Field(None, max_length=100)


class ShortAnswerTeacherFields(Answer):
    accepted: list[PlainText] | None = None


class ShortAnswer(QuestionKind[ShortAnswerFields]):
    name = "short_answer"
    nearest = "short_answer"
    fields = ShortAnswerFields
    teacher_fields = ShortAnswerTeacherFields
    is_free_text = True

    def parse(self, fields: ShortAnswerFields, stored: Content) -> dict[str, Any]:
        return {} if fields.accepted is None else {"accepted": fields.accepted}

    def check(self, content: Content) -> None:
        if not content.get("accepted"):
            raise InvalidQuestion("accepted", "at least one accepted text is needed")

    def for_teacher(self, content: Content) -> dict[str, Any]:
        return {"accepted": content["accepted"]}

    def _check_answer(self, content: Content, answer: Any) -> None:
        check_text(answer, LONGEST_ANSWER)

    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        return Fraction(folded(answer) in {folded(text) for text in content["accepted"]})

    def right_answer(self, content: Content) -> Any:
        return content["accepted"]

    def as_text(self, content: Content, answer: Any) -> str:
        return folded(answer)


def folded(text: str) -> str:
    """What counts of a short answer: NFKC, case folded, trimmed, spaces collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())

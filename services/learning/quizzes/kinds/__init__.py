"""The kinds of questions: one file and one line here for each.

The bodies of requests and answers, grading, statistics and erasure follow from what the kinds say.
"""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, WithJsonSchema, create_model

from libs.common.web.schemas import Answer, Body
from services.learning.quizzes.kinds.base import AnswerCount, Content, QuestionKind
from services.learning.quizzes.kinds.essay import Essay
from services.learning.quizzes.kinds.matching import Matching
from services.learning.quizzes.kinds.multiple_choice import MultipleChoice
from services.learning.quizzes.kinds.numeric import Numeric
from services.learning.quizzes.kinds.ordering import Ordering
from services.learning.quizzes.kinds.short_answer import ShortAnswer
from services.learning.quizzes.kinds.single_choice import SingleChoice
from services.learning.quizzes.kinds.true_false import TrueFalse

__all__ = [
    "KINDS",
    "AnswerCount",
    "Content",
    "KindFields",
    "KindName",
    "KindStudentFields",
    "KindTeacherFields",
    "QuestionKind",
    "UnknownQuestionKind",
    "kind_of",
]

KINDS: dict[str, QuestionKind[Any]] = {
    kind.name: kind
    for kind in (
        SingleChoice(),
        MultipleChoice(),
        TrueFalse(),
        ShortAnswer(),
        Numeric(),
        Matching(),
        Ordering(),
        Essay(),
    )
}


class UnknownQuestionKind(LookupError):
    """A stored question is of a kind that this release does not have: it can be neither shown nor graded."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no question kind {name!r}; known are: {', '.join(KINDS)}")


def kind_of(name: str) -> QuestionKind[Any]:
    """The kind of a stored question. Raises UnknownQuestionKind."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownQuestionKind(name) from None


def _known(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"must be one of: {', '.join(KINDS)}")
    return name


KindName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(KINDS)})]
"""A kind in a request."""


def _together(name: str, models: list[type[BaseModel]]) -> Any:
    """A model with the fields of all of them, in their order."""
    return create_model(name, __base__=tuple(reversed(dict.fromkeys(models))))


if TYPE_CHECKING:
    KindFields = Body
    KindTeacherFields = Answer
    KindStudentFields = Answer
else:
    KindFields = _together("KindFields", [kind.fields for kind in KINDS.values()])
    KindTeacherFields = _together("KindTeacherFields", [kind.teacher_fields for kind in KINDS.values()])
    KindStudentFields = _together("KindStudentFields", [kind.student_fields for kind in KINDS.values()])

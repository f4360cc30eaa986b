"""What a question kind does: everything that differs between kinds is a method of one class."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Generic, TypeVar
from uuid import uuid4

from libs.common.events import quizzes as events
from libs.common.web.schemas import Answer, Body, PlainText
from services.learning.errors import InvalidAnswer, InvalidQuestion
from services.learning.quizzes.kinds.regrades import has_full_credit
from services.learning.rules import as_seen

Content = Mapping[str, Any]
"""What a question of a kind holds, as JSON: its choices and what is right."""
Shuffle = Callable[[list[Any]], list[Any]]
Fields = TypeVar("Fields", bound=Body)
MOST_ANSWERS = 20
"""Different written answers in statistics."""


class NoFields(Body):
    """Of kinds that have no fields of their own in requests."""


class NoneShown(Answer):
    """Of kinds that add no fields to an answer."""


class AnswerCount(Answer):
    """An answer and how often it was given; of written ones only the most frequent."""

    answer: PlainText
    count: int
    is_right: bool | None


class QuestionKind(ABC, Generic[Fields]):
    """A kind of question. Subclasses say what its content is and how an answer to it is checked and graded.

    An attempt pins the content, for some kinds with `order`: what there is to put in place, as the learner is
    shown it. After a regrade, pinned content may have `full_credit`, or the `earlier` content; `removed` are
    uuids of what is no longer there, `added` those of what came later: pages that are open know the one and
    not the other. Shares are exact fractions from 0 to 1.
    """

    name: ClassVar[str]
    nearest: ClassVar[events.QuestionKind]
    """What readers of events that know the first eight kinds alone take it for."""
    fields: type[Body] = NoFields
    """Fields of requests, all optional."""
    teacher_fields: type[Answer] = NoneShown
    """Fields of the question as its teachers read it, all optional."""
    student_fields: type[Answer] = NoneShown
    """Fields of the question in an attempt, all optional."""
    is_graded_by_hand: ClassVar[bool] = False
    is_free_text: ClassVar[bool] = False
    """Whether learners write the answer themselves: it is erased with them."""

    # What teachers write

    @abstractmethod
    def parse(self, fields: Fields, stored: Content) -> dict[str, Any]:
        """What of a request belongs to the content; what is not sent is left out.

        What keeps its text keeps its uuid in `stored`, so that answers given before can be regraded.
        """

    @abstractmethod
    def check(self, content: Content) -> None:
        """Raises InvalidQuestion where the question could not be answered rightly."""

    def for_teacher(self, content: Content) -> dict[str, Any]:
        """The values of `teacher_fields`."""
        return {}

    # What students see and answer

    def pin(self, content: Content, shuffle: Shuffle, mixed: bool) -> Content:
        """Content as an attempt keeps it; `mixed`: with choices in any order. What is to be put in place is
        never shown in the right order on purpose."""
        return content

    def for_student(self, content: Content) -> dict[str, Any]:
        """The values of `student_fields`: nothing of what is right, in the attempt's order."""
        return {}

    def check_answer(self, content: Content, answer: Any) -> None:
        """Raises InvalidAnswer where the answer has not the shape of the question. None takes an answer back.

        What a regrade has taken out of the question may be named still: it counts for nothing.
        """
        if answer is not None:
            self._check_answer(content, answer)

    @abstractmethod
    def _check_answer(self, content: Content, answer: Any) -> None: ...

    def saved_answer(self, answer: Any) -> Any:
        """An answer as it was saved, from what the database gives back."""
        return answer

    # Grading

    @abstractmethod
    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        """The right part of an answer; 0 where people grade it."""

    def share(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        """The right part of an answer, or of none, by pinned content with its regrades."""
        if has_full_credit(content):
            return Fraction(1)
        if (earlier := content.get("earlier")) is not None:
            now = {name: value for name, value in content.items() if name != "earlier"}
            return max(
                self.share(now, answer, partial_credit),
                self.share(earlier, answer, earlier.get("partial_credit", partial_credit)),
            )
        return Fraction(0) if answer is None else self.grade(content, answer, partial_credit)

    def awaits_grading(self, content: Content, answer: Any, score: Decimal | None) -> bool:
        """Whether a teacher has to read the answer; one that was left empty is worth nothing."""
        if not self.is_graded_by_hand or score is not None or has_full_credit(content):
            return False
        return bool(answer and answer.strip())

    def regraded(self, pinned: Content, current: Content, mode: str, shuffle: Shuffle) -> Content:
        """Pinned content that grades by the question as it is now, shown in the order in which it was, and
        what is new in any order.

        `full_credit` is for everybody; `old_or_new` keeps the better of both keys; `new_only` drops the old.
        """
        if mode == "full_credit":
            return {**pinned, "full_credit": True}
        plain = {name: value for name, value in current.items() if name != "partial_credit"}
        merged = self._reordered(pinned, plain, shuffle)
        before, after = self.answerable(pinned), self.answerable(current)
        if removed := (before | set(pinned.get("removed", ()))) - after:
            merged["removed"] = sorted(removed)
        if added := after & (after - before | set(pinned.get("added", ()))):
            merged["added"] = sorted(added)
        if mode == "old_or_new":
            merged["earlier"] = pinned
        return merged

    def _reordered(self, pinned: Content, current: Content, shuffle: Shuffle) -> dict[str, Any]:
        """Current content in the order of what was pinned."""
        return dict(current)

    def answerable(self, content: Content) -> set[str]:
        """Uuids that an answer may name."""
        return set()

    # Afterwards

    @abstractmethod
    def right_answer(self, content: Content) -> Any:
        """What would have been right, in the shape of an answer; all accepted texts; None where people
        grade."""

    def explain(self, content: Content) -> dict[str, Any]:
        """What is told once answers are shown, besides the question's explanation."""
        return {"right_answer": self.right_answer(content)}

    def statistics(self, content: Content, answers: Sequence[Any], *, graded: bool) -> list[AnswerCount]:
        """How often each answer was given, the most frequent first; `graded`: with whether it is right."""
        texts = [self.as_text(content, answer) for answer in answers]
        first = dict(zip(reversed(texts), reversed(answers), strict=True))
        return [
            AnswerCount(
                answer=text,
                count=count,
                is_right=self.share(content, first[text], True) == 1 if graded else None,
            )
            for text, count in Counter(texts).most_common(MOST_ANSWERS)
        ]

    def as_text(self, content: Content, answer: Any) -> str:
        """An answer for people, the same for answers that count as the same."""
        return str(answer).lower()


def check_distinct(field: str, texts: Sequence[str]) -> None:
    """Raises InvalidQuestion where people could not tell two of them apart."""
    seen: set[str] = set()
    for text in texts:
        if as_seen(text) in seen:
            raise InvalidQuestion(field, f"two of them read {as_seen(text)[:100]!r}")
        seen.add(as_seen(text))


def check_text(answer: Any, longest: int) -> None:
    """Raises InvalidAnswer for what is no text that can be stored."""
    refused = InvalidAnswer(f"takes a text of at most {longest} characters")
    if not isinstance(answer, str) or len(answer) > longest or "\0" in answer:
        raise refused
    try:
        answer.encode()
    except UnicodeEncodeError as error:
        raise refused from error


def check_uuids(answer: Any, message: str) -> list[str]:
    """Raises InvalidAnswer for what is no list of texts."""
    if not isinstance(answer, list) or not all(isinstance(one, str) for one in answer):
        raise InvalidAnswer(message)
    return answer


class Known:
    """Uuids of what a question had, to be given again to what has the same text."""

    def __init__(self, parts: Iterable[Content]) -> None:
        self._uuids: dict[str, list[str]] = {}
        for part in parts:
            self._uuids.setdefault(part["text"], []).append(part["uuid"])

    def uuid(self, text: str) -> str:
        return self._uuids[text].pop(0) if self._uuids.get(text) else str(uuid4())

    def part(self, text: str) -> dict[str, str]:
        return {"uuid": self.uuid(text), "text": text}

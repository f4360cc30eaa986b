"""Pairs to be put together: `pairs: [{left, right}]` of `{uuid, text}`; the answer is `{left: right}`."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from pydantic import Field

from libs.common.web.schemas import Answer, Body, PlainText
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
from services.learning.rules import as_seen


class PairInput(Body):
    left: Side
    right: Side


class MatchingFields(Body):
    pairs: list[PairInput] | None = Field(None, max_length=50)


class PairTeacherRead(Answer):
    left: PlainText
    right: PlainText


class MatchingTeacherFields(Answer):
    pairs: list[PairTeacherRead] | None = None


class MatchingStudentFields(Answer):
    lefts: list[PartRead] | None = None
    rights: list[PartRead] | None = None


class Matching(QuestionKind[MatchingFields]):
    name = "matching"
    nearest = "matching"
    fields = MatchingFields
    teacher_fields = MatchingTeacherFields
    student_fields = MatchingStudentFields

    def parse(self, fields: MatchingFields, stored: Content) -> dict[str, Any]:
        if fields.pairs is None:
            return {}
        lefts = Known(pair["left"] for pair in stored.get("pairs", ()))
        rights = Known(pair["right"] for pair in stored.get("pairs", ()))
        return {
            "pairs": [
                {"left": lefts.part(pair.left), "right": rights.part(pair.right)} for pair in fields.pairs
            ]
        }

    def check(self, content: Content) -> None:
        pairs: Sequence[Content] = content.get("pairs") or ()
        if len(pairs) < 2:
            raise InvalidQuestion("pairs", "at least two are needed")
        for side in ("left", "right"):
            check_distinct("pairs", [pair[side]["text"] for pair in pairs])

    def for_teacher(self, content: Content) -> dict[str, Any]:
        return {
            "pairs": [
                {"left": pair["left"]["text"], "right": pair["right"]["text"]} for pair in content["pairs"]
            ]
        }

    def pin(self, content: Content, shuffle: Shuffle, mixed: bool) -> Content:
        return {**content, "order": shuffle(self._rights(content))}

    def for_student(self, content: Content) -> dict[str, Any]:
        rights = {pair["right"]["uuid"]: pair["right"] for pair in content["pairs"]}
        return {
            "lefts": [pair["left"] for pair in content["pairs"]],
            "rights": [rights[uuid] for uuid in content["order"]],
        }

    def _check_answer(self, content: Content, answer: Any) -> None:
        lefts = {pair["left"]["uuid"] for pair in content["pairs"]}
        rights = set(self._rights(content))
        if not isinstance(answer, dict) or not all(isinstance(right, str) for right in answer.values()):
            raise InvalidAnswer("takes an object of uuids, left to right")
        if (answer.keys() - lefts | set(answer.values()) - rights) - set(content.get("removed", ())):
            raise InvalidAnswer("names a side that the question does not have")

    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        """Rights of the same text, which older questions may have, can stand for each other."""
        pairs = content["pairs"]
        texts = {pair["right"]["uuid"]: as_seen(pair["right"]["text"]) for pair in pairs}
        wanted = {pair["left"]["uuid"]: as_seen(pair["right"]["text"]) for pair in pairs}
        right = sum(texts.get(answer.get(left, "")) == text for left, text in wanted.items())
        return Fraction(right, len(pairs))

    def _reordered(self, pinned: Content, current: Content, shuffle: Shuffle) -> dict[str, Any]:
        known = self._rights(current)
        stays = [uuid for uuid in pinned["order"] if uuid in known]
        return {**current, "order": stays + shuffle([uuid for uuid in known if uuid not in stays])}

    def answerable(self, content: Content) -> set[str]:
        return {pair[side]["uuid"] for pair in content["pairs"] for side in ("left", "right")}

    def right_answer(self, content: Content) -> Any:
        return {pair["left"]["uuid"]: pair["right"]["uuid"] for pair in content["pairs"]}

    def statistics(self, content: Content, answers: Sequence[Any], *, graded: bool) -> list[AnswerCount]:
        """Pairs, by how often they were put together."""
        lefts = {pair["left"]["uuid"]: pair for pair in content["pairs"]}
        texts = {pair["right"]["uuid"]: pair["right"]["text"] for pair in content["pairs"]}
        named = {as_seen(text): text for text in reversed(texts.values())}
        pairs = Counter(
            (left, as_seen(texts[right]))
            for answer in answers
            for left, right in answer.items()
            if left in lefts and right in texts
        )
        return [
            AnswerCount(
                answer=f"{lefts[left]['left']['text']} → {named[right]}",
                count=count,
                is_right=as_seen(lefts[left]["right"]["text"]) == right if graded else None,
            )
            for (left, right), count in pairs.most_common()
        ]

    def _rights(self, content: Content) -> list[str]:
        return [pair["right"]["uuid"] for pair in content["pairs"]]

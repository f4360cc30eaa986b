"""Things to be put in order: `items` of `{uuid, text}` in the right one; the answer lists all their uuids."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from pydantic import Field

from libs.common.web.schemas import Answer, Body, PlainText
from services.learning.errors import InvalidAnswer, InvalidQuestion
from services.learning.quizzes.kinds.base import (
    Content,
    Known,
    QuestionKind,
    Shuffle,
    check_distinct,
    check_uuids,
)
from services.learning.quizzes.kinds.fields import PartRead, Side
from services.learning.rules import as_seen


class OrderingFields(Body):
    items: list[Side] | None = Field(None, max_length=50, description="in the right order")


class OrderingTeacherFields(Answer):
    items: list[PlainText] | None = None


class OrderingStudentFields(Answer):
    items: list[PartRead] | None = None


class Ordering(QuestionKind[OrderingFields]):
    name = "ordering"
    nearest = "ordering"
    fields = OrderingFields
    teacher_fields = OrderingTeacherFields
    student_fields = OrderingStudentFields

    def parse(self, fields: OrderingFields, stored: Content) -> dict[str, Any]:
        known = Known(stored.get("items", ()))
        return {} if fields.items is None else {"items": [known.part(item) for item in fields.items]}

    def check(self, content: Content) -> None:
        items: Sequence[Content] = content.get("items") or ()
        if len(items) < 2:
            raise InvalidQuestion("items", "at least two are needed")
        check_distinct("items", [item["text"] for item in items])

    def for_teacher(self, content: Content) -> dict[str, Any]:
        return {"items": [item["text"] for item in content["items"]]}

    def pin(self, content: Content, shuffle: Shuffle, mixed: bool) -> Content:
        return {**content, "order": shuffle(self._uuids(content))}

    def for_student(self, content: Content) -> dict[str, Any]:
        items = {item["uuid"]: item for item in content["items"]}
        return {"items": [items[uuid] for uuid in content["order"]]}

    def _check_answer(self, content: Content, answer: Any) -> None:
        given = check_uuids(answer, "takes a list of uuids")
        items = self.answerable(content)
        missing = items - set(given) - set(content.get("added", ()))
        unknown = set(given) - items - set(content.get("removed", ()))
        if missing or unknown or len(set(given)) != len(given):
            raise InvalidAnswer("takes every item once")

    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        """Places are those among what the learner had and what is still there.

        Items of the same text, which older questions may have, can stand for each other.
        """
        items = content["items"]
        texts = {item["uuid"]: as_seen(item["text"]) for item in items}
        given = [texts[one] for one in answer if one in texts]
        wanted = [texts[item["uuid"]] for item in items if item["uuid"] in answer]
        in_place = sum(one == other for one, other in zip(given, wanted, strict=False))
        return Fraction(in_place, len(items))

    def _reordered(self, pinned: Content, current: Content, shuffle: Shuffle) -> dict[str, Any]:
        known = self._uuids(current)
        stays = [uuid for uuid in pinned["order"] if uuid in known]
        return {**current, "order": stays + shuffle([uuid for uuid in known if uuid not in stays])}

    def answerable(self, content: Content) -> set[str]:
        return set(self._uuids(content))

    def right_answer(self, content: Content) -> Any:
        return self._uuids(content)

    def as_text(self, content: Content, answer: Any) -> str:
        items = {item["uuid"]: item["text"] for item in content["items"]}
        return " → ".join(items.get(one, "…") for one in answer)

    def _uuids(self, content: Content) -> list[str]:
        return [item["uuid"] for item in content["items"]]

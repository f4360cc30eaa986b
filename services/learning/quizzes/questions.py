"""Questions of a quiz or a bank. The caller holds its lock and publishes the change as a version of it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import Unprocessable
from services.learning.models import Question, QuestionBank, Quiz
from services.learning.quizzes.rules import CHOICE, check_question
from services.learning.quizzes.schemas import QuestionBody, QuestionPatch

Kept = dict[str, Any]


async def add(session: AsyncSession, place: Quiz | QuestionBank, body: QuestionBody) -> Question:
    """A new question, the last one unless the body says where. Raises InvalidQuestion."""
    here = Question.quiz == place.uuid if isinstance(place, Quiz) else Question.bank == place.uuid
    last = await session.scalar(select(func.max(Question.position)).where(here))
    question = Question(
        uuid=uuid4(),
        quiz=place.uuid if isinstance(place, Quiz) else None,
        bank=place.uuid if isinstance(place, QuestionBank) else None,
        position=body.order if body.order is not None else (-1 if last is None else last) + 1,
        kind=body.kind,
        text=body.text,
        points=Decimal(1) if body.points is None else body.points,
        explanation=body.explanation or "",
        partial_credit=body.partial_credit is not False,
        content=_content(body.kind, body, {}),
    )
    check_question(question.kind, question.content)
    session.add(question)
    return question


def change(question: Question, body: QuestionPatch) -> None:
    """What is not sent stays, except what belongs to another kind. Raises InvalidQuestion."""
    if body.uuid not in (None, question.uuid):
        raise Unprocessable.field("uuid", "cannot be changed")
    kind = body.kind or question.kind
    kept = question.content if kind == question.kind else {}
    content = {**kept, **_content(kind, body, kept)}
    if content != question.content or kind != question.kind:  # what is kept was allowed when it was written
        check_question(kind, content)
    question.content = content
    question.kind = kind
    for field in ("text", "points", "explanation", "partial_credit"):
        if (value := getattr(body, field)) is not None:
            setattr(question, field, value)
    if body.order is not None:
        question.position = body.order


def _content(kind: str, body: QuestionPatch, kept: Kept) -> dict[str, Any]:
    """What of the body belongs to a question of this kind.

    What keeps its text keeps its uuid, so that answers given before can be regraded.
    """
    if kind in CHOICE:
        if body.options is None:
            return {}
        known = _pool(kept.get("options", ()))
        return {
            "options": [
                {
                    "uuid": str(option.uuid) if option.uuid else _uuid(known, option.text),
                    "text": option.text,
                    "is_correct": option.is_correct,
                    "feedback": option.feedback,
                }
                for option in body.options
            ]
        }
    if kind == "true_false":
        return {} if body.correct is None else {"correct": body.correct}
    if kind == "short_answer":
        return {} if body.accepted is None else {"accepted": body.accepted}
    if kind == "matching":
        if body.pairs is None:
            return {}
        lefts = _pool([pair["left"] for pair in kept.get("pairs", ())])
        rights = _pool([pair["right"] for pair in kept.get("pairs", ())])
        return {
            "pairs": [
                {"left": _named(lefts, pair.left), "right": _named(rights, pair.right)} for pair in body.pairs
            ]
        }
    if kind == "ordering":
        known = _pool(kept.get("items", ()))
        return {} if body.items is None else {"items": [_named(known, item) for item in body.items]}
    if kind == "essay":
        return {}
    numbers = {"value": body.value, "tolerance": body.tolerance}
    return {name: str(number) for name, number in numbers.items() if number is not None}


def _pool(kept: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for one in kept:
        known.setdefault(one["text"], []).append(one["uuid"])
    return known


def _uuid(known: dict[str, list[str]], text: str) -> str:
    return known[text].pop(0) if known.get(text) else str(uuid4())


def _named(known: dict[str, list[str]], text: str) -> dict[str, str]:
    return {"uuid": _uuid(known, text), "text": text}

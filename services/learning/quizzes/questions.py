"""Questions of a quiz or a bank. The caller holds its lock and publishes the change as a version of it."""

from decimal import Decimal
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import Unprocessable
from services.learning.models import Question, QuestionBank, Quiz
from services.learning.quizzes.kinds import kind_of
from services.learning.quizzes.schemas import QuestionCreate, QuestionUpdate


async def add(session: AsyncSession, place: Quiz | QuestionBank, body: QuestionCreate) -> Question:
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
        content=kind_of(body.kind).parse(body, {}),
    )
    kind_of(question.kind).check(question.content)
    session.add(question)
    return question


def change(question: Question, body: QuestionUpdate) -> None:
    """What is not sent stays, except what belongs to another kind. Raises InvalidQuestion."""
    if body.uuid not in (None, question.uuid):
        raise Unprocessable.field("uuid", "cannot be changed")
    kind = body.kind or question.kind
    stored = question.content if kind == question.kind else {}
    content = {**stored, **kind_of(kind).parse(body, stored)}
    if content != question.content or kind != question.kind:  # what is stored was allowed when it was written
        kind_of(kind).check(content)
    question.content = content
    question.kind = kind
    for field in ("text", "points", "explanation", "partial_credit"):
        if (value := getattr(body, field)) is not None:
            setattr(question, field, value)
    if body.order is not None:
        question.position = body.order

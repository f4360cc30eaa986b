"""Question banks: every change of a bank or its questions is one version and one event of the bank."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.quizzes import (
    QuestionBankChanged,
    QuestionBankCreated,
    QuestionBankDeleted,
    QuestionBankFact,
)
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from libs.common.web.paging import Paging, paginate
from services.learning.access import access_taught_course, taught_by
from services.learning.errors import BankInUse
from services.learning.gradebook.history import record_items
from services.learning.models import Course, Question, QuestionBank, Quiz
from services.learning.quizzes import questions
from services.learning.quizzes.access import access_bank, access_question
from services.learning.quizzes.schemas import (
    QuestionBankCreate,
    QuestionBankRead,
    QuestionBankUpdate,
    QuestionCreate,
    QuestionUpdate,
    check_unchanged,
    question_read,
)


async def create_bank(
    session: AsyncSession, who: Principal, body: QuestionBankCreate, now: datetime
) -> QuestionBank:
    course = await access_taught_course(session, who, body.course)
    bank = QuestionBank(
        uuid=uuid4(), version=0, course=course.uuid, title=body.title, created_at=now, updated_at=now
    )
    session.add(bank)
    await _publish(session, bank, QuestionBankCreated, who, now)
    return bank


async def change_bank(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: QuestionBankUpdate,
    if_match: Precondition,
    now: datetime,
) -> QuestionBank:
    bank = await access_bank(session, who, uuid, lock=True)
    if_match.check(bank.version)
    shown = await show_bank(session, who, bank)
    check_unchanged(
        body, ("uuid", "course", "question_count", "questions", "created_at", "updated_at"), shown
    )
    if body.title is not None:
        bank.title = body.title
    await _publish(session, bank, QuestionBankChanged, who, now)
    return bank


async def delete_bank(
    session: AsyncSession, who: Principal, uuid: UUID, if_match: Precondition, now: datetime
) -> None:
    """Take the bank away; attempts keep what they drew. Raises BankInUse."""
    bank = await access_bank(session, who, uuid, lock=True)
    if_match.check(bank.version)
    if await _most_picked(session, bank.uuid):
        raise BankInUse
    bank.deleted_at = now
    await _publish(session, bank, QuestionBankDeleted, who, now)


async def add_question(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: QuestionCreate,
    if_match: Precondition,
    now: datetime,
) -> tuple[Question, int]:
    """Returns the question and the bank's version."""
    bank = await access_bank(session, who, uuid, lock=True)
    if_match.check(bank.version)
    question = await questions.add(session, bank, body)
    await _publish(session, bank, QuestionBankChanged, who, now)
    return question, bank.version


async def change_question(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    number: UUID,
    body: QuestionUpdate,
    if_match: Precondition,
    now: datetime,
) -> tuple[Question, int]:
    """For attempts that start from now on. Returns the question and the bank's version."""
    bank = await access_bank(session, who, uuid, lock=True)
    if_match.check(bank.version)
    question = await access_question(session, bank, number)
    questions.change(question, body)
    await _publish(session, bank, QuestionBankChanged, who, now)
    return question, bank.version


async def remove_question(
    session: AsyncSession, who: Principal, uuid: UUID, number: UUID, if_match: Precondition, now: datetime
) -> None:
    """Raises BankInUse where a quiz picks as many as there are."""
    bank = await access_bank(session, who, uuid, lock=True)
    if_match.check(bank.version)
    question = await access_question(session, bank, number)
    if await _most_picked(session, bank.uuid) >= await _count(session, bank.uuid):
        raise BankInUse
    await session.execute(delete(Question).where(Question.uuid == question.uuid))
    await _publish(session, bank, QuestionBankChanged, who, now)


async def list_bank_questions(session: AsyncSession, who: Principal, uuid: UUID) -> list[Question]:
    """In their order."""
    bank = await access_bank(session, who, uuid)
    query = select(Question).where(Question.bank == bank.uuid).order_by(Question.position, Question.uuid)
    return list(await session.scalars(query))


async def show_bank(session: AsyncSession, who: Principal, bank: QuestionBank) -> QuestionBankRead:
    found = await list_bank_questions(session, who, bank.uuid)
    shown = QuestionBankRead.model_validate(_fields(bank, len(found)))
    shown.questions = [question_read(question) for question in found]
    return shown


async def list_banks(
    session: AsyncSession, who: Principal, course: UUID | None, page: Paging
) -> tuple[int, list[dict[str, object]]]:
    """Banks of the teacher's courses, newest first."""
    query = (
        select(QuestionBank)
        .join(Course, Course.uuid == QuestionBank.course)
        .where(QuestionBank.deleted_at.is_(None), taught_by(who))
    )
    if course is not None:
        query = query.where(QuestionBank.course == course)
    count, banks = await paginate(
        session, query.order_by(QuestionBank.created_at.desc(), QuestionBank.uuid), page
    )
    counts = {
        bank: number
        for bank, number in await session.execute(
            select(Question.bank, func.count())
            .where(Question.bank.in_([bank.uuid for bank in banks]))
            .group_by(Question.bank)
        )
    }
    return count, [_fields(bank, counts.get(bank.uuid, 0)) for bank in banks]


def _fields(bank: QuestionBank, count: int) -> dict[str, object]:
    return {
        "uuid": bank.uuid,
        "course": bank.course,
        "title": bank.title,
        "question_count": count,
        "created_at": bank.created_at,
        "updated_at": bank.updated_at,
    }


async def _count(session: AsyncSession, bank: UUID) -> int:
    query = select(func.count()).select_from(Question).where(Question.bank == bank)
    return await session.scalar(query) or 0


async def _most_picked(session: AsyncSession, bank: UUID) -> int:
    """The most questions that one quiz draws from the bank."""
    pools = await session.scalars(
        select(Quiz.pools).where(Quiz.deleted_at.is_(None), Quiz.pools.contains([{"bank": str(bank)}]))
    )
    return max((pool["pick"] for found in pools for pool in found if pool["bank"] == str(bank)), default=0)


async def _publish(
    session: AsyncSession, bank: QuestionBank, fact: type[QuestionBankFact], who: Principal, now: datetime
) -> None:
    bank.version += 1
    bank.updated_at = now
    await session.flush()
    event = fact(
        bank=bank.uuid,
        course=bank.course,
        title=bank.title,
        question_count=await _count(session, bank.uuid),
        actor=who.user,
    )
    record(session, event, bank.version)
    drawing = await session.scalars(select(Quiz.uuid).where(Quiz.pools.contains([{"bank": str(bank.uuid)}])))
    await record_items(session, bank.course, drawing, now)

"""Question banks, for teachers of the course."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import Teacher
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose_uuid
from services.learning.errors import BankInUse, InvalidQuestion
from services.learning.quizzes import banks
from services.learning.quizzes.access import access_bank, access_question
from services.learning.quizzes.routes import Filter
from services.learning.quizzes.schemas import (
    QuestionBankCreate,
    QuestionBankRead,
    QuestionBankUpdate,
    QuestionCreate,
    QuestionTeacherRead,
    QuestionUpdate,
    question_read,
)
from services.learning.schemas import Deleted

router = APIRouter(prefix="/api/question-banks", tags=["question banks"])


@router.post("/", status_code=201, response_model=QuestionBankRead)
async def create_bank(
    body: QuestionBankCreate, who: Teacher, session: SessionDep, now: Now, response: Response
) -> Any:
    """Make a question bank of a course, for quizzes to draw from."""
    bank = await banks.create_bank(session, who, body, now)
    response.headers["ETag"] = etags.etag(bank.version)
    return await banks.show_bank(session, who, bank)


@router.get("/", response_model=Page[QuestionBankRead])
async def list_banks(who: Teacher, session: SessionDep, page: PagingDep, course: Filter = None) -> Any:
    """Banks of the teacher's courses, without their questions."""
    count, rows = await banks.list_banks(session, who, choose_uuid("course", course), page)
    return page.answer(count, rows)


@router.get("/{uuid}/", response_model=QuestionBankRead)
async def get_bank(
    uuid: UUID, request: Request, response: Response, who: Teacher, session: SessionDep
) -> Any:
    """One bank with its questions and what is right."""
    bank = await access_bank(session, who, uuid)
    body = await banks.show_bank(session, who, bank)
    return etags.answer(request, response, etags.etag(bank.version)) or body


@router.patch("/{uuid}/", response_model=QuestionBankRead)
async def change_bank(
    uuid: UUID,
    body: QuestionBankUpdate,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Change the title."""
    bank = await banks.change_bank(session, who, uuid, body, if_match, now)
    response.headers["ETag"] = etags.etag(bank.version)
    return await banks.show_bank(session, who, bank)


@router.delete("/{uuid}/", response_model=Deleted, responses=raises(BankInUse))
async def delete_bank(uuid: UUID, if_match: IfMatch, who: Teacher, session: SessionDep, now: Now) -> Any:
    """Take a bank away that no quiz draws from."""
    await banks.delete_bank(session, who, uuid, if_match, now)
    return {"deleted": True}


@router.get("/{uuid}/questions/", response_model=list[QuestionTeacherRead])
async def list_bank_questions(uuid: UUID, who: Teacher, session: SessionDep) -> Any:
    """The bank's questions with what is right, in their order."""
    return [question_read(question) for question in await banks.list_bank_questions(session, who, uuid)]


@router.post(
    "/{uuid}/questions/",
    status_code=201,
    response_model=QuestionTeacherRead,
    responses=raises(InvalidQuestion),
)
async def add_bank_question(
    uuid: UUID,
    body: QuestionCreate,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Add a question; `If-Match` takes the bank's ETag."""
    question, version = await banks.add_question(session, who, uuid, body, if_match, now)
    response.headers["ETag"] = etags.etag(version, question.uuid)
    return question_read(question)


@router.get("/{uuid}/questions/{question}/", response_model=QuestionTeacherRead)
async def get_bank_question(
    uuid: UUID, question: UUID, request: Request, response: Response, who: Teacher, session: SessionDep
) -> Any:
    """One question with what is right. Its ETag changes with the bank."""
    bank = await access_bank(session, who, uuid)
    body = question_read(await access_question(session, bank, question))
    return etags.answer(request, response, etags.etag(bank.version, question)) or body


@router.patch(
    "/{uuid}/questions/{question}/", response_model=QuestionTeacherRead, responses=raises(InvalidQuestion)
)
async def change_bank_question(
    uuid: UUID,
    question: UUID,
    body: QuestionUpdate,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Change a question, for attempts that start from now on."""
    changed, version = await banks.change_question(session, who, uuid, question, body, if_match, now)
    response.headers["ETag"] = etags.etag(version, question)
    return question_read(changed)


@router.delete("/{uuid}/questions/{question}/", response_model=Deleted, responses=raises(BankInUse))
async def delete_bank_question(
    uuid: UUID, question: UUID, if_match: IfMatch, who: Teacher, session: SessionDep, now: Now
) -> Any:
    """Take a question out of the bank; attempts that drew it keep it."""
    await banks.remove_question(session, who, uuid, question, if_match, now)
    return {"deleted": True}

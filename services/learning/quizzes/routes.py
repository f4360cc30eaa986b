"""Quizzes and their questions, for teachers and learners."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser, Teacher
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose_uuid
from services.learning.errors import InvalidQuestion, PoolTooSmall, QuizEmpty
from services.learning.quizzes import queries, service
from services.learning.quizzes.access import access_question, access_quiz, access_taught_quiz
from services.learning.quizzes.schemas import (
    QuestionCreate,
    QuestionTeacherRead,
    QuestionUpdate,
    QuizCreate,
    QuizStudentRead,
    QuizTeacherRead,
    QuizUpdate,
    question_read,
)
from services.learning.schemas import Deleted

router = APIRouter(prefix="/api/quizzes", tags=["quizzes"])
Filter = Annotated[str | None, Query(description="a uuid")]


@router.post("/", status_code=201, response_model=QuizTeacherRead)
async def create_quiz(
    body: QuizCreate, who: Teacher, session: SessionDep, now: Now, response: Response
) -> Any:
    """Make a quiz, a draft until it is published."""
    quiz = await service.create_quiz(session, who, body, now)
    response.headers["ETag"] = etags.etag(quiz.version)
    return await queries.for_teacher(session, quiz)


@router.get("/", response_model=Page[QuizTeacherRead | QuizStudentRead])
async def list_quizzes(
    who: CurrentUser, session: SessionDep, page: PagingDep, course: Filter = None, lesson: Filter = None
) -> Any:
    """Quizzes of the teacher's courses, and published ones of courses that one is enrolled in."""
    wanted, within = choose_uuid("course", course), choose_uuid("lesson", lesson)
    count, rows = await queries.list_quizzes(session, who, wanted, within, page)
    return page.answer(count, rows)


@router.get("/{uuid}/", response_model=QuizTeacherRead | QuizStudentRead)
async def get_quiz(
    uuid: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep
) -> Any:
    """One quiz: whole for its teachers, without questions and answers for learners."""
    quiz, taught = await access_quiz(session, who, uuid)
    body: QuizTeacherRead | QuizStudentRead
    if taught:
        body = await queries.for_teacher(session, quiz)
    else:
        body = await queries.for_student(session, quiz, who.user)
    # Banks, attempts and extensions change what is shown, without a version of the quiz.
    return etags.answer(request, response, etags.etag(quiz.version, body.model_dump_json())) or body


@router.patch("/{uuid}/", response_model=QuizTeacherRead, responses=raises(QuizEmpty, PoolTooSmall))
async def change_quiz(
    uuid: UUID,
    body: QuizUpdate,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Change settings. Open attempts keep their questions and time limit; a moved close moves their end."""
    quiz = await service.change_quiz(session, who, uuid, body, if_match, now)
    response.headers["ETag"] = etags.etag(quiz.version)
    return await queries.for_teacher(session, quiz)


@router.delete("/{uuid}/", response_model=Deleted)
async def delete_quiz(uuid: UUID, if_match: IfMatch, who: Teacher, session: SessionDep, now: Now) -> Any:
    """Take a quiz away; attempts stay on record."""
    await service.delete_quiz(session, who, uuid, if_match, now)
    return {"deleted": True}


@router.post("/{uuid}/publish/", response_model=QuizTeacherRead, responses=raises(QuizEmpty, PoolTooSmall))
async def publish_quiz(
    uuid: UUID, if_match: IfMatch, response: Response, who: Teacher, session: SessionDep, now: Now
) -> Any:
    """Open a quiz to learners."""
    quiz = await service.publish_quiz(session, who, uuid, if_match, now)
    response.headers["ETag"] = etags.etag(quiz.version)
    return await queries.for_teacher(session, quiz)


@router.get("/{uuid}/questions/", response_model=list[QuestionTeacherRead])
async def list_questions(uuid: UUID, who: CurrentUser, session: SessionDep) -> Any:
    """The questions of a quiz with what is right, in their order, for its teachers."""
    quiz = await access_taught_quiz(session, who, uuid)
    return [question_read(question) for question in await queries.list_questions(session, quiz.uuid)]


@router.post(
    "/{uuid}/questions/",
    status_code=201,
    response_model=QuestionTeacherRead,
    responses=raises(InvalidQuestion),
)
async def add_question(
    uuid: UUID,
    body: QuestionCreate,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Add a question; `If-Match` takes the quiz's ETag."""
    question, version = await service.add_question(session, who, uuid, body, if_match, now)
    response.headers["ETag"] = etags.etag(version, question.uuid)
    return question_read(question)


@router.get("/{uuid}/questions/{question}/", response_model=QuestionTeacherRead)
async def get_question(
    uuid: UUID, question: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep
) -> Any:
    """One question with what is right, for teachers of the quiz. Its ETag changes with the quiz."""
    quiz = await access_taught_quiz(session, who, uuid)
    body = question_read(await access_question(session, quiz, question))
    return etags.answer(request, response, etags.etag(quiz.version, question)) or body


@router.patch(
    "/{uuid}/questions/{question}/", response_model=QuestionTeacherRead, responses=raises(InvalidQuestion)
)
async def change_question(
    uuid: UUID,
    question: UUID,
    body: QuestionUpdate,
    if_match: IfMatch,
    response: Response,
    who: Teacher,
    session: SessionDep,
    now: Now,
) -> Any:
    """Change a question for attempts that start from now on."""
    changed, version = await service.change_question(session, who, uuid, question, body, if_match, now)
    response.headers["ETag"] = etags.etag(version, question)
    return question_read(changed)


@router.delete("/{uuid}/questions/{question}/", response_model=Deleted, responses=raises(QuizEmpty))
async def delete_question(
    uuid: UUID, question: UUID, if_match: IfMatch, who: Teacher, session: SessionDep, now: Now
) -> Any:
    """Take a question out, for attempts that start from now on."""
    await service.remove_question(session, who, uuid, question, if_match, now)
    return {"deleted": True}

"""Extensions: what one learner has beyond others in a quiz, also in an attempt that is under way.

Locks: the learner's enrolment, the extension, the open attempt.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.outbox import record
from libs.common.events.quizzes import QuizDeadlineMoved, QuizExtensionChanged
from libs.common.runtime.errors import NotFound
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning.access import EnrolledLearner, lock_learner
from services.learning.gradebook.history import record_extension
from services.learning.models import Attempt, Enrollment, Quiz, QuizExtension, User
from services.learning.quizzes.access import access_taught_quiz, find_extension
from services.learning.quizzes.attempts import extended_deadline
from services.learning.quizzes.results import identity
from services.learning.quizzes.schemas import ExtensionTeacherRead, ExtensionUpdate, extension_read


async def hold_extension(
    session: AsyncSession, quiz: Quiz, user: UUID, if_match: Precondition, now: datetime
) -> tuple[EnrolledLearner, QuizExtension]:
    """A learner's enrolment, locked, and their extension; a new row of version 0 where there is none.
    Raises NotFound, PreconditionFailed."""
    learner = await lock_learner(session, Enrollment.course == quiz.course, Enrollment.student == user)
    if learner is None:
        raise NotFound
    extension = await find_extension(session, quiz.uuid, user)
    if extension is None:
        extension = QuizExtension(
            uuid=uuid4(), version=0, quiz=quiz.uuid, student=user, extra_seconds=0, extra_attempts=0,
            excused=False, updated_at=now,
        )  # fmt: skip
        session.add(extension)
    if_match.check(extension.version)
    return learner, extension


async def put_extension(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    user: UUID,
    body: ExtensionUpdate,
    if_match: Precondition,
    now: datetime,
) -> QuizExtension:
    """Set what a learner of the course has beyond others; the same again changes nothing. Raises NotFound."""
    quiz = await access_taught_quiz(session, who, uuid)
    _, extension = await hold_extension(session, quiz, user, if_match, now)
    before = (extension.extra_seconds, extension.extra_attempts, extension.closes_at)
    after = (body.extra_seconds, body.extra_attempts, body.closes_at)
    if extension.version and before == after:
        return extension
    extension.extra_seconds, extension.extra_attempts, extension.closes_at = after
    extension.updated_at = now
    extension.version += 1
    event = QuizExtensionChanged(
        extension=extension.uuid,
        quiz=quiz.uuid,
        course=quiz.course,
        student=user,
        extra_seconds=extension.extra_seconds,
        extra_attempts=extension.extra_attempts,
        closes_at=extension.closes_at,
        actor=who.user,
    )
    record(session, event, extension.version)
    record_extension(session, quiz.course, extension, now)
    details = body.model_dump(mode="json") | {"student": str(user)}
    await write_entry(session, "quiz.extended", quiz.uuid, actor=who.user, details=details)
    await session.flush()
    for attempt in await _lock_open(session, Attempt.quiz == quiz.uuid, Attempt.student == user):
        _move(session, who, quiz, attempt, extension)
    await session.flush()
    return extension


async def _lock_open(session: AsyncSession, *conditions: ColumnElement[bool]) -> Sequence[Attempt]:
    rows = await session.scalars(
        select(Attempt)
        .where(Attempt.status == "in_progress", *conditions)
        .order_by(Attempt.uuid)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return rows.all()


def _move(
    session: AsyncSession, who: Principal, quiz: Quiz, attempt: Attempt, extension: QuizExtension | None
) -> None:
    deadline = extended_deadline(attempt, extension)
    if deadline == attempt.deadline:
        return
    attempt.deadline = deadline
    attempt.version += 1
    moved = QuizDeadlineMoved(**identity(attempt, quiz), deadline=deadline, actor=who.user)
    record(session, moved, attempt.version)


async def move_deadlines(session: AsyncSession, who: Principal, quiz: Quiz, now: datetime) -> None:
    """Let the open attempts of a locked quiz end by its close as it is; one in the past ends them now."""
    attempts = await _lock_open(session, Attempt.quiz == quiz.uuid)
    rows = await session.scalars(select(QuizExtension).where(QuizExtension.quiz == quiz.uuid))
    extensions = {extension.student: extension for extension in rows}
    for attempt in attempts:
        attempt.closes_at = None if quiz.closes_at is None else max(quiz.closes_at, now)
        _move(session, who, quiz, attempt, extensions.get(attempt.student))
    await session.flush()


async def show_extension(session: AsyncSession, extension: QuizExtension) -> ExtensionTeacherRead:
    name = await session.scalar(select(User.full_name).where(User.uuid == extension.student))
    zone = await session.scalar(select(Quiz.time_zone).where(Quiz.uuid == extension.quiz))
    return _shown(extension, name, zone or "UTC")


async def list_extensions(session: AsyncSession, who: Principal, uuid: UUID) -> list[ExtensionTeacherRead]:
    """Those of a quiz that they teach, by name."""
    quiz = await access_taught_quiz(session, who, uuid)
    rows = await session.execute(
        select(QuizExtension, User.full_name)
        .outerjoin(User, User.uuid == QuizExtension.student)
        .where(QuizExtension.quiz == quiz.uuid)
        .order_by(User.full_name, QuizExtension.uuid)
    )
    return [_shown(extension, name, quiz.time_zone) for extension, name in rows]


def _shown(extension: QuizExtension, name: str | None, zone: str) -> ExtensionTeacherRead:
    return ExtensionTeacherRead(
        quiz=extension.quiz,
        user=extension.student,
        user_name=name or "",
        updated_at=extension.updated_at,
        **dict(extension_read(extension, zone)),
    )

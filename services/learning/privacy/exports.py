"""What learning holds of a person, for their copy: as far as they may see it themselves."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.privacy.content import PersonalData, rows_of
from services.learning.models import (
    Assignment,
    Attempt,
    AttemptQuestion,
    Certificate,
    Course,
    Enrollment,
    GradeRecord,
    LessonProgress,
    Quiz,
    QuizExtension,
    QuizResult,
    StudyDay,
    Submission,
    SubmissionFile,
    SubmissionVersion,
)
from services.learning.quizzes.visibility import OWN_CLOSE, is_seen, own_extension
from services.learning.windows import GRACE

Rows = list[dict[str, Any]]


async def gather(session: AsyncSession, user: UUID) -> PersonalData:
    """Tables by name, and the files: certificates, and what was handed in."""
    return PersonalData(
        {
            **await _learnt(session, user),
            "grades": await _grades(session, user),
            **await _quizzes(session, user),
            **await _assignments(session, user),
            "certificates": await _certificates(session, user),
        },
        await _files(session, user),
    )


async def _learnt(session: AsyncSession, user: UUID) -> dict[str, object]:
    enrollments = await rows_of(
        session,
        select(
            Enrollment.uuid, Course.title.label("course"), Enrollment.status, Enrollment.waiting_since,
            Enrollment.progress_percentage, Enrollment.final_score, Enrollment.enrolled_at,
            Enrollment.started_at, Enrollment.completed_at, Enrollment.last_accessed,
        )
        .outerjoin(Course, Course.uuid == Enrollment.course)
        .where(Enrollment.student == user)
        .order_by(Enrollment.enrolled_at),
    )  # fmt: skip
    lessons = await rows_of(
        session,
        select(
            Course.title.label("course"), LessonProgress.lesson, LessonProgress.completed_at,
            LessonProgress.study_seconds, LessonProgress.points, LessonProgress.position_seconds,
            LessonProgress.notes, LessonProgress.notes_at,
        )
        .join(Enrollment, Enrollment.uuid == LessonProgress.enrollment)
        .outerjoin(Course, Course.uuid == Enrollment.course)
        .where(LessonProgress.student == user)
        .order_by(LessonProgress.enrollment, LessonProgress.lesson),
    )  # fmt: skip
    days = await rows_of(
        session,
        select(StudyDay.local_date, StudyDay.seconds)
        .where(StudyDay.student == user)
        .order_by(StudyDay.local_date),
    )
    return {"enrollments": enrollments, "lessons": lessons, "study_days": days}


def _seen(what: str) -> ColumnElement[bool]:
    """Whether the quiz's policy shows something by now."""
    return is_seen(what, func.now() - GRACE, OWN_CLOSE)


async def _quizzes(session: AsyncSession, user: UUID) -> dict[str, Rows]:
    """A score that is hidden from them is not in their copy either."""
    shown = _seen("score")
    attempts = await rows_of(
        session,
        select(
            Attempt.uuid, Quiz.title.label("quiz"), Attempt.number, Attempt.status, Attempt.started_at,
            Attempt.submitted_at, Attempt.max_score,
            *(case((shown, column)).label(column.key)
              for column in (Attempt.score, Attempt.percentage, Attempt.passed)),
        )
        .join(Quiz, Quiz.uuid == Attempt.quiz)
        .outerjoin(QuizExtension, own_extension(Attempt.student))
        .where(Attempt.student == user)
        .order_by(Attempt.started_at),
    )  # fmt: skip
    results = await rows_of(
        session,
        select(Quiz.title.label("quiz"), QuizResult.percentage, QuizResult.finished_at)
        .join(Quiz, Quiz.uuid == QuizResult.quiz)
        .join(Enrollment, Enrollment.uuid == QuizResult.enrollment)
        .outerjoin(QuizExtension, own_extension(Enrollment.student))
        .where(Enrollment.student == user, shown)
        .order_by(Quiz.title),
    )
    extensions = await rows_of(
        session,
        select(
            Quiz.title.label("quiz"), QuizExtension.extra_seconds, QuizExtension.extra_attempts,
            QuizExtension.closes_at, QuizExtension.excused,
        )
        .join(Quiz, Quiz.uuid == QuizExtension.quiz)
        .where(QuizExtension.student == user)
        .order_by(Quiz.title),
    )  # fmt: skip
    return {
        "quiz_attempts": attempts,
        "answers": await _answers(session, user),
        "quiz_results": results,
        "quiz_extensions": extensions,
    }


async def _answers(session: AsyncSession, user: UUID) -> Rows:
    return await rows_of(
        session,
        select(
            AttemptQuestion.attempt, AttemptQuestion.text.label("question"), AttemptQuestion.kind,
            AttemptQuestion.answer, AttemptQuestion.saved_at,
            case((_seen("correctness"), AttemptQuestion.comment), else_="").label("comment"),
        )
        .join(Attempt, Attempt.uuid == AttemptQuestion.attempt)
        .join(Quiz, Quiz.uuid == Attempt.quiz)
        .outerjoin(QuizExtension, own_extension(Attempt.student))
        .where(Attempt.student == user)
        .order_by(Attempt.started_at, AttemptQuestion.position),
    )  # fmt: skip


async def _assignments(session: AsyncSession, user: UUID) -> dict[str, Rows]:
    """A grade that is not posted is not in their copy either."""
    submissions = await rows_of(
        session,
        select(
            Submission.uuid, Assignment.title.label("assignment"), Assignment.points,
            case((Assignment.posted, Submission.status), else_="submitted").label("status"),
            *(case((Assignment.posted, column)).label(column.key)
              for column in (Submission.score, Submission.feedback, Submission.graded_at)),
        )
        .join(Assignment, Assignment.uuid == Submission.assignment)
        .where(Submission.student == user, or_(Submission.number > 0, Assignment.posted))
        .order_by(Submission.uuid),
    )  # fmt: skip
    versions = await rows_of(
        session,
        select(
            SubmissionVersion.submission, SubmissionVersion.number, SubmissionVersion.text,
            SubmissionVersion.submitted_at, SubmissionVersion.late_seconds,
        )
        .join(Submission, Submission.uuid == SubmissionVersion.submission)
        .where(Submission.student == user)
        .order_by(SubmissionVersion.submitted_at),
    )  # fmt: skip
    files = await rows_of(
        session,
        select(
            SubmissionFile.submission, SubmissionFile.number, SubmissionFile.name, SubmissionFile.media_type,
            SubmissionFile.size, SubmissionFile.sha256,
        )
        .where(SubmissionFile.student == user, SubmissionFile.submission.is_not(None))
        .order_by(SubmissionFile.created_at, SubmissionFile.position),
    )  # fmt: skip
    return {"submissions": submissions, "submitted_texts": versions, "submitted_files": files}


async def _grades(session: AsyncSession, user: UUID) -> Rows:
    shown = _seen("score")
    return await rows_of(
        session,
        select(
            Course.title.label("course"), GradeRecord.item, GradeRecord.status, GradeRecord.score,
            GradeRecord.points, GradeRecord.late_seconds, GradeRecord.at,
        )
        .outerjoin(Course, Course.uuid == GradeRecord.course)
        .outerjoin(Quiz, Quiz.uuid == GradeRecord.item)
        .outerjoin(QuizExtension, own_extension(GradeRecord.student))
        .outerjoin(Assignment, Assignment.uuid == GradeRecord.item)
        .where(GradeRecord.student == user, or_(GradeRecord.status == "submitted", shown, Assignment.posted))
        .order_by(GradeRecord.at),
    )  # fmt: skip


async def _certificates(session: AsyncSession, user: UUID) -> Rows:
    return await rows_of(
        session,
        select(
            Certificate.certificate_number, Certificate.course_title, Certificate.status,
            Certificate.final_score, Certificate.completed_at, Certificate.issued_at,
            Certificate.student_name, Certificate.revoked_at, Certificate.revocation_reason,
        )
        .where(Certificate.student == user)
        .order_by(Certificate.completed_at, Certificate.requested_at),
    )  # fmt: skip


async def _files(session: AsyncSession, user: UUID) -> list[tuple[str, str]]:
    """Names in the copy, and paths in the storage."""
    certificates = await session.execute(
        select(Certificate.certificate_number, Certificate.pdf_path)
        .where(Certificate.student == user, Certificate.pdf_path.is_not(None))
        .order_by(Certificate.certificate_number)
    )
    handed_in = await session.execute(
        select(SubmissionFile.name, SubmissionFile.path)
        .where(SubmissionFile.student == user, SubmissionFile.submission.is_not(None))
        .order_by(SubmissionFile.created_at, SubmissionFile.position)
    )
    return [(f"{number}.pdf", path or "") for number, path in certificates] + [
        (f"submitted-{place}-{name}", path) for place, (name, path) in enumerate(handed_in, 1)
    ]

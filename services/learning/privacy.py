"""What learning holds of a person, and what becomes of it.

Grades, attempts and progress stay under the bare id, so that statistics hold; certificates stay valid by
their number, without name and PDF. Notes, resume positions, study days, written answers, submitted texts and
files and feedback go. Seats of courses underway are freed.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.learning import (
    ExportPartFailed,
    ExportPartPacked,
    PersonErased,
    StudentDropped,
    SubmissionRedacted,
)
from libs.common.events.quizzes import QuizExtensionChanged
from libs.common.privacy.content import PersonalData, rows_of
from libs.common.privacy.parts import GONE, Erasure, Privacy
from services.learning.enrollments.service import fill_seats, leave_waitlist
from services.learning.enrollments.state import publish, record_enrollment
from services.learning.models import (
    Assignment,
    Attempt,
    AttemptQuestion,
    Certificate,
    Course,
    Enrollment,
    GradeFact,
    GradeRecord,
    LessonProgress,
    PrivacyPart,
    Quiz,
    QuizExtension,
    QuizResult,
    StudyClock,
    StudyDay,
    Submission,
    SubmissionFile,
    SubmissionVersion,
    User,
)
from services.learning.quizzes.grading import grade_erased
from services.learning.quizzes.kinds import KINDS
from services.learning.quizzes.visibility import OWN_CLOSE, is_seen, own_extension
from services.learning.windows import GRACE

UNDERWAY = ("enrolled", "in_progress")
WRITTEN = tuple(kind.name for kind in KINDS.values() if kind.is_free_text)


async def gather(session: AsyncSession, user: UUID) -> PersonalData:
    certificates = await rows_of(
        session,
        select(
            Certificate.certificate_number, Certificate.course_title, Certificate.status,
            Certificate.final_score, Certificate.completed_at, Certificate.issued_at,
            Certificate.student_name, Certificate.revoked_at, Certificate.revocation_reason,
        )
        .where(Certificate.student == user)
        .order_by(Certificate.completed_at, Certificate.requested_at),
    )  # fmt: skip
    files = await session.execute(
        select(Certificate.certificate_number, Certificate.pdf_path)
        .where(Certificate.student == user, Certificate.pdf_path.is_not(None))
        .order_by(Certificate.certificate_number)
    )
    handed_in = await session.execute(
        select(SubmissionFile.name, SubmissionFile.path)
        .where(SubmissionFile.student == user, SubmissionFile.submission.is_not(None))
        .order_by(SubmissionFile.created_at, SubmissionFile.position)
    )
    return PersonalData(
        {
            **await _learnt(session, user),
            **await _worked(session, user),
            "certificates": certificates,
        },
        [(f"{number}.pdf", path or "") for number, path in files]
        + [(f"submitted-{place}-{name}", path) for place, (name, path) in enumerate(handed_in, 1)],
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


async def _worked(session: AsyncSession, user: UUID) -> dict[str, object]:
    """What they may see of it: a grade that is hidden from them is not in their copy either."""
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
    answers = await rows_of(
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
    results = await rows_of(
        session,
        select(Quiz.title.label("quiz"), QuizResult.percentage, QuizResult.finished_at)
        .join(Quiz, Quiz.uuid == QuizResult.quiz)
        .join(Enrollment, Enrollment.uuid == QuizResult.enrollment)
        .outerjoin(QuizExtension, own_extension(Enrollment.student))
        .where(Enrollment.student == user, shown)
        .order_by(Quiz.title),
    )
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
    grades = await rows_of(
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
    return {
        "grades": grades,
        "quiz_attempts": attempts,
        "answers": answers,
        "quiz_results": results,
        "quiz_extensions": extensions,
        "submissions": submissions,
        "submitted_texts": versions,
        "submitted_files": files,
    }


async def erase(erasure: Erasure) -> None:
    session, user = erasure.session, erasure.user
    await _free_seats(erasure)
    await _redact_work(erasure)
    paths = await session.scalars(
        select(Certificate.pdf_path).where(Certificate.student == user, Certificate.pdf_path.is_not(None))
    )
    erasure.objects += [path for path in paths if path]
    await erasure.run(
        update(Certificate)
        .where(
            Certificate.student == user,
            or_(
                Certificate.student_name.is_not(None),
                Certificate.pdf_path.is_not(None),
                Certificate.revocation_reason != "",
            ),
        )
        .values(pdf_path=None, student_name=None, revocation_reason="")
    )
    await erasure.run(
        update(LessonProgress)
        .where(LessonProgress.student == user)
        .values(notes="", notes_at=None, position_seconds=0)
    )
    await erasure.run(delete(StudyClock).where(StudyClock.student == user))
    await erasure.run(delete(StudyDay).where(StudyDay.student == user))
    await erasure.run(delete(User).where(User.uuid == user))


async def _free_seats(erasure: Erasure) -> None:
    """Leave every course that is not completed, and every waitlist; who waits for the seat gets it."""
    session = erasure.session
    leaving = or_(Enrollment.status.in_(UNDERWAY), Enrollment.waiting_since.is_not(None))
    mine = Enrollment.student == erasure.user
    courses = await session.scalars(
        select(Course)
        .where(Course.uuid.in_(select(Enrollment.course).where(mine, leaving)))
        .order_by(Course.uuid)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    for course in courses.all():
        enrollment = await session.scalar(
            select(Enrollment)
            .where(mine, leaving, Enrollment.course == course.uuid)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if enrollment is None:
            continue
        erasure.rows += 1
        await _leave(session, enrollment, course, erasure)


async def _leave(session: AsyncSession, enrollment: Enrollment, course: Course, erasure: Erasure) -> None:
    now: datetime = erasure.now
    if enrollment.waiting_since is not None:
        await leave_waitlist(session, enrollment, erasure.trace)
        return
    enrollment.status = "dropped"
    progress = float(enrollment.progress_percentage)
    publish(session, enrollment, StudentDropped, erasure.trace, progress_percentage=progress)
    record_enrollment(session, enrollment, now)
    await session.flush()
    await fill_seats(session, course, now, erasure.trace)


async def _redact_work(erasure: Erasure) -> None:
    """Texts of answers and submissions, and what teachers wrote to them; points and percentages stay."""
    session, user = erasure.session, erasure.user
    attempts = select(Attempt.uuid).where(Attempt.student == user)
    # Attempts before their questions: the order of whoever saves an answer meanwhile.
    await session.execute(attempts.order_by(Attempt.uuid).with_for_update(key_share=True))
    await erasure.run(
        update(AttemptQuestion)
        .where(AttemptQuestion.attempt.in_(attempts), AttemptQuestion.comment != "")
        .values(comment="")
        .execution_options(synchronize_session=False)
    )
    await _take_extensions_back(erasure)
    await erasure.run(
        update(AttemptQuestion)
        .where(
            AttemptQuestion.attempt.in_(attempts),
            AttemptQuestion.kind.in_(WRITTEN),
            AttemptQuestion.answer.is_not(None),
        )
        .values(answer=None)
        .execution_options(synchronize_session=False)
    )
    erasure.rows += await grade_erased(session, user, erasure.now, erasure.trace)
    submissions = await session.execute(
        select(Submission, Assignment)
        .join(Assignment, Assignment.uuid == Submission.assignment)
        .where(Submission.student == user)
        .order_by(Submission.uuid)
        .with_for_update(of=Submission)
        .execution_options(populate_existing=True)
    )
    for submission, assignment in submissions.all():
        submission.feedback = ""
        submission.version += 1
        erasure.rows += 1
        event = SubmissionRedacted(
            submission=submission.uuid, assignment=assignment.uuid, title=assignment.title,
            course=assignment.course, lesson=assignment.lesson, enrollment=submission.enrollment,
            student=user,
        )  # fmt: skip
        record(session, event, submission.version, trace=erasure.trace)
    await session.flush()
    mine = select(Submission.uuid).where(Submission.student == user)
    await erasure.run(
        update(SubmissionVersion).where(SubmissionVersion.submission.in_(mine)).values(text=GONE)
    )
    await _drop_files(erasure)
    await erasure.run(delete(SubmissionFile).where(SubmissionFile.student == user))


async def _drop_files(erasure: Erasure) -> None:
    """Objects that nobody else of a group has handed in, too. The rows are locked for when two go at once."""
    mine = select(SubmissionFile.path).where(SubmissionFile.student == erasure.user)
    rows = await erasure.session.scalars(
        select(SubmissionFile)
        .where(SubmissionFile.path.in_(mine))
        .order_by(SubmissionFile.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = rows.all()
    shared = {row.path for row in found if row.student != erasure.user}
    erasure.objects += sorted({row.path for row in found} - shared)


async def _take_extensions_back(erasure: Erasure) -> None:
    """That somebody needs, or needed, more time says something about them."""
    await erasure.run(
        delete(GradeFact).where(GradeFact.kind == "extension", GradeFact.student == erasure.user)
    )
    found = await erasure.session.execute(
        select(QuizExtension, Quiz.course)
        .join(Quiz, Quiz.uuid == QuizExtension.quiz)
        .where(QuizExtension.student == erasure.user)
        .order_by(QuizExtension.uuid)
        .with_for_update(of=QuizExtension)
        .execution_options(populate_existing=True)
    )
    for extension, course in found.all():
        extension.excused = False
        if not (extension.extra_seconds or extension.extra_attempts or extension.closes_at):
            continue
        extension.extra_seconds = extension.extra_attempts = 0
        extension.closes_at = None
        extension.version += 1
        erasure.rows += 1
        event = QuizExtensionChanged(
            extension=extension.uuid, quiz=extension.quiz, course=course, student=erasure.user,
            extra_seconds=0, extra_attempts=0, closes_at=None, actor=None,
        )  # fmt: skip
        record(erasure.session, event, extension.version, trace=erasure.trace)


PRIVACY = Privacy("learning", PrivacyPart, ExportPartPacked, ExportPartFailed, PersonErased, gather, erase)

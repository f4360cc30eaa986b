"""Erasing a person: texts and files go, points and percentages stay."""

from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.learning import (
    StudentDropped,
    SubmissionRedacted,
)
from libs.common.events.quizzes import QuizExtensionChanged
from libs.common.privacy.parts import GONE, Erasure
from services.learning.enrollments.service import fill_seats, leave_waitlist
from services.learning.enrollments.state import publish, record_enrollment
from services.learning.models import (
    UNDERWAY,
    Assignment,
    Attempt,
    AttemptQuestion,
    Certificate,
    Course,
    Enrollment,
    GradeFact,
    LessonProgress,
    Quiz,
    QuizExtension,
    StudyClock,
    StudyDay,
    Submission,
    SubmissionFile,
    SubmissionVersion,
    User,
)
from services.learning.quizzes.grading import grade_erased
from services.learning.quizzes.kinds import KINDS

WRITTEN = tuple(kind.name for kind in KINDS.values() if kind.is_free_text)
"""Kinds of questions whose answers people write."""


async def erase(erasure: Erasure) -> None:
    """What only they need goes, and what others wrote about them; what courses count stays."""
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
    """Leave every course that is not completed, and every waitlist; their seats go to learners who wait."""
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

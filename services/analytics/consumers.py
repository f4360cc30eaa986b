"""Folding events into the read models. Every handler gets all events of its class in a batch.

What is applied is also appended to the event log (`event_log.py`), in the same transaction: a rebuild folds
it again with the same handlers.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.received import Handler
from libs.common.events import forum, identity, learning, quizzes, support
from libs.common.events.catalog import CourseState
from services.analytics import read_models as p
from services.analytics.event_log import Batch
from services.analytics.merging import merge
from services.analytics.privacy import PRIVACY


async def _active(session: AsyncSession, pairs: Iterable[tuple[Any, Any]]) -> None:
    await merge(session, p.active_days, [{"day": at.date(), "user": user} for user, at in pairs])


async def _learned(session: AsyncSession, batch: Batch) -> None:
    names = ("course", "student", "local_date")
    days = [{n: getattr(i.event, n) for n in names} for i in batch]
    await merge(session, p.course_days, days)
    await merge(session, p.learning_days, [{n: day[n] for n in names[1:]} for day in days])
    await _active(session, ((i.event.student, i.occurred_at) for i in batch))


async def _visited(session: AsyncSession, batch: Batch) -> None:
    names = ("enrollment", "lesson", "course", "student")
    await merge(session, p.lesson_visits, [{n: getattr(i.event, n) for n in names} for i in batch])


async def _feed(session: AsyncSession, batch: Batch, kind: str, user: str, title: str | None = None) -> None:
    """Lines of the activity feed: who (`user` names the event's field), what, on which course."""
    await merge(
        session,
        p.activities,
        [
            {
                "event_id": item.id,
                "user": getattr(item.event, user),
                "kind": kind,
                "course": getattr(item.event, "course", None),
                "title": getattr(item.event, title) if title else None,
                "at": item.occurred_at,
            }
            for item in batch
        ],
    )


async def on_user(session: AsyncSession, batch: Batch) -> None:
    gone = [item.key for item in batch if item.event is None]
    if gone:
        await session.execute(
            text("DELETE FROM users WHERE uuid = ANY(CAST(:gone AS uuid[]))"), {"gone": gone}
        )
    names = ("uuid", "role", "is_active", "time_zone", "date_joined")
    await merge(
        session, p.users, [{n: getattr(i.event, n) for n in names} for i in batch if i.event is not None]
    )


async def on_session_started(session: AsyncSession, batch: Batch) -> None:
    await _active(session, ((i.event.user, i.occurred_at) for i in batch))
    await _feed(session, batch, "login", "user")


async def on_course(session: AsyncSession, batch: Batch) -> None:
    gone = [item.key for item in batch if item.event is None]
    if gone:
        await session.execute(
            text("DELETE FROM courses WHERE uuid = ANY(CAST(:gone AS uuid[]))"), {"gone": gone}
        )
    await merge(
        session,
        p.courses,
        [
            {
                "uuid": c.uuid,
                "title": c.title,
                "status": c.status,
                "instructor": c.instructor,
                "instructors": [str(uuid) for uuid in c.instructors],
                "category": c.category.name if c.category else None,
                "level": c.level,
                "lessons": [
                    {"uuid": str(lesson.uuid), "title": lesson.title, "content_type": lesson.lesson_type}
                    for module in c.modules
                    for lesson in module.lessons
                ],
                "created_at": c.created_at,
                "published_at": c.published_at,
                "average_rating": c.average_rating,
                "reviews_count": c.reviews_count,
            }
            for c in (item.event for item in batch)
            if c is not None
        ],
    )


async def on_enrollment(session: AsyncSession, batch: Batch) -> None:
    gone = [item.key for item in batch if item.event is None]
    if gone:
        await session.execute(
            text("DELETE FROM enrollments WHERE uuid = ANY(CAST(:gone AS uuid[]))"), {"gone": gone}
        )
    await merge(
        session,
        p.enrollments,
        [
            {
                "uuid": e.uuid,
                "course": e.course,
                "student": e.student,
                "status": e.status,
                "progress": e.progress_percentage,
                "completed_lessons": [str(uuid) for uuid in e.completed_lessons],
                "enrolled_at": e.enrolled_at,
                "started_at": e.started_at,
                "completed_at": e.completed_at,
                "last_accessed": e.last_accessed,
                "study_seconds": e.study_seconds,
                "points": e.points,
            }
            for e in (item.event for item in batch)
            if e is not None
        ],
    )


async def on_student_enrolled(session: AsyncSession, batch: Batch) -> None:
    await _active(session, ((i.event.student, i.occurred_at) for i in batch))
    await _feed(session, batch, "enrolled", "student")


async def on_lesson_completed(session: AsyncSession, batch: Batch) -> None:
    names = ("enrollment", "lesson", "course", "student", "local_date")
    rows = [{n: getattr(i.event, n) for n in names} | {"completed_at": i.occurred_at} for i in batch]
    await merge(session, p.lesson_completions, rows)
    await _visited(session, batch)
    await _learned(session, batch)
    await _feed(session, batch, "lesson_completed", "student")


async def on_study_time_recorded(session: AsyncSession, batch: Batch) -> None:
    names = ("student", "course", "local_date", "seconds")
    await merge(session, p.study, [{n: getattr(i.event, n) for n in names} for i in batch], add=("seconds",))
    await _visited(session, batch)
    await _learned(session, batch)


async def on_course_completed(session: AsyncSession, batch: Batch) -> None:
    await _feed(session, batch, "course_completed", "student")


async def on_quiz_started(session: AsyncSession, batch: Batch) -> None:
    names = (
        "attempt", "number", "quiz", "kind", "title", "course", "lesson", "enrollment", "student",
        "local_date",
    )  # fmt: skip
    rows = [{n: getattr(i.event, n) for n in names} | {"started_at": i.occurred_at} for i in batch]
    await merge(session, p.attempts, rows)
    await _learned(session, batch)


async def on_quiz_submitted(session: AsyncSession, batch: Batch) -> None:
    names = ("attempt", "seconds_taken")
    rows = [{n: getattr(i.event, n) for n in names} | {"submitted_at": i.occurred_at} for i in batch]
    await merge(session, p.attempts, rows)
    await _learned(session, batch)
    await _feed(session, batch, "quiz_submitted", "student", "title")


async def on_quiz_graded(session: AsyncSession, batch: Batch) -> None:
    rows = [
        {
            "attempt": i.event.attempt,
            "percentage": i.event.percentage,
            "passed": i.event.passed,
            "score_visible": i.event.score_visible,
            "questions": [
                {"question": str(q.question), "kind": q.question_kind, "share": q.share}
                for q in i.event.questions
            ],
        }
        for i in batch
    ]
    await merge(session, p.attempts, rows)


async def on_assignment_submitted(session: AsyncSession, batch: Batch) -> None:
    names = (
        "submission", "assignment", "title", "course", "enrollment", "student", "late_seconds", "local_date",
    )  # fmt: skip
    rows = [{n: getattr(i.event, n) for n in names} | {"submitted_at": i.occurred_at} for i in batch]
    await merge(session, p.submissions, rows)
    await _learned(session, batch)
    await _feed(session, batch, "assignment_submitted", "student", "title")


async def on_submission_graded(session: AsyncSession, batch: Batch) -> None:
    # A grade may be given without any work, so it says whose it is.
    names = (
        "submission", "assignment", "title", "course", "student", "percentage", "excused", "posted",
    )  # fmt: skip
    await merge(session, p.submissions, [{n: getattr(i.event, n) for n in names} for i in batch])


async def on_certificate_issued(session: AsyncSession, batch: Batch) -> None:
    names = ("certificate", "course", "student")
    rows = [
        {n: getattr(i.event, n) for n in names} | {"issued_at": i.occurred_at, "revoked": False}
        for i in batch
    ]
    await merge(session, p.certificates, rows)
    await _feed(session, batch, "certificate_issued", "student")


async def on_certificate_revoked(session: AsyncSession, batch: Batch) -> None:
    """Revoked, or superseded by another one: it counts no more."""
    await merge(
        session, p.certificates, [{"certificate": i.event.certificate, "revoked": True} for i in batch]
    )


async def on_discussion_started(session: AsyncSession, batch: Batch) -> None:
    names = ("discussion", "course", "author", "discussion_type")
    rows = [
        {n: getattr(i.event, n) for n in names} | {"started_at": i.occurred_at, "is_resolved": False}
        for i in batch
    ]
    await merge(session, p.discussions, rows)
    await _active(session, ((i.event.author, i.occurred_at) for i in batch))
    await _feed(session, batch, "discussion_started", "author")


async def on_discussion_resolved(session: AsyncSession, batch: Batch) -> None:
    rows = [{"discussion": i.event.discussion, "is_resolved": True} for i in batch]
    await merge(session, p.discussions, rows)


async def on_discussion_reopened(session: AsyncSession, batch: Batch) -> None:
    rows = [{"discussion": i.event.discussion, "is_resolved": False} for i in batch]
    await merge(session, p.discussions, rows)


async def on_discussion(session: AsyncSession, batch: Batch) -> None:
    """A tombstone hides a discussion, a state after it shows it again."""
    rows = [{"discussion": i.key, "is_hidden": i.event is None} for i in batch]
    await merge(session, p.discussions, rows)


async def on_reply_posted(session: AsyncSession, batch: Batch) -> None:
    names = ("reply", "discussion", "course", "author", "is_chat", "is_instructor_reply")
    rows = [
        {n: getattr(i.event, n) for n in names}
        | {"posted_at": i.occurred_at, "is_solution": False, "upvotes": 0}
        for i in batch
    ]
    await merge(session, p.replies, rows)
    await _active(session, ((i.event.author, i.occurred_at) for i in batch))
    await _feed(session, [i for i in batch if not i.event.is_chat], "reply_posted", "author")


async def on_reply_upvoted(session: AsyncSession, batch: Batch) -> None:
    await merge(session, p.replies, [{"reply": i.event.reply, "upvotes": i.event.upvotes} for i in batch])


async def on_solution_marked(session: AsyncSession, batch: Batch) -> None:
    await merge(session, p.replies, [{"reply": i.event.reply, "is_solution": True} for i in batch])


async def on_solution_unmarked(session: AsyncSession, batch: Batch) -> None:
    await merge(session, p.replies, [{"reply": i.event.reply, "is_solution": False} for i in batch])


async def on_ticket(session: AsyncSession, batch: Batch) -> None:
    """Any fact of a ticket carries its whole small state."""
    names = ("ticket", "requester", "course", "category", "priority", "status")
    await merge(session, p.tickets, [{n: getattr(i.event, n) for n in names} for i in batch])


async def on_ticket_opened(session: AsyncSession, batch: Batch) -> None:
    await on_ticket(session, batch)
    await merge(session, p.tickets, [{"ticket": i.event.ticket, "opened_at": i.occurred_at} for i in batch])
    await _active(session, ((i.event.requester, i.occurred_at) for i in batch))
    await _feed(session, batch, "ticket_opened", "requester")


async def on_ticket_answered(session: AsyncSession, batch: Batch) -> None:
    await on_ticket(session, batch)
    first = [i for i in batch if i.event.is_first_response]
    rows = [{"ticket": i.event.ticket, "first_response_at": i.occurred_at} for i in first]
    await merge(session, p.tickets, rows)


async def on_ticket_resolved(session: AsyncSession, batch: Batch) -> None:
    await on_ticket(session, batch)
    await merge(session, p.tickets, [{"ticket": i.event.ticket, "resolved_at": i.occurred_at} for i in batch])


async def on_ticket_reopened(session: AsyncSession, batch: Batch) -> None:
    await on_ticket(session, batch)
    await merge(session, p.tickets, [{"ticket": i.event.ticket, "resolved_at": None} for i in batch])


async def on_ticket_rated(session: AsyncSession, batch: Batch) -> None:
    await on_ticket(session, batch)
    await merge(session, p.tickets, [{"ticket": i.event.ticket, "rating": i.event.rating} for i in batch])


async def on_user_or_erasure(session: AsyncSession, batch: Batch) -> None:
    """The read model, and the erasures that waited for it: a rebuild must not erase again."""
    await PRIVACY.lock(session, batch)
    await on_user(session, batch)
    await PRIVACY.on_tombstones(session, batch)


READ_MODELS: dict[type[Any], Handler] = {
    identity.UserState: on_user,
    identity.SessionStarted: on_session_started,
    CourseState: on_course,
    learning.EnrollmentState: on_enrollment,
    learning.StudentEnrolled: on_student_enrolled,
    learning.LessonCompleted: on_lesson_completed,
    learning.StudyTimeRecorded: on_study_time_recorded,
    learning.CourseCompleted: on_course_completed,
    quizzes.QuizStarted: on_quiz_started,
    quizzes.QuizSubmitted: on_quiz_submitted,
    quizzes.QuizGraded: on_quiz_graded,
    learning.AssignmentSubmitted: on_assignment_submitted,
    learning.SubmissionGraded: on_submission_graded,
    learning.CertificateIssued: on_certificate_issued,
    learning.CertificateRevoked: on_certificate_revoked,
    learning.CertificateSuperseded: on_certificate_revoked,
    forum.DiscussionStarted: on_discussion_started,
    forum.DiscussionState: on_discussion,
    forum.DiscussionResolved: on_discussion_resolved,
    forum.DiscussionReopened: on_discussion_reopened,
    forum.ReplyPosted: on_reply_posted,
    forum.ReplyUpvoted: on_reply_upvoted,
    forum.ReplyUpvoteWithdrawn: on_reply_upvoted,
    forum.SolutionMarked: on_solution_marked,
    forum.SolutionUnmarked: on_solution_unmarked,
    support.TicketOpened: on_ticket_opened,
    support.TicketAssigned: on_ticket,
    support.TicketAnswered: on_ticket_answered,
    support.TicketStatusChanged: on_ticket,
    support.TicketPriorityChanged: on_ticket,
    support.TicketResolved: on_ticket_resolved,
    support.TicketReopened: on_ticket_reopened,
    support.TicketClosed: on_ticket,
    support.TicketRated: on_ticket_rated,
}
HANDLERS: dict[type[Any], Handler] = {
    **READ_MODELS,
    identity.UserState: on_user_or_erasure,
    **PRIVACY.handlers,
}

"""What is worth telling somebody."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.received import Handler, Received
from libs.common.bus.replicas import replicate
from libs.common.events import analytics, forum, learning, quizzes, support
from libs.common.events.catalog import CourseState
from libs.common.events.identity import UserState
from services.notify.models import CourseTitle, DiscussionTitle, Notification, Person
from services.notify.privacy import PRIVACY
from services.notify.service import Notice, retell, tell

Batch = Sequence[Any]  # Received[…] of the class that the handler is registered for


async def on_user(session: AsyncSession, batch: Batch) -> None:
    await PRIVACY.lock(session, batch)
    names = ("uuid", "email", "first_name", "full_name", "locale", "time_zone", "role", "is_active")
    await PRIVACY.on_tombstones(session, batch)
    await replicate(session, Person, batch, lambda user: {name: getattr(user, name) for name in names})


async def on_course(session: AsyncSession, batch: Sequence[Received[CourseState]]) -> None:
    await replicate(session, CourseTitle, batch, lambda course: {"uuid": course.uuid, "title": course.title})


async def on_discussion(session: AsyncSession, batch: Sequence[Received[forum.DiscussionState]]) -> None:
    """Keep the titles. What was told before its discussion's title came gets it now; a deleted one takes its
    title from what was told."""
    await replicate(session, DiscussionTitle, batch, lambda state: {"uuid": state.uuid, "title": state.title})
    titles = {item.event.uuid: item.event.title for item in batch if item.event is not None}
    gone = [UUID(item.key) for item in batch if item.event is None]
    untitled = Notification.discussion.in_(titles) & (Notification.facts["discussion"].astext == "")
    await retell(session, Notification.discussion.in_(gone) | untitled, "discussion", titles)


async def on_student_enrolled(session: AsyncSession, batch: Batch) -> None:
    await tell(
        session,
        [
            Notice(
                i.event.student,
                "enrollment",
                i,
                f"/courses/{i.event.course}",
                course=i.event.course,
            )
            for i in batch
        ],
    )


async def on_certificate_issued(session: AsyncSession, batch: Batch) -> None:
    await tell(
        session,
        [
            Notice(
                i.event.student,
                "certificate_ready",
                i,
                f"/certificates/{i.event.certificate}",
                course=i.event.course,
                subject_id=i.event.certificate,
            )
            for i in batch
        ],
    )


async def on_certificate_revoked(session: AsyncSession, batch: Batch) -> None:
    await tell(
        session,
        [
            Notice(
                i.event.student, "certificate_revoked", i, f"/certificates/{i.event.certificate}",
                what=i.event.number, course=i.event.course,
            )
            for i in batch
        ],
    )  # fmt: skip


async def on_quiz_graded(session: AsyncSession, batch: Batch) -> None:
    """Only what the policy of the quiz shows already."""
    await tell(
        session,
        [
            Notice(
                i.event.student, "quiz_result", i, f"/attempts/{i.event.attempt}",
                what=i.event.title, course=i.event.course,
            )
            for i in batch
            if i.event.score_visible
        ],
    )  # fmt: skip


async def on_submission_graded(session: AsyncSession, batch: Batch) -> None:
    """Only grades that are posted."""
    await tell(
        session,
        [
            Notice(
                i.event.student, "grade", i, f"/submissions/{i.event.submission}",
                what=i.event.title, course=i.event.course,
            )
            for i in batch
            if i.event.posted
        ],
    )  # fmt: skip


async def on_reply_posted(session: AsyncSession, batch: Batch) -> None:
    """The mentioned, then who is replied to, once each and never oneself.

    Chat and edits tell only the mentioned. Who has left the course is not told, as far as the fact says so
    (`readers`).
    """
    notices: list[Notice] = []
    for item in batch:
        event = item.event
        told = {event.author}
        url = f"/discussions/{event.discussion}?reply={event.reply}"
        posted = isinstance(event, forum.ReplyPosted) and not event.is_chat
        replied = (event.parent_author, event.discussion_author) if posted else ()
        for kind, users in (("mention", event.mentions), ("forum_reply", replied)):
            for user in users:
                if user is not None and user not in told and may_read(event, user):
                    told.add(user)
                    notices.append(
                        Notice(
                            user, kind, item, url, course=event.course, actor=event.author,
                            discussion=event.discussion,
                        )
                    )  # fmt: skip
    await tell(session, notices)


def may_read(event: Any, user: Any) -> bool:
    readers = getattr(event, "readers", None)
    return readers is None or user in readers


async def on_discussion_started(session: AsyncSession, batch: Batch) -> None:
    await tell(
        session,
        [
            Notice(
                user, "mention", i, f"/discussions/{i.event.discussion}", course=i.event.course,
                actor=i.event.author, discussion=i.event.discussion,
            )
            for i in batch
            for user in dict.fromkeys(i.event.mentions)
            if user != i.event.author
        ],
    )  # fmt: skip


async def on_solution_marked(session: AsyncSession, batch: Batch) -> None:
    await tell(
        session,
        [
            Notice(
                i.event.author, "solution", i, f"/discussions/{i.event.discussion}",
                course=i.event.course, actor=i.event.actor, discussion=i.event.discussion,
            )
            for i in batch
            if i.event.author != i.event.actor and may_read(i.event, i.event.author)
        ],
    )  # fmt: skip


def _ticket(user: Any, text: str, item: Any, actor: Any) -> Notice:
    for_staff = user != item.event.requester
    url = f"/support/{item.event.ticket}"
    return Notice(user, text, item, url, what=item.event.number, actor=actor, for_staff=for_staff)


async def on_ticket_answered(session: AsyncSession, batch: Batch) -> None:
    """Staff's answers go to the requester, the requester's to who is assigned; internal ones to nobody."""
    notices = []
    for item in batch:
        user = item.event.requester if item.event.by_staff else item.event.assigned_to
        if user is not None and user != item.event.author and not item.event.is_internal:
            notices.append(_ticket(user, "ticket_answered", item, item.event.author))
    await tell(session, notices)


async def on_ticket_assigned(session: AsyncSession, batch: Batch) -> None:
    await tell(
        session,
        [
            _ticket(i.event.assigned_to, "ticket_assigned", i, i.event.actor)
            for i in batch
            if i.event.assigned_to is not None and i.event.assigned_to != i.event.actor
        ],
    )


async def on_ticket_resolved(session: AsyncSession, batch: Batch) -> None:
    await tell(
        session,
        [
            _ticket(i.event.requester, "ticket_resolved", i, i.event.actor)
            for i in batch
            if i.event.actor != i.event.requester
        ],
    )


async def on_report_written(
    session: AsyncSession, batch: Sequence[Received[analytics.ReportWritten]]
) -> None:
    """Each of its recipients, with the letter that analytics has written for them."""
    notices = [
        Notice(to.user, "report", item, f"/reports/{item.event.report}", subject_id=to.letter)
        for item in batch
        if item.event is not None
        for to in item.event.recipients
    ]
    await tell(session, notices)


HANDLERS: dict[type[Any], Handler] = {
    UserState: on_user,
    CourseState: on_course,
    forum.DiscussionState: on_discussion,
    learning.StudentEnrolled: on_student_enrolled,
    learning.StudentReenrolled: on_student_enrolled,
    learning.CertificateIssued: on_certificate_issued,
    learning.CertificateRevoked: on_certificate_revoked,
    quizzes.QuizGraded: on_quiz_graded,
    learning.SubmissionGraded: on_submission_graded,
    forum.DiscussionStarted: on_discussion_started,
    forum.DiscussionChanged: on_discussion_started,
    forum.ReplyPosted: on_reply_posted,
    forum.ReplyChanged: on_reply_posted,
    forum.SolutionMarked: on_solution_marked,
    support.TicketAnswered: on_ticket_answered,
    support.TicketAssigned: on_ticket_assigned,
    support.TicketResolved: on_ticket_resolved,
    analytics.ReportWritten: on_report_written,
    **PRIVACY.handlers,
}

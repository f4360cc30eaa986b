"""Making notifications and mails, and what people do with theirs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.received import Received
from libs.common.data.db import enqueue
from libs.common.data.outbox import record
from libs.common.events.notify import MailQueued
from libs.common.live.hub import wake_room
from libs.common.privacy.parts import find_erased
from libs.common.runtime.roles import STAFF
from libs.common.security.tokens import Principal
from services.notify.access import access_notification
from services.notify.kinds import KINDS, TRANSLATIONS, title_and_message
from services.notify.models import (
    CourseTitle,
    Delivery,
    DiscussionTitle,
    Notification,
    Person,
    PrivacyPart,
)


@dataclass(frozen=True)
class Notice:
    """Something to tell one person: `kind` is one of KINDS; `what`, and what `actor`, `discussion` and
    `course` are called, complete its words."""

    user: UUID
    kind: str
    source: Received[Any]
    action_url: str
    what: str = ""
    course: UUID | None = None
    actor: UUID | None = None
    discussion: UUID | None = None
    subject_id: UUID | None = None
    for_staff: bool = False


def room_of(user: UUID) -> str:
    """The live stream of one user's notifications."""
    return f"user:{user}"


async def tell(session: AsyncSession, notices: Sequence[Notice]) -> None:
    """Write the notifications of a batch with gapless numbers per user, and queue the mails among them.

    Nobody is told who is erased or disabled, nor of the tickets of others who is not of the staff any more.
    """
    actors = {item.actor for item in notices if item.actor}
    gone = await find_erased(session, PrivacyPart, {item.user for item in notices} | actors)
    people = await _people(session, {item.user for item in notices})
    notices = [item for item in notices if item.user not in gone and _may_hear(item, people.get(item.user))]
    if not notices:
        return
    names = await _called(session, Person.uuid, Person.full_name, actors - gone)
    courses = await course_titles(session, {item.course for item in notices if item.course})
    discussions = await _called(
        session, DiscussionTitle.uuid, DiscussionTitle.title, {i.discussion for i in notices if i.discussion}
    )
    following = await _take_numbers(session, Counter(item.user for item in notices))
    rows = []
    for item in notices:
        following[item.user] += 1
        person = people.get(item.user)
        facts = {
            "text": item.kind,
            "language": TRANSLATIONS.nearest(person.locale if person else None),
            "who": names.get(item.actor, ""),
            "what": item.what,
            "discussion": discussions.get(item.discussion, ""),
            "course": courses.get(item.course, ""),
        }
        title, message = title_and_message(**facts)
        rows.append(
            {
                "uuid": uuid4(),
                "user": item.user,
                "seq": following[item.user],
                "source": UUID(item.source.id),
                "notification_type": KINDS[item.kind].type,
                "title": title,
                "message": message,
                "action_url": item.action_url,
                "course": item.course,
                "actor": item.actor,
                "discussion": item.discussion,
                "facts": facts,
                "is_read": False,
                "created_at": item.source.occurred_at,
            }
        )
    await session.execute(insert(Notification), rows)
    for user in following:
        wake_room(session, room_of(user))
    for item in notices:
        if KINDS[item.kind].mailed:
            queue_mail(session, item)


async def _take_numbers(session: AsyncSession, counts: Mapping[UUID, int]) -> dict[UUID, int]:
    """Take as many numbers of each user's stream as `counts` says; returns the last ones before them."""
    ordered = sorted(counts, key=str)  # two batches that meet lock in the same order
    result = await session.execute(
        text(
            'INSERT INTO inboxes ("user", last_seq) SELECT * FROM'
            " unnest(CAST(:u AS uuid[]), CAST(:n AS bigint[]))"
            ' ON CONFLICT ("user") DO UPDATE SET last_seq = inboxes.last_seq + excluded.last_seq'
            ' RETURNING "user", last_seq'
        ),
        {"u": ordered, "n": [counts[user] for user in ordered]},
    )
    return {user: last - counts[user] for user, last in result}


def _may_hear(item: Notice, person: Person | None) -> bool:
    if person is None:  # not heard of yet
        return True
    return person.is_active and (not item.for_staff or person.role in STAFF)


def queue_mail(session: AsyncSession, item: Notice) -> None:
    """One delivery per event and person; the unique constraint refuses a second one."""
    trace = item.source.trace
    delivery = Delivery(
        uuid=uuid4(),
        version=1,
        recipient=item.user,
        kind=item.kind,
        source=UUID(item.source.id),
        course=item.course,
        subject_id=item.subject_id,
        request_id=trace.request_id,
        traceparent=trace.traceparent,
    )
    session.add(delivery)
    event = MailQueued(
        delivery=delivery.uuid, recipient=item.user, kind=item.kind, source=UUID(item.source.id)
    )
    record(session, event, delivery.version, trace=trace)
    enqueue(session, "notify.send_mail", str(delivery.uuid), trace=trace)


async def _people(session: AsyncSession, ids: set[UUID]) -> dict[UUID, Person]:
    found = await session.scalars(select(Person).where(Person.uuid.in_(ids)))
    return {person.uuid: person for person in found}


async def _called(session: AsyncSession, key: Any, name: Any, ids: set[UUID]) -> dict[UUID | None, str]:
    """Names by id. Who is being erased, or what is being deleted, at this moment has none any more: the key
    share keeps the others until what names them is there to be found by their erasure."""
    query = select(key, name).where(key.in_(ids)).order_by(key)
    found = await session.execute(query.with_for_update(read=True, key_share=True, skip_locked=True))
    return {uuid: called for uuid, called in found}


async def retell(
    session: AsyncSession, told: ColumnElement[bool], name: str, values: Mapping[Any, str]
) -> int:
    """Make the texts that `told` finds anew: with what `values` have for the actor (`who`) or the discussion,
    and without it where they have nothing. Returns how many."""
    column = {"who": Notification.actor, "discussion": Notification.discussion}[name]
    found = await session.scalars(
        select(Notification)
        .where(told, Notification.facts.is_not(None))
        .order_by(Notification.user, Notification.seq)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    rows = found.all()
    for row in rows:
        row.facts = (row.facts or {}) | {name: values.get(getattr(row, column.key), "")}
        row.title, row.message = title_and_message(**row.facts)
    await session.flush()
    return len(rows)


async def course_titles(session: AsyncSession, ids: set[UUID]) -> dict[UUID | None, str]:
    found = await session.execute(
        select(CourseTitle.uuid, CourseTitle.title).where(CourseTitle.uuid.in_(ids))
    )
    return {uuid: title for uuid, title in found}


async def mark_read(session: AsyncSession, who: Principal, uuid: UUID, *, is_read: bool) -> Notification:
    row = await access_notification(session, who, uuid)
    row.is_read = is_read
    return row


async def mark_all_read(session: AsyncSession, who: Principal) -> int:
    """Mark everything read; returns how many were not."""
    result: Any = await session.execute(
        update(Notification)
        .where(
            Notification.user == who.user,
            Notification.is_read.is_(False),
            Notification.deleted_at.is_(None),
        )
        .values(is_read=True)
    )
    return int(result.rowcount)


async def delete_notification(session: AsyncSession, who: Principal, uuid: UUID, now: datetime) -> None:
    row = await access_notification(session, who, uuid)
    row.deleted_at = now

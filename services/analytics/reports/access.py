"""Who may have which report, and whose view of the numbers they get.

Nobody sees more by a report than by asking: a teacher's report is of the teacher's courses, whoever reads
it, and those below manager who read it teach what it is about. What a manager sends to teachers is of their
own courses.
"""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.clock import system_clock
from libs.common.runtime.errors import Forbidden, LecternError, NotFound, Unprocessable
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.zones import local_date
from services.analytics.access import access_course
from services.analytics.models import Reader, Report, ReportFile, ReportRun
from services.analytics.projection import use_live
from services.analytics.query.access import restricted_to
from services.analytics.query.plan import make_plan
from services.analytics.query.schemas import Filter, QueryRequest
from services.analytics.reports.schemas import Content

TAUGHT = "SELECT uuid FROM courses WHERE instructor = :u OR instructors ? CAST(:u AS text)"


class NotTheirs(Forbidden):
    """They may not see these numbers."""


@dataclass(frozen=True)
class Person:
    """Somebody as they are today."""

    principal: Principal
    is_active: bool = True
    locale: str = ""
    time_zone: str = "UTC"


async def access_report(session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False) -> Report:
    """One's own. Raises NotFound."""
    report = await session.get(Report, uuid, with_for_update=lock)
    if report is None or report.owner != who.user:
        raise NotFound
    return report


async def access_run(
    session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False
) -> tuple[Report, ReportRun]:
    """A run of one's own report, and the report. Raises NotFound."""
    run = await session.get(ReportRun, uuid, with_for_update=lock)
    if run is None:
        raise NotFound
    return await access_report(session, who, run.report), run


async def person(session: AsyncSession, user: UUID, *, before: str | None = None) -> Person | None:
    """Somebody as they are today; `before` is the role of one that nothing is known of."""
    row = await session.get(Reader, user)
    if row is None:
        return Person(_principal(user, before)) if before else None
    return Person(_principal(user, row.role), row.is_active, row.locale, row.time_zone)


def _principal(user: UUID, role: str) -> Principal:
    return Principal(user, user, role, 0, 0)


async def whose_view(
    session: AsyncSession, content: Content, owner: Principal, reader: Principal, today: date
) -> UUID | None:
    """Whose numbers a reader gets: None for those of everything. The session uses a projection.

    Raises Forbidden, NotFound and what a query raises where it is not for them, or not for the owner any
    more.
    """
    if content.query is not None:
        return await _of_query(session, content.query, owner, reader, today)
    if content.dashboard == "student":
        return reader.user
    _want(owner, "teacher")
    _want(reader, "teacher")
    if content.dashboard == "course":
        assert content.course is not None
        for each in (owner, reader):
            await access_course(session, each, content.course)
        return None
    if content.dashboard == "platform":
        _want(owner, "manager")
        _want(reader, "manager")
        return None
    if at_least(owner, "manager"):
        return reader.user
    await _want_courses(session, owner, reader)
    return owner.user


async def _of_query(
    session: AsyncSession, query: QueryRequest, owner: Principal, reader: Principal, today: date
) -> UUID | None:
    _want(owner, "teacher")
    _want(reader, "teacher")
    plan = make_plan(query, today)
    of_owner, of_reader = restricted_to(owner, plan), restricted_to(reader, plan)
    if of_reader is None or reader.user == owner.user:
        return of_owner
    named = _named_courses(query)
    if named:
        if not named <= await _taught(session, reader.user):
            raise NotTheirs
    elif of_owner is not None:
        await _want_courses(session, owner, reader)
    elif not await _taught(session, reader.user):
        raise NotTheirs
    return of_owner or of_reader


def _named_courses(query: QueryRequest) -> set[UUID]:
    """Courses that a query is about, by its own words."""
    found = set()
    for each in query.filters:
        if isinstance(each, Filter) and (each.member, each.operator) == ("courses.uuid", "equals"):
            found |= {UUID(str(value)) for value in each.values}
    return found


def _want(who: Principal, role: str) -> None:
    if not at_least(who, role):
        raise NotTheirs


async def _want_courses(session: AsyncSession, owner: Principal, reader: Principal) -> None:
    """Below manager one reads of another's courses what one teaches, too: all of them."""
    if reader.user == owner.user or at_least(reader, "manager"):
        return
    courses = await _taught(session, owner.user)
    if not courses or not courses <= await _taught(session, reader.user):
        raise NotTheirs


async def _taught(session: AsyncSession, user: UUID) -> set[UUID]:
    return set(await session.scalars(text(TAUGHT), {"u": user}))


def day_of(content: Content, moment: object) -> date:
    """The day that a query's relative dates are meant from."""
    return local_date(moment, content.query.timezone if content.query else "UTC")  # type: ignore[arg-type]


async def check_content(session: AsyncSession, content: Content, who: Principal, today: date) -> None:
    """Refuses what the caller may not see themselves. Raises Forbidden, Unprocessable and the like."""
    await use_live(session)
    try:
        await whose_view(session, content, who, who, today)
    except NotFound:
        raise Unprocessable.field("course", "must be a course that you teach") from None


async def may_read(session: AsyncSession, who: Principal | None, of: str, path: str) -> bool:
    """Whether a report's file is there, and still for whoever a link is for.

    `report:<file>` is for the session of the report's owner, `report:<file>:<user>` for who got it by mail.
    """
    _, uuid, *recipient = of.split(":")
    file = await session.get(ReportFile, UUID(uuid))
    run = await session.get(ReportRun, file.run) if file else None
    report = await session.get(Report, run.report) if run else None
    now = system_clock()
    if file is None or run is None or report is None or file.object != path or file.expires_at <= now:
        return False
    user = UUID(recipient[0]) if recipient else who.user if who else None
    owner = await person(session, report.owner, before=report.role)
    reader = owner if user == report.owner else await person(session, user) if user else None
    if owner is None or reader is None or not reader.is_active or not owner.is_active:
        return False
    mailed = [each["user"] for each in run.recipients if each.get("file") == str(file.uuid)]
    if user != report.owner and str(user) not in mailed:
        return False
    await use_live(session)
    content = Content.model_validate(report.asked)
    try:
        whose = await whose_view(session, content, owner.principal, reader.principal, day_of(content, now))
    except LecternError:
        return False
    return whose == file.reader

"""The completion rules of a course: read, saved, or tried.

Locks: to save, the row of the rules.
"""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.outbox import record
from libs.common.events.learning import CompletionRulesChanged
from libs.common.runtime.errors import NotFound, Unprocessable
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning.access import access_taught_course, teaches
from services.learning.checks import want_course_check
from services.learning.completion.queries import SavedRules, as_rule, facts_of, rules_of
from services.learning.completion.rules import ALL_LESSONS, is_met
from services.learning.completion.schemas import CompletionRuleRead, CompletionRulesUpdate, rule_read
from services.learning.completion.service import list_complete, list_underway
from services.learning.errors import NotEnrolled
from services.learning.models import ENROLLED, Assignment, CompletionRules, Course, Enrollment, Quiz


async def read_rules(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime
) -> tuple[list[CompletionRuleRead], int]:
    """The rules and their version, with where the caller stands. Raises NotFound, NotEnrolled."""
    course = await session.get(Course, uuid)
    if course is None or (course.status == "draft" and not teaches(who, course)):
        raise NotFound
    enrollment = await session.scalar(
        select(Enrollment).where(
            Enrollment.course == uuid, Enrollment.student == who.user, Enrollment.status.in_(ENROLLED)
        )
    )
    if enrollment is None and not teaches(who, course):
        raise NotEnrolled
    saved = await rules_of(session, uuid)
    if enrollment is None:
        return [rule_read(rule, None) for rule in saved.rules], saved.version
    facts = (await facts_of(session, saved, uuid, course.lessons, [enrollment], now))[who.user]
    return [rule_read(rule, is_met(rule, facts)) for rule in saved.rules], saved.version


async def save_rules(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: CompletionRulesUpdate,
    if_match: Precondition,
    now: datetime,
) -> CompletionRules:
    """Save the course's rules; learners who meet them already complete the course soon after."""
    course = await access_taught_course(session, who, uuid)
    await _check_subjects(session, course, body)
    await session.execute(
        insert(CompletionRules)
        .values(uuid=uuid4(), course=uuid, version=0, content=[])
        .on_conflict_do_nothing()
    )
    rules = (
        await session.scalars(
            select(CompletionRules)
            .where(CompletionRules.course == uuid)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).one()
    if_match.check(rules.version)
    rules.version += 1
    rules.content = [rule.content() for rule in body.rules] or [{"kind": "all_lessons"}]
    event = CompletionRulesChanged(
        rules=rules.uuid,
        course=uuid,
        number=rules.version,
        actor=who.user,
    )
    record(session, event, rules.version)
    await write_entry(session, "completion_rules.saved", uuid, actor=who.user)
    await session.flush()
    await want_course_check(session, uuid, now)
    return rules


async def try_rules(
    session: AsyncSession, who: Principal, uuid: UUID, body: CompletionRulesUpdate, now: datetime
) -> list[UUID]:
    """Students who would complete the course by these rules at once; nothing is saved."""
    course = await access_taught_course(session, who, uuid)
    await _check_subjects(session, course, body)
    saved = SavedRules(0, tuple(as_rule(rule.content()) for rule in body.rules) or (ALL_LESSONS,))
    found: list[UUID] = []
    after: UUID | None = None
    while enrollments := await list_underway(session, uuid, after):
        found += [each.student for each in await list_complete(session, saved, course, enrollments, now)]
        after = enrollments[-1].uuid
    return found


async def _check_subjects(session: AsyncSession, course: Course, body: CompletionRulesUpdate) -> None:
    """Raises Unprocessable for what is not of the course; lessons of its draft may be named already."""
    lessons = {UUID(lesson["uuid"]) for module in course.draft_modules for lesson in module["lessons"]}
    lessons.update(course.lessons)
    for place, rule in enumerate(body.rules):
        unknown = [lesson for lesson in rule.lessons or () if lesson not in lessons]
        if unknown:
            raise Unprocessable.field(f"rules.{place}.lessons", f"{unknown[0]} is no lesson of the course")
        if rule.quiz is not None and not await _is_there(
            session, Quiz.uuid == rule.quiz, Quiz.course == course.uuid, Quiz.deleted_at.is_(None)
        ):
            raise Unprocessable.field(f"rules.{place}.quiz", "is no quiz of the course")
        if rule.assignment is not None and not await _is_there(
            session,
            Assignment.uuid == rule.assignment,
            Assignment.course == course.uuid,
            Assignment.deleted_at.is_(None),
        ):
            raise Unprocessable.field(f"rules.{place}.assignment", "is no assignment of the course")


async def _is_there(session: AsyncSession, *conditions: ColumnElement[bool]) -> bool:
    return bool(await session.scalar(select(select(1).where(*conditions).exists())))

"""Grading policies, saved or tried, and the rows of a gradebook."""

from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.outbox import record
from libs.common.data.tables import is_any_of
from libs.common.events.learning import GradingPolicyChanged
from libs.common.runtime.errors import Unprocessable
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning.access import access_taught_course
from services.learning.checks import want_course_check
from services.learning.gradebook import rules
from services.learning.gradebook.queries import CourseGrades, load_grades, policy_at
from services.learning.gradebook.schemas import GradeChange, GradingPolicyUpdate
from services.learning.models import Assignment, GradingPolicy, GradingPolicyVersion, Quiz
from services.learning.rules import as_seen


async def save_policy(
    session: AsyncSession,
    who: Principal,
    course: UUID,
    body: GradingPolicyUpdate,
    if_match: Precondition,
    now: datetime,
) -> GradingPolicy:
    """The next version of the course's policy; earlier ones are kept for looking back."""
    await access_taught_course(session, who, course)
    check_names(body)
    await _check_items(session, course, body)
    await session.execute(
        insert(GradingPolicy).values(uuid=uuid4(), course=course, version=0).on_conflict_do_nothing()
    )
    policy = (
        await session.scalars(
            select(GradingPolicy)
            .where(GradingPolicy.course == course)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).one()
    if_match.check(policy.version)
    match_groups(body, (await policy_at(session, course, now)).body)
    policy.version += 1
    event = GradingPolicyChanged(policy=policy.uuid, course=course, number=policy.version, actor=who.user)
    session.add(
        GradingPolicyVersion(
            policy=policy.uuid,
            number=policy.version,
            content=body.model_dump(mode="json", by_alias=True),
            saved_at=now,
            saved_by=who.user,
            event=record(session, event, policy.version),
        )
    )
    await write_entry(session, "grading_policy_saved", course, actor=who.user)
    await session.flush()
    await want_course_check(session, course, now)
    return policy


def check_names(body: GradingPolicyUpdate) -> None:
    """Raises Unprocessable where people could not tell two groups or letters apart, or a uuid is of another
    version than the suite's own. Not by the schema: policies of before are read by it."""
    for field, names in (
        ("groups", [group.name for group in body.groups]),
        ("letters", [letter.letter for letter in body.letters]),
    ):
        if len({as_seen(name) for name in names}) < len(names):
            raise Unprocessable.field(field, "two of them have the same name")
    for place, group in enumerate(body.groups):
        if group.uuid.version != 4:
            raise Unprocessable.field(f"groups.{place}.uuid", "must be a uuid of version 4")


def match_groups(body: GradingPolicyUpdate, before: GradingPolicyUpdate) -> None:
    """A group that is sent by its name alone is the one that has this name: assignments name it by uuid."""
    sent = {group.uuid for group in body.groups if "uuid" in group.model_fields_set}
    known = {as_seen(group.name): group.uuid for group in before.groups}
    for group in body.groups:
        uuid = known.get(as_seen(group.name))
        if uuid is not None and uuid not in sent and group.uuid not in sent:
            group.uuid = uuid


async def _check_items(session: AsyncSession, course: UUID, body: GradingPolicyUpdate) -> None:
    """Raises Unprocessable for what never was a quiz or an assignment of the course."""
    named = {item for group in body.groups for item in group.items} | set(body.extra_credit)
    known: set[UUID] = set()
    for model in (Quiz, Assignment) if named else ():
        known.update(
            await session.scalars(
                select(model.uuid).where(model.course == course, is_any_of(model.uuid, named))
            )
        )
    for place, group in enumerate(body.groups):
        if unknown := set(group.items) - known:
            raise Unprocessable.field(f"groups.{place}.items", f"{min(unknown)} is no item of the course")
    if unknown := set(body.extra_credit) - known:
        raise Unprocessable.field("extra_credit", f"{min(unknown)} is no item of the course")


async def try_policy(
    session: AsyncSession, who: Principal, course: UUID, body: GradingPolicyUpdate, now: datetime
) -> list[GradeChange]:
    """Whose current grade would move, and how; nothing is saved."""
    await access_taught_course(session, who, course)
    check_names(body)
    await _check_items(session, course, body)
    match_groups(body, (await policy_at(session, course, now)).body)
    before = totals(await load_grades(session, course, now), "current")
    after = totals(await load_grades(session, course, now, policy=body), "current")
    return [
        GradeChange(user=user, before=number(before[user]), after=number(after[user]))
        for user in before
        if rules.rounded(before[user]) != rules.rounded(after[user])
    ]


def totals(grades: CourseGrades, view: rules.View) -> dict[UUID, Fraction | None]:
    policy = grades.policy.terms
    return {
        user: rules.grade(policy, [each.item_grade for each in item_grades], view).percentage
        for user, item_grades in grades.item_grades.items()
    }


def number(value: Fraction | None) -> float | None:
    """As shown, as a JSON number."""
    rounded = rules.rounded(value)
    return None if rounded is None else float(rounded)


def row(grades: CourseGrades, user: UUID) -> dict[str, Any]:
    """One learner's cells and totals."""
    policy = grades.policy.terms
    item_grades = [each.item_grade for each in grades.item_grades[user]]
    current = rules.grade(policy, item_grades, "current").percentage
    cells = {
        item_grade.item.uuid: {"score": number(item_grade.earned), "status": item_grade.status}
        for item_grade in item_grades
    }
    return {
        "user": user,
        "name": grades.names[user],
        "cells": cells,
        "current": number(current),
        "final": number(rules.grade(policy, item_grades, "final").percentage),
        "letter": rules.letter_of(current, policy.letters),
    }


def items(grades: CourseGrades) -> list[dict[str, Any]]:
    return [
        {
            "uuid": each.item.uuid,
            "kind": each.kind,
            "title": each.item.title,
            "points": float(each.item.points),
            "group": each.item.group,
            "extra_credit": each.item.extra_credit,
            "due_at": each.due_at,
            "posted": each.posted,
        }
        for each in grades.items
    ]

"""Saving the policy, keeping marks, and showing what follows from both."""

from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.outbox import record
from libs.common.data.tables import among
from libs.common.events.learning import GradingPolicyChanged
from libs.common.runtime.errors import Unprocessable
from libs.common.security.tokens import Principal
from libs.common.web.etags import check_if_match
from services.learning.access import access_taught_course
from services.learning.checks import want_course_check
from services.learning.gradebook import rules
from services.learning.gradebook.queries import Book, load_book, policy_at
from services.learning.gradebook.schemas import Change, PolicyBody
from services.learning.models import Assignment, GradingPolicy, GradingPolicyVersion, Quiz
from services.learning.rules import as_seen


async def save_policy(
    session: AsyncSession, who: Principal, course: UUID, body: PolicyBody, request: Request, now: datetime
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
    check_if_match(request, policy.version)
    keep_groups(body, (await policy_at(session, course, now)).body)
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


def check_names(body: PolicyBody) -> None:
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


def keep_groups(body: PolicyBody, before: PolicyBody) -> None:
    """A group that is sent by its name alone is the one that has this name: assignments name it by uuid."""
    sent = {group.uuid for group in body.groups if "uuid" in group.model_fields_set}
    known = {as_seen(group.name): group.uuid for group in before.groups}
    for group in body.groups:
        uuid = known.get(as_seen(group.name))
        if uuid is not None and uuid not in sent and group.uuid not in sent:
            group.uuid = uuid


async def _check_items(session: AsyncSession, course: UUID, body: PolicyBody) -> None:
    """Raises Unprocessable for what never was a quiz or an assignment of the course."""
    named = {item for group in body.groups for item in group.items} | set(body.extra_credit)
    known: set[UUID] = set()
    for model in (Quiz, Assignment) if named else ():
        known.update(
            await session.scalars(select(model.uuid).where(model.course == course, among(model.uuid, named)))
        )
    for place, group in enumerate(body.groups):
        if unknown := set(group.items) - known:
            raise Unprocessable.field(f"groups.{place}.items", f"{min(unknown)} is no item of the course")
    if unknown := set(body.extra_credit) - known:
        raise Unprocessable.field("extra_credit", f"{min(unknown)} is no item of the course")


async def try_policy(
    session: AsyncSession, who: Principal, course: UUID, body: PolicyBody, now: datetime
) -> list[Change]:
    """Whose current grade would move, and how; nothing is saved."""
    await access_taught_course(session, who, course)
    check_names(body)
    await _check_items(session, course, body)
    keep_groups(body, (await policy_at(session, course, now)).body)
    before = totals(await load_book(session, course, now), "current")
    after = totals(await load_book(session, course, now, policy=body), "current")
    return [
        Change(user=user, before=number(before[user]), after=number(after[user]))
        for user in before
        if rules.rounded(before[user]) != rules.rounded(after[user])
    ]


def totals(book: Book, view: rules.View) -> dict[UUID, Fraction | None]:
    policy = book.policy.terms
    return {
        user: rules.grade(policy, [each.mark for each in marks], view).percentage
        for user, marks in book.marks.items()
    }


def number(value: Fraction | None) -> float | None:
    """As shown, as a JSON number."""
    rounded = rules.rounded(value)
    return None if rounded is None else float(rounded)


def row(book: Book, user: UUID) -> dict[str, Any]:
    """One learner's cells and totals."""
    policy = book.policy.terms
    marks = [each.mark for each in book.marks[user]]
    current = rules.grade(policy, marks, "current").percentage
    cells = {mark.item.uuid: {"score": number(mark.earned), "status": mark.status} for mark in marks}
    return {
        "user": user,
        "name": book.names[user],
        "cells": cells,
        "current": number(current),
        "final": number(rules.grade(policy, marks, "final").percentage),
        "letter": rules.letter_of(current, policy.letters),
    }


def items(book: Book) -> list[dict[str, Any]]:
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
        for each in book.items
    ]

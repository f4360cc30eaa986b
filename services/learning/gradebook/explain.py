"""The tree under a grade: groups by their share, items by their points, down to the event and the policy."""

from fractions import Fraction
from typing import Any
from uuid import UUID

from libs.common.data.uuids import as_v4
from services.learning.gradebook import rules
from services.learning.gradebook.queries import Book, BookMark
from services.learning.gradebook.service import number

STATUS_RULES = {
    "missing": "nothing was handed in by the due time",
    "open": "nothing is handed in yet",
    "submitted": "handed in, not graded yet, or not to be seen yet",
    "excused": "excused: it counts for nothing",
}


def explain(book: Book, user: UUID, view: rules.View) -> dict[str, Any]:
    """How a learner's current or final grade came about."""
    policy = book.policy.terms
    kept = {each.mark.item.uuid: each for each in book.marks[user]}
    result = rules.grade(policy, [each.mark for each in book.marks[user]], view)
    children = [_group(book, group, kept, policy) for group in result.groups]
    aside = [
        _item(each, Fraction(0), policy, _aside_rule(each, policy, view))
        for each in kept.values()
        if not any(each.mark in (*group.counted, *group.dropped) for group in result.groups)
    ]
    if aside:
        children.append(_line("Not counted", None, None, "counts for nothing in this grade", None, aside))
    rule = "each group's percentage times its share of the weights of groups that count"
    if book.policy.version:
        rule += f"; version {book.policy.version} of the policy"
    label = "Current grade" if view == "current" else "Final grade"
    return _line(label, number(result.percentage), None, rule, _policy_source(book), children)


def _group(
    book: Book, group: rules.GroupGrade, kept: dict[UUID, BookMark], policy: rules.Policy
) -> dict[str, Any]:
    lines = [
        _item(
            kept[mark.item.uuid],
            rules.earned(mark) * 100 / group.possible if group.possible else Fraction(0),
            policy,
            "extra credit: adds to what is earned only" if mark.item.extra_credit else "",
        )
        for mark in group.counted
    ]
    lines += [
        _item(kept[mark.item.uuid], Fraction(0), policy, "dropped, as the policy of the group says")
        for mark in group.dropped
    ]
    drops = group.group
    points = f"{number(group.earned)} of {number(group.possible)} points"
    rule = f"{points}; {number(group.share * 100)} % of the grade"
    if drops.drop_lowest or drops.drop_highest:
        rule += f"; drops {drops.drop_lowest} lowest and {drops.drop_highest} highest"
    if group.percentage is None:
        rule = "nothing in it counts yet: its weight is shared out among the others"
    contribution = group.share * (group.percentage or 0)
    value, part = number(group.percentage), number(contribution)
    return _line(drops.name, value, part, rule, _policy_source(book), lines)


def _item(kept: BookMark, contribution: Fraction, policy: rules.Policy, why: str) -> dict[str, Any]:
    mark = kept.mark
    words = [why] if why else []
    if mark.status == "graded" and kept.raw is not None:
        words.append(f"{number(mark.earned)} of {number(Fraction(mark.item.points))} points")
        if policy.late is not None and kept.late_seconds > 0:
            words.append(
                f"{number(Fraction(kept.raw))} before lateness: {policy.late.percent} % for each"
                f" {policy.late.unit} begun, not below {policy.late.floor} %"
            )
    else:
        words.append(STATUS_RULES.get(mark.status, mark.status))
    children = []
    if kept.event is not None:
        source = {"type": "event", "uuid": mark.item.uuid, "event_id": _public(kept.event)}
        value = None if kept.raw is None else number(Fraction(kept.raw))
        children.append(_line("Recorded", value, None, f"{mark.status}, as published", source, []))
    source = {"type": "item", "uuid": mark.item.uuid, "event_id": _public(kept.event)}
    return _line(
        mark.item.title, number(mark.earned), number(contribution), "; ".join(words), source, children
    )


def _aside_rule(kept: BookMark, policy: rules.Policy, view: rules.View) -> str:
    if rules.counts(kept.mark, policy, view) and policy.groups:
        return "it lies in no group"
    return ""


def _policy_source(book: Book) -> dict[str, Any] | None:
    if book.policy.uuid is None:
        return None
    return {"type": "policy", "uuid": book.policy.uuid, "event_id": _public(book.policy.event)}


def _line(
    label: str,
    value: float | None,
    contribution: float | None,
    rule: str,
    source: dict[str, Any] | None,
    children: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "label": label, "value": value, "contribution": contribution, "rule": rule, "source": source,
        "children": children,
    }  # fmt: skip


def _public(event: UUID | None) -> UUID | None:
    return None if event is None else as_v4(event)

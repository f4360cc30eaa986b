"""The tree under a grade: groups by their share, items by their points, down to the event and the policy."""

from fractions import Fraction
from typing import Any
from uuid import UUID

from libs.common.data.uuids import as_v4
from services.learning.gradebook import rules
from services.learning.gradebook.queries import CourseGrades, RecordedGrade
from services.learning.gradebook.service import number

STATUS_RULES = {
    "missing": "nothing was handed in by the due time",
    "open": "nothing is handed in yet",
    "submitted": "handed in, not graded yet, or not to be seen yet",
    "excused": "excused: it counts for nothing",
}


def explain(grades: CourseGrades, user: UUID, view: rules.View) -> dict[str, Any]:
    """How a learner's current or final grade came about."""
    policy = grades.policy.terms
    recorded = {each.item_grade.item.uuid: each for each in grades.item_grades[user]}
    result = rules.grade(policy, [each.item_grade for each in grades.item_grades[user]], view)
    children = [_group(grades, group, recorded, policy) for group in result.groups]
    aside = [
        _item(each, Fraction(0), policy, _aside_rule(each, policy, view))
        for each in recorded.values()
        if not any(each.item_grade in (*group.counted, *group.dropped) for group in result.groups)
    ]
    if aside:
        children.append(_line("Not counted", None, None, "counts for nothing in this grade", None, aside))
    rule = "each group's percentage times its share of the weights of groups that count"
    if grades.policy.version:
        rule += f"; version {grades.policy.version} of the policy"
    label = "Current grade" if view == "current" else "Final grade"
    return _line(label, number(result.percentage), None, rule, _policy_source(grades), children)


def _group(
    grades: CourseGrades, group: rules.GroupGrade, recorded: dict[UUID, RecordedGrade], policy: rules.Policy
) -> dict[str, Any]:
    lines = [
        _item(
            recorded[item_grade.item.uuid],
            rules.points_earned(item_grade) * 100 / group.possible if group.possible else Fraction(0),
            policy,
            "extra credit: adds to what is earned only" if item_grade.item.extra_credit else "",
        )
        for item_grade in group.counted
    ]
    lines += [
        _item(recorded[item_grade.item.uuid], Fraction(0), policy, "dropped, as the policy of the group says")
        for item_grade in group.dropped
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
    return _line(drops.name, value, part, rule, _policy_source(grades), lines)


def _item(recorded: RecordedGrade, contribution: Fraction, policy: rules.Policy, why: str) -> dict[str, Any]:
    item_grade = recorded.item_grade
    words = [why] if why else []
    if item_grade.status == "graded" and recorded.raw is not None:
        words.append(f"{number(item_grade.earned)} of {number(Fraction(item_grade.item.points))} points")
        if policy.late is not None and recorded.late_seconds > 0:
            words.append(
                f"{number(Fraction(recorded.raw))} before lateness: {policy.late.percent} % for each"
                f" {policy.late.unit} begun, not below {policy.late.floor} %"
            )
    else:
        words.append(STATUS_RULES.get(item_grade.status, item_grade.status))
    children = []
    if recorded.event is not None:
        source = {"type": "event", "uuid": item_grade.item.uuid, "event_id": _public(recorded.event)}
        value = None if recorded.raw is None else number(Fraction(recorded.raw))
        children.append(_line("Recorded", value, None, f"{item_grade.status}, as published", source, []))
    source = {"type": "item", "uuid": item_grade.item.uuid, "event_id": _public(recorded.event)}
    return _line(
        item_grade.item.title,
        number(item_grade.earned),
        number(contribution),
        "; ".join(words),
        source,
        children,
    )


def _aside_rule(recorded: RecordedGrade, policy: rules.Policy, view: rules.View) -> str:
    if rules.counts(recorded.item_grade, policy, view) and policy.groups:
        return "it lies in no group"
    return ""


def _policy_source(grades: CourseGrades) -> dict[str, Any] | None:
    if grades.policy.uuid is None:
        return None
    return {"type": "policy", "uuid": grades.policy.uuid, "event_id": _public(grades.policy.event)}


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

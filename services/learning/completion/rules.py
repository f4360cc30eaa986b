"""When a course counts as completed: a list of rules that must all be met. No rules: all of its lessons.

What a rule names may be gone by now (a lesson that left the revision, a deleted quiz): then it asks nothing,
and where nothing is asked at all, all lessons are.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from uuid import UUID

Kind = Literal["all_lessons", "required_lessons", "minimum_score", "quiz_passed", "assignment_graded"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; which of the fields it has follows from its kind."""

    kind: Kind
    lessons: frozenset[UUID] = frozenset()
    score: Decimal = Decimal(0)
    subject: UUID | None = None
    """The quiz or the assignment."""


ALL_LESSONS = Rule("all_lessons")


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a learner decides. Scores are grades as shown, of what is posted, `score` the final one; none
    where no rule asks for them."""

    lessons: Collection[UUID]
    """Of the published revision."""
    completed: Collection[UUID]
    score: Decimal | None = None
    passed: Collection[UUID] = ()
    """Quizzes passed by their scoring, or excused from; of surveys those submitted."""
    graded: Collection[UUID] = ()
    """Assignments with a posted grade or excuse."""
    items: Collection[UUID] = ()
    """Quizzes and assignments that are there."""
    current_score: Decimal | None = None


def asks(rule: Rule, facts: Facts) -> bool:
    """Whether what the rule names is still there."""
    if rule.kind == "required_lessons":
        return not rule.lessons.isdisjoint(facts.lessons)
    if rule.kind in ("quiz_passed", "assignment_graded"):
        return rule.subject in facts.items
    return True


def is_met(rule: Rule, facts: Facts) -> bool:
    if not asks(rule, facts):
        return True
    if rule.kind == "all_lessons":
        return bool(facts.lessons) and set(facts.lessons).issubset(facts.completed)
    if rule.kind == "required_lessons":
        return rule.lessons.intersection(facts.lessons).issubset(facts.completed)
    if rule.kind == "minimum_score":
        return facts.score is not None and facts.score >= rule.score
    return rule.subject in (facts.passed if rule.kind == "quiz_passed" else facts.graded)


def is_complete(rules: Sequence[Rule], facts: Facts) -> bool:
    """Whether a learner has completed the course."""
    asking = [rule for rule in rules if asks(rule, facts)] or [ALL_LESSONS]
    return all(is_met(rule, facts) for rule in asking)

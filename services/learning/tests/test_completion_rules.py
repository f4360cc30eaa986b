"""What each rule asks of a learner, and that it asks nothing where what it names is gone."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from services.learning.completion.rules import ALL_LESSONS, Facts, Rule, asks, is_complete, is_met

ONE, TWO, GONE, QUIZ, ESSAY = (UUID(int=n) for n in range(1, 6))
FACTS = Facts(lessons=[ONE, TWO], completed=[ONE], items=[QUIZ, ESSAY])
LESSONS = Rule("required_lessons", lessons=frozenset({TWO, GONE}))
SCORE = Rule("minimum_score", score=Decimal(50))
PASSED, GRADED = Rule("quiz_passed", subject=QUIZ), Rule("assignment_graded", subject=ESSAY)


@pytest.mark.parametrize(
    ("rule", "missing", "met"),
    [
        (ALL_LESSONS, FACTS, replace(FACTS, completed=[TWO, ONE, GONE])),
        (ALL_LESSONS, replace(FACTS, lessons=[], completed=[ONE]), replace(FACTS, lessons=[ONE])),
        (LESSONS, FACTS, replace(FACTS, completed=[TWO])),
        (SCORE, FACTS, replace(FACTS, score=Decimal(50))),
        (SCORE, replace(FACTS, score=Decimal("49.99")), replace(FACTS, score=Decimal("50.01"))),
        (PASSED, replace(FACTS, graded=[QUIZ]), replace(FACTS, passed=[QUIZ])),
        (GRADED, replace(FACTS, passed=[ESSAY]), replace(FACTS, graded=[ESSAY])),
    ],
)
def test_a_rule_is_met_by_what_it_names_and_nothing_else(rule: Rule, missing: Facts, met: Facts):
    assert asks(rule, missing)
    assert not is_met(rule, missing)
    assert not is_complete([rule], missing)
    assert is_met(rule, met)
    assert is_complete([rule], met)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("required_lessons", lessons=frozenset({GONE})),
        Rule("quiz_passed", subject=GONE),
        Rule("assignment_graded", subject=GONE),
    ],
)
def test_a_rule_whose_subject_is_gone_asks_nothing_and_all_lessons_are_asked(rule: Rule):
    assert not asks(rule, FACTS)
    assert is_met(rule, FACTS)
    assert not is_complete([rule], FACTS)
    assert is_complete([rule], replace(FACTS, completed=[ONE, TWO]))
    assert is_complete([rule, PASSED], replace(FACTS, completed=[], passed=[QUIZ]))


def test_every_rule_must_be_met():
    both = replace(FACTS, passed=[QUIZ], graded=[ESSAY])
    assert is_complete([PASSED, GRADED], both)
    assert not is_complete([PASSED, GRADED], replace(both, graded=[]))
    assert not is_complete([], FACTS)
    assert is_complete([], replace(FACTS, completed=[ONE, TWO]))

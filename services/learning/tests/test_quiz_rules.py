"""Scoring against an oracle that works it out the long way."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.learning.quizzes import rules
from services.learning.quizzes.kinds import kind_of
from services.learning.quizzes.kinds.short_answer import folded
from services.learning.windows import is_over, is_visible, latest_close

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
numbers = st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=4)


def choice(right: list[bool]) -> dict[str, Any]:
    return {
        "options": [
            {"uuid": str(n), "text": "t", "is_correct": r, "feedback": ""} for n, r in enumerate(right)
        ]
    }


def matching(rights: list[str]) -> dict[str, Any]:
    return {
        "pairs": [
            {"left": {"uuid": f"l{n}", "text": f"left {n}"}, "right": {"uuid": f"r{n}", "text": text}}
            for n, text in enumerate(rights)
        ]
    }


def ordering(items: list[str]) -> dict[str, Any]:
    return {"items": [{"uuid": f"i{n}", "text": text} for n, text in enumerate(items)]}


@given(st.lists(st.booleans(), min_size=2, max_size=8).filter(any), st.data())
def test_multiple_choice_is_right_minus_wrong_of_all_right_or_all_or_nothing(right, data):
    chosen = data.draw(st.lists(st.sampled_from(range(len(right))), unique=True))
    points_earned = 0
    for one in chosen:
        points_earned += 1 if right[one] else -1
    expected = Fraction(max(points_earned, 0), sum(right))
    answer = [str(one) for one in chosen]
    kind_of("multiple_choice").check_answer(choice(right), answer)
    assert kind_of("multiple_choice").share(choice(right), answer, True) == expected
    whole = all((str(n) in answer) == r for n, r in enumerate(right))
    assert kind_of("multiple_choice").share(choice(right), answer, False) == int(whole)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=6), st.data())
def test_matching_is_the_share_in_place_whatever_uuid_equal_rights_have(rights, data):
    places = st.integers(0, len(rights) - 1)
    answer = data.draw(st.dictionaries(places, places))
    placed = 0
    for left, right in answer.items():
        placed += rights[left] == rights[right]
    given_answer = {f"l{left}": f"r{right}" for left, right in answer.items()}
    kind_of("matching").check_answer(matching(rights), given_answer)
    for partial in (True, False):
        share = kind_of("matching").share(matching(rights), given_answer, partial)
        assert share == Fraction(placed, len(rights))


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=7), st.randoms())
def test_ordering_is_the_share_in_place_whatever_uuid_equal_items_have(items, chance):
    order = list(range(len(items)))
    chance.shuffle(order)
    placed = 0
    for place, one in enumerate(order):
        placed += items[place] == items[one]
    answer = [f"i{one}" for one in order]
    kind_of("ordering").check_answer(ordering(items), answer)
    assert kind_of("ordering").share(ordering(items), answer, True) == Fraction(placed, len(items))


@given(numbers, numbers, st.decimals(0, 10**6, places=4))
def test_a_number_is_right_within_the_tolerance_exactly(value, answer, tolerance):
    content = {"value": str(value), "tolerance": str(tolerance)}
    typed = float(answer)
    low, high = Fraction(value) - Fraction(tolerance), Fraction(value) + Fraction(tolerance)
    assert kind_of("numeric").share(content, typed, True) == int(low <= Fraction(repr(typed)) <= high)


@given(numbers, st.integers(0, 10**6))
def test_the_bound_of_the_tolerance_is_right(value, steps):
    tolerance = Decimal(steps) / 10_000
    content = {"value": str(value), "tolerance": str(tolerance)}
    for bound in (value - tolerance, value + tolerance):
        if Decimal(repr(float(bound))) == bound:
            assert kind_of("numeric").share(content, float(bound), True) == 1


@given(TEXTS, st.text(" \t\u00a0", max_size=3))
def test_a_short_answer_counts_however_it_is_cased_and_spaced(text, space):
    content = {"accepted": ["something else", text]}
    for written in (text, text.upper().lower().upper(), f"{space}{text}{space}"):
        same = folded(written) == folded(text)
        assert kind_of("short_answer").share(content, written, True) == int(same)
    assert folded(f"{space}{text}{space}") == folded(text)


@given(st.lists(st.booleans(), min_size=2, max_size=6).filter(any), st.data())
def test_a_regrade_gives_the_new_share_the_better_one_or_all(right, data):
    size = len(right)
    corrected = data.draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(any))
    chosen = data.draw(st.none() | st.lists(st.sampled_from([str(n) for n in range(size)]), unique=True))
    partial, then = data.draw(st.booleans()), data.draw(st.booleans())
    kind = "multiple_choice"
    old = kind_of(kind).share(choice(right), chosen, partial)
    new = kind_of(kind).share(choice(corrected), chosen, then)
    pinned = {**choice(right), "partial_credit": partial}
    expected = {"full_credit": Fraction(1), "new_only": new, "old_or_new": max(old, new)}
    for mode, share in expected.items():
        content = kind_of(kind).regraded(pinned, choice(corrected), mode, list)
        assert kind_of(kind).share(content, chosen, then) == share
        again = kind_of(kind).regraded(
            {**content, "partial_credit": then}, choice(corrected), "old_or_new", list
        )
        assert kind_of(kind).share(again, chosen, then) == max(share, new)


@given(st.lists(TEXTS, min_size=2, max_size=6, unique_by=folded))
def test_what_is_pinned_holds_the_same_and_scores_the_same(texts):
    def shuffle(ones: list[Any]) -> list[Any]:
        return random.sample(ones, len(ones))

    for kind, content in (("matching", matching(texts)), ("ordering", ordering(texts))):
        pinned = kind_of(kind).pin(content, shuffle, False)
        right = kind_of(kind).right_answer(content)
        kind_of(kind).check(pinned)
        assert kind_of(kind).share(pinned, right, True) == 1
        wanted = right.values() if kind == "matching" else right
        assert sorted(pinned["order"]) == sorted(wanted)


@given(st.lists(st.decimals(0, 100, places=2), min_size=1, max_size=8))
def test_scoring_picks_the_attempts_that_it_names(marks):
    oracle = {
        "highest": sorted(marks)[-1],
        "latest": marks[len(marks) - 1],
        "first": marks[0],
        "average": Decimal(sum(int(mark * 100) for mark in marks)) / len(marks) / 100,
    }
    for scoring, expected in oracle.items():
        found = rules.quiz_result(scoring, marks)
        assert found is not None
        assert abs(found - expected) < Decimal("1e-20")


moments = st.none() | st.integers(0, 10_000).map(lambda n: NOW + timedelta(seconds=n))


@given(st.none() | st.integers(1, 5_000), moments, moments, st.integers(0, 5_000), st.integers(0, 20_000))
def test_an_extension_never_takes_time_away(limit, closes_at, extended, extra, moment):
    plain = rules.attempt_deadline(NOW, limit, closes_at)
    close = latest_close(closes_at, extended)
    longer = rules.attempt_deadline(NOW, limit, close, extra)
    now = NOW + timedelta(seconds=moment)
    if not is_over(plain, now):
        assert not is_over(longer, now)
    if is_visible("after_close", close, now):
        assert is_visible("after_close", closes_at, now)


@given(st.lists(st.floats(0, 10), min_size=3, max_size=12), st.floats(0.1, 5))
def test_discrimination_is_one_for_a_question_that_goes_with_the_rest(points, slope):
    rest = [point * slope for point in points]
    found = rules.discrimination(points, rest)
    spread = any(abs(one - two) > 1e-3 for one, two in pairwise(points))
    if found is not None and spread:
        assert found > 0.999
        assert (rules.discrimination(points, [-one for one in rest]) or 0) < -0.999

"""Slugs, places and circles, at their edges."""

from uuid import UUID

import pytest

from services.catalog import rules
from services.catalog.errors import InvalidTransition

A, B, C, D = (UUID(int=n) for n in range(1, 5))


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        ("-- Graphs --", "graphs"),
        ("a" * 81, "a" * 80),
        ("a" * 79 + " b", "a" * 79),
        ("XX marks", "xx-marks"),
        ("x graphs x", "x-graphs-x"),
        ("A  &  B", "a-b"),
    ],
)
def test_a_slug_has_eighty_characters_at_most_and_no_hyphens_around(words: str, slug: str):
    assert rules.slug_of(words) == slug


def test_a_draft_says_that_it_is_one():
    with pytest.raises(InvalidTransition) as refused:
        rules.check_transition("draft", "draft")
    assert str(refused.value) == refused.value.detail == "The course is a draft already."


@pytest.mark.parametrize(
    ("edits", "enrolled", "is_preview", "shown"),
    [
        (False, False, False, False),
        (True, False, False, True),
        (False, True, False, True),
        (False, False, True, True),
    ],
)
def test_who_reads_a_lesson(edits: bool, enrolled: bool, is_preview: bool, shown: bool):
    assert rules.shows_body(edits=edits, enrolled=enrolled, is_preview=is_preview) is shown


def lesson(uuid: str, minutes: int | None, video: int | None) -> dict:
    return {"uuid": uuid, "estimated_time_minutes": minutes, "video_duration": video}


def test_a_course_takes_what_its_authors_say_or_its_videos_take():
    modules = [
        {"lessons": [lesson("a", 5, 999), lesson("b", None, 61)]},
        {"lessons": [lesson("c", None, 60), lesson("d", 0, 600), lesson("e", None, None)]},
    ]
    assert rules.minutes_of(modules) == 5 + 2 + 1
    assert rules.lesson_ids(modules) == ["a", "b", "c", "d", "e"]
    assert rules.minutes_of([]) == 0
    assert rules.hours_of(None, 100) == 1.67
    assert rules.hours_of(None, 0) == 0
    assert rules.hours_of(0, 100) == 0
    assert rules.hours_of(2.5, 100) == 2.5


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        ((), "trees"),
        (("trees",), "trees-2"),
        (("trees", "trees-2", "trees-3"), "trees-4"),
        (("trees", "trees-3"), "trees-2"),
    ],
)
def test_a_name_that_is_taken_gets_the_first_free_number(taken: tuple[str, ...], name: str):
    assert rules.free_name("trees", taken) == name


def test_a_numbered_name_is_no_longer_than_it_may_be():
    assert rules.free_name("a" * 100, {"a" * 100}) == "a" * 98 + "-2"
    assert rules.free_name("ab-cd", {"ab-cd"}, 5) == "ab-2"
    assert rules.free_name("x" * 7, {"x" * 7}, 7) == "xxxxx-2"
    assert rules.free_name("aXX-", {"aXX-"}, 5) == "aXX-2"


@pytest.mark.parametrize(
    ("wanted", "taken", "before", "moved"),
    [
        (1, [0, 1, 2], 1, {1: 2, 2: 3}),
        (2, [0, 1, 2], 0, {2: 1, 1: 0, 0: -1}),
        (0, [0, 1], 2, {0: 1, 1: 2}),
        (5, [0, 1], None, {}),
    ],
)
def test_a_taken_place_is_vacated_towards_where_it_came_from(
    wanted: int, taken: list[int], before: int | None, moved: dict[int, int]
):
    assert rules.place(wanted, taken, before) == (wanted, moved)


def test_circles_are_found_beside_dead_ends_and_other_circles():
    assert not rules.has_cycle(A, {})
    assert not rules.has_cycle(A, {B: [A]})
    assert not rules.has_cycle(A, {A: [B, C], B: [D], C: [D]})
    assert not rules.has_cycle(A, {A: [B], B: [C], C: [B]})
    assert rules.has_cycle(A, {A: [B], B: [C], C: [B, A]})
    assert rules.has_cycle(A, {A: [A]})


def test_levels_are_those_above_and_below():
    assert rules.levels(A, {}) == 1
    assert rules.levels(B, {B: A}) == 2
    assert rules.levels(A, {B: A, C: B, D: A}) == 3
    assert rules.levels(D, {B: A, C: B, D: A}) == 2

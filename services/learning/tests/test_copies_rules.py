"""Copies of a course's work: ids that come out the same each time, and names that point to copies."""

from typing import Any
from uuid import UUID

from services.learning.copies import rules

SOURCE, COURSE, OTHER = (UUID(int=n) for n in (1, 2, 3))
A, B, C = "a", "b", "c"
NAMES = {A: "copy of a", B: "copy of b"}


def test_the_id_of_a_copy_never_changes():
    """Of an event that is delivered again, and in the release after this one."""
    assert rules.copied_id(SOURCE, COURSE) == UUID("2e367f64-6fb7-4038-9487-b068d5b33305")
    assert rules.copied_id(SOURCE, COURSE).version == 4
    assert len({rules.copied_id(*pair) for pair in ((SOURCE, COURSE), (SOURCE, OTHER), (OTHER, SOURCE))}) == 3


def test_ids_are_replaced_wherever_they_stand_and_nothing_else_is():
    content = {A: [A, {"x": B, "y": [C, 1, None, True]}], "n": 1.5}
    assert rules.renamed(content, NAMES) == {
        A: ["copy of a", {"x": "copy of b", "y": [C, 1, None, True]}],
        "n": 1.5,
    }


def test_a_policy_keeps_its_groups_without_what_was_not_copied():
    group = {"uuid": str(SOURCE), "name": "Essays", "items": [A, C, B]}
    content = {"groups": [group, {"uuid": str(OTHER)}], "extra_credit": [C, B], "rounding": 2}
    assert rules.copied_policy(content, NAMES, COURSE) == {
        "groups": [
            {
                "uuid": str(rules.copied_id(SOURCE, COURSE)),
                "name": "Essays",
                "items": ["copy of a", "copy of b"],
            },
            {"uuid": str(rules.copied_id(OTHER, COURSE)), "items": []},
        ],
        "extra_credit": ["copy of b"],
        "rounding": 2,
    }
    assert rules.copied_policy({}, NAMES, COURSE) == {"groups": [], "extra_credit": []}


def test_rules_keep_what_was_copied_and_go_where_nothing_was():
    lessons: dict[str, Any] = {"kind": "required_lessons", "lessons": [A, C]}
    quiz, assignment = {"kind": "quiz_passed", "quiz": B}, {"kind": "assignment_graded", "assignment": A}
    score = {"kind": "minimum_score", "score": "50"}
    assert rules.copied_rules([lessons, quiz, assignment, score], NAMES) == [
        {"kind": "required_lessons", "lessons": ["copy of a"]},
        {"kind": "quiz_passed", "quiz": "copy of b"},
        {"kind": "assignment_graded", "assignment": "copy of a"},
        score,
    ]
    gone: list[dict[str, Any]] = [
        {"kind": "required_lessons", "lessons": [C]},
        {"kind": "quiz_passed", "quiz": C},
        {"kind": "assignment_graded", "assignment": C},
    ]
    assert rules.copied_rules([*gone, score], NAMES) == [score]
    assert rules.copied_rules(gone, NAMES) == [{"kind": "all_lessons"}]
    assert rules.copied_rules([], NAMES) == [{"kind": "all_lessons"}]

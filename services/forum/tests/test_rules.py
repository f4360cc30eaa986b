"""Decisions of forum, and rich text."""

from uuid import uuid4

import pytest

from services.forum.rules import (
    MOST_MENTIONS,
    folded,
    may_post,
    may_write,
    mentioned,
    mentions_of,
    standing,
    without_mentions,
)


def place(**facts):
    return standing(
        **{"staff": False, "platform": False, "known": True, "instructor": False, "enrollment": None} | facts
    )


@pytest.mark.parametrize("status", ["enrolled", "in_progress", "completed"])
def test_who_learns_in_a_course_enters_its_forum(status: str):
    assert place(enrollment=status).may_enter
    assert not place(enrollment=status).may_moderate


@pytest.mark.parametrize("status", [None, "dropped", "waitlisted"])
def test_who_does_not_learn_there_stays_outside(status: str | None):
    assert not place(enrollment=status).may_enter


def test_instructors_and_staff_enter_and_moderate():
    assert place(instructor=True).may_moderate
    assert place(staff=True).may_moderate
    assert place(platform=True).may_enter
    assert not place(platform=True).may_moderate


def test_only_staff_enter_the_forum_of_a_course_that_is_gone():
    assert not place(known=False, instructor=True, enrollment="enrolled").may_enter
    assert place(known=False, staff=True).may_enter


def test_mentions_are_the_names_behind_at_signs():
    text = "@Ada_Lovelace and (@bob), @Ada-Lovelace. Not ada@lectern.example, a@b or @@x. @Zoë! @ @_"
    assert mentioned(text) == ["adalovelace", "bob", "zoë"]
    assert len(mentioned(" ".join(f"@n{n}" for n in range(100)))) == MOST_MENTIONS


def test_a_first_name_counts_only_when_one_person_has_it():
    ada, other, bob = uuid4(), uuid4(), uuid4()
    people = [(ada, "adalovelace", "ada"), (other, "adabyron", "ada"), (bob, "bobdylan", "bob")]
    assert mentions_of(["ada"], people) == []
    assert mentions_of(["ada", "adabyron", "bob", "bobdylan", "nobody"], people) == [other, bob]
    assert folded("Ada  de la Lovelace-King") == "adadelalovelaceking"


def test_announcements_come_from_those_who_moderate():
    for kind in ("question", "discussion"):
        assert may_post(kind, place(platform=True))
    assert not may_post("announcement", place(platform=True))
    assert may_post("announcement", place(staff=True))
    assert may_post("announcement", place(instructor=True))


def test_a_locked_discussion_is_for_those_who_may_unlock_it():
    assert may_write(False, place(platform=True))
    assert not may_write(True, place(platform=True))
    assert may_write(True, place(instructor=True))


def test_mentions_of_the_erased_are_taken_out_and_others_stay():
    text = "@Ada_Lovelace, @ada.lovelace. and @bob-; @adaX"
    assert without_mentions(text, {"adalovelace"}) == "@[erased], @[erased]. and @bob-; @adaX"
    assert without_mentions("@bob.-", {"bob"}) == "@[erased].-"
    assert without_mentions("@bobX", {"bobx"}) == "@[erased]"


def test_a_first_name_of_one_person_is_theirs():
    ada, bob = uuid4(), uuid4()
    people = [(ada, "adalovelace", "ada"), (bob, "bobdylan", "bob")]
    assert mentions_of(["ada", "bob", "ada"], people) == [ada, bob]
    assert mentions_of(["adalovelace", "ada"], people) == [ada]

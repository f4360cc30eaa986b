"""The plan of the demo weeks, and what its answers to quizzes are; the seed itself runs in tests/e2e."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from deploy.local.demo.catalogue import CATEGORIES, COURSES
from deploy.local.demo.parts import match, number, one, ordered
from deploy.local.seed_history import answer
from deploy.local.seed_plan import WEEKS, acts, people

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
KINDS = {"video", "text", "pdf", "slides", "interactive", "assignment", "quiz"}


def test_twelve_courses_in_three_categories_have_every_type_of_lesson():
    assert (len(CATEGORIES), len(COURSES)) == (3, 12)
    for course in COURSES:
        lessons = [lesson for module in course.modules.values() for lesson in module]
        assert {lesson.body["content_type"] for lesson in lessons} == KINDS, course.body["title"]
        assert max(Counter(lesson.title for lesson in lessons).values()) == 1, course.body["title"]


def test_the_same_weeks_are_drawn_every_time_and_more_learners_change_nobody():
    few, many = acts(0, 4, NOW), acts(0, 60, NOW)
    assert few == acts(0, 4, NOW)
    assert few == [act for act in many if act.learner < 4]
    assert people(0, 4, NOW) == people(0, 60, NOW)[:4]


def test_nobody_acts_before_joining_or_in_the_future():
    joined = {person.number: person.joined_at for person in people(0, 60, NOW)}
    plan = acts(0, 60, NOW)
    assert all(joined[act.learner] <= act.at < NOW for act in plan)
    assert min(act.at for act in plan) > NOW - timedelta(weeks=WEEKS)
    assert [act.at for act in plan] == sorted(act.at for act in plan)


def named(*texts: str) -> list[dict[str, str]]:
    return [{"uuid": text[0], "text": text} for text in texts]


@pytest.mark.parametrize(
    ("known", "asked", "right", "wrong"),
    [
        (one("?", "yes", "no"), {"options": named("no", "yes")}, "y", "n"),
        (number("?", 7, 1), {}, 7, 9),
        (
            match("?", {"a": "1", "b": "2"}),
            {"lefts": named("a", "b"), "rights": named("2", "1")},
            {"a": "1", "b": "2"},
            {"a": "2", "b": "1"},
        ),
        (ordered("?", "x", "y", "z"), {"items": named("y", "z", "x")}, ["x", "y", "z"], ["z", "y", "x"]),
    ],
)
def test_learners_answer_as_they_mean_to(known: dict, asked: dict, right: object, wrong: object):
    assert answer(known, asked, right=True) == right
    assert answer(known, asked, right=False) == wrong

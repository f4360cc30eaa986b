"""What a teacher deletes from a question costs nobody points, and no save of what is shown fails by it."""

from typing import Any

import pytest

from services.learning.tests.conftest import TRUTH, School, done, refused
from services.learning.tests.quizzing import ESSAY, MATCHING, ORDERING, SINGLE, in_uuids, save, start, submit

CHOICE: dict[str, Any] = {
    "kind": "multiple_choice",
    "text": "Which are trees?",
    "points": 4,
    "options": [
        {"text": "A", "is_correct": True},
        {"text": "B", "is_correct": True},
        {"text": "C"},
        {"text": "D"},
    ],
}
SHORT: dict[str, Any] = {"kind": "short_answer", "text": "Called?", "accepted": ["tree", "arborescence"]}
FOUR = {"tree": "no cycle", "path": "no fork", "forest": "many trees", "complete": "all edges"}
MODES = ("new_only", "old_or_new", "full_credit")


def without(question: dict[str, Any], text: str) -> dict[str, Any]:
    """The body that takes a part of this text out."""
    if question.get("options"):
        return {"options": [option for option in question["options"] if option["text"] != text]}
    if question.get("pairs"):
        return {"pairs": [pair for pair in question["pairs"] if pair["left"] != text]}
    if question.get("items"):
        return {"items": [item for item in question["items"] if item != text]}
    return {"accepted": [accepted for accepted in question["accepted"] if accepted != text]}


async def delete(school: School, quiz: dict[str, Any], text: str, mode: str) -> list[dict[str, Any]]:
    """Take a part out of the quiz's first question, and regrade it."""
    url = f"/api/quizzes/{quiz['uuid']}/"
    question = done(await school.teacher.client.get(url))["questions"][0]
    path = f"{url}questions/{question['uuid']}/"
    done(await school.teacher.client.patch(path, json=without(question, text)))
    body = {"question": question["uuid"], "mode": mode}
    changes: list[dict[str, Any]] = done(await school.teacher.client.post(f"{url}regrade/", json=body))[
        "changes"
    ]
    return changes


# What is deleted, what was answered, its points before and after under `new_only`.
CASES: list[tuple[dict[str, Any], str, Any, float, float]] = [
    (CHOICE, "C", ["A", "B", "C"], 2, 4),
    (CHOICE, "A", ["A", "B"], 4, 4),
    (CHOICE, "B", ["A"], 2, 4),
    ({**CHOICE, "partial_credit": False}, "C", ["A", "B", "C"], 0, 4),
    (CHOICE, "C", ["A", "B", "C", "D"], 0, 2),
    ({**SINGLE, "options": [*SINGLE["options"], {"text": "x"}]}, "x", "an edge", 1, 1),
    ({**SINGLE, "options": [*SINGLE["options"], {"text": "x"}]}, "x", "x", 0, 0),
    (MATCHING, "complete", FOUR, 4, 4),
    (MATCHING, "path", FOUR | {"path": "all edges"}, 3, 4),
    (MATCHING, "complete", FOUR | {"tree": "all edges"}, 3, 8 / 3),
    (ORDERING, "edge", ["vertex", "edge", "triangle"], 3, 3),
    (ORDERING, "vertex", ["edge", "triangle", "vertex"], 0, 3),
    (SHORT, "arborescence", "tree", 1, 1),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("question", "text", "answer", "before", "after"), CASES)
async def test_what_is_deleted_costs_nothing_in_an_attempt_that_is_handed_in(
    school: School, question: Any, text: str, answer: Any, before: float, after: float, mode: str
) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, question)
    attempt = await start(student, quiz)
    [shown] = attempt["questions"]
    done(await save(student, attempt, shown, in_uuids(shown, answer)))
    assert (await submit(student, attempt))["score"] == before
    expected = {"new_only": after, "old_or_new": max(before, after), "full_credit": question.get("points", 1)}
    changes = await delete(school, quiz, text, mode)
    seen = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    assert seen["score"] == round(expected[mode], 2)
    assert len(changes) == (seen["score"] != before)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("question", "text", "answer", "before", "after"), CASES)
async def test_what_is_deleted_costs_nothing_in_an_open_attempt_and_what_was_saved_saves_again(
    school: School, question: Any, text: str, answer: Any, before: float, after: float, mode: str
) -> None:
    course = await school.course()
    student, other = await school.enrolled(course), await school.enrolled(course, "Never Saved")
    quiz = await school.quiz(course, question)
    attempt, unsaved = await start(student, quiz), await start(other, quiz)
    [old], [page] = attempt["questions"], unsaved["questions"]
    done(await save(student, attempt, old, in_uuids(old, answer)))
    assert await delete(school, quiz, text, mode) == []
    seen = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    [now] = seen["questions"]
    if mode != "full_credit":
        assert text not in [one["text"] for part in ("options", "lefts", "items") for one in now[part] or ()]
    done(await save(student, attempt, now, seen["answers"][now["uuid"]]))
    done(await save(other, unsaved, page, in_uuids(page, answer)))  # a page that was open before
    expected = {"new_only": after, "old_or_new": max(before, after), "full_credit": question.get("points", 1)}
    for person, one in ((student, attempt), (other, unsaved)):
        assert (await submit(person, one))["score"] == round(expected[mode], 2)


@pytest.mark.parametrize("mode", MODES)
async def test_what_came_back_and_what_is_new_are_known_to_old_and_new_pages(
    school: School, mode: str
) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, ORDERING)
    attempt = await start(student, quiz)
    [old] = attempt["questions"]
    await delete(school, quiz, "edge", mode)
    path = f"/api/quizzes/{quiz['uuid']}/questions/{old['uuid']}/"
    done(await school.teacher.client.patch(path, json={"items": ["vertex", "edge", "triangle", "square"]}))
    body = {"question": old["uuid"], "mode": "new_only"}
    done(await school.teacher.client.post(f"/api/quizzes/{quiz['uuid']}/regrade/", json=body))
    whole = in_uuids(old, ["vertex", "edge", "triangle"])
    done(await save(student, attempt, old, whole))
    [now] = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))["questions"]
    done(await save(student, attempt, now, in_uuids(now, ["vertex", "edge", "triangle", "square"])))
    refused(await save(student, attempt, now, [*whole, quiz["uuid"]]), 422, "invalid_answer")
    refused(await save(student, attempt, now, [*whole, whole[0]]), 422, "invalid_answer")
    assert (await submit(student, attempt))["score"] == 3


async def test_a_deleted_question_and_a_deleted_quiz_stay_in_attempts_that_have_them(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, CHOICE, TRUTH, ESSAY)
    attempt = await start(student, quiz)
    choice, truth, essay = attempt["questions"]
    url = f"/api/quizzes/{quiz['uuid']}/"
    for question in (choice, essay):
        done(await school.teacher.client.delete(f"{url}questions/{question['uuid']}/"))
    done(await save(student, attempt, choice, in_uuids(choice, ["A", "B"])))
    done(await school.teacher.client.delete(url))
    done(await save(student, attempt, truth, False))
    done(await save(student, attempt, essay, "By depth."))
    await submit(student, attempt)
    seen = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    assert [question["score"] for question in seen["questions"]] == [4, 1, None]

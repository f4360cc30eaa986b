"""Every kind of question: written, shown to a learner, answered, scored."""

import json
from typing import Any

import pytest

from services.learning.tests.conftest import CHOICE, School, done, refused
from services.learning.tests.quizzing import (
    ESSAY,
    EVERY_KIND,
    MATCHING,
    ORDERING,
    RIGHT,
    SINGLE,
    grade,
    in_uuids,
    save,
    start,
    submit,
    take,
)


async def test_all_eight_kinds_are_taken_and_graded(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, *EVERY_KIND)
    assert (quiz["question_count"], quiz["max_score"]) == (8, 19)
    result = await take(student, quiz, RIGHT)
    assert (result["status"], result["score"], result["passed"]) == ("submitted", None, None)
    assert [q["score"] for q in result["questions"]] == [1, 3, 1, 1, 1, 4, 3, None]
    graded = done(await grade(school.teacher, result, result["questions"][7], 5))
    assert (graded["status"], graded["score"], graded["percentage"]) == ("graded", 19, 100)


async def test_a_teacher_reads_back_what_was_written(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, MATCHING, ORDERING, ESSAY)
    matching, ordering, essay = done(
        await school.teacher.client.get(f"/api/quizzes/{quiz['uuid']}/questions/")
    )
    assert matching["pairs"] == MATCHING["pairs"]
    assert ordering["items"] == ORDERING["items"]
    assert (essay["points"], essay["items"], essay["pairs"], essay["options"]) == (5, None, None, None)


async def test_the_order_shown_is_pinned_and_says_nothing(school: School) -> None:
    course = await school.course()
    names = [f"item {n}" for n in range(9)]
    pairs = [{"left": f"left {n}", "right": f"right {n}"} for n in range(9)]
    quiz = await school.quiz(
        course,
        {"kind": "ordering", "text": "Sort", "items": names},
        {"kind": "matching", "text": "Match", "pairs": pairs},
    )
    orders = set()
    for number in range(4):
        student = await school.enrolled(course, f"Student {number}")
        attempt = await start(student, quiz)
        again = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
        assert again["questions"] == attempt["questions"]
        ordering, matching = attempt["questions"]
        assert sorted(one["text"] for one in ordering["items"]) == names
        lefts, rights = ({one["uuid"] for one in matching[side]} for side in ("lefts", "rights"))
        assert not lefts & rights
        orders.add(tuple(one["text"] for one in ordering["items"]))
        orders.add(tuple(one["text"] for one in matching["rights"]))
    assert len(orders) > 4


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ({"tree": "no cycle", "forest": "many trees"}, 2),
        ({"tree": "no fork", "path": "no cycle"}, 0),
        ({"tree": "no cycle", "path": "no fork", "forest": "all edges", "complete": "all edges"}, 3),
        ({}, 0),
    ],
)
async def test_matching_scores_the_share_in_place(
    school: School, answer: dict[str, str], score: float
) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, MATCHING)
    result = await take(student, quiz, {MATCHING["text"]: answer})
    assert result["score"] == score


async def test_ordering_scores_the_share_in_place(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, ORDERING)
    result = await take(student, quiz, {ORDERING["text"]: ["vertex", "triangle", "edge"]})
    assert (result["score"], result["questions"][0]["is_correct"]) == (1, False)


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        (MATCHING, ["x", ["x"], {"x": "y"}, {"x": 1}, 5]),
        (ORDERING, ["x", [], [1, 2, 3], {"x": "y"}]),
        (ESSAY, [5, ["x"], {}, "x" * 200_001]),
    ],
)
async def test_an_answer_of_another_shape_is_refused(school: School, kind: Any, answers: list[Any]) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    attempt = await start(student, await school.quiz(course, kind))
    [question] = attempt["questions"]
    for answer in answers:
        refused(await save(student, attempt, question, answer), 422, "invalid_answer")
    if kind is ORDERING:
        right = in_uuids(question, RIGHT[ORDERING["text"]])
        refused(await save(student, attempt, question, right[:2]), 422, "invalid_answer")
        refused(await save(student, attempt, question, [right[0]] * 3), 422, "invalid_answer")
    done(await save(student, attempt, question, None))


@pytest.mark.parametrize(
    "question",
    [
        {"kind": "matching", "text": "?", "pairs": [{"left": "a", "right": "b"}]},
        {
            "kind": "matching",
            "text": "?",
            "pairs": [{"left": "a", "right": "b"}, {"left": "a", "right": "c"}],
        },
        {"kind": "matching", "text": "?"},
        {"kind": "ordering", "text": "?", "items": ["a"]},
        {"kind": "ordering", "text": "?", "items": ["a", "a"]},
        {"kind": "ordering", "text": "?"},
    ],
)
async def test_a_question_without_a_right_answer_is_refused(school: School, question: Any) -> None:
    course = await school.course()
    quiz = await school.quiz(course)
    url = f"/api/quizzes/{quiz['uuid']}/questions/"
    refused(await school.teacher.client.post(url, json=question), 422, "invalid_question")


async def test_an_empty_essay_is_worth_nothing_and_waits_for_nobody(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, ESSAY)
    result = await take(student, quiz, {ESSAY["text"]: "  \n"})
    assert (result["status"], result["score"]) == ("graded", 0)
    assert (await submit(student, await start(student, quiz)))["status"] == "graded"


async def test_a_survey_with_an_essay_is_done_by_submitting(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    student = await school.enrolled(course)
    quiz = await school.quiz(course, ESSAY, kind="survey", lesson=str(lesson))
    result = await take(student, quiz, RIGHT)
    assert (result["status"], result["score"]) == ("graded", None)
    [row] = done(await student.client.get("/api/enrollments/my-courses/"))
    assert row["progress"] == 50


async def test_texts_of_a_quiz_are_answered_as_they_were_written(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    bad = "<img src=x onerror=alert(1)>"
    quiz = await school.quiz(
        course,
        {"kind": "short_answer", "text": bad, "accepted": [bad], "explanation": bad},
        {"kind": "ordering", "text": bad, "items": [bad, "b"], "explanation": bad},
        {
            "kind": "matching",
            "text": bad,
            "pairs": [{"left": bad, "right": bad}, {"left": "x", "right": "y"}],
        },
        {"kind": "essay", "text": bad},
        feedback={"score": "immediately", "correctness": "immediately", "answers": "immediately"},
    )
    attempt = await start(student, quiz)
    done(await save(student, attempt, attempt["questions"][3], "An answer"))
    await submit(student, attempt)
    done(await grade(school.teacher, attempt, attempt["questions"][3], 1, comment=bad))
    taught = done(await school.teacher.client.get(f"/api/quizzes/{quiz['uuid']}/"))
    seen = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    statistics = done(await school.teacher.client.get(f"/api/quizzes/{quiz['uuid']}/statistics/"))
    assert seen["questions"][0]["right_answer"] == [bad]
    assert seen["questions"][3]["comment"] == bad
    assert [question["text"] for question in taught["questions"]] == [bad] * 4
    assert taught["questions"][1]["items"] == [bad, "b"]
    assert json.dumps(statistics).count(bad) >= 4
    assert {side["text"] for side in attempt["questions"][2]["lefts"]} == {bad, "x"}


ALIKE: list[tuple[dict[str, Any], str]] = [
    (
        {**SINGLE, "options": [{"text": "an edge", "is_correct": True}, {"text": " an  edge\u00a0"}]},
        "options",
    ),
    ({**CHOICE, "options": [*CHOICE["options"], {"text": "a path\n"}]}, "options"),
    ({**CHOICE, "options": [*CHOICE["options"], {"text": "Zoe\u0308"}, {"text": "Zo\u00eb"}]}, "options"),
    ({**MATCHING, "pairs": [*MATCHING["pairs"], {"left": "tree ", "right": "new"}]}, "pairs"),
    ({**MATCHING, "pairs": [*MATCHING["pairs"], {"left": "new", "right": "no  cycle"}]}, "pairs"),
    ({**ORDERING, "items": [*ORDERING["items"], " edge"]}, "items"),
]


@pytest.mark.parametrize("place", ["quizzes", "question-banks"])
@pytest.mark.parametrize(("question", "field"), ALIKE)
async def test_parts_that_people_cannot_tell_apart_are_refused(
    school: School, place: str, question: dict[str, Any], field: str
) -> None:
    course = await school.course()
    teacher = school.teacher.client
    body = {"course": str(course), "title": "Check yourself"}
    url = f"/api/{place}/{done(await teacher.post(f'/api/{place}/', json=body), 201)['uuid']}/questions/"
    problem = refused(await teacher.post(url, json=question), 422, "invalid_question")
    assert problem["errors"][0]["field"] == field
    assert done(await teacher.get(url)) == []
    good = {**question, field: question[field][:-1]} if len(question[field]) > 2 else SINGLE
    made = done(await teacher.post(url, json=good), 201)
    refused(
        await teacher.patch(f"{url}{made['uuid']}/", json={field: question[field]}), 422, "invalid_question"
    )


async def test_parts_that_differ_in_case_or_by_a_sign_are_different(school: School) -> None:
    course = await school.course()
    texts = ["a<b", "a<c", "a", "A", "x²", "x2", "ﬁ", "fi"]
    options = [{"text": text, "is_correct": text == "a<b"} for text in texts]
    quiz = await school.quiz(course, {**SINGLE, "options": options}, {**ORDERING, "items": texts})
    assert [option["text"] for option in quiz["questions"][0]["options"]] == texts
    student = await school.enrolled(course)
    result = await take(student, quiz, {SINGLE["text"]: "a<b", ORDERING["text"]: texts})
    assert result["percentage"] == 100

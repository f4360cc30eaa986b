"""What a body names must be there, and what it gives a name must be told from the others."""

from typing import Any
from uuid import uuid1, uuid4

import pytest

from services.learning.tests.conftest import School, done, refused
from services.learning.tests.quizzing import SINGLE, take


def named(problem: dict[str, Any]) -> str:
    field: str = problem["errors"][0]["field"]
    return field


async def test_the_group_of_an_assignment_is_one_of_the_policy(school: School) -> None:
    course, other = await school.course(), await school.course()
    teacher = school.teacher.client
    path = "/api/courses/{}/grading-policy/"
    group, foreign = (str(uuid4()) for _ in range(2))
    for where, uuid in ((course, group), (other, foreign)):
        body = {"groups": [{"uuid": uuid, "name": "Works", "weight": 1}]}
        done(await teacher.put(path.format(where), json=body))
    new = {"course": str(course), "title": "Draw a graph"}
    for unknown in (str(uuid4()), foreign):
        problem = refused(
            await teacher.post("/api/assignments/", json={**new, "group": unknown}), 422, "invalid_input"
        )
        assert named(problem) == "group"
    made = done(await teacher.post("/api/assignments/", json={**new, "group": group}), 201)
    url = f"/api/assignments/{made['uuid']}/"
    assert named(refused(await teacher.patch(url, json={"group": foreign}), 422, "invalid_input")) == "group"
    done(await teacher.put(path.format(course), json={"groups": []}))
    done(await teacher.patch(url, json={"group": group, "title": "Sent back as it was"}))
    assert done(await teacher.patch(url, json={"group": None}))["group"] is None
    assert named(refused(await teacher.patch(url, json={"group": group}), 422, "invalid_input")) == "group"
    assert done(await teacher.get("/api/assignments/"))["count"] == 1


async def test_a_policy_without_uuids_keeps_the_groups_that_it_names(school: School) -> None:
    course = await school.course()
    path = f"/api/courses/{course}/grading-policy/"
    groups = [{"name": "Works", "weight": 1}, {"name": "Exam", "weight": 2}]
    first = done(await school.teacher.client.put(path, json={"groups": groups}))["groups"]
    work = await school.assignment(course, group=first[0]["uuid"])
    again = {"groups": [groups[1], {"name": " Works", "weight": 5}]}
    tried = await school.teacher.client.put(f"{path}?dry_run=true", json=again)
    assert done(tried) == {"changes": []}
    second = done(await school.teacher.client.put(path, json=again))["groups"]
    assert [group["uuid"] for group in second] == [first[1]["uuid"], work["group"]]


async def test_what_a_body_names_and_is_not_there_is_named(school: School) -> None:
    course, other = await school.course(), await school.course()
    teacher = school.teacher.client
    elsewhere, lesson = await school.quiz(other), str(school.lessons(other)[0])
    foreign = await school.assignment(other)
    here, work = await school.quiz(course), await school.assignment(course)
    bank = done(await teacher.post("/api/question-banks/", json={"course": str(other), "title": "B"}), 201)
    stranger = await school.person("Stranger")
    rules, policy = f"/api/courses/{course}/completion-rules/", f"/api/courses/{course}/grading-policy/"
    placed = {"name": "Works", "weight": 1, "items": [elsewhere["uuid"]]}
    quiz, task = f"/api/quizzes/{here['uuid']}/", f"/api/assignments/{work['uuid']}/"
    new = {"course": str(course), "title": "New"}
    cases: list[tuple[str, str, Any, str]] = [
        ("POST", "/api/quizzes/", {**new, "lesson": lesson}, "lesson"),
        ("PATCH", quiz, {"lesson": lesson}, "lesson"),
        ("PATCH", quiz, {"pools": [{"bank": bank["uuid"], "pick": 1}]}, "pools"),
        ("POST", "/api/assignments/", {**new, "lesson": lesson}, "lesson"),
        ("PATCH", task, {"lesson": lesson}, "lesson"),
        ("PATCH", task, {"course": str(other)}, "course"),
        ("PUT", f"{task}groups/", {"groups": [{"name": "Red", "members": [str(stranger.uuid)]}]}, "groups"),
        ("PUT", policy, {"groups": [placed]}, "groups.0.items"),
        ("PUT", policy, {"extra_credit": [foreign["uuid"]]}, "extra_credit"),
        ("PUT", rules, {"rules": [{"kind": "quiz_passed", "quiz": elsewhere["uuid"]}]}, "rules.0.quiz"),
        ("PUT", rules, {"rules": [{"kind": "required_lessons", "lessons": [lesson]}]}, "rules.0.lessons"),
        (
            "PUT", rules, {"rules": [{"kind": "assignment_graded", "assignment": foreign["uuid"]}]},
            "rules.0.assignment",
        ),
    ]  # fmt: skip
    before = await school.published()
    for method, path, body, field in cases:
        problem = refused(await teacher.request(method, path, json=body), 422, "invalid_input")
        assert named(problem) == field, (path, body)
    assert await school.published() == before


LEVELS = [{"title": "Good", "points": 2}, {"title": "Good ", "points": 1}]
ALIKE: list[tuple[str, dict[str, Any], str]] = [
    ("policy", {"groups": [{"name": "Works", "weight": 1}, {"name": "Works ", "weight": 2}]}, "groups"),
    ("policy", {"letters": [{"letter": "A", "from": 90}, {"letter": "A", "from": 80}]}, "letters"),
    ("policy", {"groups": [{"uuid": str(uuid1()), "name": "Works", "weight": 1}]}, "groups.0.uuid"),
    ("assignment", {"rubric": [{"title": "Form", "points": 1}, {"title": "Form  ", "points": 2}]}, "rubric"),
    ("assignment", {"rubric": [{"title": "Form", "points": 2, "levels": LEVELS}]}, "rubric.0"),
    ("assignment", {"rubric": [{"uuid": str(uuid1()), "title": "Form", "points": 2}]}, "rubric.0.uuid"),
]


@pytest.mark.parametrize(("place", "body", "field"), ALIKE)
async def test_names_that_people_cannot_tell_apart_are_refused(
    school: School, place: str, body: dict[str, Any], field: str
) -> None:
    course = await school.course()
    work = await school.assignment(course)
    client = school.teacher.client
    if place == "policy":
        answer = await client.put(f"/api/courses/{course}/grading-policy/", json=body)
    else:
        answer = await client.patch(f"/api/assignments/{work['uuid']}/", json=body)
    assert named(refused(answer, 422, "invalid_input")) == field


async def test_groups_that_hand_in_together_have_different_names(school: School) -> None:
    course = await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Else")
    work = await school.assignment(course)
    teams = [{"name": "Red", "members": [str(ada.uuid)]}, {"name": " Red", "members": [str(eve.uuid)]}]
    answer = await school.teacher.client.put(
        f"/api/assignments/{work['uuid']}/groups/", json={"groups": teams}
    )
    assert named(refused(answer, 422, "invalid_input")) == "groups"


async def test_what_is_shown_decides_whether_a_quiz_is_passed(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    questions = [{**SINGLE, "text": str(number)} for number in range(3)]
    two = {"0": "an edge", "1": "an edge", "2": "a hole"}
    for item_grade, passes in ((66.67, True), (66.68, False), (66.66, True)):
        student = await school.enrolled(course)
        quiz = await school.quiz(course, *questions, pass_mark=item_grade, lesson=str(lesson))
        attempt = await take(student, quiz, two)
        assert (attempt["percentage"], attempt["passed"]) == (66.67, passes)
        answer = await student.client.get(f"/api/quizzes/{quiz['uuid']}/attempts/")
        assert [row["passed"] for row in done(answer)["results"]] == [passes]
        done(await school.teacher.client.delete(f"/api/quizzes/{quiz['uuid']}/"))
    assert await school.events("quiz_graded") == ["quiz_graded"] * 3


async def test_what_is_shown_decides_the_average_of_attempts_the_course_and_the_letter(
    school: School,
) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    questions = [{**SINGLE, "text": str(number)} for number in range(3)]
    quiz = await school.quiz(course, *questions, pass_mark=66.67, scoring="average")
    rules = [{"kind": "minimum_score", "score": 66.67}, {"kind": "quiz_passed", "quiz": quiz["uuid"]}]
    path = f"/api/courses/{course}/"
    done(await school.teacher.client.put(f"{path}completion-rules/", json={"rules": rules}))
    letters = {"letters": [{"letter": "C", "from": 66.67}, {"letter": "F", "from": 0}]}
    done(await school.teacher.client.put(f"{path}grading-policy/", json=letters))
    for answers in (("an edge", "an edge", "a hole"), ("a hole", "an edge", "an edge")):
        await take(student, quiz, dict(zip("012", answers, strict=True)))
    mine = done(await student.client.get(f"{path}grades/me/"))
    assert (mine["current"], mine["letter"]) == (66.67, "C")
    await school.harness.run_tasks()
    [row] = done(await student.client.get("/api/enrollments/my-courses/"))
    assert row["status"] == "completed"


@pytest.mark.parametrize("text", ["", " \n\t\u00a0 "])
async def test_a_blank_text_is_nothing_in_an_essay_and_for_an_assignment(school: School, text: str) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    essay = {"kind": "essay", "text": "Why?"}
    attempt = await take(student, await school.quiz(course, essay), {"Why?": text})
    assert (attempt["status"], attempt["score"], attempt["answers"]) == (
        "graded", 0, {attempt["questions"][0]["uuid"]: text},
    )  # fmt: skip
    path = f"/api/assignments/{(await school.assignment(course))['uuid']}/submissions/"
    assert (
        named(refused(await student.client.post(path, json={"text": text}), 422, "invalid_input")) == "text"
    )
    form = {"text": (None, text)}
    assert named(refused(await student.client.post(path, files=form), 422, "invalid_input")) == "text"
    with_file = form | {"files": ("a.txt", b"x", "text/plain")}
    assert done(await student.client.post(path, files=with_file), 201)["text"] == text


async def test_an_essay_and_a_text_that_is_handed_in_are_kept_alike(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    longest = ("for (i = 0; i<n; i++) { a[i] = b<c; }\r\n\t e\u0301 👩🏽\u200d🔬 " * 5000)[:200_000]
    quiz = await school.quiz(course, {"kind": "essay", "text": "Why?"})
    path = f"/api/assignments/{(await school.assignment(course))['uuid']}/submissions/"
    attempt = await take(student, quiz, {"Why?": longest})
    work = done(await student.client.post(path, json={"text": longest}), 201)
    seen = done(await school.teacher.client.get(f"/api/attempts/{attempt['uuid']}/"))
    shown = done(await school.teacher.client.get(f"/api/submissions/{work['uuid']}/"))
    assert [*seen["answers"].values(), shown["text"]] == [longest] * 2
    queue = done(await school.teacher.client.get(f"/api/quizzes/{quiz['uuid']}/attempts/?status=submitted"))
    waiting = done(await school.teacher.client.get("/api/submissions/queue/"))
    assert [row["uuid"] for row in queue["results"]] == [attempt["uuid"]]
    assert [row["submission"] for row in waiting["results"]] == [work["uuid"]]
    question = attempt["questions"][0]
    again = done(await student.client.post(f"/api/quizzes/{quiz['uuid']}/attempts/"), 201)
    answer = f"/api/attempts/{again['uuid']}/answers/{question['uuid']}/"
    refused(await student.client.put(answer, json={"answer": longest + "x"}), 422, "invalid_answer")
    refused(await student.client.post(path, json={"text": longest + "x"}), 422, "invalid_input")
    refused(await student.client.put(answer, json={"answer": "nul\0"}), 422, "invalid_input")
    refused(await student.client.post(path, json={"text": "nul\0"}), 422, "invalid_input")


async def test_numbers_of_answers_are_those_that_every_client_holds(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, {"kind": "numeric", "text": "How many?", "value": 6.02214076e23})
    attempt = done(await student.client.post(f"/api/quizzes/{quiz['uuid']}/attempts/"), 201)
    path = f"/api/attempts/{attempt['uuid']}/answers/{attempt['questions'][0]['uuid']}/"
    headers = {"Content-Type": "application/json"}
    for wrong in ("123456789012345678901234567890", "-9007199254740992", "1e31", "1e400", "NaN", "-Infinity",
                  '"1e400"', '"NaN"', '"5"', "true", "[1]"):  # fmt: skip
        body = f'{{"answer": {wrong}}}'
        answer = await student.client.put(path, content=body, headers=headers)
        assert answer.status_code in (400, 422), (wrong, answer.text)
    done(await student.client.put(path, content='{"answer": 6.02214076e23}', headers=headers))
    seen = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))["answers"]
    [shown] = seen.values()
    assert (shown, type(shown)) == (6.02214076e23, float)
    done(await student.client.put(path, json={"answer": shown}))
    assert done(await student.client.post(f"/api/attempts/{attempt['uuid']}/submit/"))["score"] == 1


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-inf", "1e400", "1e-400", "0E+999999999", "1e31", "x"]
)
async def test_a_score_is_a_number_that_can_be_worked_with(school: School, number: str) -> None:
    course = await school.course()
    quiz, work = await school.quiz(course), await school.assignment(course)
    student = await school.enrolled(course)
    teacher = school.teacher.client
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", f"/api/assignments/{work['uuid']}/grades/{student.uuid}/", {"score": number}),
        ("PATCH", f"/api/assignments/{work['uuid']}/", {"points": number}),
        ("PATCH", f"/api/quizzes/{quiz['uuid']}/", {"pass_mark": number}),
        ("POST", f"/api/quizzes/{quiz['uuid']}/questions/", {**SINGLE, "points": number}),
        (
            "POST", f"/api/quizzes/{quiz['uuid']}/questions/",
            {"kind": "numeric", "text": "?", "value": number},
        ),
        ("PUT", f"/api/courses/{course}/grading-policy/", {"groups": [{"name": "a", "weight": number}]}),
        (
            "PUT", f"/api/courses/{course}/completion-rules/",
            {"rules": [{"kind": "minimum_score", "score": number}]},
        ),
    ]  # fmt: skip
    for method, path, body in cases:
        refused(await teacher.request(method, path, json=body), 422, "invalid_input")

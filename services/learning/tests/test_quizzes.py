"""Writing quizzes: who may, what is refused, what learners see of them."""

import json
from uuid import uuid4

import pytest

from services.learning.tests.conftest import CHOICE, TRUTH, School, done, refused


async def test_a_quiz_is_written_published_changed_and_deleted(school: School) -> None:
    course = await school.course()
    lesson = school.lessons(course)[0]
    teacher = school.teacher.client
    body = {"course": str(course), "lesson": str(lesson), "title": "Check yourself", "pass_mark": 60}
    quiz = done(await teacher.post("/api/quizzes/", json=body), 201)
    url = f"/api/quizzes/{quiz['uuid']}/"
    refused(await teacher.post(f"{url}publish/"), 409, "quiz_empty")
    question = done(await teacher.post(f"{url}questions/", json=CHOICE), 201)
    done(await teacher.post(f"{url}questions/", json=TRUTH), 201)
    path = f"{url}questions/{question['uuid']}/"
    changed = done(await teacher.patch(path, json={"points": 2.5, "order": 5}))
    assert (changed["points"], len(changed["options"])) == (2.5, 3)
    assert done(await teacher.get(path)) == changed
    assert [q["kind"] for q in done(await teacher.get(f"{url}questions/"))] == [
        "true_false",
        "multiple_choice",
    ]
    published = done(await teacher.post(f"{url}publish/"))
    assert (published["is_published"], published["question_count"], published["max_score"]) == (True, 2, 3.5)
    done(await teacher.post(f"{url}publish/"))
    done(await teacher.delete(path))
    [left] = done(await teacher.get(f"{url}questions/"))
    refused(await teacher.delete(f"{url}questions/{left['uuid']}/"), 409, "quiz_empty")
    assert done(await teacher.patch(url, json={"title": "Check again"}))["title"] == "Check again"
    assert done(await teacher.get(f"/api/quizzes/?course={course}"))["count"] == 1
    assert done(await teacher.delete(url)) == {"deleted": True}
    refused(await teacher.get(url), 404, "not_found")
    assert done(await teacher.get(f"/api/quizzes/?course={course}"))["count"] == 0
    events = [(kind, seq) for kind, _, seq in await school.published()]
    names = ["created", "changed", "changed", "changed", "published", "changed", "changed", "deleted"]
    assert events == [(f"learning.quiz_{name}.v1", n) for n, name in enumerate(names, 1)]


async def test_two_teachers_editing_lose_no_update(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course)
    url = f"/api/quizzes/{quiz['uuid']}/"
    seen = await school.teacher.client.get(url)
    tag = seen.headers["etag"]
    cached = await school.teacher.client.get(url, headers={"If-None-Match": tag})
    assert cached.status_code == 304
    done(await school.teacher.client.patch(url, json={"title": "Mine"}, headers={"If-Match": tag}))
    late = await school.teacher.client.patch(url, json={"title": "Yours"}, headers={"If-Match": tag})
    refused(late, 412, "precondition_failed")
    assert done(await school.teacher.client.get(url))["title"] == "Mine"


async def test_learners_see_published_quizzes_of_their_courses_without_what_is_right(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    stranger = await school.person("Eve Else")
    quiz = await school.quiz(course, attempts_allowed=2)
    draft = done(
        await school.teacher.client.post("/api/quizzes/", json={"course": str(course), "title": "Draft"}), 201
    )
    url = f"/api/quizzes/{quiz['uuid']}/"
    shown = done(await student.client.get(url))
    assert "questions" not in shown
    assert (shown["question_count"], shown["max_score"], shown["attempts_left"]) == (2, 4, 2)
    assert [row["uuid"] for row in done(await student.client.get("/api/quizzes/"))["results"]] == [
        quiz["uuid"]
    ]
    refused(await student.client.get(f"/api/quizzes/{draft['uuid']}/"), 404, "not_found")
    refused(await stranger.client.get(url), 404, "not_found")
    assert done(await stranger.client.get("/api/quizzes/"))["count"] == 0
    refused(await student.client.get(f"{url}questions/"), 403, "forbidden")
    refused(await stranger.client.get(f"{url}questions/"), 404, "not_found")
    refused(await student.client.post(f"{url}questions/", json=TRUTH), 403, "forbidden")
    refused(await student.client.patch(url, json={"title": "Mine"}), 403, "forbidden")
    refused(await school.harness.client().get(url), 401, "not_authenticated")


async def test_another_teachers_course_is_not_there(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course)
    other = await school.person("Other Teacher", "teacher")
    url = f"/api/quizzes/{quiz['uuid']}/"
    refused(
        await other.client.post("/api/quizzes/", json={"course": str(course), "title": "x"}), 404, "not_found"
    )
    refused(await other.client.get(url), 404, "not_found")
    refused(await other.client.patch(url, json={"title": "x"}), 404, "not_found")
    refused(await other.client.delete(url), 404, "not_found")
    refused(await other.client.get(f"{url}attempts/"), 404, "not_found")
    manager = await school.person("Mia Manager", "manager")
    done(await manager.client.patch(url, json={"title": "Managed"}))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"owner": "me"}, "owner"),
        ({"is_published": True}, "is_published"),
        ({"title": ""}, "title"),
        ({"title": 5}, "title"),
        ({"kind": "exam"}, "kind"),
        ({"pass_mark": 101}, "pass_mark"),
        ({"attempts_allowed": 0}, "attempts_allowed"),
        ({"lesson": str(uuid4())}, "lesson"),
        ({"opens_at": "2026-03-02T09:00:00Z", "closes_at": "2026-03-02T09:00:00Z"}, "closes_at"),
        ({"opens_at": "2026-03-02T09:00:00"}, "opens_at"),
        ({"opens_at": "0001-01-01T00:00:00+14:00"}, "opens_at"),
        ({"closes_at": "9999-12-31T23:59:59-14:00"}, "closes_at"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"time_zone": "../etc"}, "time_zone"),
        ({"title": "a\0b"}, "title"),
        ({"title": "a\ud800b"}, "title"),
        ({"feedback": {"score": "later"}}, "feedback.score"),
    ],
)
async def test_a_bad_quiz_is_refused_by_field_and_not_written(school: School, changes, field: str) -> None:
    course = await school.course()
    body = json.dumps({"course": str(course), "title": "Check yourself", **changes})
    response = await school.teacher.client.post(
        "/api/quizzes/", content=body, headers={"Content-Type": "application/json"}
    )
    problem = refused(response, 422, "invalid_input")
    assert problem["errors"][0]["field"] == field
    assert await school.events() == []


@pytest.mark.parametrize(
    "change",
    [
        {"title": None},
        {"is_published": False},
        {"course": str(uuid4())},
        {"pools": [{"bank": "x", "pick": 1}]},
        {"attempts": 3},
    ],
)
async def test_a_bad_change_is_refused_and_not_written(school: School, change) -> None:
    course = await school.course()
    quiz = await school.quiz(course)
    before = await school.published()
    url = f"/api/quizzes/{quiz['uuid']}/"
    refused(await school.teacher.client.patch(url, json=change), 422, "invalid_input")
    assert await school.published() == before
    kept = {"course": quiz["course"], "is_published": True, "attempts_allowed": None, "closes_at": ""}
    done(await school.teacher.client.patch(url, json=kept))


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"kind": "riddle", "text": "Why?"}, "invalid_input"),
        ({"kind": "true_false", "text": "Is it?"}, "invalid_question"),
        ({"kind": "single_choice", "text": "Which?", "options": [{"text": "a"}]}, "invalid_question"),
        ({"kind": "numeric", "text": "How many?", "value": "many"}, "invalid_input"),
        ({"kind": "short_answer", "text": "What?", "accepted": []}, "invalid_question"),
        ({"kind": "true_false", "text": "Is it?", "correct": True, "points": -1}, "invalid_input"),
        ({"text": "Is it?"}, "invalid_input"),
    ],
)
async def test_a_bad_question_is_refused_and_not_written(school: School, question, code: str) -> None:
    course = await school.course()
    quiz = await school.quiz(course)
    before = await school.published()
    url = f"/api/quizzes/{quiz['uuid']}/questions/"
    refused(await school.teacher.client.post(url, json=question), 422, code)
    assert await school.published() == before
    assert len(done(await school.teacher.client.get(url))) == 2


async def test_a_question_of_another_quiz_is_not_there(school: School) -> None:
    course = await school.course()
    one, two = await school.quiz(course), await school.quiz(course)
    [question, _] = done(await school.teacher.client.get(f"/api/quizzes/{two['uuid']}/questions/"))
    url = f"/api/quizzes/{one['uuid']}/questions/{question['uuid']}/"
    refused(await school.teacher.client.patch(url, json={"points": 1}), 404, "not_found")
    refused(await school.teacher.client.delete(url), 404, "not_found")

"""Grades stand until others take their place, and follow what the assignment becomes."""

from datetime import timedelta
from typing import Any

from services.learning.tests.conftest import School, done, refused


async def cell(school: School, course: Any, item: dict[str, Any]) -> tuple[float | None, str]:
    grades = done(await school.teacher.client.get(f"/api/courses/{course}/gradebook/"))
    mine = grades["rows"][0]["cells"][item["uuid"]]
    return mine["score"], mine["status"]


async def test_a_grade_stands_while_a_newer_version_waits(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    work = await school.assignment(course)
    url = f"/api/assignments/{work['uuid']}/submissions/"
    first = done(await ada.client.post(url, json={"text": "One."}), 201)
    grade = f"/api/submissions/{first['uuid']}/grade/"
    done(await school.teacher.client.patch(grade, json={"score": 15}))
    again = done(await ada.client.post(url, json={"text": "Two."}), 201)
    assert (again["status"], again["score"]) == ("submitted", 15)
    assert await cell(school, course, work) == (15, "graded")
    refused(await school.teacher.client.patch(grade, json={"feedback": "Well."}), 422, "invalid_input")
    assert done(await school.teacher.client.get("/api/submissions/queue/"))["count"] == 1
    done(await school.teacher.client.patch(grade, json={"score": 18, "feedback": "Well."}))
    assert await cell(school, course, work) == (18, "graded")


async def test_an_excuse_stands_until_it_is_taken_back(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    work = await school.assignment(course)
    path = f"/api/assignments/{work['uuid']}/"
    teacher = school.teacher.client
    grades = f"{path}grades/{ada.uuid}/"
    done(await teacher.put(grades, json={"score": 12}))
    done(await teacher.put(grades, json={"excused": True}))
    assert await cell(school, course, work) == (None, "excused")
    late = done(await ada.client.post(f"{path}submissions/", json={"text": "After all."}), 201)
    assert (late["status"], late["score"]) == ("excused", None)
    assert await cell(school, course, work) == (None, "excused")
    back = done(await teacher.put(grades, json={"excused": False}))
    assert (back["status"], back["score"]) == ("submitted", 12)
    assert await cell(school, course, work) == (12, "graded")
    other = await school.assignment(course)
    nothing = f"/api/assignments/{other['uuid']}/grades/{ada.uuid}/"
    done(await teacher.put(nothing, json={"excused": True}))
    done(await teacher.put(nothing, json={"excused": False}))
    assert await cell(school, course, other) == (None, "open")


async def test_a_moved_due_time_and_other_points_reach_grades(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    due = school.clock() + timedelta(hours=1)
    work = await school.assignment(course, due_at=due.isoformat())
    policy = {"late": {"unit": "hour", "percent": 10, "floor": 0}}
    done(await school.teacher.client.put(f"/api/courses/{course}/grading-policy/", json=policy))
    school.clock.advance(hours=2)
    path = f"/api/assignments/{work['uuid']}/"
    handed_in = done(await ada.client.post(f"{path}submissions/", json={"text": "Late."}), 201)
    grade = f"/api/submissions/{handed_in['uuid']}/grade/"
    done(await school.teacher.client.patch(grade, json={"score": 20}))
    assert await cell(school, course, work) == (18, "graded")
    change = {"due_at": (due + timedelta(hours=2)).isoformat()}
    done(await school.teacher.client.patch(path, json=change))
    assert await cell(school, course, work) == (20, "graded")
    [own] = done(await ada.client.get(f"{path}submissions/"))["results"]
    assert own["late_seconds"] == 0
    done(await school.teacher.client.patch(path, json={"points": 50}))
    assert await cell(school, course, work) == (50, "graded")
    [own] = done(await ada.client.get(f"{path}submissions/"))["results"]
    assert (own["score"], own["points"]) == (50, 50)


async def test_a_grade_that_is_posted_later_reaches_the_certificate(school: School) -> None:
    course = await school.course()
    lessons = school.lessons(course)
    ada = await school.enrolled(course)
    work = await school.assignment(course, posted=False)
    path = f"/api/assignments/{work['uuid']}/"
    handed_in = done(await ada.client.post(f"{path}submissions/", json={"text": "Mine."}), 201)
    for lesson in lessons:
        await school.complete(ada, course, lesson)
    await school.harness.run_tasks()

    async def final() -> float | None:
        [certificate] = done(await ada.client.get("/api/certificates/"))["results"]
        score: float | None = certificate["final_score"]
        return score

    grade = f"/api/submissions/{handed_in['uuid']}/grade/"
    done(await school.teacher.client.patch(grade, json={"score": 15}))
    await school.harness.run_tasks()
    assert await final() is None, "it is hidden"
    done(await school.teacher.client.patch(path, json={"posted": True}))
    await school.harness.run_tasks()
    assert await final() == 75


async def test_a_learners_tag_says_nothing_of_a_hidden_grade(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    work = await school.assignment(course, posted=False)
    path = f"/api/assignments/{work['uuid']}/"
    handed_in = done(await ada.client.post(f"{path}submissions/", json={"text": "Mine."}), 201)
    url = f"/api/submissions/{handed_in['uuid']}/"
    before = (await ada.client.get(url)).headers["etag"]
    done(await school.teacher.client.patch(f"{url}grade/", json={"score": 3}))
    assert (await ada.client.get(url)).headers["etag"] == before
    graded = done(await ada.client.get(f"{path}submissions/", params={"status": "graded"}))
    assert graded["count"] == 0
    assert done(await ada.client.get(f"{path}submissions/", params={"status": "submitted"}))["count"] == 1
    done(await school.teacher.client.patch(path, json={"posted": True}))
    assert (await ada.client.get(url)).headers["etag"] != before


async def test_a_lesson_is_not_finished_by_a_grade_without_work(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    ada = await school.enrolled(course)
    work = await school.assignment(course, lesson=str(lesson), posted=False)
    grades = f"/api/assignments/{work['uuid']}/grades/{ada.uuid}/"
    complete = f"/api/courses/{course}/lessons/{lesson}/complete/"
    done(await school.teacher.client.put(grades, json={"score": 3}))
    refused(await ada.client.post(complete), 409, "lesson_not_finished")
    done(await school.teacher.client.put(grades, json={"excused": True}))
    refused(await ada.client.post(complete), 409, "lesson_not_finished")
    done(await school.teacher.client.patch(f"/api/assignments/{work['uuid']}/", json={"posted": True}))
    done(await ada.client.post(complete))


async def test_a_name_that_cannot_be_written_is_refused(school: School) -> None:
    course = await school.course()
    body = f'{{"course": "{course}", "title": "Draw", "allowed_types": ["\\ud800"]}}'
    headers = {"content-type": "application/json"}
    answer = await school.teacher.client.post("/api/assignments/", content=body, headers=headers)
    refused(answer, 422, "invalid_input")

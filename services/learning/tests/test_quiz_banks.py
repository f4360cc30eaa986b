"""Question banks and the pools that draw from them."""

from typing import Any
from uuid import uuid4

import pytest

from services.learning.tests.conftest import TRUTH, School, done, refused
from services.learning.tests.quizzing import start


async def make_bank(school: School, course: Any, count: int = 4) -> dict[str, Any]:
    bank = done(
        await school.teacher.client.post("/api/question-banks/", json={"course": str(course), "title": "B"}),
        201,
    )
    for number in range(count):
        body = {**TRUTH, "text": f"{bank['uuid']} {number}", "points": number + 1}
        done(
            await school.teacher.client.post(f"/api/question-banks/{bank['uuid']}/questions/", json=body), 201
        )
    return bank


async def test_a_bank_is_written_changed_and_deleted(school: School) -> None:
    course = await school.course()
    teacher = school.teacher.client
    bank = await make_bank(school, course, 2)
    url = f"/api/question-banks/{bank['uuid']}/"
    answer = await teacher.get(url)
    shown = done(answer)
    assert (shown["question_count"], len(shown["questions"])) == (2, 2)
    done(await teacher.patch(url, json={"title": "Other"}, headers={"If-Match": answer.headers["etag"]}))
    stale = await teacher.patch(url, json={"title": "x"}, headers={"If-Match": answer.headers["etag"]})
    refused(stale, 412, "precondition_failed")
    first = f"{url}questions/{shown['questions'][0]['uuid']}/"
    assert done(await teacher.patch(first, json={"points": 9}))["points"] == 9
    assert done(await teacher.get(first))["points"] == 9
    done(await teacher.delete(first))
    refused(await teacher.get(first), 404, "not_found")
    assert len(done(await teacher.get(f"{url}questions/"))) == 1
    [row] = done(await teacher.get(f"/api/question-banks/?course={course}"))["results"]
    assert (row["title"], row["question_count"], row["questions"]) == ("Other", 1, None)
    assert done(await teacher.delete(url)) == {"deleted": True}
    refused(await teacher.get(url), 404, "not_found")
    names = ["created", "changed", "changed", "changed", "changed", "changed", "deleted"]
    assert await school.published() == [
        (f"learning.question_bank_{name}.v1", bank["uuid"], n) for n, name in enumerate(names, 1)
    ]


async def test_only_who_teaches_the_course_sees_its_banks(school: School) -> None:
    course = await school.course()
    bank = await make_bank(school, course)
    student = await school.enrolled(course)
    other = await school.person("Other Teacher", "teacher")
    url = f"/api/question-banks/{bank['uuid']}/"
    for path in (url, f"{url}questions/", "/api/question-banks/"):
        refused(await student.client.get(path), 403, "forbidden")
    refused(await other.client.get(url), 404, "not_found")
    refused(await other.client.patch(url, json={"title": "x"}), 404, "not_found")
    refused(await other.client.post(f"{url}questions/", json=TRUTH), 404, "not_found")
    assert done(await other.client.get("/api/question-banks/"))["count"] == 0


async def test_an_attempt_draws_from_the_pools_and_keeps_what_it_drew(school: School) -> None:
    course = await school.course()
    easy, hard = await make_bank(school, course, 8), await make_bank(school, course, 2)
    pools = [{"bank": easy["uuid"], "pick": 3}, {"bank": hard["uuid"], "pick": 2}]
    quiz = await school.quiz(course, TRUTH, pools=pools)
    assert (quiz["question_count"], quiz["max_score"], quiz["pools"]) == (6, 1 + 8 + 7 + 6 + 2 + 1, pools)
    drawn = set()
    for number in range(5):
        student = await school.enrolled(course, f"Student {number}")
        attempt = await start(student, quiz)
        texts = [question["text"] for question in attempt["questions"]]
        assert len(set(texts)) == 6
        assert texts[0] == TRUTH["text"]
        assert [text.split()[0] for text in texts[1:]] == [easy["uuid"]] * 3 + [hard["uuid"]] * 2
        assert attempt["max_score"] == sum(question["points"] for question in attempt["questions"])
        assert [q["text"] for q in (await start(student, quiz, 200))["questions"]] == texts
        drawn.add(tuple(texts))
    assert len(drawn) > 1


async def test_a_bank_in_use_keeps_what_quizzes_pick(school: School) -> None:
    course = await school.course()
    bank = await make_bank(school, course, 2)
    teacher = school.teacher.client
    quiz = await school.quiz(course, pools=[{"bank": bank["uuid"], "pick": 2}])
    url = f"/api/question-banks/{bank['uuid']}/"
    [first, _] = done(await teacher.get(f"{url}questions/"))
    refused(await teacher.delete(url), 409, "bank_in_use")
    refused(await teacher.delete(f"{url}questions/{first['uuid']}/"), 409, "bank_in_use")
    too_many = {"pools": [{"bank": bank["uuid"], "pick": 3}]}
    refused(await teacher.patch(f"/api/quizzes/{quiz['uuid']}/", json=too_many), 409, "pool_too_small")
    done(await teacher.patch(f"/api/quizzes/{quiz['uuid']}/", json={"pools": []}))
    done(await teacher.delete(url))


async def test_a_pool_larger_than_its_bank_cannot_be_published(school: School) -> None:
    course = await school.course()
    bank = await make_bank(school, course, 1)
    body = {"course": str(course), "title": "Q", "pools": [{"bank": bank["uuid"], "pick": 2}]}
    quiz = done(await school.teacher.client.post("/api/quizzes/", json=body), 201)
    url = f"/api/quizzes/{quiz['uuid']}/publish/"
    refused(await school.teacher.client.post(url), 409, "pool_too_small")
    questions = f"/api/question-banks/{bank['uuid']}/questions/"
    done(await school.teacher.client.post(questions, json=TRUTH), 201)
    assert done(await school.teacher.client.post(url))["question_count"] == 2


@pytest.mark.parametrize("which", ["unknown", "elsewhere", "twice", "none"])
async def test_a_bad_pool_is_refused(school: School, which: str) -> None:
    course = await school.course()
    bank = await make_bank(school, course)
    elsewhere = await make_bank(school, await school.course())
    pools = {
        "unknown": [{"bank": str(uuid4()), "pick": 1}],
        "elsewhere": [{"bank": elsewhere["uuid"], "pick": 1}],
        "twice": [{"bank": bank["uuid"], "pick": 1}] * 2,
        "none": [{"bank": bank["uuid"], "pick": 0}],
    }[which]
    body = {"course": str(course), "title": "Q", "pools": pools}
    refused(await school.teacher.client.post("/api/quizzes/", json=body), 422, "invalid_input")

"""What is right is planted everywhere, and searched in everything that a student can get to see."""

import json
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.testing.harness import Person
from services.learning.tests.conftest import CHOICE, School, done
from services.learning.tests.quizzing import EVERY_KIND, RIGHT, grade, in_uuids, save

CANARIES = (
    "canary-explanation",
    "canary-feedback",
    "canary-accepted",
    "canary-comment",
    "canary-bank",
    "7319.25",
    '"is_correct":true',
    '"correct":',
    '"accepted"',
    '"tolerance"',
    '"pairs"',
)
HIDDEN = ("is_correct", "right_answer", "explanation", "option_feedback", "comment", "score")


class Student:
    """Keeps every answer that they ever get, headers and all."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.seen: list[str] = []

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = await self.person.client.request(method, path, json=body, headers=headers)
        self.seen.append(answer.text + json.dumps(dict(answer.headers)))
        return answer

    def leaks(self) -> set[tuple[str, str]]:
        compact = [one.replace('": ', '":') for one in self.seen]
        return {(canary, one) for one in compact for canary in CANARIES if canary in one.lower()}


async def everything(student: Student, quiz: dict[str, Any], attempt: dict[str, Any] | None) -> None:
    """Every read, and every write that should be refused."""
    url = f"/api/quizzes/{quiz['uuid']}/"
    question = quiz["questions"][0]["uuid"]
    for path in (
        url, "/api/quizzes/", f"/api/quizzes/?course={quiz['course']}", f"{url}questions/",
        f"{url}questions/{question}/", f"{url}attempts/", f"{url}attempts/?status=graded",
        f"{url}statistics/",
        f"{url}extensions/", "/api/question-banks/", f"/api/question-banks/{quiz['pools'][0]['bank']}/",
        f"/api/question-banks/{quiz['pools'][0]['bank']}/questions/",
        f"/api/courses/{quiz['course']}/gradebook/", f"/api/courses/{quiz['course']}/grades/me/",
        f"/api/courses/{quiz['course']}/grades/{student.person.uuid}/explain/", "/api/learning/summary/",
    ):  # fmt: skip
        await student.call("GET", path)
        await student.call("GET", path, **{"If-None-Match": "*"})
    for method, path, body in (
        ("PATCH", url, {"title": "x"}), ("POST", f"{url}publish/", None),
        ("POST", f"{url}regrade/", {"question": question, "mode": "new_only", "dry_run": True}),
        ("PATCH", f"{url}questions/{question}/", {"points": 1}),
        ("PUT", f"{url}extensions/{student.person.uuid}/", {"extra_seconds": 5}),
    ):  # fmt: skip
        await student.call(method, path, body)
    if attempt is None:
        return
    place = f"/api/attempts/{attempt['uuid']}/"
    read = await student.call("GET", place)
    await student.call("GET", place, **{"If-None-Match": read.headers["etag"]})
    await student.call("PATCH", f"{place}grade/", {"question": question, "points": 1})
    for one in attempt["questions"]:
        for wrong in ("x" * 60_000, [str(uuid4())], {"a": "b"}, 10**40, True):
            await student.call("PUT", f"{place}answers/{one['uuid']}/", {"answer": wrong})
    await student.call("PUT", f"{place}answers/{uuid4()}/", {"answer": 1})


async def with_canaries(school: School, course: Any, policy: dict[str, str]) -> dict[str, Any]:
    body = {"course": str(course), "title": "Bank"}
    bank = done(await school.teacher.client.post("/api/question-banks/", json=body), 201)
    hidden = {"kind": "short_answer", "text": "From the bank?", "accepted": ["canary-bank"]}
    done(await school.teacher.client.post(f"/api/question-banks/{bank['uuid']}/questions/", json=hidden), 201)
    pools = [{"bank": bank["uuid"], "pick": 1}]
    close = "2026-03-02T12:00:00Z"
    return await school.quiz(course, *EVERY_KIND, feedback=policy, pools=pools, closes_at=close)


@pytest.mark.promise("quiz answers")
@pytest.mark.parametrize("when", ["after_close", "never"])
async def test_no_answer_header_or_event_tells_what_is_right_too_early(school: School, when: str) -> None:
    course = await school.course()
    quiz = await with_canaries(school, course, dict.fromkeys(("score", "correctness", "answers"), when))
    student = Student(await school.enrolled(course))
    await everything(student, quiz, None)
    begun = await student.call("POST", f"/api/quizzes/{quiz['uuid']}/attempts/")
    attempt = done(begun, 201)
    await everything(student, quiz, attempt)
    for question in attempt["questions"]:
        if question["text"] == CHOICE["text"]:
            answer = await save(student.person, attempt, question, in_uuids(question, ["a number"]))
            student.seen.append(answer.text)
        elif question["kind"] == "essay":
            done(await save(student.person, attempt, question, RIGHT[question["text"]]))
    await student.call("POST", f"/api/quizzes/{quiz['uuid']}/attempts/")
    await student.call("POST", f"/api/attempts/{attempt['uuid']}/submit/")
    [essay] = [one for one in attempt["questions"] if one["kind"] == "essay"]
    done(await grade(school.teacher, attempt, essay, 2, comment="canary-comment"))
    await student.call("POST", f"/api/attempts/{attempt['uuid']}/submit/")
    await everything(student, quiz, attempt)
    assert len(student.seen) > 100
    assert student.leaks() == set()
    shown = done(await student.call("GET", f"/api/attempts/{attempt['uuid']}/"))
    assert [shown[name] for name in ("score", "percentage", "passed")] == [None] * 3
    assert all(question[name] is None for question in shown["questions"] for name in HIDDEN)
    school.clock.advance(hours=4)
    later = done(await student.call("GET", f"/api/attempts/{attempt['uuid']}/"))
    if when == "never":
        assert student.leaks() == set()
    else:
        found = {canary for canary, _ in student.leaks()}
        assert found >= {"canary-explanation", "canary-feedback", "canary-accepted", "canary-comment"}
        assert later["score"] is not None


@pytest.mark.promise("quiz answers")
async def test_no_event_carries_questions_answers_or_comments(school: School) -> None:
    course = await school.course()
    policy = dict.fromkeys(("score", "correctness", "answers"), "immediately")
    quiz = await with_canaries(school, course, policy)
    student = Student(await school.enrolled(course))
    attempt = done(await student.call("POST", f"/api/quizzes/{quiz['uuid']}/attempts/"), 201)
    for question in attempt["questions"]:
        if question["text"] in RIGHT:
            done(await save(student.person, attempt, question, in_uuids(question, RIGHT[question["text"]])))
    await student.call("POST", f"/api/attempts/{attempt['uuid']}/submit/")
    [essay] = [one for one in attempt["questions"] if one["kind"] == "essay"]
    done(await grade(school.teacher, attempt, essay, 2, comment="canary-comment"))
    async with school.harness.db.session() as session:
        rows = await session.execute(text("SELECT type, headers::text, payload FROM outbox"))
        events = [(kind, headers + bytes(payload or b"").decode()) for kind, headers, payload in rows]
    assert {"learning.quiz_graded.v1", "learning.question_bank_changed.v1"} <= {kind for kind, _ in events}
    texts = [*CANARIES[:6], "canary", "a triangle", "no cycle", "Colour it", "A tree has a cycle"]
    assert [(kind, found) for kind, body in events for found in texts if found in body] == []


async def test_each_part_of_the_policy_shows_its_own(school: School) -> None:
    course = await school.course()
    for part in ("score", "correctness", "answers"):
        policy = {**dict.fromkeys(("score", "correctness", "answers"), "never"), part: "immediately"}
        quiz = await with_canaries(school, course, policy)
        student = Student(await school.enrolled(course, f"Student {part}"))
        attempt = done(await student.call("POST", f"/api/quizzes/{quiz['uuid']}/attempts/"), 201)
        body = done(await student.call("POST", f"/api/attempts/{attempt['uuid']}/submit/"))
        first = body["questions"][0]
        assert (body["score"] is not None) == (part == "score")
        assert (first["is_correct"] is not None) == (first["score"] is not None) == (part == "correctness")
        assert (
            (first["right_answer"] is not None) == (first["explanation"] is not None) == (part == "answers")
        )

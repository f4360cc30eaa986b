"""Stories of copies: what a course that is duplicated takes with it, by events alone."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from libs.common.events.catalog import CourseDuplicated, LessonCopy
from services.learning.copies.rules import copied_id
from services.learning.tests.conftest import TRUTH
from tests.stories.town import Citizen, Json, Town


async def _furnished(town: Town, teacher: Citizen) -> Json:
    """A course with a quiz of each kind of part, an assignment, and rules about them."""
    course = await town.course(teacher, "First", "Second")
    uuid = course["uuid"]
    bank = await teacher.post("/api/question-banks/", {"course": uuid, "title": "Bank"}, 201)
    await teacher.post(f"/api/question-banks/{bank['uuid']}/questions/", TRUTH, 201)
    quiz = await teacher.post(
        "/api/quizzes/",
        {
            "course": uuid,
            "lesson": course["lessons"][0],
            "title": "Walks",
            "closes_at": "2036-05-01T10:00:00Z",
            "pools": [{"bank": bank["uuid"], "pick": 1}],
        },
        201,
    )
    await teacher.post(f"/api/quizzes/{quiz['uuid']}/questions/", TRUTH, 201)
    await teacher.post(f"/api/quizzes/{quiz['uuid']}/publish/")
    draft = await teacher.post("/api/quizzes/", {"course": uuid, "title": "Unfinished"}, 201)
    gone = await teacher.post("/api/quizzes/", {"course": uuid, "title": "Gone"}, 201)
    group = "0f0e0d0c-0b0a-4908-8706-050403020100"
    essay = await teacher.post(
        "/api/assignments/",
        {
            "course": uuid,
            "lesson": course["lessons"][1],
            "title": "Essay",
            "points": 10,
            "rubric": [{"title": "Proof", "points": 10}],
        },
        201,
    )
    policy = {
        "groups": [
            {"uuid": group, "name": "Essays", "weight": 60},
            {"name": "Quizzes", "weight": 40, "items": [quiz["uuid"], gone["uuid"]]},
        ],
        "letters": [{"letter": "A", "from": 90}],
        "extra_credit": [draft["uuid"]],
    }
    await teacher.call("PUT", f"/api/courses/{uuid}/grading-policy/", policy)
    await teacher.call("PATCH", f"/api/assignments/{essay['uuid']}/", {"group": group})
    rules = [
        {"kind": "quiz_passed", "quiz": quiz["uuid"]},
        {"kind": "assignment_graded", "assignment": essay["uuid"]},
        {"kind": "required_lessons", "lessons": [course["lessons"][1]]},
    ]
    await teacher.call("PUT", f"/api/courses/{uuid}/completion-rules/", {"rules": rules})
    template = f"/api/courses/{uuid}/certificate-template/"
    await teacher.call("PUT", template, {"title": "Certificate of graphs"})
    answer = await teacher.raw("DELETE", f"/api/quizzes/{gone['uuid']}/")
    assert answer.status_code < 300
    await town.drain()
    return course | {"quiz": quiz["uuid"], "essay": essay["uuid"], "bank": bank["uuid"]}


async def _rows(town: Town, query: str, **values: Any) -> list[Any]:
    async with town.harnesses["learning"].db.sessions() as session:
        return list((await session.execute(text(query), values)).all())


async def test_a_copy_has_quizzes_assignments_and_how_it_is_graded(town: Town, teacher: Citizen) -> None:
    course = await _furnished(town, teacher)
    copy = await teacher.post(f"/api/courses/{course['uuid']}/duplicate/", None, 201)
    await town.drain()
    town.clock.now = datetime.now(UTC)  # that of events
    uuid, lessons = copy["uuid"], [lesson["uuid"] for lesson in copy["lessons"]]
    quizzes = {row["title"]: row for row in (await teacher.get(f"/api/quizzes/?course={uuid}"))["results"]}
    assert set(quizzes) == {"Walks", "Unfinished"}
    walks = await teacher.get(f"/api/quizzes/{quizzes['Walks']['uuid']}/")
    assert (walks["lesson"], walks["is_published"]) == (lessons[0], True)
    assert walks["closes_at"] == "2036-05-01T10:00:00Z"
    assert not quizzes["Unfinished"]["is_published"]
    (bank,) = (await teacher.get(f"/api/question-banks/?course={uuid}"))["results"]
    assert walks["pools"][0]["bank"] == bank["uuid"] != course["bank"]
    assert bank["question_count"] == 1
    original = await teacher.get(f"/api/quizzes/{course['quiz']}/")
    (question,), (before,) = walks["questions"], original["questions"]
    assert question["uuid"] != before["uuid"]
    assert question | {"uuid": ""} == before | {"uuid": ""}
    (essay,) = (await teacher.get(f"/api/assignments/?course={uuid}"))["results"]
    source = await teacher.get(f"/api/assignments/{course['essay']}/")
    assert (essay["title"], essay["lesson"], essay["points"]) == ("Essay", lessons[1], 10)
    assert essay["rubric"][0]["title"] == "Proof"
    assert essay["rubric"][0]["uuid"] != source["rubric"][0]["uuid"]
    policy = await teacher.get(f"/api/courses/{uuid}/grading-policy/")
    essays, others = policy["groups"]
    assert (essays["uuid"], essays["weight"]) == (essay["group"], 60)
    assert essay["group"] != source["group"]
    assert others["items"] == [walks["uuid"]]
    assert policy["extra_credit"] == [quizzes["Unfinished"]["uuid"]]
    rules = (await teacher.get(f"/api/courses/{uuid}/completion-rules/"))["rules"]
    named = [rule.get("quiz") or rule.get("assignment") or rule["lessons"] for rule in rules]
    assert named == [walks["uuid"], essay["uuid"], [lessons[1]]]
    template = await teacher.get(f"/api/courses/{uuid}/certificate-template/")
    assert template["title"] == "Certificate of graphs"
    assert (await teacher.get(f"/api/courses/{uuid}/"))["enrolled_count"] == 0
    # A learner of the copy works with it as with any course.
    await teacher.post(f"/api/courses/{uuid}/publish/")
    await town.drain()
    (ada,) = await town.enrolled({"uuid": uuid})
    assert [row["title"] for row in (await ada.get(f"/api/quizzes/?course={uuid}"))["results"]] == ["Walks"]
    await ada.post(f"/api/quizzes/{walks['uuid']}/attempts/", {}, 201)
    # And a copy of the copy has it all again.
    third = await teacher.post(f"/api/courses/{uuid}/duplicate/", None, 201)
    await town.drain()
    assert (await teacher.get(f"/api/quizzes/?course={third['uuid']}"))["count"] == 2


async def test_a_copy_that_is_told_twice_is_made_once(town: Town, teacher: Citizen) -> None:
    course = await _furnished(town, teacher)
    copy = await teacher.post(f"/api/courses/{course['uuid']}/duplicate/", None, 201)
    await town.drain()
    tables = (
        "quizzes",
        "questions",
        "assignments",
        "question_banks",
        "grading_policy_versions",
        "grade_facts",
    )
    count = f"SELECT {', '.join(f'(SELECT count(*) FROM {name})' for name in tables)}"
    walks = copied_id(UUID(course["quiz"]), UUID(copy["uuid"]))
    assert walks.version == 4
    await teacher.call("PATCH", f"/api/quizzes/{walks}/", {"title": "Changed since"})
    await town.drain()
    before = await _rows(town, count)
    told = CourseDuplicated(
        course=UUID(copy["uuid"]),
        title=copy["title"],
        instructor=teacher.uuid,
        actor=teacher.uuid,
        source=UUID(course["uuid"]),
        lessons=tuple(
            LessonCopy(source=UUID(one), copied=UUID(other["uuid"]))
            for one, other in zip(course["lessons"], copy["lessons"], strict=True)
        ),
    )
    learning = town.harnesses["learning"]
    await learning.deliver((told, 2))  # what Kafka may bring again
    await learning.deliver(told)  # and the same fact under a number of its own
    assert await _rows(town, count) == before
    assert await learning.published() == []
    assert (await teacher.get(f"/api/quizzes/{walks}/"))["title"] == "Changed since"

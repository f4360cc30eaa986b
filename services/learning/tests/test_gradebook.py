"""The gradebook: totals, hidden grades, looking back, trying a policy, and why a grade is what it is."""

import csv
import io
import zipfile
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree

import pytest
from sqlalchemy import text

from libs.common.files.sheets import guarded, unguarded
from libs.common.testing.harness import Person
from services.learning.tests.conftest import CHOICE, TRUTH, School, done, refused


def url(course: UUID, rest: str = "gradebook/") -> str:
    return f"/api/courses/{course}/{rest}"


async def hand_in(who: Person, assignment: dict[str, Any], text: str = "My work.") -> str:
    path = f"/api/assignments/{assignment['uuid']}/submissions/"
    return str(done(await who.client.post(path, json={"text": text}), 201)["uuid"])


async def give(school: School, submission: str, **grade: Any) -> None:
    done(await school.teacher.client.patch(f"/api/submissions/{submission}/grade/", json=grade))


async def take(who: Person, quiz: dict[str, Any], *answers: Any) -> None:
    """Answer the questions in their order and submit."""
    attempt = done(await who.client.post(f"/api/quizzes/{quiz['uuid']}/attempts/"), 201)
    path = f"/api/attempts/{attempt['uuid']}/"
    for question, answer in zip(attempt["questions"], answers, strict=False):
        done(await who.client.put(f"{path}answers/{question['uuid']}/", json={"answer": answer}))
    done(await who.client.post(f"{path}submit/"))


async def grades(school: School, course: UUID, **query: Any) -> dict[str, Any]:
    return done(await school.teacher.client.get(url(course), params=query))


async def row_of(school: School, course: UUID, who: Person, **query: Any) -> dict[str, Any]:
    found = [row for row in (await grades(school, course, **query))["rows"] if row["user"] == str(who.uuid)]
    assert len(found) == 1
    return found[0]


async def save(school: School, course: UUID, body: dict[str, Any], **query: Any) -> dict[str, Any]:
    return done(await school.teacher.client.put(url(course, "grading-policy/"), json=body, params=query))


async def test_quizzes_and_assignments_count_by_their_points(school: School):
    course = await school.course()
    ada = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH, kind="graded")
    practice = await school.quiz(course, CHOICE, kind="practice")
    essay = await school.assignment(course, points=19)
    await take(ada, quiz, False)
    await take(ada, practice)
    await give(school, await hand_in(ada, essay), score=9)
    found = await grades(school, course)
    assert [(item["kind"], item["points"]) for item in found["items"]] == [("quiz", 1), ("assignment", 19)]
    row = await row_of(school, course, ada)
    assert row["cells"][quiz["uuid"]] == {"score": 1, "status": "graded"}
    assert (row["name"], row["current"], row["final"], row["letter"]) == ("Ada Lovelace", 50, 50, None)


async def test_a_policy_weighs_drops_and_gives_letters(school: School):
    course = await school.course()
    ada = await school.enrolled(course)
    tests = {"uuid": str(uuid4()), "name": "Tests", "weight": 30, "drop_lowest": 1}
    final = {"uuid": str(uuid4()), "name": "Final", "weight": 70}
    await save(school, course, {"groups": [tests, final]})
    works = [await school.assignment(course, points=10, group=tests["uuid"]) for _ in range(2)]
    exam = await school.assignment(course, points=10, group=final["uuid"])
    for work, score in ((works[0], 2), (works[1], 10), (exam, 8)):
        await give(school, await hand_in(ada, work), score=score)
    letters = [{"letter": "A", "from": 86}, {"letter": "B", "from": 50}]
    saved = await save(school, course, {"groups": [tests, final], "letters": letters})
    assert [group["name"] for group in saved["groups"]] == ["Tests", "Final"]
    assert saved["letters"][0] == {"letter": "A", "from": 86}
    row = await row_of(school, course, ada)
    assert (row["current"], row["letter"]) == (86, "A")  # 0.3 × 100 + 0.7 × 80
    assert done(await school.teacher.client.get(url(course, "grading-policy/"))) == saved


async def test_lateness_costs_as_the_policy_says(school: School):
    course = await school.course()
    ada = await school.enrolled(course)
    due = school.clock() + timedelta(hours=1)
    work = await school.assignment(course, points=10, due_at=due.isoformat())
    await save(school, course, {"late": {"unit": "day", "percent": 10, "floor": 50}})
    school.clock.now = due + timedelta(days=1, seconds=1)
    await give(school, await hand_in(ada, work), score=9)
    assert (await row_of(school, course, ada))["cells"][work["uuid"]]["score"] == 7


async def test_what_is_missing_is_zero_once_it_is_due(school: School):
    course = await school.course()
    ada = await school.enrolled(course)
    due = school.clock() + timedelta(hours=1)
    await school.assignment(course, points=10, due_at=due.isoformat())
    done_work = await school.assignment(course, points=10)
    await give(school, await hand_in(ada, done_work), score=8)
    before = await row_of(school, course, ada)
    assert (before["current"], before["final"]) == (80, 40)
    school.clock.now = due + timedelta(seconds=1)
    assert (await row_of(school, course, ada))["current"] == 40
    excused = await school.assignment(course, points=100)
    await give(school, await hand_in(ada, excused), excused=True)
    assert (await row_of(school, course, ada))["final"] == 40


async def test_one_can_look_back_at_scores_and_policy(school: School):
    course = await school.course()
    ada = await school.enrolled(course)
    work = await school.assignment(course, points=10)
    submission = await hand_in(ada, work)
    await give(school, submission, score=4)
    then = school.clock()
    school.clock.now = then + timedelta(days=1)
    await give(school, submission, score=9)
    await save(school, course, {"letters": [{"letter": "A", "from": 90}]})
    now = await row_of(school, course, ada)
    assert (now["current"], now["letter"]) == (90, "A")
    past = await row_of(school, course, ada, as_of=then.isoformat())
    assert (past["current"], past["letter"]) == (40, None)
    mine = done(await ada.client.get(url(course, "grades/me/"), params={"as_of": then.isoformat()}))
    assert mine["current"] == 40
    earlier = (then - timedelta(days=1)).isoformat()
    assert (await grades(school, course, as_of=earlier))["items"] == []
    refused(
        await school.teacher.client.get(url(course), params={"as_of": "2026-01-01T00:00:00"}),
        400,
        "invalid_filter",
    )


async def test_a_policy_is_tried_before_it_is_saved(school: School):
    course = await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Brown")
    works = [await school.assignment(course, points=10) for _ in range(2)]
    for who, scores in ((ada, (2, 10)), (eve, (7, 7))):
        for work, score in zip(works, scores, strict=True):
            await give(school, await hand_in(who, work), score=score)
    body = {
        "groups": [{"name": "All", "weight": 1, "drop_lowest": 1, "items": [work["uuid"] for work in works]}]
    }
    tried = await save(school, course, body, dry_run=True)
    assert tried == {"changes": [{"user": str(ada.uuid), "before": 60, "after": 100}]}
    assert (await row_of(school, course, ada))["current"] == 60
    assert await school.events("grading_policy_changed") == []
    await save(school, course, body)
    assert (await row_of(school, course, ada))["current"] == 100
    assert await school.events("grading_policy_changed") == ["grading_policy_changed"]


async def test_a_hidden_grade_does_not_show_before_it_is_posted(school: School):
    course = await school.course()
    ada = await school.enrolled(course)
    work = await school.assignment(course, points=10, posted=False)
    shown = await school.assignment(course, points=10)
    await give(school, await hand_in(ada, work), score=3)
    await give(school, await hand_in(ada, shown), score=9)
    path = url(course, "grades/me/")
    mine = done(await ada.client.get(path))
    assert mine["cells"][work["uuid"]] == {"score": None, "status": "submitted"}
    assert mine["current"] == 90
    why = (await ada.client.get(url(course, f"grades/{ada.uuid}/explain/"))).text
    assert "3.0 of" not in why
    assert (await row_of(school, course, ada))["current"] == 60
    done(await school.teacher.client.patch(f"/api/assignments/{work['uuid']}/", json={"posted": True}))
    assert done(await ada.client.get(path))["current"] == 60


async def test_an_explanation_leads_down_to_the_event(school: School):
    course = await school.course()
    ada = await school.enrolled(course)
    group = {"uuid": str(uuid4()), "name": "Works", "weight": 1, "drop_lowest": 1}
    await save(school, course, {"groups": [group]})
    works = [await school.assignment(course, points=10, group=group["uuid"]) for _ in range(2)]
    for work, score in zip(works, (2, 10), strict=True):
        await give(school, await hand_in(ada, work), score=score)
    aside = await school.assignment(course, points=5)
    await save(school, course, {"groups": [group]})
    top = done(await ada.client.get(url(course, f"grades/{ada.uuid}/explain/")))
    assert (top["label"], top["value"], top["source"]["type"]) == ("Current grade", 100, "policy")
    part, rest = top["children"]
    assert (part["label"], part["value"], part["contribution"]) == ("Works", 100, 100)
    record_, dropped = part["children"]
    assert (record_["value"], record_["contribution"]) == (10, 100)
    assert (dropped["value"], dropped["contribution"], "dropped" in dropped["rule"]) == (2, 0, True)
    assert [line["source"]["uuid"] for line in rest["children"]] == [aside["uuid"]]
    event = record_["children"][0]["source"]
    async with school.harness.db.session() as session:
        found = await session.execute(
            text("SELECT event::text FROM grade_marks WHERE item = :i AND score = 10"),
            {"i": works[1]["uuid"]},
        )
        assert event == {"type": "event", "uuid": works[1]["uuid"], "event_id": found.scalar_one()}


async def test_grades_are_for_the_learner_and_the_teacher(school: School):
    course = await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Brown")
    stranger = await school.person("Stan Stranger")
    rival = await school.person("Rita Rival", "teacher")
    path = url(course, f"grades/{ada.uuid}/explain/")
    assert (await eve.client.get(path)).status_code == 403
    assert (await stranger.client.get(path)).status_code == 404
    assert (await rival.client.get(path)).status_code == 404
    refused(await stranger.client.get(url(course, "grades/me/")), 403, "not_enrolled")
    for rest in ("gradebook/", "grading-policy/", "gradebook/export/"):
        assert (await ada.client.get(url(course, rest))).status_code == 403
        assert (await rival.client.get(url(course, rest))).status_code == 404
    nobody = url(course, f"grades/{uuid4()}/explain/")
    assert (await school.teacher.client.get(nobody)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"groups": [{"name": "A", "weight": 0}]},
        {"groups": [{"name": "", "weight": 1}]},
        {"groups": [{"name": "A", "weight": 1, "drop_lowest": -1}]},
        {"groups": [{"name": "A", "weight": "NaN"}]},
        {"late": {"unit": "week", "percent": 10}},
        {"late": {"unit": "day", "percent": 101}},
        {"letters": [{"letter": "A", "from": 90}, {"letter": "B", "from": 90}]},
        {"grades": []},
        {"groups": [{"uuid": str(UUID(int=1)), "name": "A", "weight": 1}] * 2},
    ],
)
async def test_a_bad_policy_is_a_422_and_changes_nothing(school: School, body: dict[str, Any]):
    course = await school.course()
    answer = await school.teacher.client.put(url(course, "grading-policy/"), json=body)
    refused(answer, 422, "invalid_input")
    assert done(await school.teacher.client.get(url(course, "grading-policy/")))["groups"] == []


async def test_a_policy_changed_meanwhile_is_a_412(school: School):
    course = await school.course()
    path = url(course, "grading-policy/")
    tag = (await school.teacher.client.get(path)).headers["etag"]
    await save(school, course, {"missing_as_zero": False})
    answer = await school.teacher.client.put(path, json={}, headers={"If-Match": tag})
    refused(answer, 412, "precondition_failed")
    assert done(await school.teacher.client.get(path))["missing_as_zero"] is False


async def test_the_export_holds_the_book_and_no_formula(school: School):
    course = await school.course()
    await school.enrolled(course, "=cmd|'/C calc'!A0 Lovelace")
    ada = await school.enrolled(course)
    work = await school.assignment(course, points=10, title="@Essay")
    await give(school, await hand_in(ada, work), score=9)
    answer = await school.teacher.client.get(url(course, "gradebook/export/"))
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    item = f"'@Essay [{work['uuid']}]"
    assert rows[0] == ["user", "name", "email", item, "current", "final", "letter"]
    assert sorted(row[1:5] for row in rows[1:]) == [
        ["'=cmd|'/C calc'!A0 Lovelace", "'=cmd|'/c@example.org", "(open)", ""],
        ["Ada Lovelace", "ada@example.org", "9.0", "90.0"],
    ]
    bad = await school.teacher.client.get(url(course, "gradebook/export/"), params={"file": "exe"})
    refused(bad, 400, "invalid_filter")
    for text_, safe in (("-1", "'-1"), ("@x", "'@x"), ("'t", "'t"), ("'=t", "''=t"), ("", "")):
        assert (guarded(text_), unguarded(safe)) == (safe, text_)


async def test_the_xlsx_holds_the_book_as_text_and_numbers(school: School):
    course = await school.course()
    await school.enrolled(course, "=cmd|'/C calc'!A0 Lovelace")
    ada = await school.enrolled(course)
    work = await school.assignment(course, points=10, title="@Essay & more")
    await give(school, await hand_in(ada, work), score=9)
    answer = await school.teacher.client.get(url(course, "gradebook/export/"), params={"file": "xlsx"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].endswith("spreadsheetml.sheet")
    assert answer.headers["content-disposition"].endswith('.xlsx"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
        styles = archive.read("xl/styles.xml")
    name = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    assert sheet.findall(f".//{name}f") == []
    rows = [["".join(cell.itertext()) for cell in row.iter(f"{name}c")] for row in sheet.iter(f"{name}row")]
    item = f"@Essay & more [{work['uuid']}]"
    assert rows[0] == ["user", "name", "email", item, "current", "final", "letter"]
    assert sorted(row[1:5] for row in rows[1:]) == [
        ["=cmd|'/C calc'!A0 Lovelace", "=cmd|'/c@example.org", "(open)", "0"],
        ["Ada Lovelace", "ada@example.org", "9", "90"],
    ]
    kinds = {cell.get("t", "n") for cell in sheet.iter(f"{name}c")}
    assert kinds == {"inlineStr", "n"}
    assert b'quotePrefix="1"' in styles


async def test_a_quiz_is_due_when_it_closes_for_the_learner(school: School):
    course = await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Brown")
    now = school.clock()
    closes = (now + timedelta(hours=1)).isoformat()
    policy = {"score": "after_close", "correctness": "never", "answers": "never"}
    quiz = await school.quiz(course, TRUTH, kind="graded", closes_at=closes, feedback=policy)
    later = {"closes_at": (now + timedelta(days=1)).isoformat()}
    done(await school.teacher.client.put(f"/api/quizzes/{quiz['uuid']}/extensions/{ada.uuid}/", json=later))
    await take(eve, quiz, False)
    school.clock.advance(hours=2)
    await take(ada, quiz, False)
    states = {row["name"]: row["cells"][quiz["uuid"]] for row in (await grades(school, course))["rows"]}
    assert states == {name: {"score": 1, "status": "graded"} for name in ("Ada Lovelace", "Eve Brown")}
    mine = done(await ada.client.get(url(course, "grades/me/")))
    assert mine["cells"][quiz["uuid"]] == {"score": None, "status": "submitted"}
    assert mine["items"][0]["due_at"] == later["closes_at"].replace("+00:00", "Z")
    theirs = done(await eve.client.get(url(course, "grades/me/")))
    assert theirs["cells"][quiz["uuid"]] == {"score": 1, "status": "graded"}
    school.clock.advance(days=1)
    assert done(await ada.client.get(url(course, "grades/me/")))["current"] == 100


async def test_who_has_longer_is_not_missing_yet(school: School):
    course = await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Brown")
    now = school.clock()
    quiz = await school.quiz(course, TRUTH, kind="graded", closes_at=(now + timedelta(hours=1)).isoformat())
    later = {"closes_at": (now + timedelta(days=1)).isoformat()}
    done(await school.teacher.client.put(f"/api/quizzes/{quiz['uuid']}/extensions/{ada.uuid}/", json=later))
    school.clock.advance(hours=2)
    for who, status in ((ada, "open"), (eve, "missing")):
        assert (await row_of(school, course, who))["cells"][quiz["uuid"]]["status"] == status
    school.clock.advance(days=1)
    assert (await row_of(school, course, ada))["cells"][quiz["uuid"]]["status"] == "missing"


async def test_a_quiz_is_worth_what_its_pools_bring(school: School):
    course = await school.course()
    await school.enrolled(course)
    teacher = school.teacher.client
    bank = done(
        await teacher.post("/api/question-banks/", json={"course": str(course), "title": "Easy"}), 201
    )
    for points in (2, 5, 3):
        question = {**TRUTH, "points": points}
        done(await teacher.post(f"/api/question-banks/{bank['uuid']}/questions/", json=question), 201)
    quiz = await school.quiz(course, TRUTH, kind="graded")
    pools = [{"bank": bank["uuid"], "pick": 2}]
    done(await teacher.patch(f"/api/quizzes/{quiz['uuid']}/", json={"pools": pools}))
    plain = await school.quiz(course, CHOICE, kind="graded")
    worth = {item["uuid"]: item["points"] for item in (await grades(school, course))["items"]}
    assert worth == {quiz["uuid"]: 9, plain["uuid"]: 3}

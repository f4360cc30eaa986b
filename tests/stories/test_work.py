"""Stories of work that is graded: quizzes, assignments, the gradebook."""

from datetime import timedelta

from services.learning.tests.conftest import TRUTH
from services.learning.tests.quizzing import EVERY_KIND, RIGHT, in_uuids
from tests.stories.town import Citizen, Json, Town


async def take(who: Citizen, quiz: Json, *, right: bool = True) -> Json:
    """An attempt with every question answered, rightly or not at all, and handed in."""
    attempt = await who.post(f"/api/quizzes/{quiz['uuid']}/attempts/", status=201)
    for question in attempt["questions"] if right else ():
        path = f"/api/attempts/{attempt['uuid']}/answers/{question['uuid']}/"
        await who.call("PUT", path, {"answer": in_uuids(question, RIGHT[question["text"]])})
    done: Json = await who.post(f"/api/attempts/{attempt['uuid']}/submit/")
    await who.town.drain()
    return done


async def test_a_quiz_of_every_kind_from_the_first_save_to_the_gradebook(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher)
    ada, eve = await town.enrolled(course, "Ada Lovelace", "Eve Else")
    quiz = await town.quiz(teacher, course, *EVERY_KIND, kind="graded", shuffle_questions=True)
    attempt = await take(ada, quiz)
    assert (attempt["status"], attempt["score"]) == ("submitted", None), "the essay waits for a teacher"
    waiting = await teacher.get(f"/api/quizzes/{quiz['uuid']}/attempts/?status=submitted")
    assert [row["student_name"] for row in waiting["results"]] == ["Ada Lovelace"]
    assert await ada.told() == ["enrollment"]
    [essay] = [question for question in attempt["questions"] if question["kind"] == "essay"]
    grade = {"question": essay["uuid"], "points": essay["points"], "comment": "Well seen."}
    await teacher.call("PATCH", f"/api/attempts/{attempt['uuid']}/grade/", grade)
    await town.drain()
    shown = await ada.get(f"/api/attempts/{attempt['uuid']}/")
    assert (shown["percentage"], shown["passed"]) == (100, True)
    assert await ada.told() == ["quiz_result", "enrollment"]
    await take(eve, quiz, right=False)
    book = await teacher.get(f"/api/courses/{course['uuid']}/gradebook/")
    assert {row["name"]: row["current"] for row in book["rows"]} == {"Ada Lovelace": 100, "Eve Else": 0}
    assert (await ada.get("/api/core/analytics/student/"))["summary"]["avg_quiz_score"] == 100
    statistics = await teacher.get(f"/api/quizzes/{quiz['uuid']}/statistics/")
    assert len(statistics["questions"]) == len(EVERY_KIND)


async def test_what_a_closed_tab_left_open_is_graded_from_what_was_saved(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher)
    ada, eve = await town.enrolled(course, "Ada Lovelace", "Eve Else")
    quiz = await town.quiz(teacher, course, TRUTH, time_limit_seconds=60)
    path = f"/api/quizzes/{quiz['uuid']}/extensions/{eve.uuid}/"
    await teacher.call("PUT", path, {"extra_seconds": 600})
    attempts = []
    for who in (ada, eve):
        attempt = await who.post(f"/api/quizzes/{quiz['uuid']}/attempts/", status=201)
        answer = f"/api/attempts/{attempt['uuid']}/answers/{attempt['questions'][0]['uuid']}/"
        await who.call("PUT", answer, {"answer": False})
        attempts.append(attempt["uuid"])
    town.clock.advance(seconds=66)
    await town.sweep("learning.close_overdue_attempts")
    states = [await who.get(f"/api/attempts/{uuid}/") for who, uuid in zip((ada, eve), attempts, strict=True)]
    assert [(state["status"], state["score"]) for state in states] == [("graded", 1), ("in_progress", None)]
    assert (await ada.told(), await eve.told()) == (["quiz_result", "enrollment"], ["enrollment"])


async def test_a_wrong_key_is_put_right_for_everybody(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher)
    ada, eve = await town.enrolled(course, "Ada Lovelace", "Eve Else")
    quiz = await town.quiz(teacher, course, TRUTH, kind="graded")
    question = quiz["questions"][0]["uuid"]
    for who, answer in ((ada, True), (eve, False)):
        attempt = await who.post(f"/api/quizzes/{quiz['uuid']}/attempts/", status=201)
        await who.call("PUT", f"/api/attempts/{attempt['uuid']}/answers/{question}/", {"answer": answer})
        await who.post(f"/api/attempts/{attempt['uuid']}/submit/")
    await teacher.call("PATCH", f"/api/quizzes/{quiz['uuid']}/questions/{question}/", {"correct": True})
    regrade = {"question": question, "mode": "old_or_new", "dry_run": True}
    path = f"/api/quizzes/{quiz['uuid']}/regrade/"
    [change] = (await teacher.post(path, regrade))["changes"]
    assert (change["user"], change["before"], change["after"]) == (str(ada.uuid), 0, 1)
    await teacher.post(path, regrade | {"dry_run": False})
    await town.drain()
    book = await teacher.get(f"/api/courses/{course['uuid']}/gradebook/")
    assert [row["current"] for row in book["rows"]] == [100, 100]
    averages = [
        (await who.get("/api/core/analytics/student/"))["summary"]["avg_quiz_score"] for who in (ada, eve)
    ]
    assert averages == [100, 100]


async def test_work_goes_from_hand_to_hand_and_its_grade_shows_when_it_is_posted(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher, "Only")
    (ada,) = await town.enrolled(course)
    due = (town.clock() + timedelta(hours=1)).isoformat()
    body = {
        "course": course["uuid"], "lesson": course["lessons"][0], "title": "Draw", "points": 20,
        "due_at": due, "posted": False,
    }  # fmt: skip
    work = await teacher.post("/api/assignments/", body, 201)
    policy = {"late": {"unit": "hour", "percent": 10, "floor": 0}}
    await teacher.call("PUT", f"/api/courses/{course['uuid']}/grading-policy/", policy)
    complete = f"/api/courses/{course['uuid']}/lessons/{course['lessons'][0]}/complete/"
    assert (await ada.post(complete, status=409))["code"] == "lesson_not_finished"
    town.clock.advance(hours=2)
    submissions = f"/api/assignments/{work['uuid']}/submissions/"
    await ada.post(submissions, {"text": "A first try."}, 201)
    handed_in = await ada.post(submissions, {"text": "A better one."}, 201)
    assert (handed_in["version"], handed_in["late_seconds"]) == (2, 3600)
    await town.drain()
    [row] = await ada.get("/api/enrollments/my-courses/")
    assert row["status"] == "completed"
    [queued] = (await teacher.get("/api/submissions/queue/"))["results"]
    path = f"/api/submissions/{queued['submission']}/grade/"
    await teacher.call("PATCH", path, {"score": 18, "feedback": "Nearly."})
    await town.drain()
    assert (await ada.get(submissions))["results"][0]["score"] is None
    assert "grade" not in await ada.told()
    await teacher.call("PATCH", f"/api/assignments/{work['uuid']}/", {"posted": True})
    await town.drain()
    assert "grade" in await ada.told()
    mine = await ada.get(f"/api/courses/{course['uuid']}/grades/me/")
    assert mine["current"] == 80, "18 of 20, less a tenth of 20 for an hour begun"
    tree = await ada.get(f"/api/courses/{course['uuid']}/grades/{ada.uuid}/explain/")
    line = tree["children"][0]["children"][0]
    assert "before lateness" in line["rule"]
    assert line["children"][0]["source"]["type"] == "event"
    [certificate] = (await ada.get("/api/certificates/"))["results"]
    assert certificate["final_score"] == 80, "the grade came after the completion"


async def test_a_policy_is_tried_before_it_is_saved_and_the_past_stays(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher)
    ada, eve = await town.enrolled(course, "Ada Lovelace", "Eve Else")
    group = {"uuid": "0b5e2f6a-3c1d-4e8f-9a7b-6c5d4e3f2a1b", "name": "All", "weight": 1}
    place = f"/api/courses/{course['uuid']}/"
    await teacher.call("PUT", f"{place}grading-policy/", {"groups": [group]})
    for scores in ((2, 8), (10, 8)):
        body = {"course": course["uuid"], "title": "Draw", "points": 10, "group": group["uuid"]}
        work = await teacher.post("/api/assignments/", body, 201)
        for who, score in zip((ada, eve), scores, strict=True):
            handed_in = await who.post(f"/api/assignments/{work['uuid']}/submissions/", {"text": "x"}, 201)
            await teacher.call("PATCH", f"/api/submissions/{handed_in['uuid']}/grade/", {"score": score})
    policy = {"groups": [group | {"drop_lowest": 1}]}
    changes = (await teacher.call("PUT", f"{place}grading-policy/?dry_run=true", policy))["changes"]
    assert [(each["user"], each["before"], each["after"]) for each in changes] == [(str(ada.uuid), 60, 100)]
    before = town.clock().isoformat()
    town.clock.advance(seconds=1)
    await teacher.call("PUT", f"{place}grading-policy/", policy)
    now = await teacher.get(f"{place}gradebook/")
    past = await teacher.get(f"{place}gradebook/", params={"as_of": before})
    assert [row["current"] for row in now["rows"]] == [100, 80]
    assert [row["current"] for row in past["rows"]] == [60, 80]
    sheet = await teacher.raw("GET", f"{place}gradebook/export/?file=csv")
    assert "Ada Lovelace" in sheet.text


async def test_what_one_of_a_group_hands_in_is_everybodys(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher)
    ada, eve, max_ = await town.enrolled(course, "Ada Lovelace", "Eve Else", "Max Power")
    work = await teacher.post(
        "/api/assignments/", {"course": course["uuid"], "title": "Build", "points": 10}, 201
    )
    groups = {"groups": [{"name": "Red", "members": [str(ada.uuid), str(eve.uuid)]}]}
    await teacher.call("PUT", f"/api/assignments/{work['uuid']}/groups/", groups)
    handed_in = await ada.post(f"/api/assignments/{work['uuid']}/submissions/", {"text": "Ours."}, 201)
    await teacher.call("PATCH", f"/api/submissions/{handed_in['uuid']}/grade/", {"score": 9})
    await town.drain()
    assert [("grade" in await who.told()) for who in (ada, eve, max_)] == [True, True, False]
    book = await teacher.get(f"/api/courses/{course['uuid']}/gradebook/")
    assert [row["current"] for row in book["rows"]] == [90, 90, None]

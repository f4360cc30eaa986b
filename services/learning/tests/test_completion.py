"""When a course counts as completed: the five kinds of rules, alone and together."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.testing.harness import Person
from services.learning.completion.rules import ALL_LESSONS, Facts, Rule, is_complete, is_met
from services.learning.tests.conftest import TRUTH, School, done, refused
from services.learning.tests.quizzing import save, start, submit

ALL = {"kind": "all_lessons"}


def url(course: UUID) -> str:
    return f"/api/courses/{course}/completion-rules/"


async def rule(school: School, course: UUID, *rules: dict[str, Any], **query: Any) -> dict[str, Any]:
    body = {"rules": list(rules)}
    return done(await school.teacher.client.put(url(course), json=body, params=query))


async def status_of(who: Person, course: UUID) -> str:
    [row] = done(await who.client.get("/api/enrollments/", params={"course": str(course)}))["results"]
    return str(row["status"])


async def met(who: Person, course: UUID) -> list[bool | None]:
    return [each["met"] for each in done(await who.client.get(url(course)))["rules"]]


async def take(who: Person, quiz: dict[str, Any], answer: bool) -> None:
    attempt = await start(who, quiz)
    done(await save(who, attempt, attempt["questions"][0], answer))
    await submit(who, attempt)


async def graded(school: School, who: Person, work: dict[str, Any], **grade: Any) -> None:
    place = f"/api/assignments/{work['uuid']}/submissions/"
    handed_in = done(await who.client.post(place, json={"text": "My work."}), 201)
    path = f"/api/submissions/{handed_in['uuid']}/grade/"
    done(await school.teacher.client.patch(path, json=grade))
    await school.harness.run_tasks()


async def test_without_rules_all_lessons_complete_a_course(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    assert done(await student.client.get(url(course)))["rules"] == [
        {
            "kind": "all_lessons",
            "lessons": None,
            "score": None,
            "quiz": None,
            "assignment": None,
            "met": False,
        }
    ]
    for lesson in school.lessons(course):
        await school.complete(student, course, lesson)
    assert (await met(student, course), await status_of(student, course)) == ([True], "completed")


async def test_required_lessons_are_enough_and_progress_stays_what_it_is(school: School) -> None:
    course = await school.course(*[uuid4() for _ in range(4)])
    student = await school.enrolled(course)
    first, second, *_ = school.lessons(course)
    await rule(school, course, {"kind": "required_lessons", "lessons": [str(first), str(second)]})
    assert (await school.complete(student, course, second))["course_completed"] is False
    answer = await school.complete(student, course, first)
    assert answer == {"progress_percentage": 50, "course_completed": True}
    assert await school.events("course_completed", "certificate_requested") == [
        "course_completed",
        "certificate_requested",
    ]


async def test_all_lessons_do_not_complete_a_course_that_asks_for_more(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH, pass_mark=100)
    await rule(school, course, ALL, {"kind": "quiz_passed", "quiz": quiz["uuid"]})
    for lesson in school.lessons(course):
        answer = await school.complete(student, course, lesson)
    assert answer == {"progress_percentage": 100, "course_completed": False}
    await take(student, quiz, True)
    assert (await met(student, course), await status_of(student, course)) == ([True, False], "in_progress")
    await take(student, quiz, False)
    assert (await met(student, course), await status_of(student, course)) == ([True, True], "completed")


async def test_an_assignment_counts_once_its_grade_is_posted(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    work = await school.assignment(course, posted=False)
    await rule(school, course, {"kind": "assignment_graded", "assignment": work["uuid"]})
    await graded(school, student, work, score=3)
    assert await status_of(student, course) == "enrolled"
    path = f"/api/assignments/{work['uuid']}/"
    done(await school.teacher.client.patch(path, json={"posted": True}))
    await school.harness.run_tasks()
    assert await status_of(student, course) == "completed"


async def test_an_excuse_counts_as_graded(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    work = await school.assignment(course)
    await rule(school, course, {"kind": "assignment_graded", "assignment": work["uuid"]})
    path = f"/api/assignments/{work['uuid']}/grades/{student.uuid}/"
    done(await school.teacher.client.put(path, json={"excused": True}))
    await school.harness.run_tasks()
    assert await status_of(student, course) == "completed"


async def test_a_minimum_score_is_of_everything_that_counts(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    works = [await school.assignment(course, points=10) for _ in range(2)]
    await rule(school, course, {"kind": "minimum_score", "score": 70})
    await graded(school, student, works[0], score=10)
    assert (await met(student, course), await status_of(student, course)) == ([False], "enrolled")
    await graded(school, student, works[1], score=3.99)
    assert await status_of(student, course) == "enrolled"
    again = done(await student.client.get(f"/api/assignments/{works[1]['uuid']}/submissions/"))["results"][0]
    path = f"/api/submissions/{again['uuid']}/grade/"
    done(await school.teacher.client.patch(path, json={"score": 4}))
    await school.harness.run_tasks()
    assert await status_of(student, course) == "completed"


async def test_new_rules_complete_the_course_of_those_who_meet_them_already(school: School) -> None:
    course = await school.course(*[uuid4() for _ in range(3)])
    near, far = await school.enrolled(course, "Near"), await school.enrolled(course, "Far")
    lesson = school.lessons(course)[0]
    await school.complete(near, course, lesson)
    body = {"kind": "required_lessons", "lessons": [str(lesson)]}
    assert (await rule(school, course, body, dry_run=True)) == {"completes": [str(near.uuid)]}
    assert await status_of(near, course) == "in_progress"
    assert await school.events("completion_rules_changed") == []
    await rule(school, course, body)
    await school.harness.run_tasks()
    assert [await status_of(who, course) for who in (near, far)] == ["completed", "enrolled"]
    await rule(school, course, ALL)
    await school.harness.run_tasks()
    assert await status_of(near, course) == "completed", "a completion was taken back"
    assert await school.events("completion_rules_changed") == ["completion_rules_changed"] * 2


async def test_a_lost_message_is_found_by_the_sweep(school: School) -> None:
    course = await school.course(*[uuid4() for _ in range(3)])
    student = await school.enrolled(course)
    lesson = school.lessons(course)[0]
    await school.complete(student, course, lesson)
    await rule(school, course, {"kind": "required_lessons", "lessons": [str(lesson)]})
    school.harness.queue.started.clear()
    await school.harness.run_task("learning.sweep_completions", clock=school.clock)
    assert school.harness.queue.started == []
    school.clock.advance(seconds=60)
    await school.harness.run_task("learning.sweep_completions", clock=school.clock)
    await school.harness.run_tasks()
    assert await status_of(student, course) == "completed"
    await school.harness.run_task("learning.sweep_completions", clock=school.clock)
    assert school.harness.queue.started == [], "what was done is looked for again and again"


async def test_a_lost_look_at_a_grade_is_found_by_the_sweep(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    work = await school.assignment(course)
    await rule(school, course, {"kind": "assignment_graded", "assignment": work["uuid"]})
    await school.harness.run_tasks()
    place = f"/api/assignments/{work['uuid']}/submissions/"
    handed_in = done(await student.client.post(place, json={"text": "My work."}), 201)
    path = f"/api/submissions/{handed_in['uuid']}/grade/"
    done(await school.teacher.client.patch(path, json={"score": 1}))
    school.harness.queue.started.clear()
    school.clock.advance(seconds=60)
    await school.harness.run_task("learning.sweep_completions", clock=school.clock)
    await school.harness.run_tasks()
    assert await status_of(student, course) == "completed"


async def test_what_a_rule_names_may_go(school: School) -> None:
    lessons = [uuid4() for _ in range(3)]
    course = await school.course(*lessons)
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH)
    await rule(
        school,
        course,
        {"kind": "required_lessons", "lessons": [str(lessons[0]), str(lessons[1])]},
        {"kind": "quiz_passed", "quiz": quiz["uuid"]},
    )
    await school.complete(student, course, lessons[0])
    done(await school.teacher.client.delete(f"/api/quizzes/{quiz['uuid']}/"))
    await school.harness.run_tasks()
    assert await status_of(student, course) == "in_progress"
    await school.republish(course, lessons[0], lessons[2])
    assert await status_of(student, course) == "completed"


async def test_a_grade_after_completion_reaches_the_certificate(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    work = await school.assignment(course, points=10)
    later = {"course": str(course), "title": "Set afterwards", "points": 90}
    for lesson in school.lessons(course):
        await school.complete(student, course, lesson)
    [certificate] = done(await student.client.get("/api/certificates/"))["results"]
    assert certificate["final_score"] is None
    school.clock.advance(seconds=60)
    done(await school.teacher.client.post("/api/assignments/", json=later), 201)
    await graded(school, student, work, score=9)
    [certificate] = done(await student.client.get("/api/certificates/"))["results"]
    assert certificate["final_score"] == 90, "what was set after the completion counts"


async def test_hidden_grades_are_on_no_certificate(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    work = await school.assignment(course, points=10, posted=False)
    await graded(school, student, work, score=3)
    feedback = {"score": "never", "correctness": "never", "answers": "never"}
    quiz = await school.quiz(course, TRUTH, kind="graded", feedback=feedback)
    await take(student, quiz, False)
    for lesson in school.lessons(course):
        await school.complete(student, course, lesson)
    [certificate] = done(await student.client.get("/api/certificates/"))["results"]
    assert certificate["final_score"] is None
    check = done(await school.harness.client().get(f"/api/certificates/{certificate['uuid']}/verify/"))
    assert check["final_score"] is None


async def test_the_certificate_says_what_the_gradebook_does(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    group = str(uuid4())
    policy = {"groups": [{"uuid": group, "name": "All", "weight": 1, "drop_lowest": 1}]}
    path = f"/api/courses/{course}/grading-policy/"
    done(await school.teacher.client.put(path, json=policy))
    for score in (2, 10, 7):
        await graded(school, student, await school.assignment(course, points=10, group=group), score=score)
    for lesson in school.lessons(course):
        await school.complete(student, course, lesson)
    [certificate] = done(await student.client.get("/api/certificates/"))["results"]
    mine = done(await student.client.get(f"/api/courses/{course}/grades/me/"))
    assert certificate["final_score"] == mine["current"] == 85


async def test_who_may_see_and_set_rules(school: School) -> None:
    course, draft = await school.course(), await school.course(status="draft")
    student, stranger = await school.enrolled(course), await school.person("Stranger")
    other = await school.person("Another Teacher", "teacher")
    manager = school.harness.person("manager")
    assert await met(school.teacher, course) == [None]
    refused(await stranger.client.get(url(course)), 403, "not_enrolled")
    refused(await stranger.client.get(url(draft)), 404, "not_found")
    refused(await school.harness.client().get(url(course)), 401, "not_authenticated")
    refused(await student.client.put(url(course), json={"rules": []}), 403, "forbidden")
    refused(await other.client.put(url(course), json={"rules": []}), 404, "not_found")
    done(await manager.client.put(url(course), json={"rules": []}))


async def test_two_teachers_do_not_overwrite_each_others_rules(school: School) -> None:
    course = await school.course()
    answer = await school.teacher.client.get(url(course))
    headers = {"If-Match": answer.headers["etag"]}
    body = {"rules": [ALL]}
    answers = await asyncio.gather(
        *(school.teacher.client.put(url(course), json=body, headers=headers) for _ in range(4))
    )
    assert sorted(each.status_code for each in answers) == [200, 412, 412, 412]
    fresh = next(each for each in answers if each.status_code == 200).headers["etag"]
    again = await school.teacher.client.get(url(course), headers={"If-None-Match": fresh})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"rules": None},
        {"rules": [{"kind": "nonsense"}]},
        {"rules": [{"kind": "required_lessons"}]},
        {"rules": [{"kind": "required_lessons", "lessons": []}]},
        {"rules": [{"kind": "required_lessons", "lessons": ["00000000-0000-4000-8000-000000000000"]}]},
        {"rules": [{"kind": "minimum_score", "score": 0}]},
        {"rules": [{"kind": "minimum_score", "score": 101}]},
        {"rules": [{"kind": "minimum_score", "score": "1e-999999999"}]},
        {"rules": [{"kind": "quiz_passed", "quiz": "00000000-0000-4000-8000-000000000000"}]},
        {"rules": [{"kind": "assignment_graded", "assignment": "\u0000"}]},
        {"rules": [{"kind": "all_lessons", "score": 3}]},
        {"rules": [{"kind": "all_lessons"}] * 51},
        {"rules": [], "more": 1},
    ],
)
async def test_bad_rules_are_refused_and_change_nothing(school: School, wrong: dict[str, Any]) -> None:
    course = await school.course()
    refused(await school.teacher.client.put(url(course), json=wrong), 422, "invalid_input")
    assert await school.published() == []
    assert done(await school.teacher.client.get(url(course)))["rules"][0]["kind"] == "all_lessons"


async def test_a_quiz_of_another_course_cannot_be_asked_for(school: School) -> None:
    course, other = await school.course(), await school.course()
    quiz, work = await school.quiz(other), await school.assignment(other)
    for body in (
        {"kind": "quiz_passed", "quiz": quiz["uuid"]},
        {"kind": "assignment_graded", "assignment": work["uuid"]},
    ):
        wrong = await school.teacher.client.put(url(course), json={"rules": [body]})
        assert refused(wrong, 422, "invalid_input")["errors"][0]["field"].startswith("rules.0.")


async def test_the_last_lesson_and_the_last_grade_at_once_complete_a_course_once(school: School) -> None:
    course = await school.course(uuid4())
    [lesson] = school.lessons(course)
    people = [await school.enrolled(course, f"Student {number}") for number in range(4)]
    quiz = await school.quiz(course, TRUTH)
    await rule(school, course, ALL, {"kind": "quiz_passed", "quiz": quiz["uuid"]})
    attempts = [await start(who, quiz) for who in people]
    for who, attempt in zip(people, attempts, strict=True):
        done(await save(who, attempt, attempt["questions"][0], False))
    await asyncio.gather(
        *(submit(who, attempt) for who, attempt in zip(people, attempts, strict=True)),
        *(school.complete(who, course, lesson) for who in people),
    )
    assert [await status_of(who, course) for who in people] == ["completed"] * 4
    assert len(await school.events("course_completed")) == 4


async def test_a_past_due_time_completes_nothing_by_itself(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    due = (school.clock() + timedelta(hours=1)).isoformat()
    await school.assignment(course, points=10, due_at=due)
    work = await school.assignment(course, points=10)
    await rule(school, course, {"kind": "minimum_score", "score": 50})
    await graded(school, student, work, score=9.9)
    school.clock.advance(seconds=7200)
    await school.harness.run_task("learning.sweep_completions", clock=school.clock)
    await school.harness.run_tasks()
    assert await status_of(student, course) == "enrolled"


LESSONS = [UUID(int=number) for number in range(4)]
SUBJECTS = [UUID(int=100 + number) for number in range(3)]
RULES = st.one_of(
    st.just(ALL_LESSONS),
    st.builds(
        lambda ones: Rule("required_lessons", ones), st.frozensets(st.sampled_from(LESSONS), min_size=1)
    ),
    st.builds(lambda score: Rule("minimum_score", score=score), st.decimals(1, 100, places=2)),
    st.builds(
        lambda kind, one: Rule(kind, subject=one),
        st.sampled_from(["quiz_passed", "assignment_graded"]),
        st.sampled_from(SUBJECTS),
    ),
)
SOME_LESSONS, SOME_SUBJECTS = st.sets(st.sampled_from(LESSONS)), st.sets(st.sampled_from(SUBJECTS))
FACTS = st.builds(
    Facts,
    lessons=SOME_LESSONS,
    completed=SOME_LESSONS,
    score=st.none() | st.decimals(0, 120, places=2),
    passed=SOME_SUBJECTS,
    graded=SOME_SUBJECTS,
    items=SOME_SUBJECTS,
)


@given(st.lists(RULES, max_size=4), FACTS)
def test_more_done_never_takes_a_completion_away(rules: list[Rule], facts: Facts) -> None:
    more = Facts(
        facts.lessons,
        LESSONS,
        None if facts.score is None else facts.score + 1,
        SUBJECTS,
        SUBJECTS,
        facts.items,
    )
    if is_complete(rules, facts):
        assert is_complete(rules, more)
    assert is_complete(rules, facts) <= all(is_met(each, facts) for each in rules)


@given(st.lists(RULES, max_size=4), FACTS)
def test_nothing_completes_by_nothing(rules: list[Rule], facts: Facts) -> None:
    """Whatever the rules name may be gone: somebody who has done nothing has completed nothing."""
    idle = Facts(facts.lessons, (), None, (), (), facts.items)
    assert not is_complete(rules, idle)

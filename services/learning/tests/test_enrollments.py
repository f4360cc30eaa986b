"""Seats: who gets one, how many there are, what the lists show."""

import asyncio
from uuid import uuid4

from sqlalchemy import text

from libs.common.bus.inbox import apply_batch
from libs.common.testing.harness import as_record
from services.learning.enrollments.schemas import CourseSummary, EnrollmentStudentRead
from services.learning.tests.conftest import School, done, refused, user_state

CARD = set(CourseSummary.model_fields)
SHAPE = set(EnrollmentStudentRead.model_fields)


async def test_enrolling_twice_gives_the_same_enrollment(school: School) -> None:
    course = await school.course()
    student = await school.person("Ada Lovelace")
    first = done(await student.client.post(f"/api/courses/{course}/enroll/"), 201)
    again = done(await student.client.post(f"/api/courses/{course}/enroll/", json={}))
    assert first == again
    assert set(first) == SHAPE
    assert set(first["course"]) == CARD
    assert first["status"] == "enrolled"
    assert first["progress"] == first["progress_percentage"] == 0
    assert first["next_lesson"]["uuid"] == str(school.lessons(course)[0])
    assert first["course"]["instructor_name"] == "Tess Teacher"
    assert first["course"]["enrolled_count"] == 1
    assert first["course"]["is_enrolled"] is True
    assert first["enrolled_at"] == "2026-03-02T09:00:00Z"
    assert await school.published() == [
        ("learning.student_enrolled.v1", first["uuid"], 1),
        ("learning.enrollment.v1", first["uuid"], 1),
    ]


async def test_the_card_shows_the_ratings_that_came_by_event(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    await school.change_course(course, average_rating=4.33, reviews_count=3)
    [row] = done(await student.client.get("/api/enrollments/my-courses/"))
    assert (row["course"]["average_rating"], row["course"]["reviews_count"]) == (4.33, 3)


async def test_parallel_enrolling_of_one_student_makes_one_enrollment(school: School) -> None:
    course = await school.course()
    student = await school.person("Ada Lovelace")
    answers = await asyncio.gather(*(student.client.post(f"/api/courses/{course}/enroll/") for _ in range(5)))
    assert sorted(a.status_code for a in answers) == [200, 200, 200, 200, 201]
    assert len({a.json()["uuid"] for a in answers}) == 1
    assert await school.events() == ["student_enrolled", "enrollment"]


async def test_drafts_are_hidden_archives_closed_and_teachers_do_not_enroll(school: School) -> None:
    student = await school.person("Ada Lovelace")
    draft = await school.course(status="draft")
    archived = await school.course(status="archived")
    course = await school.course()
    refused(await student.client.post(f"/api/courses/{draft}/enroll/"), 404, "not_found")
    refused(await student.client.post(f"/api/courses/{uuid4()}/enroll/"), 404, "not_found")
    refused(await student.client.post("/api/courses/nonsense/enroll/"), 404, "not_found")
    refused(await student.client.post(f"/api/courses/{archived}/enroll/"), 409, "course_archived")
    refused(
        await school.teacher.client.post(f"/api/courses/{course}/enroll/"), 403, "instructor_cannot_enroll"
    )
    refused(await school.harness.client().post(f"/api/courses/{course}/enroll/"), 401, "not_authenticated")
    assert await school.events() == []


async def test_prerequisites_are_named_until_they_are_completed(school: School) -> None:
    first = await school.course(title="Sets")
    second = await school.course(prerequisites=(first, uuid4()))
    student = await school.enrolled(first)
    problem = refused(
        await student.client.post(f"/api/courses/{second}/enroll/"), 409, "prerequisites_missing"
    )
    assert "Sets" in problem["detail"]
    assert [error["field"] for error in problem["errors"]] == [str(first)]
    for lesson in school.lessons(first):
        await school.complete(student, first, lesson)
    done(await student.client.post(f"/api/courses/{second}/enroll/"), 201)


async def test_a_limit_is_exact_when_many_race_for_the_last_seats(school: School) -> None:
    course = await school.course(enrollment_limit=3)
    students = [school.harness.person() for _ in range(10)]
    answers = await asyncio.gather(*(s.client.post(f"/api/courses/{course}/enroll/") for s in students))
    assert sorted(a.status_code for a in answers) == [201] * 3 + [409] * 7
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"course_full"}
    roster = done(await school.teacher.client.get(f"/api/courses/teacher/students/?course={course}"))
    assert len(roster) == 3


async def test_freed_seats_go_to_those_who_wait_in_order(school: School) -> None:
    course = await school.course(enrollment_limit=1)
    url = f"/api/courses/{course}/enroll/"
    holder = await school.enrolled(course)
    waiting = [await school.person(f"Waiting {n}") for n in range(3)]
    for place, person in enumerate(waiting, 1):
        school.clock.advance(seconds=1)
        body = done(await person.client.post(url, json={"waitlist": True}), 201)
        assert (body["status"], body["waitlist_position"], body["next_lesson"]) == ("waitlisted", place, None)
    assert done(await waiting[1].client.post(url))["waitlist_position"] == 2
    assert await school.events("student_enrolled", "waitlist_joined") == [
        "student_enrolled", *["waitlist_joined"] * 3,
    ]  # fmt: skip
    left = await waiting[0].client.post(f"/api/courses/{course}/unenroll/")
    assert "detail" in done(left)
    done(await holder.client.post(f"/api/courses/{course}/unenroll/"))
    mine = done(await waiting[1].client.get("/api/enrollments/my-courses/"))
    assert [row["status"] for row in mine] == ["enrolled"]
    assert done(await waiting[2].client.get("/api/enrollments/?status=waitlisted"))["count"] == 1
    await school.change_course(course, enrollment_limit=2)
    assert done(await waiting[2].client.get("/api/enrollments/?status=enrolled"))["count"] == 1
    facts = await school.events("student_enrolled", "student_dropped")
    assert facts == ["student_enrolled", "student_dropped", "student_enrolled", "student_enrolled"]


async def test_who_leaves_and_returns_goes_on_where_they_stopped(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    await school.complete(student, course, school.lessons(course)[0])
    leave = f"/api/courses/{course}/unenroll/"
    assert done(await student.client.post(leave))["status"] == "dropped"
    assert done(await student.client.post(leave))["status"] == "dropped"
    assert done(await student.client.get("/api/enrollments/my-courses/")) == []
    lesson = school.lessons(course)[1]
    refused(
        await student.client.post(f"/api/courses/{course}/lessons/{lesson}/complete/"), 403, "not_enrolled"
    )
    back = done(await student.client.post(f"/api/courses/{course}/enroll/"), 201)
    assert (back["status"], back["progress"]) == ("in_progress", 50)
    facts = await school.events(
        "student_enrolled", "lesson_completed", "student_dropped", "student_reenrolled"
    )
    assert facts == ["student_enrolled", "lesson_completed", "student_dropped", "student_reenrolled"]
    stranger = await school.person("Eve Else")
    refused(await stranger.client.post(leave), 403, "not_enrolled")


async def test_a_teacher_sees_the_roster_of_own_courses_only(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    other = await school.person("Other Teacher", "teacher")
    manager = await school.person("Mia Manager", "manager")
    url = f"/api/courses/teacher/students/?course={course}"
    rows = done(await school.teacher.client.get(url))
    assert [(r["name"], r["email"], r["student"]) for r in rows] == [
        ("Ada Lovelace", "ada@example.org", str(student.uuid))
    ]
    assert (rows[0]["course_name"], rows[0]["course_uuid"]) == (rows[0]["title"], str(course))
    assert "last_active" in rows[0]
    assert done(await other.client.get(url)) == []
    assert len(done(await manager.client.get(url))) == 1
    refused(await student.client.get(url), 403, "forbidden")
    row = f"/api/enrollments/?course={course}"
    assert done(await school.teacher.client.get(row))["results"][0]["name"] == "Ada Lovelace"
    assert done(await other.client.get(row))["count"] == 0
    own = done(await student.client.get(row))["results"]
    assert [row["email"] for row in own] == [None]


async def test_bad_filters_are_refused_and_unknown_ones_ignored(school: School) -> None:
    student = await school.person("Ada Lovelace")
    problem = refused(await student.client.get("/api/enrollments/?status=lost"), 400, "invalid_filter")
    assert "in_progress" in problem["detail"]
    refused(await student.client.get("/api/enrollments/?course=x"), 400, "bad_request")
    done(await student.client.get("/api/enrollments/?color=red"))


async def test_bad_bodies_write_nothing(school: School) -> None:
    course = await school.course()
    student = await school.person("Ada Lovelace")
    url = f"/api/courses/{course}/enroll/"
    problem = refused(await student.client.post(url, json={"seat": 1}), 422, "invalid_input")
    assert problem["errors"][0]["field"] == "seat"
    refused(await student.client.post(url, json={"waitlist": "perhaps"}), 422, "invalid_input")
    refused(
        await student.client.post(url, content="{", headers={"Content-Type": "application/json"}),
        400,
        "malformed_json",
    )
    assert await school.events() == []
    assert done(await student.client.get("/api/enrollments/"))["count"] == 0


async def test_a_new_revision_moves_those_underway_and_never_reopens_the_finished(school: School) -> None:
    one, two, three = uuid4(), uuid4(), uuid4()
    course = await school.course(one, two)
    finished = await school.enrolled(course, "Fin Ished")
    underway = await school.enrolled(course, "Una Derway")
    nearly = await school.enrolled(course, "Nea Rly")
    for lesson in (one, two):
        await school.complete(finished, course, lesson)
    await school.complete(underway, course, one)
    await school.complete(nearly, course, two)
    await school.republish(course, two, three)
    shown = {}
    for person in (finished, underway, nearly):
        [row] = done(await person.client.get("/api/enrollments/my-courses/"))
        shown[person.uuid] = (row["status"], row["progress"])
    assert shown == {
        finished.uuid: ("completed", 100),
        underway.uuid: ("in_progress", 0),
        nearly.uuid: ("in_progress", 50),
    }
    assert await school.events("progress_recalculated") == ["progress_recalculated"]
    assert (await school.complete(finished, course, three))["progress_percentage"] == 100
    await school.republish(course, two)
    [row] = done(await nearly.client.get("/api/enrollments/my-courses/"))
    assert (row["status"], row["progress"]) == ("completed", 100)
    assert (
        await school.events("course_completed", "certificate_requested")
        == [
            "course_completed",
            "certificate_requested",
        ]
        * 2
    )


async def test_each_state_applied_twice_has_one_effect(school: School) -> None:
    one, two = uuid4(), uuid4()
    course = await school.course(one, two)
    student = await school.enrolled(course)
    await school.complete(student, course, one)
    await school.republish(course, one)
    before = await school.published()
    db, subscription = school.harness.db, school.harness.subscription
    assert subscription is not None
    again = await apply_batch(db, subscription, [as_record(school.states[course], 2)])
    assert (again.applied, again.duplicates) == (0, 1)
    # Even the handler itself, run again by a later version that changes nothing, publishes nothing.
    await school.change_course(course)
    assert await school.published() == before


async def test_an_erased_person_leaves_the_replica(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    record = as_record(user_state(student.uuid, "Ada Lovelace"), 2)
    tombstone = type(record)(record.topic, record.key, None, record.headers)
    assert school.harness.subscription is not None
    await apply_batch(school.harness.db, school.harness.subscription, [tombstone])
    [row] = done(await school.teacher.client.get(f"/api/courses/teacher/students/?course={course}"))
    assert (row["name"], row["email"]) == ("", "")


async def test_completing_while_a_revision_is_published_ends_with_the_new_share(school: School) -> None:
    one, two, three = uuid4(), uuid4(), uuid4()
    course = await school.course(one, two)
    students = [await school.enrolled(course, f"Student {n}") for n in range(6)]
    await asyncio.gather(
        school.republish(course, one, two, three),
        *(school.complete(student, course, one) for student in students),
    )
    rows = done(await school.teacher.client.get(f"/api/courses/teacher/students/?course={course}"))
    assert {(row["status"], row["progress"]) for row in rows} == {("in_progress", 33.33)}


async def test_the_openapi_document_names_every_call_once(school: School) -> None:
    paths = done(await school.harness.client().get("/openapi.json"))["paths"]
    names = [call["operationId"] for calls in paths.values() for call in calls.values()]
    assert len(names) == len(set(names)) > 30
    assert all(path.endswith("/") for path in paths)
    assert all(call.get("description") for calls in paths.values() for call in calls.values())


async def test_the_waitlist_is_told_in_events(school: School) -> None:
    course = await school.course(enrollment_limit=1)
    url = f"/api/courses/{course}/enroll/"
    seated, first, second = [await school.person(f"Person {number}") for number in range(3)]
    done(await seated.client.post(url), 201)
    joined = done(await first.client.post(url, json={"waitlist": True}), 201)
    left = done(await second.client.post(url, json={"waitlist": True}), 201)
    done(await second.client.post(url.replace("enroll", "unenroll")))
    done(await seated.client.post(url.replace("enroll", "unenroll")))
    kinds = [(kind, seq) for kind, key, seq in await school.published() if key == joined["uuid"]]
    assert kinds == [
        ("learning.waitlist_joined.v1", 1), ("learning.enrollment.v1", 1),
        ("learning.student_enrolled.v1", 2), ("learning.enrollment.v1", 2),
    ]  # fmt: skip
    kinds = [(kind, seq) for kind, key, seq in await school.published() if key == left["uuid"]]
    assert kinds == [
        ("learning.waitlist_joined.v1", 1), ("learning.enrollment.v1", 1),
        ("learning.waitlist_left.v1", 2), ("learning.enrollment.v1", 2),
    ]  # fmt: skip
    async with school.harness.db.session() as session:
        query = text("SELECT payload IS NULL FROM outbox WHERE key = :key AND topic = 'learning.enrollments'")
        assert list(await session.scalars(query, {"key": left["uuid"]})) == [False, True], "no tombstone"
    done(await second.client.post(url, json={"waitlist": True}), 201)


async def test_a_learner_who_comes_back_waits_and_keeps_what_was_learnt(school: School) -> None:
    course = await school.course(enrollment_limit=1)
    url = f"/api/courses/{course}/enroll/"
    back = await school.enrolled(course, "Back Again")
    await school.complete(back, course, school.lessons(course)[0])
    done(await back.client.post(url.replace("enroll", "unenroll")))
    other = await school.enrolled(course, "Other Person")
    waiting = done(await back.client.post(url, json={"waitlist": True}), 201)
    assert (waiting["status"], waiting["waitlist_position"]) == ("waitlisted", 1)
    done(await back.client.post(url.replace("enroll", "unenroll")))
    [row] = done(await back.client.get("/api/enrollments/?status=dropped"))["results"]
    assert row["progress"] == 50
    done(await back.client.post(url, json={"waitlist": True}), 201)
    done(await other.client.post(url.replace("enroll", "unenroll")))
    [row] = done(await back.client.get("/api/enrollments/my-courses/"))
    assert (row["status"], row["progress"]) == ("in_progress", 50)
    assert (await school.events("student_reenrolled", "waitlist_joined", "waitlist_left")) == [
        "waitlist_joined", "waitlist_left", "waitlist_joined", "student_reenrolled",
    ]  # fmt: skip


async def test_the_waitlist_is_in_the_order_in_which_places_were_told(school: School) -> None:
    course = await school.course(enrollment_limit=1)
    url = f"/api/courses/{course}/enroll/"
    await school.enrolled(course)
    people = [await school.person(f"Person {number}") for number in range(6)]
    answers = await asyncio.gather(*(who.client.post(url, json={"waitlist": True}) for who in people))
    told = {str(who.uuid): done(a, 201)["waitlist_position"] for who, a in zip(people, answers, strict=True)}
    assert sorted(told.values()) == [1, 2, 3, 4, 5, 6]
    rows = done(await school.teacher.client.get("/api/courses/teacher/students/?status=waitlisted"))
    assert {row["student"]: row["waitlist_position"] for row in rows} == told


async def test_a_completed_course_has_no_next_lesson_whatever_is_published(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    for lesson in school.lessons(course):
        await school.complete(student, course, lesson)
    await school.republish(course, *school.lessons(course), uuid4())
    [row] = done(await student.client.get("/api/enrollments/my-courses/"))
    assert (row["status"], row["progress"], row["next_lesson"]) == ("completed", 100, None)


async def test_a_draft_prerequisite_keeps_nobody_out(school: School) -> None:
    draft, open_ = await school.course(status="draft", title="Secret draft"), await school.course()
    course = await school.course(prerequisites=(draft,))
    student = await school.person("Ada Lovelace")
    done(await student.client.post(f"/api/courses/{course}/enroll/"), 201)
    await school.change_course(course, prerequisites=(draft, open_))
    other = await school.person("Eve Brown")
    problem = await other.client.post(f"/api/courses/{course}/enroll/")
    assert "Secret" not in refused(problem, 409, "prerequisites_missing")["detail"]


async def test_the_roster_of_a_teacher_has_everybody_at_once_whatever_page_is_asked_for(
    school: School,
) -> None:
    course, other = await school.course(), await school.course()
    for number in range(25):
        await school.enrolled(course, f"Student {number}")
    await school.enrolled(other, "Student Elsewhere")
    rows = done(await school.teacher.client.get("/api/courses/teacher/students/?page=2&page_size=5"))
    assert len(rows) == 26
    assert {row["course_uuid"] for row in rows} == {str(course), str(other)}

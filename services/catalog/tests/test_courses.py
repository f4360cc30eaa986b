"""Courses: making, showing, changing, publishing, deleting."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.testing.harness import Harness, Person
from libs.common.web.paging import Page
from services.catalog.courses.schemas import CourseRead, CourseSummary
from services.catalog.tests.conftest import DESCRIPTION, School, enrollment_state, ok, refused, user_state


async def scalar(catalog: Harness, query: str):
    async with catalog.db.sessions() as session:
        return await session.scalar(text(query))


async def test_a_course_begins_as_a_draft_that_only_its_editors_see(
    catalog: Harness, school: School, teacher: Person, manager: Person, student: Person
):
    made = await school.course(
        teacher, tags=["Graphs", "graphs", "Proofs"], status="draft", is_featured=False
    )
    assert (made["status"], made["revision"], made["tags"]) == ("draft", None, ["Graphs", "Proofs"])
    assert made["instructor"]["full_name"] == "Tara Teacher"
    assert made["instructor"]["email"] == "tara@lectern.example"
    path = f"/api/courses/{made['uuid']}/"
    other = await school.person("Tomas Tutor", "teacher")
    for client in (catalog.client(), student.client, other.client):
        refused(await client.get(path), 404, "not_found")
        assert ok(await client.get("/api/courses/"))["count"] == 0
    refused(await other.client.patch(path, json={"title": "Mine now"}), 404)
    assert ok(await manager.client.get(path))["can_edit"]
    assert ok(await teacher.client.get("/api/courses/teacher/"))[0]["uuid"] == made["uuid"]
    mine = ok(await teacher.client.get("/api/courses/?my_courses=true"))
    assert (mine["count"], mine["next"], mine["results"][0]["title"]) == (1, None, made["title"])
    assert await catalog.published() == [
        ("catalog.course_created.v1", made["uuid"], 1),
        ("catalog.course.v1", made["uuid"], 1),
    ]


async def test_only_teachers_make_courses_and_have_their_own(catalog: Harness, student: Person):
    body = {"title": "Graphs", "description": DESCRIPTION}
    refused(await student.client.post("/api/courses/", json=body), 403)
    refused(await catalog.client().post("/api/courses/", json=body), 401)
    refused(await student.client.get("/api/courses/?my_courses=true"), 403)
    refused(await catalog.client().get("/api/courses/?my_courses=true"), 401)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "ab"),
        ("title", "x" * 201),
        ("title", 5),
        ("description", "short"),
        ("level", "expert"),
        ("language", "english language"),
        ("duration_hours", -1),
        ("enrollment_limit", 0),
        ("tags", "graphs"),
        ("category", "no-such-category"),
        ("instructor", str(uuid4())),
        ("grade", 1),
        ("slug", "Not A Slug"),
        ("title", "a\0bc"),
        ("status", "published"),
        ("preview_video", "javascript:alert(1)"),
        ("title", None),
    ],
)
async def test_a_bad_course_is_a_422_that_names_the_field(
    catalog: Harness, teacher: Person, field: str, value
):
    body = {"title": "Graphs", "description": DESCRIPTION, field: value}
    answer = refused(await teacher.client.post("/api/courses/", json=body), 422)
    assert answer["errors"][0]["field"].startswith(field)
    assert await scalar(catalog, "SELECT count(*) FROM courses") == 0
    assert await catalog.published() == []


async def test_malformed_json_is_a_400_and_a_wrong_id_a_404(teacher: Person):
    headers = {"Content-Type": "application/json"}
    refused(
        await teacher.client.post("/api/courses/", content=b'{"title":', headers=headers),
        400,
        "malformed_json",
    )
    for path in (str(uuid4()), "not-a-uuid"):
        refused(await teacher.client.get(f"/api/courses/{path}/"), 404, "not_found")
        refused(await teacher.client.patch(f"/api/courses/{path}/", json={"title": "Graphs"}), 404)


async def test_a_published_course_is_shown_to_all_and_changed_by_its_teacher_only(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"
    seen = ok(await catalog.client().get(path))
    CourseRead.model_validate(seen)
    assert (seen["status"], seen["revision"], seen["total_lessons"]) == ("published", 1, 2)
    assert seen["instructor"]["email"] is None
    assert seen["is_enrolled"] is False
    assert seen["has_draft_changes"] is None
    locked, preview = seen["lessons"]
    assert (locked["is_locked"], locked["text_content"], locked["title"]) == (True, None, "What a graph is")
    assert "Edges" in preview["text_html"]
    other = await school.person("Tomas Tutor", "teacher")
    for person in (student, other):
        refused(await person.client.patch(path, json={"title": "Mine now"}), 403)
        refused(await person.client.delete(path), 403)
        refused(await person.client.post(f"{path}publish/"), 403)
    refused(await catalog.client().patch(path, json={"title": "Mine now"}), 401)


async def test_two_teachers_at_once_the_second_gets_a_412(school: School, teacher: Person, manager: Person):
    course = await school.course(teacher)
    path = f"/api/courses/{course['uuid']}/"
    tag = (await teacher.client.get(path)).headers["etag"]
    answers = await asyncio.gather(
        *(
            person.client.patch(path, json={"title": f"By {person.role}"}, headers={"If-Match": tag})
            for person in (teacher, manager)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert ok(await teacher.client.get(path))["title"] == winner.json()["title"]
    again = await teacher.client.patch(
        path, json={"title": "Third"}, headers={"If-Match": winner.headers["etag"]}
    )
    assert again.status_code == 200


async def test_an_unchanged_course_is_a_304(
    school: School, teacher: Person, catalog: Harness, student: Person
):
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"
    first = await student.client.get(path)
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await student.client.get(path, headers=tag)).status_code == 304
    await school.enroll(course, student)
    assert (await student.client.get(path, headers=tag)).status_code == 200


async def test_read_only_fields_pass_while_unchanged(
    school: School, teacher: Person, manager: Person, catalog: Harness
):
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"
    before = len(await catalog.published())
    ok(
        await teacher.client.patch(
            path, json={"status": "published", "is_featured": False, "title": course["title"]}
        )
    )
    assert len(await catalog.published()) == before
    refused(await teacher.client.patch(path, json={"is_featured": True}), 403, "featuring_not_allowed")
    assert ok(await manager.client.patch(path, json={"is_featured": True}))["is_featured"]
    assert ok(await catalog.client().get("/api/courses/?is_featured=true"))["count"] == 1


async def test_status_in_a_patch_publishes_unpublishes_and_archives(
    school: School, teacher: Person, student: Person, catalog: Harness
):
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"
    assert ok(await teacher.client.patch(path, json={"status": "draft"}))["status"] == "draft"
    refused(await student.client.get(path), 404)
    refused(await teacher.client.post(f"{path}unpublish/"), 409, "invalid_transition")
    back = ok(await teacher.client.patch(path, json={"status": "published", "title": "Graphs again"}))
    assert (back["status"], back["revision"], back["title"]) == ("published", 1, "Graphs again")
    await school.enroll(course, student)
    ok(await teacher.client.patch(path, json={"status": "archived"}))
    assert ok(await student.client.get(path))["is_enrolled"]
    refused(await catalog.client().get(path), 404)
    seqs = [seq for kind, key, seq in await catalog.published() if kind == "catalog.course.v1"]
    facts = [
        s
        for kind, key, s in await catalog.published()
        if kind != "catalog.course.v1" and key == course["uuid"]
    ]
    assert seqs == facts == list(range(1, max(seqs) + 1))


async def test_publishing_needs_a_lesson(school: School, teacher: Person):
    course = await school.course(teacher)
    path = f"/api/courses/{course['uuid']}/publish/"
    refused(await teacher.client.post(path), 409, "nothing_to_publish")
    module = await school.module(teacher, course)
    refused(await teacher.client.post(path), 409)
    await school.lesson(teacher, module, is_published=False)
    refused(await teacher.client.post(path), 409)


async def test_learners_read_the_revision_until_the_next_publish(
    school: School, teacher: Person, student: Person, catalog: Harness
):
    course = await school.published(teacher)
    await school.enroll(course, student)
    path = f"/api/courses/{course['uuid']}/"
    first = course["lessons"][0]
    lesson = f"{path}lessons/{first['uuid']}/"
    ok(await teacher.client.patch(lesson, json={"content": "New words."}))
    await school.lesson(teacher, course["modules"][0], "Trees")
    ok(await teacher.client.delete(f"{path}lessons/{course['lessons'][1]['uuid']}/"))
    old = ok(await student.client.get(path))
    assert [row["title"] for row in old["lessons"]] == ["What a graph is", "A taste"]
    assert old["lessons"][0]["text_source"] == "*Edges*."
    draft = ok(await teacher.client.get(path))
    assert draft["has_draft_changes"] is True
    assert [row["title"] for row in draft["lessons"]] == ["What a graph is", "Trees"]
    assert len(ok(await teacher.client.get(f"{path}?view=published"))["lessons"]) == 2
    assert ok(await teacher.client.get(f"{path}?view=published"))["lessons"][1]["title"] == "A taste"
    refused(await teacher.client.get(f"{path}?view=other"), 400, "invalid_filter")
    new = ok(await teacher.client.post(f"{path}publish/"))
    assert (new["revision"], new["has_draft_changes"], new["total_lessons"]) == (2, False, 2)
    seen = ok(await student.client.get(lesson))
    assert (seen["text_source"], seen["text_html"]) == ("New words.", "<p>New words.</p>\n")
    before = len(await catalog.published())
    ok(await teacher.client.post(f"{path}publish/"))
    assert len(await catalog.published()) == before
    assert await scalar(catalog, "SELECT count(*) FROM course_revisions") == 2


async def test_a_course_is_deleted_until_somebody_enrolled(
    school: School, teacher: Person, student: Person, catalog: Harness
):
    empty, full = await school.published(teacher), await school.published(teacher)
    assert empty["slug"] != full["slug"]
    await school.enroll(full, student, status="dropped")
    assert ok(await teacher.client.delete(f"/api/courses/{full['uuid']}/"))["status"] == "archived"
    assert ok(await teacher.client.delete(f"/api/courses/{empty['uuid']}/"))["status"] == "deleted"
    refused(await teacher.client.get(f"/api/courses/{empty['uuid']}/"), 404)
    assert ok(await catalog.client().get("/api/courses/"))["count"] == 0
    tombstones = "SELECT count(*) FROM outbox WHERE payload IS NULL AND type = 'catalog.course.v1'"
    assert await scalar(catalog, tombstones) == 1


async def test_a_course_deleted_while_somebody_enrolled_comes_back_archived(
    school: School, teacher: Person, student: Person, catalog: Harness
):
    """The seat was taken before anybody here knew: nothing that its learner has is lost."""
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"
    waiting = await school.person("Wanda Waiting", "student")
    assert ok(await teacher.client.delete(path))["status"] == "deleted"
    await school.enroll(course, waiting, status="waitlisted")
    refused(await student.client.get(path), 404)
    await school.enroll(course, student)
    seen = ok(await student.client.get(path))
    assert (seen["status"], seen["slug"], seen["is_enrolled"]) == ("archived", course["slug"], True)
    assert seen["modules"][0]["lessons"][0]["text_source"] == "*Edges*."
    assert ok(await catalog.client().get("/api/courses/"))["count"] == 0
    states = [seq for kind, key, seq in await catalog.published() if kind == "catalog.course.v1"]
    assert states == sorted(set(states)), "the state that brings it back follows the tombstone"
    ok(await teacher.client.patch(path, json={"title": "Kept for its learners"}))


async def test_who_teaches_is_for_those_who_do(
    school: School, teacher: Person, student: Person, catalog: Harness
):
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/instructors/"
    refused(await catalog.client().get(path), 401)
    refused(await student.client.get(path), 403)
    answer = await teacher.client.get(path)
    tag = answer.headers["etag"]
    assert [person["name"] for person in ok(answer)["instructors"]] == ["Tara Teacher"]
    assert (await teacher.client.get(path, headers={"If-None-Match": tag})).status_code == 304
    other = await school.person("Tomas Tutor", "teacher")
    body = {"instructors": [str(other.uuid)]}
    ok(await teacher.client.put(path, json=body, headers={"If-Match": tag}))
    refused(await teacher.client.put(path, json={"instructors": []}, headers={"If-Match": tag}), 412)
    required = f"/api/courses/{course['uuid']}/prerequisites/"
    refused(await teacher.client.put(required, json={"prerequisites": []}, headers={"If-Match": tag}), 412)


async def test_a_prerequisite_that_has_gone_may_stay(school: School, teacher: Person):
    first, second = await school.course(teacher, "First"), await school.course(teacher, "Second")
    path = f"/api/courses/{second['uuid']}/prerequisites/"
    ok(await teacher.client.put(path, json={"prerequisites": [first["uuid"]]}))
    ok(await teacher.client.delete(f"/api/courses/{first['uuid']}/"))
    ok(await teacher.client.put(path, json={"prerequisites": [first["uuid"]]}))
    ok(await teacher.client.put(path, json={"prerequisites": []}))
    refused(await teacher.client.put(path, json={"prerequisites": [first["uuid"]]}), 422)


@pytest.mark.promise("injection")
async def test_a_description_is_as_written_and_rendered_without_what_acts(school: School, teacher: Person):
    wild = DESCRIPTION + "<script>alert(1)</script> <b>bold</b>"
    course = await school.course(teacher, description=wild)
    assert course["description"] == wild
    assert "<script" not in course["description_html"]
    assert "<b>bold</b>" in course["description_html"]


async def test_co_instructors_edit_and_are_teachers(school: School, teacher: Person, student: Person):
    course = await school.course(teacher)
    other = await school.person("Tomas Tutor", "teacher")
    path = f"/api/courses/{course['uuid']}/instructors/"
    refused(await other.client.put(path, json={"instructors": [str(other.uuid)]}), 404)
    refused(await teacher.client.put(path, json={"instructors": [str(student.uuid)]}), 422)
    people = ok(await teacher.client.put(path, json={"instructors": [str(other.uuid), str(teacher.uuid)]}))
    assert [person["name"] for person in people["instructors"]] == ["Tara Teacher", "Tomas Tutor"]
    ok(await other.client.patch(f"/api/courses/{course['uuid']}/", json={"title": "Ours"}))
    assert ok(await other.client.get("/api/courses/teacher/"))[0]["title"] == "Ours"


async def test_prerequisites_have_no_circle(school: School, teacher: Person):
    one, two, three = [await school.course(teacher, f"Course {n}") for n in range(3)]

    async def require(course: dict, *others: str):
        return await teacher.client.put(
            f"/api/courses/{course['uuid']}/prerequisites/", json={"prerequisites": others}
        )

    ok(await require(one, two["uuid"]))
    ok(await require(two, three["uuid"]))
    refused(await require(three, one["uuid"]), 422, "prerequisite_cycle")
    refused(await require(one, one["uuid"]), 422, "prerequisite_cycle")
    refused(await require(one, str(uuid4())), 422)
    listed = ok(await teacher.client.get(f"/api/courses/{one['uuid']}/prerequisites/"))
    assert [row["title"] for row in listed["prerequisites"]] == ["Course 1"]


async def test_the_number_of_the_enrolled_follows_the_events(
    school: School, teacher: Person, student: Person, catalog: Harness
):
    course = await school.published(teacher)
    lesson = course["lessons"][0]["uuid"]
    first = enrollment_state(course["uuid"], student.uuid, completed=(lesson,))
    second = enrollment_state(course["uuid"], uuid4())
    for _ in range(2):
        await catalog.deliver((first, 1), (second, 1))
    seen = ok(await student.client.get(f"/api/courses/{course['uuid']}/"))
    assert (seen["enrolled_count"], seen["enrollment_count"], seen["is_enrolled"]) == (2, 2, True)
    assert [row["is_completed"] for row in seen["lessons"]] == [True, False]
    assert seen["lessons"][0]["text_source"] == "*Edges*."
    assert seen["enrolled_students"] is None
    own = ok(await teacher.client.get("/api/courses/teacher/"))[0]
    assert {"uuid": str(student.uuid), "name": "Sami Student"} in own["enrolled_students"]
    for _ in range(2):
        await catalog.deliver((second.model_copy(update={"status": "dropped"}), 2))
    card = ok(await student.client.get("/api/courses/"))["results"][0]
    assert (card["enrolled_count"], card["is_enrolled"]) == (1, True)


async def test_a_renamed_instructor_is_found_and_shown(school: School, teacher: Person, catalog: Harness):
    await school.published(teacher)
    state = user_state(teacher.uuid, "Ottoline Oxley", "teacher")
    for _ in range(2):
        await catalog.deliver((state, 5))
    found = ok(await catalog.client().get("/api/courses/?search=oxley"))
    assert found["results"][0]["instructor_name"] == "Ottoline Oxley"


async def test_every_card_has_every_field(school: School, teacher: Person, catalog: Harness, student: Person):
    await school.published(teacher)
    for client in (catalog.client(), student.client, teacher.client):
        body = ok(await client.get("/api/courses/"))
        Page[CourseSummary].model_validate(body)
        assert set(body["results"][0]) == set(CourseSummary.model_fields)
        assert body["results"][0]["created_at"].endswith("Z")


async def test_the_same_key_makes_one_course(teacher: Person, catalog: Harness):
    body = {"title": "Graphs", "description": DESCRIPTION}
    headers = {"Idempotency-Key": "once"}
    answers = [await teacher.client.post("/api/courses/", json=body, headers=headers) for _ in range(2)]
    assert answers[0].json()["uuid"] == answers[1].json()["uuid"]
    refused(await teacher.client.post("/api/courses/", json=body | {"title": "Other"}, headers=headers), 422)
    assert await scalar(catalog, "SELECT count(*) FROM courses") == 1

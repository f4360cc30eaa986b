"""Reviews, favourites, views: what students do with a course without changing it."""

import asyncio

from sqlalchemy import text

from libs.common.runtime.clock import SettableClock
from libs.common.testing.harness import Harness, Person
from libs.common.testing.privacy import erase, export, tables_with
from services.catalog.reviews.schemas import ReviewRead
from services.catalog.tests.conftest import School, ok, refused


async def review(person: Person, course: dict, rating: int = 5, comment: str = "Good.", status: int = 201):
    body = {"course": course["uuid"], "rating": rating, "comment": comment}
    return ok(await person.client.post("/api/reviews/", json=body), status)


async def seated(school: School, course: dict, name: str = "Sara Student") -> Person:
    person = await school.person(name, "student")
    await school.enroll(course, person)
    return person


async def test_an_enrolled_student_reviews_once(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    course = await school.published(teacher)
    body = {"course": course["uuid"], "rating": 4, "comment": "Clear."}
    refused(await student.client.post("/api/reviews/", json=body), 403, "not_enrolled")
    refused(await catalog.client().post("/api/reviews/", json=body), 401)
    await school.enroll(course, student)
    for bad in ({"rating": 0}, {"rating": 6}, {"rating": 4.5}, {"stars": 4}, {"student": str(teacher.uuid)}):
        refused(await student.client.post("/api/reviews/", json=body | bad), 422)
    made = await review(student, course, 4, "Clear.")
    ReviewRead.model_validate(made)
    assert (made["student_name"], made["is_own"], made["rating"]) == ("Sami Student", True, 4)
    refused(await student.client.post("/api/reviews/", json=body), 409, "already_reviewed")
    for path in (f"/api/courses/{course['uuid']}/reviews/", f"/api/reviews/?course={course['uuid']}"):
        listed = ok(await catalog.client().get(path))
        assert [(row["student_name"], row["is_own"]) for row in listed["results"]] == [
            ("Sami Student", False)
        ]
    refused(await catalog.client().get("/api/reviews/"), 400, "course_required")
    refused(await catalog.client().get(f"/api/reviews/?course={course['uuid']}&ordering=best"), 400)
    seen = ok(await student.client.get(f"/api/courses/{course['uuid']}/"))
    assert (seen["average_rating"], seen["reviews_count"]) == (4, 1)
    assert seen["my_review"]["uuid"] == seen["reviews"][0]["uuid"] == made["uuid"]
    assert (await catalog.published())[-2:] == [
        ("catalog.review_posted.v1", course["uuid"], 6),
        ("catalog.course.v1", course["uuid"], 6),
    ]


async def test_the_author_changes_and_author_or_staff_remove(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    course = await school.published(teacher)
    await school.enroll(course, student)
    made = await review(student, course, 2)
    path = f"/api/reviews/{made['uuid']}/"
    other = await seated(school, course)
    moderator = await school.person("Mo Moderator", "moderator")
    for person in (other, teacher, moderator):
        refused(await person.client.patch(path, json={"rating": 1}), 403)
    for person in (other, teacher):
        refused(await person.client.delete(path), 403)
    changed = await student.client.patch(path, json={"rating": 3}, headers={"If-Match": '"1"'})
    assert (ok(changed)["rating"], changed.headers["etag"]) == (3, '"2"')
    refused(await student.client.patch(path, json={"rating": 1}, headers={"If-Match": '"1"'}), 412)
    assert ok(await moderator.client.delete(path))["detail"]
    refused(await student.client.patch(path, json={"rating": 3}), 404)
    seen = ok(await catalog.client().get(f"/api/courses/{course['uuid']}/"))
    assert (seen["average_rating"], seen["reviews_count"], seen["reviews"]) == (0, 0, [])
    async with catalog.db.sessions() as session:
        entry = await session.execute(text("SELECT action, actor, target FROM audit_entries"))
        assert entry.one() == ("review_removed", moderator.uuid, made["uuid"])
    again = await review(student, course, 5)
    assert again["uuid"] != made["uuid"]
    assert [kind for kind, _, _ in await catalog.published()][-8::2] == [
        "catalog.review_posted.v1",
        "catalog.review_changed.v1",
        "catalog.review_removed.v1",
        "catalog.review_posted.v1",
    ]


async def test_many_reviews_at_once_make_one_right_average(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    course = await school.published(teacher)
    people = [await seated(school, course, f"Student Number{n}") for n in range(8)]
    ratings = [1, 2, 3, 4, 5, 5, 5, 5]
    await asyncio.gather(*(review(who, course, stars) for who, stars in zip(people, ratings, strict=True)))
    await school.enroll(course, student)
    body = {"course": course["uuid"], "rating": 1}
    twice = await asyncio.gather(*(student.client.post("/api/reviews/", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in twice) == [201, 409, 409, 409]
    card = ok(await catalog.client().get("/api/courses/"))["results"][0]
    assert (card["average_rating"], card["reviews_count"]) == (3.44, 9)
    async with catalog.db.sessions() as session:
        state = await session.scalar(
            text(
                "SELECT convert_from(payload, 'UTF8')::json FROM outbox WHERE topic = 'catalog.courses'"
                " ORDER BY key_seq DESC LIMIT 1"
            )
        )
    assert (state["average_rating"], state["reviews_count"]) == (3.44, 9)


async def test_a_review_does_not_take_the_teachers_tag(school: School, teacher: Person, student: Person):
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"
    read = await teacher.client.get(path)
    tag, before = read.headers["etag"], ok(read)
    await school.enroll(course, student)
    await review(student, course)
    fresh = await teacher.client.get(path, headers={"If-None-Match": tag})
    assert (fresh.status_code, fresh.json()["updated_at"]) == (200, before["updated_at"])
    ok(await teacher.client.patch(path, json={"title": "Graphs, gently"}, headers={"If-Match": tag}))
    refused(await teacher.client.patch(path, json={"title": "Others"}, headers={"If-Match": tag}), 412)


async def test_helpful_is_a_toggle_of_one_vote_each(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    course = await school.published(teacher)
    await school.enroll(course, student)
    made = await review(student, course)
    path = f"/api/reviews/{made['uuid']}/helpful/"
    refused(await student.client.post(path), 403, "own_review")
    refused(await catalog.client().post(path), 401)
    other = await seated(school, course)
    ok(await teacher.client.post(path))
    first = ok(await other.client.post(path))
    assert (first["is_helpful"], first["helpful_count"]) == (True, 2)
    await asyncio.gather(*(other.client.post(path) for _ in range(5)))
    listed = ok(await other.client.get(f"/api/reviews/?course={course['uuid']}&ordering=helpful"))
    assert (listed["results"][0]["is_helpful"], listed["results"][0]["helpful_count"]) == (False, 1)


async def test_favourites_are_remembered_and_forgotten(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    first, second = await school.published(teacher, "Optics"), await school.published(teacher, "Logic")
    draft = await school.course(teacher, "Secret")
    for course in (first, second, second):
        path = f"/api/courses/{course['uuid']}/"
        assert ok(await student.client.post(f"{path}add-to-favorites/"))["is_favorite"]
    refused(await student.client.post(f"/api/courses/{draft['uuid']}/add-to-favorites/"), 404)
    refused(await catalog.client().get("/api/courses/favorites/"), 401)
    listed = ok(await student.client.get("/api/courses/favorites/"))
    assert [row["title"] for row in listed["results"]] == ["Logic", "Optics"]
    assert listed["count"] == 2
    assert ok(await teacher.client.get("/api/courses/favorites/"))["count"] == 0
    path = f"/api/courses/{first['uuid']}/"
    assert ok(await student.client.get(f"{path}is-favorite/"))["is_favorite"]
    assert ok(await student.client.get(path))["is_favorite"]
    ok(await teacher.client.post(f"/api/courses/{second['uuid']}/unpublish/"))
    assert ok(await student.client.get("/api/courses/favorites/"))["count"] == 1
    assert not ok(await student.client.delete(f"{path}remove-from-favorites/"))["is_favorite"]
    assert not ok(await student.client.get(f"{path}is-favorite/"))["is_favorite"]


async def test_managers_feature_courses(school: School, teacher: Person, manager: Person, catalog: Harness):
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"
    refused(await teacher.client.patch(path, json={"is_featured": True}), 403, "featuring_not_allowed")
    ok(await manager.client.patch(path, json={"is_featured": True}))
    assert ok(await catalog.client().get("/api/courses/?is_featured=true"))["count"] == 1
    ok(await teacher.client.patch(path, json={"is_featured": True, "level": "advanced"}))


async def test_a_view_counts_once_a_day_for_each_viewer_and_network(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    clock = catalog.app.state.clock = SettableClock()
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"

    async def look(*addresses: str) -> int:
        for address in addresses:
            ok(await catalog.client(**{"X-Forwarded-For": address}).get(path))
        await catalog.run_task("catalog.sweep_views", clock=clock)
        return ok(await teacher.client.get(path))["views_count"]

    assert await look("192.0.2.1", "192.0.2.77", "198.51.100.1") == 2
    ok(await student.client.get(path))
    ok(await student.client.get(path))
    assert await look() == 3
    assert await look("192.0.2.1") == 3
    clock.advance(days=1)
    assert await look("192.0.2.1") == 4
    clock.advance(days=3)
    assert await look() == 4
    async with catalog.db.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM course_views")) == 0


async def test_an_erased_student_leaves_stars_without_name_and_words(
    catalog: Harness, school: School, teacher: Person
):
    course = await school.published(teacher)
    person = await seated(school, course, "Canary Student")
    await review(person, course, 2, "A canary in a mine.")
    ok(await person.client.post(f"/api/courses/{course['uuid']}/add-to-favorites/"))
    part = await export(catalog, person.uuid)
    assert [row["comment"] for row in part["data"]["reviews"]] == ["A canary in a mine."]
    assert [row["course"] for row in part["data"]["favorites"]] == [course["uuid"]]
    await erase(catalog, person.uuid)
    assert await tables_with(catalog, "canary") == set()
    listed = ok(await catalog.client().get(f"/api/reviews/?course={course['uuid']}"))["results"][0]
    assert (listed["student_name"], listed["comment"], listed["rating"]) == ("", "", 2)

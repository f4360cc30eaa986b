"""Stories of the catalogue: what a teacher does there, and what everybody else has of it."""

from datetime import timedelta
from typing import Any

from tests.stories.town import Citizen, Town

KINDS = ("video", "text", "pdf", "slides", "interactive", "assignment", "quiz")


async def test_a_course_of_every_kind_of_lesson_is_read_by_those_who_enrolled(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher, "Welcome", publish=False)
    for kind in KINDS:
        course["lessons"].append(await town.lesson(teacher, course, f"A {kind}", content_type=kind))
    stranger = await town.citizen("Eve Else")
    path = f"/api/courses/{course['uuid']}/"
    await stranger.get(path, 404)
    await town.publish(teacher, course)
    shown = await stranger.get(path)
    assert [lesson["content_type"] for lesson in shown["modules"][0]["lessons"]] == ["text", *KINDS]
    locked = await stranger.get(f"{path}lessons/{course['lessons'][0]}/")
    assert (locked["is_locked"], locked["text_content"]) == (True, None)
    (ada,) = await town.enrolled(course)
    assert "Read this" in (await ada.get(f"{path}lessons/{course['lessons'][0]}/"))["text_content"]
    await town.complete(ada, course, course["lessons"][:2])
    seen = await ada.get(path)
    assert seen["is_enrolled"] is True
    assert [lesson["is_completed"] for lesson in seen["modules"][0]["lessons"]] == [True] * 2 + [False] * 6
    assert (await stranger.get(path))["enrolled_count"] == 1


async def test_learners_underway_move_to_what_is_published_and_nobody_sees_a_draft(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher, "One", "Two")
    done_one, done_all = await town.enrolled(course, "Ada Lovelace", "Eve Else")
    await town.complete(done_one, course, course["lessons"][:1])
    await town.complete(done_all, course, course["lessons"])
    added = await town.lesson(teacher, course, "Three")
    path = f"/api/courses/{course['uuid']}/"
    await town.drain()

    async def progress(who: Citizen) -> tuple[str, float]:
        [row] = await who.get("/api/enrollments/my-courses/")
        return row["status"], row["progress"]

    assert (await done_one.get(path))["total_lessons"] == 2, "a learner sees a draft"
    assert len((await teacher.get(path))["modules"][0]["lessons"]) == 3
    assert await progress(done_one) == ("in_progress", 50)
    await town.publish(teacher, course)
    assert [await progress(who) for who in (done_one, done_all)] == [
        ("in_progress", 33.33),
        ("completed", 100),
    ]
    answer = await town.complete(done_one, course, [course["lessons"][1], added])
    assert answer == {"progress_percentage": 100, "course_completed": True}


async def test_a_course_asks_for_those_before_it(town: Town, teacher: Citizen) -> None:
    first, second = await town.course(teacher, "Only"), await town.course(teacher, "Only")
    path = "/api/courses/{}/prerequisites/"
    await teacher.call("PUT", path.format(second["uuid"]), {"prerequisites": [first["uuid"]]})
    circle = await teacher.raw("PUT", path.format(first["uuid"]), json={"prerequisites": [second["uuid"]]})
    assert circle.status_code in (409, 422), circle.text
    await town.drain()
    (ada,) = await town.enrolled(first)
    enroll = f"/api/courses/{second['uuid']}/enroll/"
    problem = await ada.post(enroll, {}, 409)
    assert problem["code"] == "prerequisites_missing"
    await town.complete(ada, first, first["lessons"])
    await ada.post(enroll, {}, 201)


async def test_who_teaches_along_may_do_what_a_teacher_does(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher)
    other = await town.citizen("Alan Turing", "teacher")
    (ada,) = await town.enrolled(course)
    quiz = {"course": course["uuid"], "title": "Mine"}
    await other.post("/api/quizzes/", quiz, 404)
    path = f"/api/courses/{course['uuid']}/instructors/"
    await teacher.call("PUT", path, {"instructors": [str(other.uuid)]})
    await town.drain()
    await other.post("/api/quizzes/", quiz, 201)
    await other.post(f"/api/courses/{course['uuid']}/enroll/", {}, 403)
    rows = await other.get("/api/courses/teacher/students/")
    assert [row["name"] for row in rows] == [ada.name]
    assert (await other.get("/api/core/analytics/teacher/"))["summary"]["total_students"] == 1
    forum = (await other.get(f"/api/core/forums/?course={course['uuid']}"))["results"][0]
    await other.post(
        "/api/core/discussions/", {"forum": forum["uuid"], "title": "Welcome", "content": "Hello."}, 201
    )


async def test_the_enrolled_review_and_everybody_sees_how_it_is_liked(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher)
    stranger = await town.citizen("Eve Else")
    review = {"course": course["uuid"], "rating": 4, "comment": "Clear."}
    await stranger.post("/api/reviews/", review, 403)
    ada, max_ = await town.enrolled(course, "Ada Lovelace", "Max Power")
    mine = await ada.post("/api/reviews/", review, 201)
    await max_.post("/api/reviews/", review | {"rating": 5}, 201)
    await max_.post(f"/api/reviews/{mine['uuid']}/helpful/")
    await town.drain()
    [card] = (await stranger.get("/api/courses/"))["results"]
    assert (card["average_rating"], card["reviews_count"]) == (4.5, 2)
    [row] = await ada.get("/api/enrollments/my-courses/")
    assert row["course"]["average_rating"] == 4.5
    dashboard = await teacher.get("/api/core/analytics/teacher/")
    assert dashboard["summary"]["avg_course_rating"] == 4.5


async def test_a_course_is_published_when_it_was_planned(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher, publish=False)
    at = (town.clock() + timedelta(hours=1)).isoformat()
    await teacher.post(f"/api/courses/{course['uuid']}/publish/", {"publish_at": at})
    ada = await town.citizen("Ada Lovelace")
    enroll = f"/api/courses/{course['uuid']}/enroll/"
    await town.sweep("catalog.sweep_publications")
    await ada.post(enroll, {}, 404)
    town.clock.advance(seconds=3601)
    await town.sweep("catalog.sweep_publications")
    await ada.post(enroll, {}, 201)


async def test_a_new_order_is_the_order_in_which_one_goes_on(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher, "One", "Two", "Three")
    (ada,) = await town.enrolled(course)
    one, two, three = course["lessons"]
    second = await teacher.post("/api/modules/", {"course": course["uuid"], "title": "Later"}, 201)
    tree = {
        "modules": [
            {"uuid": second["uuid"], "lessons": [three]},
            {"uuid": course["module"], "lessons": [two, one]},
        ]
    }
    path = f"/api/courses/{course['uuid']}/reorder/"
    short = {"modules": [{"uuid": course["module"], "lessons": [two, one]}]}
    await teacher.post(path, short, 422)
    await teacher.post(path, tree)
    await town.publish(teacher, course)

    async def next_one() -> str:
        [row] = await ada.get("/api/enrollments/my-courses/")
        return str(row["next_lesson"]["uuid"])

    order = []
    for _ in range(2):
        order.append(await next_one())
        await town.complete(ada, course, order[-1:])
    assert [*order, await next_one()] == [three, two, one]


async def test_a_copy_is_ones_own_and_an_archive_takes_nobody_in(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher)
    (ada,) = await town.enrolled(course)
    path = f"/api/courses/{course['uuid']}/"
    copy = await teacher.post(f"{path}duplicate/", {}, 201)
    assert (copy["status"], copy["enrolled_count"]) == ("draft", 0)
    await teacher.call("DELETE", path)  # somebody has enrolled: it is archived
    await town.drain()
    eve = await town.citizen("Eve Else")
    assert (await eve.post(f"{path}enroll/", {}, 409))["code"] == "course_archived"
    assert (await town.complete(ada, course, course["lessons"]))["course_completed"] is True
    assert (await ada.get("/api/certificates/"))["count"] == 1


async def test_popular_courses_come_first_and_are_found_with_a_typo(town: Town, teacher: Citizen) -> None:
    quiet = await town.course(teacher, title="Quantum walks, quietly")
    loud = await town.course(teacher, title="Quantum walks for everybody")
    await town.enrolled(loud, "Ada Lovelace", "Eve Else")
    anyone = await town.citizen("Max Power")

    async def found(query: str) -> list[Any]:
        return [row["uuid"] for row in (await anyone.get(f"/api/courses/?{query}"))["results"]]

    assert await found("sortBy=popular") == [loud["uuid"], quiet["uuid"]]
    assert set(await found("search=quantun+walks")) == {loud["uuid"], quiet["uuid"]}
    [card] = (await anyone.get("/api/courses/?search=everybody"))["results"]
    assert card["enrolled_count"] == 2
    await teacher.renamed("Ruth Renamed")
    assert set(await found("search=renamed")) == {loud["uuid"], quiet["uuid"]}


async def test_a_file_of_the_library_is_a_lessons_resource_for_those_who_enrolled(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher, "Only")
    (ada,) = await town.enrolled(course)
    taken = await teacher.raw(
        "POST", "/api/core/media/", files={"file": ("notes.txt", b"Some notes.", "text/plain")}
    )
    assert taken.status_code == 201, taken.text
    media = taken.json()["uuid"]
    path = f"/api/courses/{course['uuid']}/lessons/{course['lessons'][0]}/"
    await teacher.call("PATCH", path, {"resources": [{"media": media, "title": "Notes"}]})
    assert (await ada.get(path))["resources"] == []
    await town.publish(teacher, course)
    [resource] = (await ada.get(path))["resources"]
    link = resource["url"].removeprefix(town.harnesses["catalog"].settings.public_url)
    read = await ada.raw("GET", link)
    assert (resource["title"], read.content) == ("Notes", b"Some notes.")
    assert (await teacher.call("DELETE", f"/api/core/media/{media}/", None, 409))["code"] == "media_in_use"


async def test_what_one_likes_is_ones_own_and_what_is_featured_is_the_managers(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher)
    ada, manager = await town.citizen("Ada Lovelace"), await town.citizen("Mary Manager", "manager")
    path = f"/api/courses/{course['uuid']}/"
    await ada.post(f"{path}add-to-favorites/")
    liked = [(await who.get(f"{path}is-favorite/"))["is_favorite"] for who in (ada, manager)]
    assert liked == [True, False]
    assert (await teacher.raw("PATCH", path, json={"is_featured": True})).status_code in (403, 422)
    await manager.call("PATCH", path, {"is_featured": True})
    await town.drain()
    [card] = (await ada.get("/api/courses/?is_featured=true"))["results"]
    assert card["uuid"] == course["uuid"]

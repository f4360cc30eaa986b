"""Study time, points, streaks and waitlists when several things happen at once, or far apart."""

import asyncio
from uuid import uuid4

from sqlalchemy import text

from services.learning.tests.conftest import School, done, refused, user_state


async def test_many_tabs_together_never_count_more_than_the_clock(school: School) -> None:
    lessons = [uuid4() for _ in range(3)]
    first, second = await school.course(*lessons), await school.course()
    student = await school.enrolled(first)
    done(await student.client.post(f"/api/courses/{second}/enroll/"), 201)
    tabs = [(first, lesson) for lesson in lessons] + [(second, lesson) for lesson in school.lessons(second)]

    async def beat() -> int:
        answers = await asyncio.gather(
            *(
                student.client.post(
                    f"/api/courses/{course}/lessons/{lesson}/progress/",
                    json={"position_seconds": 1, "seconds_spent": 60},
                )
                for course, lesson in tabs * 2
            )
        )
        return sum(done(answer)["seconds_counted"] for answer in answers)

    assert await beat() == 0, "nothing has passed since the enrolment"
    for seconds in (25, 0, 60, 3600):
        school.clock.advance(seconds=seconds)
        assert await beat() == min(seconds, 60)
    summary = done(await student.client.get("/api/learning/summary/"))
    assert summary["study_seconds"] == 25 + 60 + 60
    async with school.harness.db.sessions() as session:
        by_day = await session.scalar(text("SELECT sum(seconds) FROM study_days"))
        by_course = await session.scalar(text("SELECT sum(study_seconds) FROM enrollments"))
    assert by_day == by_course == summary["study_seconds"]


async def test_a_clock_that_steps_back_counts_nothing_twice(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    url = f"/api/courses/{course}/lessons/{school.lessons(course)[0]}/progress/"
    for step, counted in ((0, 0), (30, 30), (-30, 0), (30, 0), (10, 10)):
        school.clock.advance(seconds=step)
        body = done(await student.client.post(url, json={"seconds_spent": 60}))
        assert body["seconds_counted"] == counted


async def test_points_count_once_however_often_a_lesson_is_completed(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    lessons = school.lessons(course)
    await asyncio.gather(*(school.complete(student, course, lesson) for lesson in lessons * 5))
    summary = done(await student.client.get("/api/learning/summary/"))
    assert summary == {"study_seconds": 0, "points": 20, "courses_completed": 1}
    other = await school.enrolled(course, "Eve Else")
    assert done(await other.client.get("/api/learning/summary/"))["points"] == 0


async def test_a_freeze_bridges_a_missed_day_and_the_next_one_ends_the_streak(school: School) -> None:
    lessons = [uuid4() for _ in range(9)]
    course = await school.course(*lessons)
    student = await school.enrolled(course)

    async def streak() -> tuple[int, int, int, bool]:
        body = done(await student.client.get("/api/learning/streak/"))
        return body["current_streak"], body["longest_streak"], body["freezes"], body["active_today"]

    for lesson in lessons[:7]:
        await school.complete(student, course, lesson)
        school.clock.advance(days=1)
    assert await streak() == (7, 7, 1, False)
    school.clock.advance(days=1)  # one day is missed
    assert await streak() == (7, 7, 0, False)
    await school.complete(student, course, lessons[7])
    assert await streak() == (8, 8, 0, True)
    school.clock.advance(days=2)
    assert await streak() == (0, 8, 0, False)
    await school.complete(student, course, lessons[8])
    assert await streak() == (1, 8, 0, True)


async def test_a_streak_follows_the_learner_into_another_zone(school: School) -> None:
    lessons = [uuid4() for _ in range(3)]
    course = await school.course(*lessons)
    student = await school.person("Aiko Tanaka", time_zone="Asia/Tokyo")
    done(await student.client.post(f"/api/courses/{course}/enroll/"), 201)
    await school.complete(student, course, lessons[0])  # the 2nd, 18:00
    school.clock.advance(hours=7)
    await school.complete(student, course, lessons[1])  # the 3rd, 01:00
    await school.harness.deliver(user_state(student.uuid, "Aiko Tanaka", time_zone="America/Los_Angeles"))
    there = done(await student.client.get("/api/learning/streak/"))  # the 2nd again, 08:00
    assert (there["local_date"], there["current_streak"], there["active_today"]) == ("2026-03-02", 1, True)
    school.clock.advance(days=1)
    there = done(await student.client.get("/api/learning/streak/"))
    assert (there["local_date"], there["current_streak"], there["active_today"]) == ("2026-03-03", 2, True)


async def test_seats_freed_together_go_to_the_first_in_line_whoever_else_tries(school: School) -> None:
    course = await school.course(enrollment_limit=3)
    enroll, leave = f"/api/courses/{course}/enroll/", f"/api/courses/{course}/unenroll/"
    holders = [await school.enrolled(course) for _ in range(3)]
    waiting = []
    for place in range(5):
        school.clock.advance(seconds=1)
        person = await school.person(f"Waiting {place}")
        done(await person.client.post(enroll, json={"waitlist": True}), 201)
        waiting.append(person)
    school.clock.advance(seconds=1)
    newcomers = [await school.person("New Comer") for _ in range(3)]
    *answers, _ = await asyncio.gather(
        *(holder.client.post(leave) for holder in holders),
        *(person.client.post(enroll) for person in newcomers),
        waiting[1].client.post(leave),  # before or after a seat came: the next one gets it
    )
    for answer in answers[:3]:
        done(answer)
    for answer in answers[3:]:
        refused(answer, 409, "course_full")
    mine = [
        [row["status"] for row in done(await person.client.get("/api/enrollments/"))["results"]]
        for person in waiting
    ]
    assert [mine[n] for n in (0, 2, 3, 4)] == [["enrolled"], ["enrolled"], ["enrolled"], ["waitlisted"]]
    assert mine[1] in ([], ["dropped"])


async def test_a_raised_limit_lets_in_as_many_as_fit_in_order(school: School) -> None:
    course = await school.course(enrollment_limit=1)
    enroll = f"/api/courses/{course}/enroll/"
    await school.enrolled(course)
    waiting = [await school.person(f"Waiting {place}") for place in range(4)]
    for person in waiting:
        school.clock.advance(seconds=1)
        done(await person.client.post(enroll, json={"waitlist": True}), 201)
    await school.change_course(course, enrollment_limit=3)
    places = []
    for person in waiting:
        [row] = done(await person.client.get("/api/enrollments/"))["results"]
        places.append((row["status"], row["waitlist_position"]))
    assert places == [("enrolled", None), ("enrolled", None), ("waitlisted", 1), ("waitlisted", 2)]
    assert await school.events("student_enrolled") == ["student_enrolled"] * 3

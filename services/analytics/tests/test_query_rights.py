"""Attacks of teachers: other people's courses, facts of no course, single people, and small groups."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.common.testing.harness import Harness
from services.analytics.dictionary import dictionary
from services.analytics.tests.conftest import Story

QUERY = "/api/analytics/query/"
Asked = dict[str, Any]


class Two:
    """Two teachers with a course each, whose learners take both or one."""

    def __init__(self, story: Story) -> None:
        self.mine, self.theirs = uuid4(), uuid4()
        self.me, self.them = uuid4(), uuid4()
        story.course(self.mine, self.me, title="Mine")
        story.course(self.theirs, self.them, title="Theirs")
        self.students = [uuid4() for _ in range(8)]
        for number, student in enumerate(self.students):
            story.user(student)
            for course in (self.mine, self.theirs) if number < 6 else (self.theirs,):
                story.enrol(student, course, days_ago=number)
                story.study(student, course, 60 if course == self.mine else 6000)
                story.quiz(student, course, 80 if course == self.mine else 10)
            story.ticket(student)
            story.discussion(student, self.mine if number < 6 else self.theirs)


@pytest.fixture
async def two(story: Story) -> Two:
    town = Two(story)
    await story.tell()
    return town


async def ask(analytics: Harness, who: UUID, asked: Asked, status: int = 200, role: str = "teacher") -> Any:
    response = await analytics.person(role, who).client.post(QUERY, json=asked)
    assert response.status_code == status, response.text
    return response.json()


async def test_students_may_not_ask_and_managers_see_all(analytics: Harness, two: Two):
    asked = {"measures": ["enrollments.count"]}
    await ask(analytics, two.students[0], asked, 403, "student")
    assert (await ask(analytics, uuid4(), asked, role="manager"))["data"] == [{"enrollments.count": 14}]
    assert (await ask(analytics, two.me, asked))["data"] == [{"enrollments.count": 6}]
    assert (await ask(analytics, uuid4(), asked))["data"] == [{"enrollments.count": 0}]
    assert (await ask(analytics, uuid4(), asked, role="moderator"))["data"] == [{"enrollments.count": 0}]
    client = analytics.client()
    assert (await client.post(QUERY, json=asked)).status_code == 401


@pytest.mark.promise("object access")
async def test_whatever_a_teacher_says_it_is_of_own_courses(analytics: Harness, two: Two):
    theirs = {"member": "courses.uuid", "operator": "equals", "values": [str(two.theirs)]}
    mine = theirs | {"values": [str(two.mine)]}
    either = {"or": [mine, theirs, {"member": "courses.uuid", "operator": "notSet"}]}
    always = {"or": [{"member": "time.at", "operator": "set"}, {"member": "time.at", "operator": "notSet"}]}
    for filters in (
        [theirs], [either], [always], [theirs | {"operator": "notEquals", "values": [str(two.mine)]}],
        [{"and": [{"or": [theirs, always["or"][0]]}, always]}], [either, always],
    ):  # fmt: skip
        for measure in ("study.seconds", "enrollments.students", "attempts.count", "courses.count"):
            for dimensions in ([], ["courses.title"], ["courses.uuid", "courses.category"]):
                body = await ask(
                    analytics, two.me, {"measures": [measure], "dimensions": dimensions, "filters": filters}
                )
                said = str(body["data"])
                assert "Theirs" not in said
                assert str(two.theirs) not in said
                assert all((row[measure] or 0) <= 360 for row in body["data"])


async def test_a_co_instructor_sees_the_course_and_no_longer_when_taken_off(
    analytics: Harness, story: Story, two: Two
):
    asked = {"measures": ["enrollments.count"], "dimensions": ["courses.title"]}
    story.course(two.mine, two.me, title="Mine", instructors=(two.them,))
    await story.tell()
    titles = {row["courses.title"] for row in (await ask(analytics, two.them, asked))["data"]}
    assert titles == {"Mine", "Theirs"}
    story.course(two.mine, two.me, title="Mine")
    await story.tell()
    assert [row["courses.title"] for row in (await ask(analytics, two.them, asked))["data"]] == ["Theirs"]


OF_NO_COURSE = [
    name for name, body in dictionary().datasets.items() if body.measures and body.audience == "manager"
]


@pytest.mark.parametrize("dataset", OF_NO_COURSE)
async def test_facts_of_no_course_are_for_managers(analytics: Harness, two: Two, dataset: str):
    for measure in dictionary().datasets[dataset].measures:
        for more in ([], ["enrollments.count"]):
            name = f"{dataset}.{measure}"
            body = await ask(analytics, two.me, {"measures": [name, *more]}, 403)
            assert body["code"] == "members_forbidden"
            assert body["errors"][0]["field"] == name
            by = {"member": name, "operator": "gte", "values": [0]}
            await ask(analytics, two.me, {"measures": ["enrollments.count"], "filters": [by]}, 403)


async def test_single_people_are_for_managers(analytics: Harness, two: Two):
    base: Asked = {"measures": ["enrollments.count"]}
    one = str(two.students[0])
    attacks: list[Asked] = [
        {"dimensions": [f"people.{name}"]} for name in ("uuid", "role", "is_active", "time_zone", "joined_at")
    ]
    attacks += [
        {"filters": [{"member": "people.uuid", "operator": "equals", "values": [one]}]},
        {"filters": [{"or": [{"member": "people.uuid", "operator": "notEquals", "values": [one]}]}]},
        {"filters": [{"member": "people.role", "operator": "set"}]},
        {"timeDimensions": [{"dimension": "people.joined_at", "granularity": "year"}]},
        {"timeDimensions": [{"dimension": "people.joined_at", "dateRange": "today"}]},
        {"dimensions": ["enrollments.enrolled_at"]},
        {"timeDimensions": [{"dimension": "time.at", "granularity": "hour"}]},
        {"measures": [], "dimensions": ["courses.title"]},
        {"measures": ["replies.count"], "dimensions": ["replies.is_instructor_reply"]},
    ]
    for attack in attacks:
        body = await ask(analytics, two.me, base | attack, 403)
        assert body["code"] == "members_forbidden", attack
    assert (await ask(analytics, uuid4(), base | attacks[0], role="manager"))["rows"] == 8


# Small groups: a course of ten, of whom two have completed and one, who came earlier, is underway.


@pytest.fixture
async def ten(story: Story) -> UUID:
    teacher, course = uuid4(), uuid4()
    story.course(course, teacher, title="Ten")
    for number in range(10):
        student = uuid4()
        enrollment = story.enrol(student, course, days_ago=400 if number == 9 else 100)
        status = "in_progress" if number == 9 else "completed" if number > 6 else "enrolled"
        if status != "enrolled":
            story.progress(enrollment, student, course, [], 100, status, days_ago=400 if number == 9 else 100)
    await story.tell()
    return teacher


def numbers(body: Any, measure: str = "enrollments.count") -> list[int | None]:
    return sorted((row[measure] for row in body["data"]), key=lambda n: -1 if n is None else n)


ALL: Asked = {"measures": ["enrollments.count"]}
BY_STATUS: Asked = ALL | {"dimensions": ["enrollments.status"]}


def only(operator: str, *values: str) -> Asked:
    return {"filters": [{"member": "enrollments.status", "operator": operator, "values": list(values)}]}


async def test_small_groups_are_null_below_manager(analytics: Harness, ten: UUID):
    manager = await ask(analytics, uuid4(), BY_STATUS, role="manager")
    assert numbers(manager) == [1, 2, 7]
    assert manager["suppressed"] == 0
    body = await ask(analytics, ten, BY_STATUS)
    # All three: seven would tell by the total that the others are three.
    assert numbers(body) == [None, None, None]
    assert body["suppressed"] == 3
    assert numbers(await ask(analytics, ten, ALL)) == [10]


async def test_no_two_queries_tell_of_a_small_group(analytics: Harness, ten: UUID):
    assert numbers(await ask(analytics, ten, ALL)) == [10]
    for attack in (
        only("notEquals", "in_progress"),
        only("equals", "enrolled", "completed"),
        only("equals", "in_progress"),
        only("contains", "enroll"),
        {
            "filters": [
                {"or": [only("equals", "enrolled")["filters"][0], only("equals", "completed")["filters"][0]]}
            ]
        },
        {"timeDimensions": [{"dimension": "time.at", "dateRange": "last 200 days"}]},
        {"filters": [{"member": "time.at", "operator": "gte", "values": ["2020-01-01"]}]},
        {"filters": [{"member": "enrollments.takes_part", "operator": "equals", "values": [True]}]},
        {"filters": [{"member": "enrollments.completed_at", "operator": "notSet"}]},
    ):
        body = await ask(analytics, ten, ALL | attack)
        assert numbers(body) == [None], attack
        assert body["suppressed"] == 1


async def test_measures_do_not_tell_by_what_they_differ(analytics: Harness, story: Story):
    teacher, course = uuid4(), uuid4()
    story.course(course, teacher)
    for number in range(10):
        student = uuid4()
        enrollment = story.enrol(student, course)
        status = "dropped" if number == 9 else "completed" if number > 6 else "enrolled"
        story.progress(enrollment, student, course, [], 50, status)
        if number < 6:
            story.quiz(student, course, 70)
    await story.tell()
    names = ("count", "students", "all", "completed", "completion_rate", "average_progress")
    body = await ask(analytics, teacher, {"measures": [f"enrollments.{name}" for name in names]})
    # One has dropped out, two have completed: numbers of them, or that lack only them, are not shown.
    assert body["data"] == [
        {
            "enrollments.count": 9, "enrollments.students": 9, "enrollments.all": None,
            "enrollments.completed": None, "enrollments.completion_rate": None,
            "enrollments.average_progress": 50,
        }
    ]  # fmt: skip


async def test_an_average_of_few_is_null_in_a_large_group(analytics: Harness, story: Story):
    teacher, course = uuid4(), uuid4()
    story.course(course, teacher)
    for number in range(9):
        student = uuid4()
        attempt = {"attempt": uuid4(), "quiz": uuid4()}
        if number == 0:
            story.quiz(student, course, 33)
        else:
            story.begin_quiz(student, course, **attempt)
    await story.tell()
    names = ("count", "average_score", "pass_rate", "submitted")
    body = await ask(analytics, teacher, {"measures": [f"attempts.{name}" for name in names]})
    assert list(body["data"][0].values()) == [9, None, None, None]


async def test_hidden_numbers_do_not_show_in_order_or_filters(analytics: Harness, ten: UUID):
    for number in range(12):
        for operator in ("gt", "gte", "lt", "lte", "equals"):
            by = {"member": "enrollments.count", "operator": operator, "values": [number]}
            assert (await ask(analytics, ten, BY_STATUS | {"filters": [by]}))["rows"] == 0
    orders = [
        [
            row["enrollments.status"]
            for row in (await ask(analytics, ten, BY_STATUS | {"order": order}))["data"]
        ]
        for order in ({"enrollments.count": "asc"}, {"enrollments.count": "desc"})
    ]
    assert orders[0] == orders[1] == sorted(orders[0])


async def test_each_fact_is_hidden_by_its_own_people(analytics: Harness, story: Story):
    teacher, course = uuid4(), uuid4()
    story.course(course, teacher)
    for number in range(6):
        student = uuid4()
        story.enrol(student, course)
        if number < 4:
            story.study(student, course, 600)
    await story.tell()
    asked = {
        "measures": ["enrollments.count", "study.minutes", "courses.count"],
        "dimensions": ["courses.uuid"],
    }
    body = await ask(analytics, teacher, asked)
    [row] = body["data"]
    assert (row["enrollments.count"], row["study.minutes"], row["courses.count"]) == (6, None, 1)
    assert body["suppressed"] == 1


@pytest.mark.parametrize(("people", "shown"), [(4, None), (5, 5)])
async def test_five_people_are_enough(analytics: Harness, story: Story, people: int, shown: int | None):
    teacher, course = uuid4(), uuid4()
    story.course(course, teacher)
    for _ in range(people):
        student = uuid4()
        for _ in range(3):
            story.quiz(student, course, 50)
    await story.tell()
    body = await ask(analytics, teacher, {"measures": ["attempts.students", "attempts.average_score"]})
    assert body["data"][0]["attempts.students"] == shown
    assert (body["data"][0]["attempts.average_score"] is None) == (shown is None)


async def test_too_many_dimensions_at_once_are_refused(analytics: Harness, ten: UUID):
    asked = ALL | {
        "dimensions": ["enrollments.status", "enrollments.progress_band"],
        "timeDimensions": [
            {"dimension": "time.at", "granularity": "day"},
            {"dimension": "enrollments.completed_at", "granularity": "day"},
        ],
    }
    assert "fewer dimensions" in (await ask(analytics, ten, asked, 422))["detail"]

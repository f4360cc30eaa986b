"""Groups of an assignment: one hands in for all, one grade for all, and grades of one's own."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.common.files.storage import Storage
from libs.common.runtime.errors import NotFound
from libs.common.testing.harness import Person
from libs.common.testing.privacy import erase, export
from services.learning.tests.conftest import School, done, refused


class Band:
    """A course with an assignment, whose group is Ada and Eve; Bob is in none."""

    def __init__(self, school: School) -> None:
        self.school = school

    async def set_up(self, **rules: Any) -> "Band":
        self.course = await self.school.course()
        self.ada = await self.school.enrolled(self.course)
        self.eve = await self.school.enrolled(self.course, "Eve Else")
        self.bob = await self.school.enrolled(self.course, "Bob Brown")
        self.assignment = await self.school.assignment(self.course, **rules)
        self.path = f"/api/assignments/{self.assignment['uuid']}/"
        await self.group(self.ada, self.eve)
        return self

    async def group(self, *members: Person) -> dict[str, Any]:
        groups = [{"name": "Red", "members": [str(each.uuid) for each in members]}] if members else []
        return done(await self.school.teacher.client.put(f"{self.path}groups/", json={"groups": groups}))

    async def hand_in(self, who: Person, words: str = "Ours.") -> dict[str, Any]:
        return done(await who.client.post(f"{self.path}submissions/", json={"text": words}), 201)

    async def own(self, who: Person) -> dict[str, Any]:
        [row] = done(await who.client.get(f"{self.path}submissions/"))["results"]
        return row

    async def give(self, submission: dict[str, Any], **grade: Any) -> dict[str, Any]:
        path = f"/api/submissions/{submission['uuid']}/grade/"
        return done(await self.school.teacher.client.patch(path, json=grade))

    async def scores(self) -> dict[str, tuple[float | None, str]]:
        book = done(await self.school.teacher.client.get(f"/api/courses/{self.course}/gradebook/"))
        cells = {row["name"]: row["cells"][self.assignment["uuid"]] for row in book["rows"]}
        return {name.partition(" ")[0]: (cell["score"], cell["status"]) for name, cell in cells.items()}


@pytest.fixture
async def band(school: School) -> Band:
    return await Band(school).set_up()


async def test_one_hands_in_and_is_graded_for_all(band: Band, school: School):
    work = await band.hand_in(band.ada)
    mates = await band.own(band.eve)
    assert (mates["text"], mates["version"], mates["submitted_by"]) == ("Ours.", 1, str(band.ada.uuid))
    assert [each["student_name"] for each in mates["members"]] == ["Ada Lovelace", "Eve Else"]
    assert await band.scores() == {
        "Ada": (None, "submitted"),
        "Eve": (None, "submitted"),
        "Bob": (None, "open"),
    }
    row = done(await school.teacher.client.get(f"{band.path}submissions/"))
    assert row["count"] == 1
    assert done(await school.teacher.client.get("/api/submissions/queue/"))["count"] == 1
    await band.give(row["results"][0], score=15, feedback="Good.")
    assert await band.scores() == {"Ada": (15, "graded"), "Eve": (15, "graded"), "Bob": (None, "open")}
    for person in (band.ada, band.eve):
        seen = await band.own(person)
        assert (seen["score"], seen["feedback"], seen["group"]) == (15, "Good.", work["group"])
    assert await school.events("assignment_submitted", "submission_graded") == [
        "assignment_submitted", "assignment_submitted", "submission_graded", "submission_graded",
    ]  # fmt: skip


async def test_somebodys_own_grade_stands_when_the_group_is_graded_again(band: Band, school: School):
    await band.hand_in(band.ada)
    ada, eve = await band.own(band.ada), await band.own(band.eve)
    await band.give(ada, score=10)
    shown = await band.give(eve, score=19, individual=True)
    assert [(each["score"], each["individual"]) for each in shown["members"]] == [(10, False), (19, True)]
    assert [each["score"] for each in (await band.own(band.ada))["members"]] == [None, None]
    await band.give(ada, score=12)
    assert await band.scores() == {"Ada": (12, "graded"), "Eve": (19, "graded"), "Bob": (None, "open")}
    await band.give(eve, score=14)
    assert await band.scores() == {"Ada": (14, "graded"), "Eve": (14, "graded"), "Bob": (None, "open")}


async def test_what_is_said_to_one_member_is_theirs_alone(band: Band, school: School):
    await band.hand_in(band.ada)
    ada, eve = await band.own(band.ada), await band.own(band.eve)
    await band.give(ada, score=10, feedback="All of you.")
    await band.give(eve, score=19, individual=True, feedback="You alone.")
    await band.give(eve, feedback="You, again.")
    seen = [await band.own(person) for person in (band.ada, band.eve)]
    assert [(each["score"], each["feedback"]) for each in seen] == [(10, "All of you."), (19, "You, again.")]
    await band.hand_in(band.eve)
    path = f"/api/submissions/{eve['uuid']}/grade/"
    refused(await school.teacher.client.patch(path, json={"feedback": "Silently?"}), 422, "invalid_input")
    assert await band.scores() == {"Ada": (10, "graded"), "Eve": (19, "graded"), "Bob": (None, "open")}


async def test_versions_and_their_limit_are_the_groups(school: School):
    band = await Band(school).set_up(max_submissions=2)
    await band.hand_in(band.ada, "One.")
    second = await band.hand_in(band.eve, "Two.")
    assert [version["text"] for version in second["versions"]] == ["One.", "Two."]
    for person in (band.ada, band.eve):
        answer = await person.client.post(f"{band.path}submissions/", json={"text": "Three."})
        refused(answer, 409, "no_submissions_left")
    alone = await band.hand_in(band.bob, "Mine.")
    assert (alone["group"], alone["members"], alone["version"]) == (None, [], 1)


async def test_members_who_hand_in_at_once_make_one_version_each_in_turn(school: School):
    band = await Band(school).set_up(max_submissions=3)
    people = [band.ada, band.eve] * 3
    answers = await asyncio.gather(
        *(
            each.client.post(f"{band.path}submissions/", json={"text": f"Version {n}"})
            for n, each in enumerate(people)
        )
    )
    assert sorted(each.status_code for each in answers) == [201] * 3 + [409] * 3
    ada, eve = await band.own(band.ada), await band.own(band.eve)
    assert [each["text"] for each in ada["versions"]] == [each["text"] for each in eve["versions"]]


async def test_a_group_assignment_completes_the_lesson_of_each(school: School):
    band = await Band(school).set_up()
    lesson = school.lessons(band.course)[0]
    done(await school.teacher.client.patch(band.path, json={"lesson": str(lesson)}))
    await band.hand_in(band.ada)
    for person, progress in ((band.ada, 50), (band.eve, 50), (band.bob, 0)):
        [row] = done(await person.client.get("/api/enrollments/my-courses/"))
        assert row["progress"] == progress


async def test_groups_are_set_by_teachers_and_seen_by_their_members(band: Band, school: School):
    stranger = await school.person("Sam Stranger")
    rival = await school.person("Rita Rival", "teacher")
    path = f"{band.path}groups/"
    whole = done(await school.teacher.client.get(path))
    assert [each["name"] for each in whole["groups"][0]["members"]] == ["Ada Lovelace", "Eve Else"]
    assert done(await band.eve.client.get(path)) == whole
    assert done(await band.bob.client.get(path)) == {"groups": []}
    assert done(await band.bob.client.get(band.path))["has_groups"] is True
    refused(await stranger.client.get(path), 404, "not_found")
    refused(await band.ada.client.put(path, json={"groups": []}), 403, "forbidden")
    refused(await rival.client.put(path, json={"groups": []}), 404, "not_found")
    ada, eve = str(band.ada.uuid), str(band.eve.uuid)
    facts = await school.published()
    for groups in (
        [{"name": "Red", "members": [str(stranger.uuid)]}],
        [{"name": "Red", "members": [ada]}, {"name": "Blue", "members": [ada]}],
        [{"name": "Red", "members": [ada, ada]}],
        [{"name": "Red", "members": []}],
        [{"name": "", "members": [ada]}],
        [{"name": "Red", "members": [ada], "uuid": eve}, {"name": "Blue", "members": [eve], "uuid": eve}],
    ):
        refused(await school.teacher.client.put(path, json={"groups": groups}), 422, "invalid_input")
    assert await school.published() == facts
    tag = (await school.teacher.client.get(path)).headers["etag"]
    await band.group(band.ada, band.bob)
    answer = await school.teacher.client.put(path, json={"groups": []}, headers={"If-Match": tag})
    refused(answer, 412, "precondition_failed")


async def test_who_changes_the_group_keeps_what_they_handed_in(band: Band, school: School):
    await band.hand_in(band.ada)
    await band.group(band.ada, band.bob)
    second = await band.hand_in(band.bob, "New.")
    assert (second["version"], len(second["members"])) == (1, 2)
    assert ((await band.own(band.eve))["text"], (await band.own(band.ada))["text"]) == ("Ours.", "New.")
    done(await band.bob.client.post(f"/api/courses/{band.course}/unenroll/"))
    await band.hand_in(band.ada, "Newer.")
    async with school.harness.db.sessions() as session:
        rows = await session.execute(
            text("SELECT number FROM submissions WHERE student = :s"), {"s": band.bob.uuid}
        )
        assert rows.scalar_one() == 1


async def test_files_are_shared_until_the_last_member_is_erased(band: Band, school: School):
    files = {"files": ("plan.txt", b"Canary-content", "text/plain")}
    work = done(await band.ada.client.post(f"{band.path}submissions/", files=files), 201)
    storage = Storage(school.harness.settings)
    path = f"submissions/{work['files'][0]['uuid']}"
    mates = (await band.own(band.eve))["files"][0]
    url = mates["url"]
    assert (await school.harness.client().get(url[url.index("/media/") :])).content == b"Canary-content"
    assert mates["uuid"] != work["files"][0]["uuid"]
    part = await export(school.harness, band.eve.uuid)
    assert [file["name"] for file in part["files"]] == ["submitted-1-plan.txt"]
    await erase(school.harness, band.ada.uuid)
    assert await storage.size(path) == 14
    assert len((await band.own(band.eve))["files"]) == 1
    await erase(school.harness, band.eve.uuid)
    with pytest.raises(NotFound):
        await storage.size(path)


async def test_a_submission_of_ones_group_is_not_ones_own(band: Band):
    work = await band.hand_in(band.ada)
    refused(await band.eve.client.get(f"/api/submissions/{work['uuid']}/"), 404, "not_found")
    assert UUID((await band.own(band.eve))["uuid"]) not in (UUID(work["uuid"]), uuid4())

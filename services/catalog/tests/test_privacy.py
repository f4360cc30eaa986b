"""Export and erasure in catalog."""

import pytest

from libs.common.testing.harness import Harness, Person
from libs.common.testing.privacy import erase, export, tables_with
from services.catalog.models import Base
from services.catalog.tests.conftest import School, ok, user_state

# Every table was looked at for what it holds of people. A new one is to be gathered and erased in privacy.py,
# or kept for a reason, and then named here.
DECIDED = {
    "users": "goes",
    "enrollments": "stays: ids, for the number of the enrolled",
    "courses": "stay, without the instructor's name",
    "course_revisions": "stay: what learners read", "modules": "stay", "lessons": "stay",
    "course_stats": "nothing personal", "course_prerequisites": "nothing personal",
    "categories": "nothing personal", "tags": "nothing personal",
    "reviews": "stay with their stars, without the words", "helpful_votes": "go", "favorites": "go",
    "thumbnails": "nothing personal: pictures of courses",
    "media_files": "go, but for what lessons have",
    "course_lexemes": "words of published courses; those of a name go with it",
    "media_objects": "generated names only",
    "lesson_objects": "stay: generated names, and whose course they were stored for",
    "media_uploads": "go, with their parts", "media_parts": "generated names only",
    "course_views": "a keyed hash, for two days",
    "privacy_parts": "ids only: the proof",
    "outbox": "ids only", "key_progress": "ids only",
    "epochs": "nothing personal", "void_events": "ids only", "processes": "nothing personal",
    "dead_letter": "parked states of the person become tombstones", "idempotency_keys": "the person's go",
}  # fmt: skip


def test_every_table_is_decided():
    assert set(Base.metadata.tables) == set(DECIDED)


async def test_an_export_holds_what_a_teacher_wrote(catalog: Harness, school: School, teacher: Person):
    course = await school.published(teacher)
    part = await export(catalog, teacher.uuid)
    assert [row["title"] for row in part["data"]["courses_i_teach"]] == [course["title"]]
    assert [row["text_content"] for row in part["data"]["lessons_of_these_courses"]] == ["*Edges*."] * 2
    assert len(part["data"]["published_by_me"]) == 1


@pytest.mark.parametrize("tombstone_first", [True, False])
async def test_courses_of_an_erased_teacher_stay_without_a_name(
    catalog: Harness, school: School, teacher: Person, student: Person, tombstone_first: bool
):
    course = await school.published(teacher)
    await catalog.deliver(user_state(teacher.uuid, "Canary Teacher", "teacher"))
    await catalog.run_task("catalog.sweep_lexemes")
    path = f"/api/courses/{course['uuid']}/"
    before = ok(await student.client.get(path))
    assert before["instructor_name"] == "Canary Teacher"
    await erase(catalog, teacher.uuid, tombstone_first=tombstone_first)
    assert await tables_with(catalog, "canary") == set()
    after = ok(await student.client.get(path))
    assert (after["instructor_name"], after["instructor"]["bio"]) == ("", "")
    assert (after["title"], after["status"]) == (before["title"], "published")
    assert ok(await student.client.get("/api/courses/?search=canary"))["count"] == 0


async def test_a_late_state_is_older_than_the_tombstone(catalog: Harness, school: School, teacher: Person):
    await school.published(teacher)
    await erase(catalog, teacher.uuid)
    late = await catalog.deliver((user_state(teacher.uuid, "Canary Teacher", "teacher"), 99))
    assert (late.applied, late.duplicates) == (0, 1)
    assert await tables_with(catalog, "canary") == set()

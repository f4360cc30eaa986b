"""Exports: the same numbers as a query, whole or not at all, for who may have them."""

import csv
import hashlib
import io
from datetime import timedelta
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import orjson
import pytest
from sqlalchemy import text

from libs.common.runtime.clock import system_clock
from libs.common.runtime.failpoints import InjectedFault, arm
from libs.common.testing.harness import Harness, Person
from libs.common.testing.privacy import erase
from services.analytics import tries
from services.analytics.exports import rules, writing
from services.analytics.tests.conftest import Story, scalar

EXPORTS = "/api/analytics/exports/"
BY_COURSE = {"measures": ["enrollments.count"], "dimensions": ["courses.title"]}


async def ask(person: Person, status: int = 202, **body: Any) -> dict[str, Any]:
    answer = await person.client.post(EXPORTS, json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    if status == 202:
        assert answer.headers["location"] == f"/api/jobs/analytics/{found['uuid']}/"
    return found


async def job(person: Person, uuid: str) -> dict[str, Any]:
    answer = await person.client.get(f"/api/jobs/analytics/{uuid}/")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def exported(analytics: Harness, person: Person, **body: Any) -> tuple[bytes, dict[str, Any]]:
    """Ask, let the worker write, fetch the file."""
    asked = await ask(person, **body)
    assert (asked["status"], asked["percent"], asked["result_url"]) == ("queued", 0, None)
    await analytics.run_tasks()
    done = await job(person, asked["uuid"])
    assert (done["status"], done["percent"], done["error"]) == ("done", 100, None), done
    answer = await person.client.get(done["result_url"])
    assert answer.status_code == 200, answer.text
    manifest = done["manifest"]
    assert manifest["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert manifest["size"] == len(answer.content)
    assert answer.headers["content-type"] == rules.TYPES[body.get("format", "csv")]
    return answer.content, manifest


def school(story: Story, teacher: Person, titles: tuple[str, ...]) -> None:
    for place, title in enumerate(titles):
        course = uuid4()
        story.course(course, teacher.uuid, title=title)
        for _ in range(6 + place):
            story.enrol(uuid4(), course)


async def test_every_format_has_the_rows_of_the_query(analytics: Harness, story: Story):
    teacher, manager = analytics.person("teacher"), analytics.person("manager")
    school(story, teacher, ("Algebra", "=cmd|'/c calc'!A0"))
    await story.tell()
    answer = await manager.client.post("/api/analytics/query/", json=BY_COURSE)
    wanted = {row["courses.title"]: row["enrollments.count"] for row in answer.json()["data"]}
    assert wanted == {"Algebra": 6, "=cmd|'/c calc'!A0": 7}
    content, manifest = await exported(analytics, manager, query=BY_COURSE, format="csv")
    rows = list(csv.reader(io.StringIO(content.decode())))
    assert rows[0] == [column["name"] for column in manifest["columns"]]
    title, count = rows[0].index("courses.title"), rows[0].index("enrollments.count")
    assert {row[title]: int(row[count]) for row in rows[1:]} == {"Algebra": 6, "'=cmd|'/c calc'!A0": 7}
    assert (manifest["rows"], manifest["format"]) == (2, "csv")
    assert manifest["query"]["measures"] == ["enrollments.count"]
    content, _ = await exported(analytics, manager, query=BY_COURSE, format="ndjson")
    lines = [orjson.loads(line) for line in content.splitlines()]
    assert {line["courses.title"]: line["enrollments.count"] for line in lines} == wanted
    content, _ = await exported(analytics, manager, query=BY_COURSE, format="xlsx")
    with ZipFile(io.BytesIO(content)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "cmd|" in sheet
    content, _ = await exported(analytics, manager, query=BY_COURSE, format="parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(content)).to_pylist()
    assert {line["courses.title"]: line["enrollments.count"] for line in table} == wanted


async def test_a_dataset_is_exported_whole_and_for_managers_alone(analytics: Harness, story: Story):
    teacher, manager = analytics.person("teacher"), analytics.person("manager")
    school(story, teacher, ("Algebra",))
    await story.tell()
    for name in ("enrollments", "event_log"):
        content, manifest = await exported(analytics, manager, dataset=name, format="ndjson")
        assert len(content.splitlines()) == manifest["rows"] > 5
        assert manifest["dataset"] == name
    await ask(teacher, 403, dataset="enrollments")
    unknown = await ask(manager, 422, dataset="enrolments")
    assert unknown["errors"][0]["field"] == "dataset"


async def test_a_teacher_gets_own_courses_alone(analytics: Harness, story: Story):
    mine, other = analytics.person("teacher"), analytics.person("teacher")
    school(story, mine, ("Mine",))
    school(story, other, ("Theirs",))
    await story.tell()
    content, _ = await exported(analytics, mine, query=BY_COURSE)
    assert b"Mine" in content
    assert b"Theirs" not in content


async def test_who_may_do_what(analytics: Harness, story: Story):
    manager, other = analytics.person("manager"), analytics.person("manager")
    asked = await ask(manager, query=BY_COURSE)
    await analytics.run_tasks()
    url = (await job(manager, asked["uuid"]))["result_url"]
    assert (await other.client.get(f"/api/jobs/analytics/{asked['uuid']}/")).status_code == 404
    assert (await other.client.delete(f"/api/jobs/analytics/{asked['uuid']}/")).status_code == 404
    assert (await other.client.get(EXPORTS)).json()["count"] == 0
    assert (await manager.client.get(EXPORTS)).json()["count"] == 1
    assert (await analytics.person().client.post(EXPORTS, json={"query": BY_COURSE})).status_code == 403
    gone = await manager.client.delete(f"/api/jobs/analytics/{asked['uuid']}/")
    assert gone.json()["result_url"] is None
    await analytics.run_task("analytics.sweep_exports")
    assert (await manager.client.get(url)).status_code == 404
    assert await scalar(analytics, "SELECT count(*) FROM exports WHERE object IS NOT NULL") == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": BY_COURSE, "dataset": "courses"},
        {"query": BY_COURSE, "format": "docx"},
        {"query": {"measures": ["enrolments.count"]}},
        {"query": BY_COURSE, "colour": "red"},
        {"dataset": ""},
    ],
)
async def test_bad_requests_start_nothing(analytics: Harness, body: dict[str, Any]):
    await ask(analytics.person("manager"), 422, **body)
    assert await scalar(analytics, "SELECT count(*) FROM exports") == 0


async def test_so_many_at_once_and_no_more(analytics: Harness):
    manager = analytics.person("manager")
    jobs = [await ask(manager, dataset="courses") for _ in range(rules.MOST_OPEN)]
    assert (await ask(manager, 409, dataset="courses"))["code"] == "too_many_exports"
    cancelled = await manager.client.delete(f"/api/jobs/analytics/{jobs[0]['uuid']}/")
    assert cancelled.json()["status"] == "cancelled"
    await ask(manager, dataset="courses")
    await analytics.run_tasks()
    assert (await job(manager, jobs[0]["uuid"]))["status"] == "cancelled"
    assert (await job(manager, jobs[1]["uuid"]))["status"] == "done"


@pytest.mark.parametrize("place", ["opened", "written", "stored"])
async def test_a_writer_that_dies_is_followed_by_another(analytics: Harness, story: Story, place: str):
    manager = analytics.person("manager")
    school(story, analytics.person("teacher"), ("Algebra",))
    await story.tell()
    asked = await ask(manager, dataset="enrollments")
    arm(f"export.{place}=raise@1")
    try:
        with pytest.raises(InjectedFault):
            await analytics.run_tasks()
    finally:
        arm("")
    assert (await job(manager, asked["uuid"]))["status"] == "running"
    await analytics.run_task("analytics.sweep_exports")
    await analytics.run_tasks()
    done = await job(manager, asked["uuid"])
    assert (done["status"], done["manifest"]["rows"]) == ("done", 6)
    storage = analytics.app.state.storage
    assert len(await storage.list_folder(f"exports/{asked['uuid']}")) == 1


async def test_a_writer_that_says_nothing_keeps_others_off_for_its_lease(analytics: Harness):
    manager = analytics.person("manager")
    asked = await ask(manager, dataset="courses")
    analytics.queue.started.clear()
    async with analytics.db.session() as session:
        await session.execute(text("UPDATE exports SET status = 'running', attempts = 1, tried_at = now()"))
    for clock, status in (
        (system_clock, "running"),
        (lambda: system_clock() + tries.LEASE + timedelta(seconds=1), "done"),
    ):
        await analytics.run_task("analytics.sweep_exports", clock=clock)
        await analytics.run_task("analytics.write_export", asked["uuid"], clock=clock)
        assert (await job(manager, asked["uuid"]))["status"] == status


async def test_what_fails_for_good_says_so_after_five_tries(
    analytics: Harness, story: Story, monkeypatch: pytest.MonkeyPatch
):
    manager = analytics.person("manager")
    asked = await ask(manager, dataset="courses")

    class Broken(writing.CsvWriter):
        def close(self) -> None:
            super().close()
            raise OSError("disk full")

    monkeypatch.setitem(writing.WRITERS, "csv", Broken)
    for _ in range(tries.MOST_TRIES):
        with pytest.raises(OSError, match="disk full"):
            await analytics.run_task("analytics.write_export", asked["uuid"])
    await analytics.run_task("analytics.write_export", asked["uuid"])
    failed = await job(manager, asked["uuid"])
    assert (failed["status"], failed["error"]) == ("failed", rules.ERRORS["not_written"])


async def test_who_is_no_manager_any_more_gets_no_dataset(analytics: Harness, story: Story):
    manager = analytics.person("manager")
    asked = await ask(manager, dataset="enrollments")
    story.user(manager, "student")
    await story.tell()
    await analytics.run_tasks()
    failed = await job(manager, asked["uuid"])
    assert (failed["status"], failed["error"]) == ("failed", rules.ERRORS["not_allowed"])


async def test_an_erased_owner_leaves_no_file_and_no_question(analytics: Harness, story: Story):
    manager = analytics.person("manager")
    story.user(manager, "manager")
    await story.tell()
    _, manifest = await exported(analytics, manager, query=BY_COURSE)
    assert manifest["query"]
    await erase(analytics, manager.uuid)
    await analytics.run_task("analytics.sweep_exports", clock=lambda: system_clock() + timedelta(seconds=5))
    left = await scalar(analytics, "SELECT count(*) FROM exports WHERE object IS NULL AND asked = '{}'")
    assert left == 1
    uuid = await scalar(analytics, "SELECT uuid FROM exports")
    assert await analytics.app.state.storage.list_folder(f"exports/{uuid}") == []


async def test_files_are_forgotten_after_a_week(analytics: Harness):
    manager = analytics.person("manager")
    _, manifest = await exported(analytics, manager, dataset="courses")
    assert manifest["rows"] == 0
    await analytics.run_task(
        "analytics.sweep_exports", clock=lambda: system_clock() + rules.KEPT + timedelta(minutes=1)
    )
    assert await scalar(analytics, "SELECT count(*) FROM exports WHERE object IS NOT NULL") == 0

"""Reports: the numbers of the query or dashboard, to those who may see them on the day, once."""

import asyncio
import csv
import io
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pypdf import PdfReader
from sqlalchemy import text

from libs.common.files.letters import Letter, letter_storage, take_letter
from libs.common.runtime.clock import system_clock
from libs.common.runtime.failpoints import InjectedFault, arm
from libs.common.testing.harness import Harness, Person
from libs.common.testing.privacy import erase, export
from libs.common.testing.states import user_state
from services.analytics import charts, tries
from services.analytics.dictionary import dictionary
from services.analytics.reports import rules, tasks, words
from services.analytics.tests.conftest import Story, scalar

READY = "analytics.report_written.v1"
REPORTS = "/api/analytics/reports/"
BY_COURSE = {"measures": ["enrollments.count"], "dimensions": ["courses.title"]}
WEEKLY = {"cron": "0 7 * * 1", "time_zone": "Europe/London"}


async def make(person: Person, status: int = 201, **body: Any) -> dict[str, Any]:
    given = {"name": "Weekly", "query": BY_COURSE, "format": "csv", "recipients": [str(person.uuid)]} | body
    given = {name: value for name, value in given.items() if value is not ...}
    answer = await person.client.post(REPORTS, json=given)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    return found


async def send(analytics: Harness, person: Person, report: dict[str, Any]) -> dict[str, Any]:
    """Start a run by hand and let the worker write it; the run as its owner sees it."""
    asked = await person.client.post(f"{REPORTS}{report['uuid']}/runs/")
    assert asked.status_code == 202, asked.text
    await analytics.run_tasks()
    answer = await person.client.get(asked.headers["location"])
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def letters(analytics: Harness) -> dict[UUID, Letter]:
    """What is published for notify: a letter by reader."""
    async with analytics.db.sessions() as session:
        rows = await session.scalars(
            text(
                "SELECT convert_from(payload, 'UTF8') FROM outbox WHERE type = 'analytics.report_written.v1'"
            )
        )
    storage = letter_storage(analytics.settings)
    found = {}
    for row in rows:
        for to in json.loads(row)["recipients"]:
            found[UUID(to["user"])] = await take_letter(storage, UUID(to["letter"]))
    return found


def outcomes(run: dict[str, Any]) -> dict[str, str]:
    return {each["user"]: each["reason"] or each["outcome"] for each in run["recipients"]}


@dataclass
class School:
    """Two teachers with a course each, six and seven learners; a manager; all known to analytics."""

    manager: Person
    tess: Person
    theo: Person
    algebra: UUID
    botany: UUID
    learners: list[UUID]


@pytest.fixture
async def school(analytics: Harness, story: Story) -> School:
    manager, tess, theo = (
        analytics.person("manager"),
        analytics.person("teacher"),
        analytics.person("teacher"),
    )
    for each in (manager, tess, theo):
        story.user(each, each.role)
    algebra, botany = uuid4(), uuid4()
    story.course(algebra, tess.uuid, title="Algebra")
    story.course(botany, theo.uuid, title="Botany")
    learners = [uuid4() for _ in range(7)]
    for learner in learners:
        story.user(learner)
        story.enrol(learner, botany)
    for learner in learners[1:]:
        story.enrol(learner, algebra)
    await story.tell()
    return School(manager, tess, theo, algebra, botany, learners)


async def lines(person: Person, run: dict[str, Any]) -> list[dict[str, str]]:
    content = (await person.client.get(run["result_url"])).text
    return list(csv.DictReader(io.StringIO(content)))


async def test_a_report_has_the_numbers_of_its_query(analytics: Harness, school: School):
    manager = school.manager
    report = await make(manager, schedule=WEEKLY)
    assert report["next_run_at"] is not None
    run = await send(analytics, manager, report)
    assert (run["status"], run["percent"], run["error"], run["due_at"]) == ("done", 100, None, None), run
    answer = (await manager.client.post("/api/analytics/query/", json=BY_COURSE)).json()
    found = await lines(manager, run)
    assert [{**row, "enrollments.count": int(row["enrollments.count"])} for row in found] == answer["data"]
    assert run["as_of"] == answer["as_of"]
    (letter,) = (await letters(analytics)).values()
    assert letter.title == "Weekly"
    assert "Algebra" in letter.html
    assert letter.attachment is not None
    assert letter.attachment.data.decode().splitlines()[0] == "courses.title,enrollments.count"


@pytest.mark.parametrize("dashboard", ["platform", "teacher", "course", "student"])
@pytest.mark.parametrize("kind", ["csv", "html", "pdf", "xlsx"])
async def test_a_report_has_the_numbers_of_its_dashboard(
    analytics: Harness, school: School, dashboard: str, kind: str
):
    who = school.manager if dashboard == "platform" else school.tess
    course = {"course": str(school.algebra)} if dashboard == "course" else {}
    report = await make(who, query=..., dashboard=dashboard, format=kind, compare="previous", **course)
    run = await send(analytics, who, report)
    assert run["status"] == "done", run
    path = f"/api/courses/{school.algebra}/analytics/" if course else f"/api/core/analytics/{dashboard}/"
    shown = (await who.client.get(path, params={"compare": "previous"})).json()
    summary = shown["platform_stats" if dashboard == "platform" else "summary"]
    if kind == "csv":
        found = {row["name"]: row["value"] for row in await lines(who, run) if row["table"] == "summary"}
        assert {name: float(found[name]) for name in summary} == {n: float(v) for n, v in summary.items()}
    content = (await who.client.get(run["result_url"])).content
    starts = {"csv": b"table,row", "html": b"<!doctype html>", "pdf": b"%PDF-", "xlsx": b"PK"}
    assert content.startswith(starts[kind])
    (letter,) = (await letters(analytics)).values()
    assert len(letter.pictures) == letter.html.count("cid:chart-")
    assert all(picture.data.startswith(b"\x89PNG") for picture in letter.pictures)
    assert (letter.attachment is None) == (kind == "html")


async def test_each_reader_gets_what_they_may_see(analytics: Harness, story: Story, school: School):
    """What a manager sends to teachers is of their own courses."""
    student = analytics.person()
    story.user(student)
    gone, locked = uuid4(), uuid4()
    story.user(gone, "manager")
    story.user(locked, "manager")
    await story.tell()
    readers = [school.manager.uuid, school.tess.uuid, school.theo.uuid, student.uuid, gone, locked]
    report = await make(school.manager, recipients=[str(user) for user in readers])
    state = user_state(locked, "Locked", "manager", is_active=False)
    story.add(state)
    story.bury(user_state(gone, "Gone", "manager"))
    await story.tell()
    run = await send(analytics, school.manager, report)
    assert outcomes(run) == {
        str(school.manager.uuid): "mailed", str(school.tess.uuid): "mailed", str(school.theo.uuid): "mailed",
        str(student.uuid): "not_allowed", str(gone): "unknown", str(locked): "inactive",
    }  # fmt: skip
    found = {user: letter.attachment.data.decode() for user, letter in (await letters(analytics)).items()}
    assert "Algebra" in found[school.manager.uuid]
    assert "Botany" in found[school.manager.uuid]
    assert "Botany" not in found[school.tess.uuid]
    assert "Algebra" in found[school.tess.uuid]
    assert "Algebra" not in found[school.theo.uuid]


async def test_a_teachers_report_is_of_own_courses_whoever_reads_it(
    analytics: Harness, story: Story, school: School
):
    readers = [str(each.uuid) for each in (school.manager, school.tess, school.theo)]
    report = await make(school.tess, recipients=readers)
    run = await send(analytics, school.tess, report)
    assert outcomes(run) == dict(zip(readers, ["mailed", "mailed", "not_allowed"], strict=True))
    for letter in (await letters(analytics)).values():
        assert "Algebra" in letter.attachment.data.decode()
        assert "Botany" not in letter.attachment.data.decode()
    # Who teaches the course with her gets it, until they do not any more.
    for instructors, outcome in (((school.theo.uuid,), "mailed"), ((), "not_allowed")):
        story.course(school.algebra, school.tess.uuid, title="Algebra", instructors=instructors)
        await story.tell()
        run = await send(analytics, school.tess, report)
        assert outcomes(run)[str(school.theo.uuid)] == outcome


async def test_a_report_of_one_course_goes_to_who_teaches_it_today(
    analytics: Harness, story: Story, school: School
):
    of_course = {"member": "courses.uuid", "operator": "equals", "values": [str(school.algebra)]}
    query = {"measures": ["enrollments.count"], "filters": [of_course]}
    readers = [str(school.tess.uuid), str(school.theo.uuid)]
    course = {"query": ..., "dashboard": "course", "course": str(school.algebra)}
    reports = [
        await make(school.manager, recipients=readers, query=query),
        await make(school.manager, recipients=readers, **course),
    ]
    for report in reports:
        run = await send(analytics, school.manager, report)
        assert outcomes(run) == dict(zip(readers, ["mailed", "not_allowed"], strict=True))
    story.course(school.algebra, school.theo.uuid, title="Algebra")
    await story.tell()
    for report in reports:
        run = await send(analytics, school.manager, report)
        assert outcomes(run) == dict(zip(readers, ["not_allowed", "mailed"], strict=True))


async def test_an_owner_who_may_not_see_it_any_more_sends_nothing(
    analytics: Harness, story: Story, school: School
):
    report = await make(
        school.manager, query=..., dashboard="platform", recipients=[str(school.manager.uuid)]
    )
    story.user(school.manager, "student")
    await story.tell()
    asked = await school.manager.client.post(
        f"{REPORTS}{report['uuid']}/runs/"
    )  # the token still says manager
    await analytics.run_tasks()
    run = (await school.manager.client.get(asked.headers["location"])).json()
    assert (run["status"], run["error"]) == ("failed", rules.ERRORS["not_allowed"])
    assert await letters(analytics) == {}


async def test_languages_zones_and_names(analytics: Harness, story: Story, school: School):
    """In the reader's language and direction, in their zone, with every name escaped."""
    story.course(school.algebra, school.tess.uuid, title="<img src=x onerror=alert(1)> & “الجبر”")
    cairo = analytics.person("manager")
    state = user_state(cairo.uuid, "Cairo", "manager", locale="ar-EG", time_zone="Africa/Cairo")
    story.add(state)
    await story.tell()
    name = "<script>alert(1)</script>\r\nBcc: all@evil.example"
    recipients = [str(school.manager.uuid), str(cairo.uuid)]
    for kind in ("html", "pdf"):
        report = await make(school.manager, name=name, format=kind, recipients=recipients)
        assert report["name"] == name
        run = await send(analytics, school.manager, report)
        assert run["status"] == "done"
    async with analytics.db.session() as session:
        await session.execute(text("DELETE FROM outbox WHERE seq < (SELECT max(seq) FROM outbox)"))
    found = await letters(analytics)
    english, arabic = found[school.manager.uuid], found[cairo.uuid]
    for letter in (english, arabic):
        assert "<script" not in letter.html
        assert "<img src=x" not in letter.html
        assert "&lt;img src=x" in letter.html
    assert 'dir="ltr"' in english.html
    assert "Enrolments" in english.html
    assert "(UTC)" in english.html
    assert 'lang="ar" dir="rtl"' in arabic.html
    assert "التسجيلات" in arabic.html
    assert "(Africa/Cairo)" in arabic.html
    page = PdfReader(io.BytesIO(english.attachment.data))
    assert "onerror=alert(1)" in page.pages[0].extract_text()
    assert page.metadata.title.startswith("<script>")


async def test_a_large_file_is_a_link_that_is_the_readers_alone(
    analytics: Harness, story: Story, school: School, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(analytics.settings, "report_attachment", 10)
    report = await make(school.manager, recipients=[str(school.tess.uuid), str(school.manager.uuid)])
    await send(analytics, school.manager, report)
    found = await letters(analytics)
    assert all(letter.attachment is None for letter in found.values())
    anybody = analytics.client()
    link = found[school.tess.uuid].link
    assert link is not None
    assert "Botany" not in (await anybody.get(link)).text
    assert "Algebra" in (await anybody.get(link)).text
    assert (
        await anybody.get(link.replace(str(school.tess.uuid), str(school.manager.uuid)))
    ).status_code == 404
    story.course(school.algebra, school.theo.uuid, title="Algebra")  # she teaches nothing any more
    await story.tell()
    assert (await anybody.get(link)).status_code == 404
    other = found[school.manager.uuid].link
    assert other is not None
    assert (await anybody.get(other)).status_code == 200
    assert (await school.manager.client.delete(f"{REPORTS}{report['uuid']}/")).status_code == 200
    assert (await anybody.get(other)).status_code == 404


async def test_a_report_is_its_owners(analytics: Harness, school: School):
    report = await make(school.tess)
    path = f"{REPORTS}{report['uuid']}/"
    run = await send(analytics, school.tess, report)
    for method, where in (("GET", path), ("PATCH", path), ("DELETE", path), ("GET", f"{path}runs/"),
                          ("POST", f"{path}runs/"), ("GET", f"{path}runs/{run['uuid']}/"),
                          ("GET", f"/api/jobs/analytics/{run['uuid']}/")):  # fmt: skip
        body = {"json": {"name": "Mine"}} if method == "PATCH" else {}
        answer = await school.manager.client.request(method, where, **body)
        assert answer.status_code == 404, (method, where)
    student = analytics.person()
    assert (await student.client.get(REPORTS)).status_code == 403
    assert (await school.manager.client.get(REPORTS)).json()["count"] == 0
    assert (await school.tess.client.get(REPORTS)).json()["results"] == [report]
    job = (await school.tess.client.get(f"/api/jobs/analytics/{run['uuid']}/")).json()
    assert (job["kind"], job["status"], job["report"]) == ("analytics_report", "done", report["uuid"])
    history = (await school.tess.client.get(f"{path}runs/")).json()
    assert [each["uuid"] for each in history["results"]] == [run["uuid"]]


async def test_changes_count_from_then_on(analytics: Harness, school: School):
    report = await make(school.tess, schedule=WEEKLY)
    path = f"{REPORTS}{report['uuid']}/"
    tag = (await school.tess.client.get(path)).headers["etag"]
    changed = await school.tess.client.patch(
        path, json={"name": "Daily", "schedule": {"cron": "30 6 * * *"}}, headers={"If-Match": tag}
    )
    assert changed.status_code == 200, changed.text
    assert changed.json()["schedule"] == {"cron": "30 6 * * *", "time_zone": "UTC"}
    assert changed.json()["query"] == BY_COURSE
    stale = await school.tess.client.patch(path, json={"name": "Late"}, headers={"If-Match": tag})
    assert stale.status_code == 412
    paused = (await school.tess.client.patch(path, json={"schedule": None})).json()
    assert (paused["schedule"], paused["next_run_at"]) == (None, None)
    other = (await school.tess.client.patch(path, json={"dashboard": "teacher", "days": 7})).json()
    assert (other["query"], other["dashboard"], other["days"]) == (None, "teacher", 7)
    refused = await school.tess.client.patch(path, json={"dashboard": "platform"})
    assert refused.status_code == 403
    assert (await school.tess.client.get(path)).json() == other
    assert (await school.tess.client.delete(path)).status_code == 200
    assert (await school.tess.client.get(path)).status_code == 404


BAD: list[dict[str, Any]] = [
    {"schedule": {"cron": "every monday"}},
    {"schedule": {"cron": "* * * * *"}},
    {"schedule": {"cron": "0,30 7 * * *"}},
    {"schedule": {"cron": "0 7 30 2 *"}},
    {"schedule": {"cron": "0 7 * * 9"}},
    {"schedule": {"cron": "0 0 7 * * 1"}},
        {"schedule": {"cron": ""}},
    {"schedule": {"cron": "9" * 101}},
    {"schedule": {"cron": "0 7 * * 1", "time_zone": "Mars/Olympus"}},
    {"schedule": {"cron": "0 7 * * 1", "time_zone": "../etc/passwd"}},
    {"schedule": {"cron": "0 7 * * 1", "colour": "red"}},
    {"schedule": {"time_zone": "UTC"}},
    {"schedule": "0 7 * * 1"},
    {"query": ..., "dashboard": "weather"},
    {"query": ..., "dashboard": "course"},
    {"query": ..., "dashboard": "platform", "course": str(uuid4())},
    {"query": ..., "dashboard": "course", "course": str(uuid4())},
    {"query": ..., "dashboard": "platform", "days": 401},
    {"dashboard": "platform"},
    {"query": ...},
    {"query": {"measures": ["enrolments.count"]}},
    {"query": {"measures": []}},
    {"query": BY_COURSE, "days": 7},
    {"recipients": []},
    {"recipients": [str(uuid4()) for _ in range(101)]},
    {"recipients": [str(uuid4())]},
    {"recipients": ["ada@lectern.example"]},
    {"recipients": None},
    {"name": ""},
    {"name": "   "},
    {"name": "x" * 201},
    {"name": "a\0b"},
    {"format": "docx"},
    {"format": "parquet"},
    {"owner": str(uuid4())},
    {"next_run_at": "2026-01-01T00:00:00Z"},
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=lambda body: json.dumps(body, default=str)[:50])
async def test_bad_reports_are_refused_and_write_nothing(analytics: Harness, body: dict[str, Any]):
    problem = await make(analytics.person("manager"), 422, **body)
    assert problem["detail"]
    assert await scalar(analytics, "SELECT count(*) FROM reports") == 0


async def test_a_teacher_gets_no_report_of_single_people(analytics: Harness):
    teacher = analytics.person("teacher")
    await make(teacher, 403, query={"measures": ["people.count"]})
    await make(teacher, 403, query=..., dashboard="platform")


async def test_so_many_reports_and_runs_and_no_more(analytics: Harness, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rules, "MOST_REPORTS", 2)
    monkeypatch.setattr(rules, "MOST_MANUAL", 2)
    manager = analytics.person("manager")
    report = await make(manager)
    await make(manager)
    assert (await make(manager, 409))["code"] == "too_many_reports"
    for status in (202, 202, 409):
        answer = await manager.client.post(f"{REPORTS}{report['uuid']}/runs/")
        assert answer.status_code == status, answer.text


async def test_an_erased_owner_leaves_no_report_and_an_erased_reader_no_letter(
    analytics: Harness, story: Story, school: School
):
    storage = letter_storage(analytics.settings)
    others = set(await storage.list_folder("letters"))
    report = await make(school.manager, recipients=[str(school.manager.uuid), str(school.tess.uuid)])
    await send(analytics, school.manager, report)
    before = set(await storage.list_folder("letters")) - others
    assert len(before) == 2
    held = (await export(analytics, school.tess.uuid))["data"]
    assert (held["reports"], [each["name"] for each in held["reports_received"]]) == ([], ["Weekly"])
    await erase(analytics, school.tess.uuid)
    later = system_clock() + timedelta(seconds=5)
    await analytics.run_task("analytics.sweep_reports", clock=lambda: later)
    assert len(before - set(await storage.list_folder("letters"))) == 1
    left = (await school.manager.client.get(f"{REPORTS}{report['uuid']}/")).json()
    assert left["recipients"] == [str(school.manager.uuid)]
    (run,) = (await school.manager.client.get(f"{REPORTS}{report['uuid']}/runs/")).json()["results"]
    assert outcomes(run) == {str(school.manager.uuid): "mailed"}
    own = analytics.app.state.storage
    assert len(await own.list_folder(f"reports/{run['uuid']}")) == 1
    await erase(analytics, school.manager.uuid)
    await analytics.run_task("analytics.sweep_reports", clock=lambda: later + timedelta(seconds=5))
    for table in ("reports", "report_runs", "report_files", "report_letters"):
        assert await scalar(analytics, f"SELECT count(*) FROM {table}") == 0, table
    assert await own.list_folder(f"reports/{run['uuid']}") == []
    assert not before & set(await storage.list_folder("letters"))


def clock_at(moment: datetime) -> Any:
    return lambda: moment


MONDAY = datetime(2026, 11, 30, 7, 0, tzinfo=UTC)


async def sweep(analytics: Harness, moment: datetime) -> None:
    await analytics.run_task("analytics.sweep_reports", clock=clock_at(moment))


async def runs(person: Person, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Oldest first."""
    found = (await person.client.get(f"{REPORTS}{report['uuid']}/runs/")).json()["results"]
    return list(reversed(found))


async def scheduled(analytics: Harness, person: Person, **body: Any) -> dict[str, Any]:
    """A report that was made just before `MONDAY`."""
    analytics.app.state.clock = clock_at(MONDAY - timedelta(minutes=5))
    return await make(person, schedule=WEEKLY, **body)


async def test_what_is_due_goes_out_once(analytics: Harness, school: School):
    report = await scheduled(analytics, school.manager)
    assert report["next_run_at"] == "2026-11-30T07:00:00Z"
    await sweep(analytics, MONDAY - timedelta(seconds=1))
    assert await runs(school.manager, report) == []
    await asyncio.gather(*(sweep(analytics, MONDAY + timedelta(seconds=1)) for _ in range(4)))
    await sweep(analytics, MONDAY + timedelta(seconds=31))
    analytics.queue.started *= 3
    await analytics.run_tasks()
    (run,) = await runs(school.manager, report)
    assert (run["due_at"], run["status"]) == ("2026-11-30T07:00:00Z", "done")
    assert len([kind for kind, _, _ in await analytics.published() if kind == READY]) == 1
    following = (await school.manager.client.get(f"{REPORTS}{report['uuid']}/")).json()
    assert following["next_run_at"] == "2026-12-07T07:00:00Z"


async def test_a_beat_that_slept_for_weeks_makes_up_for_it_with_one_run(analytics: Harness, school: School):
    report = await scheduled(analytics, school.manager)
    for _ in range(3):
        await sweep(analytics, MONDAY + timedelta(days=24))
    await analytics.run_tasks()
    (run,) = await runs(school.manager, report)
    assert run["due_at"] == "2026-11-30T07:00:00Z"
    following = (await school.manager.client.get(f"{REPORTS}{report['uuid']}/")).json()
    assert following["next_run_at"] == "2026-12-28T07:00:00Z"


@pytest.mark.parametrize("place", ["due", "opened", "written", "stored", "done"])
async def test_a_worker_that_dies_is_followed_by_another_and_mails_once(
    analytics: Harness, school: School, place: str
):
    """At `due` the sweep dies with the run that it makes; else the writer at one of its steps."""
    report = await scheduled(analytics, school.manager, format="pdf")
    now = MONDAY + timedelta(seconds=1)
    arm(f"report.{place}=raise@1")
    try:
        with pytest.raises(InjectedFault):
            await sweep(analytics, now)
            await analytics.run_tasks()
    finally:
        arm("")
    for seconds in (30, 60, 90):
        await sweep(analytics, system_clock() + tries.LEASE + timedelta(seconds=seconds))
        await analytics.run_tasks()
    (run,) = await runs(school.manager, report)
    assert run["status"] == "done"
    assert len([kind for kind, _, _ in await analytics.published() if kind == READY]) == 1
    assert len(await analytics.app.state.storage.list_folder(f"reports/{run['uuid']}")) == 1
    assert (await letters(analytics))[school.manager.uuid].attachment is not None


async def test_a_writer_whose_run_was_cancelled_or_deleted_leaves_nothing(
    analytics: Harness, school: School, monkeypatch: pytest.MonkeyPatch
):
    own, exchange = analytics.app.state.storage, letter_storage(analytics.settings)
    before = set(await exchange.list_folder("letters"))
    manager, real = school.manager.client, tasks._Writing._write_letters
    for path in ("/api/jobs/analytics/{run}/", REPORTS + "{report}/"):
        report = await make(school.manager)
        asked = (await manager.post(f"{REPORTS}{report['uuid']}/runs/")).json()
        where = path.format(run=asked["uuid"], report=report["uuid"])

        async def meanwhile(writing: Any, where: str = where) -> Any:
            found = await real(writing)
            assert (await manager.delete(where)).status_code == 200
            return found

        with monkeypatch.context() as patch:
            patch.setattr(tasks._Writing, "_write_letters", meanwhile)
            await analytics.run_tasks()
        assert await own.list_folder(f"reports/{asked['uuid']}") == []
        assert set(await exchange.list_folder("letters")) == before
    assert READY not in [kind for kind, _, _ in await analytics.published()]


async def test_what_fails_for_good_says_so_after_five_tries(
    analytics: Harness, school: School, monkeypatch: pytest.MonkeyPatch
):
    report = await make(school.manager)
    asked = (await school.manager.client.post(f"{REPORTS}{report['uuid']}/runs/")).json()

    def broken(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(tasks, "write_page", broken)
    for _ in range(tries.MOST_TRIES):
        with pytest.raises(OSError, match="disk full"):
            await analytics.run_task("analytics.write_report", asked["uuid"])
    await analytics.run_task("analytics.write_report", asked["uuid"])
    (run,) = await runs(school.manager, report)
    assert (run["status"], run["error"]) == ("failed", rules.ERRORS["not_written"])


async def test_letters_and_files_are_forgotten(analytics: Harness, school: School):
    report = await make(school.manager)
    run = await send(analytics, school.manager, report)
    own, exchange = analytics.app.state.storage, letter_storage(analytics.settings)
    now = system_clock()
    await sweep(analytics, now + rules.LETTERS + timedelta(minutes=1))
    assert await exchange.list_folder(f"reports/{run['uuid']}") == []
    assert len(await own.list_folder(f"reports/{run['uuid']}")) == 1
    await sweep(analytics, now + rules.KEPT + timedelta(minutes=1))
    assert await own.list_folder(f"reports/{run['uuid']}") == []
    (left,) = await runs(school.manager, report)
    assert (left["status"], left["result_url"]) == ("done", None)
    await sweep(analytics, now + rules.HISTORY + timedelta(minutes=1))
    assert await runs(school.manager, report) == []


def test_every_word_of_dictionary_and_charts_is_translated():
    said = {measure.title for _, _, measure in dictionary().measures()}
    said |= {dimension.of.title for dimension in dictionary().dimensions()} | {dictionary().time.title}
    assert said == set(words.TITLES)
    for file in (Path(charts.__file__).parent / "dashboards").glob("*.py"):
        found = re.findall(r'chart\(\s*"\w+",\s*"([^"]+)"', file.read_text())
        assert set(found) <= {*words.CHARTS, *words.TITLES}, file

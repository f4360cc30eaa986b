"""The query endpoint: its answers, what it refuses and how, its limits and its budget."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import uvicorn

from libs.common.testing.harness import Harness, access_token, eventually
from services.analytics.projection import use_live
from services.analytics.query.plan import make_plan
from services.analytics.query.run import begin, stream
from services.analytics.query.schemas import QueryRequest
from services.analytics.query.statement import columns_of
from services.analytics.tests.conftest import Story, scalar
from services.analytics.tests.school import School

QUERY, METRICS = "/api/analytics/query/", "/api/analytics/metrics/"
Asked = dict[str, Any]


@pytest.fixture
async def school(analytics: Harness) -> School:
    school = School(seed=5)
    async with analytics.db.session() as session:
        await school.fill(session)
    return school


async def ask(analytics: Harness, asked: Asked, role: str = "manager", status: int = 200) -> Any:
    response = await analytics.person(role).client.post(QUERY, json=asked)
    assert response.status_code == status, response.text
    return response.json()


async def test_a_query_answers_with_its_meaning(analytics: Harness, story: Story):
    teacher, course = uuid4(), uuid4()
    story.course(course, teacher, title="Algebra")
    students = [uuid4() for _ in range(6)]
    for number, student in enumerate(students):
        enrollment = story.enrol(student, course)
        if number < 2:
            story.progress(enrollment, student, course, [], 100, "completed")
        story.study(student, course, 90)
    await story.tell()
    body = await ask(
        analytics,
        {
            "measures": ["enrollments.count", "completions.count", "study.minutes"],
            "dimensions": ["courses.title"],
            "timeDimensions": [{"dimension": "time.at", "granularity": "year", "dateRange": "this year"}],
        },
    )
    year = f"{story.now:%Y}-01-01"
    assert body["data"] == [
        {
            "courses.title": "Algebra", "time.at.year": year, "time.at": year, "enrollments.count": 6,
            "completions.count": 2, "study.minutes": 9.0,
        }
    ]  # fmt: skip
    assert (body["rows"], body["truncated"], body["suppressed"]) == (1, False, 0)
    assert body["annotation"]["measures"]["study.minutes"]["unit"] == "minutes"
    assert body["annotation"]["timeDimensions"]["time.at.year"]["granularity"] == "year"
    assert body["annotation"]["dimensions"]["courses.title"]["title"] == "Course title"
    assert body["as_of"].startswith(f"{story.now:%Y-%m-%dT%H:%M}")


async def test_study_time_adds_up(analytics: Harness, school: School):
    total = await ask(analytics, {"measures": ["study.seconds", "study.minutes"]})
    parts = await ask(
        analytics, {"measures": ["study.seconds"], "dimensions": ["courses.title", "people.role"]}
    )
    [whole] = total["data"]
    assert sum(row["study.seconds"] for row in parts["data"]) == whole["study.seconds"]
    assert whole["study.minutes"] == pytest.approx(whole["study.seconds"] / 60)


async def test_rows_come_in_order_and_in_pages(analytics: Harness, school: School):
    asked = {
        "measures": ["attempts.count"],
        "dimensions": ["people.uuid"],
        "order": {"attempts.count": "desc"},
    }
    whole = await ask(analytics, asked)
    counts = [row["attempts.count"] for row in whole["data"]]
    assert counts == sorted(counts, reverse=True)
    assert not whole["truncated"]
    pages: list[Asked] = []
    for offset in range(0, len(counts), 4):
        page = await ask(analytics, asked | {"limit": 4, "offset": offset})
        assert page["truncated"] == (offset + 4 < len(counts))
        pages += page["data"]
    assert pages == whole["data"]
    rising = await ask(analytics, asked | {"order": [["attempts.count", "asc"], ["people.uuid", "desc"]]})
    assert [row["attempts.count"] for row in rising["data"]] == counts[::-1]
    categories = {"measures": ["courses.count"], "dimensions": ["courses.category"]}
    for way in ("asc", "desc"):
        last = await ask(analytics, categories | {"order": {"courses.category": way}})
        assert last["data"][-1]["courses.category"] is None


async def test_filters_by_measures_are_of_groups(analytics: Harness, school: School):
    asked: Asked = {"measures": ["attempts.count"], "dimensions": ["attempts.quiz"]}
    whole = (await ask(analytics, asked))["data"]
    most = max(row["attempts.count"] for row in whole)
    for operator, values, count in (
        ("gte", [most], 1), ("gt", [str(most)], 0), ("lte", [most], len(whole)), ("set", [], len(whole)),
    ):  # fmt: skip
        one = {"member": "attempts.count", "operator": operator, "values": values}
        assert (await ask(analytics, asked | {"filters": [one]}))["rows"] >= count
    # A measure may decide without being shown.
    other = {"or": [{"member": "attempts.pass_rate", "operator": "gte", "values": [0]}]}
    body = await ask(analytics, asked | {"filters": [other]})
    assert body["rows"] == len(whole)
    assert set(body["data"][0]) == {"attempts.quiz", "attempts.count"}


async def test_dimensions_alone_are_listed(analytics: Harness, school: School):
    body = await ask(analytics, {"dimensions": ["courses.category"]})
    assert [row["courses.category"] for row in body["data"]][-1] is None
    assert body["rows"] == len({course["category"] for course in school.courses})
    refused = await ask(analytics, {"dimensions": ["courses.category", "people.role"]}, status=422)
    assert refused["code"] == "members_not_shared"


REFUSED: list[tuple[Asked, str, str]] = [
    ({}, "invalid_input", "a measure or a dimension"),
    ({"measures": ["enrolments.count"]}, "unknown_member", "enrollments.count"),
    ({"measures": ["study.minute"]}, "unknown_member", "study.minutes"),
    ({"dimensions": ["course.title"]}, "unknown_member", "courses.title"),
    ({"measures": ["x" * 130]}, "unknown_member", "there is no member"),
    ({"measures": ["courses.title"]}, "invalid_input", "is a dimension, not a measure"),
    ({"dimensions": ["study.minutes"]}, "invalid_input", "is a measure, not a dimension"),
    ({"measures": ["event_log.count"]}, "unknown_member", "there is no member"),
    ({"measures": ["study.minutes", "study.minutes"]}, "invalid_input", "there twice"),
    (
        {"measures": ["attempts.count", "enrollments.count"], "dimensions": ["enrollments.status"]},
        "members_not_shared",
        "enrollments.status is no dimension of attempts.count",
    ),
    ({"measures": ["people.count"], "dimensions": ["courses.title"]}, "members_not_shared", "people.count"),
    (
        {
            "measures": ["learning_days.learners", "study.minutes"],
            "filters": [{"member": "courses.title", "operator": "set"}],
        },
        "members_not_shared",
        "courses.title is no dimension of learning_days.learners",
    ),
    (
        {"measures": ["lessons.count"], "timeDimensions": [{"dimension": "time.at", "granularity": "day"}]},
        "members_not_shared",
        "has no time",
    ),
    (
        {"measures": ["study.minutes"], "timeDimensions": [{"dimension": "time.at", "granularity": "hour"}]},
        "invalid_input",
        "days and no hours",
    ),
    (
        {
            "measures": ["study.minutes"],
            "timeDimensions": [{"dimension": "courses.title", "granularity": "day"}],
        },
        "invalid_input",
        "not a time",
    ),
    ({"measures": ["study.minutes"], "dimensions": ["time.at"]}, "invalid_input", "timeDimensions"),
    (
        {"measures": ["study.minutes"], "order": {"study.students": "asc"}},
        "invalid_input",
        "no member of this",
    ),
    ({"measures": ["study.minutes"], "timezone": "Mars/Base"}, "invalid_input", "IANA time zone"),
    ({"measures": ["study.minutes"], "limit": 0}, "invalid_input", "limit"),
    ({"measures": ["study.minutes"], "segments": []}, "invalid_input", "segments"),
]


@pytest.mark.parametrize(("asked", "code", "said"), REFUSED)
async def test_what_cannot_be_asked_is_refused_by_name(
    analytics: Harness, asked: Asked, code: str, said: str
):
    body = await ask(analytics, asked, status=422)
    assert body["code"] == code
    assert said in f"{body['detail']} {body['errors']}"
    assert body["errors"]


FILTERS: list[tuple[Asked, str]] = [
    ({"member": "courses.title", "operator": "gt", "values": ["a"]}, "is not for a string"),
    ({"member": "courses.uuid", "operator": "contains", "values": ["a"]}, "is not for a uuid"),
    ({"member": "courses.uuid", "operator": "equals", "values": ["a"]}, "must be a UUID"),
    ({"member": "courses.title", "operator": "equals", "values": [1]}, "must be a text"),
    ({"member": "courses.title", "operator": "equals"}, "needs values"),
    ({"member": "courses.title", "operator": "set", "values": ["x"]}, "takes no values"),
    ({"member": "enrollments.takes_part", "operator": "equals", "values": [1]}, "true or false"),
    ({"member": "enrollments.takes_part", "operator": "equals", "values": ["yes"]}, "true or false"),
    ({"member": "enrollments.count", "operator": "gt", "values": ["many"]}, "must be a number"),
    ({"member": "enrollments.count", "operator": "gt", "values": [True]}, "must be a number"),
    ({"member": "enrollments.count", "operator": "gt", "values": ["1e999"]}, "must be a number"),
    ({"member": "enrollments.count", "operator": "gt", "values": ["nan"]}, "must be a number"),
    ({"member": "enrollments.count", "operator": "gt", "values": [1, 2]}, "takes one value"),
    ({"member": "enrollments.count", "operator": "contains", "values": ["1"]}, "is not for a integer"),
    ({"member": "time.at", "operator": "contains", "values": ["2026"]}, "is not for a time"),
    ({"member": "time.at", "operator": "gt", "values": ["2026-02-30"]}, "must be a day"),
    ({"member": "time.at", "operator": "inDateRange", "values": ["2026-02-02", "2026-02-01"]}, "ends before"),
    (
        {"member": "time.at", "operator": "inDateRange", "values": ["0001-01-01", "9999-12-31"]},
        "must lie between",
    ),
    ({"member": "time.at", "operator": "inDateRange", "values": ["2026-01-01"] * 3}, "first and the last"),
    ({"member": "time.at", "operator": "inDateRange", "values": ["next week"]}, "must be [first day"),
    ({"member": "time.at", "operator": "inDateRange", "values": ["last 4001 days"]}, "4000 days at most"),
    ({"member": "nothing.here", "operator": "set"}, "there is no member"),
    ({"member": "courses.title", "operator": "like", "values": ["x"]}, "operator"),
    ({"and": [], "or": []}, "exactly one of and, or"),
    (
        {"or": [{"member": name, "operator": "set"} for name in ("courses.title", "enrollments.count")]},
        "mixes measures and dimensions",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "said"), FILTERS)
async def test_a_filter_fits_the_type_of_its_member(analytics: Harness, given: Asked, said: str):
    body = await ask(analytics, {"measures": ["enrollments.count"], "filters": [given]}, status=422)
    assert said in f"{body['detail']} {body['errors']}"


LIMITS: list[tuple[str, Any, Any]] = [
    ("limit", 10_000, 10_001),
    ("offset", 1_000_000, 1_000_001),
    (
        "filters",
        [{"member": "time.at", "operator": "set"}] * 50,
        [{"member": "time.at", "operator": "set"}] * 51,
    ),
    (
        "filters",
        [{"and": [{"member": "time.at", "operator": "set"}] * 25}] * 2,
        [{"and": [{"member": "time.at", "operator": "set"}] * 26}] * 2,
    ),
    (
        "filters",
        [{"member": "courses.title", "operator": "equals", "values": ["x"] * 200}],
        [{"member": "courses.title", "operator": "equals", "values": ["x"] * 201}],
    ),
    (
        "filters",
        [{"member": "courses.title", "operator": "contains", "values": ["x" * 500]}],
        [{"member": "courses.title", "operator": "contains", "values": ["x" * 501]}],
    ),
]


@pytest.mark.parametrize(("field", "most", "more"), LIMITS)
async def test_limits_hold_at_their_edge(analytics: Harness, field: str, most: Any, more: Any):
    asked = {"measures": ["enrollments.count"]}
    await ask(analytics, asked | {field: most})
    body = await ask(analytics, asked | {field: more}, status=422)
    assert field in body["errors"][0]["field"]


INJECTIONS = (
    "'; DROP SCHEMA analytics CASCADE; --", '"; SELECT 1; --', "x') OR ('1'='1", "%s", "%(p0)s", "$1", ":p0",
    "\\'; SELECT pg_sleep(9)--", "/*", "--", "courses.title; DELETE FROM courses", "’ OR 1=1",
)  # fmt: skip


@pytest.mark.parametrize("text", INJECTIONS)
async def test_text_is_never_sql(analytics: Harness, school: School, text: str):
    before = await scalar(analytics, "SELECT count(*) FROM live_projection")
    base = {"measures": ["enrollments.count"]}
    for place in (
        {"measures": [text]},
        {"dimensions": [text]},
        {"timeDimensions": [{"dimension": text, "granularity": "day"}]},
        {"timeDimensions": [{"dimension": "time.at", "granularity": text}]},
        {"timeDimensions": [{"dimension": "time.at", "dateRange": text}]},
        {"timeDimensions": [{"dimension": "time.at", "dateRange": [text, text]}]},
        {"filters": [{"member": text, "operator": "set"}]},
        {"filters": [{"member": "courses.title", "operator": text, "values": ["x"]}]},
        {"filters": [{"member": "time.at", "operator": "equals", "values": [text]}]},
        {"filters": [{"member": "enrollments.count", "operator": "gt", "values": [text]}]},
        {"order": {text: "asc"}},
        {"order": [["enrollments.count", text]]},
        {"timezone": text},
        {text: "x"},
    ):
        await ask(analytics, base | place, status=422)
    for operator, rows in (("equals", 0), ("contains", 0), ("notEquals", 6)):
        one = {"member": "courses.title", "operator": operator, "values": [text]}
        body = await ask(analytics, {"dimensions": ["courses.uuid"], "filters": [one]})
        assert body["rows"] == (rows if text not in "100% Rust_" else body["rows"])
    assert await scalar(analytics, "SELECT count(*) FROM live_projection") == before


async def test_wildcards_are_letters(analytics: Harness, school: School):
    for text in ("%", "_", "0% rust_", "ALG"):
        one = {"member": "courses.title", "operator": "contains", "values": [text]}
        body = await ask(analytics, {"dimensions": ["courses.uuid"], "filters": [one]})
        assert body["rows"] == sum(text.lower() in course["title"].lower() for course in school.courses)


async def test_the_dictionary_is_listed_for_everybody(analytics: Harness):
    body = (await analytics.person("student").client.get(METRICS)).json()
    assert body["count"] == len(body["results"])
    assert (body["next"], body["previous"]) == (None, None)
    by_name = {entry["name"]: entry for entry in body["results"]}
    assert by_name["study.minutes"]["sql"] == "SELECT COALESCE(SUM(seconds), 0) / 60.0 FROM study"
    assert "courses.title" in by_name["study.minutes"]["dimensions"]
    assert by_name["tickets.count"]["audience"] == "manager"
    for entry in body["results"]:
        assert all(entry[name] for name in ("title", "description", "owner", "since_version", "grain"))
        if entry["kind"] == "measure":
            assert all(entry[name] for name in ("unit", "sql", "type"))


async def test_a_stream_gives_all_rows_in_batches(analytics: Harness, school: School):
    asked = QueryRequest(measures=["attempts.count"], dimensions=["people.uuid"], limit=1)
    plan = make_plan(asked, school.day())
    async with analytics.db.session() as session:
        await begin(session, 5)
        batches = [batch async for batch in stream(session, plan, batch=4)]
    assert [column.type for column in columns_of(plan)] == ["uuid", "integer"]
    rows = [row for batch in batches for row in batch]
    assert {row[0] for row in rows} == {row["student"] for row in school.rows["attempts"]}
    assert max(map(len, batches)) == 4


# What a query costs.


@pytest.fixture
async def locked(analytics: Harness, admin_url: str, school: School) -> AsyncIterator[None]:
    """Nobody gets to read study time: its queries wait until they are ended."""
    async with analytics.db.session() as session:
        number = await use_live(session)
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        await connection.execute(f"LOCK TABLE projection_{number}.study IN ACCESS EXCLUSIVE MODE")
        yield


WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND usename = 'lectern_analytics' AND state = 'active' AND query LIKE '%%study%%'"
)
STUDY: Asked = {"measures": ["study.minutes"]}


@pytest.fixture
def short(analytics: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics.app.state.queries.settings, "query_seconds", 0.1)


async def test_a_long_statement_is_refused_as_too_expensive(analytics: Harness, short: None, locked: None):
    body = await ask(analytics, STUDY, status=422)
    assert body["code"] == "query_too_expensive"
    assert (await ask(analytics, {"measures": ["attempts.count"]}))["rows"] == 1


@pytest.fixture
async def served(analytics: Harness) -> AsyncIterator[str]:
    """The application behind a real server."""
    server = uvicorn.Server(uvicorn.Config(analytics.app, lifespan="off", log_config=None))
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listening]))
    await eventually(lambda: server.started)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    await serving


async def test_nothing_runs_for_a_client_that_has_left(
    analytics: Harness, served: str, locked: None, admin_url: str
):
    token = access_token(analytics.settings, uuid4(), "manager")
    async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True) as admin:

        async def running() -> int:
            return int((await (await admin.execute(WAITING, [])).fetchone() or (0,))[0])

        async with httpx.AsyncClient(base_url=served) as client:
            header = {"Authorization": f"Bearer {token}"}
            asking = asyncio.create_task(client.post(QUERY, json=STUDY, headers=header))
            assert await eventually(running) == 1
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

        async def nothing() -> bool:
            return await running() == 0

        assert await eventually(nothing, timeout=3)


async def test_queries_hold_up_queries_and_nothing_else(analytics: Harness, locked: None):
    client = analytics.person("manager").client
    asking = [
        asyncio.create_task(client.post(QUERY, json=STUDY)) for _ in range(analytics.settings.query_pool)
    ]
    usage = analytics.app.state.queries.usage
    await eventually(lambda: usage()[0] == analytics.settings.query_pool)
    assert (await client.get("/api/core/activities/")).status_code == 200
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await eventually(lambda: usage()[0] == 0)

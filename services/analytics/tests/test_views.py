"""The analysts' views say what the dictionary says, and their logins reach nothing else."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text

from libs.common.data.bootstrap import VIEWS
from libs.common.testing.harness import Harness, eventually
from services.analytics import analysts
from services.analytics.analysts import AnalystError, create, drop, end_long_statements, logins
from services.analytics.dictionary import dictionary
from services.analytics.projection import create_projection, use_live
from services.analytics.tests.conftest import Story
from services.analytics.tests.school import School
from services.analytics.views import comment_of, publish_if_stale, publish_views

Connection = psycopg.Connection


async def publish(analytics: Harness) -> None:
    async with analytics.db.session() as session:
        await publish_views(session, await use_live(session))


@pytest.fixture
async def published(analytics: Harness) -> School:
    school = School(seed=3)
    async with analytics.db.session() as session:
        await school.fill(session)
    await publish(analytics)
    return school


@pytest.fixture
def name(admin_url: str) -> Iterator[str]:
    name = f"t{uuid4().hex[:12]}"
    yield name
    if f"analyst_{name}" in dict(logins(admin_url)):
        drop(admin_url, name)


@pytest.fixture
def analyst(admin_url: str, published: School, name: str) -> Iterator[Connection]:
    with psycopg.connect(create(admin_url, name), autocommit=True) as connection:
        yield connection


def one(connection: Connection, query: str) -> object:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


async def test_every_view_and_column_says_what_it_is(published: School, admin_url: str):
    with psycopg.connect(admin_url) as connection:
        found = {
            (view, column): said
            for view, column, said in connection.execute(
                "SELECT c.relname, coalesce(a.attname, ''), d.description FROM pg_class c"
                " JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass"
                " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0"
                " WHERE c.relnamespace = %s::regnamespace",
                [VIEWS],
            )
        }
    for view, dataset in dictionary().datasets.items():
        assert found.pop((view, "")).startswith(dataset.description)
        for column, body in dataset.columns.items():
            assert found.pop((view, column)) == comment_of(body)
    assert found == {}


async def test_an_analysts_sql_gives_the_numbers_of_the_api(
    analytics: Harness, published: School, analyst: Connection
):
    manager = analytics.person("manager").client
    entries = (await manager.get("/api/analytics/metrics/")).json()["results"]
    measured = {e["name"]: e["sql"] for e in entries if e["kind"] == "measure" and e["dataset"] != "people"}
    for dataset in dictionary().datasets:
        names = [name for name in measured if name.startswith(f"{dataset}.")]
        if not names:
            continue
        response = await manager.post("/api/analytics/query/", json={"measures": names})
        assert response.status_code == 200, response.text
        answer = response.json()["data"][0]
        for measure in names:
            told = one(analyst, measured[measure])
            assert answer[measure] == pytest.approx(told if told is None else float(str(told))), measure


ATTACKS = (
    "CREATE TABLE analytics_views.mine (n int)",
    "CREATE TEMPORARY TABLE mine (n int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DELETE FROM enrollments",
    "UPDATE courses SET title = 'mine'",
    "INSERT INTO study (course) VALUES (gen_random_uuid())",
    "DROP VIEW study",
    "SELECT * FROM people",
    "SELECT * FROM analytics.event_log",
    "SELECT * FROM analytics.event_log_default",
    "SELECT * FROM analytics.live_projection",
    "SELECT * FROM analytics_audit.audit_entries",
    "SELECT * FROM identity.users",
    "SET ROLE lectern_analytics",
    "SET ROLE lectern_analyst_people",
    "SET SESSION AUTHORIZATION lectern_analytics",
    "ALTER ROLE CURRENT_USER CREATEDB",
    "GRANT lectern_analyst_people TO CURRENT_USER",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1, 2)",
    "SELECT pg_notify('live_notify', 'x')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lectern_analytics'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SET temp_file_limit = -1",
    "DO $$ BEGIN LOCK TABLE analytics.live_projection; END $$",
)


@pytest.mark.promise("database")
async def test_an_analyst_reads_views_and_can_do_nothing_else(
    analytics: Harness, published: School, analyst: Connection
):
    number = one(analyst, "SELECT substring(obj_description('analytics_views'::regnamespace) from '[0-9]+$')")
    assert one(analyst, "SELECT count(*) FROM study") == len(published.rows["study"])
    attacks = [
        *ATTACKS,
        f"SELECT * FROM projection_{number}.users",
        f"SELECT * FROM projection_{number}.study",
    ]
    # Every session may ask to write; what it may do is another matter.
    for writing in ("on", "off"):
        analyst.execute(f"SET default_transaction_read_only = {writing}")
        for attack in attacks:
            with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
                analyst.execute(attack)
            if writing == "off":
                with pytest.raises(errors.InsufficientPrivilege):
                    analyst.execute(attack)
    begun = {
        "statement_timeout": "30s", "search_path": "analytics_views", "default_transaction_read_only": "off",
        "lock_timeout": "5s", "idle_in_transaction_session_timeout": "5min", "temp_file_limit": "2GB",
    }  # fmt: skip
    assert {name: one(analyst, f"SHOW {name}") for name in begun} == begun


async def test_people_are_for_those_who_may(admin_url: str, published: School, name: str):
    with psycopg.connect(create(admin_url, name, people=True)) as connection:
        assert one(connection, "SELECT count(*) FROM people") == len(published.users)
        assert one(connection, "SELECT count(*) FROM enrollments") == len(published.rows["enrollments"])
    assert (f"analyst_{name}", True) in logins(admin_url)


async def test_the_log_is_seen_without_the_state_of_accounts(
    analytics: Harness, story: Story, admin_url: str, name: str
):
    student, teacher, course = uuid4(), uuid4(), uuid4()
    story.user(student, zone="Asia/Kathmandu")
    story.course(course, teacher)
    story.enrol(student, course)
    await story.tell()
    await publish(analytics)
    with psycopg.connect(create(admin_url, name)) as connection:
        rows = connection.execute("SELECT topic, payload::text FROM event_log").fetchall()
    assert len(rows) == 4
    assert [payload for topic, payload in rows if topic == "identity.users"] == [None]
    said = str(rows)
    assert str(student) in said
    for secret in ("Kathmandu", "Canary", "canary", "secret@"):
        assert secret not in said


async def test_statements_end_whatever_a_session_has_set(
    analytics: Harness, analyst: Connection, admin_url: str
):
    analyst.execute("SET statement_timeout = 0")
    with psycopg.connect(admin_url, autocommit=True) as admin:
        pid = analyst.info.backend_pid
        sleeping = asyncio.create_task(asyncio.to_thread(analyst.execute, "SELECT pg_sleep(60)"))
        state = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = {}"
        await eventually(lambda: one(admin, state.format(pid)))
        async with analytics.db.session() as session:
            assert await end_long_statements(session, seconds=100) == 0
            assert await end_long_statements(session, seconds=0) == 1
        with pytest.raises(errors.QueryCanceled):
            await sleeping
        analyst.execute("BEGIN")
        async with analytics.db.session() as session:
            assert await end_long_statements(session, idle_seconds=0) == 1
        gone = f"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}"
        assert await eventually(lambda: one(admin, gone))
    analyst.close()


async def test_publishing_waits_for_no_reader_and_drops_what_nobody_reads(
    analytics: Harness, analyst: Connection, admin_url: str
):
    async def retired() -> int:
        async with analytics.db.session() as session:
            query = "SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'analytics_views_retired')"
            return int(await session.scalar(text(query)) or 0)

    await publish(analytics)
    analyst.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    before = one(analyst, "SELECT count(*) FROM study")
    for _ in range(3):
        await asyncio.wait_for(publish(analytics), 5)
        assert one(analyst, "SELECT count(*) FROM study") == before
    assert await retired() >= 1
    analyst.execute("COMMIT")
    await publish(analytics)
    await publish(analytics)
    assert await retired() == 1


async def test_views_follow_the_projection_and_roll_back_with_it(
    analytics: Harness, published: School, analyst: Connection
):
    count = len(published.rows["study"])
    with pytest.raises(RuntimeError):
        async with analytics.db.session() as session:
            number = await use_live(session)
            await create_projection(session, number + 1)
            await publish_views(session, number + 1)
            raise RuntimeError
    assert one(analyst, "SELECT count(*) FROM study") == count
    async with analytics.db.session() as session:
        assert not await publish_if_stale(session)
        await session.execute(text(f"COMMENT ON SCHEMA {VIEWS} IS 'of an earlier release'"))
        assert await publish_if_stale(session)
        assert not await publish_if_stale(session)


def test_a_login_is_made_once_listed_and_dropped_with_its_sessions(admin_url: str, name: str):
    url = create(admin_url, name)
    with psycopg.connect(admin_url) as admin:
        kept = "SELECT action FROM analytics_audit.audit_entries WHERE target = 'analyst_{}'"
        assert one(admin, kept.format(name)) == "analyst_login_created"
    assert len(urlsplit(url).password or "") >= 32
    assert (f"analyst_{name}", False) in logins(admin_url)
    with pytest.raises(AnalystError, match="is there already"):
        create(admin_url, name)
    with psycopg.connect(url) as connection:
        drop(admin_url, name)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    with pytest.raises(AnalystError, match="there is no login"):
        drop(admin_url, name)


@pytest.mark.parametrize("bad", ["", "Ada", "a-b", "1a", "a" * 42, "a; DROP ROLE x", "ä"])
def test_a_name_is_an_identifier(admin_url: str, bad: str):
    with pytest.raises(AnalystError, match="a name is"):
        create(admin_url, bad)


def test_the_command_prints_the_url_once(
    admin_url: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("LECTERN_DATABASE_ADMIN_URL", admin_url)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["analysts", *arguments])
        code = analysts.main()
        return code, *capsys.readouterr()

    code, url, _ = run("create", name)
    assert code == 0
    with psycopg.connect(url.strip()) as connection:
        assert one(connection, "SELECT current_user") == f"analyst_{name}"
    assert f"analyst_{name}  views\n" in run("list")[1]
    assert run("drop", name)[0] == 0
    code, _, said = run("drop", name)
    assert (code, said) == (1, f"analyst: there is no login analyst_{name}\n")

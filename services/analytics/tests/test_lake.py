"""The lake holds each event of the log once, whatever happens to its writer, and nothing of who is erased."""

import asyncio
import io
import os
import signal
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import obstore
import orjson
import pyarrow.parquet
import pytest
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy import text

from libs.common.data.jobs import TaskRun
from libs.common.runtime.failpoints import InjectedFault, arm
from libs.common.testing.harness import Harness
from libs.common.testing.privacy import erase
from libs.common.testing.states import user_state
from services.analytics import republish
from services.analytics.lake.__main__ import NotAnswered, ask, status
from services.analytics.lake.archive import open_archive
from services.analytics.lake.retention import first_kept, let_go
from services.analytics.lake.sql import reader
from services.analytics.lake.tables import LOG, Lake, LakeLost, files_of, open_lake, position_of
from services.analytics.lake.tasks import bring_on
from services.analytics.lake.tidy import tidy
from services.analytics.lake.views import write_views
from services.analytics.lake.write import FEWEST_TO_COMPACT, compact
from services.analytics.rebuild import rebuild
from services.analytics.tasks import make_partition
from services.analytics.tests.conftest import Story, scalar
from services.analytics.tests.test_projection import busy

COLUMNS = "position, occurred_at, event_id::text, topic, key, seq, type, payload::text"


@pytest.fixture
async def lake(analytics: Harness) -> AsyncIterator[Lake]:
    with open_lake(analytics.settings) as opened:
        _empty(opened)
        yield opened
        _empty(opened)
    arm("")
    async with analytics.db.session() as session:
        names = await session.scalars(
            text("SELECT tablename FROM pg_tables WHERE tablename ~ '^event_log_2'")
        )
        for name in names.all():
            await session.execute(text(f"DROP TABLE analytics.{name}"))


def _empty(lake: Lake) -> None:
    for path in paths(lake):
        obstore.delete(lake.store, path)


def paths(lake: Lake) -> list[str]:
    return [str(entry["path"]) for batch in obstore.list(lake.store) for entry in batch]


async def bring(analytics: Harness, batch: int = 40) -> int:
    settings = analytics.settings.model_copy(update={"lake_batch": batch})
    return await bring_on(TaskRun(analytics.db), settings)


async def log_of(analytics: Harness) -> list[Any]:
    async with analytics.db.session() as session:
        found = await session.execute(text(f"SELECT {COLUMNS} FROM event_log ORDER BY position"))
        return [parsed(row) for row in found]


def parsed(row: Any) -> tuple[Any, ...]:
    """With its payload as it says, not as it is written."""
    return (*row[:-1], row[-1] and orjson.loads(row[-1]))


def lake_of(lake: Lake) -> list[Any]:
    with reader(lake) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return [parsed(row) for row in connection.sql("SELECT * FROM event_log ORDER BY position").fetchall()]


def by_position(archived: list[Any], log: list[Any]) -> list[Any]:
    return sorted([*map(parsed, archived), *log], key=lambda row: row[0])


async def test_every_event_is_there_once_by_month_and_topic(analytics: Harness, story: Story, lake: Lake):
    busy(story)
    await story.tell()
    events = await log_of(analytics)
    assert await bring(analytics) == len(events)
    assert await bring(analytics) == 0
    assert lake_of(lake) == events
    partitions = {(file.partition[0], file.partition[1]) for file in files_of(lake.log())}
    assert partitions == {((at.year - 1970) * 12 + at.month - 1, topic) for _, at, _, topic, *_ in events}
    busy(story, 2)
    await story.tell()
    await bring(analytics)
    assert lake_of(lake) == await log_of(analytics)
    assert position_of(lake.log()) == await scalar(analytics, "SELECT position FROM live_projection")


async def test_duckdb_counts_what_postgresql_counts(analytics: Harness, story: Story, lake: Lake):
    busy(story)
    await story.tell()
    await bring(analytics)
    query = "SELECT topic, count(*) AS events FROM event_log GROUP BY topic ORDER BY topic"
    answer = await asyncio.to_thread(ask, analytics.settings, query, as_json=True)
    async with analytics.db.session() as session:
        expected = [dict(row._mapping) for row in await session.execute(text(query))]
    assert orjson.loads(answer) == expected
    assert "identity.users" in await asyncio.to_thread(ask, analytics.settings, query, as_json=False)
    with pytest.raises(NotAnswered, match="nobody"):
        await asyncio.to_thread(ask, analytics.settings, "SELECT nobody FROM event_log", as_json=False)
    held = (await asyncio.to_thread(status, analytics.settings))["event_log"]
    assert held["rows"] == sum(row["events"] for row in expected)


STEPS = ("lake.after_read", "lake.before_commit", "lake.after_commit")


@pytest.mark.parametrize("point", [*STEPS, *(f"lake.file_written@{n}" for n in (1, 14, 18))])
async def test_a_writer_that_fails_at_a_step_writes_each_event_once(
    analytics: Harness, story: Story, lake: Lake, point: str
):
    busy(story, 3)
    await story.tell()
    await bring(analytics, 20)
    busy(story, 2)
    await story.tell()
    name, _, number = point.partition("@")
    arm(f"{name}=raise@{number or 2}")
    with pytest.raises(InjectedFault):
        await bring(analytics, 20)
    arm("")
    await bring(analytics, 20)
    assert lake_of(lake) == await log_of(analytics)
    _, gone = await asyncio.to_thread(tidy, lake, LOG, datetime.now(UTC) + timedelta(minutes=1))
    assert lake_of(lake) == await log_of(analytics)
    assert gone


KILLED = """
import asyncio
from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue, TaskRun
from libs.common.runtime.failpoints import arm
from services.analytics.lake.tasks import bring_on
from services.analytics.settings import Settings
settings = Settings.model_validate_json({settings!r})
arm({point!r})
asyncio.run(bring_on(TaskRun(Database(settings, CeleryQueue(settings))), settings))
"""


async def test_a_writer_that_is_killed_writes_each_event_once(analytics: Harness, story: Story, lake: Lake):
    busy(story)
    await story.tell()
    kept = analytics.settings.model_copy(update={"lake_batch": 60})
    secret = {"database_url": kept.database_url.get_secret_value(), "secret": kept.secret.get_secret_value()}
    settings = orjson.dumps(kept.model_dump(mode="json") | secret).decode()
    for point in ("lake.file_written=kill@17", "lake.before_commit=kill@2", "lake.after_commit=kill@2"):
        code = KILLED.format(settings=settings, point=point)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=dict(os.environ))
        assert await process.wait() == -signal.SIGKILL
        held = lake_of(lake) if lake.names() else []
        assert held == (await log_of(analytics))[: len(held)]
    await bring(analytics)
    assert lake_of(lake) == await log_of(analytics)


async def test_two_writers_at_once_write_each_event_once(analytics: Harness, story: Story, lake: Lake):
    busy(story)
    await story.tell()
    await bring(analytics)
    busy(story)
    await story.tell()
    results = await asyncio.gather(*(bring(analytics, 30) for _ in range(2)), return_exceptions=True)
    assert {type(each) for each in results} & {int, CommitFailedException, RuntimeError}
    await bring(analytics)
    assert lake_of(lake) == await log_of(analytics)


async def test_small_files_are_put_together(analytics: Harness, story: Story, lake: Lake):
    for _ in range(FEWEST_TO_COMPACT + 1):
        busy(story, 1)
        await story.tell()
        await bring(analytics)
    sizes = len(files_of(lake.log()))
    assert await asyncio.to_thread(compact, lake) == 0  # `bring` has done it
    assert sizes < 3 * len({str(file.partition) for file in files_of(lake.log())})
    assert lake_of(lake) == await log_of(analytics)


def said(lake: Lake) -> str:
    """Everything that any file of the lake says: rows, and what Avro's blocks and Parquet's footers hold."""
    parts = []
    for path in paths(lake):
        data = bytes(obstore.get(lake.store, path).bytes())
        parts.append(data)
        if path.endswith(".parquet"):
            file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
            parts += [str(file.read().to_pylist()).encode(), str(file.metadata.to_dict()).encode()]
        elif path.endswith(".avro"):
            parts += [each for block in data.split(data[-16:]) for each in _inflated(block)]
    return b" ".join(parts).decode(errors="replace").lower()


def _inflated(block: bytes) -> Iterator[bytes]:
    """Avro: a block is two numbers of one to five bytes, then what is deflated."""
    for begin in range(2, 9):
        try:
            yield zlib.decompress(block[begin:], -15)
            return
        except zlib.error:
            continue


async def test_nothing_of_somebody_erased_is_in_any_file(analytics: Harness, story: Story, lake: Lake):
    ada = uuid4()
    story.user(ada, zone="Africa/Cairo")
    busy(story, 2)
    await story.tell()
    await bring(analytics)
    await write_views(analytics.db, lake)
    assert "africa/cairo" in said(lake)
    assert "identity.users" in said(lake)
    await erase(analytics, ada)
    assert await scalar(analytics, "SELECT count(*) FROM lake_erasures") == 0
    assert "africa/cairo" not in said(lake)
    assert str(ada) in said(lake)
    await bring(analytics)
    assert lake_of(lake) == await log_of(analytics)


@pytest.mark.parametrize(
    "point", ["lake.before_commit", "lake.erased", "lake.after_expiry", "lake.file_deleted"]
)
async def test_an_erasure_that_is_broken_off_is_done_by_the_next_run(
    analytics: Harness, story: Story, lake: Lake, point: str
):
    ada = uuid4()
    story.user(ada, zone="Africa/Cairo")
    await story.tell()
    await bring(analytics)
    arm(f"{point}=raise@1")
    with pytest.raises(InjectedFault):
        await erase(analytics, ada)
    arm("")
    await bring(analytics)
    assert "africa/cairo" not in said(lake)
    assert lake_of(lake) == await log_of(analytics)


LATER = timedelta(days=100)


async def with_months(analytics: Harness, story: Story) -> None:
    """A log with partitions of this month and the two before."""
    async with analytics.db.session() as session:
        for number in range(-3, 1):
            await make_partition(session, story.now, number)
    for days in (70, 35, 0):
        told = Story(analytics, story.now - timedelta(days=days))
        busy(told, 4)
        await told.tell()


async def partitions(analytics: Harness) -> int:
    return int(
        await scalar(
            analytics, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'analytics.event_log'::regclass"
        )
    )


async def test_an_old_month_is_let_go_and_a_rebuild_reads_it_from_the_lake(
    analytics: Harness, story: Story, lake: Lake
):
    await with_months(analytics, story)
    events = await log_of(analytics)
    today = story.now.date()
    assert await let_go(analytics.db, lake, 1, today) == []  # the lake has nothing yet
    await bring(analytics, 500)
    before = await partitions(analytics)
    gone = await let_go(analytics.db, lake, 1, today)
    assert gone
    assert max(gone) < first_kept(today, 1)
    assert await partitions(analytics) < before
    assert len(await log_of(analytics)) < len(events)
    late = Story(analytics, story.now - timedelta(days=70))
    busy(late, 2)
    await late.tell()
    assert (await rebuild(analytics.db, batch=37)).differing == []
    await bring(analytics)
    result = await rebuild(analytics.db, batch=10_000)
    assert result.differing == []
    assert result.events == len(lake_of(lake))
    archive = await open_archive(analytics.db)
    assert by_position(await archive.rows(0, 10**9), await log_of(analytics)) == lake_of(lake)


async def test_a_month_that_differs_stays(analytics: Harness, story: Story, lake: Lake):
    await with_months(analytics, story)
    await bring(analytics, 500)
    async with analytics.db.session() as session:
        await session.execute(
            text("UPDATE event_log SET payload = payload || '{\"x\": 1}' WHERE payload IS NOT NULL")
        )
    before = await partitions(analytics)
    gone = await let_go(analytics.db, lake, 1, story.now.date())
    assert await scalar(analytics, "SELECT count(*) FROM lake_months") == 0
    assert before - await partitions(analytics) == len(gone)  # empty ones


async def test_a_lost_log_of_kafka_is_told_again_with_the_months_of_the_lake(
    analytics: Harness, story: Story, lake: Lake, monkeypatch: pytest.MonkeyPatch
):
    await with_months(analytics, story)
    facts = [row[2] for row in await log_of(analytics) if row[3] in republish.LOGS]
    await bring(analytics, 500)
    await let_go(analytics.db, lake, 1, story.now.date())
    monkeypatch.setattr(republish, "BATCH", 7)
    told = [rows async for rows in republish._logged(analytics.db)]
    assert [str(row.id) for rows in told for row in rows] == facts


@pytest.mark.parametrize("point", ["lake.month_compared", "lake.month_detached"])
async def test_letting_go_is_all_or_nothing(analytics: Harness, story: Story, lake: Lake, point: str):
    await with_months(analytics, story)
    await bring(analytics, 500)
    events = await log_of(analytics)
    arm(f"{point}=raise")
    with pytest.raises(InjectedFault):
        await let_go(analytics.db, lake, 1, story.now.date())
    arm("")
    assert await log_of(analytics) == events
    assert await let_go(analytics.db, lake, 1, story.now.date())
    assert (await rebuild(analytics.db, batch=100)).differing == []


async def test_somebody_is_erased_in_months_that_only_the_lake_has(
    analytics: Harness, story: Story, lake: Lake
):
    ada = uuid4()
    async with analytics.db.session() as session:
        await make_partition(session, story.now, -3)
    old = Story(analytics, story.now - timedelta(days=80))
    async with analytics.db.session() as session:
        await make_partition(session, old.now, 0)
    old.add(user_state(ada, "A", "student", time_zone="Africa/Cairo"))
    await old.tell()
    await bring(analytics)
    await let_go(analytics.db, lake, 1, story.now.date())
    assert await scalar(analytics, "SELECT count(*) FROM lake_months") == 1
    await erase(analytics, ada)
    assert "africa/cairo" not in said(lake)
    assert (await rebuild(analytics.db, batch=100)).differing == []


async def test_the_lake_follows_a_log_that_was_restored(analytics: Harness, story: Story, lake: Lake):
    await with_months(analytics, story)
    await bring(analytics, 500)
    await let_go(analytics.db, lake, 1, story.now.date())
    last = await scalar(analytics, "SELECT max(position) FROM event_log")
    async with analytics.db.session() as session:
        await session.execute(text("DELETE FROM event_log WHERE position > :p"), {"p": last - 5})
        await session.execute(text("UPDATE live_projection SET position = :p"), {"p": last - 5})
        await session.execute(
            text("SELECT setval(pg_get_serial_sequence('event_log', 'position'), :p)"), {"p": last - 5}
        )
    busy(story, 3)
    await story.tell()
    await bring(analytics)
    archive = await open_archive(analytics.db)
    assert lake_of(lake) == by_position(await archive.rows(0, last), await log_of(analytics))


async def test_a_catalog_from_before_deleted_files_takes_the_newest(
    analytics: Harness, story: Story, lake: Lake
):
    busy(story, 2)
    await story.tell()
    await bring(analytics)
    before = await scalar(analytics, "SELECT metadata_location FROM iceberg_tables")
    busy(story, 2)
    await story.tell()
    await bring(analytics)
    await asyncio.to_thread(tidy, lake, LOG, story.now + LATER, now=True)
    async with analytics.db.session() as session:
        await session.execute(text("UPDATE iceberg_tables SET metadata_location = :m"), {"m": before})
    assert lake_of(lake) == await log_of(analytics)


async def test_a_lake_whose_files_are_lost_begins_anew_unless_it_had_months_alone(
    analytics: Harness, story: Story, lake: Lake
):
    await with_months(analytics, story)
    await bring(analytics, 500)
    _empty(lake)
    await bring(analytics, 500)
    assert lake_of(lake) == await log_of(analytics)
    await let_go(analytics.db, lake, 1, story.now.date())
    _empty(lake)
    with pytest.raises(LakeLost):
        await bring(analytics)


async def test_somebody_is_erased_in_a_lake_that_is_switched_off(
    analytics: Harness, story: Story, lake: Lake, monkeypatch: pytest.MonkeyPatch
):
    ada, grace = uuid4(), uuid4()
    monkeypatch.setattr(analytics.settings, "lake", False)
    story.user(ada, zone="Africa/Cairo")
    await story.tell()
    await erase(analytics, ada)
    assert await scalar(analytics, "SELECT count(*) FROM lake_erasures") == 0
    assert not paths(lake)
    story.user(grace, zone="Africa/Tunis")
    await story.tell()
    await bring(analytics)
    await erase(analytics, grace)
    assert "africa/tunis" not in said(lake)


async def test_views_are_as_they_were_at_one_moment(analytics: Harness, story: Story, lake: Lake):
    busy(story)
    await story.tell()
    counts = await write_views(analytics.db, lake)
    assert counts["enrollments"] == await scalar(analytics, "SELECT count(*) FROM projection_1.enrollments")
    busy(story, 2)
    await story.tell()
    with reader(lake) as duck:
        assert duck.sql("SELECT count(*) FROM enrollments").fetchall() == [(counts["enrollments"],)]
    counts = await write_views(analytics.db, lake)
    with reader(lake) as duck:
        found = duck.sql("SELECT sum(seconds) FROM study").fetchall()
    assert found == [(await scalar(analytics, "SELECT sum(seconds)::bigint FROM projection_1.study"),)]


async def test_a_lake_on_s3_is_written_and_read(analytics: Harness, story: Story, s3: str):
    busy(story, 2)
    await story.tell()
    settings = analytics.settings.model_copy(update={"storage_url": f"{s3}/{uuid4()}"})
    with open_lake(settings) as lake:
        await bring_on(TaskRun(analytics.db), settings)
        assert lake_of(lake) == await log_of(analytics)
        await asyncio.to_thread(tidy, lake, LOG, story.now + LATER)
        assert lake_of(lake) == await log_of(analytics)

"""The read models are a fold of the log: rebuilt equals live, twice is once, nothing personal is kept."""

import asyncio
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import orjson
from sqlalchemy import text

import libs.common.events
from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Record
from libs.common.events import EVENTS
from libs.common.events.topics import TOPICS
from libs.common.testing.harness import Harness, as_record
from services.analytics.aggregates import AGGREGATES, DERIVED
from services.analytics.event_log import without_personal
from services.analytics.projection import digest, keep_live, use_live, widen
from services.analytics.read_models import TABLES
from services.analytics.rebuild import RebuildRunning, rebuild
from services.analytics.tasks import make_partition
from services.analytics.tests.conftest import Story, scalar
from services.analytics.worker import SUBSCRIPTION

GOLDENS = Path(libs.common.events.__file__).parent / "goldens"


async def live_digest(analytics: Harness) -> dict[str, str]:
    async with analytics.db.session() as session:
        return await digest(session, await use_live(session))


def busy(story: Story, learners: int = 6) -> None:
    teacher = uuid4()
    courses = [uuid4() for _ in range(3)]
    outlines = {course: story.course(course, teacher) for course in courses}
    for number in range(learners):
        student = uuid4()
        story.user(student)
        for course in courses:
            enrollment = story.enrol(student, course, days_ago=number)
            for count in range(1, number % 5):
                story.lesson(enrollment, student, course, outlines[course][:count], 4, days_ago=number)
            story.study(student, course, 60 * number + 60, days_ago=number)
            story.study(student, course, 30, days_ago=number)
            story.quiz(student, course, 10 * number)
        story.discussion(student, courses[0])
        story.ticket(student)


async def test_rebuilt_equals_live_and_takes_over(analytics: Harness, story: Story):
    busy(story)
    await story.tell()
    before = await live_digest(analytics)
    result = await rebuild(analytics.db, batch=7)
    assert result.differing == []
    assert result.events == await scalar(analytics, "SELECT count(*) FROM event_log")
    assert await live_digest(analytics) == before
    assert await scalar(analytics, "SELECT number FROM live_projection") == 2
    busy(story, 2)
    await story.tell()
    assert (await rebuild(analytics.db, batch=1000)).differing == []


async def test_a_rebuild_beside_new_events_loses_none(analytics: Harness, story: Story):
    busy(story)
    await story.tell()
    others = []
    for _ in range(6):
        other = Story(analytics, story.now)
        busy(other, 2)
        others.append(other)
    result, *_ = await asyncio.gather(rebuild(analytics.db, batch=5), *(other.tell() for other in others))
    assert result.differing == []
    assert (await rebuild(analytics.db, batch=500)).differing == []


async def test_two_rebuilds_at_once_are_one(analytics: Harness, story: Story):
    busy(story)
    await story.tell()
    results = await asyncio.gather(
        *(rebuild(analytics.db, batch=5) for _ in range(2)), return_exceptions=True
    )
    assert [type(result) for result in results].count(RebuildRunning) == 1
    assert await scalar(analytics, "SELECT number FROM live_projection") == 2
    assert (await rebuild(analytics.db, batch=500)).differing == []


async def test_what_an_older_release_folded_is_folded_anew_when_it_is_gone(analytics: Harness, story: Story):
    busy(story)
    await story.tell()
    whole = await live_digest(analytics)
    async with analytics.db.session() as session:
        await use_live(session)
        await session.execute(text("UPDATE live_projection SET version = version - 1, since = now()"))
        await session.execute(text("DELETE FROM course_days"))
    assert await live_digest(analytics) != whole
    await analytics.run_task("analytics.fold_anew")
    assert await scalar(analytics, "SELECT number FROM live_projection") == 1
    async with analytics.db.session() as session:
        await session.execute(text("UPDATE live_projection SET since = now() - interval '1 hour'"))
    for _ in range(2):
        await analytics.run_task("analytics.fold_anew")
        assert await scalar(analytics, "SELECT number FROM live_projection") == 2
    assert await live_digest(analytics) == whole


async def test_the_live_projection_of_an_older_release_gets_what_this_one_keeps(
    analytics: Harness, story: Story
):
    busy(story)
    await story.tell()
    whole = await live_digest(analytics)
    async with analytics.db.session() as session:
        await use_live(session)
        for name in [a.name for a in AGGREGATES if not a.table] + [str(d.table.name) for d in DERIVED]:
            await session.execute(text(f"DROP TABLE {name}"))
        await session.execute(text("DROP TABLE lesson_visits CASCADE"))
        await session.execute(text("ALTER TABLE attempts DROP COLUMN seconds_taken"))
        await session.execute(text("DROP FUNCTION keep_lesson_completions_insert CASCADE"))
    async with analytics.db.engine.begin() as connection:
        await connection.run_sync(widen)
    async with analytics.db.engine.begin() as connection:
        await connection.run_sync(keep_live)
    missing = {"lesson_visits", "lesson_reach", "attempts"}
    kept = await live_digest(analytics)
    assert {name for name in whole if kept[name] != whole[name]} == missing
    assert (await rebuild(analytics.db, batch=100, swap_differing=True)).rebuilt == whole


async def test_a_handler_that_is_no_fold_is_found_and_not_swapped_in(analytics: Harness, story: Story):
    busy(story, 3)
    await story.tell()
    async with analytics.db.session() as session:
        await use_live(session)
        await session.execute(text("UPDATE study SET seconds = seconds + 1"))
    result = await rebuild(analytics.db, batch=100)
    assert result.differing == ["study", "learners", "course_study", "platform_study"]
    assert await scalar(analytics, "SELECT number FROM live_projection") == 1


async def test_every_event_delivered_three_times_changes_nothing(analytics: Harness, story: Story):
    busy(story)
    records = list(story.records)
    await story.tell()
    before = await live_digest(analytics)
    for _ in range(2):
        await apply_batch(analytics.db, SUBSCRIPTION, records)
    assert await live_digest(analytics) == before
    assert await scalar(analytics, "SELECT count(*) FROM event_log") == len(records)


async def test_one_by_one_and_in_batches_is_the_same(analytics: Harness, story: Story):
    busy(story, 4)
    records = list(story.records)
    for record in records:
        await apply_batch(analytics.db, SUBSCRIPTION, [record])
    single = await live_digest(analytics)
    await analytics.reset()
    await story.tell()
    assert await live_digest(analytics) == single


async def test_every_golden_of_every_type_is_applied_twice_with_one_effect(analytics: Harness):
    for _ in range(2):
        for kind, cls in EVENTS.items():
            event = cls.model_validate_json((GOLDENS / f"{kind}.json").read_bytes())
            record = as_record(event, 1, key=event.key)
            # One key a type: goldens of different types may speak of the same aggregate.
            outcome = await apply_batch(analytics.db, SUBSCRIPTION, [record])
            assert outcome.parked == 0, kind
    letters = await scalar(analytics, "SELECT count(*) FROM dead_letter")
    assert letters == 0


async def test_nothing_personal_stays_in_the_log_or_the_read_models(analytics: Harness, story: Story):
    person = analytics.person()
    story.user(person)
    await story.tell()
    log = await scalar(analytics, "SELECT string_agg(payload::text, ' ') FROM event_log")
    assert "anary" not in log
    assert "secret@" not in log


def test_the_title_of_a_discussion_which_people_may_delete_is_not_kept_in_the_log():
    state = (GOLDENS / "forum.discussion.v1.json").read_bytes()
    assert orjson.loads(without_personal("forum.discussion.v1", state) or "")["title"] == ""


async def test_an_erased_user_is_gone_from_the_read_models(analytics: Harness, story: Story):
    person = analytics.person()
    story.user(person)
    await story.tell()
    story.user(person)
    last = story.records.pop()
    gone = Record(last.topic, last.key, None, last.headers)
    await apply_batch(analytics.db, SUBSCRIPTION, [gone])
    async with analytics.db.session() as session:
        await use_live(session)
        assert await session.scalar(text("SELECT count(*) FROM users")) == 0
    assert (await rebuild(analytics.db, batch=10)).differing == []


async def test_the_log_is_partitioned_by_month_ahead(analytics: Harness, story: Story):
    for _ in range(2):
        await analytics.run_task("analytics.make_partitions")
    names = "SELECT count(*) FROM pg_tables WHERE schemaname = 'analytics' AND tablename LIKE 'event_log_2%'"
    assert await scalar(analytics, names) >= 5
    busy(story, 2)
    await story.tell()
    assert await scalar(analytics, "SELECT count(*) FROM event_log_default") == 0
    async with analytics.db.session() as session:
        await make_partition(session, story.now, 0)


def test_analytics_reads_every_topic_there_is():
    assert set(SUBSCRIPTION.topics) == {topic.name for topic in TOPICS}
    assert {table.name for table in TABLES.sorted_tables} >= {"users", "courses", "enrollments"}


async def test_the_migration_takes_ratings_out_of_the_log(analytics: Harness, story: Story):
    course = uuid4()
    story.course(course, uuid4(), average_rating=2.0, reviews_count=1)
    story.course(course, uuid4(), average_rating=4.5, reviews_count=2)
    await story.tell()
    migration = import_module("services.analytics.migrations.0003_ratings_of_courses")
    async with analytics.db.session() as session:
        await use_live(session)
        # What later releases have put upon it goes first, as their own migrations would see to.
        views = await session.scalars(
            text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'analytics_views%'")
        )
        for name in views.all():
            await session.execute(text(f"DROP SCHEMA {name} CASCADE"))
        await session.execute(text(migration.DOWNGRADE))
        await session.execute(text(migration.UPGRADE))
        row = (await session.execute(text("SELECT average_rating, reviews_count FROM courses"))).one()
        assert tuple(row) == (4.5, 2)

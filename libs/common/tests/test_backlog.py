"""What waits, as an operator sees it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from prometheus_client import REGISTRY
from sqlalchemy import text

from libs.common.bus.backlog import Backlog
from libs.common.bus.consumer import EndTimes, Standing
from libs.common.bus.inbox import apply_batch
from libs.common.data.outbox import record
from libs.common.runtime import metrics
from libs.common.testing.harness import Harness, as_record
from libs.common.tests import toy
from libs.common.tests.toy import Counted

FIRST, SECOND = TopicPartition("toy.events", 0), TopicPartition("toy.events", 1)


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"lectern_{name}", labels)


async def test_the_age_of_the_outbox_rises_while_nobody_relays(toy_service: Harness):
    backlog = Backlog(toy_service.db, "toy", {})
    await backlog.look()
    assert (sample("outbox_oldest_seconds"), sample("outbox_pending")) == (0, 0)
    async with toy_service.db.session() as session:
        for _ in range(3):
            record(session, Counted(counter=uuid4(), value=1), 1)
    async with toy_service.db.session() as session:
        await session.execute(text("UPDATE outbox SET occurred_at = now() - interval '90 seconds'"))
    await backlog.look()
    assert sample("outbox_oldest_seconds") == pytest.approx(90, abs=5)
    assert sample("outbox_pending") == 3


async def test_parked_keys_and_dead_letters_are_counted(toy_service: Harness):
    backlog = Backlog(toy_service.db, "toy", {})
    uuid = uuid4()
    early = [as_record(Counted(counter=uuid, value=seq), seq) for seq in (2, 3)]
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, early)
    await backlog.look()
    assert (sample("parked_keys", consumer="toy"), sample("dead_letters")) == (1, 2)
    first = as_record(Counted(counter=uuid, value=1), 1)
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [first])
    await backlog.look()
    assert (sample("parked_keys", consumer="toy"), sample("dead_letters")) == (0, 0)


async def test_the_oldest_job_is_told_by_its_own_statement(toy_service: Harness):
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    jobs = {"toy.wait": f"SELECT CAST('{hour_ago.isoformat()}' AS timestamptz)", "toy.rest": "SELECT NULL"}
    await Backlog(toy_service.db, "toy", jobs).look()
    assert sample("job_oldest_seconds", task="toy.wait") == pytest.approx(3600, abs=5)
    assert sample("job_oldest_seconds", task="toy.rest") == 0


async def test_connections_of_a_pool_are_counted_while_they_are_taken(toy_service: Harness):
    size = toy_service.settings.database_pool
    before = sample("database_connections", schema="toy") or 0
    async with toy_service.db.session() as session:
        await session.execute(text("SELECT 1"))
        assert sample("database_connections", schema="toy") == before + 1
    assert sample("database_connections", schema="toy") == before
    assert (sample("database_connections_most", schema="toy") or 0) >= size


def test_lag_in_seconds_counts_from_when_an_unread_event_was_first_there():
    ends = EndTimes()
    assert ends.waiting({FIRST: Standing(5, 5)}, now=0) == 0
    assert ends.waiting({FIRST: Standing(5, 7)}, now=2) == 0
    assert ends.waiting({FIRST: Standing(5, 9)}, now=4) == 2
    # Events up to 7 are applied: the oldest that waits came between the looks at 2 and 4.
    assert ends.waiting({FIRST: Standing(7, 9)}, now=6) == 2
    assert ends.waiting({FIRST: Standing(9, 9)}, now=8) == 0


def test_the_partition_that_waits_longest_counts_and_foreign_ones_do_not():
    ends = EndTimes()
    ends.waiting({FIRST: Standing(0, 1), SECOND: Standing(3, 3)}, now=0)
    assert ends.waiting({FIRST: Standing(0, 1), SECOND: Standing(3, 4)}, now=5) == 5
    assert ends.waiting({FIRST: Standing(0, 1, assigned=False), SECOND: Standing(3, 4)}, now=6) <= 6
    assert ends.waiting({SECOND: Standing(3, 4)}, now=7) == 2
    assert ends.waiting({SECOND: Standing(None, 4)}, now=9) == 0


def test_no_two_metrics_have_one_name_and_each_says_what_it_is():
    families = list(metrics.declared())
    assert len({family.name for family in families}) == len(families)
    assert all(len(family.documentation) > 20 for family in families)

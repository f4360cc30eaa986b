"""A redrive applies what waits for a key in order, as far as nothing is missing, or changes nothing."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.common.bus.deadletters import parked_keys
from libs.common.bus.inbox import apply_batch, replay
from libs.common.bus.received import Outcome, Record
from libs.common.testing.harness import Harness, as_record
from libs.common.tests import toy
from libs.common.tests.test_inbox import letters, progress, records, redrive, seen
from libs.common.tests.toy import CounterState


async def apply(harness: Harness, *batch: Record) -> Outcome:
    return await apply_batch(harness.db, toy.SUBSCRIPTION, batch)


async def resolved(harness: Harness, uuid: UUID) -> list[int]:
    """Numbers of the key's dead letters that wait no longer."""
    async with harness.db.sessions() as session:
        found = await session.scalars(
            text("SELECT seq FROM dead_letter WHERE key = :k AND resolved_at IS NOT NULL ORDER BY seq"),
            {"k": str(uuid)},
        )
        return list(found)


async def test_a_redrive_stops_before_a_missing_event(toy_service: Harness):
    toy.Switch.poisoned = True
    uuid = uuid4()
    first, poison, third, missing, fifth, sixth = records(uuid, 1, 13, 3, 4, 5, 6)
    await apply(toy_service, first, poison, third, fifth, sixth)
    assert await letters(toy_service) == ["error", "behind", "behind", "behind"]
    toy.Switch.poisoned = False
    for _ in range(2):  # the second finds nothing that it may apply
        await redrive(toy_service, uuid)
        assert await seen(toy_service, uuid) == [1, 13, 3]
        assert await progress(toy_service, uuid) == (3, "gap")
        assert await resolved(toy_service, uuid) == [2, 3]
    await apply(toy_service, missing)
    assert await seen(toy_service, uuid) == [1, 13, 3, 4, 5, 6]
    assert await progress(toy_service, uuid) == (6, None)
    assert await letters(toy_service) == []


async def test_a_redrive_of_a_gap_applies_nothing_while_the_event_is_missing(toy_service: Harness):
    uuid = uuid4()
    first, _, third, fourth = records(uuid, 1, 2, 3, 4)
    await apply(toy_service, first, third, fourth)
    await redrive(toy_service, uuid)
    assert await seen(toy_service, uuid) == [1]
    assert await progress(toy_service, uuid) == (1, "gap")
    assert await resolved(toy_service, uuid) == []


async def test_a_second_gap_holds_what_is_behind_it(toy_service: Harness):
    uuid = uuid4()
    first, second, third, fourth, fifth, sixth = records(uuid, 1, 2, 3, 4, 5, 6)
    await apply(toy_service, first, third, fifth, sixth)
    await apply(toy_service, second)
    assert await seen(toy_service, uuid) == [1, 2, 3]
    assert await progress(toy_service, uuid) == (3, "gap")
    await apply(toy_service, fourth)
    assert await seen(toy_service, uuid) == [1, 2, 3, 4, 5, 6]
    assert await progress(toy_service, uuid) == (6, None)


async def test_a_redrive_that_fails_midway_changes_nothing(toy_service: Harness):
    toy.Switch.poisoned = True
    uuid = uuid4()
    await apply(toy_service, *records(uuid, 13, 2, 13, 4))
    toy.Switch.poisoned = toy.Switch.refused + 1  # once more, and the first of the two is mended
    with pytest.raises(toy.Poison):
        await redrive(toy_service, uuid)
    toy.Switch.poisoned = False
    assert await seen(toy_service, uuid) == []
    assert await progress(toy_service, uuid) == (0, "error")
    assert await resolved(toy_service, uuid) == []
    await redrive(toy_service, uuid)
    assert await seen(toy_service, uuid) == [13, 2, 13, 4]


async def test_a_redrive_applies_each_once_and_leaves_other_keys(toy_service: Harness):
    toy.Switch.poisoned = True
    uuid, other = uuid4(), uuid4()
    batch, theirs = records(uuid, 13, 2), records(other, 13)
    await apply(toy_service, *batch, *theirs)
    toy.Switch.poisoned = False
    await redrive(toy_service, uuid)
    await redrive(toy_service, uuid)
    outcome = await apply(toy_service, *batch)
    assert (outcome.applied, outcome.duplicates) == (0, 2)
    assert await seen(toy_service, uuid) == [13, 2]
    assert await seen(toy_service, other) == []
    assert await progress(toy_service, other) == (0, "error")
    async with toy_service.db.sessions() as session:
        [parked] = await parked_keys(session, "toy")
        assert (parked.key, parked.parked, parked.last_seq, parked.waiting) == (str(other), "error", 0, 1)
        assert parked.error == "Poison: thirteen"


async def test_a_redrive_says_what_it_applied_and_why(toy_service: Harness):
    toy.Switch.poisoned = True
    uuid = uuid4()
    await apply(toy_service, *records(uuid, 13, 2, 3))
    toy.Switch.poisoned = False
    async with toy_service.db.session() as session:
        outcome = await replay(session, toy.SUBSCRIPTION, "toy.events", str(uuid), "by a test")
    assert (outcome.applied, outcome.duplicates, outcome.parked) == (3, 0, 0)
    async with toy_service.db.sessions() as session:
        whys = await session.scalars(text("SELECT resolution FROM dead_letter"))
        assert list(whys) == ["by a test"] * 3


async def test_a_state_that_waits_is_applied_though_numbers_are_missing(toy_service: Harness):
    uuid = uuid4()
    bad = as_record(CounterState(uuid=uuid, value=1), 2)
    await apply(toy_service, Record(bad.topic, bad.key, b"{", bad.headers))
    await apply(toy_service, as_record(CounterState(uuid=uuid, value=5), 5))
    async with toy_service.db.session() as session:  # what an operator does who has the right bytes
        await session.execute(text("UPDATE dead_letter SET payload = :p WHERE seq = 2"), {"p": bad.value})
    async with toy_service.db.session() as session:
        await replay(session, toy.SUBSCRIPTION, "toy.counters", str(uuid), "by a test")
    assert await progress(toy_service, uuid, "toy.counters") == (5, None)
    async with toy_service.db.sessions() as session:
        assert await session.scalar(text("SELECT value FROM counter_copies")) == 5

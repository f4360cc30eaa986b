"""Applying events: once each, in order per key; what fails is parked with its key and healed by a redrive."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.inbox import RETRIES, apply_batch, lock_progress, replay, save_progress
from libs.common.bus.received import Received, Record, Subscription
from libs.common.testing.harness import Harness, as_record, eventually
from libs.common.tests import toy
from libs.common.tests.toy import Counted, CounterState, Renamed, events

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def records(uuid: UUID, *values: int) -> list[Record]:
    return [as_record(event, seq) for event, seq in events(uuid, *values)]


async def seen(harness: Harness, uuid: UUID) -> list[int]:
    async with harness.db.sessions() as session:
        found = await session.scalars(text("SELECT value FROM seen WHERE key = :k ORDER BY id"), {"k": uuid})
        return list(found)


async def progress(harness: Harness, uuid: UUID, topic: str = "toy.events") -> tuple[int, str | None]:
    async with harness.db.sessions() as session:
        row = await session.execute(
            text("SELECT last_seq, parked FROM key_progress WHERE topic = :t AND key = :k"),
            {"k": str(uuid), "t": topic},
        )
        last, parked = row.one()
        return last, parked


async def letters(harness: Harness) -> list[str]:
    async with harness.db.sessions() as session:
        return list(
            await session.scalars(
                text("SELECT reason FROM dead_letter WHERE resolved_at IS NULL ORDER BY key, seq")
            )
        )


async def redrive(harness: Harness, uuid: UUID) -> None:
    async with harness.db.session() as session:
        await replay(session, toy.SUBSCRIPTION, "toy.events", str(uuid), "by a test")


async def test_events_delivered_three_times_act_once(toy_service: Harness):
    uuid = uuid4()
    batch = records(uuid, 1, 2, 3)
    for _ in range(3):
        await apply_batch(toy_service.db, toy.SUBSCRIPTION, batch)
    assert await seen(toy_service, uuid) == [1, 2, 3]
    assert await progress(toy_service, uuid) == (3, None)


async def test_one_batch_may_hold_duplicates_and_several_keys(toy_service: Harness):
    first, second = uuid4(), uuid4()
    a, b = records(first, 1, 2), records(second, 5, 6)
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, [a[0], b[0], a[0], a[1], b[1], a[1]])
    assert (outcome.applied, outcome.duplicates) == (4, 2)
    assert await seen(toy_service, first) == [1, 2]
    assert await seen(toy_service, second) == [5, 6]


async def test_zombies_and_their_successors_apply_once(toy_service: Harness):
    keys = [uuid4() for _ in range(10)]
    batch = [record for uuid in keys for record in records(uuid, 1, 2, 3)]
    await asyncio.gather(*(apply_batch(toy_service.db, toy.SUBSCRIPTION, batch) for _ in range(5)))
    for uuid in keys:
        assert await seen(toy_service, uuid) == [1, 2, 3]


async def test_types_of_one_key_keep_their_order(toy_service: Harness):
    uuid = uuid4()
    story = [Counted(counter=uuid, value=1), Renamed(counter=uuid, name="x"), Counted(counter=uuid, value=2)]
    await apply_batch(
        toy_service.db, toy.SUBSCRIPTION, [as_record(event, seq) for seq, event in enumerate(story, 1)]
    )
    assert await seen(toy_service, uuid) == [1, 0, 2]


async def test_a_missing_event_holds_its_key_until_it_arrives(toy_service: Harness):
    uuid, other = uuid4(), uuid4()
    first, missing, third, fourth = records(uuid, 1, 2, 3, 4)
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [first, third, fourth, *records(other, 9)])
    assert await seen(toy_service, uuid) == [1]
    assert await seen(toy_service, other) == [9]
    assert await progress(toy_service, uuid) == (1, "gap")
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [missing])
    assert await seen(toy_service, uuid) == [1, 2, 3, 4]
    assert await progress(toy_service, uuid) == (4, None)
    assert await letters(toy_service) == []


async def test_a_poison_event_parks_its_key_and_a_redrive_heals_it(toy_service: Harness):
    toy.Switch.poisoned = True
    uuid, other = uuid4(), uuid4()
    batch = [*records(uuid, 1, 13, 3), *records(other, *range(20, 40))]
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, batch)
    assert (outcome.parked, outcome.failures) == (2, 1)
    assert await seen(toy_service, uuid) == [1]
    assert await seen(toy_service, other) == list(range(20, 40))
    assert await letters(toy_service) == ["error", "behind"]
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, batch)  # delivered again: nothing changes
    assert await letters(toy_service) == ["error", "behind"]
    with pytest.raises(toy.Poison):
        await redrive(toy_service, uuid)
    assert await progress(toy_service, uuid) == (1, "error")
    toy.Switch.poisoned = False
    await redrive(toy_service, uuid)
    assert await seen(toy_service, uuid) == [1, 13, 3]
    assert await progress(toy_service, uuid) == (3, None)
    assert await letters(toy_service) == []


async def test_a_handler_is_tried_again_before_its_event_is_parked(toy_service: Harness):
    """Whatever fails a few times only, as two who lock in opposite orders, parks nothing."""
    toy.Switch.poisoned = RETRIES - 1
    uuid = uuid4()
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(uuid, 13))
    assert (outcome.applied, outcome.parked, outcome.failures) == (1, 0, 0)
    assert await seen(toy_service, uuid) == [13]
    assert await letters(toy_service) == []


async def test_an_event_is_parked_after_five_tries_and_not_tried_again(toy_service: Harness):
    toy.Switch.poisoned = True
    uuid = uuid4()
    bad = records(uuid, 13)
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, bad)
    assert (outcome.applied, outcome.parked, outcome.failures) == (0, 1, 1)
    assert toy.Switch.refused == RETRIES == 5
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, bad)
    assert (outcome.parked, outcome.failures, toy.Switch.refused) == (0, 0, RETRIES)


async def test_what_is_away_parks_nothing_whatever_it_costs(
    toy_service: Harness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(toy.Switch, "away", True)
    uuid = uuid4()
    for batch in (records(uuid, 1), records(uuid, 1, 2)):
        with pytest.raises(ConnectionError):
            await apply_batch(toy_service.db, toy.SUBSCRIPTION, batch)
    assert await letters(toy_service) == []
    monkeypatch.setattr(toy.Switch, "away", False)
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(uuid, 1, 2))
    assert await seen(toy_service, uuid) == [1, 2]


async def test_an_event_of_another_key_than_its_message_is_parked(toy_service: Harness):
    """Otherwise it would be applied out of the order of its own key."""
    inside, outside, state = uuid4(), uuid4(), uuid4()
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(inside, 1))
    forged = [
        as_record(Counted(counter=inside, value=2), 1, key=str(outside)),
        as_record(Renamed(counter=inside, name="x"), 2, key=str(outside)),
        as_record(CounterState(uuid=inside, value=7), 1, key=str(state)),
    ]
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, [*forged, *records(inside, 1, 3)])
    assert (outcome.applied, outcome.parked, outcome.failures) == (1, 3, 2)
    assert await seen(toy_service, inside) == [1, 3]
    assert await seen(toy_service, outside) == []
    assert await progress(toy_service, outside) == (0, "error")
    assert await progress(toy_service, state, "toy.counters") == (0, "error")
    assert await progress(toy_service, inside) == (2, None)
    async with toy_service.db.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM counter_copies")) == 0
        errors = await session.scalars(
            text("SELECT error FROM dead_letter WHERE reason = 'error' ORDER BY id")
        )
        for error, key in zip(errors, (outside, state), strict=True):
            assert str(inside) in error
            assert str(key) in error


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"{", {}),
        (b"\xff", {}),
        (b'{"counter": "x"}', {}),
        (None, {}),
        (b"{}", {"ce_specversion": "2.0"}),
        (b"{}", {"ce_type": "toy.counted.v9"}),
        (b"{}", {"ce_type": "toy.counter.v1"}),
    ],
)
async def test_a_malformed_event_parks_and_never_stops_the_others(
    toy_service: Harness, value: bytes | None, headers: dict[str, str]
):
    uuid, other = uuid4(), uuid4()
    good = as_record(Counted(counter=uuid, value=1), 1)
    bad = Record(good.topic, good.key, value, good.headers | headers)
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [bad, *records(other, 1)])
    assert await letters(toy_service) == ["error"]
    assert await seen(toy_service, other) == [1]


@pytest.mark.parametrize("missing", ["ce_type", "ce_sequence", "ce_time", "ce_id"])
async def test_a_message_without_an_envelope_parks_no_key(toy_service: Harness, missing: str):
    uuid = uuid4()
    good = records(uuid, 1)[0]
    headers = {name: value for name, value in good.headers.items() if name != missing}
    bad = Record(good.topic, good.key, good.value, headers, partition=0, offset=7)
    for _ in range(2):
        await apply_batch(toy_service.db, toy.SUBSCRIPTION, [bad, good])
    assert await letters(toy_service) == ["malformed"]
    assert await seen(toy_service, uuid) == [1]


async def test_unknown_types_only_move_the_progress(toy_service: Harness):
    uuid = uuid4()
    first, second, third = records(uuid, 1, 2, 3)
    unknown = Record(second.topic, second.key, b"{}", second.headers | {"ce_type": "toy.painted.v1"})
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [first, unknown, third])
    assert await seen(toy_service, uuid) == [1, 3]


async def test_states_may_skip_numbers_and_tombstones_delete(toy_service: Harness):
    uuid = uuid4()
    state = [as_record(CounterState(uuid=uuid, value=value), value) for value in (1, 2, 5)]
    other = as_record(CounterState(uuid=uuid4(), value=9), 1)
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [state[0], state[1], other])
    async with toy_service.db.sessions() as session:
        assert set(await session.scalars(text("SELECT value FROM counter_copies"))) == {2, 9}
        await session.execute(text("DELETE FROM counter_copies WHERE value = 9"))
        await session.commit()
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [state[2], state[1]])
    async with toy_service.db.sessions() as session:
        assert await session.scalar(text("SELECT value FROM counter_copies")) == 5
    gone = as_record(CounterState(uuid=uuid, value=0), 6)
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [Record(gone.topic, gone.key, None, gone.headers)])
    async with toy_service.db.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM counter_copies")) == 0
    assert await progress(toy_service, uuid, "toy.counters") == (6, None)


async def test_who_was_not_the_first_to_see_a_key_waits_for_who_was(toy_service: Harness):
    """Both find no progress and make it; the second gets what the first has left."""
    place = ("toy.events", str(uuid4()))
    mine = ("toy.events", str(uuid4()))

    async def waits() -> bool:
        async with toy_service.db.sessions() as other:
            return bool(await other.scalar(text(WAITING)))

    async def second() -> dict[tuple[str, str], tuple[int, str | None]]:
        async with toy_service.db.session() as session:
            return await lock_progress(session, "toy", {place, mine})

    async with toy_service.db.session() as session:
        assert await lock_progress(session, "toy", {place}) == {place: (0, None)}
        await save_progress(session, "toy", {place: (7, "gap")})
        waiting = asyncio.ensure_future(second())
        await eventually(waits)
    assert await waiting == {place: (7, "gap"), mine: (0, None)}


async def test_who_observes_is_given_everything_in_the_same_transaction(toy_service: Harness):
    seen_types: list[str] = []

    async def observe(session: AsyncSession, batch: Sequence[Received[Any]]) -> None:
        await session.execute(text("INSERT INTO notes VALUES (gen_random_uuid(), 'observed')"))
        seen_types.extend(item.type for item in batch)

    uuid = uuid4()
    first, second = records(uuid, 1, 2)
    unknown = Record(second.topic, second.key, b"{}", second.headers | {"ce_type": "toy.painted.v1"})
    observing = Subscription("toy", toy.SUBSCRIPTION.handlers, observe)
    await apply_batch(toy_service.db, observing, [first, unknown])
    assert seen_types == ["toy.counted.v1", "toy.painted.v1"]
    async with toy_service.db.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM notes")) == 1

"""After a restore: what it has undone is dropped, and what happens from then on is told apart.

tests/resilience restores a whole suite.
"""

from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.bus.begin_epoch import Future
from libs.common.bus.consumer import Consumer
from libs.common.bus.epochs import Voids
from libs.common.bus.received import Record
from libs.common.bus.relay import Relay
from libs.common.testing.harness import Harness, eventually
from libs.common.tests import toy
from libs.common.tests.kafka import messages_of, pending, running, write


def record(seq: int | str, epoch: int | None = None, *, key: str = "k") -> Record:
    headers = {"ce_sequence": str(seq)}
    if epoch is not None:
        headers["ce_epoch"] = str(epoch)
    return Record("toy.events", key, b"{}", headers)


VOIDS = Voids([("toy.events", "k", 1, 3), ("toy.events", "k", 4, 5), ("toy.events", "other", 1, 0)])


@pytest.mark.parametrize(
    ("event", "undone"),
    [
        (record(3), False),
        (record(4), True),
        (record(9), True),
        (record(4, 1), False),
        (record(5, 3), False),
        (record(6, 3), True),  # the restore after that has undone it
        (record(6, 4), False),
        (record(1, key="other"), True),
        (record(1, key="third"), False),
        (record("none"), False),  # the inbox says what is wrong with it
        (record(4, key=""), False),
    ],
)
def test_events_beyond_the_moment_of_a_restore_did_not_happen(event: Record, undone: bool) -> None:
    assert VOIDS.undid(event) is undone


@pytest.mark.parametrize(
    ("event", "is_future"),
    [
        (record(3), False),
        (record(4), True),
        (record(1, key="new"), True),
        (record("none"), False),
    ],
)
def test_the_log_is_compared_with_what_the_databases_know(event: Record, is_future: bool) -> None:
    future = Future()
    future.look(event, {"toy.events": {"k": 3}})
    assert bool(future.tops) is is_future


def test_the_last_undone_event_and_the_highest_epoch_are_found() -> None:
    future = Future()
    for event in (record(5, 2), record(7, 2), record(6, 3), record(2, 9)):
        future.look(event, {"toy.events": {"k": 4}})
    assert (future.tops, future.events, future.epoch) == ({("toy.events", "k"): 7}, 3, 9)


async def test_consumers_drop_what_was_undone_and_follow_the_new_history(toy_service: Harness, prefix: str):
    uuid = uuid4()
    async with running(Relay(toy_service.settings)):
        await write(toy_service, [uuid], 5)
        await eventually(lambda: _empty(toy_service), 20)
    # The database goes back to the third event, as a restore would take it.
    async with toy_service.db.session() as session:
        await session.execute(text("UPDATE counters SET value = 3, version = 3"))
        await session.execute(text("INSERT INTO epochs (number, restored_to) VALUES (1, now())"))
        undone = "INSERT INTO void_events (topic, key, epoch, last_seq) VALUES (:topic, :key, 1, 3)"
        for topic in ("toy.events", "toy.counters"):
            await session.execute(text(undone), {"topic": topic, "key": str(uuid)})
    await write(toy_service, [uuid], 2)
    async with running(Relay(toy_service.settings), Consumer(toy_service.db, toy.SUBSCRIPTION)):
        await eventually(lambda: _empty(toy_service), 20)

        async def applied() -> bool:
            async with toy_service.db.sessions() as session:
                return await session.scalar(text("SELECT max(last_seq) FROM key_progress")) == 5

        await eventually(applied, 20)
    told = [dict(m.headers) for m in await messages_of(toy_service, prefix + "toy.events")]
    assert [(h["ce_sequence"], h.get("ce_epoch")) for h in told] == [
        *((str(seq).encode(), None) for seq in range(1, 6)),
        (b"4", b"1"),
        (b"5", b"1"),
    ]
    async with toy_service.db.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM dead_letter")) == 0
        applied_ids = await session.scalar(text("SELECT count(*) FROM seen"))
    assert applied_ids == 5


async def _empty(harness: Harness) -> bool:
    return await pending(harness) == 0

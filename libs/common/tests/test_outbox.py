"""An event is published if and only if the transaction commits in which it was recorded."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from libs.common.data.db import enqueue, publish_live
from libs.common.data.outbox import consistency_token, lane_of, outbox_row, record, record_tombstone
from libs.common.data.tables import LANES
from libs.common.runtime.trace import Trace
from libs.common.testing.harness import Harness
from libs.common.tests.toy import Counted, Counter, CounterState


def counted(uuid: UUID, value: int = 1) -> Counted:
    return Counted(counter=uuid, value=value)


async def test_a_session_that_was_rolled_back_publishes_nothing_of_it_with_what_follows(toy_service: Harness):
    lost, kept = uuid4(), uuid4()
    async with toy_service.db.sessions() as session:
        session.add(Counter(uuid=lost, version=1))
        record(session, counted(lost), 1)
        record_tombstone(session, CounterState, lost, 1)
        enqueue(session, "toy.note_counter", str(lost))
        publish_live(session, str(lost))
        await session.flush()
        await session.rollback()
        assert consistency_token(session) is None
        session.add(Counter(uuid=kept, version=1))
        record(session, counted(kept), 1)
        enqueue(session, "toy.note_counter", str(kept))
        await session.commit()
        assert consistency_token(session) == f"toy.events:{kept}:1"
        assert "live" not in session.info
        await toy_service.db.committed(session)
    assert await toy_service.published() == [("toy.counted.v1", str(kept), 1)]
    assert [arguments for _, arguments, _ in toy_service.queue.started] == [(str(kept),)]


async def test_a_session_that_was_rolled_back_before_its_first_statement_publishes_nothing(
    toy_service: Harness,
):
    lost, kept = uuid4(), uuid4()
    async with toy_service.db.sessions() as session:
        await session.execute(text("SELECT 1"))
        record(session, counted(lost), 1)
        await session.rollback()
        record(session, counted(kept), 1)
        await session.commit()
    assert await toy_service.published() == [("toy.counted.v1", str(kept), 1)]


async def test_a_commit_that_fails_publishes_nothing_with_the_next(toy_service: Harness):
    uuid, other = uuid4(), uuid4()
    async with toy_service.db.session() as session:
        session.add(Counter(uuid=uuid, version=1))
    async with toy_service.db.sessions() as session:
        session.add(Counter(uuid=uuid, version=1))
        record(session, counted(uuid), 2)
        with pytest.raises(IntegrityError):
            await session.commit()
        await session.rollback()
        record(session, counted(other), 1)
        await session.commit()
    assert await toy_service.published() == [("toy.counted.v1", str(other), 1)]


async def test_an_error_in_the_block_leaves_no_event_and_starts_no_task(toy_service: Harness):
    with pytest.raises(ZeroDivisionError):
        async with toy_service.db.session() as session:
            record(session, counted(uuid4()), 1)
            enqueue(session, "toy.note_counter", str(uuid4()))
            raise ZeroDivisionError
    assert await toy_service.published() == []
    assert toy_service.queue.started == []


async def test_each_commit_publishes_its_events_once_in_the_order_of_their_recording(toy_service: Harness):
    uuid = uuid4()
    async with toy_service.db.sessions() as session:
        record(session, counted(uuid), 1)
        record(session, CounterState(uuid=uuid, value=1), 1)
        await session.commit()
        await session.commit()
        record(session, counted(uuid, 2), 2)
        record_tombstone(session, CounterState, uuid, 2)
        await session.commit()
    assert await toy_service.published() == [
        ("toy.counted.v1", str(uuid), 1),
        ("toy.counter.v1", str(uuid), 1),
        ("toy.counted.v1", str(uuid), 2),
        ("toy.counter.v1", str(uuid), 2),
    ]
    async with toy_service.db.sessions() as session:
        empty = await session.scalars(text("SELECT type FROM outbox WHERE payload IS NULL"))
        assert list(empty) == ["toy.counter.v1"]


async def test_a_direct_transaction_publishes_with_its_commit_only(toy_service: Harness):
    lost, kept = uuid4(), uuid4()
    with pytest.raises(ZeroDivisionError):
        async with toy_service.db.direct() as direct:
            record(direct, counted(lost), 1)
            raise ZeroDivisionError
    async with toy_service.db.direct() as direct:
        record(direct, counted(kept), 1)
    assert await toy_service.published() == [("toy.counted.v1", str(kept), 1)]


async def test_what_is_recorded_carries_the_key_the_time_and_the_trace_given(toy_service: Harness):
    uuid = uuid4()
    trace = Trace("request-7", f"00-{'1' * 32}-{'2' * 16}-01")
    before = datetime.now(UTC)
    async with toy_service.db.session() as session:
        number = record(session, counted(uuid, 9), 3, trace=trace)
    async with toy_service.db.sessions() as session:
        row = (await session.execute(text("SELECT * FROM outbox"))).one()
    assert (row.id, row.topic, row.key, row.key_seq) == (number, "toy.events", str(uuid), 3)
    assert (row.type, row.headers, row.lane) == (
        "toy.counted.v1",
        trace.headers(),
        lane_of("toy.events", str(uuid)),
    )
    assert bytes(row.payload) == counted(uuid, 9).model_dump_json().encode()
    assert before <= row.occurred_at <= datetime.now(UTC)


async def test_a_tombstone_carries_the_trace_given(toy_service: Harness):
    trace = Trace("request-8", f"00-{'3' * 32}-{'4' * 16}-01")
    async with toy_service.db.session() as session:
        record_tombstone(session, CounterState, uuid4(), 4, trace=trace)
    async with toy_service.db.sessions() as session:
        assert await session.scalar(text("SELECT headers FROM outbox")) == trace.headers()


def test_a_row_may_be_given_its_time():
    at = datetime(2026, 3, 2, tzinfo=UTC)
    row = outbox_row("toy.events", "k", 1, "toy.counted.v1", None, Trace("r", ""), at)
    assert (row["occurred_at"], row["payload"], row["key_seq"]) == (at, None, 1)


def test_lanes_are_spread_and_never_move():
    """A lane that moved with a release would let a key's later event overtake its earlier one."""
    assert [lane_of("toy.events", key) for key in ("a", "b", "c")] == [30, 4, 18]
    assert lane_of("toy.events", "a") != lane_of("toy.counters", "a")
    assert {lane_of("toy.events", str(number)) for number in range(2_000)} == set(range(LANES))


async def test_a_token_names_the_newest_of_each_key_and_the_last_eight(toy_service: Harness):
    keys = [UUID(int=number) for number in range(10)]
    async with toy_service.db.sessions() as session:
        assert consistency_token(session) is None
        for uuid in keys:
            record(session, counted(uuid), 1)
        record(session, counted(keys[9]), 2)
        wanted = [f"toy.events:{uuid}:{2 if uuid == keys[9] else 1}" for uuid in keys]
        assert consistency_token(session) == ",".join(wanted[2:])
        assert consistency_token(session, {str(keys[0]), str(keys[9])}) == f"{wanted[0]},{wanted[9]}"
        assert consistency_token(session, set()) is None

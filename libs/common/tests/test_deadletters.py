"""What is kept of an event that could not be applied, and what is told of it."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.bus.inbox import apply_batch, replay
from libs.common.bus.received import Record, Subscription
from libs.common.runtime import failpoints
from libs.common.testing.harness import Harness
from libs.common.tests import toy
from libs.common.tests.test_inbox import letters, progress, records, redrive, seen
from libs.common.tests.toy import Counted


async def rows(harness: Harness) -> list[Any]:
    async with harness.db.sessions() as session:
        return list((await session.execute(text("SELECT * FROM dead_letter ORDER BY id"))).all())


def failing_with(*errors: Exception) -> Subscription:
    """Whose handler raises these in turn, and then works."""
    left = list(errors)

    async def handle(session: Any, batch: Any) -> None:
        if left:
            raise left.pop(0)
        await toy.on_counted(session, batch)

    return Subscription("toy", {Counted: handle})


async def test_a_dead_letter_holds_the_whole_message_and_the_error_that_parked_it(toy_service: Harness):
    toy.Switch.poisoned = True
    uuid = uuid4()
    bad, behind = (
        Record(r.topic, r.key, r.value, r.headers, partition=2, offset=40 + n)
        for n, r in enumerate(records(uuid, 13, 1))
    )
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [bad, behind])
    first, second = await rows(toy_service)
    for row, record, seq in ((first, bad, 1), (second, behind, 2)):
        assert (row.consumer, row.topic, row.partition, row.offset) == ("toy", "toy.events", 2, record.offset)
        assert (row.key, row.seq, row.type) == (str(uuid), seq, "toy.counted.v1")
        assert (row.headers, bytes(row.payload)) == (record.headers, record.value)
        assert row.resolved_at is None
    assert (first.reason, first.error) == ("error", "Poison: thirteen")
    assert (second.reason, second.error) == ("behind", None)
    unread = Record(bad.topic, bad.key, b"{", bad.headers | {"ce_sequence": "3"})
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [unread])
    third = (await rows(toy_service))[2]
    assert (third.reason, third.error) == ("behind", None)  # its own fault is found when its turn comes


async def test_an_error_is_kept_as_far_as_a_column_takes_it(toy_service: Harness):
    error = ValueError("a\0b" + "x" * 5000)
    await apply_batch(toy_service.db, failing_with(*[error] * 20), records(uuid4(), 1))
    [row] = await rows(toy_service)
    assert row.error == ("ValueError: ab" + "x" * 5000)[:3999]


async def test_messages_without_an_envelope_are_counted_beside_what_else_is_parked(toy_service: Harness):
    toy.Switch.poisoned = True
    lost = [Record("toy.events", "k", b"?", {"ce_type": "toy.counted.v1"}, 0, offset) for offset in (7, 8)]
    batch = [*lost, *records(uuid4(), 13, 1), *records(uuid4(), 13)]
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, batch)
    assert (outcome.applied, outcome.parked, outcome.failures) == (0, 5, 4)
    first, second = (await rows(toy_service))[:2]
    for row in (first, second):
        assert (row.key, row.seq, row.type, row.reason) == (None, None, "toy.counted.v1", "malformed")
        assert row.error == "MalformedEvent: envelope: KeyError('ce_sequence')"
    again = await apply_batch(toy_service.db, toy.SUBSCRIPTION, lost)
    assert (again.parked, again.failures) == (0, 2)


async def test_what_comes_too_early_is_told_from_what_waits_behind_it(toy_service: Harness):
    uuid, other = uuid4(), uuid4()
    first, second, third, fourth = records(uuid, 1, 2, 3, 4)
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, [first, third, fourth, *records(other, 5)])
    assert (outcome.applied, outcome.parked, outcome.failures) == (2, 2, 0)
    assert await letters(toy_service) == ["gap", "behind"]
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, [second])
    assert (outcome.applied, outcome.parked) == (3, 0)
    assert [row.resolution for row in await rows(toy_service)] == ["the missing event arrived"] * 2
    assert await seen(toy_service, uuid) == [1, 2, 3, 4]


async def test_a_redrive_gives_the_message_as_it_came(toy_service: Harness):
    given: list[Record] = []

    async def observe(_: Any, batch: Any) -> None:
        given.extend(item.record for item in batch)

    uuid = uuid4()
    [plain] = records(uuid, 1)
    record = Record(plain.topic, plain.key, plain.value, plain.headers, partition=1, offset=12)
    await apply_batch(toy_service.db, failing_with(*[toy.Poison("x")] * 20), [record])
    observing = Subscription("toy", {Counted: toy.on_counted}, observe)
    async with toy_service.db.session() as session:
        await replay(session, observing, "toy.events", str(uuid), "by a test")
    assert given == [record]


async def test_a_letter_that_was_applied_since_is_resolved_and_not_applied_again(toy_service: Harness):
    toy.Switch.poisoned = True
    uuid = uuid4()
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(uuid, 13, 2))
    async with toy_service.db.session() as session:  # as an operator does who has applied it by hand
        await session.execute(text("UPDATE key_progress SET last_seq = 1 WHERE key = :k"), {"k": str(uuid)})
    await redrive(toy_service, uuid)
    assert await seen(toy_service, uuid) == [2]
    assert await progress(toy_service, uuid) == (2, None)
    assert await letters(toy_service) == []


async def test_a_server_that_goes_away_between_two_tries_parks_nothing(toy_service: Harness):
    uuid = uuid4()
    flaky = failing_with(toy.Poison("once"), ConnectionError("away"))
    with pytest.raises(ConnectionError):
        await apply_batch(toy_service.db, flaky, records(uuid, 1))
    assert await rows(toy_service) == []
    outcome = await apply_batch(toy_service.db, flaky, records(uuid, 1))
    assert (outcome.applied, outcome.parked) == (1, 0)


@pytest.fixture
def faults() -> Any:
    yield failpoints.arm
    failpoints.arm("")


async def test_a_fault_before_the_commit_leaves_nothing_and_one_after_it_everything(
    toy_service: Harness, faults: Any
):
    uuid = uuid4()
    faults("consumer.before_commit=raise")
    with pytest.raises(failpoints.InjectedFault):
        await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(uuid, 1))
    assert (await seen(toy_service, uuid), await rows(toy_service)) == ([], [])
    faults("consumer.after_commit=raise@1")
    outcome = await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(uuid, 1))
    assert (outcome.applied, outcome.duplicates) == (0, 1)
    assert await seen(toy_service, uuid) == [1]
    faults("consumer.handled=raise")
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(uuid, 1, 2))
    [row] = await rows(toy_service)
    assert row.error == "InjectedFault: failpoint consumer.handled"

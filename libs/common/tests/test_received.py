"""Reading an envelope: what becomes an event, what is parked with its key, and what belongs to no key."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.common.bus.received import MalformedEvent, Outcome, Record, Subscription, decode
from libs.common.events.base import Event
from libs.common.events.identity import UserState
from libs.common.testing.harness import as_record
from libs.common.testing.states import user_state
from libs.common.tests import toy
from libs.common.tests.toy import Counted, CounterState, Renamed

UUID_1 = UUID(int=1)
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
GOOD = as_record(Counted(counter=UUID_1, value=7), 3, AT)


async def observe(*_: Any) -> None:
    """Takes everything, as analytics does."""


SUBSCRIPTION = toy.SUBSCRIPTION
OBSERVING = Subscription("toy", {Counted: toy.on_counted}, observe, ("identity.users",))


def changed(record: Record = GOOD, **changes: Any) -> Record:
    """The record with other fields; `ce_…` are headers, None takes one away."""
    headers = record.headers | {name: value for name, value in changes.items() if name.startswith("ce_")}
    fields = {name: value for name, value in changes.items() if not name.startswith("ce_")}
    known = {name: value for name, value in headers.items() if value is not None}
    plain = {"topic": record.topic, "key": record.key, "value": record.value, "headers": known}
    return Record(**plain | fields)


def test_an_event_is_read_with_what_its_envelope_says():
    item = decode(SUBSCRIPTION, changed(partition=2, offset=5))
    assert (item.topic, item.key, item.seq, item.type) == ("toy.events", str(UUID_1), 3, "toy.counted.v1")
    assert item.event == Counted(counter=UUID_1, value=7)
    assert item.error is None
    assert (item.id, item.occurred_at) == (GOOD.headers["ce_id"], AT)
    assert item.trace.request_id == "test-3"
    assert (item.record.partition, item.record.offset) == (2, 5)


def test_the_first_number_is_one():
    assert decode(SUBSCRIPTION, changed(ce_sequence="1")).seq == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"ce_type": None}, {"ce_sequence": None}, {"ce_time": None}, {"ce_id": None},
        {"ce_sequence": "one"}, {"ce_sequence": "0"}, {"ce_sequence": "-1"}, {"ce_time": "yesterday"},
        {"key": None}, {"key": ""},
    ],
)  # fmt: skip
def test_without_an_envelope_there_is_no_key_to_park(changes: dict[str, Any]):
    with pytest.raises(MalformedEvent) as refused:
        decode(SUBSCRIPTION, changed(**changes))
    assert str(refused.value).startswith("envelope: ")


def test_the_envelopes_fault_is_named():
    with pytest.raises(MalformedEvent, match="envelope: KeyError\\('ce_id'\\)"):
        decode(SUBSCRIPTION, changed(ce_id=None))
    with pytest.raises(MalformedEvent, match="envelope: no key, or a sequence below 1"):
        decode(SUBSCRIPTION, changed(ce_sequence="0"))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"ce_specversion": "2.0"}, "specversion is not 1.0"),
        ({"ce_specversion": None}, "specversion is not 1.0"),
        ({"topic": "toy.counters"}, "toy.counted.v1 does not belong on toy.counters"),
        ({"ce_type": "toy.counted.v9"}, "major version 9 of toy.counted is unknown here"),
        ({"value": None}, "an empty value on a log topic"),
        ({"value": Counted(counter=UUID(int=2), value=1).model_dump_json().encode()},
         f"key {UUID(int=2)} inside, {UUID_1} outside"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_an_error_of_its_key(changes: dict[str, Any], fault: str):
    item = decode(SUBSCRIPTION, changed(**changes))
    assert (item.key, item.seq) == (str(UUID_1), 3)
    assert isinstance(item.error, MalformedEvent)
    assert str(item.error) == fault


def test_a_payload_that_does_not_fit_says_where():
    item = decode(SUBSCRIPTION, changed(value=b'{"counter": "x", "value": 1}'))
    assert isinstance(item.error, MalformedEvent)
    assert "counter" in str(item.error)
    assert item.event is None


def test_a_state_may_be_empty_and_is_then_a_deletion():
    state = as_record(CounterState(uuid=UUID_1, value=1), 2)
    item = decode(SUBSCRIPTION, changed(state, value=None))
    assert (item.event, item.error) == (None, None)


def test_a_type_that_nobody_asked_for_is_no_error_and_not_read():
    for kind in ("toy.painted.v1", "toy.countedtwice.v1", "counted"):
        item = decode(SUBSCRIPTION, changed(ce_type=kind, value=b"{"))
        assert (item.event, item.error) == (None, None), kind


def test_who_observes_is_told_of_types_without_a_handler_that_cannot_be_read():
    user = as_record(user_state(uuid4()), 1)
    good = decode(OBSERVING, user)
    assert (good.event, good.error) == (None, None)
    bad = decode(OBSERVING, changed(user, value=b"{}"))
    assert isinstance(bad.error, MalformedEvent)
    assert "full_name" in str(bad.error)
    assert decode(OBSERVING, changed(user, value=None)).error is None
    assert decode(OBSERVING, changed(ce_type="toy.painted.v1", value=b"{")).error is None
    assert decode(SUBSCRIPTION, changed(user, value=b"{}")).error is None
    assert UserState.type == user.headers["ce_type"]


def test_a_subscription_knows_its_topics_and_types():
    assert SUBSCRIPTION.topics == ["toy.counters", "toy.events"]
    assert OBSERVING.topics == ["identity.users", "toy.events"]
    again = Subscription("toy", {Counted: toy.on_counted, Renamed: toy.on_renamed})
    assert again.by_type == {
        "toy.counted.v1": (Counted, toy.on_counted),
        "toy.renamed.v1": (Renamed, toy.on_renamed),
    }
    assert again.names == {"toy.counted", "toy.renamed"}


class Viewed(Event):
    """Trigger: somebody looked. Key: counter. The version is what stands behind the last `.v`."""

    type = "toy.viewed.v1"
    topic = "toy.events"
    key_field = "counter"

    counter: UUID


def test_a_version_stands_at_the_end_of_a_type():
    subscription = Subscription("toy", {Viewed: observe})
    assert subscription.names == {"toy.viewed"}
    item = decode(subscription, changed(ce_type="toy.viewed.v2"))
    assert str(item.error) == "major version 2 of toy.viewed is unknown here"
    assert decode(subscription, changed(ce_type="toy.vanished.v1")).error is None


def test_outcomes_add_up():
    total = Outcome(1, 2, 3, 4)
    total.add(Outcome(10, 20, 30, 40))
    assert total == Outcome(11, 22, 33, 44)

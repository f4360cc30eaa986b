"""What operators are told of the bus: numbers, and a line that one grep for a request id finds."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from libs.common.bus.inbox import FEW, ON_A_LINE, apply_batch
from libs.common.testing.harness import Harness, as_record
from libs.common.tests import toy
from libs.common.tests.test_inbox import records
from libs.common.tests.toy import Counted, CounterState

LAG = "lectern_event_lag_seconds"


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def numbers() -> dict[str, float]:
    found = {
        f"applied {topic}": sample("lectern_events_applied_total", consumer="toy", topic=topic)
        for topic in ("toy.events", "toy.counters")
    }
    found |= {
        f"parked {reason}": sample("lectern_events_parked_total", consumer="toy", reason=reason)
        for reason in ("error", "behind", "gap", "malformed")
    }
    found["duplicates"] = sample("lectern_events_duplicate_total", consumer="toy")
    return found | {
        "lags": sample(f"{LAG}_count", consumer="toy"),
        "lag": sample(f"{LAG}_sum", consumer="toy"),
    }


async def test_events_are_counted_by_what_became_of_them(toy_service: Harness):
    toy.Switch.poisoned = True
    before = numbers()
    uuid, early = uuid4(), uuid4()
    minute_ago = datetime.now(UTC) - timedelta(seconds=60)
    old = as_record(Counted(counter=uuid, value=1), 1, minute_ago)
    state = as_record(CounterState(uuid=uuid, value=1), 1)
    lost = toy_lost()
    _, second, third = records(early, 1, 2, 3)
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [old, state, old, second, third, lost])
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(uuid4(), 13, 1))
    told = {name: round(value - before[name]) for name, value in numbers().items()}
    assert told == {
        "applied toy.events": 1,
        "applied toy.counters": 1,
        "parked error": 1,
        "parked behind": 2,
        "parked gap": 1,
        "parked malformed": 1,
        "duplicates": 1,
        "lags": 1,
        "lag": 60,
    }


def toy_lost():
    [good] = records(uuid4(), 1)
    return type(good)(good.topic, good.key, good.value, {}, 0, 1)


async def test_each_of_a_few_events_has_a_line(toy_service: Harness):
    uuid = uuid4()
    with capture_logs() as lines:
        await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(uuid, *range(FEW)))
    assert [line for line in lines if line["event"] == "event_applied"] == [
        {
            "event": "event_applied",
            "log_level": "info",
            "consumer": "toy",
            "type": "toy.counted.v1",
            "key": str(uuid),
            "seq": seq,
            "request_id": f"test-{seq}",
        }
        for seq in range(1, FEW + 1)
    ]


async def test_a_backlog_shares_lines_in_which_each_is_found(toy_service: Harness):
    uuid = uuid4()
    size = 2 * ON_A_LINE + 1
    with capture_logs() as lines:
        await apply_batch(toy_service.db, toy.SUBSCRIPTION, records(uuid, *range(size)))
    told = [line for line in lines if line["event"] == "events_applied"]
    assert [line["consumer"] for line in told] == ["toy"] * 3
    parts = [line["events"].split(", ") for line in told]
    assert [len(part) for part in parts] == [ON_A_LINE, ON_A_LINE, 1]
    assert [event for part in parts for event in part] == [
        f"toy.counted.v1 {uuid} {seq} test-{seq}" for seq in range(1, size + 1)
    ]


async def test_a_missing_event_is_told_with_the_number_that_is_missing(toy_service: Harness):
    uuid = uuid4()
    first, _, third = records(uuid, 1, 2, 3)
    with capture_logs() as lines:
        await apply_batch(toy_service.db, toy.SUBSCRIPTION, [first, third])
    assert [line for line in lines if line["event"] == "event_missing"] == [
        {
            "event": "event_missing",
            "log_level": "error",
            "consumer": "toy",
            "key": str(uuid),
            "expected": 2,
            "got": 3,
        }
    ]

"""One trace from a request to what it causes, as OpenTelemetry gets it."""

from typing import Any

import httpx
import pytest
from opentelemetry.trace import StatusCode

from libs.common.bus.consumer import to_record
from libs.common.bus.inbox import apply_batch
from libs.common.data.jobs import Task, TaskRun, _Runner
from libs.common.runtime.telemetry import span, telemetry
from libs.common.runtime.trace import from_headers, new_trace, resume, tracing
from libs.common.testing.harness import Harness
from libs.common.testing.spans import kept_spans
from libs.common.tests import toy
from libs.common.tests.kafka import messages_of
from libs.common.tests.test_relay import EVERY_LANE, relaying

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def below(child: Any, parent: Any) -> bool:
    return (
        child.parent is not None
        and child.parent.span_id == parent.context.span_id
        and child.context.trace_id == parent.context.trace_id
    )


async def make_counter(service: Harness, **headers: str) -> httpx.Response:
    answer = await service.person().client.post("/api/counters/", json={}, headers=headers)
    assert answer.status_code == 201
    return answer


async def test_a_request_its_event_and_what_another_service_does_with_it_are_one_trace(
    toy_service: Harness, prefix: str
):
    with kept_spans() as kept:
        await make_counter(toy_service, traceparent=GIVEN)
        async with relaying(toy_service) as (relay, connection, producer):
            await relay.wave(connection, producer, EVERY_LANE)
        messages = await messages_of(toy_service, prefix + "toy.events")
        records = [to_record(message, prefix) for message in messages]
        await apply_batch(toy_service.db, toy.SUBSCRIPTION, records)
        found = kept.by_name()
    request = found["POST /api/counters/"]
    sent = found["send toy.counted.v1"]
    applied = found["process toy.counted.v1"]
    assert f"{request.context.trace_id:032x}" == GIVEN[3:35]
    assert f"{request.parent.span_id:016x}" == GIVEN[36:52]
    assert below(found["transaction"], request)
    assert below(sent, found["transaction"])
    assert below(applied, sent)
    assert [link.context.span_id for link in applied.links] == [sent.context.span_id]
    assert sent.start_time <= request.end_time
    assert sent.end_time <= applied.start_time
    assert request.attributes["http.route"] == "/api/counters/"
    assert applied.attributes["messaging.consumer.group.name"] == "toy"


async def test_a_task_and_what_it_does_hang_below_what_wanted_it():
    async def work(run: TaskRun) -> None:
        with span("send mail", "client"):
            pass

    async def fail(run: TaskRun) -> None:
        raise RuntimeError("a secret of somebody")

    wanted = new_trace()
    with kept_spans() as kept:
        for function in (work, fail):
            trace = from_headers(wanted.headers())
            with tracing(trace):
                task = Task(f"toy.{function.__name__}", function, None)
                if function is work:
                    await _Runner._timed(task, None, (), trace)
                else:
                    with pytest.raises(RuntimeError):
                        await _Runner._timed(task, None, (), trace)
        found = kept.by_name()
    assert f"{found['toy.work'].parent.span_id:016x}" == wanted.span_id
    assert below(found["send mail"], found["toy.work"])
    assert found["toy.work"].status.status_code is StatusCode.UNSET
    assert found["toy.fail"].status.status_code is StatusCode.ERROR
    assert "secret" not in found["toy.fail"].to_json()


async def test_what_beat_starts_is_no_trace():
    async def sweep(run: TaskRun) -> None:
        with span("transaction"):
            pass

    with kept_spans() as kept:
        await _Runner._timed(Task("toy.sweep", sweep, 10.0), None, (), new_trace())
        assert kept.by_name() == {}


async def test_the_flag_of_a_trace_is_followed_and_a_new_one_gets_its_own(toy_service: Harness):
    with kept_spans(share=0.0) as kept:
        await make_counter(toy_service)
        await make_counter(toy_service, traceparent=f"{GIVEN[:-2]}00")
        assert kept.by_name() == {}
        await make_counter(toy_service, traceparent=GIVEN)
        assert "POST /api/counters/" in kept.by_name()
        assert new_trace().traceparent.endswith("-00")
    assert new_trace().traceparent.endswith("-01")


async def test_a_failed_request_says_so(toy_service: Harness):
    with kept_spans() as kept:
        answer = await toy_service.client().post("/api/counters/broken-commit/")
        assert answer.status_code == 503
        found = kept.by_name()
    assert found["POST /api/counters/broken-commit/"].status.status_code is StatusCode.ERROR


def test_a_row_resumes_the_trace_that_is_current_or_its_own():
    row = new_trace()
    with tracing(from_headers(row.headers())) as task:
        assert resume(row.request_id, row.traceparent) is task
    with tracing(new_trace()):
        resumed = resume(row.request_id, row.traceparent)
    assert (resumed.trace_id, resumed.parent) == (row.trace_id, row.traceparent)


def test_without_telemetry_a_span_is_nothing():
    assert telemetry() is None
    with tracing(new_trace()) as trace, span("anything"):
        assert resume(trace.request_id, trace.traceparent) is trace

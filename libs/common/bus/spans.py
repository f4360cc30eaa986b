"""Spans of events: from the write to Kafka's acknowledgement, and of the application in each service.

The relay's gap lies between the two. A consumer's span is below the producing one and linked to it as well,
since one may begin long after the other has ended.
"""

import time
from collections.abc import Sequence
from typing import Any

from libs.common.bus.received import Received
from libs.common.runtime.telemetry import telemetry
from libs.common.runtime.trace import from_headers

ID, TOPIC, KEY, TYPE, OCCURRED_AT, HEADERS = 2, 3, 4, 6, 7, 8
"""Places in a row of the outbox, as the relay reads it."""


class Deliveries:
    """The producing spans of a wave: each begins with its event's write, so the wait in the outbox shows."""

    def __init__(self) -> None:
        self._traces: dict[Any, Any] = {}

    def begin(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows with the ids of their delivery in the headers, where anybody keeps spans."""
        if telemetry() is None:
            return rows
        self._traces = {row[ID]: from_headers(row[HEADERS]) for row in rows}
        return [(*row[:HEADERS], self._traces[row[ID]].headers(), *row[HEADERS + 1 :]) for row in rows]

    def end(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Kafka has acknowledged these."""
        kept = telemetry()
        if kept is None:
            return
        now = time.time_ns()
        for row in rows:
            trace = self._traces.pop(row[ID], None)
            if trace is not None and trace.parent:
                told = {"messaging.operation.name": "send", **_told(row[TOPIC], row[TYPE], str(row[ID]))}
                began = int(row[OCCURRED_AT].timestamp() * 1e9)
                kept.emit(trace, f"send {row[TYPE]}", "producer", min(began, now), now, told)


def applied(consumer: str, items: Sequence[Received[Any]], began: int) -> None:
    """Write down that these were applied, in a transaction that began then (nanoseconds since 1970)."""
    kept = telemetry()
    if kept is None:
        return
    now = time.time_ns()
    for item in items:
        told = {
            "messaging.operation.name": "process",
            "messaging.consumer.group.name": consumer,
            **_told(item.topic, item.type, item.id),
        }
        kept.emit(item.trace, f"process {item.type}", "consumer", began, now, told, linked=True)


def _told(topic: str, kind: str, number: str) -> dict[str, str]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.message.id": number,
        "cloudevents.event_type": kind,
    }

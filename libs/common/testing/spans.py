"""Spans kept in memory, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.common.runtime.telemetry import Telemetry, use
from libs.common.runtime.trace import tracing


class KeptSpans:
    """What has been written down so far."""

    def __init__(self, share: float) -> None:
        self._exporter = InMemorySpanExporter()
        self.telemetry = Telemetry("test", self._exporter, share)

    def by_name(self) -> dict[str, Any]:
        self.telemetry.flush()
        return {span.name: span for span in self._exporter.get_finished_spans()}


@contextmanager
def kept_spans(share: float = 1.0) -> Iterator[KeptSpans]:
    """Let this process write spans down inside the block.

    It begins outside any trace: the context of the tests' loop keeps the one that an earlier test began.
    """
    kept = KeptSpans(share)
    use(kept.telemetry)
    try:
        with tracing(None):
            yield kept
    finally:
        use(None)
        kept.telemetry.stop()

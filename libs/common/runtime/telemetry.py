"""Spans of OpenTelemetry, made of the ids that `trace.py` carries anyway.

A span is written down when it has ended: its id is that of the `Trace` that was current, its parent the one
that this continues. So logs, events and mails name the same span, and nothing has to be kept meanwhile.
Without `LECTERN_OTLP_ENDPOINT` there is no telemetry: the SDK is not even imported, and a path pays one
comparison.

Which traces are kept is decided once, where they begin, by `LECTERN_TRACE_SHARE`; everybody else follows the
flag of the traceparent.
"""

import atexit
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from libs.common.runtime.release import release
from libs.common.runtime.settings import SuiteSettings
from libs.common.runtime.trace import Trace, peek_trace, set_share, tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

Attributes = Mapping[str, str | int | float | bool]


class Telemetry:
    """Where this process's spans go: in batches, from a thread of their own. While nobody takes them they are
    dropped, and nothing else notices."""

    def __init__(self, service: str, exporter: "SpanExporter", share: float = 1.0) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self.share = share
        self._processor = BatchSpanProcessor(exporter)
        self._resource = Resource.create(
            {
                "service.namespace": "lectern",
                "service.name": service,
                "service.version": release(),
                "service.instance.id": str(uuid4()),
            }
        )

    def emit(
        self,
        trace: Trace,
        name: str,
        kind: str,
        began: int,
        ended: int,
        attributes: Attributes,
        *,
        linked: bool = False,
        failed: bool = False,
    ) -> None:
        """Write down the span of `trace`, if its trace is kept. `kind` is server, client, producer, consumer
        or internal; times are nanoseconds since 1970. `linked` links it to its parent as well, which lies on
        the other side of a gap."""
        if not trace.kept:
            return
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode

        parent = _context(trace.parent) if trace.parent else None
        span = ReadableSpan(
            name,
            context=_context(trace.traceparent),
            parent=parent,
            resource=self._resource,
            attributes={**attributes, "lectern.request_id": trace.request_id},
            links=[Link(parent)] if linked and parent else [],
            kind=SpanKind[kind.upper()],
            status=Status(StatusCode.ERROR) if failed else Status(StatusCode.UNSET),
            start_time=began,
            end_time=ended,
        )
        self._processor.on_end(span)

    def flush(self) -> None:
        self._processor.force_flush()

    def stop(self) -> None:
        """Send what is left, and end."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def _context(traceparent: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )


_active: Telemetry | None = None


def telemetry() -> Telemetry | None:
    """This process's, None where nobody wants spans."""
    return _active


def use(wanted: Telemetry | None) -> None:
    """Let spans go there from now on."""
    global _active
    _active = wanted
    set_share(wanted.share if wanted else 1.0)


def configure_telemetry(service: str, settings: SuiteSettings) -> None:
    """Begin, if the settings name an endpoint. Certificates and headers are those of OpenTelemetry's own
    variables (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`)."""
    if not settings.otlp_endpoint or _active is not None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
    use(Telemetry(service, exporter, settings.trace_share))
    atexit.register(stop_telemetry)


def stop_telemetry() -> None:
    """Send what is left: a few seconds at most. Harmless twice."""
    if _active is not None:
        _active.stop()
        use(None)


@contextmanager
def span(name: str, kind: str = "internal", attributes: Attributes | None = None) -> Iterator[None]:
    """A span around the block, below the current one; none where there is no trace or nobody keeps it."""
    outer = peek_trace()
    if _active is None or outer is None or not outer.kept:
        yield
        return
    inner, began, failed = outer.child(), time.time_ns(), True
    try:
        with tracing(inner):
            yield
        failed = False
    finally:
        if _active is not None:
            _active.emit(inner, name, kind, began, time.time_ns(), attributes or {}, failed=failed)

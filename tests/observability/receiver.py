"""A receiver of OTLP/HTTP that keeps spans, and shows a trace as a tree."""

import gzip
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Span:
    """As it came, its ids as hex."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    links: list[str]
    attributes: dict[str, str | int]
    text: str


@dataclass
class Receiver:
    spans: list[Span] = field(default_factory=list)
    url: str = ""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            service = next(
                a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
            )
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Span(
                            service,
                            span.name,
                            span.kind,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            [link.span_id.hex() for link in span.links],
                            {a.key: a.value.string_value or a.value.int_value for a in span.attributes},
                            str(span),
                        )
                    )

    def trace_of(self, trace: str) -> list[Span]:
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.began)


def tree(spans: list[Span]) -> str:
    """The trace as text: a line a span, when it began and how long it took in milliseconds."""
    known = {span.id for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent if span.parent in known else ""].append(span)
    first = min(span.began for span in spans)

    def lines(parent: str, depth: int) -> Iterator[str]:
        for span in children[parent]:
            began, took = (span.began - first) / 1e6, (span.ended - span.began) / 1e6
            name = f"{'  ' * depth}{span.name}"
            yield f"{began:9.1f} {took:8.1f}  {span.service:<10} {name}{'  (linked)' if span.links else ''}"
            yield from lines(span.id, depth + 1)

    return "\n".join([f"{'began ms':>9} {'took':>8}  {'process':<10} span", *lines("", 0)])


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.take(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""The span of a request at the gateway, where somebody keeps spans: the first of its trace that is ours."""

import time

from gateway.interfaces import ForwardedRequest
from libs.common.runtime.telemetry import Telemetry
from libs.common.runtime.trace import TRACEPARENT, Trace, flags


def decided(traceparent: str) -> str:
    """The traceparent with our decision in it: which traces are kept is not for clients to say."""
    return traceparent[:53] + flags()


def emit(kept: Telemetry, exchange: ForwardedRequest, template: str, status: int, seconds: float) -> None:
    """Write down a request that is over."""
    given = (exchange.request.traceparent or b"").decode("latin-1")
    parent = given if TRACEPARENT.match(given) else ""
    trace = Trace(exchange.request_id, exchange.traceparent, parent)
    if not trace.kept:
        return
    method, ended = exchange.request.method.decode("latin-1"), time.time_ns()
    told: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": template,
        "http.response.status_code": status,
    }
    began = ended - int(seconds * 1e9)
    kept.emit(trace, f"{method} {template}", "server", began, ended, told, failed=status >= 500)

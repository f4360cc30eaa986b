"""One line per request, shaped as in libs/common/runtime/logs.py, written in batches off the request's path.

structlog's pipeline costs more than a proxied request. Queries are left out: a ticket may stand there.
"""

import asyncio
import sys
from datetime import UTC, datetime
from typing import BinaryIO
from uuid import UUID

import orjson

INTERVAL = 0.1
MOST_PENDING = 512

Entry = tuple[float, bytes, str, str, int, float, int, str, str, UUID | None]
"""time, method, path, route, status, seconds, bytes, request id, traceparent, user"""


class AccessLog:
    """Collects entries and writes them every 100 ms, or sooner when many wait."""

    def __init__(self, stream: BinaryIO | None, console: bool = False) -> None:
        self._stream = stream
        self._console = console
        self._pending: list[Entry] = []
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def to_stderr(cls, log_format: str) -> "AccessLog":
        """The log that writes to stderr, in the format of the other logs."""
        console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
        return cls(sys.stderr.buffer, console)

    def add(self, entry: Entry) -> None:
        if self._stream is None:
            return
        self._pending.append(entry)
        if len(self._pending) >= MOST_PENDING:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pending and self._stream is not None:
            pending, self._pending = self._pending, []
            form = self._readable if self._console else self._line
            self._stream.write(b"".join([form(entry) for entry in pending]))
            self._stream.flush()

    @staticmethod
    def _line(entry: Entry) -> bytes:
        at, method, path, route, status, seconds, size, request_id, traceparent, user = entry
        return orjson.dumps(
            {
                "event": "request",
                "level": "info" if status < 500 else "warning",
                "timestamp": datetime.fromtimestamp(at, UTC),
                "service": "gateway",
                "method": method.decode(),
                "path": path,
                "route": route,
                "status": status,
                "ms": round(seconds * 1000, 2),
                "bytes": size,
                "request_id": request_id,
                "trace_id": traceparent[3:35],
                "span_id": traceparent[36:52],
                "user": user,
            },
            option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z,
        )

    @staticmethod
    def _readable(entry: Entry) -> bytes:
        at, method, path, _, status, seconds, _, request_id, _, _ = entry
        clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
        return f"{clock} {status} {method.decode()} {path} {seconds * 1000:.1f} ms {request_id}\n".encode()

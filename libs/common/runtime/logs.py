"""Logs: one JSON object a line, or readable on a terminal. Secrets never reach them."""

import logging
import re
import sys
from collections import deque
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from libs.common.runtime.trace import peek_trace

SECRET_NAMES = frozenset(
    {"password", "token", "access", "refresh", "authorization", "otp", "secret", "code", "ticket", "cookie"}
)
RECENT: deque[dict[str, Any]] = deque(maxlen=50)
"""The last errors that this process has logged, oldest first: what happened, to which request; no values."""
BEARER = re.compile(r"(?i)(bearer\s+|ticket=|token=)[A-Za-z0-9._~+/=-]+|eyJ[\w-]+\.[\w-]+\.[\w-]*")


def _add_trace(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    trace = peek_trace()
    if trace is not None:
        entry.setdefault("request_id", trace.request_id)
        entry.setdefault("trace_id", trace.trace_id)
        entry.setdefault("span_id", trace.span_id)
    return entry


def redact(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    """Replace what looks like a credential, by name of the field or by shape of the text."""
    for name, value in entry.items():
        if name.lower() in SECRET_NAMES:
            entry[name] = "[redacted]"
        elif isinstance(value, str) and ("eyJ" in value or "=" in value or "earer" in value):
            entry[name] = BEARER.sub("[redacted]", value)
    return entry


def remember(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    """Keep what operators look for first: an error's name and the id by which its whole story is found."""
    if entry.get("level") in ("error", "critical"):
        raised = entry.get("exc_info")
        error = raised[1] if isinstance(raised, tuple) else raised
        if error is True:
            error = sys.exc_info()[1]
        RECENT.append(
            {
                "at": entry.get("timestamp"),
                "event": str(entry.get("event", ""))[:200],
                "error": type(error).__name__ if isinstance(error, BaseException) else None,
                "logger": entry.get("logger"),
                "request_id": entry.get("request_id"),
            }
        )
    return entry


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logs(service: str, log_format: str = "auto", level: str = "INFO") -> None:
    """Send structlog and the standard library's loggers (uvicorn, Celery, alembic) through one pipeline."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())

    def add_service(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
        entry["service"] = service
        return entry

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        _add_trace,
        structlog.processors.StackInfoRenderer(),
        remember,
    ]
    if console:
        tail: list[Any] = [redact, structlog.dev.ConsoleRenderer()]
    else:
        tail = [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer(_dumps)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    for noisy in ("aiokafka", "httpx", "httpcore", "kafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get_logger(name: str) -> Any:
    return structlog.stdlib.get_logger(name)

"""Logs: one object a line, with the ids of the request and without secrets."""

import json
import logging

import pytest

from libs.common.runtime.logs import configure_logs, get_logger, redact
from libs.common.runtime.trace import new_trace, tracing


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_line_carries_service_and_trace(capsys: pytest.CaptureFixture[str]):
    configure_logs("toy", "json", "INFO")
    with tracing(new_trace("story-7")) as trace:
        get_logger("test").info("something", number=5)
        logging.getLogger("uvicorn.error").info("a line of the standard library")
    first, second = lines(capsys)
    assert (first["event"], first["service"], first["number"]) == ("something", "toy", 5)
    assert first["request_id"] == second["request_id"] == "story-7"
    assert first["trace_id"] == trace.traceparent[3:35]


@pytest.mark.promise("audit")
@pytest.mark.parametrize(
    "entry",
    [
        {"password": "canary"}, {"refresh": "canary"}, {"event": "Authorization: Bearer canary"},
        {"path": "/ws/chat/1/?ticket=canary"}, {"detail": "got eyJcanary.eyJcanary.canary"},
    ],
)  # fmt: skip
def test_secrets_are_taken_out(entry: dict):
    assert "canary" not in json.dumps(redact(None, "", dict(entry)))


def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str]):
    configure_logs("toy", "json", "INFO")
    try:
        raise ValueError("broken")
    except ValueError as error:
        get_logger("test").error("failed", exc_info=error)
    (line,) = lines(capsys)
    assert "ValueError: broken" in line["exception"]

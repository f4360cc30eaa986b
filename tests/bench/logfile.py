"""Logs as in production, so that their cost is in the figures; but to a file."""

import logging
from pathlib import Path

from libs.common.runtime.logs import configure_logs


def logs_into(path: Path) -> None:
    configure_logs("bench", "json")
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(path.open("w"))

"""The Celery application of the local suite: one worker and one beat for the tasks of all services.

`celery -A deploy.local.tasks worker` and `… beat`. In production each service runs its own.
"""

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from celery import signals

from libs.common.data.jobs import Tasks, celery_app
from libs.common.runtime.settings import SERVICES, SuiteSettings


def registries() -> list[Tasks]:
    """The `Tasks` that each service declares in its `tasks.py`, if it has one."""
    found: list[Tasks] = []
    for service in SERVICES:
        name = f"services.{service}.tasks"
        if find_spec(f"services.{service}") and find_spec(name):
            found += [value for value in vars(import_module(name)).values() if isinstance(value, Tasks)]
    return found


app = celery_app(SuiteSettings(), *registries())


# The supervisor waits for this file: neither process has a port of its own.
def _say_ready(**_: Any) -> None:
    path = os.environ.get("LECTERN_READY_FILE")
    if path:
        Path(path).touch()


signals.worker_ready.connect(_say_ready)
signals.beat_init.connect(_say_ready)

"""Celery's two processes: `python -m libs.common.service.tasks worker | beat`.

They serve every service whose code is here: all of them on one machine, one of them in its image, or the one
that `--only` names. Both touch `LECTERN_READY_FILE` when they are ready and every few seconds as long as they
make progress.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from celery import bootsteps, signals
from celery.utils.nodenames import host_format
from redbeat import RedBeatScheduler

from libs.common.data.jobs import Tasks, celery_app
from libs.common.runtime.settings import SERVICES, SuiteSettings

ALIVE_EVERY = 5.0
SCHEDULER = "libs.common.service.tasks:Scheduler"


def registries(services: Iterable[str] = SERVICES) -> list[Tasks]:
    """`TASKS` of each service's `tasks.py`, if it has one."""
    names = [f"services.{service}.tasks" for service in services if find_spec(f"services.{service}")]
    return [import_module(name).TASKS for name in names if find_spec(name)]


def say_alive(**_: Any) -> None:
    """Neither process has a port of its own: supervisors and probes look at the age of this file."""
    path = os.environ.get("LECTERN_READY_FILE")
    if path:
        Path(path).touch()


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Says that the worker's loop turns; a timer of another thread would say so of a stuck one too."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:
        self.timer = worker.timer.call_repeatedly(ALIVE_EVERY, say_alive)

    def stop(self, worker: Any) -> None:
        self.timer.cancel()


class Scheduler(RedBeatScheduler):  # type: ignore[misc]
    """RedBeat, which says at every tick that it goes on."""

    def tick(self, *arguments: Any, **options: Any) -> Any:
        wait = super().tick(*arguments, **options)
        say_alive()
        return wait


signals.worker_ready.connect(say_alive)
signals.beat_init.connect(say_alive)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m libs.common.service.tasks", description=__doc__)
    parser.add_argument("process", choices=("worker", "beat"))
    parser.add_argument("--concurrency", type=int, default=4, help="tasks run at once by a worker")
    parser.add_argument("--hostname", default="lectern@%h", help="name of a worker; %%h is the host's")
    parser.add_argument("--only", choices=SERVICES, help="the tasks of this service")
    options = parser.parse_args()
    found = registries([options.only] if options.only else SERVICES)
    app = celery_app(SuiteSettings(), *found)
    app.steps["worker"].add(Heartbeat)
    if options.process == "beat":
        app.Beat(scheduler=SCHEDULER, loglevel="INFO").run()
        return
    worker = app.Worker(
        hostname=host_format(options.hostname),
        pool_cls="threads",
        concurrency=options.concurrency,
        queues=[registry.service for registry in found],
        loglevel="INFO",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()

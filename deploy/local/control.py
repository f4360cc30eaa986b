"""The suite from outside: `up`, `down`, and a handle for each of its processes."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from deploy.local.checks import before_start
from deploy.local.children import end_orphans
from deploy.local.process import tail
from deploy.local.project import CHECKOUT, Project, SetupError

Status = dict[str, Any]


class NotRunning(Exception):
    """No supervisor answers for this project."""


def ask(project: Project, command: str, timeout: float = 60, **values: Any) -> dict[str, Any]:
    """One request to the supervisor. Raises NotRunning, or SetupError with what it has against it."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(project.control_socket))
            connection.sendall(json.dumps({"command": command, **values}).encode() + b"\n")
            with connection.makefile() as file:
                line = file.readline()
    except (FileNotFoundError, ConnectionError):
        raise NotRunning(str(project.directory)) from None
    if not line:
        raise NotRunning(str(project.directory))
    answer: dict[str, Any] = json.loads(line)
    if not answer.pop("ok"):
        raise SetupError(answer["error"])
    return answer


def status(project: Project, *, memory: bool = False) -> Status:
    """What the supervisor knows; `memory` only when asked, which looks at every process there is."""
    return ask(project, "status", memory=memory)


def consumers(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the consumers within a process say of themselves in `/readyz`; none while it does not answer."""
    if row["state"] != "ready" or not row["url"].startswith("http"):
        return []
    try:
        with urlopen(f"{row['url']}/readyz", timeout=2) as answer:  # noqa: S310 - an address of this machine
            return list(json.load(answer).get("consumers", ()))
    except (OSError, ValueError):
        return []


def is_locked(project: Project) -> bool:
    """Whether a supervisor of this project lives, also one that does not listen yet."""
    try:
        with open(project.directory / "supervisor.lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def up(project: Project, report: Callable[[Status], None] = lambda _: None, timeout: float = 240) -> Status:
    """Starts the suite, or finds it running, and returns when every process is ready.

    Recovers from a crash: orphans of a dead supervisor are ended first. Raises SetupError with one sentence.
    """
    deadline = time.monotonic() + timeout
    launched: float | None = None
    try:
        if status(project)["state"] in ("failed", "stopping"):
            down(project)
    except NotRunning:
        pass
    while True:
        try:
            now = status(project)
        except NotRunning:
            # A lock without an answer is a supervisor that is just starting, or just dying.
            if not is_locked(project):
                if launched is None:
                    end_orphans(project)
                    before_start(project)
                    project.save()
                    _launch(project)
                    launched = time.monotonic()
                elif time.monotonic() > launched + 15:
                    last = tail(project.logs / "supervisor.log")
                    raise SetupError(f"The supervisor does not start.\n{last}") from None
            now = {"state": "starting", "failure": "", "steps": [], "processes": []}
        report(now)
        if now["state"] == "failed":
            down(project)
            raise SetupError(now["failure"])
        late = [row for row in now["processes"] if row["state"] not in ("ready", "external", "stopped")]
        if now["state"] == "ready" and not late:
            return now
        if time.monotonic() > deadline:
            names = "; ".join(f"{row['name']}: {row['detail'] or row['state']}" for row in late)
            raise SetupError(f"Not ready after {timeout:.0f} s: {names or 'see lectern logs'}")
        time.sleep(0.1)


def down(project: Project, timeout: float = 90) -> bool:
    """Stops everything in order; data stays. False if nothing ran. Ends what a dead supervisor left, too."""
    try:
        ask(project, "shutdown")
    except NotRunning:
        if not is_locked(project):
            return end_orphans(project) > 0
    deadline = time.monotonic() + timeout
    while is_locked(project):
        if time.monotonic() > deadline:
            pid = (project.directory / "supervisor.pid").read_text()
            raise SetupError(
                f"The suite did not stop in {timeout:.0f} s: end it with 'kill -9 {pid}', then try again."
            )
        time.sleep(0.05)
    return True


def _launch(project: Project) -> None:
    project.logs.mkdir(parents=True, exist_ok=True)
    with open(project.logs / "supervisor.log", "ab") as log:
        # It forks and returns at once, so that it is nobody's child.
        subprocess.run(
            [sys.executable, "-m", "deploy.local.supervisor", str(project.directory)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )


@dataclass(frozen=True)
class Process:
    """A process of a running suite, replicas and backing services too: `Process(project, "learning")`."""

    project: Project
    name: str

    def status(self) -> dict[str, Any]:
        for row in status(self.project)["processes"]:
            if row["name"] == self.name:
                return dict(row)
        raise SetupError(f"There is no process {self.name!r}.")

    @property
    def pid(self) -> int | None:
        pid = self.status()["pid"]
        return None if pid is None else int(pid)

    @property
    def url(self) -> str:
        return str(self.status()["url"])

    @property
    def log(self) -> Path:
        return self.project.logs / f"{self.name}.log"

    def start(self, environment: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        """Starts it, a replica too; `environment` (failpoints) stays for its restarts until the next one."""
        values: dict[str, Any] = {} if environment is None else {"environment": dict(environment)}
        ask(self.project, "start", name=self.name, **values)
        if wait:
            self.wait_ready()

    def stop(self) -> None:
        """Ends it gracefully; it stays down until `start`."""
        ask(self.project, "stop", name=self.name)

    def restart(self, environment: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        values: dict[str, Any] = {} if environment is None else {"environment": dict(environment)}
        ask(self.project, "restart", name=self.name, **values)
        if wait:
            self.wait_ready()

    def kill(self, *, stay_down: bool = False) -> None:
        """SIGKILL; the supervisor starts it again unless it is to stay down."""
        if stay_down:
            ask(self.project, "stop", name=self.name, signal=int(signal.SIGKILL))
        else:
            self.signal(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: alive and silent, a zombie in the making."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """For the rest: SIGQUIT is `pg_ctl -m immediate`."""
        ask(self.project, "signal", name=self.name, signal=int(number))

    def wait_ready(self, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while True:
            row = self.status()
            if row["state"] in ("ready", "external"):
                return
            if time.monotonic() > deadline:
                raise SetupError(f"{self.name} is not ready: {row['detail']}\n{tail(self.log)}")
            time.sleep(0.05)

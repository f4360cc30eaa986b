"""A supervised process: started, watched, restarted with backoff, stopped."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import psutil

from deploy.local.process import SUPERVISED, Command, end, end_orphan, send, send_group, spawn, tail
from deploy.local.project import Project, SetupError, write_private

State = Literal["stopped", "starting", "ready", "unready", "backoff", "external"]

FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 15.0
STEADY = 30.0  # a process that lived so long starts again at the first backoff
PROBE_EVERY = 10.0
HANDOVER = 45.0  # for a successor to start and for its predecessor to finish


class Child:
    """`run` is its life; the other methods say what is wanted and return when it has happened."""

    def __init__(self, name: str, make: Callable[[], Command], log: Path, *, mark: str, tied: bool) -> None:
        self.name = name
        self.log = log
        self.state: State = "stopped"
        self.restarts = 0
        self.last_exit: int | None = None
        self.detail = ""
        self.since = time.time()
        self.command: Command | None = None
        self.popen: subprocess.Popen[bytes] | None = None
        self.on_spawn: Callable[[], None] = lambda: None
        self._make = make
        self._mark = mark
        self._tied = tied
        self._extra: Mapping[str, str] = {}
        self._wanted = False
        self._succession = False
        self._wish = asyncio.Event()  # something is wanted otherwise
        self._exited = asyncio.Event()
        self._succession = False  # a successor is starting, and this one may end
        self._settled = asyncio.Condition()

    @property
    def wanted(self) -> bool:
        return self._wanted

    @property
    def pid(self) -> int | None:
        return self.popen.pid if self.popen and self.popen.returncode is None else None

    async def run(self) -> None:
        """Runs until cancelled: keeps the process alive while it is wanted."""
        backoff = FIRST_BACKOFF
        while True:
            while not self.wanted:
                await self._become("stopped")
                await self._wished()
            began = time.monotonic()
            try:
                ended = await self._live()
            except Exception as error:  # a prepare that fails is a start that failed
                ended, self.detail = True, str(error)
            if not ended:
                await self._become("external")
                await self._wished()
                continue
            if not self._wanted:
                continue
            self.restarts += 1
            if time.monotonic() - began > STEADY:
                backoff = FIRST_BACKOFF
            await self._become("backoff")
            await self._wished(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF)

    async def _live(self) -> bool:
        """One life of the process; False where somebody else runs it."""
        await self._become("starting")
        if self.command is None:
            self.command = await asyncio.to_thread(self._make)
        if not self.command.argv:
            return False
        await asyncio.to_thread(self.command.prepare)
        if not self.wanted:
            return True
        command = self._with_extra(self.command)
        self._exited.clear()
        self.popen = spawn(command, self.log, mark=self._mark, tied=self._tied)
        self.detail = ""
        self.on_spawn()
        watch = asyncio.create_task(self._watch(command))
        try:
            await self._exited.wait()
        finally:
            watch.cancel()
        self.last_exit = self.popen.returncode
        # What it started itself must not outlive it and keep its port.
        send_group(self.popen.pid, signal.SIGKILL)
        self.detail = f"ended with {_reason(self.last_exit)}"
        return True

    def _with_extra(self, command: Command) -> Command:
        return replace(command, environment={**command.environment, **self._extra})

    async def _watch(self, command: Command) -> None:
        while True:
            reason = await asyncio.to_thread(command.probe)
            if reason is None:
                self.detail = ""
                await self._become("ready")
            else:
                self.detail = reason
                if self.state == "ready":
                    await self._become("unready")
            await asyncio.sleep(PROBE_EVERY if reason is None else 0.1 if self.state == "starting" else 0.5)

    def reap(self) -> None:
        """Called after SIGCHLD: notices that the process has ended."""
        if self._succession:
            return
        if self.popen and self.popen.returncode is None and self.popen.poll() is not None:
            self._exited.set()

    async def start(self, extra: Mapping[str, str] | None = None) -> None:
        """Wants it alive; returns when it was spawned, or failed to."""
        if extra is not None:
            self._extra = extra
        self._wanted = True
        if self.pid is None:
            self.state = "stopped"
            self._wish.set()
            async with self._settled:
                await self._settled.wait_for(
                    lambda: self.pid is not None or self.state in ("backoff", "external")
                )

    async def stop(self, number: int | None = None) -> None:
        """Wants it ended, and waits for that; after the command's patience it is killed."""
        self._wanted = False
        self._wish.set()
        if self.pid is not None and self.command:
            self.signal(self.command.stop_signal if number is None else number)
            self.signal(signal.SIGCONT)
            try:
                await asyncio.wait_for(self._exited.wait(), self.command.patience)
            except TimeoutError:
                send_group(self.popen.pid if self.popen else 0, signal.SIGKILL)
                await self._exited.wait()
        async with self._settled:
            await self._settled.wait_for(lambda: self.state == "stopped")

    async def restart(self, extra: Mapping[str, str] | None = None) -> None:
        if self.state == "ready" and self.command is not None and self.command.takes_over:
            await self._succeed(self.command, extra)
        else:
            await self.stop()
            await self.start(extra)

    async def _succeed(self, command: Command, extra: Mapping[str, str] | None) -> None:
        """Starts a successor beside it and waits until this one has ended by itself."""
        if extra is not None:
            self._extra = extra
        old = self.popen
        new = spawn(self._with_extra(command), self.log, mark=self._mark, tied=self._tied)
        self._succession = True
        deadline = time.monotonic() + HANDOVER
        try:
            while old is not None and old.poll() is None:
                if new.poll() is not None:
                    last = tail(self.log)
                    raise SetupError(f"The new {self.name} does not start, the old one goes on:\n{last}")
                if time.monotonic() > deadline:
                    raise SetupError(f"Nobody took {self.name} over in {HANDOVER:.0f} s, it goes on.")
                await asyncio.sleep(0.05)
            if self._wanted:
                self.popen = new
                self.since = time.time()
                self.on_spawn()
        finally:
            self._succession = False
            if self.popen is not new:
                await asyncio.to_thread(end, new, patience=1)
            if self.popen is not None and self.popen.poll() is not None:
                self._exited.set()

    def signal(self, number: int) -> None:
        if self.pid is not None:
            send(self.pid, number)

    def as_json(self, memory: int = 0) -> dict[str, Any]:
        """The public view, for `status`; `memory` in bytes."""
        command = self.command
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid,
            "kind": command.kind if command else "",
            "url": "" if command is None or "@" in command.url else command.url,
            "ports": list(command.ports) if command else [],
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "detail": self.detail,
            "since": self.since,
            "memory": memory,
        }

    async def _become(self, state: State) -> None:
        async with self._settled:
            if state != self.state:
                self.state, self.since = state, time.time()
            self._settled.notify_all()

    async def _wished(self, timeout: float | None = None) -> None:
        """Until somebody wants something else, or the time is over."""
        try:
            await asyncio.wait_for(self._wish.wait(), timeout)
        except TimeoutError:
            return
        self._wish.clear()


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"code {code}"


def memory_of(children: Iterable[Child]) -> dict[str, int]:
    """Bytes that each child and what it has started hold, by name. Looks at every process there is."""
    held: dict[int, int] = {}
    started: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid", "memory_info"]):
        info = process.info["memory_info"]
        held[process.pid] = info.rss if info else 0
        started.setdefault(process.info["ppid"], []).append(process.pid)

    def whole(pid: int) -> int:
        return held.get(pid, 0) + sum(whole(child) for child in started.get(pid, ()))

    return {child.name: whole(child.pid) for child in children if child.pid is not None}


def record(project: Project, children: Iterable[Child]) -> None:
    """Writes down who lives, so that a later supervisor finds them after a crash of this one."""
    rows = []
    for child in children:
        if child.pid is None or child.command is None:
            continue
        try:
            started = psutil.Process(child.pid).create_time()
        except psutil.Error:
            continue
        rows.append(
            {
                "name": child.name,
                "pid": child.pid,
                "started": started,
                "signal": int(child.command.stop_signal),
                "patience": child.command.patience,
            }
        )
    write_private(project.directory / "processes.json", json.dumps(rows, indent=1))


def orphans(project: Project) -> list[tuple[psutil.Process, int, float]]:
    """What an earlier supervisor left alive, in starting order: (process, stop signal, patience)."""
    found: list[tuple[psutil.Process, int, float]] = []
    try:
        rows = json.loads((project.directory / "processes.json").read_text())
    except (OSError, ValueError):
        rows = []
    for row in rows:
        try:
            process = psutil.Process(row["pid"])
            # A number alone may belong to a stranger by now; a zombie is only not reaped yet.
            if abs(process.create_time() - row["started"]) < 2 and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process, row["signal"], row["patience"]))
        except psutil.Error:
            continue
    known = {process.pid for process, _, _ in found}
    for process in psutil.process_iter():
        try:
            if process.pid not in known and process.environ().get(SUPERVISED) == project.mark:
                found.append((process, signal.SIGTERM, 10.0))
        except (psutil.Error, OSError):
            continue
    return found


def end_orphans(project: Project) -> int:
    """Ends them, the youngest first, as `down` would; returns how many there were."""
    found = orphans(project)
    # All are asked at once but the backing services, which the others need to end well.
    suite = [orphan for orphan in found if orphan[1] == signal.SIGTERM and orphan[2] < 30]
    backing = [orphan for orphan in found if orphan not in suite]
    for process, number, _ in suite:
        send(process.pid, number)
        send(process.pid, signal.SIGCONT)
    for process, number, patience in [*suite, *reversed(backing)]:
        end_orphan(process, number, patience)
    (project.directory / "processes.json").unlink(missing_ok=True)
    return len(found)

"""The background process that owns all others: starts them in order, restarts what dies, stops them in order.

`python -m deploy.local.supervisor DIRECTORY` runs the project saved there and returns at once. It listens on
the control socket for one JSON request a connection (see control.py), and holds a lock on
`supervisor.lock`, so that two cannot run one project.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import psutil

from deploy.local.children import Child, end_orphans, memory_of, record
from deploy.local.database import bootstrap_database
from deploy.local.process import Command, spawn, tail
from deploy.local.project import BACKING, SUPERVISOR, Project, SetupError, write_private
from deploy.local.suite import process_command, process_names, step

LARGEST_LOG = 20_000_000
PATIENCE = 120.0  # for one step of the start


class Supervisor:
    def __init__(self, project: Project) -> None:
        self.project = project
        self.state = "starting"
        self.failure = ""
        self.started = time.time()
        self.steps: list[dict[str, Any]] = []
        self.children: dict[str, Child] = {}
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._over = asyncio.Event()

    async def run(self) -> None:
        """From the first process to the last; returns when everything has ended."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(32))
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        socket = self.project.control_socket
        socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, socket)
        socket.chmod(0o600)
        side = [asyncio.create_task(self._rotate_logs()), asyncio.create_task(self._follow_owner())]
        start = asyncio.create_task(self._start())
        await self._over.wait()
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        await self._stop()
        for task in side:
            task.cancel()
        server.close()
        socket.unlink(missing_ok=True)

    async def _start(self) -> None:
        try:
            await self._bring_up()
        except SetupError as error:
            self.state, self.failure = "failed", str(error)
        except Exception:
            self.state, self.failure = "failed", traceback.format_exc()
            print(self.failure, file=sys.stderr, flush=True)

    async def _bring_up(self) -> None:
        left = await asyncio.to_thread(end_orphans, self.project)
        if left:
            detail = f"ended {left} orphans"
            self.steps.append({"name": "recovery", "state": "done", "detail": detail, "seconds": 0})
        for name in (*BACKING, *process_names(self.project)):
            self.add(name)
        mail = [self.children["mail"].start()] if "mail" in self.children else []
        await asyncio.gather(self._databases(), self._topics(), self._server("valkey"), *mail)
        names = process_names(self.project)
        for name in names:
            await self.children[name].start()
        async with self._step("processes"):
            await asyncio.gather(*(self._ready(name) for name in names))
        self.state = "ready"

    async def _databases(self) -> None:
        await self._server("postgres")
        async with self._step("database"):
            try:
                url = self.project.postgres_url
                await asyncio.to_thread(bootstrap_database, url)
            except Exception as error:
                raise SetupError(f"The database could not be set up: {error}") from error
        if not self.project.services:
            return
        async with self._step("migrations"):
            names = self.project.services
            await self._run_step(step(self.project, "libs.common.data.migrations", "upgrade", *names))

    async def _topics(self) -> None:
        await self._server("kafka")
        if not self.project.services:
            return
        async with self._step("topics"):
            await self._run_step(step(self.project, "deploy.local.kafka.set_up", process=SUPERVISOR))

    async def _server(self, name: str) -> None:
        async with self._step(name) as row:
            await self.children[name].start()
            await self._ready(name)
            command = self.children[name].command
            row["detail"] = command.kind if command else ""

    async def _ready(self, name: str) -> None:
        """Waits for it. What keeps dying fails the start with the end of its log."""
        child = self.children[name]
        deadline = time.monotonic() + PATIENCE
        while child.state not in ("ready", "external"):
            dying = child.state == "backoff" and child.restarts >= 3
            if dying or time.monotonic() > deadline:
                raise SetupError(f"{name} does not start: {child.detail}\n{tail(child.log)}".strip())
            await asyncio.sleep(0.03)

    async def _run_step(self, command: Command) -> None:
        log = self.project.logs / f"{command.name}.log"
        process = spawn(command, log, mark=self.project.mark, tied=self.project.owner is not None)
        deadline = time.monotonic() + PATIENCE
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise SetupError(f"{command.name} takes longer than {PATIENCE:.0f} s\n{tail(log)}")
                await asyncio.sleep(0.03)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode:
            raise SetupError(f"{command.name} failed with code {process.returncode}\n{tail(log, 25)}")

    @contextlib.asynccontextmanager
    async def _step(self, name: str) -> Any:
        row: dict[str, Any] = {"name": name, "state": "running", "detail": "", "seconds": 0.0}
        self.steps.append(row)
        began = time.monotonic()
        try:
            yield row
        except BaseException as error:
            row["state"], row["detail"] = "failed", str(error).splitlines()[0] if str(error) else ""
            raise
        else:
            row["state"] = "done"
        finally:
            row["seconds"] = round(time.monotonic() - began, 2)

    def add(self, name: str) -> Child:
        """Takes a process into care, without starting it."""
        if name in self.children:
            return self.children[name]
        log = self.project.logs / f"{name}.log"
        tied = self.project.owner is not None
        # In the thread pool, because a first start may fetch the jars of Kafka.
        child = Child(
            name, lambda: process_command(self.project, name), log, mark=self.project.mark, tied=tied
        )
        child.on_spawn = lambda: record(self.project, self.children.values())
        self.children[name] = child
        self._runs[name] = asyncio.create_task(child.run())
        return child

    async def _stop(self) -> None:
        """First what takes requests, then the services and workers, then what they stand on."""
        self.state = "stopping"
        suite = [child for name, child in self.children.items() if name not in (*BACKING, "mail")]
        for group in (
            [child for child in suite if child.name in ("gateway", "beat")],
            [child for child in suite if child.name not in ("gateway", "beat")],
            [child for name, child in self.children.items() if name in (*BACKING, "mail")],
        ):
            await asyncio.gather(*(child.stop() for child in group))
        for run in self._runs.values():
            run.cancel()
        (self.project.directory / "processes.json").unlink(missing_ok=True)

    def _reap(self) -> None:
        for child in self.children.values():
            child.reap()

    async def _rotate_logs(self) -> None:
        """Keeps two files a process; they are opened for appending, so cutting them is safe."""
        while True:
            for log in self.project.logs.glob("*.log"):
                if log.stat().st_size > LARGEST_LOG:
                    await asyncio.to_thread(shutil.copyfile, log, log.with_suffix(".log.1"))
                    os.truncate(log, 0)
            await asyncio.sleep(10)

    async def _follow_owner(self) -> None:
        """Ends the suite with the process that it was started for."""
        owner = self.project.owner
        while owner is not None:
            if not psutil.pid_exists(owner):
                self._over.set()
                return
            await asyncio.sleep(0.5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            try:
                answer = {"ok": True, **(await self._obey(request) or {})}
            except (SetupError, KeyError, ValueError, TypeError) as error:
                answer = {"ok": False, "error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ValueError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _obey(self, request: dict[str, Any]) -> dict[str, Any] | None:
        command = request["command"]
        if command == "status":
            return self.status(memory=request.get("memory", False))
        if command == "shutdown":
            self._over.set()
            return None
        name = request["name"]
        if command in ("start", "restart") and name not in self.children:
            process_command(self.project, name)  # says what is wrong with an unknown name
            self.add(name)
        if name not in self.children:
            raise SetupError(f"There is no process {name!r}: choose one of {', '.join(self.children)}.")
        child = self.children[name]
        extra = request.get("environment")
        acts: dict[str, Callable[[], Awaitable[None]]] = {
            "start": lambda: child.start(extra),
            "restart": lambda: child.restart(extra),
            "stop": lambda: child.stop(request.get("signal")),
        }
        if command == "signal":
            child.signal(int(request["signal"]))
        else:
            await acts[command]()
        return {"process": child.as_json()}

    def status(self, *, memory: bool = False) -> dict[str, Any]:
        """What `lectern status` shows. Without `memory` it is cheap: `up` asks again and again."""
        held = memory_of(self.children.values()) if memory else {}
        return {
            "state": self.state,
            "failure": self.failure,
            "pid": os.getpid(),
            "started": self.started,
            "directory": str(self.project.directory),
            "gateway": self.project.gateway_url,
            "mail": self.project.mail_url,
            "steps": self.steps,
            "processes": [child.as_json(held.get(child.name, 0)) for child in self.children.values()],
        }


def take_lock(project: Project) -> IO[str] | None:
    """The lock of the project's supervisor; None while another holds it. The kernel frees it at any death."""
    file = open(project.directory / "supervisor.lock", "w")  # noqa: SIM115 - held as long as we live
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def main() -> None:
    project = Project.saved(Path(sys.argv[1]))
    if os.fork():
        os._exit(0)
    os.setsid()
    lock = take_lock(project)
    if lock is None:
        return
    write_private(project.directory / "supervisor.pid", str(os.getpid()))
    try:
        asyncio.run(Supervisor(project).run())
    finally:
        (project.directory / "supervisor.pid").unlink(missing_ok=True)
        lock.close()


if __name__ == "__main__":
    main()

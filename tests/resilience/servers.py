"""Servers that are more than one: three brokers, a primary and its replica, one address before them."""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psycopg

from deploy.backup.database import find_tools, run_tool
from deploy.local.kafka.jars import jars
from deploy.local.kafka.server import find_java
from deploy.local.postgres import data_home, installation, postgres_command, unprivileged_user
from deploy.local.process import Command, answers_bytes, end, group_of, spawn, wait_ready
from deploy.local.project import Project, free_ports

_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_API_VERSIONS = bytes.fromhex("0000000a 0012 0000 0000002a ffff")
_BROKER = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{port}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENTS
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
replica.lag.time.max.ms=5000
"""


class Brokers:
    """Three nodes of Kafka, each broker and controller: replication 3, at least 2 in sync."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ports = free_ports(6)
        self.ports, self._controllers = ports[:3], ports[3:]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._java, self._classpath = find_java(), f"{jars()}/*"

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def format(self) -> None:
        cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(self._controllers))
        for node in range(3):
            home = self.directory / f"broker-{node}"
            home.mkdir(parents=True)
            (home / "server.properties").write_text(
                _BROKER.format(
                    node=node, voters=voters, port=self.ports[node], controller=self._controllers[node],
                    data=home / "data",
                )
            )  # fmt: skip
            argv = [self._java, *_OPTIONS, "-cp", self._classpath, "kafka.tools.StorageTool", "format"]
            subprocess.run(
                [*argv, "-t", cluster, "-c", str(home / "server.properties")], check=True, capture_output=True
            )

    def start(self, node: int) -> None:
        """Without waiting: one node alone is never ready."""
        home = self.directory / f"broker-{node}"
        argv = (self._java, *_OPTIONS, "-cp", self._classpath, "kafka.Kafka", str(home / "server.properties"))
        self._processes[node] = spawn(self._command(node, argv), home / "kafka.log", tied=True)

    def wait(self, node: int) -> None:
        wait_ready(self._command(node, ()), self._processes[node])

    def kill(self, node: int) -> None:
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def _command(self, node: int, argv: tuple[str, ...]) -> Command:
        probe = answers_bytes(self.ports[node], _API_VERSIONS, bytes.fromhex("0000002a"))
        values = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
        return Command(f"broker-{node}", argv, values, self.directory, probe)


class Address:
    """One address that leads to one of several servers, as a Service of Kubernetes does; connections end when
    it is turned."""

    def __init__(self, target: int) -> None:
        (self.port,) = free_ports(1)
        self.target = target
        self._open: set[asyncio.StreamWriter] = set()
        # In a thread of its own: what connects through it may block the loop of the proof.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="address")

    def __enter__(self) -> "Address":
        self._thread.start()
        self._do(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def turn(self, target: int) -> None:
        self.target = target
        self._do(self._cut())

    def _do(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _cut(self) -> None:
        for writer in self._open:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, outer}
        await asyncio.gather(_pump(reader, outer), _pump(inner, writer))
        self._open -= {writer, outer}


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.close()


class Node:
    """One PostgreSQL of a pair, of which either may be the primary."""

    def __init__(self, directory: Path, password: str) -> None:
        self.project = Project.for_tests(directory)
        directory.mkdir(parents=True)
        (directory / "postgres.password").write_text(password)
        self.user = unprivileged_user()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return self.project.ports["postgres"]

    @property
    def data(self) -> Path:
        return data_home(self.project.directory, self.user, create=True) / "data"

    def start(self) -> None:
        command = postgres_command(self.project)
        command.prepare()
        self._process = spawn(command, self.project.directory / "postgres.log", tied=True)
        wait_ready(command, self._process)

    def kill(self) -> None:
        """All of its processes at once, as with the machine."""
        assert self._process is not None
        children = subprocess.run(
            ["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False
        )
        for pid in (str(self._process.pid), *children.stdout.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            end(self._process, signal.SIGINT)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.project.postgres_url, autocommit=True)

    def follow(self, primary: "Node") -> None:
        """Become its replica, from a copy of it."""
        target = self.data
        run_tool(
            find_tools() / "pg_basebackup", "-D", target, "-d", primary.project.postgres_url, "-R",
            "-X", "stream", "--checkpoint=fast",
        )  # fmt: skip
        self._own(target)
        self.start()

    def rewind_to(self, primary: "Node") -> None:
        """Be its replica again after having been primary: what only this one had is thrown away."""
        self.start()  # ends what the kill interrupted, as pg_rewind asks for
        self.stop()
        argv = [str(installation(self.user) / "bin" / "pg_rewind"), f"--target-pgdata={self.data}"]
        argv += [f"--source-server={primary.project.postgres_url}", "--write-recovery-conf"]
        done = subprocess.run(
            argv, cwd="/", user=self.user, group=group_of(self.user), extra_groups=[] if self.user else None,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.start()

    def _own(self, place: Path) -> None:
        if self.user is not None:
            for path in (place, *place.rglob("*")):
                shutil.chown(path, self.user, group_of(self.user))


async def until(holds: Callable[[], bool], seconds: float) -> float:
    """How long it took. Raises AssertionError."""
    began = time.monotonic()
    while not await asyncio.to_thread(holds):
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - began

"""The backing services, each in the order URL (environment variable) → embedded → Docker.

The supervisor and the tests get theirs here, and both say which kind they got.
"""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.docker import docker_command, docker_is_here, placeholder
from deploy.local.kafka.server import kafka_command
from deploy.local.postgres import postgres_command
from deploy.local.process import Command, end, spawn, tail, wait_ready
from deploy.local.project import BACKING, SUPERVISOR, Project, SetupError
from deploy.local.valkey import valkey_command


@dataclass
class Server:
    """A running backing service. `pid` is None where somebody else runs it."""

    command: Command
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    login: Mapping[str, str] = field(default_factory=dict)
    """Of Kafka: the variables by which the supervisor logs in."""

    @property
    def url(self) -> str:
        return self.command.url

    @property
    def kind(self) -> str:
        return self.command.kind

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def stop(self) -> None:
        if self.process:
            end(self.process, self.command.stop_signal, self.command.patience)


def server_command(project: Project, server: str, *, durable: bool = True) -> Command:
    """How this project gets the service. Kind `url` has no process: an empty argv."""
    given = project.given(server)
    if given:
        return Command(server, (), {}, project.directory, kind="url", url=given)
    embedded: dict[str, Callable[[], Command]] = {
        "postgres": lambda: postgres_command(project, durable=durable),
        "valkey": lambda: valkey_command(project, durable=durable),
        "kafka": lambda: kafka_command(project),
    }
    wanted = os.environ.get("LECTERN_SERVERS", "")
    if wanted not in ("", "embedded", "docker"):
        raise SetupError(f"LECTERN_SERVERS is {wanted!r}: unset it, or set it to embedded or docker.")
    try:
        command = embedded[server]()
    except SetupError:
        if wanted == "embedded" or not docker_is_here():
            raise
        return docker_command(project, server, placeholder(project, server))
    return docker_command(project, server, command) if wanted == "docker" else command


def start_postgres(directory: Path, port: int | None = None, *, durable: bool = True) -> Server:
    return start_servers(_project(directory, "postgres", port), ("postgres",), durable=durable)["postgres"]


def start_valkey(directory: Path, port: int | None = None, *, durable: bool = True) -> Server:
    return start_servers(_project(directory, "valkey", port), ("valkey",), durable=durable)["valkey"]


def start_kafka(directory: Path, port: int | None = None) -> Server:
    return start_servers(_project(directory, "kafka", port), ("kafka",))["kafka"]


def start_servers(
    project: Project, servers: Sequence[str] = BACKING, *, durable: bool = True
) -> dict[str, Server]:
    """Starts them side by side and returns when all are ready. They end with the calling thread."""
    project.directory.mkdir(parents=True, exist_ok=True)
    project.logs.mkdir(exist_ok=True)
    started: dict[str, Server] = {}
    with ThreadPoolExecutor(len(servers)) as pool:

        def prepared(name: str) -> Command:
            command = server_command(project, name, durable=durable)
            command.prepare()
            return command

        try:
            for future in [pool.submit(prepared, name) for name in servers]:
                command = future.result()
                log = project.logs / f"{command.name}.log"
                # Here and not in the pool: the kernel ends a tied child with the thread that made it.
                process = spawn(command, log, tied=True) if command.argv else None
                login = project.kafka_login(SUPERVISOR) if command.name == "kafka" else {}
                started[command.name] = Server(command, process, log, login)
            waits = [pool.submit(_wait, server) for server in started.values()]
            for wait in waits:
                wait.result()
        except BaseException:
            stop_servers(started)
            raise
    return started


def stop_servers(servers: dict[str, Server]) -> None:
    with ThreadPoolExecutor(len(servers) or 1) as pool:
        list(pool.map(Server.stop, servers.values()))


def _wait(server: Server) -> None:
    if server.process is None:
        return
    try:
        wait_ready(server.command, server.process)
    except (TimeoutError, ChildProcessError) as error:
        last = tail(server.log) if server.log else ""
        raise SetupError(f"{error}\n{last}") from error


def _project(directory: Path, name: str, port: int | None) -> Project:
    project = Project.for_tests(directory)
    if port is None:
        return project
    return Project(directory.absolute(), {**project.ports, name: port}, owner=os.getpid(), with_seed=False)

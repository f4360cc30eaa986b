"""What can be in the way on this machine: each finding is one sentence with the command that mends it."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
from pydantic import ValidationError

from deploy.local.docker import docker_is_here
from deploy.local.kafka.jars import are_cached
from deploy.local.kafka.server import find_java, java_version
from deploy.local.postgres import installation, postgres_command
from deploy.local.project import LAST_PORT, OBSERVERS, Project, SetupError, environment, port_is_free
from deploy.local.servers import server_command
from deploy.local.valkey import valkey_command

LEAST_DISK = 1_000_000_000
LEAST_MEMORY = 1_500_000_000
_OF = {"smtp": "mail", "kafka_controller": "kafka"}


@dataclass(frozen=True)
class Finding:
    name: str
    ok: bool
    detail: str


def before_start(project: Project) -> None:
    """Raises SetupError with the first thing that would stop the suite."""
    for check in (_production, _disk, _java, _maven, _ports):
        check(project)


def doctor(project: Project, running: bool) -> list[Finding]:
    """Everything, whether it is in the way or not. While the suite runs its ports are its own."""
    checks: dict[str, Callable[[Project], str]] = {
        "production": _production,
        "python": _python,
        "disk": _disk,
        "memory": _memory,
        "java": _java,
        "maven": _maven,
        "postgres": _postgres,
        "valkey": lambda project: project.given("valkey") or valkey_command(project).argv[0],
        "ports": (lambda _: "in use by the suite itself") if running else _ports,
        "docker": _docker,
    }
    findings = []
    for name, check in checks.items():
        try:
            findings.append(Finding(name, True, check(project)))
        except SetupError as error:
            findings.append(Finding(name, False, str(error)))
    return findings


def _production(project: Project) -> str:
    """The settings of each process as it will be started with them; production refuses unsafe ones."""
    if not project.production:
        return "not production"
    processes = [*project.services, *(["gateway"] if project.with_gateway else [])]
    for name in processes:
        module = "gateway.settings" if name == "gateway" else f"services.{name}.settings"
        settings: Any = import_module(module)
        kind = settings.GatewaySettings if name == "gateway" else settings.Settings
        kept, told = dict(os.environ), environment(project, name)
        try:
            os.environ.clear()
            os.environ.update(told)
            kind()
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise SetupError(f"{first['msg'].removeprefix('Value error, ')}.") from None
        finally:
            os.environ.clear()
            os.environ.update(kept)
    return "all settings are fit for production"


def _python(_: Project) -> str:
    return f"{sys.version.split()[0]} ({sys.executable})"


def _disk(project: Project) -> str:
    place = _existing(project.directory)
    free = shutil.disk_usage(place).free
    if free < LEAST_DISK:
        raise SetupError(
            f"Only {free / 1e9:.2f} GB are free under {place} and {LEAST_DISK / 1e9:.0f} GB are needed: "
            "free some, or keep the data elsewhere with 'LECTERN_DIRECTORY=/larger/disk/lectern make up'."
        )
    return f"{free / 1e9:.0f} GB free under {place}"


def _memory(_: Project) -> str:
    free = psutil.virtual_memory().available
    if free < LEAST_MEMORY:
        raise SetupError(
            f"Only {free / 1e9:.1f} GB of memory are free and {LEAST_MEMORY / 1e9:.1f} GB are needed: "
            "see what takes it with 'ps aux --sort=-rss | head'."
        )
    return f"{free / 1e9:.1f} GB available"


def _java(project: Project) -> str:
    if project.given("kafka") or _by_docker():
        return "not needed: Kafka is given"
    try:
        java = find_java()
    except SetupError:
        if docker_is_here():
            return "missing; Kafka runs in Docker"
        raise
    return f"{java} ({java_version(java)})"


def _maven(project: Project) -> str:
    if project.given("kafka") or _by_docker():
        return "not needed: Kafka is given"
    if are_cached():
        return "not needed: Kafka's jars are cached"
    maven = shutil.which("mvn")
    if maven is None:
        if docker_is_here():
            return "missing; Kafka runs in Docker"
        raise SetupError(
            "Maven is missing, which brings Apache Kafka: install it with 'apt-get install maven', "
            "or set LECTERN_KAFKA=host:port to use a broker of yours."
        )
    return maven


def _postgres(project: Project) -> str:
    if project.given("postgres"):
        return "given by LECTERN_POSTGRES_URL"
    if _by_docker():
        return server_command(project, "postgres").kind
    command = postgres_command(project)
    who = f" as {command.user}" if command.user else ""
    return f"{installation(command.user)}{who}"


def _docker(_: Project) -> str:
    return "answers" if docker_is_here() else "not here, not needed"


def _ports(project: Project) -> str:
    for name, port in project.ports.items():
        if name in OBSERVERS:  # started by `lectern observe`, which is not everybody's
            continue
        server = _OF.get(name, name)
        if server in ("postgres", "valkey", "kafka") and project.given(server):
            continue
        # A process that is just ending holds its port a moment longer than its pid.
        deadline = time.monotonic() + 3
        while not port_is_free(port) and not _holder(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not port_is_free(port):
            variable = f"LECTERN_PORT_{name.upper()}"
            raise SetupError(
                f"Port {port} ({name}) is in use by {_holder(port) or _unknown(port)}, "
                f"or choose another port with '{variable}={_next_free(port, project)} make up'."
            )
    return f"{len(project.ports)} ports are free"


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if local and local.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f"{name} (pid {connection.pid}): end it with 'kill {connection.pid}'"
    except psutil.Error:
        pass
    return ""


def _unknown(port: int) -> str:
    return f"another process: find it with 'ss -ltnp sport = :{port}' and end it"


def _next_free(port: int, project: Project) -> int:
    taken = set(project.ports.values())
    return next(
        (other for other in range(port + 1, LAST_PORT) if other not in taken and port_is_free(other)), port
    )


def _by_docker() -> bool:
    return os.environ.get("LECTERN_SERVERS") == "docker"


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path

"""Backing services of the pods: PostgreSQL, Valkey, Kafka and the mail catcher on this machine, at an address
that pods reach, and the Services and Secrets by which the manifests name them."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.k8s.__main__ import random_secrets
from deploy.local.database import service_url
from deploy.local.kafka.server import kafka_command
from deploy.local.process import Command, answers_http, end, spawn, wait_ready
from deploy.local.project import CHECKOUT, KAFKA_USERS, SUPERVISOR, Project, environment, role_password
from deploy.local.servers import start_servers, stop_servers
from libs.common.runtime.settings import SERVICES
from libs.common.runtime.valkey import USERS
from tests.kubernetes.cluster import NAMESPACE
from tests.kubernetes.node import HOST
from tests.kubernetes.rendered import Json


@dataclass(frozen=True)
class ClusterProject(Project):
    """The suite in the cluster, for commands of an operator on this machine: they go to the same servers."""

    gateway: str = ""

    @property
    def gateway_url(self) -> str:
        return self.gateway


class Forwarder:
    """Connections to the machine's address are passed on to loopback, where the servers listen."""

    def __init__(self, ports: dict[int, int]) -> None:
        self._ports = ports
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    async def _listen(self) -> None:
        for outside, inside in self._ports.items():

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = inside
            ) -> None:
                with suppress(OSError, asyncio.CancelledError):
                    there = await asyncio.open_connection("127.0.0.1", port)
                    await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))

            self._servers.append(await asyncio.start_server(serve, HOST, outside))

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        with suppress(OSError):
            writer.close()


@dataclass(frozen=True)
class Backing:
    """Running servers; `project` without the gateway's address, which the cluster gives later."""

    project: ClusterProject
    kafka_port: int

    def manifests(self) -> list[Json]:
        """Services without pods, and the Secrets."""
        ports = {"postgres": 5432, "valkey": 6379, "valkey-broker": 6379, "mail": 8026, "kafka": 9092}
        return [each for name, port in ports.items() for each in self._service(name, port)] + self._secrets()

    def _service(self, name: str, port: int) -> list[Json]:
        target = self.kafka_port if name == "kafka" else port
        metadata = {"name": name, "namespace": NAMESPACE}
        service: Json = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": name, "port": port, "targetPort": target}]},
        }
        slice_: Json = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [HOST], "conditions": {"ready": True}}],
            "ports": [{"name": name, "port": target}],
        }
        return [service, slice_]

    def _secrets(self) -> list[Json]:
        """Random ones, but for the passwords that the servers have already."""
        project = self.project
        made = {secret["metadata"]["name"]: secret for secret in random_secrets()}
        known = {f"database-{each}": role_password(project.postgres_url, each) for each in SERVICES}
        known |= {f"kafka-{user}": project.password("kafka", user) for user in USERS}
        known |= {f"valkey-{user}": project.password("valkey", user) for user in (*USERS, "tasks")}
        known["kafka-admin"] = project.password("kafka", SUPERVISOR)
        known["postgres-superuser"] = project.secret("postgres.password")
        for name, password in known.items():
            made[name]["stringData"]["password"] = password
        made["kafka-admin"]["stringData"]["username"] = SUPERVISOR
        made["mail"]["stringData"]["url"] = "smtp://mail:8026"
        made["storage"]["stringData"] = dict.fromkeys(made["storage"]["stringData"], "files-lie-on-a-volume")
        made["lectern"]["stringData"]["secret"] = project.secret("suite.secret") * 2
        for secret in made.values():
            secret["metadata"] = {**secret["metadata"], "namespace": NAMESPACE}
        return list(made.values())


@contextmanager
def backing_services(directory: Path) -> Iterator[Backing]:
    """All are ready; Kafka's users have their passwords, topics and rights are for the Job to make."""
    local = Project.for_tests(directory)
    kafka_port = local.ports["kafka"]
    servers = start_servers(local, ("postgres", "valkey"))
    processes: list[tuple[Command, subprocess.Popen[bytes]]] = []
    forwarder = Forwarder(
        {5432: local.ports["postgres"], 6379: local.ports["valkey"], 8026: local.ports["smtp"]}
    )
    try:
        for command in (_kafka(local), _mail(local)):
            command.prepare()
            process = spawn(command, local.logs / f"{command.name}.log", tied=True)
            processes.append((command, process))
            wait_ready(command, process)
        login = local.kafka_login(SUPERVISOR)
        databases = {
            f"{service.upper()}_DATABASE_URL": service_url(local.postgres_url, service)
            for service in SERVICES
        }
        extra = {**local.extra, **databases, **login, "LECTERN_KAFKA": f"{HOST}:{kafka_port}"}
        extra["LECTERN_SECRET"] = local.secret("suite.secret") * 2
        fields = {name: getattr(local, name) for name in local.__dataclass_fields__}
        project = ClusterProject(**{**fields, "extra": extra})
        _set_passwords(project)
        yield Backing(project, kafka_port)
    finally:
        for command, process in reversed(processes):
            end(process, command.stop_signal, command.patience)
        forwarder.stop()
        stop_servers(servers)


def _kafka(project: Project) -> Command:
    """Listens where pods reach it, and tells them so."""
    command = kafka_command(project)
    port = project.ports["kafka"]
    properties = project.directory / "kafka" / "server.properties"

    def prepare() -> None:
        command.prepare()
        text = properties.read_text()
        properties.write_text(text.replace(f"CLIENTS://127.0.0.1:{port}", f"CLIENTS://{HOST}:{port}"))

    def probe() -> str | None:
        import socket

        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError as error:
            return str(error)
        return None

    return replace(command, prepare=prepare, probe=probe)


def _mail(project: Project) -> Command:
    argv = (sys.executable, "-m", "deploy.local.mail")
    return Command(
        "mail",
        argv,
        environment(project, "mail"),
        CHECKOUT,
        answers_http(project.ports["mail"], "/api/messages"),
    )


def _set_passwords(project: Project) -> None:
    passwords = {user: project.password("kafka", user) for user in (*USERS, SUPERVISOR)}
    code = "import asyncio; from deploy.local.kafka.set_up import _set_up; asyncio.run(_set_up())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={**environment(project), KAFKA_USERS: json.dumps(passwords), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise RuntimeError(f"Kafka's users: {done.stderr[-1500:]}")

"""A backing service in a container, by testcontainers: on request (LECTERN_SERVERS=docker).

`python -m deploy.local.docker postgres` runs one in the foreground until SIGTERM, so that the supervisor and
the tests treat it like any other process. Ryuk removes the container if this process is killed.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from typing import Any, cast

from deploy.local.kafka.server import security_settings
from deploy.local.process import Command, answers_bytes
from deploy.local.project import SUPERVISOR, Project, SetupError, environment
from deploy.local.valkey import acl_file, valkey_probe

IMAGES = {"postgres": "postgres:18.6", "valkey": "valkey/valkey:9.1", "kafka": "apache/kafka:4.4.0"}


def docker_command(project: Project, server: str, embedded: Command) -> Command:
    """The same service with the same URL and probe as the embedded one, in a container."""
    port = project.ports[server]
    values = environment(project, server) | {
        "LECTERN_DOCKER_PORT": str(port),
        "LECTERN_DOCKER_PASSWORD": (
            project.password("kafka", SUPERVISOR)
            if server == "kafka"
            else project.secret("postgres.password")
        ),
        "LECTERN_DOCKER_USERS": acl_file(project) if server == "valkey" else "",
        "LECTERN_DOCKER_VOLUME": "" if project.owner else f"lectern-{project.mark}-{server}",
    }
    argv = (sys.executable, "-m", "deploy.local.docker", server)
    return Command(
        server,
        argv,
        values,
        project.directory,
        embedded.probe,
        _require_docker,
        kind="docker",
        url=embedded.url,
        ports=(port,),
        patience=30,
    )


def placeholder(project: Project, server: str) -> Command:
    """What `docker_command` takes over where the embedded server is impossible: URL and probe."""
    port = project.ports[server]
    url = {"postgres": project.postgres_url, "valkey": project.valkey_url, "kafka": project.kafka}[server]
    probe = valkey_probe(project) if server == "valkey" else answers_bytes(port, b"", b"")
    return Command(server, (), {}, project.directory, probe, url=url)


def docker_is_here() -> bool:
    """Whether a daemon answers."""
    import docker
    from docker.errors import DockerException

    # Docker's own client leaks its socket where nothing listens.
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(address.removeprefix("unix://"))
            except OSError:
                return False
    try:
        with contextlib.closing(docker.from_env(timeout=5)) as client:
            return bool(client.ping())
    except (DockerException, OSError):
        return False


def _require_docker() -> None:
    if not docker_is_here():
        raise SetupError(
            "LECTERN_SERVERS is docker and no Docker daemon answers: start it with 'systemctl start docker', "
            "or unset LECTERN_SERVERS to use the embedded servers."
        )


def run(server: str) -> None:
    """Runs the container until this process is asked to stop; its data stays in a volume."""
    from testcontainers.core.container import DockerContainer

    port = int(os.environ["LECTERN_DOCKER_PORT"])
    volume = os.environ.get("LECTERN_DOCKER_VOLUME")
    container = DockerContainer(IMAGES[server])
    # testcontainers hands the pair on to Docker as it is; its own annotation knows only a number.
    address = cast(Any, ("127.0.0.1", port))
    if server == "postgres":
        container.with_bind_ports("5432/tcp", address)
        container.with_env("POSTGRES_PASSWORD", os.environ["LECTERN_DOCKER_PASSWORD"])
        container.with_command("postgres -c max_connections=300 -c shared_buffers=96MB -c timezone=UTC")
        where = "/var/lib/postgresql"
    elif server == "valkey":
        container.with_bind_ports("6379/tcp", address)
        container.with_env("USERS", os.environ["LECTERN_DOCKER_USERS"])
        server_line = "valkey-server --appendonly yes --maxmemory-policy noeviction --aclfile /tmp/users.acl"
        write_users = 'printf "%s" "$USERS" > /tmp/users.acl'
        container.with_command(["sh", "-c", f"{write_users} && exec docker-entrypoint.sh {server_line}"])
        where = "/data"
    else:
        container.with_bind_ports(f"{port}/tcp", address)
        settings = {
            "NODE_ID": "1",
            "PROCESS_ROLES": "broker,controller",
            "LISTENERS": f"CLIENTS://0.0.0.0:{port},CONTROLLER://127.0.0.1:19093",
            "ADVERTISED_LISTENERS": f"CLIENTS://127.0.0.1:{port}",
            "CONTROLLER_QUORUM_VOTERS": "1@127.0.0.1:19093",
            "AUTO_CREATE_TOPICS_ENABLE": "false",
            "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
            "SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
            "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "LOG_DIRS": "/var/lib/kafka/data",
        }
        # The image reads `a.b-c` from KAFKA_A_B___C.
        for name, value in security_settings(os.environ["LECTERN_DOCKER_PASSWORD"]).items():
            settings[name.upper().replace("-", "___").replace(".", "_")] = value
        for name, value in settings.items():
            container.with_env(f"KAFKA_{name}", value)
        container.with_env("KAFKA_HEAP_OPTS", "-Xmx256m")
        where = "/var/lib/kafka/data"
    if volume:
        container.with_volume_mapping(volume, where, "rw")
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    container.start()
    try:
        asked.wait()
    finally:
        container.get_wrapped_container().stop(timeout=20)
        container.stop()


if __name__ == "__main__":
    run(sys.argv[1])

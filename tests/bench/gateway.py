"""The gateway against nginx `proxy_pass` with keep-alive, in one run, each on one core; and what it bears.

Both stand before the same static upstream (nginx, 1 KB of JSON) and get the same requests, with a valid
token. The gateway routes, checks the token, asks Valkey about limits, makes ids, counts and logs. Best of
several alternating rounds. Then: the same calls while learning takes connections and never answers, and
WebSockets that are open and silent.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil

from deploy.local.servers import start_valkey
from libs.common.security.tokens import SigningKey, mint
from tests.bench.figures import CHECKOUT, Figure

LEAST, AIM = 0.25, 0.75
ROUNDS, SECONDS, CONNECTIONS = 3, 4, 32
SOCKETS = 1000
STUCK = 20
"""Requests that wait for the service which never answers, at any time."""
NEVER_LIMITED = 1_000_000_000


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def nginx_config(directory: Path, role: str, server: str) -> Path:
    """A one-worker nginx that keeps everything below `directory`."""
    paths = "".join(
        f"{kind}_temp_path {directory}/{role}-{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = directory / f"{role}.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {directory}/{role}.pid; error_log {directory}/{role}.log;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; keepalive_requests 100000000; {paths} {server} }}\n"
    )
    return config


def wait_for(port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/courses/", timeout=1):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing answers on port {port}")


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and its children, so that nginx's worker counts."""
    family = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def load(port: int, token: str | None, core: str, seconds: int) -> tuple[float, float]:
    """Requests per second and p99 in ms; anything but 2xx is an error."""
    signed_in = ["-H", f"Authorization: Bearer {token}"] if token else []
    command = [
        "taskset", "-c", core, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *signed_in,
        "-H", "Accept: application/json", "-H", "User-Agent: bench",
        f"http://127.0.0.1:{port}/api/courses/",
    ]  # fmt: skip
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if not rate or not p99:
        raise RuntimeError(text)
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


@dataclass
class Stand:
    """The gateway and nginx on one core, before one upstream; the load comes from the other core."""

    directory: Path
    core: str
    load_core: str
    token: str
    ports: dict[str, int]
    processes: dict[str, psutil.Process] = field(default_factory=dict)


@contextlib.contextmanager
def stand(cores: list[int]) -> Iterator[Stand]:
    """Start all of it; everything ends with the block."""
    key = SigningKey.generate()
    token = mint(
        key, issuer="lectern", audience="lectern-api", user=uuid4(), session=uuid4(), role="student",
        version=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lectern-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx's worker gives up root
        ports = {role: free_port() for role in ("upstream", "nginx", "gateway", "silent")}
        made = Stand(directory, str(cores[0]), str(cores[1]), token, ports)
        valkey = start_valkey(directory / "valkey", durable=False)
        try:
            with _processes(made, key, valkey.url):
                yield made
        finally:
            valkey.stop()


@contextlib.contextmanager
def _processes(made: Stand, key: SigningKey, valkey: str) -> Iterator[None]:
    directory, ports = made.directory, made.ports
    card = {"uuid": str(uuid4()), "title": "A course", "description": "x" * 880}
    (directory / "course.json").write_text(json.dumps({"count": 1, "results": [card]}))
    (directory / "jwks.json").write_text(json.dumps({"keys": [key.public_jwk()]}))
    static = nginx_config(
        directory, "upstream",
        f"server {{ listen 127.0.0.1:{ports['upstream']}; root {directory}; default_type application/json; "
        "open_file_cache max=10; location / { try_files /course.json =404; } "
        "location = /.well-known/jwks.json { try_files /jwks.json =404; } }",
    )  # fmt: skip
    plain = nginx_config(
        directory, "proxy",
        f"upstream static {{ server 127.0.0.1:{ports['upstream']}; keepalive 64; }} "
        f"server {{ listen 127.0.0.1:{ports['nginx']}; location / {{ proxy_pass http://static; "
        'proxy_http_version 1.1; proxy_set_header Connection ""; } }',
    )  # fmt: skip
    upstream, silent = f"http://127.0.0.1:{ports['upstream']}", f"http://127.0.0.1:{ports['silent']}"
    environment = {
        **os.environ, "GATEWAY_PORT": str(ports["gateway"]), "GATEWAY_CATALOG_URL": upstream,
        "GATEWAY_LEARNING_URL": silent, "GATEWAY_NOTIFY_URL": silent,
        "LECTERN_JWKS_URL": f"{upstream}/.well-known/jwks.json", "LECTERN_VALKEY_URL": valkey,
        "LECTERN_KAFKA": "127.0.0.1:1", "LECTERN_LOG_FORMAT": "json", "GATEWAY_START_PATIENCE": "1",
        "GATEWAY_LIMIT_SIGNED_IN": str(NEVER_LIMITED), "GATEWAY_LIMIT_ANONYMOUS": str(NEVER_LIMITED),
        "GATEWAY_CONNECTIONS_PER_ADDRESS": str(2 * SOCKETS),
    }  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    with (directory / "gateway.log").open("wb") as log:

        def start(core: str, *command: str) -> psutil.Process:
            process = subprocess.Popen(
                ["taskset", "-c", core, *command], env=environment, stdout=log, stderr=log, cwd=CHECKOUT
            )
            started.append(process)
            return psutil.Process(process.pid)

        try:
            start(made.load_core, "nginx", "-c", str(static))
            made.processes["nginx"] = start(made.core, "nginx", "-c", str(plain))
            made.processes["gateway"] = start(made.core, sys.executable, "-m", "gateway")
            for role in ("upstream", "nginx", "gateway"):
                wait_for(ports[role])
            time.sleep(2)  # the gateway gives up waiting for Kafka, which is not here
            yield
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{(directory / 'gateway.log').read_text()[-3000:]}") from error
        finally:
            for process in started:
                process.terminate()
            for process in started:
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()


def compare(made: Stand) -> Figure:
    best: dict[str, tuple[float, float, float]] = {}
    for number in range(ROUNDS + 1):
        for name, process in made.processes.items():
            seconds = SECONDS if number else 1
            before = cpu_seconds(process)
            rate, p99 = load(made.ports[name], made.token, made.load_core, seconds)
            spent = (cpu_seconds(process) - before) / (rate * seconds)
            if number and rate > best.get(name, (0.0,))[0]:
                best[name] = (rate, p99, spent * 1e6)
    return Figure(
        "gateway against nginx proxy_pass",
        best["gateway"][0] / best["nginx"][0],
        least=LEAST,
        aim=AIM,
        detail="; ".join(
            f"{name} {rate:,.0f} rps, p99 {p99:.2f} ms, {spent:.1f} µs CPU a request"
            for name, (rate, p99, spent) in best.items()
        ),
        reason="routing, token check, ids, limits and metrics run in Python on the proxied path",
    )


class Silent:
    """A service that takes every connection: plain requests are never answered, sockets are opened."""

    def __init__(self) -> None:
        self._writers: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}
        self.asked = 0

    async def start(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._take, "127.0.0.1", port, backlog=2048)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[asyncio.current_task()] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                if b"websocket" in head:
                    writer.write(
                        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                        b"Upgrade: websocket\r\n\r\n"
                    )

    async def close(self) -> None:
        for writer in self._writers.values():
            writer.transport.abort()
        await asyncio.gather(*filter(None, self._writers))


async def black_hole(made: Stand, silent: Silent) -> Figure:
    """p99 of proxied calls while others wait for a service that never answers."""
    process = made.processes["gateway"]
    port, stop = made.ports["gateway"], asyncio.Event()
    head = f"GET /api/quizzes/ HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {made.token}\r\n\r\n".encode()

    async def wait_in_vain() -> None:
        while not stop.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            refused = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
            await asyncio.wait({refused, ended}, return_when=asyncio.FIRST_COMPLETED)
            refused.cancel()
            with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError):
                await refused
            writer.transport.abort()
            await asyncio.sleep(0.05)

    ended = asyncio.ensure_future(stop.wait())
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(ROUNDS):
        alone.append((await asyncio.to_thread(load, port, made.token, made.load_core, 2))[1])
        stop.clear()
        ended = asyncio.ensure_future(stop.wait())
        waiting = [asyncio.create_task(wait_in_vain()) for _ in range(STUCK)]
        beside.append((await asyncio.to_thread(load, port, made.token, made.load_core, 2))[1])
        stop.set()
        await asyncio.gather(*waiting)
    if silent.asked < STUCK or not process.is_running():
        raise RuntimeError(f"only {silent.asked} requests reached the service that never answers")
    alone.sort()
    beside.sort()
    return Figure(
        "p99 of a proxied call with a service black-holed, against without",
        beside[ROUNDS // 2] / alone[ROUNDS // 2],
        " ×",
        least=2.0,
        aim=1.2,
        at_most=True,
        detail=f"{beside[ROUNDS // 2]:.2f} ms against {alone[ROUNDS // 2]:.2f} ms, medians of {ROUNDS}"
        f" rounds, the core fully used; {STUCK} calls waited all the time for a service that takes"
        f" connections and never answers",
        reason="each call that waits is swept and accounted for on the same core",
    )


async def idle_sockets(made: Stand) -> Figure:
    """Memory of the gateway per open and silent WebSocket."""
    process, port = made.processes["gateway"], made.ports["gateway"]
    lines = (
        "GET /ws/notifications/?ticket=bench HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "\r\n"
    )

    async def open_one() -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(lines.encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        if b" 101 " not in answer:
            raise RuntimeError(answer.decode(errors="replace"))
        return writer

    open_ones = [await open_one() for _ in range(50)]  # what is allocated once is not counted
    before = process.memory_full_info().uss
    open_ones += [await open_one() for _ in range(SOCKETS - 50)]
    each = (process.memory_full_info().uss - before) / (SOCKETS - 50) / 1024
    for writer in open_ones:
        writer.transport.abort()
    return Figure(
        "gateway's memory per idle WebSocket",
        each,
        " KiB",
        detail=f"{SOCKETS} sockets, both of their connections in it; unique set size",
    )


def cannot() -> str:
    """Why nothing can be measured here; empty if it can."""
    missing = [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install nginx wrk)"
    if len(os.sched_getaffinity(0)) < 2:
        return "needs two cores: one for the server, one for the load"
    return ""


async def measure() -> list[Figure]:
    reason = cannot()
    if reason:
        return [Figure("gateway against nginx proxy_pass", None, detail=reason)]
    figures: list[Figure] = []
    with stand(sorted(os.sched_getaffinity(0))) as made:
        figures.append(await asyncio.to_thread(compare, made))
        silent = Silent()
        server = await silent.start(made.ports["silent"])
        try:
            figures.append(await black_hole(made, silent))
            figures.append(await idle_sockets(made))
        finally:
            server.close()
            await silent.close()
    return figures

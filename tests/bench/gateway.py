"""The gateway against nginx `proxy_pass` with keep-alive, in one run, each on one core.

Both stand before the same static upstream (nginx, 1 KB of JSON) and get the same requests, with a valid
token. The gateway routes, checks the token, makes ids, counts and logs. Best of several alternating rounds.
`python -m tests.bench.gateway` prints the result; `run()` returns it.
"""

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
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from libs.common.tokens import SigningKey, mint

LEAST, AIM = 0.25, 0.75
ROUNDS, SECONDS, CONNECTIONS = 3, 4, 32
NAME = "gateway against nginx proxy_pass"


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


def load(port: int, token: str, core: str, seconds: int) -> tuple[float, float]:
    """Requests per second and p99 in ms; anything but 2xx is an error."""
    command = [
        "taskset", "-c", core, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency",
        "-H", f"Authorization: Bearer {token}", "-H", "Accept: application/json",
        "-H", "User-Agent: bench", f"http://127.0.0.1:{port}/api/courses/",
    ]  # fmt: skip
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if not rate or not p99:
        raise RuntimeError(text)
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


def run() -> dict[str, Any]:
    """`ratio` is None where nginx, wrk or a second core is missing; `detail` says which."""
    missing = [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]
    result: dict[str, Any] = {"name": NAME, "ratio": None, "least": LEAST, "aim": AIM, "detail": {}}
    if missing:
        result["detail"] = {"skipped": f"not installed: {', '.join(missing)} (apt-get install nginx wrk)"}
        return result
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        result["detail"] = {"skipped": "needs two cores: one for the server, one for the load"}
        return result
    key = SigningKey.generate()
    token = mint(
        key, issuer="lectern", audience="lectern-api", user=uuid4(), session=uuid4(), role="student",
        version=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lectern-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx's worker gives up root
        result.update(measure(directory, token, key, str(cores[0]), str(cores[1])))
    return result


def measure(directory: Path, token: str, key: SigningKey, server_core: str, load_core: str) -> dict[str, Any]:
    upstream, proxy, gateway = free_port(), free_port(), free_port()
    card = {"uuid": str(uuid4()), "title": "A course", "description": "x" * 880}
    (directory / "course.json").write_text(json.dumps({"count": 1, "results": [card]}))
    (directory / "jwks.json").write_text(json.dumps({"keys": [key.public_jwk()]}))
    static = nginx_config(
        directory, "upstream",
        f"server {{ listen 127.0.0.1:{upstream}; root {directory}; default_type application/json; "
        "open_file_cache max=10; location / { try_files /course.json =404; } "
        "location = /.well-known/jwks.json { try_files /jwks.json =404; } }",
    )  # fmt: skip
    plain = nginx_config(
        directory, "proxy",
        f"upstream static {{ server 127.0.0.1:{upstream}; keepalive 64; }} "
        f"server {{ listen 127.0.0.1:{proxy}; location / {{ proxy_pass http://static; "
        'proxy_http_version 1.1; proxy_set_header Connection ""; } }',
    )  # fmt: skip
    environment = {
        **os.environ, "GATEWAY_PORT": str(gateway), "GATEWAY_CATALOG_URL": f"http://127.0.0.1:{upstream}",
        "LECTERN_JWKS_URL": f"http://127.0.0.1:{upstream}/.well-known/jwks.json",
        "LECTERN_KAFKA": "127.0.0.1:1", "LECTERN_LOG_FORMAT": "json", "GATEWAY_START_PATIENCE": "1",
    }  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    with (directory / "gateway.log").open("wb") as log:

        def start(core: str, *command: str) -> psutil.Process:
            process = subprocess.Popen(
                ["taskset", "-c", core, *command], env=environment, stdout=log, stderr=log,
                cwd=Path(__file__).parents[2],
            )  # fmt: skip
            started.append(process)
            return psutil.Process(process.pid)

        try:
            start(load_core, "nginx", "-c", str(static))
            servers = {
                "nginx": (proxy, start(server_core, "nginx", "-c", str(plain))),
                "gateway": (gateway, start(server_core, sys.executable, "-m", "gateway")),
            }
            for port in (upstream, proxy, gateway):
                wait_for(port)
            time.sleep(2)  # the gateway gives up waiting for Kafka, which is not here
            return compare(servers, token, load_core)
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


def compare(servers: dict[str, tuple[int, psutil.Process]], token: str, core: str) -> dict[str, Any]:
    best: dict[str, dict[str, float]] = {}
    for number in range(ROUNDS + 1):
        for name, (port, process) in servers.items():
            before = cpu_seconds(process)
            rate, p99 = load(port, token, core, SECONDS if number else 1)
            spent = (cpu_seconds(process) - before) / (rate * (SECONDS if number else 1))
            if number and rate > best.get(name, {"rps": 0.0})["rps"]:
                best[name] = {"rps": round(rate), "p99_ms": p99, "cpu_us_per_request": round(spent * 1e6, 1)}
    return {"ratio": round(best["gateway"]["rps"] / best["nginx"]["rps"], 3), "detail": best}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

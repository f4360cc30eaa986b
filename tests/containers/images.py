"""`make images`: builds the image of every service, twice, and starts each as tightly as an operator may.

The last line says what held: the same layers twice, sizes below their bars, health, and the end by SIGTERM.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.project import CHECKOUT
from libs.common.runtime.settings import SERVICES
from tests.containers.bases import have
from tests.containers.engine import Engine, engine

DOCKERFILE = CHECKOUT / "deploy" / "docker" / "Dockerfile"
BASE = "python:3.13-slim"
IMAGES = (*SERVICES, "gateway", "worker")
BARS = {"learning": 250, "worker": 350}
BAR = 120
"""MB over the base image. Learning has Typst, which makes certificates: 68 MB; the worker has everything, so
Typst, Arrow for Parquet (120 MB), and PostgreSQL's tools for backups."""
TIGHT = (
    "--read-only", "--cap-drop", "ALL", "--user", "10001:10001", "--memory", "512m", "--memory-swap", "512m",
    "--pids-limit", "200", "--security-opt", "no-new-privileges",
)  # fmt: skip
DATA = "/data:uid=10001,gid=10001"
"""Where files go, as a file system of the container's user."""
GRACE = 15
CACHE = "8GB"
"""Of layers, between two runs."""
NETWORK = "lectern-images"
PASSWORD = "images-of-a-test"


@dataclass
class Report:
    """What was seen of one image."""

    name: str
    size: float = 0
    seconds: float = 0
    healthy: float = 0
    memory: float = 0
    stopped: float = 0
    layers: int = 0


def revision() -> tuple[str, str, str]:
    """Commit, its time, and the version of the project."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%H %ct"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    commit, moment = done.stdout.split()
    lines = (CHECKOUT / "pyproject.toml").read_text().splitlines()
    (version,) = [line.split('"')[1] for line in lines if line.startswith("version = ")]
    return commit, moment, version


def build(running: Engine, service: str, tag: str, *options: str) -> str:
    """Builds one image; returns its name."""
    commit, moment, version = revision()
    name = f"lectern/{service}:{tag}"
    values = {"SERVICE": service, "REVISION": commit, "VERSION": version, "SOURCE_DATE_EPOCH": moment}
    words = ["build", "--quiet", "--network", "host", "--file", DOCKERFILE, "--tag", name, *options]
    for key, value in values.items():
        words += ["--build-arg", f"{key}={value}"]
    there = running.status("image", "inspect", name) == 0
    before = inspect(running, name, "{{.Id}}") if there else ""
    running.docker(*words, CHECKOUT, timeout=1200)
    if before and before != inspect(running, name, "{{.Id}}"):
        running.status("rmi", before)  # or it stays, without a name
    return name


def inspect(running: Engine, name: str, form: str) -> str:
    return running.docker("inspect", "--format", form, name).strip()


def layers(running: Engine, name: str) -> list[str]:
    found: list[str] = json.loads(inspect(running, name, "{{json .RootFS.Layers}}"))
    return found


def reproduce(running: Engine, service: str, tag: str) -> None:
    """A second build from nothing has the same layers."""
    again = build(running, service, f"{tag}-again", "--no-cache")
    first, second = layers(running, f"lectern/{service}:{tag}"), layers(running, again)
    running.docker("rmi", again)
    if first != second:
        differ = [n for n, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1]]
        raise AssertionError(f"{service}: two builds differ in layers {differ} of {len(first)}")


def export_sbom(running: Engine, service: str, name: str, target: Path) -> None:
    """Copies the list of parts out of the image."""
    target.mkdir(parents=True, exist_ok=True)
    container = running.docker("create", name).strip()
    try:
        running.docker("cp", "--quiet", f"{container}:/app/sbom/{service}.cdx.json", target)
    finally:
        running.docker("rm", container)
    parts = json.loads((target / f"{service}.cdx.json").read_text())
    assert parts["bomFormat"] == "CycloneDX", f"{service}: {parts['bomFormat']}"
    assert all(part.get("version") for part in parts["components"]), service


@contextmanager
def servers(running: Engine) -> Iterator[dict[str, str]]:
    """PostgreSQL, Valkey and Kafka without a password, and the variables by which an image reaches them."""
    have(running, "postgres:18", "valkey/valkey:9.1", "apache/kafka:4.4.0")
    names = [f"{NETWORK}-{name}" for name in ("postgres", "valkey", "kafka")]
    postgres, valkey, kafka = names
    running.status("rm", "--force", *names)
    running.status("network", "rm", NETWORK)
    running.docker("network", "create", NETWORK)
    start = ("run", "--detach", "--network", NETWORK)
    try:
        running.docker(*start, "--name", postgres, "-e", f"POSTGRES_PASSWORD={PASSWORD}", "postgres:18")
        running.docker(
            *start, "--name", valkey, "valkey/valkey:9.1", "valkey-server", "--protected-mode", "no"
        )
        settings = {
            "CLUSTER_ID": "bGVjdGVybi1pbWFnZXMtMQ",
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{kafka}:9092",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@{kafka}:9093",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        }
        given = [word for key, value in settings.items() for word in ("-e", f"{key}={value}")]
        running.docker(*start, "--name", kafka, *given, "apache/kafka:4.4.0")
        yield {
            "LECTERN_KAFKA": f"{kafka}:9092",
            "LECTERN_VALKEY_URL": f"redis://{valkey}:6379/0",
            "LECTERN_BROKER_URL": f"redis://{valkey}:6379/1",
            "LECTERN_JWKS_URL": f"http://{NETWORK}-identity:8000/.well-known/jwks.json",
            "LECTERN_DATABASE_ADMIN_URL": f"postgresql://postgres:{PASSWORD}@{postgres}:5432/postgres",
            **{
                f"{service.upper()}_DATABASE_URL": f"postgresql://lectern_{service}:{PASSWORD}@{postgres}/lectern"
                for service in SERVICES
            },
        }
    finally:
        running.status("rm", "--force", "--volumes", *names)
        running.status("network", "rm", NETWORK)


def given(values: dict[str, str]) -> list[str]:
    return [word for key, value in values.items() for word in ("-e", f"{key}={value}")]


def wait_healthy(running: Engine, container: str, seconds: float = 90) -> float:
    """Seconds until the image's own HEALTHCHECK says that it is ready."""
    begin = time.monotonic()
    while True:
        state = inspect(running, container, "{{.State.Status}} {{.State.Health.Status}}")
        if state == "running healthy":
            return time.monotonic() - begin
        if not state.startswith("running") or time.monotonic() - begin > seconds:
            words = ["docker", "logs", "--tail", "15", container]
            logs = subprocess.run(words, env=running.environment, capture_output=True, text=True, check=False)
            raise AssertionError(f"{container} is {state}:\n{logs.stdout}{logs.stderr}")
        time.sleep(0.1)


def stop(running: Engine, container: str) -> float:
    """Seconds from SIGTERM to the end, which is clean and no kill."""
    begin = time.monotonic()
    running.docker("stop", "--time", GRACE, container)
    seconds = time.monotonic() - begin
    code = inspect(running, container, "{{.State.ExitCode}}")
    assert (code, seconds < GRACE) == ("0", True), f"{container}: {code} after {seconds:.1f} s"
    return seconds


def start(running: Engine, image: str, service: str, entry: str, values: dict[str, str]) -> str:
    """One container with nothing that it does not need, and no shell."""
    container = f"{NETWORK}-{service}" if entry == "api" else f"{NETWORK}-{service}-{entry}"
    running.status("rm", "--force", container)
    # A shell is hidden, so that nothing can use one.
    mounts = [
        "--tmpfs",
        DATA,
        "--volume",
        "/dev/null:/bin/sh:ro",
        "--volume",
        "/dev/null:/bin/bash:ro",
    ]
    words = ["run", "--detach", "--name", container, "--network", NETWORK, *TIGHT, *mounts]
    running.docker(*words, *given(values), image, entry)
    return container


def megabytes(running: Engine, image: str) -> float:
    return int(inspect(running, image, "{{.Size}}")) / 1e6


def try_image(running: Engine, report: Report, image: str, values: dict[str, str]) -> None:
    """Starts every entry point of an image, waits until it is healthy, and stops it."""
    service = report.name
    entries = {"gateway": ["api"], "worker": ["tasks", "beat"]}.get(service, ["api", "worker", "tasks"])
    for entry in entries:
        container = start(running, image, service, entry, values)
        seconds = wait_healthy(running, container)
        usage = running.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", container).split("/")[0]
        report.healthy = max(report.healthy, seconds)
        report.memory = max(report.memory, float(usage.strip().removesuffix("MiB") or 0))
        if (service, entry) != ("identity", "api"):  # its keys are what the others wait for
            report.stopped = max(report.stopped, stop(running, container))
            running.docker("rm", container)


def check_labels(running: Engine, image: str) -> None:
    labels = json.loads(inspect(running, image, "{{json .Config.Labels}}"))
    commit, _, version = revision()
    wanted = {"revision": commit, "version": version, "licenses": "MIT"}
    for name, value in wanted.items():
        assert labels[f"org.opencontainers.image.{name}"] == value, f"{image}: label {name}"
    assert inspect(running, image, "{{.Config.User}}") == "10001:10001"


def images(tag: str = "dev", sbom: Path = CHECKOUT / ".lectern" / "sbom", *, again: bool = True) -> None:
    """Builds and tries all; prints a table, and one last line."""
    begin = time.monotonic()
    reports: list[Report] = []
    with engine() as running:
        have(running, BASE)
        base = megabytes(running, BASE)
        for service in IMAGES:
            built = time.monotonic()
            name = build(running, service, tag)
            report = Report(service, megabytes(running, name) - base, time.monotonic() - built)
            report.layers = len(layers(running, name))
            reports.append(report)
            check_labels(running, name)
            export_sbom(running, service, name, sbom)
            bar = BARS.get(service, BAR)
            assert report.size <= bar, f"{service}: {report.size:.0f} MB over the base, and {bar} is the bar"
            if again:
                reproduce(running, service, tag)
        with servers(running) as values:
            _prepare(running, tag, values)
            try:
                for report in reports:
                    try_image(running, report, f"lectern/{report.name}:{tag}", values)
                stop(running, f"{NETWORK}-identity")
            finally:
                left = running.docker("ps", "--all", "--quiet", "--filter", f"name={NETWORK}-").split()
                running.status("rm", "--force", *left)
        tidy(running)
    print(f"{'image':10} {'over base':>10} {'build':>7} {'healthy':>8} {'memory':>8} {'stopped':>8}")
    for report in reports:
        print(
            f"{report.name:10} {report.size:7.0f} MB {report.seconds:5.0f} s {report.healthy:6.1f} s "
            f"{report.memory:5.0f} MB {report.stopped:6.1f} s"
        )
    twice = "layers the same twice, " if again else ""
    print(
        f"images: {len(reports)} built, {twice}healthy read-only without capabilities or a shell in 512 MB, "
        f"ended by SIGTERM; lists of parts in {sbom.relative_to(CHECKOUT)}; {time.monotonic() - begin:.0f} s"
    )


def tidy(running: Engine) -> None:
    """Of the layers of former builds an engine of ours keeps as many as the next ones may want."""
    if running.own:
        running.docker("builder", "prune", "--force", "--keep-storage", CACHE)


def _prepare(running: Engine, tag: str, values: dict[str, str]) -> None:
    """Database, schemas and topics, by the commands of the worker's image."""
    for entry in ("libs.common.data.bootstrap", "migrate", "libs.common.events.topics"):
        arguments = ["create"] if entry.endswith("topics") else []
        run = ["run", "--rm", "--network", NETWORK, *TIGHT, "--tmpfs", DATA, *given(values)]
        for attempt in range(20):
            try:
                running.docker(*run, f"lectern/worker:{tag}", entry, *arguments)
                break
            except RuntimeError:
                if attempt == 19:
                    raise
                time.sleep(1)

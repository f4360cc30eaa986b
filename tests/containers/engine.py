"""A Docker engine: the one that answers, else a real one from Debian's packages, started and stopped here.

`python -m tests.containers engine` holds it until SIGTERM or Ctrl-C and prints the environment that reaches
it. Several users share one engine; the last to leave stops it, and removes its bridges, chains and mounts.
Images and build caches stay in the user's cache.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.debian import own_suite, unpacked
from deploy.local.project import SetupError
from tests.containers.commands import cache, run

PACKAGES = {
    "trixie": ("docker.io", "docker-cli", "containerd", "tini"),
    # Compose wants buildx 0.17 or newer.
    "forky": ("docker-compose", "docker-buildx"),
}
# Of this machine's own release: runc of trixie needs a newer C library than bookworm has.
OWN = (
    "runc", "libseccomp2", "mmdebstrap", "iptables", "libip4tc2", "libip6tc2", "libxtables12",
    "libnftnl11", "libnetfilter-conntrack3", "libnfnetlink0", "libmnl0",
)  # fmt: skip
EXECUTION = Path("/run/lectern-docker")
SOCKET = Path("/run/lectern-docker.sock")
PID = Path("/run/lectern-docker.pid")
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
LIBRARIES = Path("usr/lib/x86_64-linux-gnu")
_TABLES = (("filter", r"DOCKER(-[A-Z0-9-]+)?"), ("nat", r"DOCKER"))


@dataclass(frozen=True)
class Engine:
    """A running engine and the environment in which `docker` reaches it."""

    environment: dict[str, str] = field(repr=False)
    own: bool

    def docker(self, *arguments: object, timeout: float = 600, **options: object) -> str:
        """What `docker …` prints; RuntimeError with the end of its stderr if it fails."""
        return run(["docker", *arguments], timeout=timeout, env=self.environment, **options)

    def status(self, *arguments: object) -> int:
        """The exit status of `docker …`, quietly."""
        words = ["docker", *map(str, arguments)]
        return subprocess.run(words, env=self.environment, capture_output=True, check=False).returncode


@contextmanager
def engine() -> Iterator[Engine]:
    """An engine for as long as this is open."""
    if _answers(dict(os.environ)):
        yield Engine(dict(os.environ), own=False)
        return
    if os.geteuid() != 0:
        raise SetupError(
            "No Docker engine answers and only root can start one: start Docker, or set DOCKER_HOST."
        )
    place = _programs()
    environment = _environment(place)
    with (cache("docker") / "users.lock").open("w") as users:
        with _turn():
            fcntl.flock(users, fcntl.LOCK_SH)
            if not _answers(environment):
                _start(place, environment)
        try:
            yield Engine(environment, own=True)
        finally:
            with _turn():
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass  # somebody else works with it
                else:
                    _stop(environment)


@contextmanager
def _turn() -> Iterator[None]:
    """One process at a time starts or stops the engine."""
    with (cache("docker") / "turn.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _answers(environment: dict[str, str]) -> bool:
    """Whether an engine is there, with Compose and a current builder."""
    try:
        for words in (("version",), ("compose", "version"), ("buildx", "version")):
            subprocess.run(["docker", *words], env=environment, capture_output=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _programs() -> Path:
    """The directory with everything that the engine is made of; fetched once."""
    place = unpacked({**PACKAGES, own_suite(): OWN})
    programs = place / "bin"
    if not programs.exists():
        scratch = place / f"bin.{os.getpid()}"
        scratch.mkdir(exist_ok=True)
        for name in (
            "sbin/dockerd",
            "sbin/docker-proxy",
            "bin/docker",
            "bin/containerd",
            "bin/containerd-shim-runc-v2",
        ):
            (scratch / Path(name).name).symlink_to(place / "usr" / name)
        (scratch / "docker-init").symlink_to(place / "usr/bin/tini-static")
        (scratch / "mmdebstrap").symlink_to(place / "usr/bin/mmdebstrap")
        libraries = f"LD_LIBRARY_PATH={place / LIBRARIES}"
        extensions = f"XTABLES_LIBDIR={place / LIBRARIES / 'xtables'}"
        wrappers = {
            "runc": f"{libraries} exec {place}/usr/sbin/runc",
            **{
                name: f"{libraries} {extensions} exec {place}/usr/sbin/xtables-nft-multi {name}"
                for name in ("iptables", "iptables-save", "iptables-restore", "ip6tables")
            },
        }
        for name, line in wrappers.items():
            (scratch / name).write_text(f'#!/bin/sh\n{line} "$@"\n')
            (scratch / name).chmod(0o755)
        plugins = place / "configuration" / "cli-plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        for name in ("docker-compose", "docker-buildx"):
            (found,) = [
                path for path in place.rglob(f"cli-plugins/{name}") if "configuration" not in path.parts
            ]
            (plugins / name).unlink(missing_ok=True)
            (plugins / name).symlink_to(found)
        scratch.rename(programs)
    return place


def _environment(place: Path) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "DOCKER_HOST": f"unix://{SOCKET}",
        "DOCKER_CONFIG": str(place / "configuration"),
        "DOCKER_BUILDKIT": "1",
    }


def _start(place: Path, environment: dict[str, str]) -> None:
    """Starts dockerd in a session of its own and waits until it answers."""
    settings = {
        "data-root": str(cache("docker") / "data"),
        "exec-root": str(EXECUTION),
        "hosts": [f"unix://{SOCKET}"],
        "pidfile": str(PID),
        "bip": "10.97.0.1/24",
        "default-address-pools": [{"base": "10.97.16.0/20", "size": 24}],
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 20000, "Hard": 20000}},
    }
    configuration = cache("docker") / "daemon.json"
    configuration.write_text(json.dumps(settings, indent=2))
    if FORWARD.read_text().strip() == "0":
        # Where the engine turns it on by itself, it also denies forwarding to everybody else.
        FORWARD.write_text("1")
        (cache("docker") / "forwarding-was-off").touch()
    log = cache("docker") / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [place / "bin" / "dockerd", "--config-file", configuration],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + 60
    while not _answers(environment):
        if process.poll() is not None or time.monotonic() > deadline:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise SetupError(f"The Docker engine did not start:\n{last}")
        time.sleep(0.2)


def _stop(environment: dict[str, str]) -> None:
    """Stops dockerd by its pid, and takes away what it leaves in the kernel."""
    bridges = _bridges(environment)
    pid = int(PID.read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # ours, if this process started it
        time.sleep(0.1)
    for bridge in bridges:
        subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)
    _drop_chains(environment)
    for mount in _mounts():
        subprocess.run(["umount", mount], capture_output=True, check=False)
    shutil.rmtree(EXECUTION, ignore_errors=True)
    mark = cache("docker") / "forwarding-was-off"
    if mark.exists() and not any(Path("/sys/class/net").glob("*/bridge")):
        FORWARD.write_text("0")
        mark.unlink()


def _bridges(environment: dict[str, str]) -> list[str]:
    words = ["docker", "network", "ls", "--filter", "driver=bridge", "--format", "{{.ID}} {{.Name}}"]
    rows = [line.split() for line in run(words, env=environment).splitlines()]
    return ["docker0" if name == "bridge" else f"br-{number}" for number, name in rows]


def _drop_chains(environment: dict[str, str]) -> None:
    """Removes the engine's chains, and the rules of others that lead to them or name its bridges."""

    def iptables(table: str, *words: str) -> str:
        done = subprocess.run(
            ["iptables", "-w", "-t", table, *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    for table, names in _TABLES:
        rules = iptables(table, "-S").splitlines()
        chains = [line.split()[1] for line in rules if re.fullmatch(rf"-N {names}", line)]
        ours = re.compile(rf"-j ({names})( |$)|docker0|-s 10\.97\.")
        for rule in rules:
            if rule.startswith("-A ") and rule.split()[1] not in chains and ours.search(rule):
                iptables(table, "-D", *rule.split()[1:])
        for step in ("-F", "-X"):
            for chain in chains:
                iptables(table, step, chain)


def _mounts() -> Sequence[str]:
    places = (str(EXECUTION), str(cache("docker") / "data"))
    lines = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((line for line in lines if line.startswith(places)), reverse=True)


def hold() -> None:
    """Keeps the engine until SIGTERM or Ctrl-C."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    with engine() as running:
        names = ("PATH", "DOCKER_HOST", "DOCKER_CONFIG")
        for name in names if running.own else ():
            print(f"export {name}={running.environment[name]}", flush=True)
        print("# the engine answers; SIGTERM or Ctrl-C lets it go", flush=True)
        asked.wait()

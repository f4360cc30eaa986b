"""Commands that are started and ended: what to run, when it is ready, how it is stopped."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

# Marks a process as a child of a supervisor, so that orphans are found after a crash.
SUPERVISED = "LECTERN_SUPERVISED"
_PDEATHSIG = 1

Probe = Callable[[], str | None]
"""None when the thing is ready, else one phrase that says why not. Quick, and never raises."""


def _nothing() -> None:
    return None


def _ready() -> str | None:
    return None


@dataclass(frozen=True)
class Command:
    """One process of the suite. `prepare` may take seconds and runs before every start; it is idempotent."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    probe: Probe = _ready
    prepare: Callable[[], None] = _nothing
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    patience: float = 12
    kind: str = "process"
    url: str = ""
    ports: tuple[int, ...] = field(default=())
    # Started beside its predecessor, it takes over what that one does; the predecessor then ends by itself.
    takes_over: bool = False


def spawn(
    command: Command, log: Path | None = None, *, mark: str = "", tied: bool = False
) -> subprocess.Popen[bytes]:
    """Starts it in a session of its own. `tied`: the kernel kills it when the calling THREAD ends (Linux)."""
    values = {**command.environment, SUPERVISED: mark} if mark else dict(command.environment)
    output = open(log, "ab") if log else None  # noqa: SIM115 - closed below, the child keeps its copy
    try:
        return subprocess.Popen(
            command.argv,
            env=values,
            cwd=command.directory,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=command.user,
            group=group_of(command.user),
            extra_groups=[] if command.user else None,
            preexec_fn=_die_with_parent if tied and sys.platform == "linux" else None,
        )
    finally:
        if output:
            output.close()


def group_of(user: str | None) -> int | None:
    """The user's own group; without it a root process would keep root's."""
    if user is None:
        return None
    import pwd

    return pwd.getpwnam(user).pw_gid


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PDEATHSIG, signal.SIGKILL)


def end(process: subprocess.Popen[bytes], stop_signal: int = signal.SIGTERM, patience: float = 12) -> int:
    """Asks it to stop, waits, then kills its whole group. Returns the exit code."""
    if process.poll() is None:
        send(process.pid, stop_signal)
        # A stopped process (SIGSTOP) would not see the request.
        send(process.pid, signal.SIGCONT)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            send_group(process.pid, signal.SIGKILL)
    code = process.wait()
    send_group(process.pid, signal.SIGKILL)
    return code


def end_orphan(orphan: psutil.Process, stop_signal: int, patience: float) -> None:
    """The same for a process that is not our child."""
    send(orphan.pid, stop_signal)
    send(orphan.pid, signal.SIGCONT)
    try:
        orphan.wait(patience)
    except psutil.TimeoutExpired:
        send_group(orphan.pid, signal.SIGKILL)
        with contextlib.suppress(psutil.TimeoutExpired):
            orphan.wait(5)


def send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def send_group(pid: int, number: int) -> None:
    """To the whole session that `spawn` made; nothing if it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def answers_http(port: int, path: str = "/readyz", timeout: float = 2) -> Probe:
    """Ready when the path answers 200."""

    def probe() -> str | None:
        connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read(300).decode(errors="replace")
        except (OSError, HTTPException) as error:
            return f"{path} on port {port} does not answer ({error or type(error).__name__})"
        finally:
            connection.close()
        return None if response.status == 200 else f"{path} answers {response.status}: {body}"

    return probe


def answers_bytes(port: int, question: bytes, expected: bytes, timeout: float = 2) -> Probe:
    """Ready when the question, sent over TCP, gets an answer that holds the expected bytes."""

    def probe() -> str | None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout) as connection:
                connection.sendall(question)
                answer = connection.recv(1024)
        except OSError as error:
            return f"port {port} does not answer ({error})"
        return None if expected in answer else f"port {port} answers {answer[:60]!r}"

    return probe


def file_exists(path: Path) -> Probe:
    return lambda: None if path.exists() else f"{path.name} is not there yet"


def wait_ready(command: Command, process: subprocess.Popen[bytes], timeout: float = 60) -> None:
    """Returns when the probe is content; raises TimeoutError or ChildProcessError with the reason."""
    deadline = time.monotonic() + timeout
    while True:
        code = process.poll()
        if code is not None:
            raise ChildProcessError(f"{command.name} ended with code {code}")
        reason = command.probe()
        if reason is None:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{command.name} is not ready after {timeout:.0f} s: {reason}")
        time.sleep(0.03)


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, to show beside an error."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 200 * lines))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])

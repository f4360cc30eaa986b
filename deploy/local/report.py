"""What the CLI prints: colours and a spinner on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import rich.progress
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from deploy.local.checks import Finding
from deploy.local.project import OBSERVERS, Project, SetupError

console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
_COLOURS = {"ready": "green", "external": "green", "done": "green", "backoff": "red", "failed": "red"}


class Progress:
    """One line per step as it ends; on a terminal, what is being done meanwhile."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._shown: set[str] = set()
        self._spinner: Status | None = None
        self._began = time.monotonic()
        self._details: list[str] = []

    def __enter__(self) -> "Progress":
        if console.is_terminal and not self.quiet:
            self._spinner = console.status("looking")
            self._spinner.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self._spinner:
            self._spinner.stop()

    def show(self, status: dict[str, Any]) -> None:
        """Called again and again with the supervisor's status."""
        for row in status["steps"]:
            if row["state"] != "running" and row["name"] not in self._shown:
                self._shown.add(row["name"])
                self._line(row["name"], row["state"], row["detail"], row["seconds"])
        doing = [row["name"] for row in status["steps"] if row["state"] == "running"]
        if doing == ["processes"]:
            waiting = [row["name"] for row in status["processes"] if row["state"] != "ready"]
            doing = [f"processes (waiting for {', '.join(waiting)})"]
        if self._spinner:
            self._spinner.update(", ".join(doing) or "waiting")

    def begin(self, name: str) -> None:
        self._began = time.monotonic()
        self._details = []
        if self._spinner:
            self._spinner.update(name)

    def detail(self, text: str) -> None:
        self._details.append(text)
        if self._spinner:
            self._spinner.update(text)

    def end(self, name: str) -> None:
        detail = ", ".join(self._details) or "there already"
        self._line(name, "done", detail, time.monotonic() - self._began)

    def _line(self, name: str, state: str, detail: str, seconds: float) -> None:
        if self.quiet:
            return
        line = Text(f"{'✓' if state == 'done' else '✗'} ", style=_COLOURS.get(state, ""))
        line.append(f"{name:<12}", style="default")
        line.append(f"{seconds:6.1f} s  ", style="dim")
        line.append(detail, style="default")
        console.print(line)


class Bar:
    """A bar for each part of a long work; elsewhere than on a terminal a line for every tenth."""

    def __init__(self) -> None:
        self._bars = rich.progress.Progress(console=console, disable=not console.is_terminal)
        self._tasks: dict[str, rich.progress.TaskID] = {}
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> "Bar":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        console.print(text)

    def show(self, done: int, of: int, what: str) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=of)
        self._bars.update(self._tasks[what], completed=done)
        tenth = 10 * done // of
        if not console.is_terminal and tenth > self._tenths.get(what, -1):
            self._tenths[what] = tenth
            console.print(f"{what}: {10 * tenth} %")


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def print_welcome(demo: dict[str, Any] | None, project: Project) -> None:
    """URLs, logins, and what to try next."""
    gateway = project.gateway_url
    mail = "" if project.production else f"\n  Mail   {project.mail_url}/"
    status = f"\n  Status {gateway}/status/"
    console.print(f"\nLectern is up.\n\n  API    {gateway}/api/docs/{status}{mail}\n")
    if demo:
        password = next(iter(demo["users"].values()))["password"]
        console.print(f"Demo logins, all with the password {password}:")
        for name, user in demo["users"].items():
            console.print(f"  {name:<10} {user['email']}")
        user = demo["users"]["student"]
        body = f'{{"email": "{user["email"]}", "password": "{user["password"]}"}}'
        login = f"curl -s {gateway}/api/accounts/login/ -H 'Content-Type: application/json' -d '{body}'"
    else:
        login = "lectern admin create" if project.production else "lectern seed"
    console.print("\nTry next:")
    courses = f"curl -s {gateway}/api/courses/"
    more = "make seed SIZE=medium  # sixty learners with weeks of activity"
    for command in (courses, login, more, "make status", "make logs S=learning", "make down"):
        console.print(f"  {command}", soft_wrap=True)


def print_observers(project: Project) -> None:
    for name, url in project.observer_urls.items():
        console.print(f"  {name:<13} {url}", soft_wrap=True)


def print_status(status: dict[str, Any]) -> None:
    rows = status["processes"]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("process", "state", "pid", "ports", "restarts", "MB", ""):
        number = title in ("pid", "restarts", "MB")
        table.add_column(title, justify="right" if number else "left", no_wrap=title != "")
    for row in rows:
        kind = "" if row["kind"] == "process" else row["kind"]
        exit_code = f"last exit {row['last_exit']}" if row["last_exit"] is not None else ""
        details = (kind, row["detail"], exit_code, *map(_consumer, row["consumers"]))
        table.add_row(
            row["name"],
            Text(row["state"], style=_COLOURS.get(row["state"], "yellow")),
            str(row["pid"] or ""),
            " ".join(map(str, row["ports"])),
            str(row["restarts"]),
            str(row["memory"] // 2**20 or ""),
            "; ".join(part for part in details if part),
        )
    console.print(table)
    total = sum(row["memory"] for row in rows) / 2**20
    console.print(f"\n{status['state']}, supervisor {status['pid']}, {total:.0f} MB, {status['gateway']}")
    console.print(f"status page {status['gateway']}/status/", soft_wrap=True)
    for row in rows:
        if row["name"] in OBSERVERS and row["state"] == "ready":
            console.print(f"{row['name']} {row['url']}", soft_wrap=True)


def _consumer(health: dict[str, Any]) -> str:
    behind = "not known how far behind" if health["lag"] is None else f"{health['lag']} behind"
    last = health["last_applied"]
    applied = f"applied last at {last[11:19]} UTC" if last else "applied nothing yet"
    return f"{health['assigned']} partitions, {behind}, {applied}"


def print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        mark = Text("✓ " if finding.ok else "✗ ", style="green" if finding.ok else "red")
        console.print(mark + Text(f"{finding.name:<10} {finding.detail}", style="default"), soft_wrap=True)


def print_logs(directory: Path, service: str, lines: int | None, follow: bool) -> None:
    """The last lines of one log or of all, then what comes. Ends with the reader of a pipe.

    Without `lines` a terminal gets twenty and a pipe gets everything, to be searched.
    """
    files = [directory / f"{service}.log"] if service else sorted(directory.glob("*.log"))
    if not files or not all(file.exists() for file in files):
        known = ", ".join(sorted(file.stem for file in directory.glob("*.log")))
        raise SetupError(f"There is no log of {service or 'the suite'}: choose one of {known}.")
    if lines is None and (follow or sys.stdout.isatty()):
        lines = 20
    places: dict[Path, int] = {}
    with contextlib.suppress(BrokenPipeError):
        for file in files:
            data = file.read_bytes()
            places[file] = len(data)
            old = data.splitlines()
            _write(file, old[-lines:] if lines else old, named=not service)
        while follow:
            time.sleep(0.2)
            for file, place in places.items():
                size = file.stat().st_size
                if size < place:  # cut by rotation
                    place = 0
                if size > place:
                    with file.open("rb") as stream:
                        stream.seek(place)
                        data = stream.read()
                    whole = data.rfind(b"\n") + 1
                    places[file] = place + whole
                    _write(file, data[:whole].splitlines(), named=not service)
                else:
                    places[file] = place


def _write(file: Path, lines: Sequence[bytes], *, named: bool) -> None:
    for line in lines:
        text = line.decode(errors="replace")
        print(f"{file.stem:<10} {text}" if named else text, flush=True)

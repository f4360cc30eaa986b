"""What a benchmark answers: figures with what is required of them, and how they are shown."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

CHECKOUT = Path(__file__).parents[2]


@dataclass
class Figure:
    """One measured value. `least` is the bound it must keep, `aim` the wish; None: only shown.

    `at_most` turns the bounds round (memory, time). `value` None: not measured, and `detail` says why.
    """

    name: str
    value: float | None
    unit: str = ""
    least: float | None = None
    aim: float | None = None
    at_most: bool = False
    detail: str = ""
    # Why the bound is hard to keep; shown only where it was missed.
    reason: str = ""

    def keeps(self, bound: float) -> bool:
        assert self.value is not None
        return self.value <= bound if self.at_most else self.value >= bound

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if self.least is None or self.aim is None:
            return "shown"
        if not self.keeps(self.least):
            return "MISSED"
        return "aim reached" if self.keeps(self.aim) else "kept"

    def cells(self) -> tuple[str, ...]:
        sign = "≤" if self.at_most else "≥"
        bounds = [f"{sign} {_number(b)}{self.unit}" if b is not None else "" for b in (self.least, self.aim)]
        shown = "–" if self.value is None else f"{_number(self.value)}{self.unit}"
        return (self.name, shown, *bounds, self.verdict)


HEADS = ("figure", "measured", "required", "aim", "verdict")


@dataclass
class Run:
    """Everything of one run of `make bench`."""

    figures: list[Figure] = field(default_factory=list)
    seconds: float = 0.0
    servers: str = ""
    # Others at work on the machine falsify figures: what they did in the minute before is written down.
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def table(self) -> str:
        return _aligned([HEADS, *(figure.cells() for figure in self.figures)])

    def missed(self) -> list[str]:
        return [
            f"{f.name}: {f.verdict}. {f.reason if f.verdict == 'MISSED' else f.detail}".strip()
            for f in self.figures
            if f.verdict in ("MISSED", "not measured")
        ]

    def document(self) -> str:
        """docs/bench.md, whole."""
        rows = ["| " + " | ".join(cells) + " |" for cells in (f.cells() for f in self.figures)]
        details = [f"- **{f.name}**: {f.detail}" for f in self.figures if f.detail]
        missed = [f"- {line}" for line in self.missed()] or ["Nothing."]
        facts = [f"| {name} | {value} |" for name, value in machine(self.servers).items()]
        return "\n".join(
            [
                "# Bench",
                "",
                "Written by `make bench`. Ratios within one run are what counts: both sides run interleaved",
                "on the same machine, and the median of the repetitions is taken. Absolute figures drift.",
                "",
                "| " + " | ".join(HEADS) + " |",
                "|---" * len(HEADS) + "|",
                *rows,
                "",
                "## Missed",
                "",
                *missed,
                "",
                "## What was measured",
                "",
                *details,
                "",
                "## Where",
                "",
                "| | |",
                "|---|---|",
                *facts,
                f"| load of the minute before | {self.load:.1f} |",
                f"| duration of the run | {self.seconds:.0f} s |",
                "",
            ]
        )


def machine(servers: str) -> dict[str, str]:
    commit = _output("git", "rev-parse", "--short=12", "HEAD")
    changed = " with uncommitted changes" if _output("git", "status", "--porcelain", "-uno") else ""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit + changed,
        "processor": f"{os.cpu_count()} × {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "libraries": ", ".join(
            f"{name} {version(name)}" for name in ("aiokafka", "psycopg", "sqlalchemy", "fastapi", "uvicorn")
        ),
        "servers": servers or "not started",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _output(*argv: str) -> str:
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aligned(rows: Sequence[Sequence[Any]]) -> str:
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)

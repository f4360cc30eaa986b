"""What became of each mutant, and the reasons for those that may live."""

import json
import re
import tomllib
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

SQL = re.compile(
    r'["\'] ?\(?(SELECT|UPDATE|DELETE|INSERT|FROM|WHERE|AND|COUNT|LISTEN|ARRAY_AGG)\b', re.IGNORECASE
)
KILLED = frozenset({"killed", "timeout", "segfault", "caught by type check"})


@dataclass(frozen=True)
class Mutant:
    """A change: the file, the function, the lines that were and that are instead."""

    path: str
    function: str
    before: str
    after: str
    status: str

    @property
    def killed(self) -> bool:
        return self.status in KILLED

    @property
    def is_the_same(self) -> bool:
        """SQL in other letter case does the same."""
        return bool(SQL.search(self.before)) and self.before.lower() == self.after.lower()

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.function} ({self.status})", f"  - {self.before}", f"  + {self.after}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Reason:
    """Why mutants may live: those of a file and function whose lines fit these patterns of `fnmatch`."""

    path: str
    function: str
    before: str
    after: str
    reason: str

    def covers(self, mutant: Mutant) -> bool:
        mine = (self.path, self.function, self.before, self.after)
        theirs = (mutant.path, mutant.function, mutant.before, mutant.after)
        return all(
            pattern == text or fnmatchcase(text, pattern) for pattern, text in zip(mine, theirs, strict=True)
        )


def read_reasons(path: Path) -> list[Reason]:
    """The list: `path`, `function` and `reason` of each, `before` and `after` where not all are meant."""
    listed = tomllib.loads(path.read_text())["survivor"] if path.exists() else []
    return [Reason(**({"before": "*", "after": "*"} | each)) for each in listed]


def read_results(place: Path, paths: Iterable[str]) -> list[Mutant]:
    """Every mutant of these files, as mutmut left them in its directory."""
    found = []
    with chdir(place):
        for path in paths:
            kept = Path("mutants") / f"{path}.meta"
            if not kept.exists():
                continue
            for name, code in json.loads(kept.read_text())["exit_code_by_key"].items():
                status = status_by_exit_code[code]
                before, after = _lines(name, path) if status not in KILLED else ("", "")
                found.append(Mutant(path, _function(name), before, after, status))
    return [mutant for mutant in found if not mutant.is_the_same]


def _function(name: str) -> str:
    """`on_course` or `Relay.wave` of mutmut's `….x_on_course__mutmut_3` and `….xǁRelayǁwave__mutmut_3`."""
    mangled = name.rpartition(".")[2].rpartition("__mutmut_")[0]
    return mangled.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in mangled else mangled.removeprefix("x_")


def _lines(name: str, path: str) -> tuple[str, str]:
    lines = get_diff_for_mutant(name, path=Path(path)).splitlines()
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    sides = ([line[1:].strip() for line in changed if line[0] == sign] for sign in "-+")
    before, after = (" ".join(filter(None, side)) for side in sides)
    return before, after

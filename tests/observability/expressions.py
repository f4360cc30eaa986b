"""What rules and dashboards ask for: their expressions, and the metrics that these name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from deploy.observability.docs import HERE, exported, families, rules

DASHBOARDS = HERE / "grafana" / "dashboards"
OF_PROMETHEUS = frozenset({"up", "ALERTS"})
OF_PROCESSES = frozenset(
    f"process_{name}"
    for name in (
        "cpu_seconds_total", "max_fds", "open_fds", "resident_memory_bytes", "start_time_seconds",
        "virtual_memory_bytes",
    )
)  # fmt: skip
_QUOTED = re.compile(r'"[^"]*"')
_LABELS = re.compile(r"\{[^}]*\}|\b(?:by|on|without|ignoring)\s*\([^)]*\)|\[[^\]]*\]")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b(?!\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "group_left", "group_right", "by", "on"})
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def declared() -> set[str]:
    """Every name that a rule or a dashboard may ask for."""
    names = {rule["record"] for rule in rules() if "record" in rule} | OF_PROMETHEUS | OF_PROCESSES
    for family in families():
        name = exported(family)
        names |= (
            {f"{name}_{part}" for part in ("bucket", "sum", "count")}
            if family.type == "histogram"
            else {name}
        )
    return names


def named(expression: str) -> set[str]:
    """The metrics that an expression of PromQL names."""
    bare = _LABELS.sub("", _QUOTED.sub("", expression))
    return {name for name in _NAME.findall(bare) if name not in _WORDS}


def dashboards() -> Iterator[tuple[Path, dict]]:
    for file in sorted(DASHBOARDS.glob("*.json")):
        yield file, json.loads(file.read_text())


def panels() -> Iterator[tuple[str, str]]:
    """Where an expression stands (dashboard: panel), and the expression as Prometheus gets it."""
    for file, board in dashboards():
        values = {"__rate_interval": "1m"}
        values |= {variable["name"]: variable["allValue"] for variable in board["templating"]["list"]}
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                place = f"{file.name}: {panel['title']}"
                yield place, _filled(target["expr"], values)


def _filled(expression: str, values: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values[found[1]], expression)

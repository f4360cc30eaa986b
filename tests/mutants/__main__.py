"""Changes the rules and the bus in small ways, one at a time, and sees whether a test fails: `make mutants`.

mutmut makes the changes and runs the tests that reach each. Of every `rules.py` these are the tests that need
no server; of the bus those of `libs/common/tests`, on servers started once. Fails where less than 90 %
of the changes are noticed, or where one survives that `survivors.toml` does not give a reason for.

    python -m tests.mutants [services/catalog | bus …]     only these
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.project import CHECKOUT
from deploy.local.testing import TEST_URLS, suite_servers
from tests.mutants.results import Mutant, read_reasons, read_results

WORK = CHECKOUT / ".lectern" / "mutants"
SURVIVORS = Path(__file__).with_name("survivors.toml")
WANTED = 0.9
PATIENCE = "0.15"
"""Of the time that tests wait for something: what a mutant breaks does not come."""
TREE = ("libs", "services", "gateway", "deploy", "tests")
FILES = ("conftest.py", "alembic.ini")


@dataclass(frozen=True)
class Part:
    """Files that are changed, and the tests that may notice: `pattern` of mutmut, paths of pytest."""

    name: str
    changed: tuple[str, ...]
    tests: tuple[str, ...]
    plugins: tuple[str, ...] = ()

    @property
    def needs_servers(self) -> bool:
        return not self.plugins


def rules_of(services: Sequence[Path]) -> Part:
    """Every `rules.py` below, with the tests there that ask for no server."""
    changed = [str(path) for service in services for path in sorted(service.rglob("rules.py"))]
    return Part("rules", tuple(changed), tuple(map(str, services)), ("-p", "tests.mutants.units"))


def bus_part(name: str, changed: Sequence[str], tests: Sequence[str]) -> Part:
    paths = tuple(f"libs/common/{path}.py" for path in changed)
    return Part(name, paths, tuple(f"libs/common/tests/test_{test}.py" for test in tests))


BUS = (
    bus_part(
        "inbox",
        ("bus/inbox", "bus/received", "bus/deadletters"),
        ("received", "inbox", "redrive", "deadletters", "told"),
    ),
    bus_part("relay", ("bus/relay", "data/outbox"), ("relay", "outbox")),
)


def prepare(part: Part) -> Path:
    """A copy of the checkout that mutmut may change, set up for this part."""
    place = WORK / part.name
    shutil.rmtree(place, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in TREE:
        shutil.copytree(CHECKOUT / name, place / name, ignore=ignore)
    for name in FILES:
        shutil.copy2(CHECKOUT / name, place / name)
    arguments = ["-p", "no:cacheprovider", "--hypothesis-profile=mutants", *part.plugins]
    setup = {
        "source_paths": [name for name in TREE if name != "tests"],
        "also_copy": list(FILES),
        "only_mutate": list(part.changed),
        "pytest_add_cli_args_test_selection": list(part.tests),
        "pytest_add_cli_args": arguments,
        "do_not_mutate_patterns": [r"^\s*(log|metrics)\."],  # what is told to operators
        "track_dependencies": False,
        "timeout_multiplier": 3.0,
        "timeout_constant": 3.0,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in setup.items()]  # these are TOML, too
    kept = (CHECKOUT / "pyproject.toml").read_text()
    (place / "pyproject.toml").write_text(f"{kept}\n[tool.mutmut]\n" + "\n".join(lines) + "\n")
    return place


def run(part: Part, environment: dict[str, str]) -> list[Mutant]:
    """Every mutant of the part and what became of it. Raises SystemExit where mutmut could not run."""
    place = prepare(part)
    started = time.monotonic()
    with (place / "mutmut.log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-c", "from mutmut.__main__ import cli; cli()", "run", "--max-children", "1"],
            cwd=place,
            env=os.environ | environment | {"LECTERN_TEST_DATABASE": f"mutants_{part.name}"},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        sys.exit(f"mutants: mutmut failed on the {part.name}: see {place / 'mutmut.log'}")
    found = read_results(place, part.changed)
    minutes = (time.monotonic() - started) / 60
    killed = sum(mutant.killed for mutant in found)
    print(f"{part.name}: {killed} of {len(found)} killed, {minutes:.1f} min", flush=True)
    return found


@contextmanager
def servers_for(parts: Sequence[Part]) -> Iterator[dict[str, str]]:
    """Variables by which the tests of every mutant find the same servers."""
    if not any(part.needs_servers for part in parts):
        yield {}
        return
    with suite_servers() as suite:
        urls = {TEST_URLS[name]: server.url for name, server in suite.servers.items()}
        login = {
            name.replace("LECTERN", "LECTERN_TEST", 1): value
            for name, value in os.environ.items()
            if name.startswith("LECTERN_KAFKA_")
        }
        yield urls | login | {"LECTERN_TEST_PATIENCE": PATIENCE}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("only", nargs="*", help="directories of services, or bus")
    only = parser.parse_args().only
    services = [Path(name) for name in only if name != "bus"] or [
        path.parent.relative_to(CHECKOUT) for path in sorted(CHECKOUT.glob("services/*/app.py"))
    ]
    parts = [*BUS] if "bus" in only or not only else []
    parts += [rules_of(services)] if only != ["bus"] else []
    os.nice(5)
    with servers_for(parts) as environment, ThreadPoolExecutor(len(parts)) as pool:
        results = list(pool.map(lambda part: run(part, environment), parts))
    return judge([mutant for found in results for mutant in found])


def judge(mutants: Sequence[Mutant]) -> int:
    """Prints what survived without a reason, and the share of the killed; 1 where either is too bad."""
    reasons = read_reasons(SURVIVORS)
    alive = [mutant for mutant in mutants if not mutant.killed]
    unknown = [mutant for mutant in alive if not any(reason.covers(mutant) for reason in reasons)]
    for mutant in unknown:
        print(mutant)
    share = 1 - len(alive) / len(mutants)
    print(f"mutants: {share:.1%} of {len(mutants)} killed; {len(unknown)} of {len(alive)} survivors unlisted")
    return int(bool(unknown) or share < WANTED)


if __name__ == "__main__":
    sys.exit(main())

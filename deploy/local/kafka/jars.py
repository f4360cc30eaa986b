"""The jars of Apache Kafka: fetched by Maven once a user, checked against committed sums at every start.

`python -m deploy.local.kafka.jars --check`: do the sums belong to the pom? `--write` makes them anew.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local.project import SetupError

HERE = Path(__file__).parent
POM = HERE / "pom.xml"
SUMS = HERE / "jars.sha256"


def jars() -> Path:
    """Directory with exactly the jars that the sums name; fetches them where they are missing or spoilt."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lectern"
    place = cache / f"kafka-{_digest(SUMS)[:12]}"
    if place.exists():
        if not _differences(place):
            return place
        shutil.rmtree(place)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        fetched = fetch(Path(scratch) / "libs")
        wrong = _differences(fetched)
        if wrong:
            raise SetupError(
                f"Maven brought other jars than {SUMS.name} names ({', '.join(wrong[:3])}): look at where "
                "it gets them from, then run 'python -m deploy.local.kafka.jars --write' if that is right."
            )
        try:
            fetched.rename(place)
        except OSError:  # another process was first
            return place
    return place


def are_cached() -> bool:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lectern"
    return (cache / f"kafka-{_digest(SUMS)[:12]}").exists()


def fetch(target: Path) -> Path:
    """Lets Maven copy what the pom names into `target`."""
    maven = shutil.which("mvn")
    if maven is None:
        raise SetupError(
            "Maven is missing, which brings Apache Kafka: install it with 'apt-get install maven', "
            "or set LECTERN_KAFKA=host:port to use a broker of yours, or LECTERN_SERVERS=docker."
        )
    # Maven writes a target directory beside the pom: it works on a copy.
    pom = target.parent / "pom.xml"
    shutil.copy(POM, pom)
    argv = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise SetupError(
            "Maven could not bring Apache Kafka: try 'mvn -f deploy/local/kafka/pom.xml dependency:resolve'. "
            + " ".join(lines[:2])
        )
    return target


def expected() -> dict[str, str]:
    """Name → SHA-256 of every jar."""
    lines = [line.split() for line in SUMS.read_text().splitlines() if not line.startswith("#")]
    return {name: digest for digest, name in lines}


def _differences(place: Path) -> list[str]:
    wanted = expected()
    there = {path.name: _digest(path) for path in place.iterdir()}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _belongs() -> bool:
    return SUMS.read_text().startswith(f"# pom.xml {_digest(POM)}\n")


def _write() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        found = sorted(fetch(Path(scratch) / "libs").iterdir())
        lines = [f"{_digest(path)}  {path.name}" for path in found]
    SUMS.write_text("\n".join([f"# pom.xml {_digest(POM)}", *lines, ""]))
    print(f"{SUMS.name}: {len(lines)} jars")


def main() -> None:
    if sys.argv[1:] == ["--write"]:
        _write()
    elif not _belongs():
        sys.exit("jars.sha256 does not belong to pom.xml: run 'python -m deploy.local.kafka.jars --write'.")


if __name__ == "__main__":
    main()

"""The images that ours and docker-compose.yml stand on: from the registry, or stand-ins of the same name.

A machine without a registry gets Debian's own packages behind the entry points that the official images have.
The stand-ins are for tests; nothing of them is shipped.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.local.debian import source
from deploy.local.kafka.jars import jars
from deploy.local.project import SetupError
from tests.containers.commands import cache, run
from tests.containers.engine import Engine

HERE = Path(__file__).parent / "images"
AUTHORITIES = Path("/usr/local/share/ca-certificates")
ROOTS = {
    "debian:trixie-slim": ("trixie", ("ca-certificates", "python3", "python3-venv")),
    "lectern-stand-in/forky": ("forky", ("postgresql-18", "valkey-server", "valkey-tools")),
}


def have(engine: Engine, *names: str) -> None:
    """Makes these images be there, by their public names; those that are stay as they are."""
    for name in names:
        if engine.status("image", "inspect", name) and engine.status("pull", "--quiet", name):
            stand_in(engine, name)


def stand_in(engine: Engine, name: str) -> None:
    if name in ROOTS:
        _import(engine, name)
        return
    made: dict[str, Callable[[Engine, str], None]] = {
        "python": _python,
        "postgres": _store,
        "valkey/valkey": _store,
        "apache/kafka": _kafka,
        "chrislusf/seaweedfs": _seaweedfs,
        "axllent/mailpit": _mailpit,
    }
    made[name.partition(":")[0]](engine, name)


def _import(engine: Engine, name: str) -> None:
    """A root file system of one release of Debian."""
    release, packages = ROOTS[name]
    archive = cache("docker") / f"root-{release}.tar"
    if not archive.exists():
        new = archive.with_suffix(".new.tar")
        words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
        options = ['Acquire::Languages "none"', 'Acquire::Check-Valid-Until "false"']
        words += [f"--aptopt={option}" for option in options]
        run([*words, release, new, source(release)], env=engine.environment)
        new.rename(archive)
    engine.docker("import", archive, name)


def _build(
    engine: Engine, name: str, dockerfile: str, add: Callable[[Path], object] = lambda _: None
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        for path in HERE.iterdir():
            shutil.copy(path, context)
        add(context)
        words = ["build", "--quiet", "--network", "host", "--tag", name, "--file", context / dockerfile]
        engine.docker(*words, context)


def _python(engine: Engine, name: str) -> None:
    def authorities(context: Path) -> None:
        (context / "authorities").mkdir()
        for path in AUTHORITIES.glob("*.crt"):
            shutil.copy(path, context / "authorities")

    have(engine, "debian:trixie-slim")
    _build(engine, name, "python.Dockerfile", authorities)


def _store(engine: Engine, name: str) -> None:
    have(engine, "lectern-stand-in/forky")
    _build(engine, name, "store.Dockerfile")


def _kafka(engine: Engine, name: str) -> None:
    have(engine, "debian:trixie-slim")
    _build(engine, name, "kafka.Dockerfile", lambda context: shutil.copytree(jars(), context / "libs"))


def _seaweedfs(engine: Engine, name: str) -> None:
    package = "github.com/seaweedfs/seaweedfs/weed"
    _program(engine, name, package, "v0.0.0-20261109003541-7506e5f91cd6", "seaweedfs.Dockerfile")


def _mailpit(engine: Engine, name: str) -> None:
    _program(engine, name, "github.com/axllent/mailpit", "v1.33.1", "mailpit.Dockerfile")


def _program(engine: Engine, name: str, package: str, version: str, dockerfile: str) -> None:
    """An image of one program of Go."""
    program = _compiled(package, version)
    have(engine, "debian:trixie-slim")
    _build(engine, name, dockerfile, lambda context: shutil.copy(program, context / "program"))


def _compiled(package: str, version: str) -> Path:
    """A program of Go, compiled once a user: 10 minutes on a quiet machine."""
    place = cache("docker/go") / f"{package.rpartition('/')[2]}-{version}"
    if place.exists():
        return place
    if shutil.which("go") is None:
        raise SetupError(f"No registry has given an image of {package}, and there is no Go to build it.")
    new = place.with_suffix(".new")
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "go.mod").write_text("module stand-in\n")
        options = {"cwd": directory, "env": os.environ | {"CGO_ENABLED": "0"}}
        run(["nice", "go", "get", f"{package}@{version}"], timeout=900, **options)
        run(
            ["nice", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", new, package],
            timeout=3600,
            **options,
        )
    new.rename(place)
    return place

"""The images that ours and docker-compose.yml stand on: from the registry, or stand-ins of the same name.

A machine without a registry gets Debian's own packages behind the entry points that the official images have.
A stand-in carries a digest of what it was made of, and is made again when that changes. The stand-ins are for
tests; nothing of them is shipped.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.local.debian import source
from deploy.local.kafka.jars import jars
from deploy.local.project import SetupError
from tests.containers.commands import cache, run
from tests.containers.engine import Engine

HERE = Path(__file__).parent / "images"
AUTHORITIES = Path("/usr/local/share/ca-certificates")
LABEL = "org.lectern.stand-in"
DEBIAN, STORES = "debian:trixie-slim", "lectern-stand-in/forky"
ROOTS = {
    DEBIAN: ("trixie", ("ca-certificates", "python3", "python3-venv")),
    STORES: ("forky", ("postgresql-18", "valkey-server", "valkey-tools")),
}


def have(engine: Engine, *names: str) -> None:
    """Makes these images be there, by their public names; those of a registry stay as they are."""
    for name in names:
        there = engine.status("image", "inspect", name) == 0
        if there and _of_registry(engine, name):
            continue
        if there or engine.status("pull", "--quiet", name):
            stand_in(engine, name)


def _of_registry(engine: Engine, name: str) -> bool:
    """A stand-in has our label; what was made here before there was one has no digest of a registry."""
    if _label(engine, name):
        return False
    return bool(json.loads(engine.docker("image", "inspect", "--format", "{{json .RepoDigests}}", name)))


def _label(engine: Engine, name: str) -> str:
    """The digest of what a stand-in was made of; empty for any other image, or none."""
    if engine.status("image", "inspect", name):
        return ""
    form = '{{with .Config.Labels}}{{index . "' + LABEL + '"}}{{end}}'
    return engine.docker("image", "inspect", "--format", form, name).strip()


def stand_in(engine: Engine, name: str) -> None:
    """Makes a stand-in, unless the one that is there was made of the same."""
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
        "prom/prometheus": _observer,
        "prom/alertmanager": _observer,
    }
    made[name.partition(":")[0]](engine, name)


def _import(engine: Engine, name: str) -> None:
    """A root file system of one release of Debian."""
    release, packages = ROOTS[name]
    digest = hashlib.sha256(" ".join((release, *packages)).encode()).hexdigest()[:12]
    if _label(engine, name) == digest:
        return
    archive = cache("docker") / f"root-{release}-{digest}.tar"
    if not archive.exists():
        new = archive.with_suffix(".new.tar")
        words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
        options = ['Acquire::Languages "none"', 'Acquire::Check-Valid-Until "false"']
        words += [f"--aptopt={option}" for option in options]
        run([*words, release, new, source(release)], env=engine.environment)
        new.rename(archive)
    engine.docker("import", "--change", f"LABEL {LABEL}={digest}", archive, name)


def _build(
    engine: Engine,
    name: str,
    base: str,
    files: Sequence[str],
    add: Callable[[Path], object] = lambda _: None,
) -> None:
    """Builds a stand-in on `base` from `files` beside this module, of which the first is its Dockerfile."""
    have(engine, base)
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        for file in files:
            shutil.copy(HERE / file, context)
        add(context)
        digest = digest_of(context, _label(engine, base))
        if _label(engine, name) == digest:
            return
        words = ["build", "--quiet", "--network", "host", "--label", f"{LABEL}={digest}"]
        engine.docker(*words, "--tag", name, "--file", context / files[0], context)


def digest_of(context: Path, base: str) -> str:
    """One value for the names and contents of all files, and for what they stand on."""
    whole = hashlib.sha256(base.encode())
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            inside = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(context)} {inside}\n".encode())
    return whole.hexdigest()[:12]


def _python(engine: Engine, name: str) -> None:
    def authorities(context: Path) -> None:
        (context / "authorities").mkdir()
        for path in AUTHORITIES.glob("*.crt"):
            shutil.copy(path, context / "authorities")

    _build(engine, name, DEBIAN, ["python.Dockerfile"], authorities)


def _store(engine: Engine, name: str) -> None:
    _build(engine, name, STORES, ["store.Dockerfile", "store.sh"])


def _observer(engine: Engine, name: str) -> None:
    _build(engine, name, STORES, ["observer.Dockerfile", "observer.sh"])


def _kafka(engine: Engine, name: str) -> None:
    def libraries(context: Path) -> None:
        shutil.copytree(jars(), context / "libs")

    _build(engine, name, DEBIAN, ["kafka.Dockerfile", "kafka.sh"], libraries)


def _seaweedfs(engine: Engine, name: str) -> None:
    package = "github.com/seaweedfs/seaweedfs/weed"
    _program(engine, name, package, "v0.0.0-20261109003541-7506e5f91cd6", "seaweedfs.Dockerfile")


def _mailpit(engine: Engine, name: str) -> None:
    _program(engine, name, "github.com/axllent/mailpit", "v1.33.1", "mailpit.Dockerfile")


def _program(engine: Engine, name: str, package: str, version: str, dockerfile: str) -> None:
    """An image of one program of Go."""
    program = _compiled(package, version)
    _build(engine, name, DEBIAN, [dockerfile], lambda context: shutil.copy(program, context / "program"))


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

"""Takes out of an environment what no process of Lectern reads: `slim.py VENV SOURCE`.

Debugging symbols of extension modules, stubs and C sources, what packages test themselves with, scripts of
other shells, a second viewer of OpenAPI, dialects of other databases, Celery's command line, second
implementations of cryptography, a resolver of names, what Pillow draws text and reads AVIF with, and Babel's
data of languages that no `.po` file under SOURCE speaks.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCES = (".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".cpp")
UNUSED = (
    "sqlalchemy/testing",
    *(f"sqlalchemy/dialects/{name}" for name in ("mssql", "mysql", "oracle")),
    "alembic/testing",
    "fastapi_offline/static/redoc*",
    # Celery is started by its classes; its command line has a shell of its own.
    "celery/bin",
    "click_repl",
    "prompt_toolkit",
    "wcwidth",
    # python-jose works with cryptography and has these to fall back upon.
    "ecdsa",
    "rsa",
    "pyasn1",
    # Addresses are checked without asking their domains.
    "dns",
    # Of Google's messages OpenTelemetry's exporter declares all and reads a status alone.
    *(f"google/{name}" for name in ("api", "cloud", "gapic", "logging", "longrunning", "type")),
    "pydantic/v1",
    "PIL/_avif.*",
    "PIL/_imagingft.*",
    "pillow.libs/libavif-*",
    "pillow.libs/libharfbuzz-*",
    "pillow.libs/libfreetype-*",
)


def superfluous(site: Path, languages: set[str]) -> Iterator[Path]:
    """Files and directories to remove."""
    for path in site.rglob("*"):
        if (path.is_dir() and path.name == "tests") or path.suffix in SOURCES:
            yield path
    for pattern in UNUSED:
        yield from site.glob(pattern)
    for path in site.glob("babel/locale-data/*.dat"):
        if path.stem not in languages:
            yield path


def main(venv: Path, source: Path) -> None:
    (site,) = venv.glob("lib/python*/site-packages")
    languages = {"root", "en", *(path.stem for path in source.rglob("*.po"))}
    for path in [*superfluous(site, languages), *venv.glob("bin/*.bat"), *venv.glob("bin/[Aa]ctivate*")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    # What lies in `*.libs` was rearranged for the wheel, which strip may break.
    modules = [path for path in site.rglob("*.so") if not path.parent.name.endswith(".libs")]
    subprocess.run(["strip", "--strip-unneeded", *modules], check=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

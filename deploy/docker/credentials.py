"""`python -m deploy.docker.credentials DIRECTORY`: every credential of docker-compose.yml, as files.

All passwords are drawn once, into `passwords.json`; that file is what a backup needs. Everything else is
written anew from it at each start: one directory per container, which sees no other, each file readable by
that container's user alone.
"""

import hashlib
import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.local.kafka.server import security_settings
from deploy.local.project import KAFKA_USERS, SUPERVISOR
from libs.common.data.bootstrap import role_of
from libs.common.runtime.settings import SERVICES
from libs.common.runtime.valkey import GATEWAY, TASKS, USERS, valkey_rules

OURS, VALKEY, KAFKA, ROOT = 10001, 999, 1000, 0
"""The users that read the files in their images."""
OTHERS = {
    "postgres": ROOT, "kafka": KAFKA, "seaweedfs": ROOT,
    "prometheus": 65534, "alertmanager": 65534, "grafana": 472, "bi": ROOT,
}  # fmt: skip
SERVERS = {"cache": "LECTERN_VALKEY_URL", "broker": "LECTERN_BROKER_URL"}
BUCKET = "lectern"
PASSWORDS = "passwords.json"
NOBODY = "http://127.0.0.1:9/"  # nothing listens there
Files = dict[tuple[str, str], str]
"""Text by directory and name."""


class Passwords:
    """Random values by name; one that is asked for the first time is drawn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def of(self, name: str) -> str:
        return self.values.setdefault(name, secrets.token_urlsafe(36))

    def save(self) -> None:
        write(self.path, json.dumps(self.values, indent=1, sort_keys=True) + "\n", ROOT)


def files(passwords: Passwords) -> Files:
    """All files of all containers."""
    found: Files = {
        ("postgres", "password"): passwords.of("postgres"),
        ("kafka", "server.properties"): kafka_properties(passwords),
        ("seaweedfs", "s3.json"): object_storage(passwords),
        ("prometheus", "gateway.token"): passwords.of("metrics"),
        ("alertmanager", "page.url"): os.environ.get("LECTERN_ALERT_PAGE_URL") or NOBODY,
        ("alertmanager", "ticket.url"): os.environ.get("LECTERN_ALERT_TICKET_URL") or NOBODY,
        ("grafana", "password"): passwords.of("grafana"),
        ("bi", "password"): passwords.of("postgres:reader"),
    }
    found |= {("backup", name): value for name, value in backup_values(passwords)}
    for server in SERVERS:
        found[f"valkey-{server}", "users.acl"] = valkey_users(passwords, server)
    for process in (*SERVICES, GATEWAY, TASKS, "operator"):
        found |= {(process, name): value for name, value in process_values(passwords, process)}
    return found


def process_values(passwords: Passwords, process: str) -> Iterator[tuple[str, str]]:
    """The variables of one process: its own credentials alone. Tasks and operator work in all databases."""
    yield "LECTERN_SECRET", passwords.of("secret")
    if process == "operator":
        login = f"postgres:{passwords.of('postgres')}"
        yield "LECTERN_DATABASE_ADMIN_URL", f"postgresql://{login}@postgres:5432/postgres"
        yield "LECTERN_READER_PASSWORD", passwords.of("postgres:reader")
        yield "LECTERN_BACKUP_PASSWORD", passwords.of("postgres:backup")
        yield "LECTERN_KAFKA_PASSWORD", passwords.of(f"kafka:{SUPERVISOR}")
        yield KAFKA_USERS, json.dumps({user: passwords.of(f"kafka:{user}") for user in USERS})
    elif process != TASKS:
        yield "LECTERN_KAFKA_PASSWORD", passwords.of(f"kafka:{process}")
    user = TASKS if process == "operator" else process
    for server, variable in SERVERS.items():
        login = f"{user}:{passwords.of(f'{server}:{user}')}"
        yield variable, f"redis://{login}@valkey-{server}:6379/0"
    if process == GATEWAY:
        yield "GATEWAY_METRICS_TOKEN", passwords.of("metrics")
        return
    for service in SERVICES:
        if process in (service, TASKS, "operator"):
            login = f"{role_of(service)}:{passwords.of(f'postgres:{service}')}"
            yield f"{service.upper()}_DATABASE_URL", f"postgresql://{login}@postgres:5432/lectern"
    yield "AWS_ACCESS_KEY_ID", passwords.of("storage:key")
    yield "AWS_SECRET_ACCESS_KEY", passwords.of("storage:secret")


def backup_values(passwords: Passwords) -> Iterator[tuple[str, str]]:
    """What backups log in with."""
    yield "LECTERN_SECRET", passwords.of("secret")
    login = f"lectern_backup:{passwords.of('postgres:backup')}"
    yield "LECTERN_DATABASE_ADMIN_URL", f"postgresql://{login}@postgres:5432/lectern"
    yield "LECTERN_KAFKA_PASSWORD", passwords.of(f"kafka:{SUPERVISOR}")
    yield "AWS_ACCESS_KEY_ID", passwords.of("storage:key")
    yield "AWS_SECRET_ACCESS_KEY", passwords.of("storage:secret")


def kafka_properties(passwords: Passwords) -> str:
    """The lines of Kafka's settings that hold its own password; the others stand in docker-compose.yml."""
    settings = security_settings(passwords.of(f"kafka:{SUPERVISOR}"))
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def valkey_users(passwords: Passwords, server: str) -> str:
    """Nobody without a password but the health check, who may only ask whether the server lives."""
    lines = ["user default off", "user health on nopass resetkeys resetchannels -@all +ping"]
    for user in (*USERS, TASKS):
        digest = hashlib.sha256(passwords.of(f"{server}:{user}").encode()).hexdigest()
        lines.append(f"user {user} on #{digest} {valkey_rules(user)}")
    return "\n".join(lines) + "\n"


def object_storage(passwords: Passwords) -> str:
    """SeaweedFS's one identity, which has one bucket."""
    login = {"accessKey": passwords.of("storage:key"), "secretKey": passwords.of("storage:secret")}
    actions = [f"{action}:{BUCKET}" for action in ("Read", "Write", "List", "Tagging")]
    return json.dumps({"identities": [{"name": "lectern", "credentials": [login], "actions": actions}]})


def owner_of(directory: str) -> int:
    """The user of the container that reads this directory."""
    return VALKEY if directory.startswith("valkey-") else OTHERS.get(directory, OURS)


def write(path: Path, text: str, owner: int) -> None:
    """Replaces the file at once; only its owner may read it, and write: Kafka copies it with its mode."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    os.chown(new, owner, owner)
    new.replace(path)


def main(root: Path) -> int:
    root.chmod(0o700)
    passwords = Passwords(root / PASSWORDS)
    drawn = len(passwords.values)
    found = files(passwords)
    passwords.save()
    found["backup", PASSWORDS] = passwords.path.read_text()
    for (directory, name), text in found.items():
        place = root / directory
        place.mkdir(exist_ok=True)
        write(place / name, text, owner_of(directory))
    for place in (path for path in root.iterdir() if path.is_dir()):
        owner = owner_of(place.name)
        os.chown(place, owner, owner)
        place.chmod(0o500)
    print(
        f"{len(passwords.values)} passwords, {len(passwords.values) - drawn} of them new; {len(found)} files"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

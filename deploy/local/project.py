"""One suite on this machine: where its files lie, which ports it has, what its processes are told.

`Project.here()` is the suite of the checkout; `Project.for_tests(directory)` is a private one beside it.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from gateway.settings import GatewaySettings
from libs.common.data.bootstrap import role_of
from libs.common.runtime.settings import SERVICES

CHECKOUT = Path(__file__).resolve().parents[2]
BACKING = ("postgres", "valkey", "kafka")
WORKERS = ("worker", "beat")
OBSERVERS = ("prometheus", "alertmanager")
"""What runs beside the suite when it is asked for."""
DATABASE = "lectern"
GATEWAY = "gateway"
SUPERVISOR = "supervisor"
"""The user of Kafka and Valkey that may do everything."""
KAFKA_LOGIN = tuple(f"LECTERN_KAFKA_{name}" for name in ("USER", "PASSWORD", "MECHANISM", "TLS"))
KAFKA_USERS = "LECTERN_KAFKA_USERS"
"""Tells the step that sets Kafka up the passwords of all users, as JSON."""
DEFAULT_PORTS = {
    "gateway": 8000,
    "mail": 8025,
    "smtp": 8026,
    "identity": 8101,
    "catalog": 8102,
    "learning": 8103,
    "forum": 8104,
    "analytics": 8105,
    "notify": 8106,
    "support": 8107,
    "tasks": 8108,
    "prometheus": 8090,
    "alertmanager": 8094,
    "postgres": 8432,
    "valkey": 8379,
    "kafka": 8092,
    "kafka_controller": 8093,
}
# The variables by which a server of one's own is given instead of the embedded one.
SERVER_URLS = {"postgres": "LECTERN_POSTGRES_URL", "valkey": "LECTERN_VALKEY_URL", "kafka": "LECTERN_KAFKA"}
# Tests log in and ask from one address, far more than people do.
GENEROUS = {
    f"GATEWAY_{name.upper()}": "1000000" for name in GatewaySettings.model_fields if name.startswith("limit_")
}
LAST_PORT = 32767  # higher ones collide with ephemeral ports


class SetupError(Exception):
    """Something on this machine is in the way; the message is one sentence with the command that mends it."""


@dataclass(frozen=True)
class Project:
    """Everything of it lies in `directory`; two projects with other directories and ports are independent."""

    directory: Path
    ports: Mapping[str, int]
    services: tuple[str, ...] = SERVICES
    with_gateway: bool = True
    with_workers: bool = True
    with_seed: bool = True
    # The suite ends with this process; None: it stays until `down`.
    owner: int | None = None
    # Set for every process of the suite, over what `environment` computes.
    extra: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls) -> Self:
        """The suite of this checkout, in `.lectern/`; ports from `LECTERN_PORT_<NAME>`."""
        directory = Path(os.environ.get("LECTERN_DIRECTORY") or CHECKOUT / ".lectern")
        return cls(directory.absolute(), {name: _port_of(name, port) for name, port in DEFAULT_PORTS.items()})

    @classmethod
    def for_tests(cls, directory: Path, **changes: Any) -> Self:
        """A private suite on free ports with generous limits, no seed; it ends with the calling process."""
        ports = dict(zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True))
        changes = {"owner": os.getpid(), "with_seed": False, **changes}
        changes["extra"] = {**GENEROUS, **changes.get("extra", {})}
        return cls(directory.absolute(), ports, **changes)

    @classmethod
    def saved(cls, directory: Path) -> Self:
        """The project as the running suite was started with."""
        values = json.loads((directory / "project.json").read_text())
        values["services"] = tuple(values["services"])
        return cls(directory, **values)

    def save(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "directory"}
        write_private(self.directory / "project.json", json.dumps(values, indent=2, default=dict))

    @property
    def mark(self) -> str:
        """Short and different for every project directory of this machine."""
        return hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def control_socket(self) -> Path:
        """A socket's path has at most 107 characters: a long one moves it to the temporary directory."""
        path = self.directory / "control.sock"
        if len(os.fsencode(path)) <= 100:
            return path
        runtime = Path(tempfile.gettempdir()) / f"lectern-{os.getuid()}-{self.mark}"
        runtime.mkdir(mode=0o700, exist_ok=True)
        if runtime.is_symlink() or runtime.stat().st_uid != os.getuid():
            raise SetupError(f"{runtime} belongs to somebody else: remove it with 'rm -r {runtime}'.")
        return runtime / "control.sock"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def mail_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['mail']}"

    @property
    def observer_urls(self) -> dict[str, str]:
        """Where Prometheus and Alertmanager are, once `lectern observe` has started them."""
        return {name: f"http://127.0.0.1:{self.ports[name]}" for name in OBSERVERS}

    @property
    def production(self) -> bool:
        known = self.extra.get("LECTERN_ENVIRONMENT") or os.environ.get("LECTERN_ENVIRONMENT")
        return known == "production"

    def given(self, server: str) -> str | None:
        """URL of a backing service that the environment names instead of the embedded one."""
        name = SERVER_URLS[server]
        return self.extra.get(name) or os.environ.get(name) or None

    @property
    def postgres_url(self) -> str:
        """As superuser, on the maintenance database."""
        given = self.given("postgres")
        if given:
            return given
        password = self.secret("postgres.password")
        return f"postgresql://postgres:{password}@127.0.0.1:{self.ports['postgres']}/postgres"

    @property
    def valkey_url(self) -> str:
        """As the user that may do everything, without the number of a database."""
        return self.valkey_url_of(SUPERVISOR)

    def valkey_url_of(self, user: str) -> str:
        """As this user; a server of one's own has the users of its URL alone."""
        given = self.given("valkey")
        if given:
            return urlsplit(given)._replace(path="", query="").geturl()
        return f"redis://{user}:{self.password('valkey', user)}@127.0.0.1:{self.ports['valkey']}"

    @property
    def kafka(self) -> str:
        return self.given("kafka") or f"127.0.0.1:{self.ports['kafka']}"

    def kafka_login(self, user: str) -> dict[str, str]:
        """The variables by which a process reaches Kafka as this user; empty: as nobody, who may do nothing.

        Of a broker of one's own the login is in the environment already, and the same for all.
        """
        if self.given("kafka"):
            known = {**os.environ, **self.extra}
            return {name: known[name] for name in KAFKA_LOGIN if name in known}
        password = self.password("kafka", user) if user else ""
        mechanism = "PLAIN" if user == SUPERVISOR else "SCRAM-SHA-512"
        return dict(zip(KAFKA_LOGIN, (user, password, mechanism, "false"), strict=True))

    def password(self, server: str, user: str) -> str:
        """Of one user of an embedded server, derived from one random value of the project's directory."""
        return derived(self.secret("credentials"), f"{server}:{user}")

    def secret(self, name: str) -> str:
        """A random value kept in the project's directory, readable by its owner alone."""
        path = self.directory / name
        if not path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{name}.{secrets.token_hex(4)}")
            write_private(new, secrets.token_urlsafe(24))
            with contextlib.suppress(FileExistsError):  # a thread or a process was first
                os.link(new, path)
            new.unlink()
        return path.read_text().strip()


def environment(project: Project, process: str = "") -> dict[str, str]:
    """What a process of the suite is started with: where everything is, and its own credentials alone.

    Without a name it is for commands of an operator, who has all databases and no user of Kafka; the
    supervisor's sets Kafka up.
    """
    service, tasks = service_of(process), process in ("", *WORKERS)
    by_valkey = service or ("tasks" if tasks else process if process == GATEWAY else "")
    by_kafka = service or (process if process in (GATEWAY, SUPERVISOR) else "")
    values = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    server = urlsplit(project.postgres_url).netloc.rpartition("@")[2]
    # Numbers of databases are ours to give.
    valkey = project.valkey_url_of(by_valkey) if by_valkey else "redis://127.0.0.1:1"
    values |= {
        # One arena a thread pool is enough, and keeps some 20 MB a process.
        "MALLOC_ARENA_MAX": "2",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(CHECKOUT),
        "LECTERN_DIRECTORY": str(project.directory),
        "LECTERN_KAFKA": project.kafka,
        **project.kafka_login(by_kafka),
        "LECTERN_VALKEY_URL": f"{valkey}/0",
        "LECTERN_BROKER_URL": f"{valkey}/1",
        "LECTERN_PUBLIC_URL": project.gateway_url,
        "LECTERN_JWKS_URL": f"http://127.0.0.1:{project.ports['identity']}/.well-known/jwks.json",
        "LECTERN_SMTP_URL": f"smtp://127.0.0.1:{project.ports['smtp']}",
        "LECTERN_STORAGE_URL": f"file:{project.directory / 'storage'}",
        "SUPPORT_STATUS_URL": f"{project.gateway_url}/api/status/",
        "GATEWAY_PORT": str(project.ports["gateway"]),
        "GATEWAY_HANDOVER": str(project.control_socket.with_name("gateway.sock")),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{values.get('PATH', os.defpath)}",
    }
    values.setdefault("LECTERN_LOG_FORMAT", "json")
    observers = {f"{name.title()} (make observe)": url for name, url in project.observer_urls.items()}
    links = {"Mail": project.mail_url, **observers}
    values.setdefault("LECTERN_OPERATOR_LINKS", ",".join(f"{name}={url}" for name, url in links.items()))
    for name, port in project.ports.items():
        values[f"LECTERN_PORT_{name.upper()}"] = str(port)
    for each in SERVICES:
        prefix = each.upper()
        values[f"{prefix}_PORT"] = str(project.ports[each])
        if each == process:  # a replica has a port of its own
            values[f"{prefix}_HANDOVER"] = str(project.control_socket.with_name(f"{each}.sock"))
        values[f"GATEWAY_{prefix}_URL"] = f"http://127.0.0.1:{project.ports[each]}"
        if each == service or tasks:
            login = f"{role_of(each)}:{role_password(project.postgres_url, each)}"
            values[f"{prefix}_DATABASE_URL"] = f"postgresql://{login}@{server}/{DATABASE}"
        else:
            values.pop(f"{prefix}_DATABASE_URL", None)
    if process == "worker":
        values["LECTERN_TASKS_METRICS_PORT"] = str(project.ports["tasks"])
    if process == GATEWAY and not values.get("GATEWAY_METRICS_TOKEN"):
        values["GATEWAY_METRICS_TOKEN"] = project.secret("metrics.token")
    if process == SUPERVISOR and not project.given("kafka"):
        users = (*SERVICES, GATEWAY)
        values[KAFKA_USERS] = json.dumps({user: project.password("kafka", user) for user in users})
    if project.production:  # these are for the operator to say: no mail catcher, no address of loopback
        for name in ("LECTERN_SMTP_URL", "LECTERN_PUBLIC_URL"):
            values[name] = os.environ.get(name, "")
    values |= {name: value for name, value in project.extra.items() if name not in SERVER_URLS.values()}
    # The superuser is nobody's business but the supervisor's.
    for name in ("POSTGRES_URL", "TEST_POSTGRES_URL", "TEST_VALKEY_URL", "TEST_KAFKA_PASSWORD"):
        values.pop(f"LECTERN_{name}", None)
    return values


def service_of(process: str) -> str:
    """The service that a process runs, `learning` of `learning-worker-2`; empty where it is none."""
    return name if (name := process.partition("-")[0]) in SERVICES else ""


def role_password(admin_url: str, service: str) -> str:
    """Of the service's role: derived from the superuser's, so that all who use a server have the same;
    `LECTERN_ROLE_PASSWORD` names another."""
    given = os.environ.get("LECTERN_ROLE_PASSWORD")
    return given or derived(unquote(urlsplit(admin_url).password or ""), role_of(service))


def derived(secret: str, name: str) -> str:
    """A password for `name`; it says nothing of the secret, nor of those of other names."""
    digest = hmac.digest(secret.encode(), name.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def write_private(path: Path, text: str) -> None:
    """Replaces the file at once; only its owner may read it."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Distinct free ports below the ephemeral range; random, so that two test runs seldom meet.

    `LECTERN_FREE_PORTS=10000-20000` keeps to a part of the range: then two of them never meet.
    """
    first, _, last = os.environ.get("LECTERN_FREE_PORTS", "").partition("-")
    lowest, highest = int(first or 10_000), int(last or LAST_PORT)
    found: list[int] = []
    while len(found) < count:
        port = lowest + secrets.randbelow(highest - lowest)
        if port not in found and port_is_free(port):
            found.append(port)
    return found


def _port_of(name: str, default: int) -> int:
    variable = f"LECTERN_PORT_{name.upper()}"
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise SetupError(
            f"{variable} is {text!r}: set it to a port number, for example {variable}={default}."
        )
    return int(text)

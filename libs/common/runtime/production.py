"""What production refuses: values that are only good for development, each with what to do instead.

Only settings are looked at, not the network. `LECTERN_ENVIRONMENT=production` turns it on; the first
objection ends the process at its start.
"""

import re
from ipaddress import ip_address
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from libs.common.runtime.settings import ServiceSettings, SuiteSettings

DEVELOPMENT_SECRET = "development-only"
LEAST_SECRET = 32
LEAST_PASSWORD = 12
MAIL_CATCHER_PORT = 8026
_TELLING = re.compile(r"development|change.?me|password|secret|example|lectern", re.IGNORECASE)
HOW = "for example from 'openssl rand -base64 48'"


def is_loopback(host: str | None) -> bool:
    """Whether what is said to this host stays on the machine; a Unix socket has none."""
    if not host or host == "localhost" or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_guessable(secret: str) -> bool:
    """Whether nobody can have drawn this at random: few characters, one part again and again, a run of the
    alphabet, or words of examples."""
    repeated = (secret + secret).find(secret, 1) < len(secret)
    steps = [ord(b) - ord(a) for a, b in pairwise(secret)]
    run = sum(step in (-1, 0, 1) for step in steps) > len(steps) / 2
    return len(set(secret)) < 10 or repeated or run or _TELLING.search(secret) is not None


def of_suite(settings: "SuiteSettings") -> list[str]:
    """Objections to what all processes share."""
    secret = settings.secret.get_secret_value()
    found = []
    if DEVELOPMENT_SECRET in secret:
        found.append(f"LECTERN_SECRET still has its development value: set a random one, {HOW}")
    elif len(secret.encode()) < LEAST_SECRET:
        found.append(f"LECTERN_SECRET is shorter than {LEAST_SECRET} bytes: set a random one, {HOW}")
    elif is_guessable(secret):
        found.append(f"LECTERN_SECRET can be guessed: set a random one, {HOW}")
    found += [objection for origin in settings.cors_origins for objection in _of_origin(origin)]
    if not _is_web(settings.public_url, loopback=False):
        found.append("LECTERN_PUBLIC_URL must be the https:// address of the gateway: mails link to it")
    if settings.failpoints:
        found.append("LECTERN_FAILPOINTS is set: unset it, fault injection does not belong in production")
    return found + _of_mail(settings) + _of_kafka(settings) + _of_valkey(settings, "valkey_url")


def of_service(settings: "ServiceSettings") -> list[str]:
    """Objections to what a service has beside that: its database and the broker of its tasks."""
    prefix = settings.service.upper()
    found = _of_database(settings, f"{prefix}_DATABASE_URL", settings.database_url.get_secret_value())
    if direct := settings.database_direct_url.get_secret_value():
        found += _of_database(settings, f"{prefix}_DATABASE_DIRECT_URL", direct)
    return found + _of_valkey(settings, "broker_url")


def _of_database(settings: "ServiceSettings", name: str, given: str) -> list[str]:
    url = urlsplit(given)
    query = dict(parse_qsl(url.query))
    found = []
    if DEVELOPMENT_SECRET in url.geturl():
        found.append(f"{name} still has its development password: set the real one")
    if is_loopback(query.get("host", url.hostname)):
        return found
    if len(url.password or query.get("password", "")) < LEAST_PASSWORD:
        found.append(
            f"{name} has no password of {LEAST_PASSWORD} characters or more: give its role a random one"
        )
    mode = query.get("sslmode", settings.database_sslmode)
    if mode != "verify-full" and not settings.encrypted_network:
        found.append(
            "LECTERN_DATABASE_SSLMODE must be verify-full, with LECTERN_CA_FILE, for a PostgreSQL on another"
            f" host, or LECTERN_ENCRYPTED_NETWORK true; {name} goes by {mode}"
        )
    return found


def _is_web(url: str, *, loopback: bool) -> bool:
    """Whether it is https://host[:port] and no more; http only where `loopback` may have it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    good = parts.scheme == "https" or (loopback and parts.scheme == "http" and is_loopback(parts.hostname))
    rest = parts.path.rstrip("/") if not loopback else parts.path
    named = bool(parts.hostname) and "*" not in parts.netloc and "@" not in parts.netloc
    return good and named and not (rest or parts.query or parts.fragment)


def _of_origin(origin: str) -> list[str]:
    if origin in ("*", "null"):
        return [
            f"LECTERN_CORS_ORIGINS has {origin}, which is any page: list the https:// origins of front ends"
        ]
    if not _is_web(origin, loopback=True):
        return [f"LECTERN_CORS_ORIGINS has {origin}: an origin is https://host, http only for localhost"]
    return []


def _of_mail(settings: "SuiteSettings") -> list[str]:
    found = []
    url = urlsplit(settings.smtp_url)
    if not url.hostname:
        found.append("LECTERN_SMTP_URL names no server: set that of your mail server")
    elif url.port == MAIL_CATCHER_PORT and is_loopback(url.hostname):
        found.append(
            "LECTERN_SMTP_URL leads to the mail catcher, which shows everybody's mail: set your server's"
        )
    if settings.mail_from.rstrip("> ").endswith((".example", ".invalid", ".test", "@localhost")):
        found.append("LECTERN_MAIL_FROM is an example: set an address that your mail server may send from")
    return found


def _of_kafka(settings: "SuiteSettings") -> list[str]:
    hosts = [urlsplit(f"//{server.strip()}").hostname for server in settings.kafka.split(",")]
    found = []
    if settings.kafka_user and len(settings.kafka_password.get_secret_value()) < LEAST_PASSWORD:
        found.append(
            f"LECTERN_KAFKA_PASSWORD has fewer than {LEAST_PASSWORD} characters: give the user a random one"
        )
    if all(is_loopback(host) for host in hosts):
        return found
    if not settings.kafka_user:
        found.append(
            "LECTERN_KAFKA_USER is empty and Kafka is on another host: whoever reaches it could forge events,"
            " set user and password"
        )
    if not settings.kafka_tls and not settings.encrypted_network:
        found.append(
            "LECTERN_KAFKA_TLS must be true for a Kafka on another host, or LECTERN_ENCRYPTED_NETWORK"
        )
    return found


def _of_valkey(settings: "SuiteSettings", field: str) -> list[str]:
    name = f"LECTERN_{field.upper()}"
    url = urlsplit(getattr(settings, field))
    if url.scheme == "unix" or is_loopback(url.hostname):
        return []
    found = []
    if len(url.password or "") < LEAST_PASSWORD:
        found.append(
            f"{name} has no password of {LEAST_PASSWORD} characters or more and Valkey is on another host:"
            " whoever reaches it could forge tickets and tasks, set redis[s]://user:password@host"
        )
    if url.scheme != "rediss" and not settings.encrypted_network:
        found.append(
            f"{name} must begin with rediss:// for a Valkey on another host,"
            " or LECTERN_ENCRYPTED_NETWORK be true"
        )
    return found

"""Settings come from the environment; production refuses what is only good for development."""

import string
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from gateway.settings import GatewaySettings
from libs.common.runtime.production import is_guessable, is_loopback
from libs.common.runtime.settings import SERVICES, ServiceSettings, SuiteSettings
from libs.common.tests.toy import Settings
from services.identity.settings import Settings as IdentitySettings

SECRET = "fH3vQ0zT9kWm2xLrB7cYpE5sJ8nUaD1g"
GOOD: dict[str, Any] = {
    "environment": "production",
    "secret": SecretStr(SECRET),
    "cors_origins": ["https://learn.acme.org"],
    "public_url": "https://learn.acme.org",
    "smtp_url": "smtps://lectern:f9Qx2LmZt7Ra@mail.acme.org",
    "mail_from": "Lectern <no-reply@acme.org>",
    "kafka": "kafka-1.acme.org:9093, kafka-2.acme.org:9093",
    "kafka_user": "learning",
    "kafka_password": SecretStr("f9Qx2LmZt7Ra"),
    "kafka_tls": True,
    "valkey_url": "rediss://learning:f9Qx2LmZt7Ra@valkey.acme.org/0",
    "broker_url": "rediss://learning:f9Qx2LmZt7Ra@valkey.acme.org/1",
}
DATABASE = "postgresql://lectern_toy:f9Qx2LmZt7Ra@db.acme.org/lectern"
SERVICE = {**GOOD, "database_url": SecretStr(DATABASE), "database_sslmode": "verify-full"}


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "MECHANISM", "TLS"):
        monkeypatch.delenv(f"LECTERN_KAFKA_{name}", raising=False)


def test_shared_names_and_own_names_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LECTERN_KAFKA", "broker:9092")
    monkeypatch.setenv("LECTERN_CORS_ORIGINS", "https://a.example, https://b.example")
    monkeypatch.setenv("TOY_PORT", "9999")
    settings = Settings()
    assert (settings.kafka, settings.port) == ("broker:9092", 9999)
    assert settings.cors_origins == ["https://a.example", "https://b.example"]


def test_production_takes_what_is_safe():
    SuiteSettings(**GOOD)
    Settings(**SERVICE)
    GatewaySettings(**GOOD, trusted_proxies=["10.0.0.0/8", "fd00::/8"])
    near = {"kafka": "127.0.0.1:9092", "kafka_user": "", "kafka_tls": False}
    near |= {"valkey_url": "redis://localhost/0", "broker_url": "unix:///run/valkey.sock"}
    Settings(**{**SERVICE, **near, "database_url": SecretStr("postgresql:///lectern?host=/run/postgresql")})
    plain = {"kafka_tls": False, "valkey_url": "redis://a:f9Qx2LmZt7Ra@v/0", "database_sslmode": "prefer"}
    Settings(**{**SERVICE, **plain, "encrypted_network": True})


UNSAFE: list[tuple[str, str, Any]] = [
    # variable, field, value
    *(
        ("LECTERN_SECRET", "secret", SecretStr(value))
        for value in (
            "",
            "x",
            "development-only",
            SECRET[:31],
            "a" * 64,
            "abcd" * 16,
            "0123456789" * 4,
            string.ascii_letters,
            f"my-production-password-{SECRET}",
            f"change-me-{SECRET}",
        )
    ),
    *(
        ("LECTERN_CORS_ORIGINS", "cors_origins", [value])
        for value in (
            "*",
            "null",
            "http://learn.acme.org",
            "https://*.acme.org",
            "https://learn.acme.org/",
            "https://u:p@learn.acme.org",
            "learn.acme.org",
            "file://",
            "https://",
            "https://learn.acme.org:x",
        )
    ),
    ("LECTERN_CORS_ORIGINS", "cors_origins", ["https://learn.acme.org", "null"]),
    *(
        ("LECTERN_PUBLIC_URL", "public_url", value)
        for value in ("", "http://127.0.0.1:8000", "http://learn.acme.org", "https://learn.acme.org/?a=b")
    ),
    ("LECTERN_FAILPOINTS", "failpoints", "consumer.handled=kill"),
    ("LECTERN_SMTP_URL", "smtp_url", "smtp://127.0.0.1:8026"),
    ("LECTERN_SMTP_URL", "smtp_url", ""),
    ("LECTERN_MAIL_FROM", "mail_from", "Lectern <no-reply@lectern.example>"),
    ("LECTERN_KAFKA_USER", "kafka_user", ""),
    ("LECTERN_KAFKA_PASSWORD", "kafka_password", SecretStr("short")),
    ("LECTERN_KAFKA_TLS", "kafka_tls", False),
    ("LECTERN_VALKEY_URL", "valkey_url", "rediss://valkey.acme.org/0"),
    ("LECTERN_VALKEY_URL", "valkey_url", "redis://a:f9Qx2LmZt7Ra@valkey.acme.org/0"),
]


@pytest.mark.promise("production")
@pytest.mark.parametrize(("named", "field", "value"), UNSAFE)
def test_production_refuses_an_unsafe_value_by_the_name_of_its_variable(named: str, field: str, value: Any):
    for kind, good in ((SuiteSettings, GOOD), (GatewaySettings, GOOD), (Settings, SERVICE)):
        with pytest.raises(ValidationError, match=named) as refused:
            kind(**{**good, field: value})
        (error,) = refused.value.errors()
        assert str(error["ctx"]["error"]).startswith(named)
        secret = value.get_secret_value() if isinstance(value, SecretStr) else ""
        assert len(secret) < 6 or secret == "development-only" or secret not in str(error["ctx"]["error"])
    kind(**{**good, field: value, "environment": "development"})


OF_SERVICES: list[tuple[str, type[SuiteSettings], dict[str, Any], str, Any]] = [
    *(
        ("DATABASE", Settings, SERVICE, "database_url", SecretStr(url))
        for url in (
            "postgresql://lectern_toy:development-only@127.0.0.1/lectern",
            "postgresql://lectern_toy:short@db.acme.org/lectern",
            "postgresql://lectern_toy@db.acme.org/lectern",
            "postgresql:///lectern?host=db.acme.org&user=lectern_toy",
            f"{DATABASE}?sslmode=require",
        )
    ),
    ("LECTERN_DATABASE_SSLMODE", Settings, SERVICE, "database_sslmode", "prefer"),
    ("LECTERN_BROKER_URL", Settings, SERVICE, "broker_url", "redis://valkey.acme.org/1"),
    *(
        ("GATEWAY_TRUSTED_PROXIES", GatewaySettings, GOOD, "trusted_proxies", networks)
        for networks in (["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"], ["10.0.0.0/8", "2000::/3"])
    ),
    ("GATEWAY_LIMIT_CREDENTIALS", GatewaySettings, GOOD, "limit_credentials", 1_000_000),
    ("IDENTITY_MAIL_INTERVAL", IdentitySettings, SERVICE, "mail_interval", 1),
    ("IDENTITY_ACCESS_SECONDS", IdentitySettings, SERVICE, "access_seconds", 86_400),
    ("IDENTITY_CODE_TRIES", IdentitySettings, SERVICE, "code_tries", 1000),
    ("IDENTITY_CODE_TRIES_HOUR", IdentitySettings, SERVICE, "code_tries_hour", 1000),
    ("IDENTITY_CODE_SECONDS", IdentitySettings, SERVICE, "code_seconds", 86_400),
]


@pytest.mark.promise("production")
@pytest.mark.parametrize(("named", "kind", "good", "field", "value"), OF_SERVICES)
def test_production_refuses_unsafe_values_of_one_process(
    named: str, kind: type[SuiteSettings], good: dict[str, Any], field: str, value: Any
):
    with pytest.raises(ValidationError, match=named):
        kind(**{**good, field: value})
    kind(**{**good, field: value, "environment": "development"})


@pytest.mark.promise("production")
@pytest.mark.parametrize("service", SERVICES)
def test_no_service_starts_in_production_with_its_defaults(service: str):
    kind: type[ServiceSettings] = import_module(f"services.{service}.settings").Settings
    with pytest.raises(ValidationError, match="LECTERN_SECRET"):
        kind(environment="production")
    with pytest.raises(ValidationError, match=f"{service.upper()}_DATABASE_URL"):
        kind(**GOOD)


def test_what_openssl_draws_is_not_guessable():
    import base64
    import secrets

    for _ in range(200):
        assert not is_guessable(base64.b64encode(secrets.token_bytes(48)).decode())
        assert not is_guessable(secrets.token_hex(32))


@pytest.mark.parametrize(
    ("host", "near"),
    [
        (None, True), ("localhost", True), ("127.0.0.1", True), ("::1", True), ("127.8.8.8", True),
        ("/run/postgresql", True), ("localhost.acme.org", False), ("10.0.0.1", False), ("0.0.0.0", False),
        ("127.0.0.1,db.acme.org", False),
    ],
)  # fmt: skip
def test_loopback_is_this_machine_alone(host: str | None, near: bool):
    assert is_loopback(host) == near


def test_a_file_of_authorities_that_is_not_there_is_refused_at_once(tmp_path: Path):
    with pytest.raises(ValidationError, match="LECTERN_CA_FILE"):
        SuiteSettings(ca_file=str(tmp_path / "none.pem"))


def test_secrets_do_not_show():
    settings = Settings(**SERVICE)
    assert SECRET not in repr(settings)
    assert "f9Qx2LmZt7Ra" not in repr(settings)

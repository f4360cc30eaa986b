"""Settings that every process of the suite shares.

A value is read from the environment. Names that the whole suite shares begin with `LECTERN_`; names of
one service begin with its own prefix (`IDENTITY_DATABASE_URL`). In production a value that is only good for
development is refused at start, with the name of the variable to set (`libs.common.runtime.production`).
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from libs.common.runtime import production

DEVELOPMENT_SECRET = production.DEVELOPMENT_SECRET
SERVICES = ("identity", "catalog", "learning", "forum", "analytics", "notify", "support")


def shared(name: str, default: Any, description: str, *, shown: bool = True) -> Any:
    """A field read from `LECTERN_<NAME>` whatever the prefix of the service; what may hold a password is not
    `shown` by repr."""
    return Field(
        default,
        validation_alias=AliasChoices(f"LECTERN_{name.upper()}", name),
        description=description,
        repr=shown,
    )


class SuiteSettings(BaseSettings):
    """Values shared by the gateway, the services and the workers."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    environment: Literal["development", "test", "production"] = shared(
        "environment", "development", "development, test or production; production refuses unsafe values"
    )
    log_format: Literal["auto", "json", "console"] = shared(
        "log_format", "auto", "json, console, or auto: console on a terminal"
    )
    log_level: str = shared("log_level", "INFO", "least level that is written")
    host: str = shared("host", "127.0.0.1", "address that the process listens on")
    public_url: str = shared("public_url", "http://127.0.0.1:8000", "URL of the gateway as clients see it")
    kafka: str = shared("kafka", "127.0.0.1:8092", "bootstrap servers, comma separated")
    kafka_user: str = shared("kafka_user", "", "SASL user of this process; empty: none")
    kafka_password: SecretStr = shared("kafka_password", SecretStr(""), "password of LECTERN_KAFKA_USER")
    kafka_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = shared(
        "kafka_mechanism", "SCRAM-SHA-512", "how LECTERN_KAFKA_USER proves itself"
    )
    kafka_tls: bool = shared("kafka_tls", False, "whether the brokers are spoken to by TLS")
    database_sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = shared(
        "database_sslmode",
        "prefer",
        "TLS of PostgreSQL; verify-full in production, unless the URL says another",
    )
    ca_file: str = shared(
        "ca_file",
        "",
        "PEM file of the authorities that vouch for Kafka, Valkey and PostgreSQL; empty: the system's",
    )
    encrypted_network: bool = shared(
        "encrypted_network",
        False,
        "says that the network itself encrypts (service mesh, VPN): lets production do without TLS",
    )
    topic_prefix: str = shared("topic_prefix", "", "put before every topic name; tests use it")
    valkey_url: str = shared(
        "valkey_url",
        "redis://127.0.0.1:8379/0",
        "limits and tickets; redis[s]://user:password@host:port/0, rediss by TLS",
        shown=False,
    )
    broker_url: str = shared(
        "broker_url",
        "redis://127.0.0.1:8379/1",
        "Celery broker, likewise; noeviction in production",
        shown=False,
    )
    jwks_url: str = shared(
        "jwks_url", "http://127.0.0.1:8101/.well-known/jwks.json", "public keys of access tokens"
    )
    token_issuer: str = shared("token_issuer", "lectern", "exact `iss` of access tokens")
    token_audience: str = shared("token_audience", "lectern-api", "exact `aud` of access tokens")
    secret: SecretStr = shared(
        "secret", SecretStr(DEVELOPMENT_SECRET), "signs media URLs and hashes codes; 32 random bytes or more"
    )
    cors_origins: Annotated[list[str], NoDecode] = shared(
        "cors_origins", ["*"], "origins of front ends, comma separated; * only in development"
    )
    storage_url: str = shared("storage_url", "file:.lectern/storage", "file:DIRECTORY or s3://BUCKET/PREFIX")
    smtp_url: str = shared(
        "smtp_url", "smtp://127.0.0.1:8026", "smtp[s]://[user:password@]host:port", shown=False
    )
    mail_from: str = shared("mail_from", "Lectern <no-reply@lectern.example>", "sender of all mail")
    otlp_endpoint: str = Field(
        "",
        validation_alias=AliasChoices(
            "LECTERN_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"
        ),
        description="where OpenTelemetry's spans go by OTLP/HTTP, without /v1/traces; empty: none are made",
    )
    trace_share: float = Field(
        0.1,
        ge=0,
        le=1,
        validation_alias=AliasChoices("LECTERN_TRACE_SHARE", "trace_share"),
        description="share of the requests whose spans are kept",
    )
    operator_links: str = shared(
        "operator_links", "", "pages that the console links to for operators: name=URL, comma separated"
    )
    tasks_metrics_port: int = shared(
        "tasks_metrics_port", 0, "port on which a Celery worker shows /metrics; 0: none"
    )
    body_limit: int = shared("body_limit", 1_048_576, "bytes of a JSON body; more is a 413")
    failpoints: str = shared("failpoints", "", "fault injection `name=kill[@n]`; refused in production")

    @model_validator(mode="before")
    @classmethod
    def _split_origins(cls, values: Any) -> Any:
        for name in ("LECTERN_CORS_ORIGINS", "cors_origins"):
            if isinstance(values, dict) and isinstance(values.get(name), str):
                values[name] = [origin.strip() for origin in values[name].split(",") if origin.strip()]
        return values

    @property
    def links(self) -> dict[str, str]:
        """URLs of `operator_links` by name."""
        pairs = [part.partition("=") for part in self.operator_links.split(",") if part.strip()]
        return {name.strip(): url.strip() for name, _, url in pairs}

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        if self.ca_file and not Path(self.ca_file).is_file():
            raise ValueError(f"LECTERN_CA_FILE is {self.ca_file}, and no such file is here")
        for name, url in self.links.items():
            if not name or not url.startswith(("http://", "https://")):
                raise ValueError(
                    "LECTERN_OPERATOR_LINKS wants name=URL, as in Grafana=https://grafana.example"
                )
        if self.environment == "production":
            for objection in self.objections():
                raise ValueError(objection)
        return self

    def objections(self) -> list[str]:
        """What production has against these values: a sentence each, with the variable to set."""
        return production.of_suite(self)


class ServiceSettings(SuiteSettings):
    """Values of one service; a subclass sets `env_prefix`, `service` and the defaults of its own."""

    service: str
    port: int
    database_url: SecretStr
    database_direct_url: SecretStr = Field(
        SecretStr(""),
        description="the same past a pooler, for relay, wake-ups and migrations; empty: no pooler is used",
    )
    database_pool: int = Field(10, description="most connections of one process")
    handover: str = Field(
        "", description="path of a Unix socket by which a new process takes the port over; empty: none does"
    )
    consumer_batch: int = Field(500, description="most events applied in one transaction")
    relay_poll: float = Field(0.25, description="seconds between safety polls of the outbox")

    @property
    def storage_directory(self) -> Path:
        return Path(self.storage_url.removeprefix("file:"))

    def objections(self) -> list[str]:
        return super().objections() + production.of_service(self)


def development_database(service: str) -> SecretStr:
    """URL of the service's own role on the local suite's PostgreSQL."""
    return SecretStr(f"postgresql://lectern_{service}:{DEVELOPMENT_SECRET}@127.0.0.1:8432/lectern")

"""Settings that every process of the suite shares.

A value is read from the environment. Names that the whole suite shares begin with `LECTERN_`; names of
one service begin with its own prefix (`IDENTITY_DATABASE_URL`). Outside development a default secret is
refused at start, with the name of the variable to set.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEVELOPMENT_SECRET = "development-only"
SERVICES = ("identity", "catalog", "learning", "forum", "analytics", "notify", "support")


def shared(name: str, default: Any, description: str) -> Any:
    """A field read from `LECTERN_<NAME>` whatever the prefix of the service."""
    return Field(
        default, validation_alias=AliasChoices(f"LECTERN_{name.upper()}", name), description=description
    )


class SuiteSettings(BaseSettings):
    """Values shared by the gateway, the services and the workers."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    environment: Literal["development", "test", "production"] = shared(
        "environment", "development", "development, test or production; production refuses default secrets"
    )
    log_format: Literal["auto", "json", "console"] = shared(
        "log_format", "auto", "json, console, or auto: console on a terminal"
    )
    log_level: str = shared("log_level", "INFO", "least level that is written")
    host: str = shared("host", "127.0.0.1", "address that the process listens on")
    public_url: str = shared("public_url", "http://127.0.0.1:8000", "URL of the gateway as clients see it")
    kafka: str = shared("kafka", "127.0.0.1:8092", "bootstrap servers, comma separated")
    topic_prefix: str = shared("topic_prefix", "", "put before every topic name; tests use it")
    valkey_url: str = shared("valkey_url", "redis://127.0.0.1:8379/0", "cache, limits and tickets")
    broker_url: str = shared(
        "broker_url", "redis://127.0.0.1:8379/1", "Celery broker; noeviction in production"
    )
    jwks_url: str = shared(
        "jwks_url", "http://127.0.0.1:8101/.well-known/jwks.json", "public keys of access tokens"
    )
    token_issuer: str = shared("token_issuer", "lectern", "exact `iss` of access tokens")
    token_audience: str = shared("token_audience", "lectern-api", "exact `aud` of access tokens")
    secret: SecretStr = shared(
        "secret", SecretStr(DEVELOPMENT_SECRET), "signs media URLs and hashes codes; long and random"
    )
    cors_origins: Annotated[list[str], NoDecode] = shared(
        "cors_origins", ["*"], "origins of front ends, comma separated; * only in development"
    )
    storage_url: str = shared("storage_url", "file:.lectern/storage", "file:DIRECTORY or s3://BUCKET/PREFIX")
    smtp_url: str = shared("smtp_url", "smtp://127.0.0.1:8026", "smtp[s]://[user:password@]host:port")
    mail_from: str = shared("mail_from", "Lectern <no-reply@lectern.example>", "sender of all mail")
    body_limit: int = shared("body_limit", 1_048_576, "bytes of a JSON body; more is a 413")
    failpoints: str = shared("failpoints", "", "fault injection `name=kill[@n]`; refused in production")

    @model_validator(mode="before")
    @classmethod
    def _split_origins(cls, values: Any) -> Any:
        for name in ("LECTERN_CORS_ORIGINS", "cors_origins"):
            if isinstance(values, dict) and isinstance(values.get(name), str):
                values[name] = [origin.strip() for origin in values[name].split(",") if origin.strip()]
        return values

    @model_validator(mode="after")
    def _refuse_default_secrets(self) -> Self:
        if self.environment == "production":
            if DEVELOPMENT_SECRET in self.secret.get_secret_value():
                raise ValueError("LECTERN_SECRET still has its development value: set a long random one")
            if "*" in self.cors_origins:
                raise ValueError("LECTERN_CORS_ORIGINS is *: list the origins of the front ends")
            if self.failpoints:
                raise ValueError("LECTERN_FAILPOINTS is set: fault injection does not belong in production")
        return self


class ServiceSettings(SuiteSettings):
    """Values of one service; a subclass sets `env_prefix`, `service` and the defaults of its own."""

    service: str
    port: int
    database_url: SecretStr
    database_pool: int = Field(10, description="most connections of one process")
    consumer_batch: int = Field(500, description="most events applied in one transaction")
    relay_poll: float = Field(0.25, description="seconds between safety polls of the outbox")

    @property
    def storage_directory(self) -> Path:
        return Path(self.storage_url.removeprefix("file:"))

    @model_validator(mode="after")
    def _refuse_default_password(self) -> Self:
        if self.environment == "production" and DEVELOPMENT_SECRET in self.database_url.get_secret_value():
            name = f"{self.service.upper()}_DATABASE_URL"
            raise ValueError(f"{name} still has its development password: set the real one")
        return self


def development_database(service: str) -> SecretStr:
    """URL of the service's own role on the local suite's PostgreSQL."""
    return SecretStr(f"postgresql://lectern_{service}:{DEVELOPMENT_SECRET}@127.0.0.1:8432/lectern")

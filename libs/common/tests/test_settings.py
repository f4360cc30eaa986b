"""Settings come from the environment; production refuses what is only good for development."""

import pytest
from pydantic import SecretStr, ValidationError

from libs.common.settings import SuiteSettings
from libs.common.tests.toy import Settings

SECRET = "a-long-and-random-secret-of-the-operator"


def test_shared_names_and_own_names_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LECTERN_KAFKA", "broker:9092")
    monkeypatch.setenv("LECTERN_CORS_ORIGINS", "https://a.example, https://b.example")
    monkeypatch.setenv("TOY_PORT", "9999")
    settings = Settings()
    assert (settings.kafka, settings.port) == ("broker:9092", 9999)
    assert settings.cors_origins == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "LECTERN_SECRET"),
        ({"secret": SecretStr(SECRET)}, "LECTERN_CORS_ORIGINS"),
        ({"secret": SecretStr(SECRET), "cors_origins": ["https://a.example"], "failpoints": "x=kill"},
         "LECTERN_FAILPOINTS"),
    ],
)  # fmt: skip
def test_production_refuses_development_values_by_name(changes: dict, named: str):
    with pytest.raises(ValidationError, match=named):
        SuiteSettings(environment="production", **changes)


def test_production_refuses_the_development_password():
    url = SecretStr("postgresql://lectern_toy:development-only@db/lectern")
    with pytest.raises(ValidationError, match="TOY_DATABASE_URL"):
        Settings(
            environment="production",
            secret=SecretStr(SECRET),
            cors_origins=["https://a.example"],
            database_url=url,
        )


def test_secrets_do_not_show():
    assert SECRET not in repr(SuiteSettings(secret=SecretStr(SECRET)))

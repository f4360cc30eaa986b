"""Settings of catalog: `CATALOG_*`, beside what the suite shares."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.settings import ServiceSettings, development_database


class Settings(ServiceSettings):
    """Values of the catalog service."""

    model_config = SettingsConfigDict(env_prefix="CATALOG_", extra="ignore", populate_by_name=True)

    service: str = "catalog"
    port: int = 8102
    database_url: SecretStr = development_database("catalog")
    file_limit: int = Field(500_000_000, ge=1, description="bytes of one lesson's file; more is a 413")

"""Settings of catalog: `CATALOG_*`, beside what the suite shares."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.runtime.settings import ServiceSettings, development_database


class Settings(ServiceSettings):
    """Values of the catalog service."""

    model_config = SettingsConfigDict(env_prefix="CATALOG_", extra="ignore", populate_by_name=True)

    service: str = "catalog"
    port: int = 8102
    database_url: SecretStr = development_database("catalog")
    media_quota: int = Field(10_000_000_000, ge=0, description="bytes of one teacher's media library")
    picture_workers: int = Field(2, ge=1, description="threads that make thumbnails, up to 160 MB each")
    file_limit: int = Field(500_000_000, ge=1, description="bytes of one lesson's file; more is a 413")

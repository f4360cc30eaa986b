"""Settings of learning: `LEARNING_*`, beside what the suite shares."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.runtime.settings import ServiceSettings, development_database


class Settings(ServiceSettings):
    """Values of the learning service."""

    model_config = SettingsConfigDict(env_prefix="LEARNING_", extra="ignore", populate_by_name=True)

    service: str = "learning"
    port: int = 8103
    database_url: SecretStr = development_database("learning")
    sweep_batch: int = Field(200, ge=1, description="most attempts or certificates that one sweep takes up")
    certificate_patience: int = Field(
        20, ge=0, description="seconds that a certificate may wait before the sweep starts it again"
    )
    file_limit: int = Field(100_000_000, ge=1, description="bytes of one file handed in; more is a 413")

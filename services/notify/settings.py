"""Settings of notify."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.runtime.settings import ServiceSettings, development_database


class Settings(ServiceSettings):
    """Read from `NOTIFY_*`."""

    model_config = SettingsConfigDict(env_prefix="NOTIFY_", extra="ignore", populate_by_name=True)

    service: str = "notify"
    port: int = 8106
    database_url: SecretStr = development_database("notify")
    give_up_hours: int = Field(24, description="hours after which an unsent mail is given up")
    sweep_batch: int = Field(500, description="most deliveries that one sweep starts again")

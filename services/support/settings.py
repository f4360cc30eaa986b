"""Settings of support."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.runtime.settings import ServiceSettings, development_database


class Settings(ServiceSettings):
    """Read from `SUPPORT_*`."""

    model_config = SettingsConfigDict(env_prefix="SUPPORT_", extra="ignore", populate_by_name=True)

    service: str = "support"
    port: int = 8107
    database_url: SecretStr = development_database("support")
    calendar_zone: str = Field("UTC", description="IANA zone of the business calendar")
    calendar_opens: int = Field(9, ge=0, le=23, description="hour at which a business day begins")
    calendar_closes: int = Field(17, ge=1, le=24, description="hour at which a business day ends")
    status_url: str = Field(
        "http://127.0.0.1:8000/api/status/", description="where the gateway says how all parts are"
    )
    reopen_days: int = Field(14, description="days in which a resolved ticket may be reopened")

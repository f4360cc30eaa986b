"""Settings of analytics."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.runtime.settings import ServiceSettings, development_database


class Settings(ServiceSettings):
    """Read from `ANALYTICS_*`."""

    model_config = SettingsConfigDict(env_prefix="ANALYTICS_", extra="ignore", populate_by_name=True)

    service: str = "analytics"
    port: int = 8105
    database_url: SecretStr = development_database("analytics")
    rebuild_batch: int = Field(10_000, description="events folded in one transaction of a rebuild")
    query_pool: int = Field(3, description="most connections of one process for analysts' queries")
    report_attachment: int = Field(
        3_000_000, ge=0, description="bytes of a report's file up to which it is attached to its mail"
    )
    query_seconds: float = Field(5, gt=0, description="how long a statement of a query may take")

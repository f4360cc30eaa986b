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
    lake: bool = Field(
        True, description="whether the event log is written to Iceberg tables on the storage, too"
    )
    lake_views: bool = Field(
        False, description="whether the analysts' views are written there daily, for Spark and the like"
    )
    lake_batch: int = Field(20_000, gt=0, description="most events of one commit of the lake")
    lake_hours: int = Field(
        24, gt=0, description="how long files stay that the lake needs no more; longer than a backup takes"
    )
    log_months: int = Field(
        0,
        ge=0,
        description="whole months of the event log that stay in PostgreSQL beside this one; older ones are in"
        " the lake alone; 0: all stay",
    )

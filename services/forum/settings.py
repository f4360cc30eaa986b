"""Settings of forum."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.runtime.settings import ServiceSettings, development_database


class Settings(ServiceSettings):
    """Read from `FORUM_*`."""

    model_config = SettingsConfigDict(env_prefix="FORUM_", extra="ignore", populate_by_name=True)

    service: str = "forum"
    port: int = 8104
    database_url: SecretStr = development_database("forum")
    states_batch: int = Field(500, gt=0, description="states of discussions told by one sweep")
    chat_messages_minute: int = Field(30, gt=0, description="chat messages a minute a person")

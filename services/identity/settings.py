"""Settings of identity."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.settings import ServiceSettings, development_database


class Settings(ServiceSettings):
    """Read from `IDENTITY_*`."""

    model_config = SettingsConfigDict(env_prefix="IDENTITY_", extra="ignore", populate_by_name=True)

    service: str = "identity"
    port: int = 8101
    database_url: SecretStr = development_database("identity")
    access_seconds: int = Field(600, description="life of an access token")
    session_days: int = Field(30, description="life of a session, however often it is refreshed")
    code_seconds: int = Field(600, description="life of a mailed code")
    code_tries: int = Field(5, description="wrong tries after which a code is dead")
    mail_interval: int = Field(60, description="seconds between two code mails to one address")
    hash_workers: int = Field(2, description="password hashes computed at once; each takes 19 MiB")

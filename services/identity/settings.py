"""Settings of identity."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.runtime.settings import ServiceSettings, development_database
from libs.common.security.tokens import LIFETIME

# Within these six digits cannot be guessed, nobody's mailbox is flooded, and a revoked token is dead in time.
BOUNDS = {"access_seconds": (1, LIFETIME), "code_seconds": (60, 3600), "code_tries": (1, 10),
          "code_tries_hour": (1, 50), "mail_interval": (30, 3600), "session_days": (1, 365)}  # fmt: skip


class Settings(ServiceSettings):
    """Read from `IDENTITY_*`."""

    model_config = SettingsConfigDict(env_prefix="IDENTITY_", extra="ignore", populate_by_name=True)

    service: str = "identity"
    port: int = 8101
    database_url: SecretStr = development_database("identity")
    access_seconds: int = Field(600, description="life of an access token")
    key_days: int = Field(30, description="days after which another key signs access tokens")
    session_days: int = Field(30, description="life of a session, however often it is refreshed")
    code_seconds: int = Field(600, description="life of a mailed code")
    code_tries: int = Field(5, description="wrong tries after which a code is dead")
    code_tries_hour: int = Field(15, description="wrong tries an hour at all codes of an address and purpose")
    mail_interval: int = Field(60, description="seconds between two code mails to one address")
    answer_step: float = Field(
        0.1, gt=0, description="answers about an address come at multiples of these seconds, known or not"
    )
    hash_workers: int = Field(2, description="password hashes computed at once; each takes 19 MiB")
    picture_workers: int = Field(2, description="pictures decoded at once; each takes up to 160 MB")

    def objections(self) -> list[str]:
        return super().objections() + [
            f"IDENTITY_{name.upper()} is {value}: production takes {least} to {most}"
            for name, (least, most) in BOUNDS.items()
            if not least <= (value := getattr(self, name)) <= most
        ]

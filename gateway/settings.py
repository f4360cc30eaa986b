"""Settings of the gateway: `GATEWAY_*`, and what the whole suite shares as `LECTERN_*`."""

from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.common.settings import SuiteSettings


class GatewaySettings(SuiteSettings):
    """Where the services are, and how much of everything a client may have."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="ignore", populate_by_name=True)

    port: int = 8000
    identity_url: str = "http://127.0.0.1:8101"
    catalog_url: str = "http://127.0.0.1:8102"
    learning_url: str = "http://127.0.0.1:8103"
    forum_url: str = "http://127.0.0.1:8104"
    analytics_url: str = "http://127.0.0.1:8105"
    notify_url: str = "http://127.0.0.1:8106"
    support_url: str = "http://127.0.0.1:8107"

    header_line_limit: int = Field(16_384, description="bytes of one header line; more is a 431")
    header_limit: int = Field(32_768, description="bytes of all header lines; more is a 431")
    url_limit: int = Field(8_192, description="bytes of the request target; more is a 414")
    header_timeout: float = Field(10.0, description="seconds in which a request's header must be complete")
    body_timeout: float = Field(30.0, description="seconds of silence allowed within a request's body")
    idle_timeout: float = Field(75.0, description="seconds that an idle client connection is kept")
    stall_timeout: float = Field(60.0, description="seconds that a client may read nothing of its answer")
    connect_timeout: float = Field(1.0, description="seconds to connect to a service")
    answer_timeout: float = Field(30.0, description="seconds to the first byte of an answer; see routes.py")
    upstream_idle: float = Field(
        4.0, description="seconds that a pooled connection may idle; below the services' 75"
    )
    upstream_connections: int = Field(1000, description="most connections to one service")
    breaker_failures: int = Field(5, description="failures in a row that make a service count as dead")
    breaker_pause: float = Field(1.0, description="seconds between attempts at a dead service")
    stop_timeout: float = Field(10.0, description="seconds that requests in flight get after SIGTERM")
    drain_grace: float = Field(0.5, description="seconds that idle connections stay open after SIGTERM")
    consistency_seconds: float = Field(10.0, description="how long a session's last writes are remembered")
    socket_message_limit: int = Field(
        65_536, description="bytes of a client's WebSocket message; more is 1009"
    )
    start_patience: float = Field(5.0, description="seconds to wait at start for keys and revocations")

    def service_address(self, service: str) -> tuple[str, int]:
        """Host and port of a service; only plain `http://host:port` is meant to be given."""
        parts = urlsplit(getattr(self, f"{service}_url"))
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"GATEWAY_{service.upper()}_URL must look like http://host:port")
        return parts.hostname, parts.port or 80

"""Settings of the gateway: `GATEWAY_*`, and what the whole suite shares as `LECTERN_*`."""

from ipaddress import ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from libs.common.runtime.settings import SuiteSettings

WIDEST_PROXIES = {4: 8, 6: 7}
"""The shortest prefixes that production takes: those of private networks."""
MOST_CREDENTIALS = 6_000


def limit_class(quota: int, what: str, at_once: float = 0.5) -> Any:
    """A setting `limit_<class>`: a quota a minute, of which the share `at_once` may come at once.

    A route names its class by `limit=`; what comes in that class is counted for each network.
    """
    share = "all" if at_once == 1 else "half" if at_once == 0.5 else f"{at_once:.0%}"
    description = f"{what}, {share} of them at once"
    return Field(quota, ge=1, description=description, json_schema_extra={"at_once": at_once})


class GatewaySettings(SuiteSettings):
    """Addresses of the services, limits and timeouts."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="ignore", populate_by_name=True)

    port: int = 8000
    identity_url: str = "http://127.0.0.1:8101"
    catalog_url: str = "http://127.0.0.1:8102"
    learning_url: str = "http://127.0.0.1:8103"
    forum_url: str = "http://127.0.0.1:8104"
    analytics_url: str = "http://127.0.0.1:8105"
    notify_url: str = "http://127.0.0.1:8106"
    support_url: str = "http://127.0.0.1:8107"

    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        [],
        description="networks of proxies whose X-Forwarded-For counts, comma separated (10.0.0.0/8,fd00::/8);"
        " empty: the address of the connection counts",
    )
    metrics_token: SecretStr = Field(
        SecretStr(""), description="bearer token that /metrics asks for; empty: nobody is shown metrics"
    )
    limit_anonymous: int = limit_class(300, "requests a minute of one network (IPv4 /24, IPv6 /56)")
    limit_signed_in: int = limit_class(1200, "requests a minute of one signed-in user")
    limit_credentials: int = limit_class(
        20,
        "logins, registrations and codes a minute of one network",
        at_once=1,  # a class logs in at the full hour
    )
    limit_refresh: int = limit_class(300, "refreshes of tokens a minute of one network")
    limit_media: int = limit_class(3000, "files and pictures a minute of one network")
    limits_timeout: float = Field(
        0.05, description="seconds after which Valkey counts as away and each gateway limits by itself"
    )
    connections: int = Field(10_000, ge=1, description="open client connections in all; more get a 503")
    connections_per_address: int = Field(
        1000,
        ge=1,
        description="open connections of one address (IPv6 /64); more get a 429; trusted proxies are free",
    )
    cache_bytes: int = Field(
        32 * 1024 * 1024, ge=0, description="bytes of catalogue answers kept for the anonymous; 0 keeps none"
    )
    cache_seconds: float = Field(
        60.0, description="longest time that such an answer is kept; changes of the catalogue drop it sooner"
    )
    header_line_limit: int = Field(16_384, description="bytes of one header line; more is a 431")
    header_limit: int = Field(32_768, description="bytes of all header lines; more is a 431")
    url_limit: int = Field(8_192, description="bytes of the request target; more is a 414")
    header_timeout: float = Field(10.0, description="seconds in which a request's header must be complete")
    body_timeout: float = Field(30.0, description="seconds of silence allowed within a request's body")
    body_rate: int = Field(
        500, ge=1, description="bytes a second that a body must come at, after its first GATEWAY_BODY_TIMEOUT"
    )
    idle_timeout: float = Field(75.0, description="seconds that an idle client connection is kept")
    stall_timeout: float = Field(60.0, description="seconds that a client may read nothing of its answer")
    connect_timeout: float = Field(1.0, description="seconds to connect to a service")
    answer_timeout: float = Field(
        15.0,
        description="seconds from a whole request to the first byte of its answer, retries in; see routes.py",
    )
    upstream_idle: float = Field(
        4.0, description="seconds that a pooled connection may idle; below the services' 75"
    )
    upstream_connections: int = Field(1000, description="most connections to one service")
    service_waiting: int = Field(
        500, description="most requests that wait for one service's answer; more get a 503 at once"
    )
    breaker_failures: int = Field(
        5,
        description="failures in 10 s that make a service count as away, when half of its requests fail",
    )
    breaker_pause: float = Field(1.0, description="seconds between attempts at a service that is away")
    handover: str = Field(
        "", description="path of a Unix socket by which a new process takes the port over; empty: none does"
    )
    stop_timeout: float = Field(10.0, description="seconds that requests in flight get after SIGTERM")
    drain_grace: float = Field(0.5, description="seconds after SIGTERM in which connections may still come")
    consistency_seconds: float = Field(10.0, description="how long a session's last writes are remembered")
    socket_message_limit: int = Field(
        65_536, description="bytes of a client's WebSocket message; more is 1009"
    )
    start_patience: float = Field(5.0, description="seconds to wait at start for keys and revocations")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_networks(cls, value: Any) -> Any:
        networks = value.split(",") if isinstance(value, str) else value
        return [str(ip_network(network.strip(), strict=False)) for network in networks if network.strip()]

    def objections(self) -> list[str]:
        found = super().objections()
        for network in map(ip_network, self.trusted_proxies):
            if network.prefixlen < WIDEST_PROXIES[network.version]:
                found.append(
                    f"GATEWAY_TRUSTED_PROXIES has {network}: name the proxies' own networks, or anybody may"
                    " say in X-Forwarded-For who they are"
                )
        if self.limit_credentials > MOST_CREDENTIALS:
            found.append(
                f"GATEWAY_LIMIT_CREDENTIALS is above {MOST_CREDENTIALS}: lower it, or passwords are guessed"
            )
        return found

    def limit_classes(self) -> dict[str, tuple[int, int]]:
        """Quota a minute and burst of each class of limits."""
        found = {}
        for field, info in type(self).model_fields.items():
            if field.startswith("limit_"):
                quota, extra = getattr(self, field), info.json_schema_extra
                share = extra["at_once"] if isinstance(extra, dict) else 1
                found[field.removeprefix("limit_")] = (quota, max(1, int(quota * float(str(share)))))
        return found

    def service_address(self, service: str) -> tuple[str, int]:
        """Host and port of a service; only plain `http://host:port` is meant to be given."""
        parts = urlsplit(getattr(self, f"{service}_url"))
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"GATEWAY_{service.upper()}_URL must look like http://host:port")
        return parts.hostname, parts.port or 80

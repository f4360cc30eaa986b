"""Single-use tickets for sockets, so that no access token stands in a URL."""

import hashlib
import secrets
from uuid import UUID

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common.runtime.connections import valkey_url
from libs.common.runtime.errors import ServiceUnavailable
from libs.common.runtime.logs import get_logger
from libs.common.runtime.settings import SuiteSettings
from libs.common.runtime.valkey import TICKET_KEYS
from libs.common.security.tokens import Principal

log = get_logger(__name__)
TICKET_SECONDS = 30


class Tickets:
    """Single-use tickets in Valkey: minted over HTTP with a token, redeemed once by a socket within 30 s."""

    def __init__(self, settings: SuiteSettings) -> None:
        self._redis = Redis.from_url(
            valkey_url(settings, settings.valkey_url), socket_timeout=2, socket_connect_timeout=2
        )

    @staticmethod
    def _name(ticket: str) -> str:
        return f"{TICKET_KEYS}{hashlib.sha256(ticket.encode()).hexdigest()}"

    async def mint(self, principal: Principal) -> str:
        """A new ticket. Raises ServiceUnavailable while Valkey is away."""
        ticket = secrets.token_urlsafe(32)
        value = orjson.dumps(
            [
                str(principal.user),
                str(principal.session),
                principal.role,
                principal.version,
                principal.expires_at,
            ]
        )
        try:
            await self._redis.set(self._name(ticket), value, ex=TICKET_SECONDS)
        except (RedisError, OSError) as error:
            raise ServiceUnavailable("Tickets cannot be made at the moment.") from error
        return ticket

    async def redeem(self, ticket: str) -> Principal | None:
        """Whose ticket it was; None for one that is unknown, used or expired."""
        try:
            value = await self._redis.getdel(self._name(ticket))
        except (RedisError, OSError) as error:
            log.warning("ticket_not_checked", error=repr(error))
            return None
        if value is None:
            return None
        user, session, role, version, expires = orjson.loads(value)
        return Principal(UUID(user), UUID(session), role, version, expires)

    async def close(self) -> None:
        await self._redis.aclose()

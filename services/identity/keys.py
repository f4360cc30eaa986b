"""Keys that sign access tokens: made at first start, rotated on schedule, published before first use."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.runtime.clock import Clock
from libs.common.runtime.errors import ServiceUnavailable, is_transient
from libs.common.runtime.logs import get_logger
from libs.common.security.tokens import KeySet, SigningKey
from services.identity.crypto import Crypto
from services.identity.models import TokenKey

log = get_logger(__name__)

PUBLISH_AHEAD = timedelta(minutes=10)  # every process refreshes its key set more often than this
RELOAD_SECONDS = 20.0


class KeyRing:
    """The keys of this process, read from the database again and again, so that all replicas agree."""

    def __init__(self, db: Database, crypto: Crypto, keys: KeySet, clock: Clock) -> None:
        self._db = db
        self._crypto = crypto
        self._clock = clock
        self._signing: list[tuple[datetime, SigningKey]] = []
        self.keys = keys
        self.jwks: dict[str, Any] = {"keys": []}

    def signing_key(self) -> SigningKey:
        """The newest key that may sign already. Raises ServiceUnavailable before the first load."""
        now = self._clock()
        usable = [key for since, key in self._signing if since <= now]
        if not usable:
            raise ServiceUnavailable("The signing keys are not loaded yet.")
        return usable[-1]

    async def load(self) -> None:
        """Read the keys; make the first one where there is none."""
        async with self._db.session() as session:
            rows = await _live(session)
            if not rows:
                await add_key(session, self._crypto, self._clock())
                rows = await _live(session)
        self.take(rows)

    def take(self, rows: list[TokenKey]) -> None:
        self._signing = [
            (row.signs_from, SigningKey.from_pem(self._crypto.decrypt(row.private_key).decode()))
            for row in rows
            if row.private_key is not None
        ]
        jwks = {"keys": [row.public_jwk for row in rows]}
        if jwks != self.jwks:
            self.jwks = jwks
            self.keys.replace(jwks)

    async def run(self) -> None:
        """Keep up with other replicas and with rotation, until cancelled."""
        pause = 0.2
        while True:
            try:
                await self.load()
                pause = RELOAD_SECONDS
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("keys_not_loaded", error=repr(error)[:200])
                pause = min(max(pause, 0.2) * 2, 5.0)
            await asyncio.sleep(pause)


async def _live(session: AsyncSession) -> list[TokenKey]:
    result = await session.scalars(
        select(TokenKey).where(TokenKey.retired_at.is_(None)).order_by(TokenKey.signs_from)
    )
    return list(result)


async def _take_turns(session: AsyncSession) -> None:
    """Until the end of the transaction nobody else adds or retires keys."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('identity.keys'))"))


async def add_key(session: AsyncSession, crypto: Crypto, signs_from: datetime) -> str:
    """Make a key that signs from then on; two replicas that start together make one. Returns its `kid`."""
    await _take_turns(session)
    existing = await _live(session)
    if existing and existing[-1].signs_from >= signs_from:
        return existing[-1].kid
    key = SigningKey.generate()
    jwk = key.public_jwk()
    session.add(
        TokenKey(
            kid=jwk["kid"],
            private_key=crypto.encrypt(key.private_pem().encode()),
            public_jwk=jwk,
            signs_from=signs_from,
        )
    )
    await session.flush()
    return jwk["kid"]


async def rotate_keys(session: AsyncSession, crypto: Crypto, now: datetime, access_seconds: int) -> str:
    """Publish a new key now that signs in ten minutes; retire those whose last token has expired."""
    await _take_turns(session)
    await _retire(session, now, access_seconds)
    return await add_key(session, crypto, now + PUBLISH_AHEAD)


async def rotate_when_due(
    session: AsyncSession, crypto: Crypto, now: datetime, access_seconds: int, every: timedelta
) -> str | None:
    """Rotate when the newest key has signed for so long; returns the new key's `kid`. Retires in any case."""
    await _take_turns(session)
    await _retire(session, now, access_seconds)
    keys = await _live(session)
    if not keys or keys[-1].signs_from + every > now:
        return None
    return await add_key(session, crypto, now + PUBLISH_AHEAD)


async def _retire(session: AsyncSession, now: datetime, access_seconds: int) -> None:
    """Withdraw keys that have not signed for the life of a token, and a minute; wipe their private halves."""
    current = [row for row in await _live(session) if row.signs_from <= now]
    for row, follower in pairwise(current):
        if follower.signs_from + timedelta(seconds=access_seconds + 60) < now:
            row.retired_at = now
            row.private_key = None

"""`Consistency-Token`: which writes a read must see, for whom, and the wait until they are applied here.

`topic:key:seq:seal`, comma separated; clients take it as it is. The seal is an HMAC of the place, the person
and the time: a token that is invented, another's or older than some minutes is no token, answered at once.
Else whoever sends numbers at random would cost a database poll of two seconds each, and learn which exist.
"""

import asyncio
import base64
import hashlib
import hmac
import re
import time
from collections.abc import Collection
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text

from libs.common.data.db import Database
from libs.common.runtime import metrics
from libs.common.runtime.clock import Clock, system_clock
from libs.common.runtime.errors import ServiceUnavailable

WAIT = 2.0
MOST_PLACES = 32
PERIOD = 600
"""Seconds; a seal holds for at least one period and at most two."""
_PART = re.compile(r"(([a-z_.]{1,64}):([A-Za-z0-9-]{1,64}):([0-9]{1,15})):([A-Za-z0-9_-]{16})\Z")

Places = dict[tuple[str, str], int]
"""Newest sequence number by topic and key."""


class ConsistencyTokens:
    """Seals what a write published, and reads what was sealed."""

    def __init__(self, secret: SecretStr, clock: Clock = system_clock) -> None:
        self._key = hmac.digest(secret.get_secret_value().encode(), b"consistency-token", hashlib.sha256)
        self._clock = clock

    def seal(self, user: UUID, written: str) -> str:
        """The token of `topic:key:seq`, comma separated, for this person."""
        period = self._period()
        return ",".join(f"{place}:{self._seal(user, place, period)}" for place in written.split(","))

    def read(self, user: UUID, token: str, topics: Collection[str]) -> Places:
        """The places in these topics; parts without a seal of ours for this person are left out."""
        places: Places = {}
        for part in token.split(",", MOST_PLACES)[:MOST_PLACES]:
            match = _PART.match(part.strip())
            if match is not None and match[2] in topics and self._holds(user, match[1], match[5]):
                place = (match[2], match[3])
                places[place] = max(int(match[4]), places.get(place, 0))
        return places

    def _period(self) -> int:
        return int(self._clock().timestamp()) // PERIOD

    def _seal(self, user: UUID, place: str, period: int) -> str:
        said = b"%b %d %b" % (user.bytes, period, place.encode())
        return base64.urlsafe_b64encode(hmac.digest(self._key, said, hashlib.sha256)[:12]).decode()

    def _holds(self, user: UUID, place: str, seal: str) -> bool:
        period = self._period()  # the clock of who sealed may be ahead
        return any(
            hmac.compare_digest(self._seal(user, place, each), seal)
            for each in (period, period - 1, period + 1)
        )


async def wait_for(db: Database, consumer: str, places: Places, *, strict: bool) -> bool:
    """Wait until this service has applied the places; true when time ran out first (`strict`: a 503)."""
    deadline = time.monotonic() + WAIT
    pause = 0.005
    while not await _reached(db, consumer, places):
        left = deadline - time.monotonic()
        if left <= 0:
            metrics.STALE_READS.inc()
            if strict:
                raise ServiceUnavailable(
                    "The write that this read must see has not arrived yet.", retry_after=1
                )
            return True
        await _progress_or(db, min(pause, left))
        pause = min(pause * 1.5, 0.05)
    return False


async def _reached(db: Database, consumer: str, places: Places) -> bool:
    async with db.sessions() as session:
        result = await session.execute(
            text(
                "SELECT count(*) FROM key_progress p JOIN"
                " unnest(CAST(:t AS text[]), CAST(:k AS text[]), CAST(:s AS bigint[]))"
                " AS w(topic, key, seq)"
                " ON p.topic = w.topic AND p.key = w.key AND p.last_seq >= w.seq WHERE p.consumer = :c"
            ),
            {
                "c": consumer,
                "t": [topic for topic, _ in places],
                "k": [key for _, key in places],
                "s": list(places.values()),
            },
        )
        return int(result.scalar_one()) == len(places)


async def _progress_or(db: Database, seconds: float) -> None:
    """Sleep, or less when the consumer in this process has just applied something."""

    async def progress() -> None:
        async with db.progressed:
            await db.progressed.wait()

    try:
        await asyncio.wait_for(progress(), seconds)
    except TimeoutError:
        return

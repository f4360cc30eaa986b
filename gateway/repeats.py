"""When a request may be sent to a service again.

As long as no replica takes a connection nothing has been sent, so any request may wait for one that does. A
request that was sent, and whose connection broke before an answer began, may have had its effect: a read is
sent once more, and so is a write whose `Idempotency-Key` makes the service do it once only. Any other write
is sent again only if surely nobody has read it (`unread`).
"""

import asyncio

from gateway.interfaces import ForwardedRequest, PooledRequest
from gateway.pool import Pool
from gateway.request import READS
from gateway.upstream import UpstreamConnection

HELD_BODY = 64 * 1024
"""Bytes of a body that are kept in case that it has to be sent again."""
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each further attempt to connect: as long as a cluster takes to see that a pod is dead."""
KEY = b"idempotency-key"


async def connect(pool: Pool, request: PooledRequest) -> UpstreamConnection:
    """A new connection, at the latest attempt. Raises `ServiceAway`; OSError or TimeoutError after the last.

    A refusal costs the service nothing, silence does: it takes from the breaker's retries."""
    for pause in (*PAUSES, None):
        try:
            return await pool.connect()
        except (OSError, TimeoutError) as error:
            pool.failed(request)
            if pause is None or pool.breaker.is_open:
                raise
            if not isinstance(error, ConnectionRefusedError) and not pool.breaker.may_retry():
                raise
        pool.retrying()
        await asyncio.sleep(pause)
    raise AssertionError


def is_repeatable(exchange: ForwardedRequest) -> bool:
    """Whether its effect is the same if a service does it again, and all of it is still there."""
    request = exchange.request
    if not request.complete:
        return False
    if request.method in READS:
        return request.body_bytes == 0
    # Without these the service does not look at the key (libs/common/web/idempotency.py).
    if exchange.principal is None or exchange.match is None or not exchange.match.route.keyed:
        return False
    if request.body_bytes > min(HELD_BODY, exchange.context.settings.body_limit):
        return False
    return any(name.lower() == KEY for name in request.headers[::4])

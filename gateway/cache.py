"""Cache of answers to anonymous reads: each is fetched once for all clients that ask for it.

Only on routes that the table marks (`cache`), only without a token, and only while the tail of the service's
events is known to be up to date (freshness.py); otherwise the service is asked as if there were no cache. The
services' own `private, no-store` is meant for the caches beyond: the gateway hears of every change.

A service is told nothing of a request that is fetched for many but its path, query, host and `Accept…`, so
its answer cannot depend on more. Every change, by an event or by a write that passes here, begins a new
generation: an answer requested before it is neither cached nor given to later clients.
"""

import re
from collections import OrderedDict
from urllib.parse import unquote_plus

from gateway import problems
from gateway.entries import Entry, Fields, entry_of, fields_of, matches
from gateway.fetch import Broken, Reply, TooLarge, fetch
from gateway.freshness import Change, Freshness
from gateway.heads import fetched_head, public_request_head
from gateway.interfaces import Context
from gateway.pool import Pool, ServiceAway
from gateway.problems import Problem
from gateway.proxy import Exchange
from libs.common.events.identity import ProfileUpdated, RoleChanged, UserErased
from libs.common.events.learning import EnrollmentState
from libs.common.events.topics import TOPICS
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

SERVICE = "catalog"
"""Whose answers are cached."""
CHANGES = frozenset(topic.name for topic in TOPICS if topic.producer == SERVICE)
"""Whatever is published here empties the cache."""
VOLATILE = {
    EnrollmentState.type: EnrollmentState.topic,
    ProfileUpdated.type: ProfileUpdated.topic,
    RoleChanged.type: RoleChanged.topic,
    UserErased.type: UserErased.topic,
}
"""What changes numbers and names within answers, and that all the time: it only shortens their life."""
VOLATILE_SECONDS = 5.0
"""How long answers live while numbers change."""
APPLIED_AFTER = 2.0
"""Seconds after which the service has surely applied what others told."""
MOST_PASSED = 1000

Key = tuple[bytes, str, bytes]

# A request with one of these wants something else than everybody.
_OWN_WISHES = frozenset(
    {b"range", b"if-match", b"if-unmodified-since", b"idempotency-key", b"consistency-require", b"pragma"}
)
_NO_CACHE = re.compile(rb"no-cache|no-store|max-age=0", re.IGNORECASE)


def canonical_query(query: bytes) -> bytes:
    """Sort parameters by name, which no service depends on; those of one name keep their order."""
    parts = [part for part in query.split(b"&") if part]
    parts.sort(key=lambda part: unquote_plus(part.partition(b"=")[0].decode("latin-1")))
    return b"&".join(parts)


class _Flight:
    """A fetch under way, and the exchanges that wait for it."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.waiting: list[tuple[Exchange, Fields]] = []


class Cache:
    """An LRU cache, bounded by bytes."""

    def __init__(self, context: Context, pool: Pool) -> None:
        """`pool`: the connections to `SERVICE`; a write that goes through it empties the cache."""
        settings = context.settings
        self._pool = pool
        pool.on_written = self.change
        self._spawn = context.tasks.spawn
        self._date = context.date
        self._patience = settings.answer_timeout
        self._seconds = settings.cache_seconds
        self._most = settings.cache_bytes
        self._now = context.now
        self.freshness = Freshness(settings, CHANGES | set(VOLATILE.values()), self.hear)
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._bypassed: dict[Key, float] = {}
        """What is not to be kept or too large, until when that is believed."""
        self._flights: dict[Key, _Flight] = {}
        self._generation = 0
        self._volatile_at = float("-inf")
        self.bytes = 0
        self.counts = dict.fromkeys(("hit", "miss", "joined", "passed"), 0)

    def start(self) -> None:
        if self._most:
            self.freshness.start()

    async def stop(self) -> None:
        await self.freshness.stop()

    def hear(self, changes: set[Change]) -> None:
        """Handle what was published, by topic and type."""
        if not CHANGES.isdisjoint(topic for topic, _ in changes):
            self.change()
        elif not VOLATILE.keys().isdisjoint(kind for _, kind in changes):
            self._volatile_at = self._now()

    def change(self) -> None:
        """Empty the cache: something of the service has changed, or may have."""
        self._generation += 1
        self._entries.clear()
        self._bypassed.clear()
        self._flights.clear()  # they still answer those who came before
        self.bytes = 0

    def answer(self, exchange: Exchange) -> bool:
        """Answer the exchange from the cache or from a shared fetch; False if its service must be asked."""
        request = exchange.request
        # A Consistency-Token is a person's: here nobody is signed in, and it waits for nothing.
        bare = not request.length and not request.chunked
        if not (self._most and bare and self.freshness.holds()):
            self.counts["passed"] += 1
            return False
        fields = fields_of(request)
        assert exchange.match is not None
        key = (request.host or b"", exchange.match.path, canonical_query(exchange.query))
        own = not _OWN_WISHES.isdisjoint(fields) or _NO_CACHE.search(fields.get(b"cache-control", b""))
        if own or self._bypassed.get(key, 0.0) > self._now():
            self.counts["passed"] += 1
            return False
        entry = self._entries.get(key)
        if entry is not None and entry.fits(fields) and self._is_alive(entry):
            self.counts["hit"] += 1
            self._entries.move_to_end(key)
            self._give(exchange, fields, entry)
        else:
            self._join(key, exchange, fields)
        return True

    def _is_alive(self, entry: Entry) -> bool:
        volatile = entry.at < self._volatile_at + APPLIED_AFTER
        return self._now() - entry.at < (min(VOLATILE_SECONDS, self._seconds) if volatile else self._seconds)

    def _give(self, exchange: Exchange, fields: Fields, entry: Entry) -> None:
        age = int(self._now() - entry.at)
        if matches(fields.get(b"if-none-match"), entry.tag):
            exchange.give(304, entry.head(exchange, 304, age), b"")
        else:
            exchange.give(200, entry.head(exchange, 200, age), entry.body)

    def _join(self, key: Key, exchange: Exchange, fields: Fields) -> None:
        flight = self._flights.get(key)
        if flight is None:
            self.counts["miss"] += 1
            flight = self._flights[key] = _Flight(self._generation)
            head = public_request_head(exchange, fields)
            self._spawn(self._fetch(key, flight, head, fields))
        else:
            self.counts["joined"] += 1
        flight.waiting.append((exchange, fields))

    async def _fetch(self, key: Key, flight: _Flight, head: bytes, fields: Fields) -> None:
        entry: Entry | None = None
        reply: Reply | None = None
        problem: Problem | None = None
        try:
            reply = await fetch(self._pool, head, self._patience)
            entry = entry_of(reply, fields, self._now(), self._date())
        except ServiceAway as away:
            problem = problems.unavailable(SERVICE, away.retry_after, away.code)
        except Broken:
            problem = problems.BAD_GATEWAY
        except TooLarge:
            pass
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
        if flight.generation == self._generation:
            if entry is not None:
                self._store(key, entry)
            elif problem is None and (reply is None or reply.status == 200):
                self._bypass(key)
        for exchange, wanted in flight.waiting:
            if exchange.over:
                continue
            try:
                if problem is not None:
                    exchange.refuse(problem)
                elif entry is not None and entry.fits(wanted):
                    self._give(exchange, wanted, entry)
                elif reply is not None and reply.status != 200:
                    head = fetched_head(exchange, reply.status, reply.headers, len(reply.body))
                    exchange.give(reply.status, head, reply.body)
                else:
                    exchange.ask(self._pool)
            except Exception as error:  # the others that wait have done nothing
                log.error("gateway_request_failed", exc_info=error)
                exchange.abort()

    def _store(self, key: Key, entry: Entry) -> None:
        before = self._entries.pop(key, None)
        self.bytes += entry.size - (before.size if before is not None else 0)
        self._entries[key] = entry
        while self.bytes > self._most:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= oldest.size

    def _bypass(self, key: Key) -> None:
        if len(self._bypassed) >= MOST_PASSED:
            self._bypassed.clear()
        self._bypassed[key] = self._now() + self._seconds

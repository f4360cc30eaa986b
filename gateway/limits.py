"""Rate limits by GCRA, counted in Valkey by all gateways together.

The Generic Cell Rate Algorithm keeps one number per caller: the moment until which what was let through is
spoken for (*tat*). A request moves it on by 60 s / quota, and passes while it is less than the burst ahead of
now. All requests of one turn of the loop go to Valkey in one call of one script, by Valkey's clock. While
Valkey is away every gateway counts by itself, from what it knows, and tells Valkey when it is back.
"""

import asyncio
from functools import partial
from math import ceil, floor

from gateway.interfaces import LimitedRequest
from gateway.metrics import Metrics
from gateway.problems import Problem
from gateway.settings import GatewaySettings
from gateway.valkey import Script
from libs.common.runtime.connections import tls_context
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {}
for number, key in ipairs(KEYS) do
  local at = number * 4 - 3
  local interval, burst = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local asked, owed = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local tat = math.max(tonumber(redis.call('GET', key) or '0'), now + owed)
  local room = math.floor(burst - (tat - now) / interval + 0.01)
  local granted = math.max(0, math.min(asked, room))
  tat = tat + granted * interval
  if granted + owed > 0 then
    redis.call('SET', key, string.format('%.2f', tat), 'PX', string.format('%d', (tat - now) / 1000 + 1))
  end
  answer[number * 2 - 1] = granted
  answer[number * 2] = math.ceil(tat - now)
end
return answer
"""
MOST_KNOWN = 100_000
CROWD = "everybody else"
ROUNDING = 0.01
"""Of a request: by how much two clocks and two floats may differ."""


class Policy:
    """A class of callers and routes; every caller may do `quota` a minute in it, `burst` of them at once."""

    def __init__(self, name: str, quota: int, burst: int) -> None:
        self.name = name
        self.burst = burst
        self.interval = 60 / quota
        """Seconds that one request is worth."""
        self.window = burst * self.interval
        self.words = (b"%.6f" % (self.interval * 1e6), b"%d" % burst)
        self.fields = (
            f'RateLimit-Policy: "{name}";q={quota};w=60\r\nRateLimit: "{name}";r=%d;t=%d\r\n'.encode()
        )
        self.known: dict[int | str, Bucket] = {}
        """Who called lately."""

    def left(self, spent: float) -> int:
        """Requests that may still come at once when `spent` seconds are spoken for."""
        return max(0, floor(self.burst - spent / self.interval + ROUNDING))

    def wait(self, spent: float) -> int:
        """Whole seconds until the next request passes."""
        return max(1, ceil(spent - (self.burst - 1) * self.interval))


class Bucket:
    """What one caller has used up in one policy, as far as this process knows."""

    __slots__ = ("key", "policy", "tat", "undecided", "unshared", "waiting")

    def __init__(self, policy: Policy, key: bytes) -> None:
        self.policy = policy
        self.key = key
        self.tat = 0.0
        """By the loop's clock, and never later than Valkey has it: who is refused here is refused there."""
        self.unshared = False
        """Whether requests were let through that Valkey does not know of."""
        self.waiting: list[LimitedRequest] = []
        """Requests of this turn of the loop."""
        self.undecided = 0
        """Requests that Valkey has yet to answer for."""


def rate_limited(retry_after: int) -> Problem:
    return Problem(
        429,
        "rate_limited",
        "That was too much in a short time. It works again in a moment.",
        (("Retry-After", str(retry_after)),),
    )


class Limiter:
    """Applies the limits, with Valkey while it answers, otherwise alone."""

    def __init__(self, settings: GatewaySettings, metrics: Metrics) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._call_soon = loop.call_soon
        self._metrics = metrics
        self._prefix = f"{settings.topic_prefix}limit"
        self._script = Script(
            settings.valkey_url, SCRIPT, settings.limits_timeout, lambda: tls_context(settings)
        )
        self._touched: list[Bucket] = []

        self.policies = {
            name: Policy(name.replace("_", "-"), quota, burst)
            for name, (quota, burst) in settings.limit_classes().items()
        }
        self.anonymous, self.signed_in = self.policies["anonymous"], self.policies["signed_in"]

    async def start(self) -> None:
        await self._script.start()

    async def stop(self) -> None:
        await self._script.stop()

    @property
    def shared(self) -> bool:
        """Whether all gateways count together at the moment."""
        return self._script.up

    def charge(self, exchange: LimitedRequest, policy: Policy, who: int | str) -> None:
        """One request of `who`: calls `pass_limits` or `refuse_if_there`, now or at Valkey's answer.

        A request that `may_go_ahead` goes to its service meanwhile if this process knows of room for it; its
        answer waits for Valkey's, which nearly always comes first."""
        bucket = policy.known.get(who) or self._bucket_of(policy, who)
        now = self._now()
        spent = bucket.tat - now
        if spent > (policy.burst - 1 + ROUNDING) * policy.interval:
            self._refuse(exchange, policy, spent)
        elif self._script.up:
            if not bucket.waiting:
                if not self._touched:
                    self._call_soon(self._ask)
                self._touched.append(bucket)
            bucket.waiting.append(exchange)
            bucket.undecided += 1
            if exchange.may_go_ahead and spent + bucket.undecided * policy.interval < policy.window:
                exchange.go_ahead()
        else:
            self._decide_alone(bucket, [exchange], now)

    def _bucket_of(self, policy: Policy, who: int | str) -> Bucket:
        full = len(policy.known) >= MOST_KNOWN
        if full and not self._script.up:
            who = CROWD  # whoever floods with addresses shares one allowance with all who come later
        name = f"{who:032x}" if isinstance(who, int) else who
        bucket = policy.known.get(who) or Bucket(policy, f"{self._prefix}:{policy.name}:{name}".encode())
        if not full or who == CROWD:
            policy.known[who] = bucket
        return bucket

    def forget(self) -> None:
        """Drop those whose allowance is whole again; the sweep calls it."""
        now = self._now()
        for policy in self.policies.values():
            gone = [who for who, bucket in policy.known.items() if bucket.tat <= now and not bucket.waiting]
            for who in gone:
                del policy.known[who]

    def _ask(self) -> None:
        """Ask Valkey about all requests of this turn of the loop."""
        touched, self._touched = self._touched, []
        now = self._now()
        batch: list[tuple[Bucket, list[LimitedRequest]]] = []
        keys: list[bytes] = []
        arguments: list[bytes] = []
        for bucket in touched:
            waiting, bucket.waiting = bucket.waiting, []
            owed = max(0.0, bucket.tat - now) if bucket.unshared else 0.0
            bucket.unshared = False
            keys.append(bucket.key)
            arguments += (*bucket.policy.words, b"%d" % len(waiting), b"%d" % (owed * 1e6))
            batch.append((bucket, waiting))
        if self._script.up:
            self._script.call(keys, arguments, partial(self._apply, batch, now))
        else:
            self._apply(batch, now, None)

    def _apply(
        self, batch: list[tuple[Bucket, list[LimitedRequest]]], asked: float, answer: list[int] | None
    ) -> None:
        for number, (bucket, waiting) in enumerate(batch):
            bucket.undecided -= len(waiting)
            if answer is None:
                bucket.unshared = True
                self._decide_alone(bucket, waiting, self._now())
                continue
            granted, spent = answer[number * 2], answer[number * 2 + 1] / 1e6
            bucket.tat = max(bucket.tat, asked + spent)
            policy = bucket.policy
            for place, exchange in enumerate(waiting, 1):
                if place <= granted:
                    # The first of them was let through before the last was spoken for.
                    self._pass(exchange, policy, spent - (granted - place) * policy.interval)
                else:
                    self._refuse(exchange, policy, spent)

    def _decide_alone(self, bucket: Bucket, waiting: list[LimitedRequest], now: float) -> None:
        policy = bucket.policy
        for exchange in waiting:
            spent = max(bucket.tat - now, 0.0)
            if spent > (policy.burst - 1 + ROUNDING) * policy.interval:
                self._refuse(exchange, policy, spent)
            else:
                bucket.unshared = True
                bucket.tat = now + spent + policy.interval
                self._pass(exchange, policy, spent + policy.interval)

    def _pass(self, exchange: LimitedRequest, policy: Policy, spent: float) -> None:
        exchange.limits = policy.fields % (policy.left(spent), ceil(spent))
        try:
            exchange.pass_limits()
        except Exception as error:  # the others of the batch have done nothing
            log.error("gateway_request_failed", exc_info=error)
            exchange.abort()

    def _refuse(self, exchange: LimitedRequest, policy: Policy, spent: float) -> None:
        exchange.limits = policy.fields % (0, ceil(spent))
        self._metrics.limited(policy.name)
        exchange.refuse_if_there(rate_limited(policy.wait(spent)))

"""Ids of a request: `X-Request-ID` and `traceparent`, taken over if valid, otherwise generated."""

from random import Random, SystemRandom

from uuid_utils import uuid4

from libs.common.runtime.trace import REQUEST_ID, TRACEPARENT

# Ids tell requests apart and guard nothing, so a generator that asks the system once is good enough.
_random = Random(SystemRandom().getrandbits(256))


def request_id(given: bytes | None) -> str:
    """The client's id if it is short and safe, else a new UUID."""
    if given is not None:
        text = given.decode("latin-1")
        if REQUEST_ID.match(text):
            return text
    return str(uuid4())


def traceparent(given: bytes | None) -> tuple[str, bool]:
    """The trace for the next hop, with a span of ours, and whether the client's trace goes on."""
    made = _random.randbytes(24).hex()
    if given is not None:
        text = given.decode("latin-1")
        if TRACEPARENT.match(text):
            return f"{text[:36]}{made[:16]}{text[52:]}", True
    return f"00-{made[:32]}-{made[32:]}-01", False

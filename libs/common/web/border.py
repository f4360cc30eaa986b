"""Which of a request's headers a service believes: those that only the gateway may set.

The gateway says with a key of its own that a request passed it. Without the key `X-Forwarded-*` is what
anybody may write, and is dropped before anything reads it: then the peer's address counts.
"""

import hashlib
import hmac

from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import Scope

from libs.common.runtime.networks import read_address

HEADER = b"x-lectern-gateway"
_FORWARDED = b"x-forwarded-"


def gateway_key(secret: SecretStr) -> bytes:
    """What the gateway sends and services compare, made of `LECTERN_SECRET`."""
    return hmac.digest(secret.get_secret_value().encode(), b"gateway", hashlib.sha256).hex().encode()


def drop_untrusted(scope: Scope, key: bytes) -> None:
    """Leave only what the gateway said of the client, or nothing; and never the key itself."""
    given: list[bytes] = []
    forwarded = False
    for name, value in scope["headers"]:
        if name == HEADER:
            given.append(value)
        elif name.startswith(_FORWARDED):
            forwarded = True
    if not (given or forwarded):
        return
    trusted = len(given) == 1 and hmac.compare_digest(given[0], key)
    scope["headers"] = [
        (name, value)
        for name, value in scope["headers"]
        if name != HEADER and (trusted or not name.startswith(_FORWARDED))
    ]


def client_address(request: Request) -> str:
    """Where a request comes from, in one spelling.

    The gateway puts the client's address alone into `X-Forwarded-For`, whatever the client sent. A value that
    is no single address is not the gateway's: then the peer counts.
    """
    peer = request.client.host if request.client else ""
    seen = read_address(request.headers.get("x-forwarded-for", "")) or read_address(peer)
    return str(seen) if seen is not None else peer[:64]

"""What the fuzzer is to know of this API, and the odd requests that it sends: loaded by its command line."""

import os
import random
from typing import Any

import schemathesis
from schemathesis.core.failures import CustomFailure

from tests.fuzz.odd import SHARE, alter

# Parts of an upload are bytes like any others.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

CHANCE = random.Random(int(os.environ.get("LECTERN_FUZZ_SEED", "0")))
BENT = "X-Fuzz-Bent"
"""Marks a request that may be for another operation by now, whose answers are not those of this one."""
UNROUTED = (301, 302, 307, 308, 400, 401, 403, 404, 405, 413, 414, 422, 429)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Alters a share of the requests when everything is encoded, which is the moment of `auth`."""
    if CHANCE.random() >= SHARE:
        return

    def altered(request: Any) -> Any:
        if alter(request, CHANCE):
            request.headers[BENT] = "1"
        return request

    kwargs["auth"] = altered


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """A bent request has its own right answers: refused as such, or by another route."""
    if BENT not in response.request.headers:
        return True
    return bool(response.status_code >= 500 or isinstance(failure, CustomFailure))


@schemathesis.check
def problem_details(context: Any, response: Any, case: Any) -> None:
    """Every error is a problem of RFC 9457, whatever was sent; a bent request is found or refused."""
    kind = (response.headers.get("content-type") or [""])[0]
    if response.status_code >= 400 and not kind.startswith("application/problem+json"):
        raise AssertionError(f"{response.status_code} with {kind!r}")
    bent = BENT in response.request.headers
    if bent and response.status_code >= 300 and response.status_code not in UNROUTED:
        raise AssertionError(f"{response.status_code} to a path of another spelling")

"""Whether a request may pass: preflight, path, token, revocation, limits, size, origin; in this order.

What is refused for its path or its token is counted as well, by address: guessing is not free.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway import problems
from gateway.own import is_scrape
from gateway.problems import Problem
from gateway.routes import Match, UnsafePath
from libs.common.security.tokens import InvalidToken, Principal

if TYPE_CHECKING:
    from gateway.proxy import Exchange

READS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
CACHED = frozenset({b"GET", b"HEAD"})
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FREE = frozenset({"/livez", "/livez/", "/readyz", "/readyz/"})
"""What probes ask is never limited; nor is a scraper with its token (own.py)."""


def decide(exchange: "Exchange") -> None:
    """Answer, refuse, or ask the service. Only a token of an unknown key takes longer than this call."""
    request, gateway = exchange.request, exchange.gateway
    target, _, exchange.query = request.target.partition(b"?")
    path = exchange.path = target.decode("latin-1")
    own = gateway.own.get(path)
    if own is not None:
        exchange.template = path
        if path in FREE or is_scrape(exchange):
            own(exchange)
        else:
            _charge_address(exchange, own)
        return
    if request.preflight and request.method == b"OPTIONS" and request.origin is not None:
        _preflight(exchange, request.origin)
        return
    try:
        match = gateway.table.match(path)
    except UnsafePath:
        _turn_away(exchange, problems.BAD_PATH)
        return
    if match is None or b"#" in request.target:
        _turn_away(exchange, problems.NOT_FOUND)
        return
    exchange.match = match
    exchange.template = match.route.template
    _authenticate(exchange, match)


def _charge_address(exchange: "Exchange", then: Callable[["Exchange"], None]) -> None:
    exchange.then = then
    limiter = exchange.gateway.limiter
    limiter.charge(exchange, limiter.anonymous, exchange.address.network)


def _turn_away(exchange: "Exchange", problem: Problem) -> None:
    _charge_address(exchange, lambda exchange: exchange.refuse(problem))


def _preflight(exchange: "Exchange", origin: bytes) -> None:
    exchange.template = "preflight"
    cors = exchange.gateway.cors
    if cors.allows(origin):
        exchange.answer(200, b"{}", "application/json", cors.preflight())
    else:
        exchange.refuse(problems.BAD_ORIGIN)


def _authenticate(exchange: "Exchange", match: Match) -> None:
    request, auth = exchange.request, match.route.auth
    if auth == "ignore":
        request.authorization = None
    elif request.authorization is not None:
        scheme, _, token = request.authorization.partition(b" ")
        token = token.strip(b" ")
        if scheme.lower() != b"bearer":
            _turn_away(exchange, problems.BAD_TOKEN)
            return
        try:
            principal = exchange.gateway.verifier.verify(token)
        except InvalidToken as refused:
            if refused.reason == "unknown_key":
                exchange.start(_authenticate_later(exchange, token))
            else:
                _turn_away(exchange, problems.BAD_TOKEN)
        else:
            _accept(exchange, principal)
        return
    elif auth == "required" or (auth == "write" and request.method not in READS):
        _turn_away(exchange, problems.NO_TOKEN)
        return
    _charge(exchange)


async def _authenticate_later(exchange: "Exchange", token: bytes) -> None:
    try:
        principal = await exchange.gateway.verifier.verify_fetching(token)
    except InvalidToken:
        if exchange.gateway.keys.ready:
            _turn_away(exchange, problems.BAD_TOKEN)
        else:  # nothing is known against the token: whoever has a good one must not be logged out
            _turn_away(exchange, problems.unavailable("identity"))
    else:
        _accept(exchange, principal)


def _accept(exchange: "Exchange", principal: Principal) -> None:
    if exchange.gateway.revocations.is_revoked(principal):
        _turn_away(exchange, problems.BAD_TOKEN)
        return
    exchange.principal = principal
    _charge(exchange)


def _charge(exchange: "Exchange") -> None:
    """The caller is known: count the request before anything costs."""
    match, principal, limiter = exchange.match, exchange.principal, exchange.gateway.limiter
    assert match is not None
    request, route = exchange.request, match.route
    exchange.then = _admit
    exchange.harmless = (
        request.complete
        and request.method in READS
        and not route.socket
        and not (route.cache and principal is None)
    )
    if match.route.limit != "ordinary":
        limiter.charge(exchange, getattr(limiter, match.route.limit), exchange.address.network)
    elif principal is not None:
        limiter.charge(exchange, limiter.signed_in, principal.user.int)
    else:
        limiter.charge(exchange, limiter.anonymous, exchange.address.network)


def _admit(exchange: "Exchange") -> None:
    request, match = exchange.request, exchange.match
    assert match is not None
    route = match.route
    if route.deadline is not None:
        exchange.patience = max(route.deadline, exchange.patience)
    if route.socket:
        if not request.websocket:
            exchange.refuse(problems.NOT_A_SOCKET)
            return
        if not exchange.gateway.cors.allows_socket(request.origin):
            exchange.refuse(problems.BAD_ORIGIN)
            return
    elif request.length is not None and request.length > exchange.body_limit():
        exchange.refuse(problems.TOO_LARGE)
        return
    if request.expect is not None:
        if request.expect != b"100-continue":
            exchange.refuse(problems.BAD_EXPECT)
            return
        if not request.complete and not request.body and not request.http10:
            exchange.gateway.write(exchange.client.transport, CONTINUE)
    public = route.cache and exchange.principal is None and request.method in CACHED
    if not (public and exchange.gateway.cache.answer(exchange)):
        exchange.ask(exchange.gateway.pools[route.service])

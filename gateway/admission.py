"""Whether a request may pass: path, preflight, token, revocation, size, origin; in this order."""

from typing import TYPE_CHECKING

from gateway import problems
from gateway.routes import Match, UnsafePath
from libs.common.tokens import InvalidToken, Principal

if TYPE_CHECKING:
    from gateway.proxy import Exchange

READS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def decide(exchange: "Exchange") -> None:
    """Answer, refuse, or ask the service. Only a token of an unknown key takes longer than this call."""
    request, gateway = exchange.request, exchange.gateway
    target, _, exchange.query = request.target.partition(b"?")
    path = exchange.path = target.decode("latin-1")
    own = gateway.own.get(path)
    if own is not None:
        exchange.template = path
        own(exchange)
        return
    if request.preflight and request.method == b"OPTIONS" and request.origin is not None:
        _preflight(exchange, request.origin)
        return
    try:
        match = gateway.table.match(path)
    except UnsafePath:
        exchange.refuse(problems.BAD_PATH)
        return
    if match is None or b"#" in request.target:
        exchange.refuse(problems.NOT_FOUND)
        return
    exchange.match = match
    exchange.template = match.route.template
    _authenticate(exchange, match)


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
            exchange.refuse(problems.BAD_TOKEN)
            return
        try:
            principal = exchange.gateway.verifier.verify(token)
        except InvalidToken as refused:
            if refused.reason == "unknown_key":
                exchange.start(_authenticate_later(exchange, match, token))
            else:
                exchange.refuse(problems.BAD_TOKEN)
            return
        _accept(exchange, match, principal)
        return
    elif auth == "required" or (auth == "write" and request.method not in READS):
        exchange.refuse(problems.NO_TOKEN)
        return
    _admit(exchange, match)


async def _authenticate_later(exchange: "Exchange", match: Match, token: bytes) -> None:
    try:
        principal = await exchange.gateway.verifier.verify_fetching(token)
    except InvalidToken:
        exchange.refuse(problems.BAD_TOKEN)
    else:
        _accept(exchange, match, principal)


def _accept(exchange: "Exchange", match: Match, principal: Principal) -> None:
    if exchange.gateway.revocations.is_revoked(principal):
        exchange.refuse(problems.BAD_TOKEN)
        return
    exchange.principal = principal
    _admit(exchange, match)


def _admit(exchange: "Exchange", match: Match) -> None:
    """The caller is known. Rate limits belong here: after the token, before anything costs."""
    request, route = exchange.request, match.route
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
    exchange.ask(exchange.gateway.pools[route.service])

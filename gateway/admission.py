"""Decides whether a request may pass: by preflight, path, token, revocation, limits, size and origin.

Requests refused for their path or token count against the limits of the address, so guessing is not free.
"""

from collections.abc import Callable, Mapping

from gateway import problems
from gateway.cache import Cache
from gateway.endpoints import OwnEndpoints
from gateway.interfaces import Context
from gateway.limits import Limiter
from gateway.pool import Pool
from gateway.problems import Problem
from gateway.proxy import Exchange
from gateway.request import READS
from gateway.routes import Match, RouteTable, UnsafePath
from libs.common.security.revocation import RevocationList
from libs.common.security.tokens import InvalidToken, KeySet, Principal, TokenVerifier

CACHED = frozenset({b"GET", b"HEAD"})
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Admission:
    """Answers a request, refuses it, or has its service asked."""

    def __init__(
        self,
        context: Context,
        *,
        endpoints: OwnEndpoints,
        table: RouteTable,
        keys: KeySet,
        verifier: TokenVerifier,
        revocations: RevocationList,
        limiter: Limiter,
        cache: Cache,
        pools: Mapping[str, Pool],
    ) -> None:
        self._output = context.output
        self._cors = context.cors
        self._endpoints = endpoints
        self._own = endpoints.by_path
        self._table = table
        self._keys = keys
        self._verifier = verifier
        self._revocations = revocations
        self._limiter = limiter
        self._cache = cache
        self._pools = pools

    def decide(self, exchange: Exchange) -> None:
        """Answer, refuse or forward the request. Only for a token of an unknown key this takes a task."""
        request = exchange.request
        target, _, exchange.query = request.target.partition(b"?")
        path = exchange.path = target.decode("latin-1")
        own = self._own.get(path)
        if own is not None:
            exchange.template = path
            if self._endpoints.is_free(exchange):
                own(exchange)
            else:
                self._charge_address(exchange, own)
            return
        if request.preflight and request.method == b"OPTIONS" and request.origin is not None:
            self._preflight(exchange, request.origin)
            return
        try:
            match = self._table.match(path)
        except UnsafePath:
            self._refuse(exchange, problems.BAD_PATH)
            return
        if match is None or b"#" in request.target:
            self._refuse(exchange, problems.NOT_FOUND)
            return
        exchange.match = match
        exchange.template = match.route.template
        self._authenticate(exchange, match)

    def _charge_address(self, exchange: Exchange, then: Callable[[Exchange], None]) -> None:
        exchange.then = then
        self._limiter.charge(exchange, self._limiter.anonymous, exchange.address.network)

    def _refuse(self, exchange: Exchange, problem: Problem) -> None:
        self._charge_address(exchange, lambda exchange: exchange.refuse(problem))

    def _preflight(self, exchange: Exchange, origin: bytes) -> None:
        exchange.template = "preflight"
        if self._cors.allows(origin):
            exchange.answer(200, b"{}", "application/json", self._cors.preflight())
        else:
            exchange.refuse(problems.BAD_ORIGIN)

    def _authenticate(self, exchange: Exchange, match: Match) -> None:
        request, auth = exchange.request, match.route.auth
        if auth == "ignore":
            request.authorization = None
        elif request.authorization is not None:
            scheme, _, token = request.authorization.partition(b" ")
            token = token.strip(b" ")
            if scheme.lower() != b"bearer":
                self._refuse(exchange, problems.BAD_TOKEN)
                return
            try:
                principal = self._verifier.verify(token)
            except InvalidToken as refused:
                if refused.reason == "unknown_key":
                    exchange.start(self._authenticate_later(exchange, match, token))
                else:
                    self._refuse(exchange, problems.BAD_TOKEN)
            else:
                self._accept(exchange, match, principal)
            return
        elif auth == "required" or (auth == "write" and request.method not in READS):
            self._refuse(exchange, problems.NO_TOKEN)
            return
        self._charge(exchange, match)

    async def _authenticate_later(self, exchange: Exchange, match: Match, token: bytes) -> None:
        try:
            principal = await self._verifier.verify_fetching(token)
        except InvalidToken:
            if self._keys.ready:
                self._refuse(exchange, problems.BAD_TOKEN)
            else:  # nothing is known against the token: whoever has a good one must not be logged out
                self._refuse(exchange, problems.unavailable("identity"))
        else:
            self._accept(exchange, match, principal)

    def _accept(self, exchange: Exchange, match: Match, principal: Principal) -> None:
        if self._revocations.is_revoked(principal):
            self._refuse(exchange, problems.BAD_TOKEN)
            return
        exchange.principal = principal
        self._charge(exchange, match)

    def _charge(self, exchange: Exchange, match: Match) -> None:
        """Count the request against the limits of the caller, before it costs anything."""
        principal, limiter = exchange.principal, self._limiter
        request, route = exchange.request, match.route
        exchange.then = self._admit
        exchange.may_go_ahead = (
            request.complete
            and request.method in READS
            and not route.socket
            and not (route.cache and principal is None)
        )
        if route.limit is not None:
            limiter.charge(exchange, limiter.policies[route.limit], exchange.address.network)
        elif principal is not None:
            limiter.charge(exchange, limiter.signed_in, principal.user.int)
        else:
            limiter.charge(exchange, limiter.anonymous, exchange.address.network)

    def _admit(self, exchange: Exchange) -> None:
        request, match = exchange.request, exchange.match
        assert match is not None
        route = match.route
        if route.deadline is not None:
            exchange.patience = max(route.deadline, exchange.patience)
        if route.socket:
            if not request.websocket:
                exchange.refuse(problems.NOT_A_SOCKET)
                return
            if not self._cors.allows_socket(request.origin):
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
                self._output.write(exchange.client.transport, CONTINUE)
        public = route.cache and exchange.principal is None and request.method in CACHED
        if not (public and self._cache.answer(exchange)):
            exchange.ask(self._pools[route.service])

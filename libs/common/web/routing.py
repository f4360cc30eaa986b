"""Which route answers a request, found by the request's shape instead of by asking each in turn."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy

from fastapi.routing import APIRoute, APIRouter
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from libs.common.web.conditional import tag_reads

Shortcut = Callable[[Scope, Receive, Send], Awaitable[bool]]
"""Tries to answer instead of a route; False leaves the request, unread, to the route."""


class RouteIndex(BaseRoute):
    """The first route of an application: takes every request that one of `routers` answers.

    The framework asks nested routers for each of their routes, twice; that is a tenth of a small request.
    What is not found here (another method, sockets, nothing at all) goes the framework's own way, so the
    routers are included as well. `shortcuts` go by the names of routes.
    """

    def __init__(
        self, routers: Iterable[APIRouter], body_limit: int, shortcuts: Mapping[str, Shortcut] | None = None
    ) -> None:
        self._shortcuts = dict(shortcuts or {})
        self._by_shape: defaultdict[tuple[str, int], list[APIRoute]] = defaultdict(list)
        self._all: list[APIRoute] = []
        for router in routers:
            self._all += [route for route in router.routes if isinstance(route, APIRoute)]
            for route in router.routes:
                if isinstance(route, APIRoute) and ":path}" not in route.path:
                    limited = _limited(route, body_limit)
                    for method in route.methods or ():
                        self._by_shape[method, route.path.count("/")].append(limited)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http":
            for route in self._by_shape.get((scope["method"], scope["path"].count("/")), ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    return match, found
        return Match.NONE, {}

    def allowed(self, scope: Scope) -> list[str]:
        """The methods that some route serves at this path, for `Allow`."""
        found: set[str] = set()
        for route in self._all:
            if route.matches(scope)[0] is not Match.NONE:
                found |= route.methods or set()
        return sorted(found | ({"HEAD"} if "GET" in found else set()))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = scope["route"]
        if scope["method"] == "GET":
            send = tag_reads(scope, send)
        shortcut = self._shortcuts.get(route.name)
        if shortcut is None or not await shortcut(scope, receive, send):
            await route.handle(scope, receive, send)


def _limited(route: APIRoute, body_limit: int) -> APIRoute:
    if route.max_body_size is None:
        route = copy(route)
        route.app = RequestBodyLimitMiddleware(route.app, body_limit)
    return route

"""The gateway's table and what the services serve: nothing leads nowhere, and nothing is out of reach."""

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute

from gateway.routes import ALIASES, ROUTES, Match, RouteTable
from gateway.settings import GatewaySettings
from libs.common.runtime.settings import SERVICES
from libs.common.web.idempotency import Idempotency

UUID = "0b5e2f6a-3c1d-4e8f-9a7b-6c5d4e3f2a1b"
INTERNAL = {"/livez", "/readyz", "/metrics"}
"""What a service serves to operators, past the gateway."""
TABLE = RouteTable()


def served(routes: Iterable[Any]) -> Iterator[APIRoute | APIWebSocketRoute]:
    """All operations and sockets, those of included routers as well."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from served(route.original_router.routes)
        elif isinstance(route, APIRoute | APIWebSocketRoute):
            yield route


def example(template: str) -> str:
    return re.sub(r"\{\w+(:path)?\}", lambda name: "folder/file" if name[1] else UUID, template)


SERVED = [
    (service, route)
    for service in SERVICES
    for route in served(import_module(f"services.{service}.app").make_app().routes)
    if route.path not in INTERNAL
]
PATHS = {example(route.path) for _, route in SERVED}


def match(path: str) -> Match:
    found = TABLE.match(path)
    assert found is not None, f"no route leads to {path}"
    return found


@pytest.mark.parametrize("template", [route.template for route in ROUTES])
def test_every_route_leads_to_what_its_service_serves(template: str) -> None:
    assert any(match(path).route.template == template for path in PATHS), "no service serves this"


@pytest.mark.parametrize(("alias", "canonical"), ALIASES)
def test_every_alias_leads_to_what_a_service_serves(alias: str, canonical: str) -> None:
    behind = [path for path in PATHS if f"{path}/".startswith(f"{canonical}/")]
    assert behind
    for path in behind:
        assert match(alias + path.removeprefix(canonical)).path == path


@pytest.mark.parametrize(("service", "route"), SERVED, ids=[f"{name} {each.path}" for name, each in SERVED])
def test_all_that_a_service_serves_can_be_reached(service: str, route: APIRoute | APIWebSocketRoute) -> None:
    found = match(example(route.path))
    assert found.route.service == service
    assert found.route.socket == isinstance(route, APIWebSocketRoute)
    assert found.path == example(route.path), "the service would be asked for another path"


def test_every_class_of_limits_that_a_route_names_is_a_setting():
    assert {route.limit for route in ROUTES} - {None} <= set(GatewaySettings().limit_classes())


EXEMPT = [
    (service, path)
    for service in SERVICES
    for middleware in import_module(f"services.{service}.app").make_app().user_middleware
    if middleware.cls is Idempotency
    for path in sorted(middleware.kwargs["exempt"])
]


@pytest.mark.parametrize(("service", "path"), EXEMPT)
def test_where_a_service_keeps_no_answers_the_gateway_sends_no_write_twice(service: str, path: str) -> None:
    route = match(path).route
    assert route.service == service
    assert route.auth == "ignore" or not route.keyed

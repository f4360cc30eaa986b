"""What services promise each other: who reads which event, and that each reader takes the golden example."""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import isasyncgenfunction, iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import libs.common.events
from conftest import OpenHarness
from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Record
from libs.common.events import EVENTS
from libs.common.runtime.settings import SERVICES
from libs.common.security.revocation import ACCESS_CHANGED, SESSION_ENDED
from libs.common.testing.harness import as_record

GOLDENS = Path(libs.common.events.__file__).parent / "goldens"
REVOKING = {ACCESS_CHANGED.decode(), SESSION_ENDED.decode()}
READERS = [service for service in SERVICES if import_module(f"services.{service}.worker").SUBSCRIPTION]


def handled(service: str) -> set[str]:
    return {cls.type for cls in import_module(f"services.{service}.consumers").HANDLERS}


@pytest.mark.parametrize("kind", sorted(set(EVENTS) - REVOKING))
def test_the_named_consumers_of_an_event_are_those_that_have_a_handler(kind: str):
    named = re.search(r"Consumers:\s+([^.]+)\.", EVENTS[kind].__doc__ or "")
    assert named is not None
    readers = {service for service in READERS if kind in handled(service)}
    assert set(re.split(r",\s+", named[1])) == readers | {"analytics"}


@pytest.mark.parametrize("service", READERS)
async def test_every_handler_takes_the_golden_twice_with_one_effect(open_service: OpenHarness, service: str):
    harness = await open_service(service)
    assert harness.subscription is not None
    for kind in sorted(handled(service)):
        event = EVENTS[kind].model_validate_json((GOLDENS / f"{kind}.json").read_bytes())
        await harness.reset()
        record = as_record(event, 1)
        first = await apply_batch(harness.db, harness.subscription, [record])
        assert (first.applied, first.parked) == (1, 0), kind
        again = await apply_batch(harness.db, harness.subscription, [record])
        assert (again.applied, again.duplicates) == (0, 1), kind
        if EVENTS[kind].state:
            gone = as_record(event, 2)
            tombstone = Record(gone.topic, gone.key, None, gone.headers)
            deleted = await apply_batch(harness.db, harness.subscription, [tombstone])
            assert (deleted.applied, deleted.parked) == (1, 0), kind


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


@pytest.mark.parametrize("service", SERVICES)
def test_no_request_waits_for_a_thread(service: str) -> None:
    """A plain function among the dependencies costs a hop to a thread and back, at every call."""
    module = import_module(f"services.{service}.routes")
    routers = getattr(module, "ROUTERS", None) or [module.router]
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    assert routes
    for route in routes:
        for call in _calls(route.dependant):
            asynchronous = (call, type(call).__call__)
            assert any(iscoroutinefunction(one) or isasyncgenfunction(one) for one in asynchronous), (
                f"{route.path}: {call} is to be `async def`"
            )

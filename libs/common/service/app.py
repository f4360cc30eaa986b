"""One call that makes a service: middleware, errors, health, metrics, tokens, database, background work."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from sqlalchemy import text
from sqlalchemy.orm import configure_mappers

from libs.common.bus.received import Subscription
from libs.common.data.db import Database, TaskQueue
from libs.common.data.heartbeat import Heartbeat
from libs.common.data.jobs import CeleryQueue
from libs.common.runtime.clock import Clock, system_clock
from libs.common.runtime.errors import ServiceUnavailable, is_transient
from libs.common.runtime.failpoints import arm
from libs.common.runtime.logs import configure_logs, get_logger
from libs.common.runtime.settings import ServiceSettings
from libs.common.runtime.telemetry import configure_telemetry, stop_telemetry
from libs.common.security.revocation import RevocationList
from libs.common.security.tokens import KeySet, TokenVerifier
from libs.common.service.ops import ops_router
from libs.common.web.idempotency import Idempotency
from libs.common.web.middleware import RequestMiddleware
from libs.common.web.openapi import document
from libs.common.web.problems import install_error_handlers
from libs.common.web.routing import RouteIndex, Shortcut

log = get_logger(__name__)


async def _supervised(work: Callable[[], Awaitable[None]]) -> None:
    """Run for as long as the process lives; an error ends the process, to be started afresh.

    The Kafka client lets cancellations of its own out when a connection closes: those only start it again.
    """
    while True:
        task = asyncio.ensure_future(work())
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            break
        log.warning("background_task_cancelled", task=work.__qualname__)
        await asyncio.sleep(0.5)
    error = task.exception()
    if error is not None:
        log.critical("background_task_failed", task=work.__qualname__, exc_info=error)
        signal.raise_signal(signal.SIGTERM)


def _operation_id(route: APIRoute) -> str:
    return route.name


def create_app(
    settings: ServiceSettings,
    routers: Sequence[APIRouter],
    *,
    subscription: Subscription | None = None,
    exempt: Collection[str] = (),
    shortcuts: Mapping[str, Shortcut] | None = None,
    keys: KeySet | None = None,
    queue: TaskQueue | None = None,
    clock: Clock = system_clock,
) -> FastAPI:
    """A FastAPI application with everything that all services share.

    `app.state` holds settings, db, clock, verifier and revocations; its `background` coroutines run beside
    the requests. `subscription` tells which topics' tokens a read can wait for. `exempt` paths keep no
    answers for Idempotency-Key. `shortcuts` may answer before the routes of their names.
    """
    configure_logs(settings.service, settings.log_format, settings.log_level)
    configure_telemetry(settings.service, settings)
    arm(settings.failpoints)
    configure_mappers()  # not within the first request

    app = FastAPI(
        title=f"Lectern {settings.service}",
        version="1",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        generate_unique_id_function=_operation_id,
        telemetry={"tracing": False, "metrics": False},
    )
    app.state.settings = settings
    app.state.db = db = Database(settings, queue or CeleryQueue(settings))
    app.state.clock = clock
    app.state.keys = keys or KeySet(settings.jwks_url)
    app.state.verifier = TokenVerifier(settings.token_issuer, settings.token_audience, app.state.keys)
    app.state.revocations = RevocationList(settings)
    app.state.closers = []
    app.state.consumers = []
    app.state.background = []
    app.state.halves = ["api"] if routers else []
    app.add_middleware(Idempotency, db=db, limit=settings.body_limit, exempt=exempt)
    topics = subscription.topics if subscription else ()
    app.add_middleware(RequestMiddleware, settings=settings, db=db, topics=topics)
    install_error_handlers(app)
    app.include_router(_health(app))
    # A limit of the routers, not of the application: a route that takes uploads sets its own, and the
    # middleware may look at the first bytes of a body before the route is known.
    routers = [*routers, ops_router(settings, subscription)] if routers else routers
    limited = APIRouter(max_body_size=settings.body_limit)
    for router in routers:
        limited.include_router(router)
    app.include_router(limited)
    app.state.routes = RouteIndex(routers, settings.body_limit, shortcuts)
    app.router.routes.insert(0, app.state.routes)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.keys.start()
    await app.state.revocations.start()
    kind = " and ".join(app.state.halves)
    heartbeat = Heartbeat(app.state.db, kind, lambda: _facts(app), app.state.clock)
    background = [
        asyncio.create_task(_supervised(work), name=work.__qualname__)
        for work in (*app.state.background, heartbeat.run)
    ]
    try:
        yield
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        for stop in reversed(app.state.closers):
            await stop()
        await app.state.revocations.stop()
        await app.state.keys.stop()
        await app.state.db.close()
        await asyncio.to_thread(stop_telemetry)


def _facts(app: FastAPI) -> dict[str, Any]:
    """What operators see of this process; see libs/common/service/ops_schemas.py."""
    taken, most = app.state.db.usage()
    return {
        "connections": {"taken": taken, "most": most},
        "sockets": int(REGISTRY.get_sample_value("lectern_sockets") or 0),
        "consumers": [consumer.health() for consumer in app.state.consumers],
    }


def _health(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz(request: Request) -> dict[str, Any]:
        """Ready when the database answers and no consumer in this process has halted; with their health."""
        consumers = [consumer.health() for consumer in app.state.consumers]
        for health in consumers:
            if health["halted"]:
                detail = f"Consumer {health['consumer']} has halted: see `lectern dlq list`."
                raise ServiceUnavailable(detail, retry_after=30)
        try:
            async with asyncio.timeout(2), app.state.db.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except Exception as error:
            if is_transient(error):
                raise ServiceUnavailable("The database is away.") from error
            raise
        if not app.state.keys.ready:
            raise ServiceUnavailable("The public keys of access tokens have not been fetched yet.")
        return {"status": "ready", "consumers": consumers}

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router

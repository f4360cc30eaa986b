"""Run one service: `python -m libs.common.service.serve learning [--api | --worker]`.

Without an option the process hosts API, relay and consumer together, as on one machine. With `--worker` the
routes are left out and only health and metrics answer.
"""

import argparse
import asyncio
import gc
import time
from importlib import import_module

import uvicorn
import uvloop
from fastapi import FastAPI

from libs.common.live.sockets import MOST_BYTES
from libs.common.runtime.settings import SERVICES
from libs.common.service.app import create_app
from libs.common.service.handover import Handover, listen
from libs.common.service.worker import attach_worker

KEYS_SECONDS = 20.0
"""For the keys of access tokens to be fetched, before a predecessor is sent away in any case."""


def build(service: str, *, api: bool = True, worker: bool = True) -> FastAPI:
    """The application of a service with the halves that this process hosts."""
    half = import_module(f"services.{service}.worker")
    subscription = half.SUBSCRIPTION
    if api:
        app: FastAPI = import_module(f"services.{service}.app").make_app()
    else:
        settings = import_module(f"services.{service}.settings").Settings()
        app = create_app(settings, [], subscription=subscription)
    if worker:
        attach_worker(app, subscription, getattr(half, "WAITING", None))
    return app


def freeze_memory() -> None:
    """What lives now lives to the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def uvicorn_config(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=MOST_BYTES,
        ws_ping_interval=20.0,
        ws_ping_timeout=40.0,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
        backlog=1024,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # it believes any local peer; see border.py
    )


async def serve(app: FastAPI) -> None:
    """Answer until a signal or a successor ends it; a successor takes over the listening socket, so that no
    connection is refused meanwhile."""
    settings = app.state.settings
    handover = Handover(settings.handover)
    listener = await handover.take() or listen(settings.host, settings.port)
    server = uvicorn.Server(uvicorn_config(app, settings.host, settings.port))

    def taken() -> None:
        server.should_exit = True

    serving = asyncio.create_task(server.serve(sockets=[listener]), name="serving")
    try:
        if await _answers(server, app, serving):
            handover.ready()
            handover.offer(listener, taken)
        await serving
    finally:
        await handover.stop()


async def _answers(server: uvicorn.Server, app: FastAPI, serving: "asyncio.Task[None]") -> bool:
    """Wait until it listens and can check tokens; whether it lives. A predecessor goes on until then."""
    until = time.monotonic() + KEYS_SECONDS
    while not (server.started and (app.state.keys.ready or time.monotonic() > until)) and not serving.done():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return not serving.done()


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one service of Lectern.")
    parser.add_argument("service", choices=SERVICES)
    half = parser.add_mutually_exclusive_group()
    half.add_argument("--api", action="store_true", help="only the routes")
    half.add_argument("--worker", action="store_true", help="only relay and consumer")
    arguments = parser.parse_args()
    app = build(arguments.service, api=not arguments.worker, worker=not arguments.api)
    freeze_memory()
    uvloop.run(serve(app))


if __name__ == "__main__":
    main()

"""`python -m gateway`: run the gateway until SIGTERM or SIGINT, or until a successor has taken its port."""

import asyncio
import contextlib
import gc
import resource
import signal
import sys

import uvloop

from gateway.app import Gateway, NotReady
from gateway.settings import GatewaySettings
from libs.common.runtime.logs import configure_logs, get_logger
from libs.common.runtime.telemetry import configure_telemetry
from libs.common.service.handover import Handover

log = get_logger(__name__)

SPARE_FILES = 500
"""For connections to services, logs and libraries."""


async def serve(settings: GatewaySettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(settings)
    handover = Handover(settings.handover)

    def taken() -> None:
        gateway.handed_over = True
        stop.set()

    try:
        await gateway.start(listener=await handover.take())
    except NotReady as error:
        log.critical("gateway_not_started", error=repr(error))
        sys.exit(1)
    handover.ready()
    handover.offer(gateway.listener, taken)
    # What lives now lives to the end: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    await stop.wait()
    await handover.stop()
    await gateway.stop()


def allow_files(connections: int) -> None:
    """Raise the limit of open files of this process to the hard limit: a WebSocket takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems promise more than they give
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < connections * 2 + SPARE_FILES:
        log.warning("open_files_limited", limit=hard, connections=connections)


def main() -> None:
    settings = GatewaySettings()
    configure_logs("gateway", settings.log_format, settings.log_level)
    configure_telemetry("gateway", settings)
    allow_files(settings.connections)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()

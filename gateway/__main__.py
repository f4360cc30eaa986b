"""`python -m gateway`: run the gateway until SIGTERM or SIGINT."""

import asyncio
import gc
import signal

import uvloop

from gateway.app import Gateway
from gateway.settings import GatewaySettings
from libs.common.logs import configure_logs


async def serve(settings: GatewaySettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(settings)
    await gateway.start()
    # What lives now lives to the end: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    await stop.wait()
    await gateway.stop()


def main() -> None:
    settings = GatewaySettings()
    configure_logs("gateway", settings.log_format, settings.log_level)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()

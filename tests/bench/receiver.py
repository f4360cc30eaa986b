"""The other service of the latency benchmark: a consumer in a process of its own.

Writes the moment of each commit to standard output, by the clock that all processes of the machine share.
Ends when its standard input does.
"""

import asyncio
import sys
import time
from pathlib import Path

import uvloop

from libs.common.bus.consumer import Consumer
from libs.common.bus.received import Subscription
from libs.common.data.db import Database
from libs.common.testing.harness import CollectedQueue
from libs.common.tests import toy
from tests.bench.logfile import logs_into
from tests.bench.projection import on_counted


async def receive() -> None:
    db = Database(toy.Settings(), CollectedQueue())
    consumer = asyncio.create_task(Consumer(db, Subscription("toy", {toy.Counted: on_counted})).run())

    async def announce() -> None:
        async with db.progressed:
            while True:
                await db.progressed.wait()
                print(time.monotonic(), flush=True)

    announcing = asyncio.create_task(announce())
    await asyncio.to_thread(sys.stdin.read)
    for task in (announcing, consumer):
        task.cancel()
    await asyncio.gather(announcing, consumer, return_exceptions=True)
    await db.close()


if __name__ == "__main__":
    logs_into(Path(sys.argv[1]))
    uvloop.run(receive())

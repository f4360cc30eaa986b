"""The background half of a service: relay and consumer, in the API's process or in one of their own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI

from libs.common.bus.backlog import Backlog
from libs.common.bus.consumer import Consumer, ConsumerHalted
from libs.common.bus.received import Subscription
from libs.common.bus.relay import Relay
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)


def attach_worker(
    app: FastAPI, subscription: Subscription | None, waiting: Mapping[str, str] | None = None
) -> None:
    """Have the application's process run the relay, and the consumer where the service subscribes.

    `waiting` names the service's jobs, each with a statement that gives the time of the oldest that waits.
    """
    app.state.halves.append("worker")
    app.state.background.append(Relay(app.state.settings).run)
    backlog = Backlog(app.state.db, app.state.settings.service, waiting or {})
    app.state.background.append(backlog.run)
    if subscription is not None and subscription.topics:
        consumer = Consumer(app.state.db, subscription)
        app.state.consumers.append(consumer)
        app.state.background.append(_until_halted(consumer))


def _until_halted(consumer: Consumer) -> Callable[[], Awaitable[None]]:
    async def consume() -> None:
        try:
            await consumer.run()
        except ConsumerHalted as error:
            # The process stays: it is unready and says why, and restarting would only halt again.
            log.critical("consumer_halted", consumer=consumer.subscription.consumer, error=str(error))
            await asyncio.Event().wait()

    consume.__qualname__ = f"consumer-{consumer.subscription.consumer}"
    return consume

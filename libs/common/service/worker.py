"""The background half of a service: relay and consumer, in the API's process or in one of their own."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from libs.common.bus.consumer import Consumer, ConsumerHalted
from libs.common.bus.received import Subscription
from libs.common.bus.relay import Relay
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)


def attach_worker(app: FastAPI, subscription: Subscription | None) -> None:
    """Have the application's process run the relay, and the consumer where the service subscribes."""
    app.state.consumers = []
    app.state.background.append(Relay(app.state.settings).run)
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

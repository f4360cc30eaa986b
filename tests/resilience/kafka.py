"""Three brokers, of which each is killed in turn and then two at once, under writes: `make kafka-ha`."""

import asyncio
import time

from deploy.local.testing import temporary_directory
from libs.common.testing.harness import eventually
from tests.resilience.servers import Brokers
from tests.resilience.suite import Suite, step, suite

RECOVERY = 10.0
"""Seconds from the loss of a broker until a write that follows it has reached another service."""


async def run(*_: str) -> str:
    with temporary_directory() as directory:
        brokers = Brokers(directory)
        try:
            with step("three brokers"):
                await asyncio.to_thread(brokers.format)
                for node in range(3):
                    brokers.start(node)
                for node in range(3):
                    await asyncio.to_thread(brokers.wait, node)
            extra = {"LECTERN_KAFKA": brokers.bootstrap, "LECTERN_TOPIC_REPLICATION": "3"}
            async with suite(seeded=False, **extra) as ours:
                return await _kill_them(ours, brokers)
        finally:
            brokers.stop()


async def _kill_them(ours: Suite, brokers: Brokers) -> str:
    longest = 0.0
    async with ours.world.writing():
        for node in range(3):
            with step(f"broker {node} is killed and comes back"):
                brokers.kill(node)
                took = await _travels(ours)
                longest = max(longest, took)
                print(f"    an event got through {took:.1f} s after the kill")
                brokers.start(node)
                await asyncio.to_thread(brokers.wait, node)
                await _travels(ours)
        with step("two of three are killed and come back"):
            brokers.kill(0)
            brokers.kill(1)
            before = len(ours.world.load.messages)
            await eventually(lambda: len(ours.world.load.messages) > before + 20, 60)
            for node in (0, 1):
                brokers.start(node)
            await _travels(ours, 60)
    with step("nothing is lost, nothing out of order"):
        await ours.all_is_well()
    load = ours.world.load
    refused = {status: count for status, count in load.statuses.items() if status >= 300 or status == 0}
    assert not refused, refused
    assert longest <= RECOVERY, f"{longest:.1f} s"
    return (
        f"0 of {sum(load.statuses.values())} writes refused, 0 lost, 0 out of order; recovery at most"
        f" {longest:.1f} s, slowest write {load.longest:.1f} s"
    )


async def _travels(ours: Suite, seconds: float = 40) -> float:
    """Seconds until what is written now has been applied by another service."""
    began = time.monotonic()
    (customer,) = ours.world.customers[:1]
    body = {"subject": "On its way", "description": "It is on its way to another service."}
    ticket = (await customer.post("/api/core/support-tickets/", body, 201))["uuid"]
    ours.world.load.tickets.append(ticket)
    query = "SELECT 1 FROM key_progress WHERE topic = 'support.events' AND key = %s"
    await eventually(lambda: bool(ours.world.rows("analytics", query, ticket)), seconds)
    return time.monotonic() - began

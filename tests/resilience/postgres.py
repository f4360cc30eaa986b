"""A primary and its synchronous replica; the primary is killed under writes: `make pg-ha`."""

import asyncio
import secrets
import time
from urllib.parse import urlsplit

from deploy.local.testing import temporary_directory
from libs.common.testing.harness import eventually
from tests.resilience.servers import Address, Node, until
from tests.resilience.suite import Suite, step, suite


async def run(*_: str) -> str:
    password = secrets.token_urlsafe(18)
    with temporary_directory() as directory:
        first, second = Node(directory / "first", password), Node(directory / "second", password)
        try:
            with step("a primary and its synchronous replica"):
                await asyncio.to_thread(first.start)
                await asyncio.to_thread(second.follow, first)
                _wait_for_replica(first, "*")
                with first.connect() as connection:  # to rewind takes what a checkpoint would throw away
                    connection.execute("ALTER SYSTEM SET wal_keep_size = '256MB'")
                await until(lambda: _is_followed(first, "sync"), 20)
            with Address(first.port) as address:
                url = urlsplit(first.project.postgres_url)
                given = url._replace(netloc=f"postgres:{password}@127.0.0.1:{address.port}").geturl()
                async with suite(seeded=False, LECTERN_POSTGRES_URL=given) as ours:
                    return await _fail_over(ours, first, second, address)
        finally:
            first.stop()
            second.stop()


async def _fail_over(ours: Suite, first: Node, second: Node, address: Address) -> str:
    load = ours.world.load
    async with ours.world.writing():
        with step("the primary is killed, the replica takes over"):
            first.kill()
            killed = time.monotonic()
            with second.connect() as connection:
                connection.execute("SELECT pg_promote(true, 30)")
            _wait_for_replica(second, "")
            address.turn(second.port)
            before = len(load.messages) + len(load.tickets)
            await eventually(lambda: len(load.messages) + len(load.tickets) > before + 3, 60)
            away = time.monotonic() - killed
            print(f"    writes are answered 2xx {away:.1f} s after the kill")
        with step("the old primary is rewound and follows"):
            await asyncio.to_thread(first.rewind_to, second)
            await until(lambda: _is_followed(second, "async"), 30)
    with step("what was answered is stored, read models are folds of the log"):
        await ours.all_is_well()
    refused = sum(count for status, count in load.statuses.items() if status in (0, 503))
    return (
        f"0 of {len(load.tickets) + len(load.messages)} answered writes lost, {refused} refused meanwhile;"
        f" writable {away:.1f} s after the kill"
    )


def _wait_for_replica(node: Node, names: str) -> None:
    """Whether a commit waits until a replica has it."""
    with node.connect() as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        connection.execute("SELECT pg_reload_conf()")


def _is_followed(node: Node, how: str) -> bool:
    with node.connect() as connection:
        row = connection.execute("SELECT state, sync_state FROM pg_stat_replication").fetchone()
    return row == ("streaming", how)

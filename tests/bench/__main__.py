"""`make bench`: every benchmark once, on servers of its own; prints a table and writes docs/bench.md.

`make bench ONLY=relay,latency` narrows, and then writes no document. All ends by itself within `LIMIT`.
"""

import asyncio
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from deploy.local.testing import suite_servers
from tests.bench import (
    catalog,
    certificates,
    exports,
    gateway,
    gradebook,
    history,
    idle,
    lake,
    latency,
    lessons,
    logins,
    projection,
    quiz_storm,
    relay,
)
from tests.bench.figures import CHECKOUT, Figure, Run
from tests.bench.logfile import logs_into
from tests.bench.neighbours import Neighbours
from tests.bench.world import World, world

LIMIT = 720.0
DISTURBED = 0.1  # share of the cores that others may take before it is written down
EACH = 150.0  # seconds that one benchmark may take
BACKBONE: dict[str, Callable[[World], Awaitable[list[Figure]]]] = {
    "relay": relay.measure,
    "latency": latency.measure,
    "projection": projection.measure,
}
ALONE: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
    "gateway": gateway.measure,
    "logins": logins.measure,
    "catalog": catalog.measure,
    "lessons": lessons.measure,
    "gradebook": gradebook.measure,
    "certificates": certificates.measure,
    "quiz_storm": quiz_storm.measure,
    "idle": idle.measure,
}
ON_REQUEST: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
    "history": history.measure,
    "export": exports.measure,
    "lake": lake.measure,
}
"""What takes too long for every run: only where `ONLY` names it."""
DETACHED = ("logins", "quiz_storm", "idle")
"""A whole suite is nobody's child, so that there it cannot be told from others."""
NAMES = (*BACKBONE, *ALONE)


async def guarded(name: str, work: Awaitable[list[Figure]], limit: float = EACH) -> list[Figure]:
    """The figures of one benchmark, or one that says why there is none."""
    print(f"bench: {name} …", flush=True)
    started = time.monotonic()
    neighbours = Neighbours()
    try:
        figures = await asyncio.wait_for(work, limit)
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        figures = [Figure(name, None, detail=f"failed: {type(error).__name__}: {str(error)[:200]}")]
    print(f"bench: {name} took {time.monotonic() - started:.0f} s", flush=True)
    share = 0.0 if name in DETACHED else neighbours.share()
    if share > DISTURBED:
        for figure in figures:
            figure.detail += f"; other programs took {share:.0%} of the cores meanwhile"
            figure.reason += f", and other programs took {share:.0%} of them: run it again on a quiet machine"
    return figures


async def backbone(run: Run, names: list[str]) -> None:
    """The benchmarks that share one set of servers."""
    with suite_servers() as servers:
        run.servers = f"{servers}; PostgreSQL without fsync, both sides of every ratio on the same"
        async with world(servers) as place:
            for name in names:
                run.figures += await guarded(name, BACKBONE[name](place))


async def measure(names: list[str]) -> Run:
    run = Run()
    started = time.monotonic()
    chosen = [name for name in names if name in BACKBONE]
    if chosen:
        await backbone(run, chosen)
    for name in names:
        if name in ALONE:
            run.figures += await guarded(name, ALONE[name]())
        if name in ON_REQUEST:
            run.figures += await guarded(name, ON_REQUEST[name](), history.LIMIT)
    run.seconds = time.monotonic() - started
    return run


def main() -> int:
    only = os.environ.get("ONLY", "") or ",".join(sys.argv[1:])
    asked = only.split(",") if only else NAMES
    names = [name for name in (*NAMES, *ON_REQUEST) if name in asked]
    if not names:
        sys.exit(f"ONLY={only}: choose from {', '.join((*NAMES, *ON_REQUEST))}")
    with tempfile.TemporaryDirectory(prefix="lectern-bench-") as directory:
        logs_into(Path(directory) / "bench.log")
        run = uvloop.run(asyncio.wait_for(measure(names), history.LIMIT if only else LIMIT))
    print(f"\n{run.table()}\n")
    for figure in run.figures:
        if figure.detail:
            print(f"{figure.name}: {figure.detail}")
    for line in run.missed():
        print(f"missed: {line}")
    if not only:
        (CHECKOUT / "docs" / "bench.md").write_text(run.document())
        print(f"written: docs/bench.md ({run.seconds:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

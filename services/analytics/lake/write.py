"""Bringing the lake's table of the log on: new events, erasures, and fewer, larger files."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
import pyarrow as pa
from pyiceberg.manifest import DataFile
from sqlalchemy import text

from libs.common.data.db import Database, driver
from libs.common.events.identity import UserState
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger
from services.analytics.lake.restored import forget_lost, forget_restored
from services.analytics.lake.tables import (
    LAST_EVENT,
    LOG_COLUMNS,
    POSITION,
    Lake,
    arrow_of,
    commit,
    files_of,
    position_of,
    read,
    write,
)
from services.analytics.privacy import BLANK_STATE

log = get_logger(__name__)

PATIENCE = 240
"""Seconds after which a run ends; the next one goes on."""
SMALL = 4 * 2**20
"""Bytes below which a file is put together with others."""
FEWEST_TO_COMPACT = 8
MOST_AT_ONCE = 8 * 2**20
"""Bytes of files that are read together: twenty times as much in memory."""
READ = (
    "SELECT position, occurred_at, event_id::text, topic, key, seq, type, payload::text"
    " FROM analytics.event_log WHERE position > %s AND position <= %s ORDER BY position LIMIT %s"
)


async def catch_up(db: Database, lake: Lake, batch: int) -> int:
    """Write what the log has and the lake has not; returns how many events.

    A run ends after `PATIENCE` seconds. Positions are in the order of commits, so nothing can come below the
    one that the live projection holds.
    """
    ends = time.monotonic() + PATIENCE
    await forget_lost(db, lake)
    await forget_restored(db, lake)
    table = await asyncio.to_thread(lake.log)
    written = 0
    while time.monotonic() < ends:
        after = position_of(table)
        rows, upto = await _next(db, after, batch)
        if upto <= after:
            break
        failpoint("lake.after_read")
        await asyncio.to_thread(_append, lake, after, rows, upto)
        written += len(rows)
        table = await asyncio.to_thread(lake.log)
    return written


async def _next(db: Database, after: int, batch: int) -> tuple[list[Any], int]:
    """The next events, and up to where they are all that there are."""
    async with db.session() as session:
        last = await session.scalar(text("SELECT position FROM analytics.live_projection")) or 0
        cursor = await (await driver(session)).execute(READ, (after, last, batch))
        rows = await cursor.fetchall()
    return rows, rows[-1][0] if len(rows) == batch else last


def _append(lake: Lake, after: int, rows: Sequence[Any], upto: int) -> None:
    table = lake.log()
    if position_of(table) != after:
        raise RuntimeError("somebody else writes the lake")
    if not rows:  # positions that were taken and not used
        with table.transaction() as transaction:
            transaction.set_properties({POSITION: str(upto)})
        return
    last = f"{rows[-1][0]}:{rows[-1][2]}"
    commit(table, write(table, arrow_of(rows)), properties={POSITION: str(upto), LAST_EVENT: last})


def compact(lake: Lake) -> int:
    """Put small files of a partition together; returns how many went."""
    gone = 0
    groups: defaultdict[str, list[DataFile]] = defaultdict(list)
    for file in files_of(lake.log()):
        if file.file_size_in_bytes < SMALL:
            groups[str(file.partition)].append(file)
    for files in groups.values():
        chosen, size = [], 0
        for file in sorted(files, key=lambda each: each.file_size_in_bytes):
            if size + file.file_size_in_bytes > MOST_AT_ONCE:
                break
            chosen.append(file)
            size += file.file_size_in_bytes
        if len(chosen) >= FEWEST_TO_COMPACT:
            table = lake.log()
            commit(table, write(table, read(table, chosen).sort_by("position")), chosen)
            gone += len(chosen)
    return gone


def blanked(payload: str | None) -> str | None:
    """A state of somebody who is erased, as `privacy.py` leaves it in the log."""
    return None if payload is None else orjson.dumps(orjson.loads(payload) | BLANK_STATE).decode()


def erase(lake: Lake, users: Sequence[UUID]) -> int:
    """Rewrite the files that hold states of these people; returns how many. Former snapshots still have them:
    `tidy` has to follow."""
    table = lake.log()
    topic = UserState.topic
    keys = ", ".join(f"'{user}'" for user in users)
    files = files_of(table, f"topic = '{topic}' and key in ({keys})")
    if not files:
        return 0
    wanted = {str(user) for user in users}
    added: list[DataFile] = []
    removed: list[DataFile] = []
    for file in files:
        rows = read(table, [file])
        events = zip(*(rows[name].to_pylist() for name in ("topic", "key", "payload")), strict=True)
        payloads = [
            blanked(payload) if kind == topic and key in wanted else payload for kind, key, payload in events
        ]
        place = LOG_COLUMNS.index("payload")
        rows = rows.set_column(place, rows.schema.field(place), pa.array(payloads, type=rows["payload"].type))
        added += write(table, rows)
        removed.append(file)
    commit(table, added, removed)
    return len(removed)

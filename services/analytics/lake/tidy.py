"""What the lake needs no more: former snapshots, and files that none of those that stay is made of."""

from datetime import datetime

import obstore
from pyiceberg.table import Table

from libs.common.runtime.failpoints import failpoint
from services.analytics.lake.files import path_of
from services.analytics.lake.tables import Lake


def tidy(lake: Lake, name: str, before: datetime, *, now: bool = False) -> tuple[int, int]:
    """Expire the snapshots of a table from before a moment, then delete the files from before it that no
    snapshot has. With `now` all but the newest go, at once: for what must not be read any more.

    Returns how many snapshots and files went. Killed anywhere, the next run does the rest.
    """
    table = lake.load(name)
    if table is None:
        return 0, 0
    newest = table.current_snapshot()
    old = [
        each.snapshot_id
        for each in table.snapshots()
        if newest is not None
        and each.snapshot_id != newest.snapshot_id
        and (now or each.timestamp_ms < before.timestamp() * 1000)
    ]
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()
        failpoint("lake.after_expiry")
        table = lake.load(name)
        assert table is not None
    return len(old), _delete_unused(lake, table, name, before, now=now)


def _delete_unused(lake: Lake, table: Table, name: str, before: datetime, *, now: bool) -> int:
    used = used_by(table)
    unused = [
        str(entry["path"])
        for batch in obstore.list(lake.store, name)
        for entry in batch
        if str(entry["path"]) not in used and (now or entry["last_modified"] < before)
    ]
    for path in unused:
        obstore.delete(lake.store, path)
        failpoint("lake.file_deleted")
    return len(unused)


def used_by(table: Table) -> set[str]:
    """Paths of all files that the table's snapshots are made of, and of its newest metadata."""
    used = {path_of(table.metadata_location)}
    manifests = {}
    for snapshot in table.snapshots():
        used.add(path_of(snapshot.manifest_list))
        manifests.update({each.manifest_path: each for each in snapshot.manifests(table.io)})
    for location, manifest in manifests.items():
        used.add(path_of(location))
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            used.add(path_of(entry.data_file.file_path))
    return used

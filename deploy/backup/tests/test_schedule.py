"""When a backup is due, and how old the newest is."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.backup.repository import Repository
from deploy.backup.schedule import Schedule, due, newest

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def manifest(hours: float, parent: str | None = None) -> Any:
    return SimpleNamespace(started_at=NOW - timedelta(hours=hours), parent=parent)


@pytest.mark.parametrize(
    ("ages", "wanted"),
    [
        ([], "full"),
        ([(1, None)], None),
        ([(23.9, None)], None),
        ([(24, None)], "incremental"),
        ([(48, None), (24, "before")], "incremental"),
        ([(48, None), (3, "before")], None),
        ([(7 * 24, None), (3, "before")], "full"),
        ([(48, "gone")], "full"),
    ],
)
def test_a_backup_is_due(ages: list[tuple[float, str | None]], wanted: str | None):
    assert due([manifest(*each) for each in ages], Schedule(), NOW) == wanted


def test_the_newest_is_told_by_its_name_and_only_when_it_is_finished(tmp_path: Path):
    repository = Repository(str(tmp_path))
    assert newest(repository) is None
    for name in ("20260301T040000Z-full", "20260302T040000Z-incremental"):
        repository.write_json(f"backups/{name}/manifest.json", {})
    repository.write("backups/20260303T040000Z-full/pg_manifest", io.BytesIO(b"{}").read())
    assert newest(repository) == datetime(2026, 3, 2, 4, tzinfo=UTC)

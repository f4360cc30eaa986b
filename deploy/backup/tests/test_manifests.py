"""Which backup is taken, what it builds upon, and what may be deleted."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.backup.database import next_segment
from deploy.backup.manifest import Manifest, all_manifests, blob, chain_of, choose
from deploy.backup.prune import prune
from deploy.backup.repository import BackupError, Digest, Repository, new_identity

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def manifest(day: int, parent: int | None = None, *, files: dict[str, Digest] | None = None) -> Manifest:
    """Of a day of January 2026, which needs the segment of the log that has its number."""
    at = FIRST + timedelta(days=day - 1)
    segment = f"0000000100000000000000{day:02X}"
    return Manifest(
        id=f"day-{day}",
        parent=None if parent is None else f"day-{parent}",
        started_at=at - timedelta(minutes=1),
        point=f"lectern-day-{day}",
        point_at=at,
        system="7",
        epoch=0,
        wal_from=segment,
        wal_to=segment,
        server="18.6",
        release="0.1.0",
        heads={},
        base=Digest(1, "a"),
        wal={segment: Digest(16, "b")},
        files=files or {},
    )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    _, recipient = new_identity()
    return Repository(str(tmp_path), [recipient])


def test_a_manifest_is_read_as_it_was_written(repository: Repository):
    one = manifest(3, 2, files={"learning/one": Digest(3, "c")})
    one.save(repository)
    assert all_manifests(repository) == [one]


def test_a_manifest_of_another_format_names_the_release_that_made_it(repository: Repository):
    repository.write_json("backups/old/manifest.json", {"format": 99, "release": "9.0"})
    with pytest.raises(BackupError, match=r"old has format 99: take the release that made it, 9\.0"):
        Manifest.load(repository, "old")


def test_a_chain_begins_with_its_full_backup():
    known = [manifest(1), manifest(2, 1), manifest(3, 2), manifest(4)]
    assert [each.id for each in chain_of(known[2], known)] == ["day-1", "day-2", "day-3"]
    assert chain_of(known[3], known) == [known[3]]
    with pytest.raises(BackupError, match="day-3 builds upon day-2, which is gone"):
        chain_of(known[2], [known[0], known[2]])


@pytest.mark.parametrize(
    ("name", "at", "chosen"),
    [
        (None, None, "day-3"),
        ("day-2", None, "day-2"),
        (None, FIRST + timedelta(days=1), "day-2"),
        (None, FIRST + timedelta(days=1, seconds=-1), "day-1"),
    ],
)
def test_the_newest_that_is_not_too_new_is_chosen(name: str | None, at: datetime | None, chosen: str):
    assert choose([manifest(1), manifest(2, 1), manifest(3)], name, at).id == chosen


def test_what_is_not_there_is_not_chosen():
    with pytest.raises(BackupError, match="no finished backup"):
        choose([], None, None)
    with pytest.raises(BackupError, match="no backup day-9; there are day-1"):
        choose([manifest(1)], "day-9", None)
    with pytest.raises(BackupError, match="from before 2025"):
        choose([manifest(1)], None, FIRST - timedelta(days=10))


@pytest.mark.parametrize(
    ("segment", "following"),
    [
        ("000000010000000000000001", "000000010000000000000002"),
        ("0000000100000000000000FF", "000000010000000100000000"),
        ("00000002000000FF000000FF", "000000020000010000000000"),
    ],
)
def test_segments_follow_each_other(segment: str, following: str):
    assert next_segment(segment) == following


def test_old_chains_go_with_all_that_only_they_need(repository: Repository):
    shared, old, new = (Digest(1, digit * 64) for digit in "abc")
    backups = [
        manifest(1, files={"one": old, "two": shared}),
        manifest(2, 1, files={"two": shared}),
        manifest(20, files={"two": shared}),
        manifest(21, 20, files={"two": shared, "three": new}),
    ]
    for each in backups:
        each.save(repository)
        repository.seal(f"{each.wal_folder}/{each.wal_from}.age", io.BytesIO(b"log"))
    for digest in (shared, old, new):
        repository.seal(blob(digest), io.BytesIO(b"x"))
    for day in (2, 20):
        look = {"at": FIRST + timedelta(days=day), "wal": {}, "files": {}}
        repository.write_json(f"watched/7/0/202601{day + 1:02}T000000000000Z.json", look)

    def in_february() -> datetime:
        return datetime.now(UTC) + timedelta(days=2)

    # By the clock of the objects themselves they are new: nothing of an unfinished backup is touched.
    keep = in_february() - backups[1].point_at - timedelta(days=1)
    gone = prune(repository, keep, clock=in_february)
    assert set(gone) == {
        "backups/day-1/manifest.json",
        "backups/day-2/manifest.json",
        "wal/7/0/000000010000000000000001.age",
        "wal/7/0/000000010000000000000002.age",
        blob(old),
        "watched/7/0/20260103T000000000000Z.json",
    }
    assert [each.id for each in all_manifests(repository)] == ["day-20", "day-21"]
    assert prune(repository, timedelta(0), clock=in_february) == []  # the newest chain stays in any case


def test_what_a_backup_in_the_making_has_stored_stays(repository: Repository):
    manifest(1).save(repository)
    repository.seal("backups/unfinished/base.tar.age", io.BytesIO(b"x"))
    repository.seal(blob(Digest(1, "d" * 64)), io.BytesIO(b"x"))
    assert prune(repository, timedelta(0), clock=lambda: datetime.now(UTC)) == []


def test_without_a_backup_nothing_is_deleted(repository: Repository):
    repository.write("files/aa/aa.age", b"x")
    with pytest.raises(BackupError, match="nothing is deleted"):
        prune(repository, timedelta(0))
    assert repository.names("files") == ["files/aa/aa.age"]

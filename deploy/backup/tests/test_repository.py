"""What is sealed comes out as it went in, for who has the key and for nobody else."""

import io
import os
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.backup.repository import BackupError, Digest, Repository, new_identity


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    identity, recipient = new_identity()
    return Repository(str(tmp_path / "repository"), [recipient], [identity])


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a repository may lie."""
    if request.param == "bucket":
        return f"{request.getfixturevalue('s3')}/{uuid4()}/backups"
    return str(tmp_path / "repository")


def test_a_bucket_does_what_a_directory_does(place: str):
    identity, recipient = new_identity()
    writer, reader = Repository(place, [recipient]), Repository(place, identities=[identity])
    assert writer.names("files") == []
    stored = writer.seal("files/ab/one.age", io.BytesIO(b"work of a term " * 500_000))
    writer.write_json("backups/first/manifest.json", {"id": "first"})
    assert reader.names("files") == ["files/ab/one.age"]
    assert reader.names("files", before=datetime(2000, 1, 1, tzinfo=UTC)) == []
    assert reader.read_json("backups/first/manifest.json") == {"id": "first"}
    with reader.unsealed("files/ab/one.age", stored) as path:
        assert path.stat().st_size == stored.size
    writer.delete("files/ab/one.age")
    with pytest.raises(BackupError, match="has no files/ab/one"):
        reader.check("files/ab/one.age", stored)


def test_the_bucket_of_backups_may_be_elsewhere(s3: str, monkeypatch: pytest.MonkeyPatch):
    _, recipient = new_identity()
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ALLOW_HTTP"):
        monkeypatch.setenv(f"LECTERN_BACKUP_{name}", os.environ[name])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    repository = Repository(f"{s3}/{uuid4()}", [recipient])
    repository.seal("one", io.BytesIO(b"mine"))
    assert repository.names("") == ["one"]


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 3 * 1024 * 1024 + 7])
def test_what_is_sealed_comes_out_again(repository: Repository, size: int, compress: bool):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    stored = repository.seal("one", io.BytesIO(data), compress=compress)
    out = io.BytesIO()
    assert repository.unseal("one", out, compressed=compress) == stored
    assert out.getvalue() == data
    assert stored.size == size


def test_nothing_of_it_can_be_read_without_the_key(tmp_path: Path):
    _, recipient = new_identity()
    repository = Repository(str(tmp_path), [recipient])
    repository.seal("secrets", io.BytesIO(b"the password is squirrel" * 100), compress=False)
    (stored,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert b"squirrel" not in stored.read_bytes()
    with pytest.raises(BackupError, match="no identity"):
        repository.unseal("secrets", io.BytesIO(), compressed=False)
    other, _ = new_identity()
    with pytest.raises(BackupError, match="secrets cannot be opened"):
        Repository(str(tmp_path), identities=[other]).unseal("secrets", io.BytesIO(), compressed=False)


@pytest.mark.parametrize("damage", ["cut", "changed"])
@pytest.mark.parametrize("compress", [True, False])
def test_damage_is_noticed(repository: Repository, tmp_path: Path, damage: str, compress: bool):
    stored = repository.seal("one", io.BytesIO(b"work of a term " * 10_000), compress=compress)
    path = tmp_path / "repository" / "one"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[:-20]
    else:
        data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupError, match="one cannot be opened"):
        repository.check("one", stored, compressed=compress)


def test_another_object_in_its_place_is_noticed(repository: Repository):
    stored = repository.seal("one", io.BytesIO(b"mine"))
    repository.seal("one", io.BytesIO(b"theirs"))
    with pytest.raises(BackupError, match="one is not what was stored"):
        repository.check("one", stored)


def test_what_is_missing_is_named(repository: Repository):
    with pytest.raises(BackupError, match="has no files/none"):
        repository.check("files/none", Digest(1, "0" * 64))


@pytest.mark.parametrize(
    ("recipients", "said"), [([], "no recipient"), (["age1nonsense"], "not a key of age")]
)
def test_without_a_recipient_nothing_is_written(tmp_path: Path, recipients: list[str], said: str):
    with pytest.raises(BackupError, match=said):
        Repository(str(tmp_path), recipients).seal("one", io.BytesIO(b"x"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_place_that_is_none_is_refused():
    with pytest.raises(BackupError, match="neither a directory nor s3"):
        Repository("https://backups.example/")

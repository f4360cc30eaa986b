"""What comes back from a backup before anything runs: the passwords."""

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.backup.manifest import Manifest
from deploy.backup.repository import BackupError, Digest, Repository, new_identity
from deploy.docker.restore import open_repository, restore_keys

NAME = "20260301T040000Z-full"
AT = datetime(2026, 3, 1, 4, tzinfo=UTC)


def backup_with(repository: Repository, files: dict[str, bytes]) -> None:
    """A backup that is whole as far as its manifest and its secrets go."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    tar.seek(0)
    sealed = repository.seal(f"backups/{NAME}/secrets.tar.age", tar)
    nothing = Digest(0, "0" * 64)
    history = ("7", 0, "000000010000000000000001", "000000010000000000000001")
    Manifest(NAME, None, AT, "a", AT, *history, "18.0", "1", {}, nothing, sealed).save(repository)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    identity, recipient = new_identity()
    return Repository(str(tmp_path / "repository"), [recipient], [identity])


def test_the_passwords_come_back_for_their_owner_alone(repository: Repository, tmp_path: Path):
    backup_with(repository, {"passwords.json": b'{"secret": "a"}'})
    restore_keys(repository, tmp_path, None)
    path = tmp_path / "passwords.json"
    assert path.read_text() == '{"secret": "a"}'
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupError, match="is there already"):
        restore_keys(repository, tmp_path, NAME)


def test_a_backup_without_passwords_says_so(repository: Repository, tmp_path: Path):
    backup_with(repository, {"postgres.password": b"of one machine"})
    with pytest.raises(BackupError, match=f"{NAME} has no passwords.json"):
        restore_keys(repository, tmp_path, None)
    assert not (tmp_path / "passwords.json").exists()


def test_without_a_key_nothing_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LECTERN_BACKUP_URL", str(tmp_path))
    monkeypatch.setenv("LECTERN_BACKUP_IDENTITY_FILE", "/dev/null")
    with pytest.raises(BackupError, match="set LECTERN_BACKUP_IDENTITY"):
        open_repository()

"""What a manifest says of the code that made the backup."""

from pathlib import Path

import pytest

from deploy.backup import create
from libs.common.runtime.release import release as suite_release


def test_in_a_checkout_the_release_has_the_commit() -> None:
    version, _, commit = create.release().partition("+")
    assert version == suite_release()
    assert len(commit) == 12


def test_without_git_as_in_an_image_the_release_is_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert create.release() == suite_release()

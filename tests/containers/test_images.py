"""What the images are made of, without an engine."""

import re

import pytest

from deploy.docker.locked import entries, part
from deploy.local.project import CHECKOUT
from tests.containers.images import IMAGES

DOCKERFILE = (CHECKOUT / "deploy" / "docker" / "Dockerfile").read_text()
LOCK = (CHECKOUT / "requirements.lock").read_text()


def test_a_part_of_the_lock_keeps_its_hashes_and_versions():
    found = part(LOCK, "# a comment\nFastAPI>=0.1 ; python_version > '3'\nuuid_utils==1\n")
    lines = found.splitlines()
    assert [line.split("==")[0] for line in lines if not line.startswith(" ")] == ["fastapi", "uuid-utils"]
    assert all(line.startswith("    --hash=sha256:") for line in lines if line.startswith(" "))
    assert "--hash" in found


def test_a_package_that_the_lock_does_not_vouch_for_ends_the_build():
    with pytest.raises(KeyError, match="left-pad"):
        part(LOCK, "left-pad==1.0\n")


def test_every_entry_of_the_lock_has_hashes():
    assert entries(LOCK)
    assert all("--hash=sha256:" in entry for entry in entries(LOCK).values())


def test_the_dockerfile_knows_every_image():
    named = set(re.findall(r"--extra ([a-z]+)", DOCKERFILE)) | {"gateway"}
    assert set(IMAGES) <= named | {"worker"}
    (services,) = re.findall(r"^\s+([a-z|]+)\) extras=\".* --extra \$SERVICE\"", DOCKERFILE, re.MULTILINE)
    assert set(services.split("|")) == set(IMAGES) - {"worker", "gateway"}


def test_the_last_stage_runs_nothing_and_starts_without_a_shell():
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert not re.search(r"^RUN ", last, re.MULTILINE)
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    for instruction in re.findall(r"^\s*(?:ENTRYPOINT|CMD) (.*)$", last, re.MULTILINE):
        assert instruction.startswith("[")
    for label in ("revision", "version", "licenses"):
        assert f"org.opencontainers.image.{label}=" in last


def test_no_frontend_is_fetched():
    assert not DOCKERFILE.startswith("# syntax")

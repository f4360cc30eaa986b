"""Programs of another Debian release, unpacked beside the system and not installed.

For what a machine's own release does not have (Prometheus 3, a container engine): a second apt root reads the
machine's own sources with another suite, and `dpkg -x` unpacks what it downloads into a cache of the user.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.local.project import SetupError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_CONF = """\
Dir::State::Lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc::SourceList "{root}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "root";
"""


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lectern"


def unpacked(packages: Mapping[str, Iterable[str]], *, whole: bool = False) -> Path:
    """The directory in which these packages, by suite (`forky`), are unpacked, without what they depend on.

    `whole` takes all of that along, the C library too: for programs that are run by its loader.
    Downloaded once a user. Raises SetupError where this is no Debian, or the packages cannot be had.
    """
    wanted = {suite: sorted(names) for suite, names in packages.items()}
    digest = hashlib.sha256(json.dumps([wanted, whole], sort_keys=True).encode()).hexdigest()[:12]
    place = cache() / f"debian-{'-'.join(wanted)}-{digest}"
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        for suite, names in wanted.items():
            _fetch(Path(scratch) / suite, suite, names, Path(scratch) / "unpacked", whole)
        try:
            (Path(scratch) / "unpacked").rename(place)
        except OSError:  # another process was first
            if not place.exists():
                raise
    return place


def _fetch(root: Path, suite: str, names: list[str], target: Path, whole: bool) -> None:
    config = _apt_root(root, suite)
    debs = root / "debs"
    (debs / "partial").mkdir(parents=True)
    _run(["apt-get", "update", "-qq"], config)
    if whole:
        options = [
            "-y",
            "-qq",
            "--download-only",
            "--no-install-recommends",
            "-o",
            f"Dir::Cache::archives={debs}",
        ]
        _run(["apt-get", "install", *options, *names], config)
    else:
        _run(["apt-get", "download", "-qq", *names], config, debs)
    for package in sorted(debs.glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(target)], config)


def _apt_root(root: Path, suite: str) -> Path:
    for name in ("lists/partial", "cache/archives/partial"):
        (root / name).mkdir(parents=True)
    (root / "status").touch()
    (root / "sources.list").write_text(f"{source(suite)}\n")
    config = root / "apt.conf"
    config.write_text(_CONF.format(root=root))
    return config


def own_suite() -> str:
    """The release of this machine."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def source(suite: str) -> str:
    """The line by which apt reads a suite from where this machine gets Debian. Raises SetupError."""
    return f"deb [signed-by={KEYRING}] {_mirror()} {suite} main"


def _mirror() -> str:
    form = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)"
    argv = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    for line in _run(argv).splitlines():
        origin, release, component, address = line.split(" ", 3)
        if (origin, component) == ("Debian", "main") and "-" not in release:
            return address
    raise SetupError(
        "apt knows no Debian archive on this machine: install the program yourself, on the PATH."
    )


def _run(argv: list[str], config: Path | None = None, directory: Path | None = None) -> str:
    if shutil.which(argv[0]) is None:
        raise SetupError(f"{argv[0]} is missing: this needs a Debian, or the program itself on the PATH.")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if config is not None:
        environment["APT_CONFIG"] = str(config)
    done = subprocess.run(
        argv, cwd=directory, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise SetupError(f"{' '.join(argv[:3])} failed: {done.stderr.strip()[-300:]}")
    return done.stdout

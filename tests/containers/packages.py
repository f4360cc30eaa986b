"""Programs from Debian's packages, unpacked into the user's cache: nothing is installed on the machine.

A second apt with its own lists and an empty status file fetches packages of any release from the mirror that
the machine's own apt uses; `dpkg -x` unpacks them side by side.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_OPTIONS = """\
Dir::State::Lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc::SourceList "{root}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "root";
"""


class MissingTool(Exception):
    """The machine lacks something; the message is one sentence that says what mends it."""


def cache(name: str) -> Path:
    """A directory of the user's cache; made where it is missing."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = home / "lectern" / name
    place.mkdir(parents=True, exist_ok=True)
    return place


def run(argv: Iterable[object], *, timeout: float = 600, **options: object) -> str:
    """What a command prints; CalledProcessError carries its stderr."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout, **options)
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).splitlines()[-20:])
        raise RuntimeError(f"{' '.join(words[:4])} … ended with {done.returncode}:\n{last}")
    return done.stdout


def mirror() -> tuple[str, str]:
    """The address of the machine's own source of packages, and its release."""
    if shutil.which("apt-get") is None:
        raise MissingTool(
            "There is no Docker engine and no apt to bring one: install Docker Engine 26 or newer."
        )
    form = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)"
    for line in run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).splitlines():
        origin, release, component, address = line.split(" ", 3)
        if (origin, component) == ("Debian", "main") and "-" not in release:
            return address, release
    raise MissingTool("apt knows no source of Debian: install Docker Engine 26 or newer by hand.")


def apt(release: str) -> dict[str, str]:
    """The environment in which apt sees only this release of Debian."""
    root = cache("apt") / release
    configuration = root / "apt.conf"
    if not configuration.exists():
        for name in ("lists/partial", "cache/archives/partial"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        (root / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()[0]} {release} main\n")
        new = root / "apt.conf.new"
        new.write_text(_OPTIONS.format(root=root))
        run(["apt-get", "update", "-qq"], env=os.environ | {"APT_CONFIG": str(new)})
        new.rename(configuration)
    return os.environ | {"APT_CONFIG": str(configuration)}


def unpack(place: Path, packages: dict[str, tuple[str, ...]]) -> Path:
    """Makes the directory hold these packages, by release; an empty name is the machine's own release."""
    if place.exists():
        return place
    scratch = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    for release, names in packages.items():
        debs = scratch / "debs" / (release or "own")
        debs.mkdir(parents=True)
        run(["apt-get", "download", "-qq", *names], cwd=debs, env=apt(release or mirror()[1]))
        for deb in sorted(debs.iterdir()):
            run(["dpkg", "-x", deb, scratch])
    shutil.rmtree(scratch / "debs")
    scratch.rename(place)
    return place


def unpack_whole(release: str, *names: str) -> Path:
    """A directory with these packages and all that they depend on, the C library too: for programs of a later
    release than the machine's, run by the loader that lies there."""
    place = cache("debian") / f"{release}-{'-'.join(names)}"
    if place.exists():
        return place
    scratch = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    debs = scratch / "debs"
    (debs / "partial").mkdir(parents=True)
    install = ["apt-get", "install", "-y", "-qq", "--download-only", "--no-install-recommends"]
    run([*install, "-o", f"Dir::Cache::archives={debs}", *names], env=apt(release))
    for deb in sorted(debs.glob("*.deb")):
        run(["dpkg", "-x", deb, scratch])
    shutil.rmtree(debs)
    scratch.rename(place)
    return place

"""What the proofs for analysts take from registries, in the user's cache."""

import os
import subprocess
import sys
from pathlib import Path


def cache(name: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lectern" / name


def make_environment(place: Path, *packages: str) -> Path:
    """The `bin` of an environment with these packages; made where it is missing."""
    if not (place / "made").exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", "3.11", place], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", place, *packages], check=True)
        (place / "made").touch()
    return place / "bin"

"""What the harness of containers keeps in the user's cache, and commands that it runs."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from deploy.local import debian


def cache(name: str) -> Path:
    """A directory of the user's cache; made where it is missing."""
    place = debian.cache() / name
    place.mkdir(parents=True, exist_ok=True)
    return place


def run(argv: Iterable[object], *, timeout: float = 600, **options: object) -> str:
    """What a command prints. Raises RuntimeError with the end of what it complains of."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout, **options)
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).splitlines()[-20:])
        raise RuntimeError(f"{' '.join(words[:4])} … ended with {done.returncode}:\n{last}")
    return done.stdout

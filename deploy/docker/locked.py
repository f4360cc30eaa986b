"""The part of a lock that some packages need, with its hashes: `locked.py LOCK < names > part`.

A name that the lock does not have ends the build: nothing is installed that it does not vouch for.
"""

import re
import sys
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def normal(name: str) -> str:
    """One spelling of a package's name, as the index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: str) -> dict[str, str]:
    """The lock's entries by name, each with the lines of its hashes."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", lock):
        name = _NAME.match(entry)
        if name:
            found[normal(name[0])] = entry.rstrip("\n")
    return found


def part(lock: str, names: str) -> str:
    """The entries of the packages in `names`, a requirement a line; KeyError names one that is missing."""
    lines = (line.strip() for line in names.splitlines())
    wanted = {normal(found[0]) for line in lines if (found := _NAME.match(line))}
    there = entries(lock)
    return "".join(there[name] + "\n" for name in sorted(wanted))


if __name__ == "__main__":
    sys.stdout.write(part(Path(sys.argv[1]).read_text(), sys.stdin.read()))

"""The entry points of every image; `docker run IMAGE worker`, `args: ["worker"]`.

| argument | runs |
|---|---|
| `api` | the routes of the service, or the gateway |
| `worker` | relay and consumers of the service |
| `all` | both in one process |
| `tasks`, `beat` | Celery's worker and scheduler for the services in the image |
| `migrate` | the migrations of the services in the image, to the end |
| `health` | asks the process in this container whether it is ready: exit 0 or 1 |
| a module, as in `services.identity.admin` | that command with the arguments that follow |

Variables may come as files of their name in `/run/secrets`.
"""

import http.client
import os
import runpy
import signal
import sys
import time
from pathlib import Path

SERVICE = os.environ.get("LECTERN_IMAGE", "")
PORT = "8000"
# A container has this directory to itself, also where its root is read-only.
READY = "/dev/shm/lectern-ready"  # noqa: S108
SECRETS = Path("/run/secrets")
OLDEST = 60.0
_SERVE = "libs.common.service.serve"
_TASKS = "libs.common.service.tasks"


def commands() -> dict[str, list[str]]:
    """Module and arguments by entry point."""
    if SERVICE == "gateway":
        return {"api": ["gateway"]}
    found = {
        "tasks": [_TASKS, "worker"],
        "beat": [_TASKS, "beat"],
        "migrate": ["libs.common.data.migrations", "upgrade"],
    }
    if SERVICE != "worker":  # that image has all services
        found["migrate"].append(SERVICE)
        found |= {
            "api": [_SERVE, SERVICE, "--api"],
            "worker": [_SERVE, SERVICE, "--worker"],
            "all": [_SERVE, SERVICE],
        }
    return found


def read_secrets(place: Path = SECRETS) -> None:
    """A file of this directory is the variable of its name, unless the environment has it."""
    for path in place.glob("[A-Z]*_*"):
        if path.is_file():
            os.environ.setdefault(path.name, path.read_text().rstrip("\n"))


def port() -> int:
    return int(os.environ.get(f"{SERVICE.upper()}_PORT", PORT))


def health() -> int:
    """Of Celery's processes by the age of their file, of all others by `/readyz`."""
    try:
        age = time.time() - Path(READY).stat().st_mtime
    except FileNotFoundError:
        connection = http.client.HTTPConnection("127.0.0.1", port(), timeout=4)
        try:
            connection.request("GET", "/readyz")
            return int(connection.getresponse().status != 200)
        except OSError:
            return 1
    return int(age > OLDEST)


def main() -> None:
    name, *arguments = sys.argv[1:] or ["api"]
    if name == "health":
        sys.exit(health())
    known = commands()
    if name not in known and "." not in name:
        sys.exit(f"This image has no {name!r}: choose {', '.join([*known, 'health'])} or a module.")
    # The first process of a container has no default handlers: without this, SIGTERM would do nothing until
    # the program sets its own, and uvicorn could not end by raising it again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    read_secrets()
    os.environ.setdefault("LECTERN_HOST", "0.0.0.0")
    os.environ.setdefault(f"{SERVICE.upper()}_PORT", PORT)
    if name in ("tasks", "beat"):
        os.environ.setdefault("LECTERN_READY_FILE", READY)
    module, *given = known.get(name, [name])
    sys.argv = [module, *given, *arguments]
    sys.path[0] = str(Path(__file__).resolve().parent)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

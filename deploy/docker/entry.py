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

import os
import runpy
import signal
import sys
from pathlib import Path

from libs.common.service import health

SERVICE = os.environ.get("LECTERN_IMAGE", "")
SECRETS = Path("/run/secrets")
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


def main() -> None:
    name, *arguments = sys.argv[1:] or ["api"]
    if name == "health":
        sys.exit(not health.is_ready())
    known = commands()
    if name not in known and "." not in name:
        sys.exit(f"This image has no {name!r}: choose {', '.join([*known, 'health'])} or a module.")
    # The first process of a container has no default handlers: without this, SIGTERM would do nothing until
    # the program sets its own, and uvicorn could not end by raising it again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    read_secrets()
    os.environ.setdefault("LECTERN_HOST", "0.0.0.0")
    os.environ.setdefault(f"{SERVICE.upper()}_PORT", health.PORT)
    if name in ("tasks", "beat"):
        os.environ.setdefault("LECTERN_READY_FILE", health.READY)
    module, *given = known.get(name, [name])
    sys.argv = [module, *given, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

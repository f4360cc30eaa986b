"""The manifests as they are applied: `kubectl kustomize` of each overlay, once a process."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.local.project import CHECKOUT

Json = dict[str, Any]
OVERLAYS = ("development", "staging", "production")
WORKLOADS = ("Deployment", "StatefulSet", "Job")


def tool(name: str) -> str:
    """A program that a wheel has put beside Python."""
    return str(Path(sys.executable).parent / name)


def overlay_path(overlay: str) -> Path:
    return CHECKOUT / "deploy" / "k8s" / "overlays" / overlay


@cache
def text(overlay: str) -> str:
    return kustomize(overlay_path(overlay))


def kustomize(path: Path) -> str:
    """Raises RuntimeError with what kustomize says."""
    argv = [tool("kubectl"), "kustomize", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{path.name}: {done.stderr.strip()}")
    return done.stdout


@cache
def documents(overlay: str) -> tuple[Json, ...]:
    return tuple(each for each in yaml.load_all(text(overlay), yaml.CSafeLoader) if each)


def of_kind(overlay: str, *kinds: str) -> list[Json]:
    return [each for each in documents(overlay) if each["kind"] in kinds]


def name(manifest: Json) -> str:
    return str(manifest["metadata"]["name"])


def pod_of(workload: Json) -> Json:
    """The template of its pods: labels and spec."""
    template: Json = workload["spec"]["template"]
    return template


def containers(workload: Json) -> list[Json]:
    """Of its pods, those that run first included."""
    spec = pod_of(workload)["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def ours(overlay: str, *kinds: str) -> list[Json]:
    """Without the backing services."""
    return [
        each
        for each in of_kind(overlay, *kinds)
        if each["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") == "lectern"
    ]

"""The programs of a Kubernetes cluster, built from the Go module proxy once a user.

No registry has them ready-made. `python -m tests.kubernetes.build [kube|kwok|…]` builds what is missing
(about 28 CPU-minutes for all, once) into ~/.cache/lectern/kubernetes-<version>/; what is there is
verified by its `--version` and used.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

VERSION = "1.37.2"
KWOK = "0.8.0"
COREDNS = "1.15.0"
ROUTER = "2.1.0"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
SOURCES = Path(__file__).parent / "go"


class BuildError(Exception):
    """Something that this machine lacks, with what to do about it."""


def cache() -> Path:
    """Where the built programs are kept."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "lectern" / f"kubernetes-{VERSION}"


def program(name: str) -> Path:
    """The path of a program, which is built first where it is missing."""
    owner = "kube" if name in PROGRAMS else name
    path = cache() / name
    if not _says_its_version(path, owner):
        _build(owner)
        if not _says_its_version(path, owner):
            raise BuildError(
                f"{path} does not say that it is the version wanted: delete it, and look at the build."
            )
    return path


def are_built(*names: str) -> bool:
    return all((cache() / name).exists() for name in names)


def kwok_stages() -> Path:
    """kwok's rules for fake nodes and pods: one file, the documents apart."""
    program("kwok")
    return cache() / "kwok-stages.yaml"


def _says_its_version(path: Path, owner: str) -> bool:
    if not path.exists():
        return False
    wanted = {"kube": VERSION, "kwok": KWOK, "coredns": COREDNS, "kube-router": ROUTER}[owner]
    flag = "-version" if owner == "coredns" else "--version"
    said = subprocess.run([path, flag], capture_output=True, text=True, check=False)
    return wanted in said.stdout + said.stderr


def _build(owner: str) -> None:
    builders: dict[str, Callable[[Path, Path], None]] = {
        "kube": _kube, "kwok": _kwok, "coredns": _coredns, "kube-router": _router,
    }  # fmt: skip
    if shutil.which("go") is None:
        raise BuildError("Go is missing, which builds Kubernetes: install Go 1.26 or newer.")
    cache().mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    print(f"{owner}: building, once a user …", flush=True)
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        built = Path(scratch) / owner
        builders[owner](Path(scratch), built)
        built.rename(cache() / owner)
    if owner == "kube":
        for name in PROGRAMS:
            link = cache() / name
            link.unlink(missing_ok=True)
            link.symlink_to("kube")
    print(f"{owner}: built in {time.monotonic() - started:.0f} s", flush=True)


def _kube(scratch: Path, target: Path) -> None:
    """One binary of five programs. A module of our own repeats the replacements of Kubernetes' go.mod, which
    Go honours in the main module alone."""
    source = _download("k8s.io/kubernetes", f"v{VERSION}")
    staging = f"v0.{VERSION.split('.', 1)[1]}"
    replaced = re.findall(
        r"^\s+(k8s\.io/[a-z-]+) => \./staging", (source / "go.mod").read_text(), re.MULTILINE
    )
    _write_module(
        scratch, "kube", f"k8s.io/kubernetes v{VERSION}", [f"{name} => {name} {staging}" for name in replaced]
    )
    # Without its version a server calls itself v0.0.0, and clients refuse it.
    major, minor = VERSION.split(".")[:2]
    named = f"-X k8s.io/component-base/version.gitVersion=v{VERSION}"
    numbers = (
        f"-X k8s.io/component-base/version.gitMajor={major} -X k8s.io/component-base/version.gitMinor={minor}"
    )
    _go(scratch, "build", "-trimpath", "-ldflags", f"-s -w {named} {numbers}", "-o", str(target), ".")


def _kwok(scratch: Path, target: Path) -> None:
    source = _download("sigs.k8s.io/kwok", f"v{KWOK}")
    flags = f"-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=v{KWOK}"
    _go(source, "build", "-trimpath", "-ldflags", flags, "-o", str(target), "./cmd/kwok")
    stages = [
        path.read_text().strip()
        for folder in ("pod/fast", "node/fast", "node/heartbeat-with-lease")
        for path in sorted((source / "kustomize" / "stage" / folder).glob("*.yaml"))
        if path.name != "kustomization.yaml"
    ]
    (cache() / "kwok-stages.yaml").write_text("\n---\n".join(stages) + "\n")


def _coredns(scratch: Path, target: Path) -> None:
    _write_module(scratch, "coredns", f"github.com/coredns/coredns v{COREDNS}")
    _go(scratch, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(target), ".")


def _router(_: Path, target: Path) -> None:
    source = _download("github.com/cloudnativelabs/kube-router/v2", f"v{ROUTER}")
    flags = f"-s -w -X github.com/cloudnativelabs/kube-router/v2/pkg/version.Version=v{ROUTER}"
    _go(source, "build", "-trimpath", "-ldflags", flags, "-o", str(target), "./cmd/kube-router")


def _write_module(directory: Path, name: str, requirement: str, replaced: Sequence[str] = ()) -> None:
    """A module of our own around `go/<name>/main.go`, with its sums."""
    lines = [
        f"module lectern.invalid/{name}",
        "go 1.26.0",
        "godebug default=go1.26",
        f"require {requirement}",
    ]
    lines += [f"replace {each}" for each in replaced]
    (directory / "go.mod").write_text("\n".join(lines) + "\n")
    shutil.copy(SOURCES / name / "main.go", directory)
    _go(directory, "mod", "tidy")


def _download(module: str, version: str) -> Path:
    answer = json.loads(_go(cache(), "mod", "download", "-json", f"{module}@{version}"))
    return Path(answer["Dir"])


def _go(directory: Path, *arguments: str) -> str:
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod" if arguments[0] == "mod" else ""}
    done = subprocess.run(
        ["go", *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"'go {' '.join(arguments[:2])}' failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def main() -> None:
    for name in sys.argv[1:] or ("kube-apiserver", "kwok", "coredns", "kube-router"):
        print(program("kube-apiserver" if name == "kube" else name))


if __name__ == "__main__":
    try:
        main()
    except BuildError as error:
        sys.exit(f"build: {error}")

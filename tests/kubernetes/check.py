"""`make deploy-check`: everything under deploy/ that can be held against its rules without a cluster.

Each step prints a line with what held and how long it took; the last line sums up. A step whose tool or file
is not here says so.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable

import kubernetes_validate
import yaml

from deploy.k8s.__main__ import stale
from deploy.local.debian import cache
from deploy.local.project import CHECKOUT, SetupError
from tests.kubernetes import crds
from tests.kubernetes.rendered import OVERLAYS, Json, documents, name, tool
from tests.observability import tools as observability

VERSION = "1.37"
DEPLOY = CHECKOUT / "deploy"
ALLOWED = ("DL3003", "DL3008", "DL4006")
"""Of hadolint: `cd` within one step, packages of Debian without a version, pipes without `pipefail`."""


class Failed(Exception):
    """A rule does not hold: what and where, a line each."""


class Skipped(Exception):
    """What is not here."""


def run(*argv: object) -> str:
    words = [str(word) for word in argv]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed((done.stdout + done.stderr).strip())
    return done.stdout


def generated() -> str:
    if wrong := stale():
        raise Failed(f"stale, run 'python -m deploy.k8s': {', '.join(wrong)}")
    return "manifests are what the tables of processes and edges say"


def kustomized() -> str:
    counts = [f"{overlay} {len(documents(overlay))}" for overlay in OVERLAYS]
    return f"objects: {', '.join(counts)}"


def schemas() -> str:
    """Each object against the schema of its kind; a kind without one is an error."""
    seen: dict[str, Json] = {}
    for overlay in OVERLAYS:
        for each in documents(overlay):
            seen.setdefault(yaml.dump(each, Dumper=yaml.CSafeDumper), each)
    wrong = [problem for each in seen.values() for problem in problems(each)]
    if wrong:
        raise Failed("\n".join(wrong))
    custom = sum(crds.is_custom(each) for each in seen.values())
    kinds = len(crds.definitions())
    return f"{len(seen) - custom} objects of Kubernetes {VERSION}, {custom} of {kinds} kinds of operators"


def problems(manifest: Json) -> list[str]:
    """What is wrong with an object of Kubernetes or of an operator."""
    if crds.is_custom(manifest):
        return crds.problems(manifest)
    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{manifest['kind']} {name(manifest)}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError:
        return [
            f"{manifest['kind']} {name(manifest)}: {manifest['apiVersion']} {manifest['kind']} is unknown"
        ]
    return []


def rules() -> str:
    out = run(
        sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "tests/kubernetes"
    )
    return out.strip().splitlines()[-1]


def dockerfiles() -> str:
    found = sorted(DEPLOY.rglob("Dockerfile*"))
    if not found:
        raise Skipped("there is no Dockerfile")
    allowed = [option for rule in ALLOWED for option in ("--ignore", rule)]
    run(tool("hadolint"), "--failure-threshold", "warning", *allowed, *found)
    return f"hadolint: {', '.join(str(path.relative_to(CHECKOUT)) for path in found)}"


def compose() -> str:
    """The schema always; Docker's own parser where it is."""
    path = CHECKOUT / "docker-compose.yml"
    if not path.exists():
        raise Skipped("there is no docker-compose.yml")
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path)
    plugins = sorted(cache().glob("debian-*/configuration/cli-plugins/docker-compose"))
    if not plugins:
        return "compose schema; docker compose is not here"
    every = [profile for each in ("demo", "observability", "bi", "ha") for profile in ("--profile", each)]
    files = ("-f", path, "--env-file", CHECKOUT / ".env.example")
    run(plugins[-1], *files, *every, "config", "--quiet", "--no-interpolate")
    return "compose schema and docker compose config"


def alerts() -> str:
    """promtool and amtool: syntax, rules that fire and stay quiet, routes that arrive."""
    try:
        return f"promtool and amtool: {observability.check_all()} cases of rules and routes"
    except AssertionError as error:
        raise Failed(str(error)) from error


STEPS: tuple[Callable[[], str], ...] = (
    generated,
    kustomized,
    schemas,
    rules,
    dockerfiles,
    compose,
    alerts,
)


def check(steps: Iterable[Callable[[], str]] = STEPS) -> int:
    started = time.monotonic()
    failed, skipped = [], []
    for step in steps:
        began = time.monotonic()
        label = step.__name__
        try:
            said = step()
        except Failed as error:
            failed.append(label)
            said = f"FAILED\n{error}"
        except (Skipped, SetupError) as reason:
            skipped.append(label)
            said = f"skipped: {reason}"
        print(f"{label:12} {time.monotonic() - began:5.1f} s  {said}", flush=True)
    seconds = f"{time.monotonic() - started:.0f} s"
    if failed:
        print(f"deploy-check: failed: {', '.join(failed)} ({seconds})")
        return 1
    without = f", skipped {', '.join(skipped)}" if skipped else ""
    print(f"deploy-check: everything under deploy/ holds{without} ({seconds})")
    return 0


if __name__ == "__main__":
    sys.exit(check())

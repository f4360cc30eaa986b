"""`make k8s-real`: the images of the suite as real pods, and what an operator's bad day brings.

The overlay `development` on two real nodes, against backing services of this machine: the story through the
gateway, the doctor, a roll-out of every deployment under load with a socket open, a drain, an out-of-memory
kill, kills at random, the books afterwards, and NetworkPolicies enforced. A step that does not hold is told
and the next one tried. Needs root, a Docker engine that has the images (`make images`), and the programs of
`tests.kubernetes.build`. Three things differ from the overlay: replicas of what serves people are two,
nothing is asked of ephemeral storage, which is not to be measured on every machine, and little processor
time is reserved, so that one node can hold everything while the other is drained.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import yaml

from deploy.k8s.processes import HTTP_PORT, PROCESSES
from deploy.local.project import CHECKOUT, GENEROUS
from libs.common.runtime.settings import SERVICES
from tests.conftest import run_module
from tests.containers.engine import engine
from tests.containers.exports import export
from tests.e2e.test_story import Story
from tests.kubernetes import build
from tests.kubernetes.backing import Backing, ClusterProject, backing_services
from tests.kubernetes.cluster import NAMESPACE, Cluster, ClusterError, control_plane
from tests.kubernetes.diagnosis import diagnose
from tests.kubernetes.enforcement import enforce
from tests.kubernetes.listener import listening
from tests.kubernetes.load import CUT, Load, done_once, load
from tests.kubernetes.node import NODES, Machine, real_nodes
from tests.kubernetes.rendered import Json, kustomize, name
from tests.support import PASSWORD, Stage

IMAGES = (*SERVICES, "gateway", "worker")
CHAPTERS = (
    "people", "publish", "enrol", "learn", "take_quiz", "hand_in", "certificate", "discuss", "get_help",
    "numbers", "leave",
)  # fmt: skip
KILL_EVERY = (2.0, 6.0)
# Many small processes together exceed the limit of a container; the kernel ends the largest, the first one.
GROW = """
import os, time
open("/proc/1/oom_score_adj", "w").write("1000")
for _ in range(40):
    if os.fork() == 0:
        kept = bytearray(20 * 2**20)
        time.sleep(20)
        os._exit(0)
time.sleep(20)
"""


@dataclass
class Run:
    """What the steps work on."""

    cluster: Cluster
    project: ClusterProject
    tag: str
    story: Story | None = None
    steps: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def told(self) -> Story:
        assert self.story is not None
        return self.story

    async def step(self, what: str, action: Callable[[], Awaitable[str]]) -> None:
        """One line of the report. Without a story nothing else can be tried, and its failure ends the run."""
        began = time.monotonic()
        try:
            said = await action()
            self.steps += 1
        except (ClusterError, AssertionError, TimeoutError, subprocess.TimeoutExpired) as error:
            if self.story is None:
                raise
            self.failed.append(what)
            said = f"failed: {error!r}"
            explain(self.cluster)
        print(f"{time.monotonic() - began:6.1f} s  {what}: {said}", flush=True)


def main(tag: str, minutes: float) -> int:
    """1 and the reason at the first step that does not hold."""
    began = time.monotonic()
    try:
        for program in ("kube-apiserver", "coredns", "kube-router"):
            build.program(program)
        with tempfile.TemporaryDirectory(prefix="lectern-k8s-") as scratch:
            run = _run(Path(scratch), tag, minutes)
    except (ClusterError, build.BuildError, AssertionError, TimeoutError) as error:
        print(f"k8s-real: failed: {error}")
        return 1
    seconds = f"{time.monotonic() - began:.0f} s"
    if run.failed:
        print(f"k8s-real: failed: {', '.join(run.failed)}; {run.steps} steps held ({seconds})")
        return 1
    print(f"k8s-real: {run.steps} steps held with real pods on Kubernetes {build.VERSION} ({seconds})")
    return 0


def _run(scratch: Path, tag: str, minutes: float) -> Run:
    with control_plane(scratch) as cluster, real_nodes(cluster) as machine:
        print(f"        {len(NODES)} nodes are ready", flush=True)
        load_images(machine, tag)
        print(f"        {len(IMAGES)} images are on each", flush=True)
        files = scratch / "files"
        files.mkdir()
        files.chmod(0o777)
        with backing_services(scratch / "suite") as backing:
            return asyncio.run(_steps(cluster, backing, tag, minutes, files))


def load_images(machine: Machine, tag: str) -> None:
    """The next release is the same code under another tag."""
    with engine() as docker:
        for node in machine.nodes:
            node.load(docker.environment, [f"lectern/{each}:{tag}" for each in IMAGES])
    for node in machine.nodes:
        for each in IMAGES:
            image = f"docker.io/lectern/{each}:{tag}"
            node.ctr("images", "tag", "--force", image, f"{image}-next")


async def _steps(cluster: Cluster, backing: Backing, tag: str, minutes: float, files: Path) -> Run:
    run = Run(cluster, backing.project, tag)
    await run.step("apply, migrations, all pods ready", lambda: start(run, backing, files))
    stage = Stage(run.project, uuid4().hex[:8])
    try:
        await run.step("the story through the gateway", lambda: tell(run, stage))
        await run.step("exports", lambda: export(run.told.teacher, run.told.ada))
        await run.step("doctor", lambda: diagnose(cluster, run.project))
        await run.step("roll-out of every deployment under load", lambda: roll(run))
        await run.step("drain of each node under load", lambda: drain(run))
        await run.step("one process out of memory", lambda: out_of_memory(run))
        await run.step(f"pods killed at random for {minutes:g} minutes", lambda: kill(run, minutes))
        await run.step("another story", lambda: tell(run, Stage(run.project, uuid4().hex[:8])))
        await run.step("audit", lambda: audit(run))
        await run.step("NetworkPolicies, enforced", lambda: enforce(cluster))
    except BaseException:
        explain(cluster)
        raise
    finally:
        await stage.close()
    return run


@contextmanager
def release(tag: str) -> Iterator[Path]:
    """A copy of the development overlay for these images, with limits for a machine instead of people."""
    with tempfile.TemporaryDirectory(prefix="lectern-overlay-") as scratch:
        copy = Path(scratch) / "k8s"
        shutil.copytree(CHECKOUT / "deploy" / "k8s", copy)
        overlay = copy / "overlays" / "development"
        values = overlay / "release.yaml"
        text = (
            values.read_text()
            .replace("tag: 0.1.0", f"tag: {tag}")
            .replace("name: 0-1-0", f"name: {tag.replace('.', '-')}")
        )
        values.write_text(text)
        with (copy / "base" / "services.env").open("a") as file:
            file.writelines(f"{key}={value}\n" for key, value in GENEROUS.items())
        with (overlay / "lectern.env").open("a") as file:
            file.write("IDENTITY_MAIL_INTERVAL=30\n")
        yield overlay


def manifests(tag: str) -> list[Json]:
    """As the overlay has them, but for what the head of this file says."""
    with release(tag) as overlay:
        made: list[Json] = [each for each in yaml.safe_load_all(kustomize(overlay)) if each]
    serving = {process.name for process in PROCESSES if process.serves}
    for each in made:
        if each["kind"] == "HorizontalPodAutoscaler":
            each["spec"]["minReplicas"] = 2
        if each["kind"] == "Deployment" and name(each) in serving:
            each["spec"]["replicas"] = 2
        if each["kind"] in ("Deployment", "Job"):
            spec = each["spec"]["template"]["spec"]
            for container in (*spec["containers"], *spec.get("initContainers", ())):
                for bounds in container["resources"].values():
                    bounds.pop("ephemeral-storage", None)
                container["resources"]["requests"]["cpu"] = "10m"
    return made


async def start(run: Run, backing: Backing, files: Path) -> str:
    made = manifests(run.tag)
    run.cluster.apply([each for each in made if each["kind"] == "Namespace"])
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "files"},
        "spec": {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteMany"],
            "hostPath": {"path": str(files)},
        },
    }
    run.cluster.apply([volume, *backing.manifests()])
    run.cluster.apply(made)
    jobs = ("wait", "--for=condition=Complete", "--timeout=300s", "jobs", "--all", "-n", NAMESPACE)
    await asyncio.to_thread(run.cluster.kubectl, *jobs, timeout=310)
    await ready(run)
    address = address_of(run.cluster, "gateway")
    extra = {
        **run.project.extra,
        "LECTERN_JWKS_URL": f"{address_of(run.cluster, 'identity')}/.well-known/jwks.json",
    }
    run.project = replace(run.project, gateway=address, extra=extra)
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{address}/readyz")
    assert answer.status_code == 200, answer.text
    return f"{len(run.cluster.get('pods'))} pods, {len(run.cluster.get('jobs'))} Jobs"


def address_of(cluster: Cluster, service: str) -> str:
    """By which the machine reaches a Service, through kube-proxy."""
    (found,) = cluster.get("service", service)
    return f"http://{found['spec']['clusterIP']}:{HTTP_PORT}"


async def ready(run: Run, timeout: int = 400) -> None:
    for each in run.cluster.get("deployments"):
        status = ("rollout", "status", f"deployment/{name(each)}", "-n", NAMESPACE, f"--timeout={timeout}s")
        await asyncio.to_thread(run.cluster.kubectl, *status, timeout=timeout + 20)


async def tell(run: Run, stage: Stage) -> str:
    """One learner's story as in tests/e2e, with the people of its own."""
    story = Story()
    story.stage = stage
    visitor = stage.visitor("admin")
    made = await asyncio.to_thread(
        run_module,
        run.project,
        "services.identity.admin",
        "create",
        "--email",
        visitor.email,
        "--password",
        PASSWORD,
    )
    assert made.returncode == 0, made.stderr
    story.admin = await visitor.login()
    for chapter in CHAPTERS:
        try:
            await getattr(story, chapter)()
        except Exception as error:
            raise AssertionError(f"chapter {chapter}: {error!r}") from error
    run.story = story
    return f"{len(CHAPTERS)} chapters"


async def roll(run: Run) -> str:
    """To the next release: its Jobs first, then one deployment after the other."""
    made = manifests(f"{run.tag}-next")
    jobs = [each for each in made if each["kind"] == "Job"]
    async with listening(run.told) as listener, load(run.told) as found:
        await asyncio.to_thread(run.cluster.apply, jobs)
        for each in made:
            if each["kind"] == "Deployment":
                await asyncio.to_thread(run.cluster.apply, [each])
                status = ("rollout", "status", f"deployment/{name(each)}", "-n", NAMESPACE, "--timeout=200s")
                await asyncio.to_thread(run.cluster.kubectl, *status, timeout=220)
    no_failure(found)
    count = sum(each["kind"] == "Deployment" for each in made)
    return f"{count} deployments, {found.said()}; {listener.said()}; {await audit(run)}"


def no_failure(found: Load) -> None:
    shown = "\n".join(found.failed[:10])
    assert not found.failed, f"{found.said()}:\n{shown}"
    assert found.writes > 20, found.said()


async def drain(run: Run) -> str:
    """One node after the other is emptied within the budgets, while the other takes its pods."""
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=400s")
    evicted = 0
    async with load(run.told) as found:
        for node in NODES:
            done = await asyncio.to_thread(run.cluster.kubectl, "drain", node, *options, timeout=420)
            evicted += done.count("evicted")
            await asyncio.to_thread(run.cluster.kubectl, "uncordon", node)
            await ready(run)
    no_failure(found)
    return f"{evicted} pods evicted, {found.said()}; {await audit(run)}"


async def out_of_memory(run: Run) -> str:
    """A worker grows beyond its limit: it alone is killed, and starts again."""
    selector = "app.kubernetes.io/name=forum,app.kubernetes.io/component=worker"
    (pod,) = run.cluster.get("pods", "-l", selector)
    before = pod["status"]["containerStatuses"][0]["restartCount"]
    grow = ("exec", "-n", NAMESPACE, name(pod), "-c", "worker", "--", "python", "-c", GROW)
    await asyncio.to_thread(run.cluster.try_kubectl, *grow, timeout=60)

    def restarted() -> bool:
        (now,) = run.cluster.get("pod", name(pod))
        status = now["status"]["containerStatuses"][0]
        reason = status.get("lastState", {}).get("terminated", {}).get("reason")
        return status["restartCount"] > before and reason == "OOMKilled" and status["ready"]

    await asyncio.to_thread(
        run.cluster.eventually, f"{name(pod)} was OOMKilled and is ready again", restarted, 120
    )
    return f"{name(pod)} was OOMKilled, and is ready again"


async def kill(run: Run, minutes: float) -> str:
    """SIGKILL to the first process of one container after the other, while people work."""
    until, count = time.monotonic() + minutes * 60, 0
    rng = random.Random()
    for person in (run.told.ada, run.told.teacher):
        await person.login()
    async with load(run.told, patient=True) as found:
        while time.monotonic() < until:
            await asyncio.sleep(rng.uniform(*KILL_EVERY))
            if pids := await asyncio.to_thread(first_processes):
                os.kill(rng.choice(pids), signal.SIGKILL)
                count += 1
    await ready(run)
    assert not found.given_up, f"{len(found.given_up)} never came about: {found.given_up[:5]}"
    unexpected = found.kinds.keys() - {CUT, "503 service_unavailable", "503 service_timeout"}
    assert not unexpected, found.failed
    made = await asyncio.to_thread(done_once, run.project, found)
    return (
        f"{count} kills; {found.said()} at first ({found.kinds_said()}), and none when it was repeated; "
        f"{made} things made, each once"
    )


def first_processes() -> list[int]:
    """Of the suite's containers: what runs an image's entry point in a pod's control group."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            command = (path / "cmdline").read_bytes()
            groups = (path / "cgroup").read_text()
        except OSError:
            continue
        if b"/app/entry.py" in command and b"health" not in command and "/lectern-" in groups:
            found.append(int(path.name))
    return found


async def audit(run: Run) -> str:
    """Published = applied + parked at every consumer."""
    done: subprocess.CompletedProcess[str] | None = None
    for _ in range(6):
        done = await asyncio.to_thread(run_module, run.project, "libs.common.bus.audit")
        if done.returncode == 0:
            return done.stdout.strip().splitlines()[-1]
    assert done is not None
    raise AssertionError(done.stdout[-3000:] + done.stderr[-1000:])


def explain(cluster: Cluster) -> None:
    """What is not ready, and the last lines of its log, for who looks at a failed run."""
    done = cluster.try_kubectl("get", "pods", "-n", NAMESPACE, "-o", "wide")
    print(done.stdout)
    for pod in cluster.get("pods"):
        status: Any = pod["status"]
        good = status["phase"] == "Succeeded" or all(
            each["ready"] for each in status.get("containerStatuses", ())
        )
        if not good or status["phase"] == "Pending":
            print(cluster.try_kubectl("describe", "pod", name(pod), "-n", NAMESPACE).stdout[-1500:])
            log = cluster.try_kubectl("logs", name(pod), "-n", NAMESPACE, "--all-containers", "--tail=15")
            print(log.stdout[-3000:])

"""`make k8s-test`: every overlay on a real control plane with fake nodes (kwok): what the API server, the
controllers and the scheduler make of the manifests. No container runs; `real` is for that.

A fake node ends a container that waits for the schema when the migration's Job is complete, as the real one
does; everything else on it is ready at once.
"""

import json
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.k8s.__main__ import random_secrets
from deploy.k8s.processes import PROCESSES
from deploy.local.project import CHECKOUT
from libs.common.runtime.settings import SERVICES
from tests.kubernetes import build, crds
from tests.kubernetes.cluster import NAMESPACE, Cluster, ClusterError, control_plane
from tests.kubernetes.rendered import OVERLAYS, kustomize, name, of_kind, text

Json = dict[str, Any]
ZONES = ("a", "b", "c")
NODES = [f"node-{zone}{number}" for zone in ZONES for number in (1, 2)]
MIGRATED = "lectern/schema-is-there"
PLANTED = {
    "a field that is misspelt": ("HorizontalPodAutoscaler", ("spec", "maxReplica"), 3),
    "a wrong type": ("KafkaTopic", ("spec", "partitions"), "six"),
    "a quantity that is none": ("ResourceQuota", ("spec", "hard", "pods"), "1Gx"),
    "a version that is gone": ("PodDisruptionBudget", ("apiVersion",), "policy/v1beta1"),
}


class Steps:
    """Prints each step with its seconds."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.count = 0

    def __call__(self, what: str, step: Callable[[], str | None]) -> None:
        began = time.monotonic()
        said = step()
        self.count += 1
        print(f"{time.monotonic() - began:6.1f} s  {what}{': ' + said if said else ''}", flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


def main() -> int:
    """Builds what is missing, then runs all steps; 1 and the reason at the first that does not hold."""
    steps = Steps()
    try:
        for program in ("kube-apiserver", "kwok"):
            build.program(program)
        with (
            tempfile.TemporaryDirectory(prefix="lectern-k8s-") as scratch,
            control_plane(Path(scratch)) as cluster,
        ):
            print(f"{steps.seconds:6.1f} s  control plane of Kubernetes {build.VERSION}", flush=True)
            run(cluster, steps)
    except (ClusterError, build.BuildError, AssertionError) as error:
        print(f"k8s-test: failed: {error}")
        return 1
    print(f"k8s-test: {steps.count} steps held on Kubernetes {build.VERSION} ({steps.seconds:.0f} s)")
    return 0


def run(cluster: Cluster, steps: Steps) -> None:
    steps("definitions of operators", lambda: define(cluster))
    steps("fake nodes in three zones", lambda: add_nodes(cluster))
    cluster.apply(of_kind("production", "Namespace"))
    for overlay in OVERLAYS:
        steps(f"strict dry run of {overlay}", lambda overlay=overlay: dry_run(cluster, overlay))  # type: ignore[misc]
    steps("planted faults are refused", lambda: refuse_planted(cluster))
    steps("a pod that is not restricted is refused", lambda: refuse_privileged(cluster))
    with fake_waiting(cluster):
        for overlay in OVERLAYS:
            steps(f"apply {overlay}, all roll out", lambda overlay=overlay: roll_out(cluster, overlay))  # type: ignore[misc]
            if overlay != OVERLAYS[-1]:
                steps(f"take {overlay} away", lambda: clear(cluster))
        steps("pods waited for their migration", lambda: waited(cluster))
        steps("replicas lie in several zones", lambda: spread(cluster))
        steps("another value of a setting rolls pods, not Jobs", lambda: change_setting(cluster))
        steps("no budget lets two pods go at once", lambda: evict(cluster))
        steps("drain of every node", lambda: drain(cluster))
        steps("the quota holds", lambda: exceed_quota(cluster))
        steps("upgrade to 0.2.0", lambda: change_release(cluster, "0.2.0"))
        steps("back to 0.1.0", lambda: change_release(cluster, "0.1.0"))


def define(cluster: Cluster) -> str:
    definitions = list(crds.definitions().values())
    cluster.apply(definitions)
    names = [f"crd/{name(each)}" for each in definitions]
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    return f"{len(definitions)} established"


def add_nodes(cluster: Cluster) -> str:
    cluster.apply([*map(_node, NODES), *map(_volume, range(len(OVERLAYS)))])
    stages = cluster.directory / "stages.yaml"
    stages.write_text(_stages(build.kwok_stages().read_text()))
    cluster.start(
        "kwok", build.program("kwok"), f"--kubeconfig={cluster.kubeconfig}", "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", f"--config={stages}",
        "--node-lease-duration-seconds=40", "--cidr=10.0.0.1/24", "--server-address=127.0.0.1:0",
        environment={"PATH": "/usr/bin:/bin", "HOME": str(cluster.directory)},
    )  # fmt: skip
    cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"node/{each}" for each in NODES))
    return f"{len(NODES)} ready"


def _node(node: str) -> Json:
    capacity = {"cpu": "32", "memory": "128Gi", "pods": "110", "ephemeral-storage": "500Gi"}
    zone = node.removeprefix("node-")[0]
    labels = {"kubernetes.io/hostname": node, "topology.kubernetes.io/zone": zone}
    metadata = {"name": node, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "status": {"allocatable": capacity, "capacity": capacity},
    }


def _volume(number: int) -> Json:
    """For the one claim that each overlay has; a claim that is gone does not give its volume back."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"volume-{number}"},
        "spec": {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "hostPath": {"path": "/nowhere"},
        },
    }


def _stages(given: str) -> str:
    """kwok's own; but a pod that waits for its schema is not ready before it is marked."""
    made = []
    for stage in yaml.safe_load_all(given):
        if stage["metadata"]["name"] != "pod-ready":
            made.append(stage)
            continue
        selector = stage["spec"]["selector"]["matchExpressions"]
        waits = {"key": ".spec.initContainers.[].name", "operator": "DoesNotExist"}
        marked = {"key": f'.metadata.annotations["{MIGRATED}"]', "operator": "Exists"}
        for suffix, condition in (("", waits), ("-migrated", marked)):
            another = json.loads(json.dumps(stage))
            another["metadata"]["name"] += suffix
            another["spec"]["selector"]["matchExpressions"] = [*selector, condition]
            made.append(another)
    return yaml.safe_dump_all(made)


@contextmanager
def fake_waiting(cluster: Cluster) -> Iterator[None]:
    """Plays `migrations wait`: marks the pods of a release once its migration is complete."""
    over = threading.Event()

    def play() -> None:
        while not over.wait(0.5):
            jobs = {name(job): job["status"].get("succeeded", 0) for job in cluster.get("jobs")}
            marked: dict[str, list[str]] = {}
            for pod in cluster.get("pods"):
                if "initContainers" not in pod["spec"] or MIGRATED in pod["metadata"].get("annotations", {}):
                    continue
                tag = pod["spec"]["containers"][0]["image"].rpartition(":")[2].replace(".", "-")
                job = f"migrate-{pod['metadata']['labels']['app.kubernetes.io/name']}-{tag}"
                if jobs.get(job):
                    marked.setdefault(job, []).append(name(pod))
            for job, pods in marked.items():
                cluster.try_kubectl("annotate", "pods", "-n", NAMESPACE, *pods, f"{MIGRATED}={job}")

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def dry_run(cluster: Cluster, overlay: str) -> str:
    done = cluster.apply(text(overlay), "--dry-run=server")
    return f"{len(done.splitlines())} objects"


def refuse_planted(cluster: Cluster) -> str:
    for what, (kind, path, value) in PLANTED.items():
        manifest = json.loads(json.dumps(of_kind("production", kind)[0]))
        place = manifest
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        try:
            cluster.apply([manifest], "--dry-run=server")
        except ClusterError:
            continue
        raise ClusterError(f"{what} was accepted: {kind} {'.'.join(path)}={value}")
    return ", ".join(PLANTED)


def refuse_privileged(cluster: Cluster) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "root", "image": "root:1"}]},
    }
    _must_refuse(cluster, pod, "violates PodSecurity")


def _must_refuse(cluster: Cluster, manifest: Json, why: str) -> None:
    flags = ("--server-side", "--validate=strict", "--dry-run=server", "-f", "-")
    answer = cluster.try_kubectl("apply", *flags, stdin=yaml.safe_dump(manifest))
    if not answer.returncode:
        raise ClusterError(f"accepted, although it {why}")
    if why not in answer.stderr:
        raise ClusterError(f"refused for another reason: {answer.stderr}")


def roll_out(cluster: Cluster, overlay: str) -> str:
    if overlay == "development":  # the store of the others brings theirs
        cluster.apply(
            [
                secret | {"metadata": {**secret["metadata"], "namespace": NAMESPACE}}
                for secret in random_secrets()
            ]
        )
    cluster.apply(text(overlay))
    return complete(cluster)


def complete(cluster: Cluster) -> str:
    """All Jobs are done and all Deployments and StatefulSets are as they are wanted."""
    cluster.kubectl(
        "wait", "--for=condition=Complete", "--timeout=120s", "jobs", "--all", "-n", NAMESPACE, timeout=150
    )
    kinds = "deployments,statefulsets"
    names = cluster.kubectl("get", kinds, "-n", NAMESPACE, "-o", "name").split()
    for each in names:
        cluster.kubectl("rollout", "status", each, "-n", NAMESPACE, "--timeout=180s", timeout=200)
    return f"{len(names)} workloads, {len(cluster.get('pods'))} pods, {len(cluster.get('jobs'))} Jobs"


def clear(cluster: Cluster) -> None:
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait", "--timeout=120s", timeout=150)


def waited(cluster: Cluster) -> str:
    """Every pod with a schema became ready after the Job of its release was complete."""
    done = {name(job): job["status"]["completionTime"] for job in cluster.get("jobs")}
    count = 0
    for pod in cluster.get("pods"):
        job = pod["metadata"].get("annotations", {}).get(MIGRATED)
        if job:
            ready = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
            assert ready["lastTransitionTime"] >= done[job], f"{name(pod)} was ready before {job}"
            count += 1
    assert count >= 3 * len(SERVICES), count
    return f"{count} pods"


def spread(cluster: Cluster) -> str:
    zones: dict[str, set[str]] = {}
    for pod in cluster.get("pods"):
        owner = pod["metadata"]["labels"].get("app.kubernetes.io/name", "")
        part = pod["metadata"]["labels"].get("app.kubernetes.io/component", "")
        if node := pod["spec"].get("nodeName"):
            zones.setdefault(f"{owner}-{part}".rstrip("-"), set()).add(node.removeprefix("node-")[0])
    for process in PROCESSES:
        if process.serves:
            assert len(zones[process.name]) > 1, f"{process.name} lies in one zone"
    return f"{sum(len(each) > 1 for each in zones.values())} processes in two or three"


@contextmanager
def edited(changes: dict[str, tuple[str, str]]) -> Iterator[Path]:
    """A copy of the manifests in which files of the production overlay have another text."""
    with tempfile.TemporaryDirectory(prefix="lectern-overlay-") as scratch:
        copy = Path(scratch) / "k8s"
        shutil.copytree(CHECKOUT / "deploy" / "k8s", copy)
        overlay = copy / "overlays" / "production"
        for file, (old, new) in changes.items():
            before = (overlay / file).read_text()
            assert old in before, f"{file} has no {old!r}"
            (overlay / file).write_text(before.replace(old, new))
        yield overlay


def change_setting(cluster: Cluster) -> str:
    before = {name(each): each["metadata"]["generation"] for each in cluster.get("deployments")}
    with edited({"lectern.env": ("learn.example.org", "learn2.example.org")}) as overlay:
        cluster.apply(kustomize(overlay))
    complete(cluster)
    after = {name(each): each["metadata"]["generation"] for each in cluster.get("deployments")}
    assert all(after[each] > before[each] for each in before), "some were not rolled"
    return f"{len(after)} deployments"


def evict(cluster: Cluster) -> str:
    """The first eviction of each Deployment is granted, the second refused until the first is made good."""
    refused = 0
    for deployment in cluster.get("deployments"):
        selector = deployment["spec"]["selector"]["matchLabels"]
        wanted = ",".join(f"{key}={value}" for key, value in selector.items())
        pods = [
            pod for pod in cluster.get("pods", "-l", wanted) if "deletionTimestamp" not in pod["metadata"]
        ]
        answers = evict_at_once(cluster, [name(pod) for pod in pods[:2]])
        assert answers[0].is_success, answers[0].text
        if len(answers) > 1:
            assert answers[1].status_code == 429, f"{name(deployment)}: {answers[1].text}"
            assert "would violate the pod's disruption budget" in answers[1].text
            refused += 1
    complete(cluster)
    return f"{refused} second evictions refused"


def evict_at_once(cluster: Cluster, pods: list[str]) -> list[httpx.Response]:
    """One right after the other: a fake pod is made good within a fraction of a second."""
    answers = []
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the server of this machine
    context.load_cert_chain(cluster.certificates.admin, cluster.certificates.admin_key)
    with httpx.Client(base_url=cluster.server, verify=context) as client:
        client.get("/readyz")
        for pod in pods:
            metadata = {"name": pod, "namespace": NAMESPACE}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
            answers.append(client.post(path, json=body))
    return answers


def drain(cluster: Cluster) -> str:
    """Node by node, as for an upgrade of the cluster; no Deployment is ever without a pod that serves."""
    least = _Least(cluster, "ready")
    with least:
        for node in NODES:
            cluster.kubectl(
                "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s", timeout=260
            )
            cluster.kubectl("uncordon", node)
    complete(cluster)
    served = {process.name for process in PROCESSES if process.serves}
    empty = sorted(each for each in served if not least.seen.get(each, 0))
    assert not empty, f"without a pod for a moment: {', '.join(empty)}"
    return f"{len(NODES)} nodes, every API and the gateway had a pod at all times"


class _Least:
    """The fewest replicas that each Deployment had while this was open: `available`, or only `ready`, which
    is what a budget counts."""

    def __init__(self, cluster: Cluster, which: str = "available") -> None:
        self._field = f"{which}Replicas"
        self.seen: dict[str, int] = {}
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.is_set():
            for each in self._cluster.get("deployments"):
                count = each["status"].get(self._field, 0)
                self.seen[name(each)] = min(self.seen.get(name(each), count), count)
            self._over.wait(0.1)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def exceed_quota(cluster: Cluster) -> None:
    pod = json.loads(json.dumps(of_kind("production", "Deployment")[0]["spec"]["template"]))
    pod |= {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] |= {"name": "huge", "namespace": NAMESPACE}
    pod["spec"].pop("topologySpreadConstraints")
    pod["spec"]["containers"][0]["resources"]["requests"]["memory"] = "500Gi"
    pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = "500Gi"
    _must_refuse(cluster, pod, "exceeded quota")


def change_release(cluster: Cluster, tag: str) -> str:
    """Applies the overlay with another tag; what is available never falls below what is wanted."""
    wanted = {name(each): each["spec"]["replicas"] for each in cluster.get("deployments")}
    changes = {"release.yaml": ("tag: 0.1.0\n  name: 0-1-0", f"tag: {tag}\n  name: {tag.replace('.', '-')}")}
    least = _Least(cluster)
    with least, edited(changes) as overlay:
        cluster.apply(kustomize(overlay))
        complete(cluster)
    for each in cluster.get("pods"):
        if each["metadata"]["labels"].get("app.kubernetes.io/part-of") == "lectern" and "Job" not in {
            owner["kind"] for owner in each["metadata"]["ownerReferences"]
        }:
            assert each["spec"]["containers"][0]["image"].endswith(f":{tag}"), name(each)
    short = {each: count for each, count in least.seen.items() if count < wanted[each] and each != "beat"}
    assert not short, f"fewer than wanted for a moment: {short}"
    jobs = {name(job) for job in cluster.get("jobs")}
    suffix = tag.replace(".", "-")
    assert {f"migrate-{service}-{suffix}" for service in SERVICES} <= jobs
    return f"{len(least.seen)} deployments, never fewer pods than wanted"

"""`lectern doctor --kubeconfig FILE`: what is wrong with the suite in a cluster, and what to do next.

It reads and asks pods (`kubectl exec`), and changes nothing. Its rights: `get` and `list` of Deployments,
StatefulSets, Jobs, Pods, Secrets and the operators' kinds, and `create` of `pods/exec`.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from alembic.script import ScriptDirectory

from deploy.k8s import resources
from deploy.k8s.kubectl import Kubectl, Refused, UnknownKind, find_kubectl
from deploy.k8s.processes import WORKER
from deploy.k8s.workloads import Json
from deploy.local.checks import Finding
from deploy.local.project import SetupError
from libs.common.data.migrations import config
from libs.common.runtime.settings import SERVICES

OURS = "app.kubernetes.io/part-of in (lectern, lectern-backing)"
OLDEST = (1, 31)
MOST_APART = 2.0
"""Seconds between two clocks."""
AT_ONCE = 4
_NOW = ["python", "-c", "import time; print(time.time())"]

Check = Callable[[Kubectl], tuple[list[str], str]]
"""The faults, and what to say where there is none."""


def doctor(kubeconfig: Path, namespace: str) -> list[Finding]:
    """Every check of the cluster; only the first where it cannot be reached."""
    try:
        kubectl = Kubectl(kubeconfig, namespace, find_kubectl())
    except SetupError as error:
        return [Finding("kubectl", False, str(error))]
    checks: dict[str, Check] = {
        "workloads": _workloads,
        "topics": partial(_declared, kind="kafkatopics.kafka.strimzi.io", compare=resources.topics),
        "acls": partial(_declared, kind="kafkausers.kafka.strimzi.io", compare=resources.rights),
        "schemas": _schemas,
        "clocks": _clocks,
        "certificates": _certificates,
        "secrets": _secrets,
    }
    findings = _findings("reachable", _reachable, kubectl)
    if all(finding.ok for finding in findings):
        for name, check in checks.items():
            findings += _findings(name, check, kubectl)
    return findings


def _findings(name: str, check: Check, kubectl: Kubectl) -> list[Finding]:
    try:
        faults, fine = check(kubectl)
    except Refused as error:
        todo = "see that the kubeconfig's user may do it ('kubectl auth can-i --list')"
        faults, fine = [f"This could not be looked at ({error}): {todo}."], ""
    return [Finding(name, False, fault) for fault in faults] or [Finding(name, True, fine)]


def _reachable(kubectl: Kubectl) -> tuple[list[str], str]:
    try:
        server = json.loads(kubectl.run("version", "-o", "json")).get("serverVersion")
    except Refused as error:
        return [f"The cluster does not answer ({error}): see the server's address in the kubeconfig."], ""
    if not server:
        return ["The cluster does not tell its version: see the server's address in the kubeconfig."], ""
    version = int(server["major"]), int(server["minor"].rstrip("+"))
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return [f"Kubernetes is {server['gitVersion']} and {oldest} is needed: upgrade the cluster."], ""
    if not kubectl.get("deployments", selector=OURS):
        return [
            f"The namespace {kubectl.namespace} has no Deployment of the suite: "
            "choose another with '--namespace', or apply your overlay with 'kubectl apply -k'."
        ], ""
    return [], f"Kubernetes {server['gitVersion']}, namespace {kubectl.namespace}"


def _workloads(kubectl: Kubectl) -> tuple[list[str], str]:
    deployments, jobs, pods = (kubectl.get(kind, selector=OURS) for kind in ("deployments", "jobs", "pods"))
    faults = resources.workloads(deployments, jobs, pods, kubectl.hint)
    return faults, f"{len(deployments)} Deployments are available, {len(pods)} pods, no failed Job"


def _declared(
    kubectl: Kubectl, kind: str, compare: Callable[[list[Json]], list[str]]
) -> tuple[list[str], str]:
    """Where Strimzi is not installed, the release's Job has compared them: it fails where they differ."""
    try:
        found = kubectl.get(kind)
    except UnknownKind:
        return _by_job(kubectl, "topics" if "topics" in kind else "rights")
    return compare(found), f"{len(found)} as the code declares"


def _by_job(kubectl: Kubectl, part: str) -> tuple[list[str], str]:
    jobs = kubectl.get("jobs", selector=f"app.kubernetes.io/component={part}")
    if not jobs:
        return [], f"not looked at: no Strimzi in this cluster and no Job {part}-kafka is left"
    job = max(jobs, key=lambda each: str(each["metadata"].get("creationTimestamp", "")))
    name = resources.name_of(job)
    if resources.condition(job, "Complete").get("status") == "True":
        return [], f"as the Job {name} left them at {job['status'].get('completionTime', 'an unknown time')}"
    return [f"The Job {name} has not succeeded: see '{kubectl.hint} logs job/{name}'."], ""


def _schemas(kubectl: Kubectl) -> tuple[list[str], str]:
    """The schema of each service against the release that runs and against this checkout."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda service: _schema(kubectl, service), SERVICES)
        faults = [sentence for answer in answers for sentence in answer]
    return faults, f"{len(SERVICES)} schemas are at the head of this checkout"


def _schema(kubectl: Kubectl, service: str) -> list[str]:
    command = ["python", "-m", "libs.common.data.migrations", "status", service]
    try:
        said = kubectl.execute(f"deploy/{service}-{WORKER}", WORKER, command)
    except Refused as error:
        return [f"{service} could not be asked ({error}): see that {service}-{WORKER} runs."]
    # `catalog: schema 0012_tags, release 0012_tags`
    words = said.split()
    schema, release = words[words.index("schema") + 1].rstrip(","), words[words.index("release") + 1]
    head = str(ScriptDirectory.from_config(config(service)).get_current_head())
    if schema == head:
        return []
    if release == head:
        todo = f"see the Job migrate-{service}-… with '{kubectl.hint} get jobs' and its log"
        return [f"The schema of {service} is at {schema}, and its release needs {head}: {todo}."]
    todo = "roll this release out, or look with the checkout of the one that runs"
    return [f"The schema of {service} is at {schema}, and this checkout's head is {head}: {todo}."]


def _clocks(kubectl: Kubectl) -> tuple[list[str], str]:
    """This machine against one pod of each node, and PostgreSQL against a pod."""
    pods = [
        pod
        for pod in kubectl.get("pods", selector="app.kubernetes.io/part-of=lectern")
        if resources.condition(pod, "Ready").get("status") == "True"
    ]
    nodes = {pod["spec"].get("nodeName", ""): pod for pod in pods}
    if not nodes:
        return ["No pod of the suite is ready, so that no clock could be asked: see workloads."], ""
    faults = []
    for node, pod in sorted(nodes.items()):
        apart = _apart(kubectl, pod)
        if abs(apart) > MOST_APART:
            faults.append(
                f"The clock of the node {node} is {_seconds(apart)} this machine's: "
                "see that chrony or another NTP client runs on both."
            )
    workers = [pod for pod in pods if pod["metadata"]["labels"].get("app.kubernetes.io/component") == WORKER]
    if not workers:
        return [
            *faults,
            "No worker is ready, so that PostgreSQL's clock could not be asked: see workloads.",
        ], ""
    worker = workers[0]
    command = [
        "python",
        "-m",
        "libs.common.data.clock",
        worker["metadata"]["labels"]["app.kubernetes.io/name"],
    ]
    apart = float(kubectl.execute(resources.name_of(worker), WORKER, command))
    if abs(apart) > MOST_APART:
        faults.append(
            f"PostgreSQL's clock is {_seconds(apart)} that of the pod {resources.name_of(worker)}: "
            "see that an NTP client runs on the database's machine."
        )
    return faults, f"{len(nodes)} nodes and PostgreSQL are less than {MOST_APART:.0f} s apart"


def _apart(kubectl: Kubectl, pod: Json) -> float:
    """Seconds by which a pod's clock is surely ahead, less than zero where it is behind: the answer was given
    at some moment between the question and its arrival."""
    asked = time.time()
    told = float(kubectl.execute(resources.name_of(pod), pod["spec"]["containers"][0]["name"], _NOW))
    return max(told - time.time(), 0.0) + min(told - asked, 0.0)


def _seconds(apart: float) -> str:
    return f"{abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'}"


def _certificates(kubectl: Kubectl) -> tuple[list[str], str]:
    try:
        found = kubectl.get("certificates.cert-manager.io")
    except UnknownKind:
        found = []  # brought by somebody else
    secrets = kubectl.get("secrets")
    stored = sum(each.get("type") == "kubernetes.io/tls" for each in secrets)
    faults = resources.certificates(found, secrets, kubectl.hint)
    return faults, f"{len(found)} of cert-manager, {stored} in Secrets, none ends soon"


def _secrets(kubectl: Kubectl) -> tuple[list[str], str]:
    kinds = ("deployments", "statefulsets", "jobs")
    owners = [each for kind in kinds for each in kubectl.get(kind, selector=OURS)]
    secrets = kubectl.get("secrets")
    faults = resources.missing_secrets(owners, secrets, kubectl.hint)
    return faults, "each that a workload refers to is there and filled in"

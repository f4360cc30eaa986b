"""What is wrong with a cluster's resources: each function answers one sentence for each fault."""

import base64
import binascii
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from deploy.k8s import operators
from deploy.k8s.processes import PROCESSES
from deploy.k8s.workloads import Json

LATELY = timedelta(hours=1)
"""A restart before that is history."""
LEAST_LEFT = timedelta(days=14)
"""Of a certificate; a third of its life where that is shorter."""
LEAST_OWNED = timedelta(days=5)
"""Of one that an operator owns and renews by itself: CloudNativePG does so in the last week."""
_WAITS = ("ContainerCreating", "PodInitializing")


def condition(resource: Json, kind: str) -> Json:
    """Empty where there is none."""
    found = resource.get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


def name_of(resource: Json) -> str:
    name: str = resource["metadata"]["name"]
    return name


def workloads(deployments: list[Json], jobs: list[Json], pods: list[Json], hint: str) -> list[str]:
    """Deployments that are missing or not available, Jobs that failed, pods that restart."""
    there = {name_of(each) for each in deployments}
    found = [
        f"There is no Deployment {process.name}: apply your overlay with 'kubectl apply -k'."
        for process in PROCESSES
        if process.name not in there
    ]
    for deployment in deployments:
        found += _unavailable(deployment, pods, hint)
    for job in jobs:
        failed = condition(job, "Failed")
        if failed.get("status") == "True":
            found.append(
                f"The Job {name_of(job)} failed ({failed.get('reason', 'unknown')}): "
                f"see why with '{hint} logs job/{name_of(job)} --all-containers', "
                "mend it, delete the Job and apply again."
            )
    return found + [sentence for pod in pods for sentence in _restarts(pod, hint)]


def _unavailable(deployment: Json, pods: list[Json], hint: str) -> list[str]:
    name, status = name_of(deployment), deployment.get("status", {})
    wanted, available = deployment["spec"].get("replicas", 1), status.get("availableReplicas", 0)
    progressing = condition(deployment, "Progressing")
    stuck = progressing.get("reason") == "ProgressDeadlineExceeded"
    if available >= wanted and not stuck:
        return []
    selected = deployment["spec"]["selector"]["matchLabels"].items()
    own = [pod for pod in pods if selected <= pod["metadata"].get("labels", {}).items()]
    reason = next((why for pod in own if (why := _why_waiting(pod, hint))), "")
    if not reason:
        said = progressing.get("message") if stuck else condition(deployment, "Available").get("message")
        reason = f"{said or 'no reason is given'}: see '{hint} describe deployment {name}'"
    rolls = " and its roll-out is stuck" if stuck else ""
    return [f"{name}: {available} of {wanted} pods are available{rolls}; {reason}."]


def _why_waiting(pod: Json, hint: str) -> str:
    """Why a pod is not ready, with the command that tells more; empty where it is."""
    name, scheduled = name_of(pod), condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"{name} fits on no node ({scheduled.get('message', '')}): add a node or free one"
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason == "CrashLoopBackOff":
            logs = f"{hint} logs {name} -c {container['name']} --previous"
            return f"{name} ends again and again ({_last_end(container)}): see '{logs}'"
        if reason and reason not in _WAITS:
            message = f", {waiting['message']}" if waiting.get("message") else ""
            return f"{name} waits ({reason}{message}): see '{hint} describe pod {name}'"
        if container.get("init") and container.get("state", {}).get("running"):
            logs = f"{hint} logs {name} -c {container['name']}"
            return f"{name} is held by its init container {container['name']}: see '{logs}'"
    if pod.get("status", {}).get("phase") == "Running" and condition(pod, "Ready").get("status") == "False":
        return f"{name} runs and is not ready: see '{hint} describe pod {name}'"
    return ""


def _restarts(pod: Json, hint: str) -> Iterator[str]:
    if pod.get("status", {}).get("phase") == "Succeeded":  # a Job's, which has waited for a server
        return
    for container in _containers(pod):
        ended = container.get("lastState", {}).get("terminated", {})
        if not container.get("restartCount") or not ended.get("finishedAt"):
            continue
        if datetime.now(UTC) - datetime.fromisoformat(ended["finishedAt"]) > LATELY:
            continue
        name, inside = name_of(pod), container["name"]
        todo = f"see '{hint} logs {name} -c {inside} --previous'"
        if ended.get("reason") == "OOMKilled":
            todo = "raise the memory limit of its Deployment"
        count = container["restartCount"]
        yield f"{name}: {inside} has restarted {count} times, last by {_last_end(container)}: {todo}."


def _containers(pod: Json) -> list[Json]:
    status = pod.get("status", {})
    first = [each | {"init": True} for each in status.get("initContainerStatuses", [])]
    return [*first, *status.get("containerStatuses", [])]


def _last_end(container: Json) -> str:
    ended = container.get("lastState", {}).get("terminated", {})
    return f"{ended.get('reason', 'unknown')}, exit code {ended.get('exitCode', 'unknown')}"


def topics(found: list[Json]) -> list[str]:
    """KafkaTopics against what the code declares."""
    there = {each["spec"].get("topicName") or name_of(each): each for each in found}
    faults = []
    for declared in operators.topics():
        name, spec = name_of(declared), declared["spec"]
        if name not in there:
            faults.append(f"The topic {name} is missing: {_APPLY}.")
            continue
        actual = there[name]["spec"]
        pairs = [(key, actual.get(key), spec[key]) for key in ("partitions", "replicas")]
        config = actual.get("config") or {}
        pairs += [(key, config.get(key), wanted) for key, wanted in spec["config"].items()]
        differs = [f"{key}={has}, declared {wanted}" for key, has, wanted in pairs if str(has) != str(wanted)]
        if differs:
            todo = _APPLY
            if actual.get("partitions") != spec["partitions"]:
                todo = "keys would move between partitions: keep its width in your overlay, or make it anew"
            faults.append(f"The topic {name} differs ({'; '.join(differs)}): {todo}.")
        faults += _not_ready(there[name], "KafkaTopic")
    return faults


def rights(found: list[Json]) -> list[str]:
    """KafkaUsers and their ACLs against what the code derives."""
    there = {name_of(each): each for each in found}
    faults = []
    for declared in operators.users():
        name = name_of(declared)
        if name not in there:
            faults.append(f"The user {name} of Kafka is missing: {_APPLY}.")
            continue
        wanted, actual = _acls(declared), _acls(there[name])
        if lacks := wanted - actual:
            faults.append(f"The user {name} may not {_listed(lacks)}: {_APPLY}.")
        if more := actual - wanted:
            faults.append(f"The user {name} may {_listed(more)}, which nothing declares: {_APPLY}.")
        faults += _not_ready(there[name], "KafkaUser")
    return faults


_APPLY = "apply your overlay with 'kubectl apply -k'"
_Acl = tuple[str, str, str, str, str, str]


def _acls(user: Json) -> set[_Acl]:
    return {
        (
            operation,
            rule["resource"]["type"],
            rule["resource"].get("name", ""),
            rule["resource"].get("patternType", "literal"),
            rule.get("type", "allow"),
            rule.get("host", "*"),
        )
        for rule in (user["spec"].get("authorization") or {}).get("acls", [])
        for operation in rule.get("operations") or [rule.get("operation", "")]
    }


def _listed(acls: set[_Acl]) -> str:
    def text(acl: _Acl) -> str:
        operation, kind, name, pattern, effect, host = acl
        how = "".join(f" ({word})" for word in (pattern, effect) if word not in ("literal", "allow"))
        return f"{operation.lower()} {kind} {name}{how}" + (f" from {host}" if host != "*" else "")

    return ", ".join(text(acl) for acl in sorted(acls))


def _not_ready(resource: Json, kind: str) -> list[str]:
    ready = condition(resource, "Ready")
    if ready.get("status") == "True":
        return []
    said = ready.get("message") or ready.get("reason") or "its operator has not looked at it"
    return [f"{kind} {name_of(resource)} is not ready ({said}): see the log of its operator."]


def certificates(found: list[Json], secrets: list[Json], hint: str) -> list[str]:
    """cert-manager's Certificates, then every certificate in a Secret for TLS that none of these is for."""
    faults, told = [], set()
    for each in found:
        name, status = name_of(each), each.get("status", {})
        if condition(each, "Ready").get("status") != "True":
            said = condition(each, "Ready").get("message") or "cert-manager has not looked at it"
            todo = f"see '{hint} describe certificate {name}' and its issuer"
            faults.append(f"The certificate {name} is not ready ({said}): {todo}.")
            told.add(each["spec"].get("secretName"))
        elif "notAfter" in status:
            end = datetime.fromisoformat(status["notAfter"])
            begin = datetime.fromisoformat(status["notBefore"]) if "notBefore" in status else None
            if ending := _ending(begin, end):
                todo = f"see why it is not renewed with '{hint} describe certificate {name}'"
                faults.append(f"The certificate {name} {ending}: {todo}.")
                told.add(each["spec"].get("secretName"))
    for secret in secrets:
        if secret.get("type") == "kubernetes.io/tls" and name_of(secret) not in told:
            faults += _stored(secret)
    return faults


def _stored(secret: Json) -> list[str]:
    name = name_of(secret)
    try:
        pem = base64.b64decode((secret.get("data") or {}).get("tls.crt") or "")
        chain = x509.load_pem_x509_certificates(pem)
    except (ValueError, binascii.Error):
        return [f"The Secret {name} holds no certificate that can be read: make it anew."]
    first = min(chain, key=lambda each: each.not_valid_after_utc)
    owned = bool(secret["metadata"].get("ownerReferences"))
    least = LEAST_OWNED if owned else LEAST_LEFT
    ending = _ending(first.not_valid_before_utc, first.not_valid_after_utc, least)
    return [f"The certificate in the Secret {name} {ending}: renew it."] if ending else []


def _ending(begin: datetime | None, end: datetime, most: timedelta = LEAST_LEFT) -> str:
    """What is wrong with the time of a certificate; empty where nothing is."""
    now = datetime.now(UTC)
    if begin and begin > now:
        return f"is valid only from {begin:%Y-%m-%d %H:%M} UTC on"
    if end <= now:
        return f"ended on {end:%Y-%m-%d}"
    least = min(most, (end - begin) / 3) if begin else most
    return f"ends on {end:%Y-%m-%d}, in {(end - now).days} days" if end - now < least else ""


def missing_secrets(owners: Iterable[Json], secrets: list[Json], hint: str) -> list[str]:
    """Secrets and keys that a workload refers to and that are missing or empty. No value is told."""
    there = {name_of(each): each.get("data") or {} for each in secrets}
    wanted: dict[tuple[str, str], set[str]] = {}
    for owner in owners:
        if condition(owner, "Complete").get("status") != "True":  # a Job of the past needs nothing
            for reference in references(owner["spec"]["template"]["spec"]):
                wanted.setdefault(reference, set()).add(f"{owner['kind']} {name_of(owner)}")
    absent: dict[str, set[str]] = {}
    faults = []
    for (name, key), users in sorted(wanted.items()):
        if name not in there:
            absent.setdefault(name, set()).update(users)
        elif key and key not in there[name]:
            faults.append(f"The Secret {name} has no key {key}, which {_some(users)} needs: {_FILL}.")
        elif key and not there[name][key]:
            faults.append(f"The key {key} of the Secret {name} is empty: {_FILL}.")
        elif not key and not there[name]:
            faults.append(f"The Secret {name} has no keys, and {_some(users)} needs it: {_FILL}.")
        elif not key:
            blank = sorted(each for each, value in there[name].items() if not value)
            if blank:
                faults.append(f"In the Secret {name} {', '.join(blank)} is empty: {_FILL}.")
    for name, users in absent.items():
        todo = f"see '{hint} get externalsecrets', or make it as docs/kubernetes.md says"
        faults.append(f"There is no Secret {name}, which {_some(users)} needs: {todo}.")
    return faults


_FILL = "fill it in where your Secrets come from (docs/kubernetes.md, Secrets)"


def _some(users: set[str]) -> str:
    first, *others = sorted(users)
    return f"{first} (and {len(others)} more)" if others else first


def references(pod: Json) -> Iterator[tuple[str, str]]:
    """Secret and key that a pod cannot start without; an empty key means the whole Secret."""
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        for variable in container.get("env", []):
            one = variable.get("valueFrom", {}).get("secretKeyRef")
            if one and not one.get("optional"):
                yield one["name"], one["key"]
        for source in container.get("envFrom", []):
            if (whole := source.get("secretRef")) and not whole.get("optional"):
                yield whole["name"], ""
    for volume in pod.get("volumes", []):
        parts = [volume, *volume.get("projected", {}).get("sources", [])]
        for secret in (part["secret"] for part in parts if "secret" in part):
            if not secret.get("optional"):
                name = secret.get("secretName") or secret["name"]
                yield from ((name, item["key"]) for item in secret.get("items", [{"key": ""}]))
    for pull in pod.get("imagePullSecrets", []):
        yield pull["name"], ""

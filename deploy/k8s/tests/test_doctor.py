"""`lectern doctor --kubeconfig`: a healthy cluster has no finding, each fault has its sentence.

kubectl is a program that answers from a file, by its arguments.
"""

import base64
import json
import sys
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from deploy.k8s import operators, workloads
from deploy.k8s.kubectl import find_kubectl
from deploy.k8s.processes import PROCESSES
from deploy.local.cli import IN_THE_WAY, app
from deploy.local.project import SetupError
from libs.common.data.migrations import config
from libs.common.runtime.settings import SERVICES

Json = dict[str, Any]
PASSWORD = "hunter2-of-the-cluster"
KUBECTL = """#!{python} -IS
import json, sys, time
from pathlib import Path
state = json.loads(Path(__file__).with_name("cluster.json").read_text())
words = sys.argv[1:]
assert words[:1] + words[2:3] == ["--kubeconfig", "-n"], words
verb, *rest = [word for word in words[4:] if word != "--request-timeout=20s"]
def refuse(text):
    sys.exit(print(text, file=sys.stderr) or 1)
if state["refuses"].get(verb) or state["refuses"].get(rest[0]):
    refuse(state["refuses"].get(verb) or state["refuses"].get(rest[0]))
if verb == "version":
    print(json.dumps(dict(serverVersion=state["version"])))
elif verb == "get":
    items = state["kinds"].get(rest[0])
    if items is None:
        refuse('error: the server doesn\\'t have a resource type "%s"' % rest[0])
    if "-l" in rest and rest[rest.index("-l") + 1].startswith("app.kubernetes.io/component="):
        part = rest[rest.index("-l") + 1].partition("=")[2]
        items = [x for x in items if x["metadata"]["labels"].get("app.kubernetes.io/component") == part]
    print(json.dumps(dict(items=items)))
elif verb == "exec":
    command = rest[rest.index("--") + 1:]
    if command[:2] == ["python", "-c"]:
        print(time.time() + state["node"])
    elif command[2] == "libs.common.data.clock":
        print(state["postgres"])
    else:
        print("%s: schema %s, release %s" % (command[-1], *state["schemas"][command[-1]]))
"""


def days(count: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=count):%Y-%m-%dT%H:%M:%SZ}"


def pem(left: float, life: float = 90) -> str:
    """A certificate that ends in so many days, as a Secret has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kafka")])
    end = datetime.now(UTC) + timedelta(days=left)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(end - timedelta(days=life)).not_valid_after(end)
    data = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(data).decode()


def ready(**more: Any) -> Json:
    return {"conditions": [{"type": "Ready", "status": "True"}], **more}


def pod(name: str, deployment: Json) -> Json:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": "node-1", "containers": containers},
        "status": ready(phase="Running", containerStatuses=[{"name": containers[0]["name"]}]),
    }


def healthy() -> Json:
    """What the manifests make, with what a cluster adds to it."""
    deployments = [workloads.deployment(process) for process in PROCESSES]
    for each in deployments:
        each["spec"]["replicas"] = 1
        each["status"] = {"availableReplicas": 1}
    jobs = [*workloads.preparations(), *map(workloads.migration, SERVICES)]
    for job in jobs:
        job["status"] = {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": days(-1)}
    value = base64.b64encode(PASSWORD.encode()).decode()
    secrets: list[Json] = [
        {"metadata": {"name": name}, "type": "Opaque", "data": dict.fromkeys(keys, value)}
        for name, keys in operators.secrets().items()
    ]
    tls = {"tls.crt": pem(60), "tls.key": value}
    secrets.append({"metadata": {"name": "kafka-server"}, "type": "kubernetes.io/tls", "data": tls})
    certificate = {"metadata": {"name": "kafka"}, "spec": {"secretName": "kafka-server"}}
    heads = {each: ScriptDirectory.from_config(config(each)).get_current_head() for each in SERVICES}
    return {
        "version": {"major": "1", "minor": "37", "gitVersion": "v1.37.1"},
        "refuses": {},
        "kinds": {
            "deployments": deployments,
            "statefulsets": [],
            "jobs": jobs,
            "pods": [pod(f"{each['metadata']['name']}-x1", each) for each in deployments],
            "secrets": secrets,
            "kafkatopics.kafka.strimzi.io": [each | {"status": ready()} for each in operators.topics()],
            "kafkausers.kafka.strimzi.io": [each | {"status": ready()} for each in operators.users()],
            "certificates.cert-manager.io": [
                certificate | {"status": ready(notBefore=days(-30), notAfter=days(60))}
            ],
        },
        "schemas": {each: [head, head] for each, head in heads.items()},
        "node": 0.0,
        "postgres": 0.0,
    }


HEALTHY = healthy()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Json:
    """A healthy cluster, to be spoiled before `findings` asks it."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable))
    program.chmod(0o755)
    (tmp_path / "kubeconfig").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    return deepcopy(HEALTHY)


def findings(cluster: Json, tmp_path: Path) -> dict[str, list[str]]:
    """Sentences of the faults by check; the exit code tells of them, and no value is shown."""
    (tmp_path / "cluster.json").write_text(json.dumps(cluster))
    result = CliRunner().invoke(app, ["doctor", "--json", "--kubeconfig", str(tmp_path / "kubeconfig")])
    rows = json.loads(result.stdout)
    found: dict[str, list[str]] = {}
    for row in rows:
        if not row["ok"]:
            found.setdefault(row["name"], []).append(row["detail"])
    assert result.exit_code == (IN_THE_WAY if found else 0)
    value = base64.b64encode(PASSWORD.encode()).decode()
    assert PASSWORD not in result.output
    assert value not in result.output
    return found


def named(cluster: Json, kind: str, name: str) -> Json:
    found: Json = next(each for each in cluster["kinds"][kind] if each["metadata"]["name"] == name)
    return found


def data(cluster: Json, secret: str) -> Json:
    found: Json = named(cluster, "secrets", secret)["data"]
    return found


def terminated(reason: str, code: int, ago: timedelta) -> Json:
    ended = f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%SZ}"
    return {"terminated": {"reason": reason, "exitCode": code, "finishedAt": ended}}


def test_a_healthy_cluster_has_no_finding(cluster: Json, tmp_path: Path):
    assert findings(cluster, tmp_path) == {}
    shown = CliRunner().invoke(app, ["doctor", "--kubeconfig", str(tmp_path / "kubeconfig")])
    assert "✓ reachable" in shown.stdout
    assert "v1.37.1, namespace lectern" in shown.stdout


def test_a_cluster_that_does_not_answer_is_one_finding(cluster: Json, tmp_path: Path):
    cluster["refuses"]["version"] = "The connection to the server 10.0.0.1:6443 was refused"
    (sentence,) = findings(cluster, tmp_path).pop("reachable")
    assert "10.0.0.1:6443 was refused" in sentence
    assert "see the server's address" in sentence


def test_an_old_cluster_and_an_empty_namespace_are_told(cluster: Json, tmp_path: Path):
    cluster["version"] = {"major": "1", "minor": "29+", "gitVersion": "v1.29.4"}
    assert "upgrade the cluster" in findings(cluster, tmp_path)["reachable"][0]
    cluster["version"] = HEALTHY["version"]
    cluster["kinds"]["deployments"] = []
    assert "--namespace" in findings(cluster, tmp_path)["reachable"][0]


def test_workloads(cluster: Json, tmp_path: Path):
    deployments, pods = cluster["kinds"]["deployments"], cluster["kinds"]["pods"]
    deployments.remove(named(cluster, "deployments", "beat"))
    named(cluster, "deployments", "catalog-api")["status"] = {}
    looping = named(cluster, "pods", "catalog-api-x1")["status"]["containerStatuses"][0]
    looping |= {"restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    looping["lastState"] = terminated("Error", 1, timedelta(days=1))
    named(cluster, "deployments", "forum-api")["status"] = {}
    pulls = named(cluster, "pods", "forum-api-x1")["status"]["containerStatuses"][0]
    pulls["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}
    killed = named(cluster, "pods", "learning-tasks-x1")["status"]["containerStatuses"][0]
    killed |= {"restartCount": 2, "lastState": terminated("OOMKilled", 137, timedelta(minutes=5))}
    old = named(cluster, "pods", "notify-api-x1")["status"]["containerStatuses"][0]
    old |= {"restartCount": 1, "lastState": terminated("Error", 1, timedelta(days=3))}
    waited = deepcopy(named(cluster, "pods", "learning-tasks-x1"))
    waited["metadata"]["name"], waited["status"]["phase"] = "of-a-job", "Succeeded"
    pods.append(waited)
    named(cluster, "jobs", "migrate-forum-unset")["status"] = {
        "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]
    }
    pods.remove(named(cluster, "pods", "beat-x1"))
    found = findings(cluster, tmp_path)
    assert set(found) == {"workloads"}
    missing, catalog, forum, job, restarts = found["workloads"]
    assert missing.startswith("There is no Deployment beat: apply")
    assert "ends again and again (Error, exit code 1)" in catalog
    assert "logs catalog-api-x1 -c api --previous" in catalog
    assert "forum-api: 0 of 1 pods are available; forum-api-x1 waits (ImagePullBackOff, no such" in forum
    assert "Job migrate-forum-unset failed (BackoffLimitExceeded)" in job
    assert restarts == (
        "learning-tasks-x1: tasks has restarted 2 times, last by OOMKilled, exit code 137: "
        "raise the memory limit of its Deployment."
    )


def test_topics_and_rights(cluster: Json, tmp_path: Path):
    topics, users = "kafkatopics.kafka.strimzi.io", "kafkausers.kafka.strimzi.io"
    cluster["kinds"][topics].remove(named(cluster, topics, "forum.events"))
    named(cluster, topics, "identity.users")["spec"]["config"]["cleanup.policy"] = "delete"
    named(cluster, topics, "identity.events")["spec"]["replicas"] = 1
    named(cluster, topics, "support.events")["spec"]["partitions"] = 12
    named(cluster, topics, "notify.events")["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "message": "not authorised"}
    ]
    acls = named(cluster, users, "forum")["spec"]["authorization"]["acls"]
    gone = acls.pop(0)
    acls.append(gone | {"resource": {"type": "topic", "name": "*", "patternType": "literal"}})
    found = findings(cluster, tmp_path)
    assert set(found) == {"topics", "acls"}
    told = " ".join(found["topics"])
    assert len(found["topics"]) == 5
    assert "The topic forum.events is missing: apply your overlay" in told
    assert "identity.users differs (cleanup.policy=delete, declared compact)" in told
    assert "identity.events differs (replicas=1, declared 3)" in told
    assert "support.events differs (partitions=12, declared 6): keys would move" in told
    assert "KafkaTopic notify.events is not ready (not authorised)" in told
    lacks, more = found["acls"]
    assert lacks.startswith(f"The user forum may not {gone['operations'][0].lower()} ")
    assert "topic *, which nothing declares" in more


def test_without_strimzi_the_jobs_of_the_release_have_compared(cluster: Json, tmp_path: Path):
    for kind in ("kafkatopics", "kafkausers"):
        del cluster["kinds"][f"{kind}.kafka.strimzi.io"]
    assert findings(cluster, tmp_path) == {}
    named(cluster, "jobs", "topics-kafka-unset")["status"] = {"failed": 3}
    (sentence,) = findings(cluster, tmp_path)["topics"]
    assert "logs job/topics-kafka-unset" in sentence


def test_schemas(cluster: Json, tmp_path: Path):
    head = cluster["schemas"]["catalog"][0]
    cluster["schemas"] |= {"catalog": ["0001", head], "forum": ["9999", "9999"]}
    behind, other = findings(cluster, tmp_path)["schemas"]
    assert f"catalog is at 0001, and its release needs {head}: see the Job migrate-catalog-" in behind
    assert "forum is at 9999" in other
    assert "roll this release out" in other
    cluster["refuses"]["deploy/notify-worker"] = "Error from server (Forbidden): pods/exec\nno"
    assert "notify could not be asked (no)" in findings(cluster, tmp_path)["schemas"][-1]


@pytest.mark.parametrize(
    ("whose", "apart", "told"),
    [
        ("node", 30, "ahead of this machine's"),
        ("node", -30, "behind this machine's"),
        ("postgres", -5, "5.0 s behind"),
    ],
)
def test_clocks(cluster: Json, tmp_path: Path, whose: str, apart: float, told: str):
    cluster[whose] = apart
    (sentence,) = findings(cluster, tmp_path)["clocks"]
    assert told in sentence
    assert "NTP client" in sentence


def test_certificates(cluster: Json, tmp_path: Path):
    (certificate,) = cluster["kinds"]["certificates.cert-manager.io"]
    certificate["status"]["notAfter"] = days(3.5)
    for name, content in (("ended", pem(-1)), ("broken", "bm9uZQ=="), ("short", pem(0.9, life=1))):
        secret = {"metadata": {"name": name}, "type": "kubernetes.io/tls", "data": {"tls.crt": content}}
        cluster["kinds"]["secrets"].append(secret)
    owned = {
        "metadata": {"name": "owned", "ownerReferences": [{"kind": "Cluster"}]},
        "type": "kubernetes.io/tls",
    }
    cluster["kinds"]["secrets"].append(owned | {"data": {"tls.crt": pem(8)}})
    found = findings(cluster, tmp_path)
    assert set(found) == {"certificates"}
    soon, ended, broken = found["certificates"]
    assert "kafka ends on" in soon
    assert "in 3 days: see why it is not renewed" in soon
    assert "Secret ended ended on" in ended
    assert "broken holds no certificate that can be read" in broken
    certificate["status"] = {"conditions": [{"type": "Ready", "status": "False", "message": "no issuer"}]}
    assert "kafka is not ready (no issuer)" in findings(cluster, tmp_path)["certificates"][0]


def test_secrets_that_are_missing_or_empty(cluster: Json, tmp_path: Path):
    cluster["kinds"]["secrets"].remove(named(cluster, "secrets", "database-forum"))
    del data(cluster, "lectern")["metrics-token"]
    data(cluster, "mail")["url"] = ""
    data(cluster, "storage")["AWS_ACCESS_KEY_ID"] = ""
    found = findings(cluster, tmp_path)
    assert set(found) == {"secrets"}
    token, url, key, forum = found["secrets"]
    assert "The Secret lectern has no key metrics-token, which Deployment gateway needs" in token
    assert "The key url of the Secret mail is empty" in url
    assert "In the Secret storage AWS_ACCESS_KEY_ID is empty" in key
    assert "There is no Secret database-forum, which Deployment forum-api (and 2 more) needs" in forum


def test_what_may_not_be_looked_at_is_a_finding(cluster: Json, tmp_path: Path):
    cluster["refuses"]["secrets"] = 'Error from server (Forbidden): secrets is forbidden: User "reader"'
    found = findings(cluster, tmp_path)
    assert set(found) == {"certificates", "secrets"}
    assert "auth can-i --list" in found["secrets"][0]


def test_kubectl_is_asked_for_by_name_where_it_is_missing(tmp_path: Path):
    with pytest.raises(SetupError, match="kubectl is missing: install it"):
        find_kubectl(str(tmp_path))

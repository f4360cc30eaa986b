"""`lectern doctor --kubeconfig` on real pods: it finds nothing, then names what was broken on purpose."""

import asyncio
import json
import subprocess
from typing import Any

import psycopg
from alembic.script import ScriptDirectory

from deploy.k8s import operators
from deploy.local.database import service_url
from deploy.local.project import CHECKOUT
from libs.common.data.migrations import config
from tests.kubernetes import crds
from tests.kubernetes.backing import ClusterProject
from tests.kubernetes.cluster import NAMESPACE, Cluster
from tests.kubernetes.rendered import name, tool

NARROW = "forum.events"
BEHIND = "forum"


async def diagnose(cluster: Cluster, project: ClusterProject) -> str:
    well = await asyncio.to_thread(ask, cluster)
    faults = [each for each in well if not each["ok"]]
    assert not faults, f"faults where there is none: {faults}"
    told = await asyncio.to_thread(_broken, cluster, project)
    again = await asyncio.to_thread(ask, cluster)
    faults = [each for each in again if not each["ok"]]
    assert not faults, f"faults that were mended: {faults}"
    for each in told:
        print(f"          {each}", flush=True)
    return f"all well, by {len(well)} checks; {len(told)} planted faults named; mended: all well"


def ask(cluster: Cluster) -> list[dict[str, Any]]:
    """The findings, as an operator's program reads them."""
    argv = [tool("lectern"), "doctor", "--kubeconfig", str(cluster.kubeconfig), "--json"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout, done.stderr[-2000:]
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    assert done.returncode == (0 if all(each["ok"] for each in findings) else 4), done.stderr[-2000:]
    return findings


def _broken(cluster: Cluster, project: ClusterProject) -> list[str]:
    """A Secret lacks a key, a migration did not run, a topic is too narrow: what the doctor says of each."""
    (secret,) = cluster.get("secret", "mail")
    definition = crds.definitions()["KafkaTopic"]
    history = ScriptDirectory.from_config(config(BEHIND))
    head = history.get_revision("head")
    assert head is not None
    before = str(head.down_revision)
    try:
        gone = json.dumps([{"op": "remove", "path": "/data/url"}])
        cluster.kubectl("patch", "secret", "mail", "-n", NAMESPACE, "--type=json", "-p", gone)
        _stamp(project, before)
        cluster.apply([definition])
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{name(definition)}", "--timeout=30s")
        topics = operators.topics()
        for topic in topics:
            topic["metadata"]["namespace"] = NAMESPACE
            if name(topic) == NARROW:
                topic["spec"]["partitions"] = 3
        cluster.apply(topics)
        said = [each["detail"] for each in ask(cluster) if not each["ok"]]
    finally:
        cluster.kubectl("delete", "crd", name(definition), timeout=60)
        _stamp(project, head.revision)
        back = json.dumps({"data": secret["data"]})
        cluster.kubectl("patch", "secret", "mail", "-n", NAMESPACE, "--type=merge", "-p", back)
    wanted = {
        "key": "The Secret mail has no key url",
        "schema": f"The schema of {BEHIND} is at {before}, and its release needs {head.revision}",
        "topic": f"The topic {NARROW} differs (partitions=3, declared 6)",
    }
    told = []
    for what, words in wanted.items():
        found = [each for each in said if words in each]
        assert found, f"the doctor does not name the {what}: {said}"
        told += found[:1]
    return told


def _stamp(project: ClusterProject, revision: str) -> None:
    with psycopg.connect(service_url(project.postgres_url, BEHIND)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))

"""NetworkPolicies as packets meet them: kube-router enforces them on one node, and pods knock at each other.

The policies of `components/network-policies` are put in force, all pods of the node try every other one's
port, and what gets through is held against the evaluator that `make deploy-check` uses.
"""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import yaml

from deploy.k8s.processes import API, PROCESSES, WORKER
from deploy.local.project import CHECKOUT
from tests.kubernetes import build, debian
from tests.kubernetes.cluster import NAMESPACE, Cluster
from tests.kubernetes.node import NODES
from tests.kubernetes.policies import End, allows
from tests.kubernetes.rendered import Json, name

POLICIES = CHECKOUT / "deploy" / "k8s" / "components" / "network-policies" / "policies.yaml"
PROCESS_PORTS = {(process.app, process.part): process.port for process in PROCESSES}
# One line of JSON: to which of the addresses a connection comes about within the time.
KNOCK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def knock(end):
    try:
        socket.create_connection(tuple(end), 2).close()
    except OSError:
        return False
    return True
ends = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(ends)) as pool:
    print(json.dumps(list(pool.map(knock, ends))))
"""
PEERS_AT_ONCE = 3


async def enforce(cluster: Cluster) -> str:
    return await asyncio.to_thread(_enforce, cluster)


def _enforce(cluster: Cluster) -> str:
    pods = _pods(cluster)
    before = _reached(cluster, pods)
    assert all(before.values()), f"without policies: {[pair for pair, there in before.items() if not there]}"
    policies = [each for each in yaml.safe_load_all(POLICIES.read_text()) if each]
    for policy in policies:
        policy["metadata"]["namespace"] = NAMESPACE
    with _router(cluster):
        cluster.apply(policies)
        ends = {pod: _end(pods[pod]) for pod in pods}
        wanted = {
            (source, target): allows(policies, ends[source], ends[target], _port(pods[target]))
            for source, target in before
        }
        found: dict[tuple[str, str], bool] = {}

        def agree() -> bool:
            found.update(_reached(cluster, pods))
            return found == wanted

        try:
            cluster.eventually("packets go as the policies say", agree, 90)
        finally:
            differ = [pair for pair, there in wanted.items() if found.get(pair) != there]
            if differ:
                print(f"          other than the policies say: {differ[:10]}", flush=True)
            gone = ("delete", "networkpolicies", "--all", "-n", NAMESPACE)
            cluster.kubectl(*gone)
    allowed = sum(wanted.values())
    assert 0 < allowed < len(wanted), wanted
    return (
        f"{len(pods)} pods of {NODES[0]}: {allowed} connections as in the table of edges get through, "
        f"{len(wanted) - allowed} others do not; without policies all did"
    )


def _pods(cluster: Cluster) -> dict[str, Json]:
    """Ready pods of one node, one of each process, by name."""
    found: dict[tuple[str, str], Json] = {}
    for pod in cluster.get("pods", "-l", "app.kubernetes.io/part-of=lectern"):
        ready = any(
            each["type"] == "Ready" and each["status"] == "True" for each in pod["status"]["conditions"]
        )
        if ready and pod["spec"].get("nodeName") == NODES[0] and _which(pod) in PROCESS_PORTS:
            found.setdefault(_which(pod), pod)
    return {name(pod): pod for pod in found.values()}


def _which(pod: Json) -> tuple[str, str]:
    labels = pod["metadata"]["labels"]
    return labels["app.kubernetes.io/name"], labels.get("app.kubernetes.io/component", "")


def _port(pod: Json) -> int:
    app, part = _which(pod)
    return PROCESS_PORTS[app, part]


def _end(pod: Json) -> End:
    return End(name(pod), tuple(pod["metadata"]["labels"].items()), NAMESPACE)


def _serving(pods: dict[str, Json]) -> list[str]:
    """Those that always listen: beat does not, and tasks only where metrics are asked for."""
    return [
        each for each, pod in pods.items() if _which(pod)[0] == "gateway" or _which(pod)[1] in (API, WORKER)
    ]


def _reached(cluster: Cluster, pods: dict[str, Json]) -> dict[tuple[str, str], bool]:
    """For each pair of two pods whether a connection comes about."""

    def knock(source: str) -> dict[tuple[str, str], bool]:
        targets = [each for each in _serving(pods) if each != source]
        ends = [(pods[each]["status"]["podIP"], _port(pods[each])) for each in targets]
        command = ("exec", source, "-n", NAMESPACE, "--", "python", "-c", KNOCK, json.dumps(ends))
        said: list[bool] = json.loads(cluster.kubectl(*command, timeout=60))
        return {(source, target): there for target, there in zip(targets, said, strict=True)}

    found: dict[tuple[str, str], bool] = {}
    with ThreadPoolExecutor(PEERS_AT_ONCE) as pool:
        for answers in pool.map(knock, pods):
            found |= answers
    return found


@contextmanager
def _router(cluster: Cluster) -> Iterator[None]:
    programs = debian.firewall()
    environment: dict[str, Any] = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"}
    cluster.start(
        "kube-router", build.program("kube-router"), f"--kubeconfig={cluster.kubeconfig}",
        "--run-firewall=true", "--run-router=false", "--run-service-proxy=false",
        "--run-loadbalancer=false", f"--hostname-override={NODES[0]}",
        "--service-cluster-ip-range=10.96.0.0/16", "--iptables-sync-period=5s", "--health-port=0",
        "--metrics-port=0", environment=environment,
    )  # fmt: skip
    try:
        yield
    finally:
        cluster.end("kube-router")
        clean_up()


def clean_up() -> None:
    """kube-router leaves its chains and sets behind."""
    programs = debian.firewall()

    def run(*argv: str) -> str:
        path = str(programs / argv[0])
        return subprocess.run([path, *argv[1:]], capture_output=True, text=True, check=False).stdout

    for program in ("iptables", "ip6tables"):
        rules = run(program, "-w", "-S").splitlines()
        ours = re.compile(r"KUBE-(ROUTER|NWPLCY|POD-FW)")
        for rule in rules:
            if rule.startswith("-A") and ours.search(rule) and not ours.match(rule.split()[1]):
                run(program, "-w", "-D", *_words(rule)[1:])
        chains = [rule.split()[1] for rule in rules if rule.startswith("-N") and ours.search(rule)]
        for flag in ("-F", "-X"):
            for chain in chains:
                run(program, "-w", flag, chain)
    for made in run("ipset", "list", "-n").split():
        if re.match(r"(inet6:)?(KUBE-(SRC|DST|NWPLCY)|kube-router)", made):
            run("ipset", "destroy", made)


def _words(rule: str) -> list[str]:
    """A rule as it is printed, comments in quotes."""
    return [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', rule)]

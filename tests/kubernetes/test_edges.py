"""NetworkPolicies let through each edge of the table and nothing besides: all pairs of ends, at all ports."""

from itertools import product

import pytest

from deploy.k8s.edges import EDGES, PEERS
from deploy.k8s.processes import HTTP_PORT, KAFKA_PORT, POSTGRES_PORT, PROCESSES, VALKEY_PORT
from libs.common.runtime.settings import SERVICES
from tests.kubernetes.policies import End, allows
from tests.kubernetes.rendered import WORKLOADS, of_kind, pod_of

PART_OF = "app.kubernetes.io/part-of"
PORTS = sorted({port for edge in EDGES for port in edge.ports} | {22, 80, 8080, 9100})
NAMESPACE = "kubernetes.io/metadata.name"


def ends(overlay: str) -> dict[str, End]:
    """Every kind of pod that is rendered, what operators run beside, and strangers."""
    found: dict[str, End] = {}
    for workload in of_kind(overlay, *WORKLOADS):
        labels = pod_of(workload)["metadata"]["labels"]
        (peer,) = [n for n, p in PEERS.items() if p.is_ours and set(p.pods) <= set(labels.items())]
        found[peer] = End(peer, tuple(labels.items()))
    for name in ("postgres", "pooler", "kafka"):
        found[name] = End(name, PEERS[name].pods)
    for name, other in PEERS.items():
        if other.namespace:
            labels_of = other.namespace
            if name in ("ingress", "monitoring"):
                labels_of = (*labels_of, (NAMESPACE, f"ns-{name}"))
            found[name] = End(name, other.pods, f"ns-{name}", labels_of)
    found["outside"] = End("outside", address="203.0.113.7")
    found["stranger"] = End("stranger", (("app", "shell"),), "default", ((NAMESPACE, "default"),))
    # Pods that bear the labels of ours in another namespace.
    found["impostor"] = End("impostor", found["gateway"].labels, "default", ((NAMESPACE, "default"),))
    found["metadata service"] = End("metadata service", address="169.254.169.254")
    found["private address"] = End("private address", address="10.0.0.7")
    return found


OUTSIDE = {name for name, peer in PEERS.items() if not peer.is_ours} | {"kafka", "stranger", "impostor",
          "metadata service", "private address"}  # fmt: skip


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_each_edge_is_let_through_and_nothing_besides(overlay: str):
    policies = of_kind(overlay, "NetworkPolicy")
    found = ends(overlay)
    wanted = {(edge.source, edge.target, port) for edge in EDGES for port in edge.ports}
    wrong = []
    for (source, a), (target, b) in product(found.items(), repeat=2):
        if source in OUTSIDE and target in OUTSIDE:
            continue  # what others say to each other is theirs
        for port in PORTS:
            if allows(policies, a, b, port) != _expected(wanted, source, target, port):
                wrong.append(f"{source} → {target}:{port}")
    assert not wrong


def _expected(wanted: set[tuple[str, str, int]], source: str, target: str, port: int) -> bool:
    """Servers in which only what comes in is limited may speak to whom they like outside of the suite."""
    if (source, target, port) in wanted:
        return True
    free = {"postgres", "pooler", "valkey", "valkey-broker"}
    return source in free and target in OUTSIDE


def test_names_are_asked_for_by_udp_too():
    policies = of_kind("production", "NetworkPolicy")
    found = ends("production")
    for process in PROCESSES:
        assert allows(policies, found[process.name], found["dns"], 53, "UDP"), process.name


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_every_workload_has_a_policy_of_its_own(overlay: str):
    names = {policy["metadata"]["name"] for policy in of_kind(overlay, "NetworkPolicy")}
    assert names >= set(ends(overlay)) - OUTSIDE


def test_what_a_process_uses_is_what_the_table_lets_it_reach():
    """The two tables, of processes and of edges, say the same."""
    reached = {
        "kafka": ("kafka", KAFKA_PORT), "valkey": ("valkey", VALKEY_PORT),
        "broker": ("valkey-broker", VALKEY_PORT), "database": ("pooler", POSTGRES_PORT),
        "storage": ("outside", 443), "mail": ("outside", 465), "keys": ("identity-api", HTTP_PORT),
    }  # fmt: skip
    for process in PROCESSES:
        for use, (target, port) in reached.items():
            has = any(
                (edge.source, edge.target) == (process.name, target) and port in edge.ports for edge in EDGES
            )
            if use == "keys" and process.app == "gateway":
                continue  # it asks identity for everything
            assert has == (use in process.uses), (process.name, use)
    asked = {edge.target for edge in EDGES if edge.source == "gateway" and edge.target.endswith("-api")}
    assert asked == {f"{service}-api" for service in SERVICES}


def test_the_evaluator_refuses_what_it_does_not_understand():
    policy = {
        "metadata": {"namespace": "lectern"},
        "spec": {"podSelector": {"matchExpressions": []}, "policyTypes": ["Egress"]},
    }
    with pytest.raises(NotImplementedError):
        allows([policy], End("a"), End("b"), 80)

"""The table of edges: who may connect to whom, and the NetworkPolicies made of it. All else is refused.

`python -m deploy.k8s edges` prints the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.k8s.processes import (
    API,
    BEAT,
    HTTP_PORT,
    KAFKA_PORT,
    MAILS,
    MIGRATE,
    POSTGRES_PORT,
    PROCESSES,
    STORES,
    VALKEY_PORT,
    WORK,
    WORKER,
)
from deploy.k8s.workloads import PART_OF, labels
from libs.common.runtime.settings import SERVICES
from libs.common.runtime.valkey import GATEWAY, MINT, REDEEM

Json = dict[str, Any]
NAMESPACE = "kubernetes.io/metadata.name"
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"]
HTTPS, SMTP, DNS = (443,), (465, 587), (53,)


@dataclass(frozen=True)
class Peer:
    """Pods by their labels; with `namespace` pods of other namespaces; with `cidr` addresses outside."""

    pods: tuple[tuple[str, str], ...] = ()
    namespace: tuple[tuple[str, str], ...] = ()
    cidr: str = ""

    @property
    def is_ours(self) -> bool:
        return not self.namespace and not self.cidr

    def as_yaml(self) -> Json:
        if self.cidr:
            return {"ipBlock": {"cidr": self.cidr, "except": PRIVATE}}
        made: Json = {}
        if self.namespace:
            made["namespaceSelector"] = {"matchLabels": dict(self.namespace)}
        if self.pods:
            made["podSelector"] = {"matchLabels": dict(self.pods)}
        return made


def _peer(selected: dict[str, str]) -> Peer:
    return Peer(tuple(selected.items()))


# Steps of a release by the names of their Jobs; `MIGRATE` has one for each service.
STEPS = {"bootstrap": labels("postgres", "bootstrap"), "topics": labels("kafka", "topics"),
         "rights": labels("kafka", "rights")}  # fmt: skip
PEERS: dict[str, Peer] = {
    **{process.name: _peer(labels(process.app, process.part)) for process in PROCESSES},
    **{f"{service}-{MIGRATE}": _peer(labels(service, MIGRATE)) for service in SERVICES},
    **{name: _peer(selected) for name, selected in STEPS.items()},
    "valkey": _peer(labels("valkey", "cache")),
    "valkey-broker": _peer(labels("valkey", "broker")),
    "postgres": _peer({"cnpg.io/cluster": "postgres", "cnpg.io/podRole": "instance"}),
    "pooler": _peer({"cnpg.io/poolerName": "postgres-pooler"}),
    "kafka": _peer({"strimzi.io/cluster": "kafka", "strimzi.io/name": "kafka-kafka"}),
    # Operators of the cluster label these namespaces: docs/kubernetes.md.
    "ingress": Peer(namespace=(("lectern/ingress", "yes"),)),
    "monitoring": Peer(namespace=(("lectern/monitoring", "yes"),)),
    "cnpg-operator": Peer(namespace=((NAMESPACE, "cnpg-system"),)),
    "dns": Peer(namespace=((NAMESPACE, "kube-system"),), pods=(("k8s-app", "kube-dns"),)),
    "outside": Peer(cidr="0.0.0.0/0"),
}


@dataclass(frozen=True)
class Edge:
    source: str
    target: str
    ports: tuple[int, ...]
    why: str


def _edges() -> Iterator[Edge]:
    keys = (HTTP_PORT,)
    yield Edge("ingress", GATEWAY, (HTTP_PORT,), "people")
    yield Edge(GATEWAY, "valkey", (VALKEY_PORT,), "limits")
    yield Edge(GATEWAY, "kafka", (KAFKA_PORT,), "revocations and changes of the catalogue")
    for service in SERVICES:
        api, worker, tasks = (f"{service}-{part}" for part in (API, WORKER, WORK))
        yield Edge(GATEWAY, api, (HTTP_PORT,), "requests and sockets")
        for name in (api, worker):
            yield Edge(name, "identity-api", keys, "public keys of tokens")
            yield Edge(name, "kafka", (KAFKA_PORT,), "events, revocations")
        for name in (api, worker, tasks):
            yield Edge(name, "pooler", (POSTGRES_PORT,), "its schema")
            yield Edge(name, "postgres", (POSTGRES_PORT,), "relay, wake-ups, waiting for the schema")
            yield Edge(name, "valkey-broker", (VALKEY_PORT,), "tasks")
        if service in {*MINT, *REDEEM}:
            yield Edge(api, "valkey", (VALKEY_PORT,), "tickets of sockets")
        if service in STORES:
            yield Edge(api, "outside", HTTPS, "object storage")
        yield Edge(f"{service}-{MIGRATE}", "postgres", (POSTGRES_PORT,), "migrations")
    for service in SERVICES:
        yield Edge(f"{service}-{WORK}", "outside", HTTPS, "object storage")
    for service in MAILS:
        yield Edge(f"{service}-{WORK}", "outside", SMTP, "mail")
    yield Edge(BEAT, "valkey-broker", (VALKEY_PORT,), "schedules")
    yield Edge("bootstrap", "postgres", (POSTGRES_PORT,), "schemas and roles")
    for step in ("topics", "rights"):
        yield Edge(step, "kafka", (KAFKA_PORT,), "as administrator")
    yield Edge("pooler", "postgres", (POSTGRES_PORT,), "pooled sessions")
    yield Edge("postgres", "postgres", (POSTGRES_PORT, 8000), "replication, the state of the others")
    yield Edge("cnpg-operator", "postgres", (POSTGRES_PORT, 8000), "the state of instances")
    for process in PROCESSES:
        if process.app != BEAT:
            yield Edge("monitoring", process.name, (process.port,), "metrics")
        yield Edge(process.name, "dns", DNS, "names")
    for name in (*(f"{service}-{MIGRATE}" for service in SERVICES), *STEPS):
        yield Edge(name, "dns", DNS, "names")


EDGES: tuple[Edge, ...] = tuple(_edges())
GUARDED = ("valkey", "valkey-broker", "postgres", "pooler")
"""Servers of which only what comes in is limited; Kafka's policies are Strimzi's own."""


def _rules(edges: list[Edge], side: str) -> list[Json]:
    """One rule for each set of ports."""
    grouped: dict[tuple[int, ...], list[str]] = {}
    for edge in edges:
        peer = edge.source if side == "from" else edge.target
        grouped.setdefault(edge.ports, []).append(peer)
    made = []
    for ports, peers in sorted(grouped.items()):
        protocols = ("UDP", "TCP") if ports == DNS else ("TCP",)
        made.append(
            {
                side: [PEERS[name].as_yaml() for name in sorted(set(peers))],
                "ports": [{"protocol": protocol, "port": port} for port in ports for protocol in protocols],
            }
        )
    return made


def policy(name: str) -> Json:
    """What one kind of pods may do and be asked."""
    ingress = _rules([edge for edge in EDGES if edge.target == name], "from")
    spec: Json = {"podSelector": {"matchLabels": dict(PEERS[name].pods)}, "policyTypes": ["Ingress"]}
    spec["ingress"] = ingress
    if name not in GUARDED:
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = _rules([edge for edge in EDGES if edge.source == name], "to")
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": PART_OF},
        "spec": spec,
    }


def files() -> dict[str, list[Json]]:
    """All is refused to the suite's pods, then each edge is allowed."""
    deny = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "labels": PART_OF},
        "spec": {"podSelector": {"matchLabels": PART_OF}, "policyTypes": ["Ingress", "Egress"]},
    }
    ours = [name for name, peer in PEERS.items() if peer.is_ours and name != "kafka"]
    return {"policies.yaml": [deny, *(policy(name) for name in ours)]}


def table() -> str:
    """The edges as a table of Markdown; edges that differ in one end alone stand in one line."""
    sources: dict[tuple[str, str, str], list[str]] = {}
    for edge in EDGES:
        sources.setdefault((edge.target, ", ".join(map(str, edge.ports)), edge.why), []).append(edge.source)
    targets: dict[tuple[str, str, str], list[str]] = {}
    for (target, ports, why), names in sources.items():
        targets.setdefault((_short(names), ports, why), []).append(target)
    lines = ["| from | to | port | why |", "|---|---|---|---|"]
    for (froms, ports, why), ends in targets.items():
        lines.append(f"| {froms} | {_short(ends)} | {ports} | {why} |")
    return "\n".join(lines)


def _short(names: list[str]) -> str:
    """All services of one part as `*-api`."""
    found = list(dict.fromkeys(names))
    for part in (API, WORKER, WORK, MIGRATE):
        every = [f"{service}-{part}" for service in SERVICES]
        if set(every) <= set(found):
            found = [name for name in found if name not in every] + [f"*-{part}"]
    return ", ".join(f"`{name}`" for name in found)

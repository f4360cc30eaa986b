"""Would a connection be let through? What NetworkPolicies say of it, evaluated as Kubernetes does."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod of a namespace, or an address outside."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    namespace: str = "lectern"
    namespace_labels: tuple[tuple[str, str], ...] = ()
    address: str = ""


def allows(policies: Iterable[Json], source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    """Both sides must agree: the source's egress and the target's ingress."""
    policies = list(policies)
    return _side(policies, "Egress", source, target, port, protocol) and _side(
        policies, "Ingress", target, source, port, protocol
    )


def _side(policies: list[Json], kind: str, pod: End, other: End, port: int, protocol: str) -> bool:
    """No policy that selects the pod: all is allowed. Else one rule must fit."""
    if pod.address:
        return True
    selecting = [
        each["spec"]
        for each in policies
        if pod.namespace == each["metadata"]["namespace"]
        and kind in each["spec"]["policyTypes"]
        and _selects(each["spec"]["podSelector"], pod.labels)
    ]
    if not selecting:
        return True
    peers = "to" if kind == "Egress" else "from"
    rules = [rule for spec in selecting for rule in spec.get(kind.lower()) or ()]
    return any(
        _has_port(rule, port, protocol) and _has_peer(rule.get(peers), pod.namespace, other) for rule in rules
    )


def _selects(selector: Json, labels: tuple[tuple[str, str], ...]) -> bool:
    if unknown := selector.keys() - {"matchLabels"}:
        raise NotImplementedError(f"selectors with {', '.join(unknown)}")
    return set(selector.get("matchLabels", {}).items()) <= set(labels)


def _has_port(rule: Json, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    if not ports:
        return True
    return any(
        each.get("protocol", "TCP") == protocol
        and each.get("port", port) <= port <= each.get("endPort", each.get("port", port))
        for each in ports
    )


def _has_peer(peers: list[Json] | None, namespace: str, other: End) -> bool:
    if not peers:
        return True
    return any(_is_peer(peer, namespace, other) for peer in peers)


def _is_peer(peer: Json, namespace: str, other: End) -> bool:
    if block := peer.get("ipBlock"):
        if not other.address:
            return False
        address = ip_address(other.address)
        excluded = any(address in ip_network(each) for each in block.get("except", ()))
        return address in ip_network(block["cidr"]) and not excluded
    if other.address:
        return False
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], other.namespace_labels):
            return False
    elif other.namespace != namespace:
        return False
    return _selects(peer.get("podSelector", {}), other.labels)

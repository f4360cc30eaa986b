"""Finds the client's address behind trusted proxies, and the network it belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from libs.common.runtime.networks import IP, host_of, network_of, read_address

MOST_HOPS = 32
MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Address:
    """A client's address. Services get `text`; limits count requests by `network`, what one customer has;
    connections are counted by `host`, what one machine has."""

    text: str
    network: str
    host: str


UNKNOWN = Address("unknown", "unknown", "unknown")


def _parsed(text: str) -> IP | None:
    """Read an address, also with the port that some proxies add; None for anything else."""
    text = text.strip(" \t")
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        if port and not port.startswith(":"):
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return read_address(text)


def _address(ip: IP) -> Address:
    return Address(str(ip), network_of(ip), host_of(ip))


class Addresses:
    """Finds the client behind a chain of proxies; remembers what it found."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = [ip_network(cidr, strict=False) for cidr in trusted]
        self._peers: dict[str, Address] = {}
        self._behind: dict[tuple[Address, bytes], Address] = {}

    def _trusts(self, ip: IP) -> bool:
        return any(ip in network for network in self._trusted)

    def of_peer(self, host: str) -> Address:
        """The address of the peer of a connection."""
        found = self._peers.get(host)
        if found is None:
            ip = _parsed(host)
            found = _address(ip) if ip is not None else UNKNOWN
            _remember(self._peers, host, found)
        return found

    def trusts(self, peer: Address) -> bool:
        """Whether `X-Forwarded-For` of this peer counts."""
        ip = _parsed(peer.text)
        return ip is not None and self._trusts(ip)

    def behind(self, peer: Address, forwarded_for: bytes) -> Address:
        """The rightmost entry that is not a trusted proxy: a client may have written those left of it.

        If an entry is not an address, the proxy that wrote it counts; if all are trusted, the leftmost."""
        found = self._behind.get((peer, forwarded_for))
        if found is None:
            found = self._walk(peer, forwarded_for)
            _remember(self._behind, (peer, forwarded_for), found)
        return found

    def _walk(self, peer: Address, forwarded_for: bytes) -> Address:
        nearest = peer
        for entry in reversed(forwarded_for.decode("latin-1").rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
            ip = _parsed(entry)
            if ip is None:
                break
            nearest = _address(ip)
            if not self._trusts(ip):
                break
        return nearest


def _remember(memory: dict[Any, Address], key: Any, value: Address) -> None:
    if len(memory) >= MOST_REMEMBERED:
        memory.clear()
    memory[key] = value

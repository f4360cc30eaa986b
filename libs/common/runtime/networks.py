"""IP addresses: one spelling of each, and the network that one customer has."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IP = IPv4Address | IPv6Address

NETWORK = {4: 24, 6: 56}
"""Prefix lengths of what a provider gives one customer."""
HOST = {4: 32, 6: 64}
"""Prefix lengths of what one machine has: with IPv6 it takes a new address in its /64 whenever it likes."""


def read_address(text: str) -> IP | None:
    """A single address in its one form: IPv4 within IPv6 as IPv4, no zone. None for anything else."""
    try:
        address = ip_address(text.strip(" \t"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:
            return IPv6Address(int(address))
    return address


def network_of(address: str | IP) -> str:
    """The customer's network, such as `203.0.113.0/24`: what limits, throttles and views count as one place.

    Text that is no address is a place of its own."""
    return _within(address, NETWORK)


def host_of(address: str | IP) -> str:
    """The machine: an IPv4 address, or the network of one with IPv6."""
    return _within(address, HOST)


def _within(address: str | IP, prefixes: dict[int, int]) -> str:
    found = read_address(address) if isinstance(address, str) else address
    if found is None:
        return str(address)
    prefix = prefixes[found.version]
    return str(found) if prefix == found.max_prefixlen else str(ip_network((found, prefix), strict=False))

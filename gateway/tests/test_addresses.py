"""Whose request it is: proxies that are trusted, proxies that are not, and what clients say of themselves."""

import pytest
from pydantic import ValidationError

from gateway.addresses import MOST_REMEMBERED, Address, Addresses
from gateway.settings import GatewaySettings

TRUSTED = Addresses(["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"])
PROXY = TRUSTED.of_peer("10.0.0.1")


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.9", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7, 10.0.0.9,127.0.0.1", "203.0.113.7"),  # who says 1.1.1.1 is the client itself
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:DB8:0:0::7, fd00::1", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("10.0.0.7, 10.0.0.8", "10.0.0.7"),  # nobody from outside: the first proxy is the client
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.7, unknown", "10.0.0.1"),
        ("203.0.113.7, , 10.0.0.9", "10.0.0.9"),
        ("203.0.113.7, 203.0.113.8 x", "10.0.0.1"),
        ("1.2.3.4.5, 10.0.0.9", "10.0.0.9"),
        ("[2001:db8::7]x", "10.0.0.1"),
        ("\xff\x00", "10.0.0.1"),
        ("1.1.1.1, " * 5000 + "10.0.0.9", "1.1.1.1"),
        ("203.0.113.7, " + "10.0.0.9, " * 50 + "10.0.0.9", "10.0.0.9"),  # nobody has fifty proxies
    ],
)
def test_the_rightmost_untrusted_entry_is_the_client(forwarded_for, client):
    for _ in range(2):  # found, then remembered
        assert TRUSTED.behind(PROXY, forwarded_for.encode("latin-1")).text == client


@pytest.mark.parametrize(
    ("text", "network", "host"),
    [
        ("203.0.113.7", "203.0.113.0/24", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.0/24", "203.0.113.7"),
        ("2001:db8:1:23ff::7", "2001:db8:1:2300::/56", "2001:db8:1:23ff::/64"),
        ("2001:db8:1:2300::1", "2001:db8:1:2300::/56", "2001:db8:1:2300::/64"),
        ("2001:db8:1:2400::1", "2001:db8:1:2400::/56", "2001:db8:1:2400::/64"),
    ],
)
def test_limits_count_networks_and_caps_count_machines(text, network, host):
    address = TRUSTED.of_peer(text)
    assert (address.network, address.host) == (network, host)


def test_the_memory_of_addresses_is_bounded():
    """Who is remembered is answered with the very same object, who is forgotten with an equal one."""
    addresses = Addresses(["10.0.0.0/8"])

    def look_up(number: int) -> Address:
        return addresses.behind(PROXY, f"2001:db8::{number:x}".encode())

    first = look_up(0)
    assert look_up(0) is first
    newest = [look_up(number) for number in range(1, MOST_REMEMBERED + 1)][-1]
    assert look_up(MOST_REMEMBERED) is newest
    again = look_up(0)
    assert again == first
    assert again is not first


def test_the_memory_of_peers_is_bounded():
    addresses = Addresses([])
    first = addresses.of_peer("192.0.2.1")
    assert addresses.of_peer("192.0.2.1") is first
    for number in range(MOST_REMEMBERED):
        addresses.of_peer(f"2001:db8::{number:x}")
    again = addresses.of_peer("192.0.2.1")
    assert again == first
    assert again is not first


def test_networks_are_checked_at_start():
    settings = GatewaySettings(environment="test", trusted_proxies="10.1.2.3/8, fd00::/8,,192.0.2.1")
    assert settings.trusted_proxies == ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]
    assert GatewaySettings(environment="test").trusted_proxies == []
    with pytest.raises(ValidationError):
        GatewaySettings(environment="test", trusted_proxies="the proxy")


async def test_what_a_client_says_of_itself_does_not_count(client, catalog):
    await client.get("/api/courses/", "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.8\r\n")
    assert catalog.seen[0].get("x-forwarded-for") == "127.0.0.1"


async def test_a_service_hears_of_one_address_behind_trusted_proxies(start):
    suite = await start(trusted_proxies=["127.0.0.0/8"])
    client, catalog = await suite.client(), suite.upstreams["catalog"]
    for given, heard in (
        ("X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n", "203.0.113.7"),
        ("X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 127.0.0.2\r\n", "203.0.113.7"),
        ("X-Forwarded-For: 2001:db8::7\r\nConnection: X-Forwarded-For\r\n", "2001:db8::7"),
        ("X-Forwarded-For: nonsense\r\n", "127.0.0.1"),
        ("", "127.0.0.1"),
    ):
        await client.get("/api/courses/", given)
        assert catalog.seen[-1].get("x-forwarded-for") == heard

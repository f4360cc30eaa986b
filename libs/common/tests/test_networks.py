import pytest

from libs.common.runtime.networks import host_of, network_of, read_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 2001:DB8:0:0::7 ", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("203.0.113.7, 10.0.0.1", "None"),
        ("203.0.113.7:80", "None"),
        ("2001:db8::7\n", "None"),
        ("unknown", "None"),
        ("", "None"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert str(read_address(text)) == address


@pytest.mark.parametrize(
    ("address", "network", "host"),
    [
        ("203.0.113.7", "203.0.113.0/24", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.0/24", "203.0.113.7"),
        ("2001:db8:1:23ff::7", "2001:db8:1:2300::/56", "2001:db8:1:23ff::/64"),
        ("2001:db8:1:2300::1", "2001:db8:1:2300::/56", "2001:db8:1:2300::/64"),
        ("unix", "unix", "unix"),
    ],
)
def test_a_network_is_what_a_customer_has_and_a_host_what_a_machine_has(
    address: str, network: str, host: str
) -> None:
    assert (network_of(address), host_of(address)) == (network, host)

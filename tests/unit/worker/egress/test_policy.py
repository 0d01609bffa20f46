"""Which addresses, ports and names the egress policy allows."""

import ipaddress
from collections.abc import Sequence

import hypothesis
import pytest
from hypothesis import strategies as st

from duetime_worker import handlers
from duetime_worker.egress import address as addresses
from duetime_worker.egress.policy import Policy, Refused
from duetime_worker.egress.rule import Rule

PUBLIC = [
    "8.8.8.8", "1.1.1.1", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1",
    "192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "168.63.129.15",
    "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
    "2001:0:808:808:0:ffff:f7f7:f7f7", "2606:4700::5efe:808:808",
]  # fmt: skip
REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200",
    "::", "::1", "::2", "::127.0.0.1", "::8.8.8.8", "::ffff:0.0.0.0", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1",
    "64:ff9b:1::7f00:1", "64:ff9b:1::8.8.8.8", "64:ff9b:2::8.8.8.8", "100::1", "2001::1",
    "2001:0:7f00:1:0:ffff:f7f7:f7f7",  # Teredo's server is loopback
    "2001:0:808:808:0:ffff:80ff:fffe",  # its client is
    "2001:1::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "2002:a00:1::1", "3fff::1", "4000::1", "5f00::1", "8000::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1",
    "fe80::1%eth0", "2606:4700::1%1", "fec0::1", "feff::1", "ff02::1", "ff0e::1", "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:7f00:1",
]  # fmt: skip


def check(policy: Policy, *found: str, host: str = "hooks.example", port: int = 443) -> None:
    policy.check(host, port, [ipaddress.ip_address(each) for each in found])


def rules(*entries: str) -> Sequence[Rule]:
    return [Rule.parse(entry) for entry in entries]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address: str) -> None:
    check(Policy(), address)
    check(Policy(), address, host=address)


@pytest.mark.parametrize("address", REFUSED)
def test_other_addresses_may_not_be_called(address: str) -> None:
    for host in ("hooks.example", address):
        with pytest.raises(Refused, match="DUETIME_EGRESS_ALLOW"):
            check(Policy(), address, host=host)
        with pytest.raises(Refused):
            check(Policy(), "8.8.8.8", address, "1.1.1.1", host=host)


@hypothesis.given(st.ip_addresses(v=4) | st.ip_addresses(v=6) | st.ip_addresses(v=6, network="2000::/3"))
def test_allowed_addresses_are_global_to_python_too(address: addresses.Address) -> None:
    try:
        check(Policy(), str(address))
    except Refused:
        return
    assert address.is_global
    assert not address.is_multicast


@pytest.mark.parametrize("port", [80, 443, 1024, 8080, 65535])
def test_http_and_unprivileged_ports_may_be_called(port: int) -> None:
    check(Policy(), "8.8.8.8", port=port)
    check(Policy(rules("10.0.0.0/8", "hooks.example")), "10.0.0.1", port=port)


@pytest.mark.parametrize("port", [1, 22, 25, 53, 81, 444, 465, 587, 1023])
def test_other_ports_need_an_entry_with_the_port(port: int) -> None:
    for policy in (Policy(), Policy(rules("8.8.8.8", "0.0.0.0/0", "hooks.example", "*.example", "hooks.example:8080"))):
        with pytest.raises(Refused, match=f"hooks.example:{port}: port {port} is not 80, 443 or 1024 to 65535"):
            check(policy, "8.8.8.8", port=port)
    for entry in ("8.8.8.8", "8.8.0.0/16", "hooks.example", "*.example"):
        check(Policy(rules(f"{entry}:{port}")), "8.8.8.8", port=port)


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("10.0.0.0/8", "10.1.2.3", "10.1.2.3"),
        ("10.0.0.0/8", "hooks.example", "10.1.2.3"),
        ("10.0.0.0/8", "hooks.example", "::ffff:10.1.2.3"),
        ("10.0.0.0/8", "hooks.example", "64:ff9b::10.1.2.3"),
        ("127.0.0.1", "localhost", "127.0.0.1"),
        ("::1", "localhost", "::1"),
        ("[::1]:9000", "::1", "::1"),
        ("fd00::/8", "hooks.example", "fd00::7"),
        ("[fe80::1]:9000", "fe80::1", "fe80::1"),
        ("::ffff:10.0.0.0/104", "hooks.example", "10.1.2.3"),
        ("[::ffff:10.1.2.3]:9000", "hooks.example", "::ffff:10.1.2.3"),
        ("straße.example", "xn--strae-oqa.example", "10.1.2.3"),
        ("localhost", "localhost", "127.0.0.1"),
        ("localhost:9000", "LOCALHOST.", "127.0.0.1"),
        ("Hooks.Example.", "hooks.example", "10.1.2.3"),
        ("*.example", "a.hooks.example", "10.1.2.3"),
        ("bücher.example", "xn--bcher-kva.example", "10.1.2.3"),
        ("0.0.0.0:9000", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0/0", "hooks.example", "172.16.0.1"),
    ],
)
def test_allowed_destinations_may_be_called(entry: str, host: str, address: str) -> None:
    with pytest.raises(Refused):
        check(Policy(), address, host=host, port=9000)
    check(Policy(rules("192.168.7.7", entry)), address, host=host, port=9000)


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("10.0.0.0/8", "hooks.example", "172.16.0.1"),
        ("127.0.0.1:9001", "127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost.example", "127.0.0.1"),
        ("*.example", "example", "127.0.0.1"),
        ("*.example", "hooks.badexample", "127.0.0.1"),
        ("*.example", "hooks.example.evil", "127.0.0.1"),
        ("10.0.0.0/8", "hooks.example", "64:ff9b::127.0.0.1"),
        ("64:ff9b:1::/96", "hooks.example", "64:ff9b:1::127.0.0.1"),
        ("0.0.0.0:9000", "10.255.0.9", "10.255.0.9"),
        ("0.0.0.0", "0.0.0.0", "0.0.0.0"),
        ("fe80::/10", "fe80::1", "fe80::1"),
        ("169.254.0.0/16", "169.254.7.7", "169.254.7.7"),
        ("ff00::/8", "ff02::1", "ff02::1"),
        ("224.0.0.0/4", "224.0.0.1", "224.0.0.1"),
        ("fe80::/10", "hooks.example", "fe80::1%eth0"),
    ],
)
def test_an_entry_allows_nothing_else(entry: str, host: str, address: str) -> None:
    with pytest.raises(Refused):
        check(Policy(rules(entry)), address, host=host, port=9000)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "168.63.129.16"]
)
def test_neither_a_network_nor_a_name_allows_metadata_services(address: str) -> None:
    open_door = rules("0.0.0.0/0", "::/0", "hooks.example", "hooks.example:80", "*.example:80", address)
    for found in (address, f"::ffff:{address}" if "." in address else address):
        with pytest.raises(Refused):
            check(Policy(open_door), found, port=80)
    check(Policy(rules(addresses.show(address, 80))), address, host=address, port=80)


def test_denied_destinations_are_refused_although_public_or_allowed() -> None:
    policy = Policy(rules("127.0.0.0/8", "*.internal.example"), rules("127.0.0.1:8080", "8.8.0.0/16", "*.bad.example"))
    check(policy, "127.0.0.1", port=8081)
    for host, address in (("hooks.internal.example", "127.0.0.1"), ("x", "8.8.8.8"), ("a.bad.example", "1.1.1.1")):
        with pytest.raises(Refused, match="DUETIME_EGRESS_DENY denies it"):
            check(policy, address, host=host, port=8080)


def test_an_allowed_host_with_its_port_is_an_exception_to_denied_ones() -> None:
    denied = rules("127.0.0.1:8080", "0.0.0.0:8080", "api.example")
    for entry in ("127.0.0.1", "127.0.0.0/8:8080", "127.0.0.1:8081", "localhost:8080"):
        with pytest.raises(Refused):
            check(Policy(rules(entry), denied), "127.0.0.1", host="localhost", port=8080)
    check(Policy(rules("127.0.0.1:8080"), denied), "127.0.0.1", host="localhost", port=8080)
    check(Policy(rules("api.example:8080"), denied), "8.8.8.8", host="api.example", port=8080)


def test_every_address_of_this_machine_can_be_denied_at_a_port() -> None:
    policy = Policy(rules("127.0.0.0/8", "::1"), rules("0.0.0.0:8080"))
    for address in ("127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"):
        check(policy, address, port=8081)
        with pytest.raises(Refused):
            check(policy, address, port=8080)
    check(policy, "8.8.8.8", port=8080)


@pytest.mark.parametrize(
    ("host", "address", "message"),
    [
        (
            "127.0.0.1",
            "127.0.0.1",
            "the worker may not call 127.0.0.1:9000: it is a loopback address; "
            "to allow it, set DUETIME_EGRESS_ALLOW=127.0.0.1:9000 in the worker's environment",
        ),
        (
            "::1",
            "::1",
            "the worker may not call [::1]:9000: it is a loopback address; "
            "to allow it, set DUETIME_EGRESS_ALLOW=[::1]:9000 in the worker's environment",
        ),
        (
            "Localhost",
            "127.0.0.1",
            "the worker may not call localhost:9000: it has an address that is not public; "
            "to allow it, set DUETIME_EGRESS_ALLOW=localhost:9000 in the worker's environment",
        ),
    ],
)
def test_a_refusal_is_final_and_names_the_setting_that_would_allow_it(host: str, address: str, message: str) -> None:
    with pytest.raises(handlers.Fail) as refused:
        check(Policy(), address, host=host, port=9000)
    assert str(refused.value) == message
    entry = message.partition("ALLOW=")[2].partition(" ")[0]
    check(Policy(rules(entry)), address, host=host, port=9000)


def test_a_refusal_does_not_reveal_the_addresses_of_a_name() -> None:
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "169.254.169.254"):
        with pytest.raises(Refused) as refused:
            check(Policy(), "8.8.8.8", address)
        assert address not in str(refused.value)
        assert "private" not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "::1", "::ffff:7f00:1", "localhost", "a.localhost."],
)
def test_before_a_proxy_refused_addresses_in_the_host_are_refused(host: str) -> None:
    with pytest.raises(Refused):
        Policy().check_unresolved(host, 8080)
    Policy(rules("127.0.0.1:8080", "[::1]:8080")).check_unresolved(host, 8080)


def test_before_a_proxy_names_ports_and_denied_destinations_are_checked() -> None:
    policy = Policy(rules("a.example:22"), rules("*.bad.example"))
    policy.check_unresolved("hooks.example", 8080)
    policy.check_unresolved("a.example", 22)
    refused = [
        ("hooks.example", 22),
        ("x.bad.example", 443),
        ("10.0.0.1", 443),
        ("127.0.0.1.", 443),
        ("1.2.3.4.5", 443),
    ]
    for host, port in refused:
        with pytest.raises(Refused):
            policy.check_unresolved(host, port)

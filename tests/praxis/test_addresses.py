"""Hosts and addresses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.praxis.addresses import HostPattern, address_reach, canonical_host
from life.praxis.errors import ToolInputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("localhost", "localhost"),
        ("a_b.example", "a_b.example"),
        ("xn--x-9fa.com", "xn--x-9fa.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::FFFF:127.0.0.1", "::ffff:7f00:1"),
    ],
)
def test_hosts_have_one_form(text: str, expected: str) -> None:
    """Lower case, no final dot, IPv6 compressed."""
    assert canonical_host(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "a..b", "-a.com", "a-.com", "a b", "a%00b", "a/b", "a@b", "x" * 64, "a." * 127 + "b",
        "2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.01", "1.2.3.4.5",
        "256.0.0.1", "example.1", "1.2.3.0x4", "fe80::1%eth0", "fe80::1%25eth0", ":::", "[::1]", "0x",
    ],
)  # fmt: skip
def test_other_spellings_of_addresses_and_no_hosts_are_refused(text: str) -> None:
    """Decimal, hexadecimal, octal and short IPv4, zones, and what is no host name at all."""
    with pytest.raises(ToolInputError):
        canonical_host(text)


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700:4700::1111", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("64:ff9b::808:808", "public"),  # NAT64 of 8.8.8.8, RFC 6052
        ("127.0.0.1", "private"),
        ("127.255.255.254", "private"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),  # shared address space, RFC 6598
        ("192.0.2.1", "private"),
        ("198.18.0.1", "private"),
        ("::1", "private"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("::ffff:127.0.0.1", "private"),
        ("::ffff:10.1.2.3", "private"),
        ("64:ff9b::7f00:1", "private"),
        ("64:ff9b:1::7f00:1", "private"),
        ("2002:7f00:1::1", "private"),  # 6to4 of 127.0.0.1
        ("2002:808:808::1", "private"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "private"),  # Teredo, RFC 4380
        ("2001:db8::1", "private"),
        ("3fff::1", "private"),
        ("::7f00:1", "private"),  # IPv4-compatible, deprecated
        ("0.0.0.0", "never"),
        ("0.1.2.3", "never"),
        ("::", "never"),
        ("169.254.169.254", "never"),
        ("::ffff:169.254.169.254", "never"),
        ("64:ff9b::a9fe:a9fe", "never"),
        ("168.63.129.16", "never"),
        ("100.100.100.200", "never"),
        ("fd00:ec2::254", "never"),
        ("fe80::1", "never"),
        ("224.0.0.1", "never"),
        ("ff02::1", "never"),
        ("255.255.255.255", "never"),
        ("240.0.0.1", "never"),
    ],
)
def test_what_addresses_reach(text: str, reach: str) -> None:
    """The IANA special-purpose registries (RFC 6890), IPv4 inside IPv6, and known metadata services."""
    assert address_reach(ipaddress.ip_address(text)) == reach


@given(st.ip_addresses(v=4))
def test_ipv4_inside_ipv6_reaches_the_same(address: ipaddress.IPv4Address) -> None:
    """Writing an IPv4 address as a mapped or NAT64 IPv6 address changes nothing."""
    for network in ("::ffff:0:0", "64:ff9b::"):
        wrapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address(network)) | int(address))
        assert address_reach(wrapped) == address_reach(address)


@given(st.ip_addresses(v=6))
def test_only_global_unicast_is_public(address: ipaddress.IPv6Address) -> None:
    """A public IPv6 address is in 2000::/3, or carries a public IPv4 address."""
    if address_reach(address) == "public":
        inside = ipaddress.IPv6Network("2000::/3")
        assert address in inside or address.ipv4_mapped or address in ipaddress.IPv6Network("64:ff9b::/96")


@pytest.mark.parametrize(
    ("pattern", "host", "port", "expected"),
    [
        ("localhost", "localhost", 80, True),
        ("Localhost.", "localhost", 80, True),
        ("localhost", "localhost.evil.com", 80, False),
        ("*.internal", "a.b.internal", 443, True),
        ("*.internal", "internal", 443, False),
        ("*.internal", "evilinternal", 443, False),
        ("127.0.0.1", "127.0.0.1", 1, True),
        ("127.0.0.1:8402", "127.0.0.1", 8402, True),
        ("127.0.0.1:8402", "127.0.0.1", 8403, False),
        ("127.0.0.1", "localhost", 1, False),
        ("127.0.0.0/8", "127.9.9.9", 1, True),
        ("10.0.0.0/8", "11.0.0.1", 1, False),
        ("::1", "::1", 1, True),
        ("[::1]", "::1", 1, True),
        ("[::1]:80", "::1", 80, True),
        ("[::1]:80", "::1", 81, False),
        ("[fd00::]/8", "fd12::1", 1, True),
        ("fd00::/8", "fd12::1", 1, True),
        ("127.0.0.1", "::ffff:7f00:1", 1, False),
        ("*", "anything.example", 1, True),
    ],
)
def test_patterns(pattern: str, host: str, port: int, expected: bool) -> None:
    """Names by text, addresses by number, ports when they are given."""
    assert HostPattern.parse(pattern).matches(host, port) is expected


@pytest.mark.parametrize(
    "text", ["", "a b", "http://x", "x/y", "[::1", "[::1]:", "x:y", "x:123456", "a[b]", "10.0.0.1/8"]
)
def test_bad_patterns_are_refused(text: str) -> None:
    """A pattern that would silently match nothing, or too much, is an error at start."""
    with pytest.raises(ValueError):
        HostPattern.parse(text)

"""Which hosts and network addresses tools may reach.

Two questions. What does a URL's host say (`canonical_host`)? Only a DNS name, a dotted IPv4 address or an IPv6 address;
every other spelling of an address (decimal, hexadecimal, short forms: RFC 3986 §7.4) is refused, since policies and
people compare text. And what is an address (`address_reach`)? Public by the IANA special-purpose registries (RFC 6890,
through `ipaddress`), with IPv4 addresses unwrapped from the IPv6 forms that carry them.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from typing import Final, Literal

import msgspec

from life.praxis.errors import ToolInputError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

Reach = Literal["public", "private", "never"]
"""`private` needs a permit of the operator; `never` has none: link-local (cloud metadata), multicast, unspecified."""

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_HOST_CHARACTERS: Final = 253

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last 32 bits
_GLOBAL_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")  # RFC 4291 §2.4
_SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")  # RFC 3056; carries any IPv4 address, and is long retired
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")
_DOCUMENTATION_V6: Final = ipaddress.IPv6Network("3fff::/20")  # RFC 9637; newer than Python 3.11's tables
_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")  # Azure, Alibaba, AWS: not link-local
)


def canonical_host(host: str) -> str:
    """Lower-case name without a final dot, dotted IPv4, or compressed IPv6 without brackets. ToolInputError otherwise."""
    text = host.lower()
    if ":" in text:
        try:
            address = ipaddress.IPv6Address(text)
        except ValueError:
            raise ToolInputError(f"'{host[:80]}' is not an IPv6 address.") from None
        if address.scope_id is not None:
            raise ToolInputError("An IPv6 address with a zone is not allowed.")
        return address.compressed
    text = text.removesuffix(".")
    labels = text.split(".")
    if not text or len(text) > _MAX_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ToolInputError(f"'{host[:80]}' is not a host name.")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):  # the WHATWG rule: a host that ends in a number is an IPv4 address
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise ToolInputError(f"'{host[:80]}': write an IPv4 address as four decimal numbers.") from None
    return text


def address_reach(address: IPAddress) -> Reach:
    """Who can be behind an address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return address_reach(inner)
    if (
        address in _METADATA
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (isinstance(address, ipaddress.IPv4Address) and (address.is_reserved or int(address) >> 24 == 0))
    ):
        return "never"
    if not address.is_global:
        return "private"
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in _GLOBAL_UNICAST_V6
        or address in _SIX_TO_FOUR
        or address in _TEREDO
        or address in _DOCUMENTATION_V6
    ):
        return "private"
    return "public"


class HostPattern(msgspec.Struct, frozen=True):
    """One entry of a list of hosts: `api.example.com`, `*.example.com`, `127.0.0.1`, `10.0.0.0/8`, `[::1]`; `:port` last.

    Names and stars are compared with the host as the URL has it, addresses and networks with a URL whose host *is* such
    an address: a permit for 127.0.0.1 is none for a name that resolves to it.
    """

    host: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> HostPattern:
        """ValueError when the text is no pattern."""
        match = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\](?P<mask>/\d+)?|(?P<host>[^\[\]:]+))(?::(?P<port>\d{1,5}))?", text)
        if match is None:
            try:
                return cls("", ipaddress.IPv6Network(text), None)  # an IPv6 network without brackets, so without a port
            except ValueError:
                raise ValueError(f"{text!r} is not a host pattern") from None
        port = None if match["port"] is None else int(match["port"])
        if match["v6"] is not None:
            return cls("", ipaddress.IPv6Network(match["v6"] + (match["mask"] or "")), port)
        host = match["host"].lower().removesuffix(".")
        try:
            return cls("", ipaddress.ip_network(host), port)
        except ValueError:
            if re.fullmatch(r"[a-z0-9_.*-]+", host) is None:
                raise ValueError(f"{text!r} is not a host pattern") from None
            return cls(host, None, port)

    def matches(self, host: str, port: int) -> bool:
        """Whether a canonical host and a port are meant."""
        if self.port is not None and self.port != port:
            return False
        if self.network is None:
            return fnmatch.fnmatchcase(host, self.host)
        try:
            return ipaddress.ip_address(host) in self.network
        except ValueError:
            return False


def parse_patterns(texts: tuple[str, ...]) -> tuple[HostPattern, ...]:
    """All patterns of a list. ValueError names the first that is none."""
    return tuple(HostPattern.parse(text) for text in texts)

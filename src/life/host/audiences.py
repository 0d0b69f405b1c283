"""Whom an agent token is for when the daemon may be anybody's: the daemon's kind together with the name that it is reached under.

A token for `spacesd` alone could be shown again, within its minute, by the server that it was shown to, at another one. One for
`spacesd:hub.example` is worth nothing anywhere else (RFC 7519 §4.1.3; spaces.md §13).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

import msgspec

from life.crypto import jws
from life.crypto.errors import CryptoError

_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def audience_at(daemon: str, address: str) -> str:
    """The audience of tokens for a daemon at an address (`https://host:port`, `wss://host/path`). As in a Host header, a scheme's own port
    is not named (RFC 9110 §7.2)."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return audience_of_host(daemon, host.removesuffix(f":{_PORTS.get(parts.scheme, 0)}"))


def audience_of_host(daemon: str, host: str) -> str:
    """The same from the Host header that a request to it carries."""
    return f"{daemon}:{host.lower()}"


class _Claims(msgspec.Struct):
    aud: str = ""


def own_audience(token: str, daemon: str, hosts: Collection[str]) -> str | None:
    """Which audience to verify a token against: the one that it names, when that is this daemon under one of its own `hosts`; otherwise None,
    the daemon's plain name. Nothing is verified here."""
    try:
        named = msgspec.json.decode(jws.parse(token).payload, type=_Claims).aud
    except (CryptoError, msgspec.MsgspecError):
        return None
    return named if any(named == audience_of_host(daemon, host) for host in hosts) else None

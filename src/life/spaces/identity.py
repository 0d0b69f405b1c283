"""Who somebody is in Spaces: 32 bytes, stable across key rotation.

The identity is SpacetimeDB's derivation over ("life", root DID), so that its clients take it for one of theirs: c200, then
a 4-byte checksum, then 26 bytes of blake3 over "issuer|subject" (spaces.md §13). In our own formats it is 64 lower-case
hex digits. The root DID is the genesis DID of the rotation chain; using the current key would change who one is at every
rotation.
"""

from __future__ import annotations

import base64
import re
from typing import Final, Literal

import msgspec
from blake3 import blake3

from life.spaces.errors import InvalidArgumentError

ISSUER: Final = "life"
SERVER_IDENTITY: Final = "0" * 64
"""The sender of what the server itself writes: System, Join and Leave messages."""
_PREFIX: Final = b"\xc2\x00"
_HEX: Final = re.compile(r"[0-9a-f]{64}")

CallerKind = Literal["agent", "person", "system"]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the engine established it; never taken from a command's arguments."""

    identity: str
    did: str
    """The root DID; for a person without one, a stable subject such as `user:alice`."""
    key: str = ""
    """The did:key that signed the login; signatures of messages are checked against the identity's known keys."""
    kind: CallerKind = "agent"
    ceiling: frozenset[str] | None = None
    """The permissions that the agent's own policy grants it at most; None sets no ceiling."""

    @property
    def is_agent(self) -> bool:
        """Whether an agent acts, not a person or the server."""
        return self.kind == "agent"


SYSTEM: Final = Caller(identity=SERVER_IDENTITY, did="", kind="system")
"""The engine itself."""


def identity_of(did: str, *, issuer: str = ISSUER) -> str:
    """The identity of a root DID (or any other subject of `issuer`), as 64 hex digits."""
    tail = blake3(f"{issuer}|{did}".encode()).digest()[:26]
    checksum = blake3(_PREFIX + tail).digest()[:4]
    return (_PREFIX + checksum + tail).hex()


def check_identity(text: str) -> str:
    """`text`, when it is an identity in hex; InvalidArgumentError otherwise."""
    if _HEX.fullmatch(text) is None:
        raise InvalidArgumentError("An identity is 64 lower-case hex digits.")
    return text


def default_username(identity: str, *, is_agent: bool) -> str:
    """The first name of a newcomer: `agent-` or `user-` and 12 base32 digits of the hash's tail, never of the constant prefix (W1)."""
    digits = base64.b32encode(bytes.fromhex(identity)[-8:]).decode().lower()[:12]
    return ("agent-" if is_agent else "user-") + digits

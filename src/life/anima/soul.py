"""The soul: where an agent comes from, what it is for, its values and the key it was born with (anima.md §1).

A soul never changes. Its hash is Blake3-256 over four segments, in this order:

    "anima:soul:origin:"   ‖ length ‖ RFC 8785 JSON of the origin
    "anima:soul:lineage:"  ‖ length ‖ RFC 8785 JSON of the lineage
    "anima:soul:values:"   ‖ length ‖ RFC 8785 JSON of the values
    "anima:soul:root_key:" ‖ length ‖ the 33 bytes of the root key

Labels are ASCII, lengths 8 bytes big-endian (AN-SOUL-1, AN-SOUL-2; scheme `anima-soul-v2`). A `Soul` whose content does not
have its hash can't be made, read or copied: every way to get one verifies it (AN-SOUL-3). After a key rotation the root
key stays as it was at birth (AN-SOUL-5).
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec
from blake3 import blake3

from life.aios.errors import InvalidInputError
from life.aios.record import format_timestamp, parse_timestamp
from life.anima.errors import SoulIntegrityViolationError
from life.anima.policy import PolicyManifest
from life.crypto.canonical import canonical_json
from life.crypto.errors import CryptoError, InvalidKeyError
from life.crypto.p256 import P256PublicKey

HASH_SCHEME: Final = "anima-soul-v2"
PROTOCOL_VERSION: Final = "0.1.0"
MAX_NAME_CHARACTERS: Final = 128
MAX_MISSION_CHARACTERS: Final = 4096

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class HumanCreator(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="human", forbid_unknown_fields=True
):
    """A person made the agent."""

    identity: str


class AgentCreator(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="agent", forbid_unknown_fields=True
):
    """Another agent made the agent."""

    agent_id: str
    soul_hash: str


class SystemCreator(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="system", forbid_unknown_fields=True
):
    """A program made the agent."""

    context: str = "default"


Creator = HumanCreator | AgentCreator | SystemCreator


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the agent comes from. `created_at` is RFC 3339 UTC with microseconds."""

    created_at: str
    creator: Creator
    name: str
    mission: str
    protocol_version: str = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        try:
            canonical = format_timestamp(parse_timestamp(self.created_at)) == self.created_at
        except (ValueError, OverflowError):
            canonical = False
        if not canonical:
            raise InvalidInputError("A soul's birth must be an RFC 3339 UTC time with microseconds.")
        if len(self.name) > MAX_NAME_CHARACTERS or _NAME.fullmatch(self.name) is None or self.name != self.name.strip():
            raise InvalidInputError(
                f"An agent's name has 1 to {MAX_NAME_CHARACTERS} characters, no control characters and no blanks around it."
            )
        if len(self.mission) > MAX_MISSION_CHARACTERS:
            raise InvalidInputError(f"An agent's mission has at most {MAX_MISSION_CHARACTERS} characters.")


class Ancestor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One soul of the line, with its own generation: 0 for an agent without parent."""

    agent_id: str
    soul_hash: str
    generation: int

    def __post_init__(self) -> None:
        if not 0 <= self.generation < 1 << 32:
            raise InvalidInputError("A generation is an unsigned 32-bit integer.")
        if _HASH.fullmatch(self.soul_hash) is None:
            raise InvalidInputError("A soul hash is 64 lower-case hex digits.")


class SoulSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A soul in one line of a log."""

    name: str
    mission: str
    short_hash: str
    """The first 16 hex digits of the hash."""
    generation: int


class Soul(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent's soul. `root_public_key` is the hex of the compressed P-256 key at birth, `lineage` oldest first.

    Making or decoding one raises SoulIntegrityViolationError when the hash is not that of the content, and
    InvalidInputError when a part can't be right.
    """

    origin: Origin
    lineage: tuple[Ancestor, ...]
    values: PolicyManifest
    root_public_key: str
    soul_hash: str
    hash_scheme: Literal["anima-soul-v2"] = HASH_SCHEME

    def __post_init__(self) -> None:
        self.verify_integrity()

    @property
    def generation(self) -> int:
        """How many generations stand before this one."""
        return self.lineage[-1].generation + 1 if self.lineage else 0

    def verify_integrity(self) -> None:
        """Compute the hash again; SoulIntegrityViolationError when it is another one."""
        actual = compute_soul_hash(self.origin, self.lineage, self.values, root_public_key=self.root_public_key)
        if actual != self.soul_hash:
            raise SoulIntegrityViolationError(
                f"The soul was changed: its hash is {actual}, but it is sealed with {self.soul_hash[:64]}.",
                next_step="Restore it from a backup or from version control; a soul can't be edited.",
                details={"expected": self.soul_hash[:64], "actual": actual},
            )

    def audit_summary(self) -> SoulSummary:
        """Name, mission, short hash and generation."""
        return SoulSummary(
            name=self.origin.name,
            mission=self.origin.mission,
            short_hash=self.soul_hash[:16],
            generation=self.generation,
        )


def build_soul(
    *,
    name: str,
    mission: str,
    root_public_key: bytes,
    created_at_us: int,
    creator: Creator | None = None,
    lineage: tuple[Ancestor, ...] = (),
    values: PolicyManifest | None = None,
) -> Soul:
    """A new soul, sealed. Defaults: created by the system, no ancestors, the default manifest.

    InvalidInputError when a part can't be right.
    """
    origin = Origin(
        created_at=format_timestamp(created_at_us), creator=creator or SystemCreator(), name=name, mission=mission
    )
    manifest = PolicyManifest() if values is None else values
    key = root_public_key.hex()
    return Soul(
        origin=origin,
        lineage=lineage,
        values=manifest,
        root_public_key=key,
        soul_hash=compute_soul_hash(origin, lineage, manifest, root_public_key=key),
    )


def compute_soul_hash(
    origin: Origin, lineage: tuple[Ancestor, ...], values: PolicyManifest, *, root_public_key: str
) -> str:
    """The hash of a soul's content: 64 lower-case hex digits. InvalidInputError when a part can't be hashed."""
    try:
        key = bytes.fromhex(root_public_key)
        if key.hex() != root_public_key or len(key) != 33:
            raise InvalidKeyError("not 33 bytes in lower-case hex")
        P256PublicKey(key)
    except ValueError:  # not hex, or a CryptoError: not a point of the curve
        raise InvalidInputError("A soul's root key is a compressed P-256 key in lower-case hex.") from None
    hasher = blake3()
    for label, segment in (
        (b"anima:soul:origin:", _canonical(origin)),
        (b"anima:soul:lineage:", _canonical(lineage)),
        (b"anima:soul:values:", _canonical(values)),
        (b"anima:soul:root_key:", key),
    ):
        hasher.update(label)
        hasher.update(len(segment).to_bytes(8, "big"))
        hasher.update(segment)
    return hasher.hexdigest()


def load_soul(document: bytes | object) -> Soul:
    """A soul from its JSON text or from decoded JSON, verified.

    SoulIntegrityViolationError when it was changed, InvalidInputError when it is no soul.
    """
    try:
        if isinstance(document, bytes):
            return msgspec.json.decode(document, type=Soul)
        return msgspec.convert(document, Soul)
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"This is not a soul: {error}.") from None


def _canonical(part: object) -> bytes:
    try:
        return canonical_json(msgspec.to_builtins(part))
    except CryptoError as error:
        raise InvalidInputError(f"A part of the soul can't be hashed: {error}.") from None

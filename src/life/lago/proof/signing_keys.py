"""Whose signature counts, and when: the public history of an agent's keys, as data.

The host makes it from the identity's stream (life.host.journal_proof); a session archive carries it. A key signs from the moment
it came until the next one replaced it. If it was revoked as compromised, what it signed since the doubtful moment counts for
nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.crypto import jws
from life.crypto.did import Curve
from life.crypto.errors import CryptoError

SKEW_US: Final = 60_000_000
"""How far the clock of the signing machine may be off."""


class KeyPeriod(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key of the agent. Times in microseconds since 1970; `until_us` is the moment it was replaced."""

    did: str
    from_us: int
    until_us: int | None = None
    doubtful_since_us: int | None = None
    """Since when its signatures are not to be believed; None when it was never revoked."""


class KeyRotation(msgspec.Struct, frozen=True, kw_only=True):
    """One key replaced by the next, with the proofs of both (typ `JWT`): the old one names its successor, the new one agrees."""

    old_did: str
    new_did: str
    rotation_proof_jws: str
    new_key_proof: str
    rotated_at: str


class SigningKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of one agent, oldest first, and the rotations that lead from each to the next."""

    agent_id: str
    keys: tuple[KeyPeriod, ...]
    rotations: tuple[KeyRotation, ...] = ()

    def index(self, did: str) -> int | None:
        """Which of the keys this is; None when it is none of them."""
        return next((number for number, key in enumerate(self.keys) if key.did == did), None)

    def objection(self, did: str, signed_at_us: int) -> str | None:
        """Why a signature by `did` of this time does not count; None when it does."""
        number = self.index(did)
        if number is None:
            return f"{did} is no key of {self.agent_id}"
        key = self.keys[number]
        if signed_at_us < key.from_us - SKEW_US:
            return f"{did} was no key of {self.agent_id} yet"
        if key.until_us is not None and signed_at_us > key.until_us + SKEW_US:
            return f"{did} had been replaced"
        if key.doubtful_since_us is not None and signed_at_us >= key.doubtful_since_us:
            return f"{did} was revoked"
        return None

    def fault(self) -> str | None:
        """Why this is no history of one agent's keys; None when every key but the first is proven by the one before it."""
        if not self.keys or len(self.rotations) != len(self.keys) - 1:
            return "a key was not brought in by a rotation"
        for number, link in enumerate(self.rotations):
            if (link.old_did, link.new_did) != (self.keys[number].did, self.keys[number + 1].did):
                return "the rotations do not lead from key to key"
            if not (
                _says(link.rotation_proof_jws, by=link.old_did, of=link.new_did, kind="anima.rotation_proof")
                and _says(link.new_key_proof, by=link.new_did, of=link.old_did, kind="anima.rotation_acceptance")
            ):
                return f"the rotation to {link.new_did} is not proven"
        return None


def _says(token: str, *, by: str, of: str, kind: str) -> bool:
    """Whether `by` signed a statement of this type about `of`."""
    try:
        verified = jws.verify(token, typ="JWT", curves=frozenset((Curve.P256, Curve.ED25519)))
    except CryptoError:
        return False
    claims = verified.claims
    return (verified.signer.did, claims.get("iss"), claims.get("sub"), claims.get("type")) == (by, by, of, kind)

"""Lineage: a child's soul names its parent, and the parent signs for the child (AN-SOUL-4).

Soul hashes are public, so naming one proves nothing. `attest_birth` is the parent's signature over the child's hash;
`verify_child` accepts a child only with it, with the parent's own ancestors repeated in front, and with the right
generation.
"""

from __future__ import annotations

from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.anima.errors import LineageViolationError
from life.anima.soul import Ancestor, Soul
from life.crypto import jws
from life.crypto.did import Curve, encode_did
from life.crypto.errors import CryptoError

BIRTH_TYPE = "anima.birth_attestation"
_JWT = "JWT"


def lineage_of_child(parent: Soul, *, parent_agent_id: str) -> tuple[Ancestor, ...]:
    """The lineage of a child of `parent`: the parent's own, then the parent."""
    return (
        *parent.lineage,
        Ancestor(agent_id=parent_agent_id, soul_hash=parent.soul_hash, generation=parent.generation),
    )


async def attest_birth(custody: Custody, *, parent: Soul, child: Soul, clock: Clock) -> str:
    """The parent's signed statement that `child` is its own. `custody` is the parent's; its key is the soul's root key."""
    claims: JsonObject = {
        "iss": root_did(parent),
        "sub": child.soul_hash,
        "type": BIRTH_TYPE,
        "parent_soul_hash": parent.soul_hash,
        "iat": clock.now_us() // 1_000_000,
    }
    return await custody.sign_token(claims, typ=_JWT)


def verify_child(parent: Soul, child: Soul, *, attestation_jws: str) -> None:
    """Check that `child` descends from `parent` directly and that the parent's root key signed for it.

    LineageViolationError otherwise.
    """
    if not child.lineage or child.lineage[-1].soul_hash != parent.soul_hash:
        raise LineageViolationError("The soul does not name this parent.")
    if child.lineage[:-1] != parent.lineage or child.lineage[-1].generation != parent.generation:
        raise LineageViolationError("The soul's ancestors are not those of its parent.")
    try:
        statement = jws.verify(attestation_jws, typ=_JWT)
    except CryptoError as error:
        raise LineageViolationError(f"The birth attestation does not hold ({error.code}).") from None
    parent_did = root_did(parent)
    expected = {
        "iss": parent_did,
        "sub": child.soul_hash,
        "type": BIRTH_TYPE,
        "parent_soul_hash": parent.soul_hash,
    }
    if statement.signer.did != parent_did or any(
        statement.claims.get(name) != value for name, value in expected.items()
    ):
        raise LineageViolationError("The birth attestation is not this parent's word for this child.")


def root_did(soul: Soul) -> str:
    """The DID of the key the agent was born with."""
    return encode_did(Curve.P256, bytes.fromhex(soul.root_public_key))

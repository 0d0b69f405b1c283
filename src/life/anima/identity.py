"""The identity: which keys the agent has and where it stands in its life (anima.md §3).

Keys and DID come from custody; the lifecycle is a closed table (AN-ID-1):

    unclaimed → pending, revoked          known, not yet claimed by a user
    pending   → active, expired, revoked
    active    → expired, revoked
    expired   → active, revoked           back only with a later end and a signature of the current key
    revoked   → nothing

Ids match `[A-Za-z0-9_-]{1,64}` everywhere (AN-ID-2). The agent id is derived from the key the agent was born with, so a
signature proves it and two agents can't share one.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.aios.record import format_timestamp, parse_timestamp
from life.anima.errors import IllegalTransitionError
from life.crypto import jws
from life.crypto.did import Curve, resolve_did
from life.crypto.errors import CryptoError

Lifecycle = Literal["unclaimed", "pending", "active", "expired", "revoked"]

DEFAULT_CHAIN: Final = "eip155:8453"
"""Base mainnet (CAIP-2)."""

RENEWAL_TYPE: Final = "anima.identity_renewal"
_JWT: Final = "JWT"

TRANSITIONS: Final[dict[Lifecycle, frozenset[Lifecycle]]] = {
    "unclaimed": frozenset({"pending", "revoked"}),
    "pending": frozenset({"active", "expired", "revoked"}),
    "active": frozenset({"expired", "revoked"}),
    "expired": frozenset({"active", "revoked"}),
    "revoked": frozenset(),
}
"""Where an identity may go from each state."""

_AGENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHAIN: Final = re.compile(r"eip155:[1-9][0-9]{0,17}")


class WalletAddress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An EVM account: EIP-55 text, and the CAIP-2 chain it is used on by default."""

    address: str
    chain: str = DEFAULT_CHAIN


class AgentIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the journal says of an identity. `auth_public_key` is the hex of 33 bytes, times are RFC 3339."""

    agent_id: str
    host_id: str
    auth_public_key: str
    wallet_address: WalletAddress
    did: str
    lifecycle: Lifecycle = "pending"
    created_at: str
    expires_at: str | None = None
    seed_blob_ref: str | None = None

    def is_active(self, at_us: int) -> bool:
        """Whether the identity is active and not past its end at `at_us`."""
        return self.lifecycle == "active" and (self.expires_at is None or at_us < parse_timestamp(self.expires_at))


def agent_id_of(public_key: bytes) -> str:
    """The id of the agent born with this key: `agent-` and 16 hex digits of SHA-256 over its 33 bytes (anima.md §21)."""
    return f"agent-{hashlib.sha256(public_key).hexdigest()[:16]}"


def agent_id_of_did(did: str) -> str | None:
    """The id of the agent that was born with this DID's key; None for a DID that is not a P-256 `did:key`."""
    try:
        key = resolve_did(did)
    except CryptoError:
        return None
    return agent_id_of(key.public_key) if key.curve is Curve.P256 else None


def check_agent_id(value: str, *, what: str = "agent id") -> str:
    """`value`, when it is a well-formed id (AN-ID-2); otherwise an InvalidInputError."""
    if _AGENT_ID.fullmatch(value) is None:
        raise InvalidInputError(f"The {what} must be 1 to 64 letters, digits, '-' and '_'.")
    return value


def check_chain(value: str) -> str:
    """`value`, when it is a CAIP-2 name of an EVM chain, like `eip155:8453`; otherwise an InvalidInputError."""
    if _CHAIN.fullmatch(value) is None:
        raise InvalidInputError("The chain must be a CAIP-2 name like 'eip155:8453'.")
    return value


async def sign_renewal(custody: Custody, identity: AgentIdentity, *, expires_at_us: int, clock: Clock) -> str:
    """The proof by which the current key wakes an expired identity until `expires_at_us`."""
    claims: JsonObject = {
        "iss": identity.did,
        "sub": identity.agent_id,
        "type": RENEWAL_TYPE,
        "expires_at": format_timestamp(expires_at_us),
        "iat": clock.now_us() // 1_000_000,
    }
    return await custody.sign_token(claims, typ=_JWT)


def transition(
    identity: AgentIdentity,
    to: Lifecycle,
    *,
    at_us: int,
    expires_at: str | None = None,
    renewal_jws: str | None = None,
) -> AgentIdentity:
    """The identity after one step at `at_us`. Whatever the table does not have is an IllegalTransitionError.

    `expires_at` sets the end; waking an expired identity needs one after `at_us` together with `sign_renewal`'s proof.
    """
    if to not in TRANSITIONS[identity.lifecycle]:
        raise IllegalTransitionError(
            f"An identity that is {identity.lifecycle} can't become {to}.",
            details={"from": identity.lifecycle, "to": to},
        )
    if expires_at is not None:
        _check_end(expires_at, at_us)
    if identity.lifecycle == "expired" and to == "active":
        _check_renewal(identity, expires_at, renewal_jws)
    return msgspec.structs.replace(
        identity, lifecycle=to, expires_at=identity.expires_at if expires_at is None else expires_at
    )


def _check_end(expires_at: str, at_us: int) -> None:
    try:
        end_us = parse_timestamp(expires_at)
    except ValueError:
        raise IllegalTransitionError("The end of an identity must be an RFC 3339 time.") from None
    if end_us <= at_us:
        raise IllegalTransitionError("The end of an identity must lie after the step that sets it.")


def _check_renewal(identity: AgentIdentity, expires_at: str | None, renewal_jws: str | None) -> None:
    if expires_at is None or renewal_jws is None:
        raise IllegalTransitionError("An expired identity needs a new end and a proof of its key to become active.")
    try:
        proof = jws.verify(renewal_jws, typ=_JWT)
    except CryptoError as error:
        raise IllegalTransitionError(f"The proof of renewal does not hold ({error.code}).") from None
    expected = {
        "iss": identity.did,
        "sub": identity.agent_id,
        "type": RENEWAL_TYPE,
        "expires_at": expires_at,
    }
    if proof.signer.did != identity.did or any(proof.claims.get(name) != value for name, value in expected.items()):
        raise IllegalTransitionError("The proof of renewal is for another identity or another end.")

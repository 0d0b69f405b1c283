"""The one verifier of tokens (lago-auth; anima.md §18.2, AN-VER-1 to AN-VER-8). Every daemon and every route uses it.

Agent tokens are asymmetric: ES256, and where a service asks for it ES256K (a wallet's key) or EdDSA (keys of before Spec D). The
algorithm follows from the key that `kid` names; a header can't choose another. Users' tokens with a shared secret have an
entry of their own (`life.anima.user_tokens`), so that no function accepts both families.

The checks, in this order (AN-VER-4): form, algorithm, DID, type, signature by the key of `kid` itself, claims, whose agent the
key is, revocation, rotation, life of the identity, single use. Nothing is looked up for a token whose signature does not
hold. A token of a replaced key is accepted for a minute and a half after the rotation when it was issued before it, and never
later, whatever time it claims (AN-ROT-5).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.ports.clock import Clock
from life.anima.errors import ReplayStoreFullError, TokenRefusedError
from life.anima.identity import agent_id_of_did
from life.anima.registry import Identities, Standing
from life.anima.replay_store import ReplayStore, replay_key
from life.anima.statements import read_statement
from life.crypto import agent_token, jws
from life.crypto.did import Curve, DidKey
from life.crypto.errors import (
    CryptoError,
    ExpiredTokenError,
    InvalidSignatureError,
    UnacceptableAlgorithmError,
    WrongAudienceError,
)

_log: Final = logging.getLogger(__name__)

LEEWAY_S: Final = agent_token.LEEWAY_S
GRACE_S: Final = agent_token.MAX_LIFETIME_S + LEEWAY_S
"""How long after a rotation a token of the old key may still arrive."""

Reason = Literal[
    "invalid",
    "algorithm",
    "signature",
    "expired",
    "wrong_audience",
    "unknown_identity",
    "wrong_agent",
    "revoked",
    "superseded",
    "inactive",
    "suspended",
    "sessions_revoked",
    "replayed",
    "replay_store_full",
]
"""Why a token is refused."""

TokenKeyState = Literal["current", "superseded_grace", "unregistered"]


class VerifiedToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a token proves: the holder of `kid_did`'s key, who is `agent_id`, addressed `audience`. Times are Unix seconds."""

    algorithm: str
    kid_did: str
    current_did: str
    agent_id: str
    audience: str
    token_id: str
    issued_at_s: int
    expires_at_s: int
    key_state: TokenKeyState
    chain_length: int
    as_of_seq: int
    """Up to which sequence of the identity's stream revocations and rotations were known; 0 for one that is not registered."""


class AuditedSignature(NamedTuple):
    """A signature in the journal that was judged by its place there (AN-ROT-5, AN-REV-3)."""

    did: str
    since_revoked: bool
    """The signature is good; the key was revoked later, or is doubtful since a later sequence."""


class TokenVerifier:
    """Verifies agent tokens for one audience."""

    def __init__(
        self,
        *,
        audience: str,
        identities: Identities,
        replay: ReplayStore,
        clock: Clock,
        curves: Collection[Curve] = jws.P256_ONLY,
        allow_unregistered: bool = False,
        leeway_s: int = LEEWAY_S,
    ) -> None:
        """`allow_unregistered`: accept identities that nothing is known of. Their token proves a key and the agent id derived
        from it, and nothing about rotations or revocations; such a caller must not be given anything by its name alone.
        """
        self.audience = audience
        self._identities = identities
        self._replay = replay
        self._clock = clock
        self._curves = frozenset(curves)
        self._allow_unregistered = allow_unregistered
        self._leeway_s = leeway_s
        self.accepted = 0
        self.refused: Counter[Reason] = Counter()
        """How many tokens were refused, by reason."""

    def verify_agent_token(self, token: str, *, audience: str | None = None) -> VerifiedToken:
        """What `token` proves now, and that it was not used before; TokenRefusedError with the reason otherwise. `audience` is
        the one that counts for this token, in place of the verifier's.

        IdentitiesStaleError when the journal can't be asked for revocations.
        """
        try:
            verified = self._verify(token, audience=audience)
        except TokenRefusedError as error:
            self.refused[error.reason] += 1  # type: ignore[index]  # only reasons of this module are raised here
            _log.info("an agent token for %s was refused: %s", self.audience, error.reason)
            raise
        self.accepted += 1
        return verified

    def inspect_agent_token(self, token: str) -> VerifiedToken:
        """As `verify_agent_token`, without using the token up: for people who look at one, never for access."""
        return self._verify(token, claim=False)

    def _verify(self, token: str, *, claim: bool = True, audience: str | None = None) -> VerifiedToken:
        now_us = self._clock.now_us()
        signed = self._authentic(token, now_us // 1_000_000, audience or self.audience)
        claims, signer = signed.claims, signed.signer
        self._identities.require_fresh()
        standing = self._identities.standing(signer.did)
        if standing is None:
            key_state = self._judge_unregistered(claims.sub, signer)
        else:
            if claims.sub != standing.agent_id:
                raise _refused("wrong_agent", "The agent token names an agent that its key does not belong to.")
            key_state = self._judge(standing, claims.iat, now_us)
        if claim:
            self._use_up(signer.did, claims)
        return VerifiedToken(
            algorithm=signed.algorithm.value,
            kid_did=signer.did,
            current_did=signer.did if standing is None else standing.current_did,
            agent_id=claims.sub,
            audience=claims.aud,
            token_id=claims.jti,
            issued_at_s=claims.iat,
            expires_at_s=claims.exp,
            key_state=key_state,
            chain_length=0 if standing is None else len(standing.keys.links),
            as_of_seq=0 if standing is None else standing.as_of_seq,
        )

    def _authentic(self, token: str, now_s: int, audience: str) -> agent_token.VerifiedAgentToken:
        """Form, algorithm, signature and claims."""
        try:
            return agent_token.verify_agent_token(
                token, audience=audience, now_s=now_s, leeway_s=self._leeway_s, curves=self._curves
            )
        except ExpiredTokenError:
            raise _refused("expired", "The agent token has expired.") from None
        except WrongAudienceError:
            raise _refused("wrong_audience", "The agent token was made for another service.") from None
        except UnacceptableAlgorithmError:
            raise _refused("algorithm", "The agent token's algorithm is not accepted here.") from None
        except InvalidSignatureError:
            raise _refused("signature", "The agent token's signature does not hold.") from None
        except CryptoError as error:
            raise _refused("invalid", f"The agent token is not valid ({error.code}).") from None

    def _judge_unregistered(self, subject: str, signer: DidKey) -> TokenKeyState:
        if not self._allow_unregistered:
            raise _refused("unknown_identity", "Nothing is known here of the identity that signed the agent token.")
        if agent_id_of_did(signer.did) != subject:
            raise _refused("wrong_agent", "The agent token names an agent that its key does not belong to.")
        return "unregistered"

    def _judge(self, standing: Standing, issued_at_s: int, now_us: int) -> TokenKeyState:
        """Revocation first, then rotation, then the life of the identity and of its parents."""
        if standing.dead or standing.key_state == "revoked":
            raise _refused("revoked", "The key of the agent token is revoked.")
        key_state: TokenKeyState = "current"
        if standing.superseded_at_us is not None:
            in_grace = now_us <= standing.superseded_at_us + GRACE_S * 1_000_000
            if not in_grace or issued_at_s * 1_000_000 >= standing.superseded_at_us:
                raise _refused("superseded", "The key of the agent token was replaced by another one.")
            key_state = "superseded_grace"
        if not standing.is_active(now_us):
            raise _refused("inactive", "The identity of the agent token is not active.")
        if self._identities.is_suspended(standing, now_us):
            raise _refused("suspended", "An identity that the agent was delegated by is not active.")
        if issued_at_s < standing.sessions_not_before_s:
            raise _refused("sessions_revoked", "The agent's tokens of before this moment were revoked.")
        return key_state

    def _use_up(self, did: str, claims: agent_token.AgentClaims) -> None:
        key = replay_key(did, claims.aud, claims.jti)
        try:
            first = self._replay.claim(key, issued_at_s=claims.iat, forget_at_s=claims.exp + self._leeway_s + 1)
        except ReplayStoreFullError:
            raise _refused("replay_store_full", "Too many tokens are in use at once.") from None
        if not first:
            raise _refused("replayed", "The agent token was used before.")


def verify_recorded(token: str, standing: Standing, *, kind: str, seq: int) -> AuditedSignature:
    """Judge a statement that stands in the journal at sequence `seq` of the identity's stream, for an audit.

    Old signatures stay good for what they said then: the key that was valid at `seq` must have signed, whatever became of it
    later (AN-ROT-5). One made since its key is doubtful is refused (AN-REV-3). TokenRefusedError otherwise.
    """
    statement = read_statement(token, kind=kind, expected={}, curves=(Curve.P256, Curve.ED25519))
    expected = standing.keys.key_at(seq)
    if statement.issuer != expected:
        raise _refused("superseded", "Another key was the identity's at this place of the journal.")
    doubtful_since = standing.keys.compromised_since(expected)
    if doubtful_since is not None and seq >= doubtful_since:
        raise _refused("revoked", "The key was in doubt at this place of the journal.")
    return AuditedSignature(expected, since_revoked=doubtful_since is not None)


def _refused(reason: Reason, message: str) -> TokenRefusedError:
    return TokenRefusedError(reason, message)

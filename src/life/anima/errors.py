"""What Anima refuses, and why.

    AnimaError                          anima.error                     500
    ├── SoulIntegrityViolationError     anima.soul_integrity_violation  500  the soul is not the one its hash names
    ├── SoulAlreadyExistsError          anima.soul_already_exists       409  a second genesis
    ├── SoulMisplacedError              anima.soul_misplaced            500  a genesis that is not the first event
    ├── SoulNotFoundError               anima.soul_not_found            404
    ├── IdentityNotFoundError           anima.identity_not_found        404
    ├── IdentityMismatchError           anima.identity_mismatch         500  DID, wallet, seed or journal disagree
    ├── IdentityFileError               anima.identity_file             500  soul.json can't be read or trusted
    ├── IllegalTransitionError          anima.illegal_transition        409
    ├── CapabilityCeilingExceededError  anima.capability_ceiling        403
    ├── LineageViolationError           anima.lineage_violation         403
    ├── BeliefRefusedError              anima.belief_refused            403  a belief that nothing supports
    ├── StatementRefusedError           anima.statement_refused         403  a proof that proves nothing
    ├── RotationRefusedError            anima.rotation_refused          409  a rotation whose proofs do not hold
    ├── RotationCoolingError            anima.rotation_cooling          429  the last rotation was too short ago
    ├── RotationIncompleteError         anima.rotation_incomplete       503  written, but the backend did not switch yet
    ├── DocumentRefusedError            anima.document_refused          400  an identity document that can't be believed
    ├── UnknownIdentityError            anima.identity_unknown          404  no journal here tells of this DID
    ├── ScopeInsufficientError          anima.scope_insufficient        403  the token is good, but not for this
    ├── TooManyChallengesError          anima.too_many_challenges       429
    ├── ReplayStoreFullError            anima.replay_store_full         503  too many tokens at once to remember them all
    ├── IdentitiesStaleError            anima.identities_stale          503  revocations can't be read now
    ├── UserTokenSettingsError          anima.user_token_settings       500  a shared secret that protects nothing
    └── TokenRefusedError               anima.token_refused             401

    CustodyError (life.aios.errors)     custody.error
    └── the kinds of anima.md §11.2, below

Source: anima.md §11.2 and §23. Messages and details name files, DIDs and addresses, never key bytes, seeds, passphrases
or tokens.
"""

from __future__ import annotations

from life.aios.errors import CustodyError, LifeError


class AnimaError(LifeError):
    """Something about an agent's identity is wrong."""

    code = "anima.error"


class SoulIntegrityViolationError(AnimaError):
    """A soul is not what its seal says (AN-SOUL-3). `details` has both hashes where they are known."""

    code = "anima.soul_integrity_violation"


class SoulAlreadyExistsError(AnimaError):
    """The journal holds a second `anima.soul_genesis` (AN-PRJ-5)."""

    code = "anima.soul_already_exists"
    status = 409


class SoulMisplacedError(AnimaError):
    """The journal's `anima.soul_genesis` is not the first event of its stream (AN-PRJ-5)."""

    code = "anima.soul_misplaced"


class SoulNotFoundError(AnimaError):
    """The journal holds no soul."""

    code = "anima.soul_not_found"
    status = 404


class IdentityNotFoundError(AnimaError):
    """There is no identity in this folder."""

    code = "anima.identity_not_found"
    status = 404


class IdentityMismatchError(AnimaError):
    """Two places that must name the same key, wallet or soul do not."""

    code = "anima.identity_mismatch"


class IdentityFileError(AnimaError):
    """The public identity file can't be read, or is not what its owner signed."""

    code = "anima.identity_file"


class IllegalTransitionError(AnimaError):
    """A step that the lifecycle does not have (AN-ID-1)."""

    code = "anima.illegal_transition"
    status = 409


class CapabilityCeilingExceededError(AnimaError):
    """A capability that the soul does not allow."""

    code = "anima.capability_ceiling"
    status = 403


class LineageViolationError(AnimaError):
    """A soul that claims a parent it can't prove (AN-SOUL-4)."""

    code = "anima.lineage_violation"
    status = 403


class BeliefRefusedError(AnimaError):
    """An event asks for a belief that the soul or the evidence does not allow."""

    code = "anima.belief_refused"
    status = 403


class StatementRefusedError(AnimaError):
    """A signed statement that does not prove what it is shown for."""

    code = "anima.statement_refused"
    status = 403


class RotationRefusedError(AnimaError):
    """A rotation that is not part of the identity's chain, or whose proofs do not hold (AN-ROT-1 to AN-ROT-4)."""

    code = "anima.rotation_refused"
    status = 409


class RotationCoolingError(AnimaError):
    """The key was rotated a short while ago (AN-ROT-7)."""

    code = "anima.rotation_cooling"
    status = 429


class RotationIncompleteError(AnimaError):
    """The rotation is in the journal, so the new key is the valid one; the backend has not switched to it yet."""

    code = "anima.rotation_incomplete"
    status = 503
    retryable = True


class DocumentRefusedError(AnimaError):
    """An identity document or a signed answer that can't be believed (AN-KYA-5)."""

    code = "anima.document_refused"
    status = 400


class UnknownIdentityError(AnimaError):
    """No journal here tells of this DID."""

    code = "anima.identity_unknown"
    status = 404


class ScopeInsufficientError(AnimaError):
    """Whoever asks is known, but may not do this."""

    code = "anima.scope_insufficient"
    status = 403


class TooManyChallengesError(AnimaError):
    """More challenges at once than a key should answer."""

    code = "anima.too_many_challenges"
    status = 429
    retryable = True


class ReplayStoreFullError(AnimaError):
    """So many tokens are in use that a further one could not be remembered (AN-VER-6)."""

    code = "anima.replay_store_full"
    status = 503
    retryable = True


class IdentitiesStaleError(AnimaError):
    """The journal has not answered for so long that a revocation could have been missed (AN-REV-4)."""

    code = "anima.identities_stale"
    status = 503
    retryable = True


class UserTokenSettingsError(AnimaError):
    """The shared secret of user tokens is empty or too short; a daemon does not start with it (AN-VER-1)."""

    code = "anima.user_token_settings"


class TokenRefusedError(AnimaError):
    """An agent token that does not prove what it claims. `details["reason"]` is a stable word."""

    code = "anima.token_refused"
    status = 401

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, details={"reason": reason})
        self.reason = reason


class CustodyUnavailableError(CustodyError):
    """The backend does not answer now."""

    code = "custody.unavailable"
    status = 503
    retryable = True


class CustodyTimeoutError(CustodyError):
    """The backend did not answer in time; whether it signed is unknown."""

    code = "custody.timeout"
    status = 504
    retryable = True


class CustodyAuthFailedError(CustodyError):
    """The passphrase, key, PIN or token does not open the backend."""

    code = "custody.auth_failed"
    status = 401


class CustodyLockedError(CustodyError):
    """The device is locked, or locked itself after failed attempts."""

    code = "custody.locked"
    status = 423


class KeyNotFoundError(CustodyError):
    """The backend has no such key."""

    code = "custody.key_not_found"
    status = 404


class AmbiguousKeyError(CustodyError):
    """The backend has several keys that fit."""

    code = "custody.ambiguous_key"
    status = 409


class UnsupportedOperationError(CustodyError):
    """The handle does not list this operation in its capabilities."""

    code = "custody.unsupported"
    status = 501


class UserRejectedError(CustodyError):
    """The person at the device said no."""

    code = "custody.user_rejected"
    status = 403


class PolicyDeniedError(CustodyError):
    """A limit, a missing reservation or the wallet's guard forbids this signature."""

    code = "custody.policy_denied"
    status = 403


class CapExpiredError(CustodyError):
    """The permit to use a remote key has run out."""

    code = "custody.cap_expired"
    status = 401


class StaleHandleError(CustodyError):
    """The handle is closed, or its DID was rotated away (AN-CUS-3)."""

    code = "custody.stale_handle"
    status = 409


class IdentityRevokedError(CustodyError):
    """The handle's DID was revoked (AN-CUS-3)."""

    code = "custody.identity_revoked"
    status = 403


class CustodyInputError(CustodyError):
    """What was to be signed can't be right."""

    code = "custody.bad_input"
    status = 400


class BadSignatureError(CustodyError):
    """The backend gave a signature that does not verify (AN-CUS-2)."""

    code = "custody.bad_signature"
    status = 502


class CustodyProtocolError(CustodyError):
    """The backend's answer, or a stored container, is not in its format."""

    code = "custody.protocol"
    status = 502


class InsecureFileError(CustodyError):
    """A file with secrets is a link, belongs to somebody else or may be read by others (AN-KEY-2)."""

    code = "custody.insecure_file"
    status = 500

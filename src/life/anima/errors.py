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

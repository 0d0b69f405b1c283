"""What Spaces refuses, and why. The last word of each code is the stable string of spaces.md §15.

SpacesError                 spaces.error               500
├── SpacesNotFoundError     spaces.not_found           404  not there, or not for this caller
├── NotMemberError          spaces.not_member          403
├── ForbiddenError          spaces.forbidden           403  the role, an override or the caller's ceiling says no
├── RoleRankError           spaces.role_rank           403  the other one's level is not below the caller's
├── InvalidArgumentError    spaces.invalid_argument    400
├── TooLongError            spaces.too_long            400
├── SpacesConflictError     spaces.conflict            409  the state does not allow it
├── AlreadyExistsError      spaces.already_exists      409
├── ArchivedError           spaces.archived            409
├── MutedError              spaces.muted               403
├── BannedError             spaces.banned              403
├── RateLimitedError        spaces.rate_limited        429  details["retry_after_ms"]
├── WrongChannelTypeError   spaces.wrong_channel_type  409
├── StaleSequenceError      spaces.stale_sequence      409  resume is impossible, take a new snapshot
├── UnauthenticatedError    spaces.unauthenticated     401
├── TokenExpiredError       spaces.token_expired       401
├── TokenReplayedError      spaces.token_replayed      401
├── RevokedError            spaces.revoked             401
├── SlowConsumerError       spaces.slow_consumer       503  the subscriber's buffer is full; resume by position
├── LogDamagedError         spaces.log_damaged         500  the log's digests do not hold
└── SpacesUnavailableError  spaces.unavailable         503  the engine is closed, full or without quorum
"""

from __future__ import annotations

from life.aios.errors import LifeError


class SpacesError(LifeError):
    """Something about a space, a channel or a message is wrong."""

    code = "spaces.error"

    @property
    def word(self) -> str:
        """The code without its prefix, as it goes over the wire: `not_member`, `rate_limited`, …"""
        return self.code.removeprefix("spaces.")


class SpacesNotFoundError(SpacesError):
    """It does not exist, or not for this caller: both look the same."""

    code = "spaces.not_found"
    status = 404


class NotMemberError(SpacesError):
    """The caller (or the one acted on) is not a member of the space."""

    code = "spaces.not_member"
    status = 403


class ForbiddenError(SpacesError):
    """The permission is missing. `details["permission"]` names it where it is one of the matrix."""

    code = "spaces.forbidden"
    status = 403


class RoleRankError(SpacesError):
    """Nobody acts on an equal or higher level, or raises anyone to their own."""

    code = "spaces.role_rank"
    status = 403


class InvalidArgumentError(SpacesError):
    """An argument that can't be right."""

    code = "spaces.invalid_argument"
    status = 400


class TooLongError(SpacesError):
    """A text with more characters or bytes than its limit."""

    code = "spaces.too_long"
    status = 400


class SpacesConflictError(SpacesError):
    """What is asked contradicts the state."""

    code = "spaces.conflict"
    status = 409


class AlreadyExistsError(SpacesError):
    """A name, membership or reaction that is there already."""

    code = "spaces.already_exists"
    status = 409


class ArchivedError(SpacesError):
    """The thread is archived."""

    code = "spaces.archived"
    status = 409


class MutedError(SpacesError):
    """The caller is muted here. `details["until_us"]` says until when."""

    code = "spaces.muted"
    status = 403


class BannedError(SpacesError):
    """The caller is banned from the space."""

    code = "spaces.banned"
    status = 403


class RateLimitedError(SpacesError):
    """Too much at once. Repeat after `details["retry_after_ms"]`."""

    code = "spaces.rate_limited"
    status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message, details={"retry_after_ms": retry_after_ms})
        self.retry_after_ms = retry_after_ms


class WrongChannelTypeError(SpacesError):
    """This kind of channel does not take this."""

    code = "spaces.wrong_channel_type"
    status = 409


class StaleSequenceError(SpacesError):
    """The position to resume from is beyond what is kept. Subscribe without it and take the rows anew."""

    code = "spaces.stale_sequence"
    status = 409


class UnauthenticatedError(SpacesError):
    """No valid login."""

    code = "spaces.unauthenticated"
    status = 401


class TokenExpiredError(UnauthenticatedError):
    """The token, ticket or lease is over."""

    code = "spaces.token_expired"


class TokenReplayedError(UnauthenticatedError):
    """The token was used before."""

    code = "spaces.token_replayed"


class RevokedError(UnauthenticatedError):
    """The key or the identity is revoked."""

    code = "spaces.revoked"


class SlowConsumerError(SpacesError):
    """The subscriber reads too slowly; its buffer is full. Nothing is lost: resume by position."""

    code = "spaces.slow_consumer"
    status = 503
    retryable = True


class LogDamagedError(SpacesError):
    """The log's digests do not hold, or entries are missing."""

    code = "spaces.log_damaged"


class SpacesUnavailableError(SpacesError):
    """The engine can't take this now; nothing happened."""

    code = "spaces.unavailable"
    status = 503
    retryable = True

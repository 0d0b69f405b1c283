"""What Relay refuses.

SpacesError
└── RelayError                  spaces.relay_failed            500
    ├── RelayOfflineError       spaces.relay_offline           503  nothing was heard of the other side
    ├── RelayForbiddenError     spaces.relay_forbidden         403  not allowed this, and perhaps there is nothing of this name
    ├── RelayForgedError        spaces.relay_forged            401  the signature, the link or the content is not what it says
    ├── RelayExpiredError       spaces.relay_expired           409  too old, or from a clock that is wrong
    ├── RelayTooLongError       spaces.relay_too_long          413  more than is carried at once
    ├── RelayOutcomeUnknownError spaces.relay_outcome_unknown  409  sent, and nobody knows whether it was carried out
    └── RelayRefusedError       (the node's own code)               what the runtime there refused
"""

from __future__ import annotations

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from life.spaces.errors import SpacesError


class RelayError(SpacesError):
    """Something about a relayed session is wrong."""

    code = "spaces.relay_failed"


class RelayOfflineError(RelayError, UnavailableError):
    """Nothing is heard of the other side. Nothing was lost."""

    code = "spaces.relay_offline"
    status = 503
    retryable = True


class RelayForbiddenError(RelayError):
    """The caller may not do this here. A session that is not theirs and one that does not exist look the same."""

    code = "spaces.relay_forbidden"
    status = 403


class RelayForgedError(RelayError):
    """A signature, a link or a content that is not what it says."""

    code = "spaces.relay_forged"
    status = 401


class RelayExpiredError(RelayError):
    """The command came after its time."""

    code = "spaces.relay_expired"
    status = 409


class RelayTooLongError(RelayError):
    """An answer or event that is longer than what is carried at once."""

    code = "spaces.relay_too_long"
    status = 413


class RelayOutcomeUnknownError(RelayError):
    """It may have been carried out or not. Never sent again on its own."""

    code = "spaces.relay_outcome_unknown"
    status = 409


class RelayRefusedError(RelayError):
    """What the runtime at the node refused, under the code and in the words that it has there."""

    code = "spaces.relay_refused"

    def __init__(self, message: str, *, code: str, status: int, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step, details={"status": status})
        if code:
            vars(self)["code"] = code


class RelayNotFoundError(RelayRefusedError, NotFoundError):
    """404 there."""

    code = "life.not_found"


class RelayConflictError(RelayRefusedError, ConflictError):
    """409 there."""

    code = "life.conflict"


class RelayInvalidError(RelayRefusedError, InvalidInputError):
    """400 there."""

    code = "life.invalid_input"


class RelayUnavailableError(RelayRefusedError, UnavailableError):
    """503 there."""

    code = "life.unavailable"


_OWN = {
    kind.code: kind
    for kind in (
        RelayForbiddenError,
        RelayForgedError,
        RelayExpiredError,
        RelayTooLongError,
        RelayOutcomeUnknownError,
    )
}
_BY_STATUS: dict[int, type[RelayRefusedError]] = {
    400: RelayInvalidError,
    404: RelayNotFoundError,
    409: RelayConflictError,
    503: RelayUnavailableError,
}


def refusal(code: str, message: str, status: int, next_step: str | None = None) -> RelayError:
    """The error that an answer tells of. Its words may stand on somebody's terminal, so they hold nothing that could steer one."""
    message, next_step = _plain(message), None if next_step is None else _plain(next_step)
    own = _OWN.get(code)
    if own is not None:
        return own(message, next_step=next_step)
    return _BY_STATUS.get(status, RelayRefusedError)(message, code=code, status=status, next_step=next_step)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text[:4000])

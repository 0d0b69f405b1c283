"""What the runtime and its model providers refuse, with stable codes.

    ArcanError                     arcan.error
    ├── SessionNotFoundError       arcan.session_not_found        404
    ├── SessionClosedError         arcan.session_closed           409
    ├── RunInProgressError         arcan.run_in_progress          409  one run at a time
    ├── RunUnfinishedError         arcan.run_unfinished           409  a crash left a run open; recover it first
    ├── DecisionNeededError        arcan.decision_needed          409  the open run waits for a person
    ├── NothingToDecideError       arcan.nothing_to_decide        409  decided already, or never asked
    ├── SessionDrivenElsewhereError arcan.session_driven_elsewhere 409  another process writes this session
    ├── RunKeyConflictError        arcan.run_key_conflict         409  same idempotency key, other objective
    ├── RunNotFoundError           arcan.run_not_found            404
    ├── ScriptError                arcan.bad_script               400
    ├── UnknownProviderError       arcan.unknown_provider         400
    └── RuntimeClosedError         arcan.closed                   503
    ProviderError                  arcan.provider_failed          (life.aios.errors)
    ├── ProviderKeyMissingError    arcan.provider_key_missing     500
    ├── ProviderUnauthorizedError  arcan.provider_unauthorized    502  the key is wrong or may not do this
    ├── ProviderRejectedError      arcan.provider_rejected        502  the request itself was refused
    ├── ProviderRateLimitedError   arcan.provider_rate_limited    503  retryable, perhaps with a time to wait
    ├── ProviderUnavailableError   arcan.provider_unavailable     503  retryable
    ├── ProviderUnreachableError   arcan.provider_unreachable     503  retryable
    └── ProviderInterruptedError   arcan.provider_interrupted     502  retryable: the answer broke off

Messages never hold keys: only the vendor's own words about the request, cut short.
"""

from __future__ import annotations

from collections.abc import Mapping

from life.aios.errors import LifeError, ProviderError


class ArcanError(LifeError):
    """The root of the runtime's refusals."""

    code = "arcan.error"


class SessionNotFoundError(ArcanError):
    """There is no session of this id."""

    code = "arcan.session_not_found"
    status = 404

    def __init__(self, session_id: str) -> None:
        super().__init__(f"There is no session {session_id}.", details={"session_id": session_id})


class SessionClosedError(ArcanError):
    """The session accepts no further runs."""

    code = "arcan.session_closed"
    status = 409

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session {session_id} is closed.", details={"session_id": session_id})


class RunInProgressError(ArcanError):
    """A run of this session is going on; a session runs one at a time."""

    code = "arcan.run_in_progress"
    status = 409

    def __init__(self, session_id: str, run_id: str) -> None:
        super().__init__(
            f"Session {session_id} is running.",
            next_step="Wait for the run to finish, or cancel it.",
            details={"session_id": session_id, "run_id": run_id},
        )


class RunUnfinishedError(ArcanError):
    """The last run was cut off by a crash and has to be recovered, or cancelled, before a new one starts."""

    code = "arcan.run_unfinished"
    status = 409

    def __init__(self, session_id: str, run_id: str) -> None:
        super().__init__(
            f"Session {session_id} has an unfinished run.",
            next_step="Recover the session, or cancel its run.",
            details={"session_id": session_id, "run_id": run_id},
        )


class DecisionNeededError(ArcanError):
    """The open run waits for a person: an approval, or a tool call whose outcome is in doubt."""

    code = "arcan.decision_needed"
    status = 409

    def __init__(self, session_id: str, run_id: str, *, waiting_for: str, subject: str) -> None:
        super().__init__(
            f"Session {session_id} waits for a decision ({waiting_for} {subject}).",
            next_step="Decide it, or cancel the run.",
            details={"session_id": session_id, "run_id": run_id, "waiting_for": waiting_for, "subject": subject},
        )


class NothingToDecideError(ArcanError):
    """No such approval or doubt is open: it was decided before, its run has ended, or it never existed here."""

    code = "arcan.nothing_to_decide"
    status = 409

    def __init__(self, session_id: str, subject: str) -> None:
        super().__init__(
            f"Nothing about {subject} is to be decided in session {session_id}.",
            details={"session_id": session_id, "subject": subject},
        )


class SessionDrivenElsewhereError(ArcanError):
    """Another process appended run events to this session. Nothing of ours was stored or executed after theirs."""

    code = "arcan.session_driven_elsewhere"
    status = 409

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"Session {session_id} is driven elsewhere.",
            next_step="Use the process that runs it, or wait until it has finished.",
            details={"session_id": session_id},
        )


class RunKeyConflictError(ArcanError):
    """The idempotency key was used in this session for another objective."""

    code = "arcan.run_key_conflict"
    status = 409

    def __init__(self, session_id: str, run_id: str) -> None:
        super().__init__(
            f"This idempotency key belongs to another objective of session {session_id}.",
            details={"session_id": session_id, "run_id": run_id},
        )


class RunNotFoundError(ArcanError):
    """The session has no run of this id."""

    code = "arcan.run_not_found"
    status = 404

    def __init__(self, session_id: str, run_id: str) -> None:
        super().__init__(
            f"Session {session_id} has no run {run_id}.", details={"session_id": session_id, "run_id": run_id}
        )


class ScriptError(ArcanError):
    """A script for the scripted provider that can't be played."""

    code = "arcan.bad_script"
    status = 400


class UnknownProviderError(ArcanError):
    """A provider specification that names no provider."""

    code = "arcan.unknown_provider"
    status = 400


class RuntimeClosedError(ArcanError):
    """The runtime is shutting down and takes no work."""

    code = "arcan.closed"
    status = 503
    retryable = True


class ProviderKeyMissingError(ProviderError):
    """The provider needs a key and none is configured."""

    code = "arcan.provider_key_missing"
    status = 500

    def __init__(self, provider: str, variable: str) -> None:
        super().__init__(
            f"The provider '{provider}' needs an API key.",
            next_step=f"Set {variable}, or choose the provider 'scripted'.",
            details={"provider": provider, "variable": variable},
        )


class ProviderUnauthorizedError(ProviderError):
    """The vendor does not accept the key, or not for this model (401, 403)."""

    code = "arcan.provider_unauthorized"


class ProviderRejectedError(ProviderError):
    """The vendor refuses the request itself (400, 402, 404, 413, 422): repeating it changes nothing."""

    code = "arcan.provider_rejected"


class ProviderRateLimitedError(ProviderError):
    """Too many requests (429). `retry_after_us` is what the vendor asked for, if it did."""

    code = "arcan.provider_rate_limited"
    status = 503
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_us: int | None = None,
        details: Mapping[str, str | int | bool] | None = None,
    ) -> None:
        super().__init__(message, details=details)
        self.retry_after_us = retry_after_us


class ProviderUnavailableError(ProviderError):
    """The vendor is overloaded or broken (5xx, 529). `retry_after_us` as above."""

    code = "arcan.provider_unavailable"
    status = 503
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_us: int | None = None,
        details: Mapping[str, str | int | bool] | None = None,
    ) -> None:
        super().__init__(message, details=details)
        self.retry_after_us = retry_after_us


class ProviderUnreachableError(ProviderError):
    """No connection, or no answer in time."""

    code = "arcan.provider_unreachable"
    status = 503
    retryable = True


class ProviderInterruptedError(ProviderError):
    """The answer broke off before its end. Nothing of it was executed."""

    code = "arcan.provider_interrupted"
    retryable = True

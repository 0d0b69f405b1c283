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
    ├── RunPausedError             arcan.run_paused               409
    ├── NoOpenRunError             arcan.no_open_run              409
    ├── QueueFullError             arcan.queue_full               429
    ├── PromptRefusedError         arcan.prompt_refused           403  a hook said no
    ├── EditRefusedError           arcan.edit_refused             403
    ├── SessionTakenError          arcan.session_taken            409
    ├── ScriptError                arcan.bad_script               400
    ├── UnknownProviderError       arcan.unknown_provider         400
    ├── BranchNotFoundError        arcan.branch_not_found         404
    ├── BranchExistsError          arcan.branch_exists            409  another branch has this name
    ├── BranchMergedError          arcan.branch_merged            409  a merged branch is read-only
    ├── BranchNotMergeableError    arcan.branch_not_mergeable     409  main, itself, nothing new, or merged elsewhere
    ├── FileConflictsError         arcan.file_conflicts           409  both sides changed a file
    ├── BranchFilesMissingError    arcan.branch_files_missing     409  no working copies are kept here
    ├── RecordingError             arcan.bad_recording            400
    ├── AgentDefinitionError       arcan.bad_agent                400  an agent's file that can't be used
    ├── AgentNotFoundError         arcan.agent_not_found          404
    ├── SubagentSessionError       arcan.subagent_session         409  it works for another session's run, and for nobody else
    └── RuntimeClosedError         arcan.closed                   503
    ProviderError                  arcan.provider_failed          (life.aios.errors)
    ├── ProviderKeyMissingError    arcan.provider_key_missing     500
    ├── ProviderUnauthorizedError  arcan.provider_unauthorized    502  the key is wrong or may not do this
    ├── ProviderRejectedError      arcan.provider_rejected        502  the request itself was refused
    ├── ProviderRateLimitedError   arcan.provider_rate_limited    503  retryable, perhaps with a time to wait
    ├── ProviderUnavailableError   arcan.provider_unavailable     503  retryable
    ├── ProviderUnreachableError   arcan.provider_unreachable     503  retryable
    ├── LoopFailedError            arcan.loop_failed              502  another framework's loop ended with an error of its own
    ├── LoopDivergedError          arcan.loop_diverged            502  … or does not do again what it did before
    ├── ProviderCircuitOpenError   arcan.provider_circuit_open    503  retryable: it failed so often that it is left alone
    ├── ModelRecordingError        arcan.model_recording          400  a recording of answers that can't be played or kept
    └── ProviderInterruptedError   arcan.provider_interrupted     502  retryable: the answer broke off

Messages never hold keys: only the vendor's own words about the request, cut short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from life.aios.errors import LifeError, ProviderError
from life.aios.ports.working_copies import FileConflict


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


class RunPausedError(ArcanError):
    """The open run is paused."""

    code = "arcan.run_paused"
    status = 409

    def __init__(self, session_id: str, run_id: str) -> None:
        super().__init__(
            f"The run of session {session_id} is paused.",
            next_step="Continue it, or cancel it.",
            details={"session_id": session_id, "run_id": run_id},
        )


class NoOpenRunError(ArcanError):
    """The session has no open run."""

    code = "arcan.no_open_run"
    status = 409

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session {session_id} has no open run.", details={"session_id": session_id})


class QueueFullError(ArcanError):
    """As many messages wait as may."""

    code = "arcan.queue_full"
    status = 429
    retryable = True

    def __init__(self, session_id: str, depth: int) -> None:
        super().__init__(
            f"{depth} messages wait in session {session_id} already.",
            next_step="Wait until the run has taken one, or cancel it.",
            details={"session_id": session_id, "depth": depth},
        )


class PromptRefusedError(ArcanError):
    """A hook refused the message."""

    code = "arcan.prompt_refused"
    status = 403


class EditRefusedError(ArcanError):
    """The policy denies the call with these arguments; it waits as it was."""

    code = "arcan.edit_refused"
    status = 403


class SessionTakenError(ArcanError):
    """The session id belongs to somebody else, or to a session that was deleted."""

    code = "arcan.session_taken"
    status = 409

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"The session id {session_id} is taken.",
            next_step="Choose another one.",
            details={"session_id": session_id},
        )


class ScriptError(ArcanError):
    """A script for the scripted provider that can't be played."""

    code = "arcan.bad_script"
    status = 400


class UnknownProviderError(ArcanError):
    """A provider specification that names no provider."""

    code = "arcan.unknown_provider"
    status = 400


class BranchNotFoundError(ArcanError):
    """The session has no branch of this id or name."""

    code = "arcan.branch_not_found"
    status = 404

    def __init__(self, session_id: str, branch: str) -> None:
        super().__init__(
            f"Session {session_id} has no such branch.", details={"session_id": session_id, "branch": branch[:200]}
        )


class BranchExistsError(ArcanError):
    """The name belongs to a branch that was forked elsewhere."""

    code = "arcan.branch_exists"
    status = 409

    def __init__(self, session_id: str, branch: str) -> None:
        super().__init__(
            f"Session {session_id} has another branch of this name.",
            next_step="Choose another name.",
            details={"session_id": session_id, "branch": branch},
        )


class BranchMergedError(ArcanError):
    """The branch was merged; from then on it can be read, compared and forked, and nothing else."""

    code = "arcan.branch_merged"
    status = 409

    def __init__(self, session_id: str, branch: str, target: str) -> None:
        super().__init__(
            f"The branch {branch} was merged into {target} and is read-only.",
            next_step=f"Go on with {target}, or fork it.",
            details={"session_id": session_id, "branch": branch, "merged_into": target},
        )


class BranchNotMergeableError(ArcanError):
    """These two branches can't be merged in this direction."""

    code = "arcan.branch_not_mergeable"
    status = 409


class FileConflictsError(ArcanError):
    """Both sides changed these files, each to something else. Nothing was stored."""

    code = "arcan.file_conflicts"
    status = 409

    def __init__(self, conflicts: Sequence[FileConflict]) -> None:
        self.conflicts = tuple(conflicts)
        paths = ", ".join(conflict.path for conflict in self.conflicts[:5])
        more = "" if len(self.conflicts) <= 5 else f" and {len(self.conflicts) - 5} more"
        super().__init__(
            f"Both branches changed {paths}{more}.",
            next_step="Say whose version wins: ours (the target's) or theirs.",
            details={
                "conflicts": len(self.conflicts),
                "paths": "\n".join(conflict.path for conflict in self.conflicts[:100]),
            },
        )


class BranchFilesMissingError(ArcanError):
    """This runtime keeps no versions of files, so a branch can't get a working copy of its own."""

    code = "arcan.branch_files_missing"
    status = 409

    def __init__(self) -> None:
        super().__init__("This runtime keeps no versions of files, so branches can be read but not run.")


class RecordingError(ArcanError):
    """A recording that can't be replayed: no session in it, or what it holds does not fit together."""

    code = "arcan.bad_recording"
    status = 400


class AgentDefinitionError(ArcanError):
    """An agent's file, or its input, does not fit. The words say what."""

    code = "arcan.bad_agent"
    status = 400


class AgentNotFoundError(ArcanError):
    """There is no agent of this name."""

    code = "arcan.agent_not_found"
    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no agent named '{name[:64]}'.", next_step="`life agents list` names them all.")


class SubagentSessionError(ArcanError):
    """The session belongs to one run of another session."""

    code = "arcan.subagent_session"
    status = 409

    def __init__(self, session_id: str, parent: str) -> None:
        super().__init__(
            f"Session {session_id} works for a run of session {parent} and takes no other run.",
            details={"session_id": session_id, "parent": parent},
        )


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
            next_step=f"Set {variable}, store a key with `life models key set`, or choose the provider 'scripted'.",
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


class LoopFailedError(ProviderError):
    """A loop of another framework ended with an error of its own; only its type is told."""

    code = "arcan.loop_failed"

    def __init__(self, loop: str, error: str) -> None:
        super().__init__(f"The loop {loop} failed: {error}.")


class LoopDivergedError(ProviderError):
    """A loop of another framework did not come to where the journal says that it was, or can't be recorded."""

    code = "arcan.loop_diverged"


class ProviderCircuitOpenError(ProviderError):
    """The provider failed several times in a row; nobody asks it until its rest is over."""

    code = "arcan.provider_circuit_open"
    status = 503
    retryable = True

    def __init__(self, provider: str, *, retry_after_us: int) -> None:
        super().__init__(f"{provider} failed several times in a row and is left alone for now.")
        self.retry_after_us = retry_after_us


class ModelRecordingError(ProviderError):
    """A recording that can't be read, can't be written, or does not hold the request."""

    code = "arcan.model_recording"
    status = 400


def replayed_error(code: str, message: str, *, retry_after_us: int | None = None) -> ProviderError:
    """The provider's failure that was recorded under this code."""
    if code == ProviderRateLimitedError.code:
        return ProviderRateLimitedError(message, retry_after_us=retry_after_us)
    if code == ProviderUnavailableError.code:
        return ProviderUnavailableError(message, retry_after_us=retry_after_us)
    plain: tuple[type[ProviderError], ...] = (
        ProviderUnauthorizedError,
        ProviderRejectedError,
        ProviderUnreachableError,
        ProviderInterruptedError,
    )
    for kind in plain:
        if kind.code == code:
            return kind(message)
    return ProviderError(message)

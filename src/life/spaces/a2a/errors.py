"""What the A2A bindings refuse (A2A 1.0, "Error Handling").

A2aError
├── TaskNotFoundError                 spaces.a2a.task_not_found           -32001  404
├── TaskNotCancelableError            spaces.a2a.task_not_cancelable      -32002  400
├── PushNotSupportedError             spaces.a2a.push_not_supported       -32003  400
├── UnsupportedOperationError         spaces.a2a.unsupported_operation    -32004  400
├── ContentTypeNotSupportedError      spaces.a2a.content_type             -32005  400
├── InvalidAgentResponseError         spaces.a2a.invalid_agent_response   -32006  500
├── ExtendedCardNotConfiguredError    spaces.a2a.no_extended_card         -32007  400
├── ExtensionRequiredError            spaces.a2a.extension_required       -32008  400
├── VersionNotSupportedError          spaces.a2a.version_not_supported    -32009  400
├── InvalidParamsError                spaces.a2a.invalid_params           -32602  400
├── InvalidRequestError               spaces.a2a.invalid_request          -32600  400
├── MethodNotFoundError               spaces.a2a.method_not_found         -32601  404
├── JsonParseError                    spaces.a2a.parse_error              -32700  400
├── InternalError                     spaces.a2a.internal                 -32603  500
├── WorkPausedError                   spaces.a2a.work_paused              this agent is stopping; it goes on later
├── CardRefusedError                  spaces.a2a.card_refused             a card that is not what it says
└── PeerUnavailableError              spaces.a2a.peer_unavailable         the other agent does not answer
"""

from __future__ import annotations

from typing import ClassVar, Final

from life.aios.errors import LifeError
from life.aios.json import Json

DOMAIN: Final = "a2a-protocol.org"
ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"


class A2aError(LifeError):
    """An operation of the protocol failed."""

    code = "spaces.a2a.error"
    rpc_code: ClassVar[int] = -32603
    grpc_status: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL_ERROR"


class TaskNotFoundError(A2aError):
    """There is no such task, or it is not the caller's."""

    code = "spaces.a2a.task_not_found"
    status = 404
    rpc_code = -32001
    grpc_status = "NOT_FOUND"
    reason = "TASK_NOT_FOUND"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"There is no task '{task_id[:64]}'.")


class TaskNotCancelableError(A2aError):
    """The task is over."""

    code = "spaces.a2a.task_not_cancelable"
    status = 400
    rpc_code = -32002
    grpc_status = "FAILED_PRECONDITION"
    reason = "TASK_NOT_CANCELABLE"


class PushNotSupportedError(A2aError):
    """This agent sends no push notifications."""

    code = "spaces.a2a.push_not_supported"
    status = 400
    rpc_code = -32003
    grpc_status = "FAILED_PRECONDITION"
    reason = "PUSH_NOTIFICATION_NOT_SUPPORTED"


class UnsupportedOperationError(A2aError):
    """The operation is not possible, or not in this state."""

    code = "spaces.a2a.unsupported_operation"
    status = 400
    rpc_code = -32004
    grpc_status = "FAILED_PRECONDITION"
    reason = "UNSUPPORTED_OPERATION"


class ContentTypeNotSupportedError(A2aError):
    """The agent can't take what the message holds, or can't answer in the form that was asked for."""

    code = "spaces.a2a.content_type"
    status = 400
    rpc_code = -32005
    grpc_status = "INVALID_ARGUMENT"
    reason = "CONTENT_TYPE_NOT_SUPPORTED"


class InvalidAgentResponseError(A2aError):
    """An agent answered something that is not of the protocol."""

    code = "spaces.a2a.invalid_agent_response"
    status = 500
    rpc_code = -32006
    grpc_status = "INTERNAL"
    reason = "INVALID_AGENT_RESPONSE"


class ExtendedCardNotConfiguredError(A2aError):
    """There is no card beside the public one."""

    code = "spaces.a2a.no_extended_card"
    status = 400
    rpc_code = -32007
    grpc_status = "FAILED_PRECONDITION"
    reason = "EXTENDED_AGENT_CARD_NOT_CONFIGURED"


class ExtensionRequiredError(A2aError):
    """The request needs an extension that the client did not activate."""

    code = "spaces.a2a.extension_required"
    status = 400
    rpc_code = -32008
    grpc_status = "FAILED_PRECONDITION"
    reason = "EXTENSION_SUPPORT_REQUIRED"


class VersionNotSupportedError(A2aError):
    """The client speaks another version. A request that names none speaks 0.3."""

    code = "spaces.a2a.version_not_supported"
    status = 400
    rpc_code = -32009
    grpc_status = "FAILED_PRECONDITION"
    reason = "VERSION_NOT_SUPPORTED"


class InvalidParamsError(A2aError):
    """The parameters do not fit."""

    code = "spaces.a2a.invalid_params"
    status = 400
    rpc_code = -32602
    grpc_status = "INVALID_ARGUMENT"
    reason = "INVALID_PARAMS"


class InvalidRequestError(A2aError):
    """The envelope does not fit."""

    code = "spaces.a2a.invalid_request"
    status = 400
    rpc_code = -32600
    grpc_status = "INVALID_ARGUMENT"
    reason = "INVALID_REQUEST"


class MethodNotFoundError(A2aError):
    """There is no such method."""

    code = "spaces.a2a.method_not_found"
    status = 404
    rpc_code = -32601
    grpc_status = "NOT_FOUND"
    reason = "METHOD_NOT_FOUND"


class JsonParseError(A2aError):
    """The body is no JSON."""

    code = "spaces.a2a.parse_error"
    status = 400
    rpc_code = -32700
    grpc_status = "INVALID_ARGUMENT"
    reason = "INVALID_REQUEST"


class InternalError(A2aError):
    """A part of this agent failed."""

    code = "spaces.a2a.internal"


class WorkPausedError(A2aError):
    """This agent is stopping. The task goes on after its next start."""

    code = "spaces.a2a.work_paused"
    status = 503
    retryable = True


class CardRefusedError(A2aError):
    """The card is malformed, is not signed by whom we trust, or was changed."""

    code = "spaces.a2a.card_refused"
    status = 502


class PeerUnavailableError(A2aError):
    """The other agent can't be reached, or answers no A2A. Nothing is known of what it did."""

    code = "spaces.a2a.peer_unavailable"
    status = 503
    retryable = True


def as_a2a(error: LifeError) -> A2aError:
    """The error of the protocol that stands for any of ours."""
    if isinstance(error, A2aError):
        return error
    kind: type[A2aError] = InternalError
    if error.status == 400:
        kind = InvalidParamsError
    elif error.status in (403, 404, 409):
        kind = UnsupportedOperationError
    return kind(error.message, details={"code": error.code})


def details_of(error: A2aError) -> list[Json]:
    """The typed details (google.rpc.ErrorInfo)."""
    metadata: dict[str, Json] = {name: str(value) for name, value in error.details.items()}
    return [{"@type": ERROR_INFO, "reason": error.reason, "domain": DOMAIN, "metadata": metadata}]


_OURS: Final = (WorkPausedError, CardRefusedError, PeerUnavailableError)
BY_RPC_CODE: Final[dict[int, type[A2aError]]] = {
    kind.rpc_code: kind for kind in A2aError.__subclasses__() if kind not in _OURS
}
BY_REASON: Final[dict[str, type[A2aError]]] = {
    kind.reason: kind for kind in A2aError.__subclasses__() if kind not in (*_OURS, JsonParseError)
}


def remote_error(kind: type[A2aError] | None, message: str) -> A2aError:
    """The error that another agent answered with."""
    text = message[:1000] or "The other agent refused."
    if kind is None:
        return InvalidAgentResponseError(text)
    error = kind.__new__(kind)
    A2aError.__init__(error, text)
    return error

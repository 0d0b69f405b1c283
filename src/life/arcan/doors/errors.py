"""What the doors refuse, with stable codes.

ArcanError
├── UnknownModelError          arcan.unknown_model          404
├── UnsupportedParameterError  arcan.unsupported_parameter  400  names the parameter
├── RequestKeyConflictError    arcan.request_key_conflict   409  same Idempotency-Key, other request
├── RunFailedError             arcan.run_failed             502  the run ended by an error
├── RunNeedsPersonError        arcan.run_needs_person       409  it stands still until somebody decides
├── WebhookNotFoundError       arcan.webhook_not_found      404
└── WebhookTargetError         arcan.webhook_target         400  an address that is not posted to
"""

from __future__ import annotations

from life.arcan.errors import ArcanError


class UnknownModelError(ArcanError):
    """No agent or provider of this name is offered to this caller."""

    code = "arcan.unknown_model"
    status = 404

    def __init__(self, model: str) -> None:
        super().__init__(
            f"There is no model '{model[:64]}' here.",
            next_step="GET /v1/models lists them.",
            details={"param": "model"},
        )


class UnsupportedParameterError(ArcanError):
    """The request asks for something that this door does not do; it is not quietly left out."""

    code = "arcan.unsupported_parameter"
    status = 400

    def __init__(self, parameter: str, why: str) -> None:
        super().__init__(f"'{parameter}' is not supported here: {why}", details={"param": parameter})


class RequestKeyConflictError(ArcanError):
    """The Idempotency-Key was used for another request."""

    code = "arcan.request_key_conflict"
    status = 409

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key belongs to another request.", next_step="Use a new key.")


class RunFailedError(ArcanError):
    """The run ended by an error. What it did until then stands in the session."""

    code = "arcan.run_failed"
    status = 502

    def __init__(self, session_id: str, error: str) -> None:
        super().__init__(error, details={"session_id": session_id})


class RunNeedsPersonError(ArcanError):
    """Nobody but a person can say whether a tool call took effect."""

    code = "arcan.run_needs_person"
    status = 409

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"The run of session {session_id} stands still: a tool call is in doubt.",
            next_step=f"Decide it under /sessions/{session_id}/doubts.",
            details={"session_id": session_id},
        )


class WebhookNotFoundError(ArcanError):
    """There is no such subscription, or it is somebody else's."""

    code = "arcan.webhook_not_found"
    status = 404

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"There is no webhook {webhook_id[:64]}.")


class WebhookTargetError(ArcanError):
    """A URL that webhooks are not posted to."""

    code = "arcan.webhook_target"
    status = 400

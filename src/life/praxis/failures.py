"""What a model reads when a call failed."""

from __future__ import annotations

from life.aios.errors import LifeError, PaymentError, ToolError
from life.aios.json import Json


def failure_output(refusal: LifeError) -> dict[str, Json]:
    """`{error, code, advice?, next_step?}`. Refusals of other subsystems come with advice about repeating the call.

    For a payment that advice is always no: a model that repeats a call makes a new purchase, while what Haima may call
    retryable, and its next step, mean the same purchase (ARCHITECTURE, decision 7).
    """
    output: dict[str, Json] = {"error": refusal.message, "code": refusal.code}
    if isinstance(refusal, PaymentError):
        output["advice"] = (
            "Do not make this request again to get around this: a repeated call is a new purchase, and it is not known "
            "whether this one was charged."
            if refusal.retryable
            else "Do not repeat this call as it is: it would be refused again, or be paid for again."
        )
        return output
    if not isinstance(refusal, ToolError):
        output["advice"] = (
            "The same call may go through later."
            if refusal.retryable
            else "Do not repeat this call as it is: it would be refused again, or what it did is not known yet."
        )
    if refusal.next_step is not None:
        output["next_step"] = refusal.next_step
    return output

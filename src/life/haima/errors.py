"""What haima refuses, and why (haima.md §1.16, x402.md §16.12).

    PaymentError                      haima.error
    ├── MalformedPaymentError         haima.malformed_payment       400  a header or document that is no x402
    ├── PaymentRefusedError           haima.payment_refused         402  the payee or a verifier said no; `reason` is its code
    ├── NoAcceptableTermsError        haima.no_acceptable_terms     402  a 402 without any offer this payer can take
    ├── PolicyDeniedError             haima.<verdict>               403  our own policy said no (HM-POL); nothing was signed
    ├── OutcomeUnknownError           haima.outcome_unknown         503  money may have moved; never a reason to pay again
    ├── AlreadyPaidError              haima.already_paid            409  this purchase is settled, its answer can't be had again
    ├── PurchaseConflictError         haima.purchase_conflict       409  one purchase id, two different requests
    ├── PurchaseInProgressError       haima.purchase_in_progress    409  this purchase is under way in this process
    ├── IdentifierConflictError       haima.identifier_conflict     409  one payment identifier, two different payments
    ├── InsecurePaymentError          haima.insecure_payment        400  a payment would travel unprotected or to another origin
    ├── UnrepeatableRequestError      haima.unrepeatable_request    400  the body can't be sent a second time
    ├── WalletMismatchError           haima.wallet_mismatch         500  custody has no wallet, or another one
    ├── InsufficientFundsError        haima.insufficient_funds      402
    ├── InsufficientBalanceError      haima.insufficient_balance    402  an account of the house holds less than that
    ├── IdempotencyConflictError      haima.idempotency_conflict    409  one idempotency key, two different requests
    ├── FacilitatorUnavailableError   haima.facilitator_unavailable 503  no answer; nothing is known
    └── ChainError                    haima.chain_error             502
        ├── ChainRefusedError         haima.chain_refused           402  the chain will not take it; nothing moved
        └── ChainUnavailableError     haima.chain_unavailable       503  no answer; the outcome is open

`PolicyDeniedError` carries its verdict in `verdict` and as the last part of an instance-level `code`, so that programs
can branch on either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from life.aios.errors import PaymentError

DenialCode = Literal[
    "amount_out_of_range",
    "recipient_malformed",
    "network_not_allowed",
    "asset_not_allowed",
    "policy_disabled",
    "mode_hibernate",
    "mode_hustle",
    "soul_limit",
    "hard_cap",
    "call_ceiling",
    "session_cap",
    "total_cap",
    "task_cap",
    "payee_cap",
    "rate_limited",
    "needs_approval",
]
"""The stable codes of HM-POL (haima.md §1.4), in the order in which the steps are taken."""

_NEXT_STEPS: Final[dict[str, str]] = {
    "needs_approval": "Approve this payment once (haima approve), or raise the policy's auto-approve cap.",
    "rate_limited": "Wait until the 60-second window has room again.",
    "policy_disabled": "Enable payments in the policy.",
    "network_not_allowed": "Allow this network in the policy, if you trust it with money.",
    "asset_not_allowed": "Register this token with its domain and decimals, if you trust it.",
    "call_ceiling": "Raise the ceiling of this call, if the price is right.",
}


class MalformedPaymentError(PaymentError):
    """A payment header or document that can't be read: bad base64, no JSON, missing fields, too long."""

    code = "haima.malformed_payment"
    status = 400


class PaymentRefusedError(PaymentError):
    """The payee or a verifier refused this payment. `reason` is its code (x402.md §7); it may be any text."""

    code = "haima.payment_refused"

    def __init__(
        self, reason: str, message: str | None = None, *, details: Mapping[str, str | int | bool] | None = None
    ):
        super().__init__(
            message or f"The payment was refused: {reason}.", details={"reason": reason, **(details or {})}
        )
        self.reason = reason


class NoAcceptableTermsError(PaymentError):
    """The resource wants money, and none of its offers can be taken by this payer."""

    code = "haima.no_acceptable_terms"


class PolicyDeniedError(PaymentError):
    """Our own policy refused. Nothing was signed and nothing left the process. `code` is `haima.<verdict>`."""

    code = "haima.policy_denied"
    status = 403

    def __init__(
        self,
        verdict: DenialCode,
        message: str,
        *,
        retry_after_ms: int | None = None,
        ticket_id: str | None = None,
        details: Mapping[str, str | int | bool] | None = None,
    ) -> None:
        more: dict[str, str | int | bool] = {"verdict": verdict, **(details or {})}
        if retry_after_ms is not None:
            more["retry_after_ms"] = retry_after_ms
        if ticket_id is not None:
            more["ticket_id"] = ticket_id
        super().__init__(message, next_step=_NEXT_STEPS.get(verdict), details=more)
        self.code = f"haima.{verdict}"  # type: ignore[misc]
        self.verdict: DenialCode = verdict
        self.retry_after_ms = retry_after_ms
        self.ticket_id = ticket_id


class OutcomeUnknownError(PaymentError):
    """Money may have moved, and nobody could tell yet. Repeating the same purchase resends the identical payment, which
    can't be charged twice; a new purchase could be. Never tell anybody to pay again because of this error."""

    code = "haima.outcome_unknown"
    status = 503
    retryable = True


class AlreadyPaidError(PaymentError):
    """This purchase was paid and settled, and the payee does not hand out its answer a second time."""

    code = "haima.already_paid"
    status = 409


class PurchaseConflictError(PaymentError):
    """One purchase id was used for two different requests."""

    code = "haima.purchase_conflict"
    status = 409


class PurchaseInProgressError(PaymentError):
    """This very purchase is under way in this process. Repeating it later gives its outcome."""

    code = "haima.purchase_in_progress"
    status = 409
    retryable = True


class IdentifierConflictError(PaymentError):
    """One payment identifier came with two different payments (extension `payment-identifier`, x402.md §5)."""

    code = "haima.identifier_conflict"
    status = 409


class InsecurePaymentError(PaymentError):
    """A payment would travel over plain HTTP, or its terms belong to another origin."""

    code = "haima.insecure_payment"
    status = 400


class UnrepeatableRequestError(PaymentError):
    """The request's body can't be sent a second time, so the call can't be paid for. Nothing was paid."""

    code = "haima.unrepeatable_request"
    status = 400


class WalletMismatchError(PaymentError):
    """Custody has no wallet, or signs with another one than the payment names."""

    code = "haima.wallet_mismatch"
    status = 500


class InsufficientFundsError(PaymentError):
    """The account does not hold the amount."""

    code = "haima.insufficient_funds"


class InsufficientBalanceError(PaymentError):
    """An account of the house holds less than a posting takes from it. Nothing was posted."""

    code = "haima.insufficient_balance"

    def __init__(self, account: str, *, needed_micro: int, available_micro: int) -> None:
        super().__init__(
            f"{account} holds {available_micro} micro-credits; {needed_micro} are needed.",
            details={"account": account, "needed_micro": needed_micro, "available_micro": available_micro},
        )


class IdempotencyConflictError(PaymentError):
    """This idempotency key was used for another request. Nothing was done."""

    code = "haima.idempotency_conflict"
    status = 409

    def __init__(self, key: str) -> None:
        super().__init__(
            "This idempotency key was used for another request.",
            next_step="Use a new key for a new request.",
            details={"idempotency_key": key[:128]},
        )


class FacilitatorUnavailableError(PaymentError):
    """The facilitator does not answer, or not in a way that says anything. What it did is unknown."""

    code = "haima.facilitator_unavailable"
    status = 503
    retryable = True


class ChainError(PaymentError):
    """The root of what a chain may answer instead of a result."""

    code = "haima.chain_error"
    status = 502


class ChainRefusedError(ChainError):
    """The chain will not take the transaction. Nothing moved. `reason` is a code of x402.md §7."""

    code = "haima.chain_refused"
    status = 402

    def __init__(self, reason: str, message: str | None = None) -> None:
        super().__init__(message or f"The chain refused: {reason}.", details={"reason": reason})
        self.reason = reason


class ChainUnavailableError(ChainError):
    """The chain can't be reached, or the answer got lost. The outcome is open until it is read back."""

    code = "haima.chain_unavailable"
    status = 503
    retryable = True

"""What haima refuses, and why (haima.md §1.16, x402.md §16.12).

    PaymentError                      haima.error
    ├── MalformedPaymentError         haima.malformed_payment       400  a header or document that is no x402
    ├── PaymentRefusedError           haima.payment_refused         402  the payee or a verifier said no; `reason` is its code
    ├── NoAcceptableTermsError        haima.no_acceptable_terms     402  a 402 without any offer this payer can take
    ├── PolicyDeniedError             haima.<verdict>               403  our own policy said no (HM-POL); nothing was signed
    ├── OutcomeUnknownError           haima.outcome_unknown         503  money may have moved; never a reason to pay again
    ├── AlreadyPaidError              haima.already_paid            409  this purchase is settled, its answer can't be had again
    ├── ApprovalDecidedError          haima.approval_decided        409  somebody decided otherwise, or it is too late
    ├── PurchaseConflictError         haima.purchase_conflict       409  one purchase id, two different requests
    ├── PurchaseInProgressError       haima.purchase_in_progress    409  this purchase is under way in this process
    ├── IdentifierConflictError       haima.identifier_conflict     409  one payment identifier, two different payments
    ├── InsecurePaymentError          haima.insecure_payment        400  a payment would travel unprotected or to another origin
    ├── UnrepeatableRequestError      haima.unrepeatable_request    400  the body can't be sent a second time
    ├── WalletMismatchError           haima.wallet_mismatch         500  custody has no wallet, or another one
    ├── InsufficientFundsError        haima.insufficient_funds      402
    ├── InsufficientBalanceError      haima.insufficient_balance    402  an account of the house holds less than that
    ├── IdempotencyConflictError      haima.idempotency_conflict    409  one idempotency key, two different requests
    ├── EvidenceUsedError             haima.evidence_used           409  this fact (a payment, an event) was counted before
    ├── EvidenceInvalidError          haima.evidence_invalid        422  no such fact, or it shows something else
    ├── CreditRefusedError            haima.<reason>                422  no line, limit or unfreezing for this agent now
    │   ├── InsufficientCreditError   haima.insufficient_credit     402  more than what is available on the line
    │   ├── NoCreditLineError         haima.no_credit_line          404
    │   └── CreditLineStateError      haima.credit_line_state       409  the line's state does not allow this
    ├── MalformedRequestError         haima.malformed_request       400  a body that is no JSON, or a key that is missing
    ├── InvalidRequestError           haima.invalid_request         422  a body with a field that can't be so
    ├── InvalidReportError            haima.invalid_report          400  a bureau report that its lender did not sign so
    ├── CoverRefusedError             haima.cover_refused           422  this cover is not sold, or not to this agent
    ├── PoolReservesError             haima.pool_reserves           409  the pool holds too little for this cover or payout
    ├── QuoteExpiredError             haima.quote_expired           409
    ├── ClaimRefusedError             haima.claim_refused           422  the policy does not cover this
    ├── TrustTooLowError              haima.trust_too_low           403  the contract asks for more trust than the agent has
    ├── RoleRefusedError              haima.role_refused            403  this is for somebody else to do
    ├── RefundRefusedError            haima.refund_refused          409  not settled, or more than what is left of it
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
    "host_not_allowed",
    "payee_not_allowed",
    "policy_disabled",
    "mode_hibernate",
    "mode_hustle",
    "soul_limit",
    "hard_cap",
    "call_ceiling",
    "session_cap",
    "total_cap",
    "day_cap",
    "task_cap",
    "payee_cap",
    "host_cap",
    "rate_limited",
    "payee_changed",
    "price_jumped",
    "needs_approval",
    "approval_denied",
    "approval_expired",
    "approvals_full",
]
"""The stable codes of HM-POL (haima.md §1.4), in the order in which the steps are taken."""

_NEXT_STEPS: Final[dict[str, str]] = {
    "needs_approval": "Approve this payment once (haima approvals approve), or raise the policy's auto-approve cap.",
    "payee_changed": "Ask the seller whether it changed its address; if it did, approve this payment once.",
    "price_jumped": "Approve this payment once (haima approvals approve), if the price is right.",
    "approval_expired": "Ask again: the same request gets a new ticket.",
    "approvals_full": "Decide on what waits (haima approvals list); questions expire on their own.",
    "host_not_allowed": "Allow this host in the policy, if you trust it with money.",
    "payee_not_allowed": "Allow this address in the policy, if you trust it with money.",
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


class ApprovalDecidedError(PaymentError):
    """This question was decided otherwise before, its grant is used, or its time is over. Nothing was changed."""

    code = "haima.approval_decided"
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


class EvidenceUsedError(PaymentError):
    """This fact was counted before, by another command. Nothing was done."""

    code = "haima.evidence_used"
    status = 409

    def __init__(self, evidence: str) -> None:
        super().__init__("This evidence was used before.", details={"evidence": evidence[:256]})


class EvidenceInvalidError(PaymentError):
    """The journal holds no such fact, or it shows something else."""

    code = "haima.evidence_invalid"
    status = 422


class CreditRefusedError(PaymentError):
    """A line, a limit or an unfreezing that this agent can't have now. `reason` is the last part of `code`."""

    code = "haima.credit_refused"
    status = 422

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        details: Mapping[str, str | int | bool] | None = None,
        step: str | None = None,
    ) -> None:
        super().__init__(message, details={"reason": reason, **(details or {})}, next_step=step)
        self.code = f"haima.{reason}"  # type: ignore[misc]
        self.reason = reason


class InsufficientCreditError(CreditRefusedError):
    """The line has less left than what is asked for. Nothing was drawn."""

    code = "haima.insufficient_credit"
    status = 402

    def __init__(self, *, asked_micro: int, available_micro: int) -> None:
        super().__init__(
            "insufficient_credit",
            f"The line has {available_micro} micro-credits left; {asked_micro} were asked for.",
            details={"asked_micro_usd": asked_micro, "available_micro_usd": available_micro},
        )


class NoCreditLineError(CreditRefusedError):
    """The agent has no credit line."""

    code = "haima.no_credit_line"
    status = 404

    def __init__(self, agent_id: str) -> None:
        super().__init__("no_credit_line", "This agent has no credit line.", details={"agent_id": agent_id[:256]})


class CreditLineStateError(CreditRefusedError):
    """The line's state does not allow this (haima.md §1.7)."""

    code = "haima.credit_line_state"
    status = 409

    def __init__(self, status: str, message: str) -> None:
        super().__init__("credit_line_state", message, details={"line_status": status})
        self.line_status = status


class MalformedRequestError(PaymentError):
    """A request whose body is no JSON or too long, or that moves value without an Idempotency-Key."""

    code = "haima.malformed_request"
    status = 400


class InvalidRequestError(PaymentError):
    """A request whose body has a field that is unknown, missing, or can't be so. Nothing was done."""

    code = "haima.invalid_request"
    status = 422


class InvalidReportError(PaymentError):
    """A bureau report that was not signed like this by the lender one asked for, is of another kind, or is too old."""

    code = "haima.invalid_report"
    status = 400


class CoverRefusedError(PaymentError):
    """This cover is not sold now, or not to this agent. Nothing was collected."""

    code = "haima.cover_refused"
    status = 422


class PoolReservesError(PaymentError):
    """The pool's reserves are too small for this cover or this payout. Nothing was moved."""

    code = "haima.pool_reserves"
    status = 409

    def __init__(self, pool_id: str) -> None:
        super().__init__(
            "The pool's reserves are too small for this.",
            next_step="Contribute to the pool, or ask for less.",
            details={"pool_id": pool_id},
        )


class QuoteExpiredError(PaymentError):
    """The quote's time is over. Nothing was collected."""

    code = "haima.quote_expired"
    status = 409

    def __init__(self, quote_id: str) -> None:
        super().__init__("This quote has expired.", next_step="Ask for a new one.", details={"quote_id": quote_id})


class ClaimRefusedError(PaymentError):
    """The policy does not cover this incident, this time or this much. The claim was not taken down."""

    code = "haima.claim_refused"
    status = 422


class TrustTooLowError(PaymentError):
    """The contract asks for more trust than the agent has. Nothing was contracted."""

    code = "haima.trust_too_low"
    status = 403

    def __init__(self, trust_ppm: int, needed_ppm: int) -> None:
        super().__init__(
            f"This work needs a trust of {needed_ppm / 1_000_000:.2f}; the agent has {trust_ppm / 1_000_000:.2f}.",
            details={"trust_ppm": trust_ppm, "needed_ppm": needed_ppm},
        )


class RoleRefusedError(PaymentError):
    """Somebody else has to do this: the agent, the customer, the approver or the arbiter that is named. Nothing changed."""

    code = "haima.role_refused"
    status = 403


class RefundRefusedError(PaymentError):
    """This charge can't be refunded so: it never settled, or less is left of it than was asked for. Nothing was written."""

    code = "haima.refund_refused"
    status = 409


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

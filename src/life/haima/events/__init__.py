"""The events of haima: `finance.*`, typed (haima.md §1.14).

The 22 names of the taxonomy keep their payload fields; optional fields with ids were added where they were missing. The
additions stand beside them, by what they are about. An event is stored as the contract's `Custom` under `finance.<name>`,
and its data carries `kind`.

Amounts: `_micro_credits`, `_micro`, `_micro_usd` are micro-dollars (1 USDC = 1,000,000); `_atomic` is text, because a
token can hold more than 2^63 of its units. Times without a unit are RFC 3339 in the envelope; `_s`, `_ms`, `_us` are ints.

    wallet:<network>:<address>   everything a payer does: reservations, signatures, outcomes (one stream per wallet)
    finance:house                accounts, bills, credit, contracts and cover: all that is decided together (life.haima.house)

The local ledger's own events stand in `life.haima.chain.ledger_events`.
"""

from __future__ import annotations

from life.haima.events.approvals import ApprovalExpired, ApprovalRequested, ApprovalResolved
from life.haima.events.catalogue import ResourceListed
from life.haima.events.charges import (
    AccessGranted,
    ChargeClaimed,
    ChargeIdentified,
    ChargeInterrupted,
    ChargePending,
    ChargeRefused,
    ChargeReleased,
    ChargeServed,
    ChargeStreamed,
    SignedIn,
)
from life.haima.events.codec import EVENTS, as_kind, event_type, finance_event, read_finance, wallet_stream
from life.haima.events.credit import CreditInsufficient
from life.haima.events.finance_event import PREFIX, FinanceEvent
from life.haima.events.insurance import (
    ClaimDenied,
    ClaimPaid,
    ClaimSubmitted,
    ClaimVerified,
    PolicyIssued,
    PoolContribution,
    PoolPayout,
    PremiumCollected,
    RiskAssessed,
)
from life.haima.events.payments import (
    PayeeAlarm,
    PaymentAmbiguous,
    PaymentAttempted,
    PaymentAuthorized,
    PaymentCancelling,
    PaymentClaimed,
    PaymentDeclined,
    PaymentDelivered,
    PaymentFailed,
    PaymentReleased,
    PaymentRequested,
    PaymentReserved,
    PaymentSettled,
    PaymentSigned,
    PaymentSubmitted,
    PaymentUndelivered,
    RevenueReceived,
)
from life.haima.events.refunds import (
    RefundFailed,
    RefundIntended,
    RefundPending,
    RefundSettled,
    RefundSigned,
)
from life.haima.events.settlements import (
    FacilitatorFeeAccrued,
    FacilitatorFeeWaived,
    SettlementAllowance,
    SettlementConfirmed,
    SettlementFailed,
    SettlementIntended,
    SettlementPrepared,
    SettlementRefused,
    SettlementReopened,
    SettlementRepriced,
)
from life.haima.events.tasks import TaskBilled, TaskContracted, TaskRefunded, TaskVerified
from life.haima.events.wallets import BalanceSynced, SpendingCapSet, WalletCreated

__all__ = [
    "EVENTS",
    "PREFIX",
    "AccessGranted",
    "ApprovalExpired",
    "ApprovalRequested",
    "ApprovalResolved",
    "BalanceSynced",
    "ChargeClaimed",
    "ChargeIdentified",
    "ChargeInterrupted",
    "ChargePending",
    "ChargeRefused",
    "ChargeReleased",
    "ChargeServed",
    "ChargeStreamed",
    "ClaimDenied",
    "ClaimPaid",
    "ClaimSubmitted",
    "ClaimVerified",
    "CreditInsufficient",
    "FacilitatorFeeAccrued",
    "FacilitatorFeeWaived",
    "FinanceEvent",
    "PayeeAlarm",
    "PaymentAmbiguous",
    "PaymentAttempted",
    "PaymentAuthorized",
    "PaymentCancelling",
    "PaymentClaimed",
    "PaymentDeclined",
    "PaymentDelivered",
    "PaymentFailed",
    "PaymentReleased",
    "PaymentRequested",
    "PaymentReserved",
    "PaymentSettled",
    "PaymentSigned",
    "PaymentSubmitted",
    "PaymentUndelivered",
    "PolicyIssued",
    "PoolContribution",
    "PoolPayout",
    "PremiumCollected",
    "RefundFailed",
    "RefundIntended",
    "RefundPending",
    "RefundSettled",
    "RefundSigned",
    "ResourceListed",
    "RevenueReceived",
    "RiskAssessed",
    "SettlementAllowance",
    "SettlementConfirmed",
    "SettlementFailed",
    "SettlementIntended",
    "SettlementPrepared",
    "SettlementRefused",
    "SettlementReopened",
    "SettlementRepriced",
    "SignedIn",
    "SpendingCapSet",
    "TaskBilled",
    "TaskContracted",
    "TaskRefunded",
    "TaskVerified",
    "WalletCreated",
    "as_kind",
    "event_type",
    "finance_event",
    "read_finance",
    "wallet_stream",
]

"""The events of haima: `finance.*`, typed (haima.md §1.14).

The 22 names of the taxonomy keep their payload fields; optional fields with ids were added where they were missing. The
additions stand below them: reservations and what becomes of them, approvals, the seller's claims and settlements. An event is stored as the contract's `Custom` under `finance.<name>`, and its data carries `kind`.

Amounts: `_micro_credits`, `_micro`, `_micro_usd` are micro-dollars (1 USDC = 1,000,000); `_atomic` is text, because a
token can hold more than 2^63 of its units. Times without a unit are RFC 3339 in the envelope; `_s`, `_ms`, `_us` are ints.

    wallet:<network>:<address>   everything a payer does: reservations, signatures, outcomes (one stream per wallet)

The local ledger's own events stand beside it, in `life.haima.chain.ledger_events`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from life.aios.events import Custom, Kind
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.record import SYSTEM, Actor, EventRecord, NewEvent, Stream

PREFIX: Final = "finance."


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class FinanceEvent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="kind",
    tag=_snake,
):
    """Base of all finance events. The class name in snake_case is the event's name."""


class _PaymentIds(FinanceEvent, frozen=True, kw_only=True):
    """Which payment, in whose name. Absent in journals of the Rust original."""

    payment_id: str | None = None
    session_id: str | None = None
    task_id: str | None = None
    wallet: str | None = None
    """The payer's address, EIP-55."""
    network: str | None = None
    """CAIP-2."""
    asset: str | None = None
    payee: str | None = None
    nonce: str | None = None
    """`0x` and 64 hex digits."""
    amount_atomic: str | None = None


# --- the taxonomy: payments -------------------------------------------------------------------------------------------


class PaymentRequested(_PaymentIds, frozen=True, kw_only=True):
    """A resource asks for money."""

    resource_url: str
    amount_micro_credits: int
    token: str
    chain: str


class PaymentAuthorized(_PaymentIds, frozen=True, kw_only=True):
    """The policy agreed to a payment."""

    resource_url: str
    amount_micro_credits: int
    payer_address: str
    recipient_address: str


class PaymentAttempted(_PaymentIds, frozen=True, kw_only=True):
    """A payment was handed to a facilitator."""

    resource_url: str
    amount_micro_credits: int
    facilitator_url: str


class PaymentSettled(_PaymentIds, frozen=True, kw_only=True):
    """Money of ours moved. `tx_hash` is empty when the payee did not tell it."""

    tx_hash: str
    amount_micro_credits: int
    chain: str
    latency_ms: int
    facilitator: str
    source: Literal["payee", "chain", "operator"] | None = None
    """Who said so."""


class PaymentFailed(_PaymentIds, frozen=True, kw_only=True):
    """A payment was refused. The reservation stays until the authorization can no longer land."""

    resource_url: str
    amount_micro_credits: int
    reason: str


class RevenueReceived(_PaymentIds, frozen=True, kw_only=True):
    """Somebody paid us."""

    tx_hash: str
    amount_micro_credits: int
    payer_address: str
    resource_url: str | None = None


class WalletCreated(FinanceEvent, frozen=True, kw_only=True):
    """A wallet exists. Never carries key material; `key_blob_id` names a sealed blob."""

    address: str
    chain: str
    key_blob_id: str | None = None
    wallet_id: str | None = None


class BalanceSynced(FinanceEvent, frozen=True, kw_only=True):
    """What the chain holds against what we thought."""

    address: str
    chain: str
    on_chain_micro_credits: int
    internal_micro_credits: int
    drift: int
    asset: str | None = None


class TaskBilled(FinanceEvent, frozen=True, kw_only=True):
    """A finished task costs its customer something."""

    task_id: str
    description: str
    price_micro_credits: int
    token: str
    chain: str
    bill_id: str | None = None
    session_id: str | None = None
    payer: str | None = None


class CreditInsufficient(FinanceEvent, frozen=True, kw_only=True):
    """A payment needed credit that was not there."""

    agent_id: str
    resource_url: str
    amount_micro_credits: int
    reason: str
    payment_id: str | None = None


# --- the taxonomy: outcomes -------------------------------------------------------------------------------------------


class TaskContracted(FinanceEvent, frozen=True, kw_only=True):
    """A task was priced by its outcome."""

    task_id: str
    contract_id: str
    agent_id: str
    complexity: str
    price_micro_credits: int
    sla_deadline_ms: int
    session_id: str | None = None


class TaskVerified(FinanceEvent, frozen=True, kw_only=True):
    """A task's outcome was checked."""

    task_id: str
    contract_id: str
    outcome: str
    price_micro_credits: int
    criteria_passed: int
    criteria_total: int


class TaskRefunded(FinanceEvent, frozen=True, kw_only=True):
    """A task's price went back."""

    task_id: str
    contract_id: str
    refund_micro_credits: int
    reason: str
    refund_id: str | None = None


# --- the taxonomy: insurance ------------------------------------------------------------------------------------------


class PolicyIssued(FinanceEvent, frozen=True, kw_only=True):
    """Cover was bought."""

    policy_id: str
    agent_id: str
    product_type: str
    coverage_micro_usd: int
    premium_micro_usd: int
    provider_id: str


class PremiumCollected(FinanceEvent, frozen=True, kw_only=True):
    """A premium came in."""

    policy_id: str
    agent_id: str
    amount_micro_usd: int
    commission_micro_usd: int


class ClaimSubmitted(FinanceEvent, frozen=True, kw_only=True):
    """An insured agent reports a loss."""

    claim_id: str
    policy_id: str
    agent_id: str
    incident_type: str
    claimed_amount_micro_usd: int


class ClaimVerified(FinanceEvent, frozen=True, kw_only=True):
    """A claim was checked against evidence."""

    claim_id: str
    policy_id: str
    incident_confirmed: bool
    confidence: float
    evidence_events_validated: int


class ClaimPaid(FinanceEvent, frozen=True, kw_only=True):
    """A claim was paid; `source` is `pool` or a provider id."""

    claim_id: str
    policy_id: str
    agent_id: str
    payout_micro_usd: int
    source: str


class ClaimDenied(FinanceEvent, frozen=True, kw_only=True):
    """A claim was refused."""

    claim_id: str
    policy_id: str
    reason: str


class PoolContribution(FinanceEvent, frozen=True, kw_only=True):
    """Money went into the pool."""

    pool_id: str
    agent_id: str
    amount_micro_usd: int


class PoolPayout(FinanceEvent, frozen=True, kw_only=True):
    """Money left the pool."""

    pool_id: str
    claim_id: str
    amount_micro_usd: int
    reserves_after_micro_usd: int


class RiskAssessed(FinanceEvent, frozen=True, kw_only=True):
    """An agent's risk was rated."""

    agent_id: str
    risk_score: float
    risk_rating: str
    premium_multiplier: float
    insurable: bool


# --- additions: what a payer does (haima.md §1.19) --------------------------------------------------------------------


class PaymentReserved(FinanceEvent, frozen=True, kw_only=True):
    """The intent: on disk before any signature. It holds the whole authorization, so that a crash at any later point
    can only ever lead to this very payment and never to a second one."""

    payment_id: str
    purchase_id: str
    attempt: int
    """1, or one more than that of the last released payment of the same purchase."""
    request_key: str
    """SHA-256 (hex) of method, URL and body: which request this pays for."""
    wallet: str
    network: str
    asset: str
    token_name: str
    token_version: str
    payee: str
    amount_atomic: str
    amount_micro: int
    valid_after_s: int
    valid_before_s: int
    nonce: str
    resource_url: str
    """Where it goes, without user info, query and fragment: those may carry secrets."""
    accepted: Raw
    """The chosen offer, verbatim."""
    resource: Raw | UnsetType = UNSET
    extensions: Raw | UnsetType = UNSET
    session_id: str | None = None
    task_id: str | None = None
    approval_id: str | None = None


class PaymentSigned(FinanceEvent, frozen=True, kw_only=True):
    """Custody signed the reserved authorization. The signature is no key, but whoever holds it can have it settled."""

    payment_id: str
    signature: str


class PaymentSubmitted(FinanceEvent, frozen=True, kw_only=True):
    """The payment left for the payee (`resend` from 1: the identical payment again)."""

    payment_id: str
    resend: int = 0


class PaymentAmbiguous(FinanceEvent, frozen=True, kw_only=True):
    """Nobody knows what became of it: a lost answer, a 5xx, a 2xx without settlement. It keeps counting."""

    payment_id: str
    reason: str


class PaymentDelivered(FinanceEvent, frozen=True, kw_only=True):
    """The paid answer was read to its end."""

    payment_id: str


class PaymentUndelivered(FinanceEvent, frozen=True, kw_only=True):
    """The paid answer broke off before its end; repeating the request resends this payment."""

    payment_id: str


class PaymentReleased(FinanceEvent, frozen=True, kw_only=True):
    """The reservation is over without a payment: never signed, or the authorization can no longer land."""

    payment_id: str
    reason: str


class PaymentDeclined(FinanceEvent, frozen=True, kw_only=True):
    """Our own policy said no; nothing was signed."""

    code: str
    reason: str
    resource_url: str
    network: str
    asset: str
    payee: str
    amount_atomic: str
    wallet: str | None = None
    purchase_id: str | None = None
    session_id: str | None = None
    task_id: str | None = None


class SpendingCapSet(FinanceEvent, frozen=True, kw_only=True):
    """The wallet's lifetime cap, kept with the wallet. None lifts it."""

    wallet: str
    network: str
    total_cap_micro: int | None = None


class ApprovalRequested(FinanceEvent, frozen=True, kw_only=True):
    """A payment above the auto-approve cap waits for a person. The ticket is bound to exactly these terms."""

    ticket_id: str
    terms_digest: str
    wallet: str
    network: str
    asset: str
    payee: str
    amount_atomic: str
    amount_micro: int
    resource_url: str
    expires_at_us: int
    session_id: str | None = None
    task_id: str | None = None


class ApprovalResolved(FinanceEvent, frozen=True, kw_only=True):
    """A person decided. A grant is good for one payment, until it expires."""

    ticket_id: str
    approved: bool
    expires_at_us: int
    by: str | None = None


# --- additions: what a seller does (life.haima.x402.claims) -----------------------------------------------------------


class _Claim(FinanceEvent, frozen=True, kw_only=True):
    """Which claim. `claim_key` is that of the payment (`exact.claim_key`); `attempt` counts from 0 how often the payment
    was claimed, after a release; `payment_id` is the event id of the first claim."""

    claim_key: str
    payment_id: str
    attempt: int = 0


class _Charge(FinanceEvent, frozen=True, kw_only=True):
    """Which attempt to sell for which payment: `payment_id` is the event id of the payment's first claim."""

    payment_id: str
    attempt: int = 0


class ChargeClaimed(_Claim, frozen=True, kw_only=True):
    """One request owns this payment. Written before the handler runs; one winner per attempt. With the signature it holds
    the whole payment, so that it can be settled again after a crash. Network, token and nonce stand in `claim_key`."""

    request: str
    """What it pays for: method, path and query; `sha256:` and hex where that is long."""
    resource_url: str
    payer: str
    payee: str
    amount_atomic: str
    valid_after_s: int
    valid_before_s: int
    signature: str
    owner: str
    """The process that runs the handler, by an id it made at its start."""
    amount_micro: int | None = None
    identifier: str | None = None
    settle_first: bool = False
    """The settlement is asked for before the handler runs."""
    token_name: str | None = None
    """Only for a token that is not known by its address."""
    token_version: str | None = None


class ChargeIdentified(FinanceEvent, frozen=True, kw_only=True):
    """A payer gave this payment an identifier (extension `payment-identifier`), for ever."""

    identifier: str
    payer: str
    claim_key: str


class ChargeServed(_Charge, frozen=True, kw_only=True):
    """The handler's answer exists, and from here on the payment is being settled. The answer leaves after that."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """None when it was too large to keep; then `body_bytes` says how large."""
    body_bytes: int = 0


class ChargeReleased(_Charge, frozen=True, kw_only=True):
    """The handler failed or refused; the payment was not settled and may be presented again."""

    reason: str


class ChargeInterrupted(_Charge, frozen=True, kw_only=True):
    """The process that owned the claim ended before there was an answer. Whoever writes this wins against that process:
    it can no longer settle, should it live. Unless it was settled first, nothing was and nothing will be charged."""

    reason: str


class ChargePending(_Charge, frozen=True, kw_only=True):
    """The settlement was asked for and its outcome is not known. `transaction` is its hash where there was one."""

    reason: str
    transaction: str = ""


class ChargeRefused(_Charge, frozen=True, kw_only=True):
    """The facilitator would not settle. Final for this payment; the answer never left."""

    reason: str
    transaction: str = ""


# --- additions: what a facilitator does (life.haima.facilitator.self_hosted) ------------------------------------------


class SettlementIntended(FinanceEvent, frozen=True, kw_only=True):
    """A payment passed every check and is going to be settled. Holds the whole authorization, so that the settlement can
    be finished after a crash."""

    claim_key: str
    payment_id: str
    network: str
    asset: str
    token_name: str
    token_version: str
    payer: str
    payee: str
    amount_atomic: str
    valid_after_s: int
    valid_before_s: int
    nonce: str
    signature: str


class SettlementPrepared(_Claim, frozen=True, kw_only=True):
    """The settling transaction exists and is about to leave. Its hash finds it again, its bytes can be sent again."""

    network: str
    transaction: str
    raw_transaction: str
    account_nonce: int | None = None


class SettlementConfirmed(_Claim, frozen=True, kw_only=True):
    """The chain holds exactly this transfer."""

    transaction: str
    network: str
    payer: str
    amount_atomic: str
    amount_micro: int | None = None
    block_number: int | None = None
    latency_ms: int | None = None


class SettlementFailed(_Claim, frozen=True, kw_only=True):
    """This attempt moved nothing and never will. `sent` is False when the chain did not even take it (the gas account
    was empty, for example): then another attempt may follow."""

    reason: str
    network: str
    transaction: str = ""
    sent: bool = True


class SettlementRefused(FinanceEvent, frozen=True, kw_only=True):
    """A properly signed payment that was refused before any gas was spent."""

    claim_key: str
    network: str
    payer: str
    amount_atomic: str
    reason: str


# --- codec ------------------------------------------------------------------------------------------------------------


class _Stored(msgspec.Struct):
    event_type: str
    data: Raw


EVENTS: Final[dict[str, type[FinanceEvent]]] = {
    PREFIX + _snake(name): member
    for name, member in list(globals().items())
    if isinstance(member, type)
    and issubclass(member, FinanceEvent)
    and member is not FinanceEvent
    and not name.startswith("_")
}
"""Every known event by its type, `finance.<name>`."""

_encoder: Final = msgspec.json.Encoder()
_stored: Final = msgspec.json.Decoder(_Stored)
_decoders: Final = {name: msgspec.json.Decoder(member) for name, member in EVENTS.items()}
_heads: Final = {
    member: b'{"type":"Custom","event_type":"' + name.encode() + b'","data":' for name, member in EVENTS.items()
}
_CUSTOM: Final = Custom.__name__


def event_type(event: FinanceEvent) -> str:
    """`finance.<name>`."""
    return PREFIX + _snake(type(event).__name__)


def finance_event(
    event: FinanceEvent,
    clock: Clock,
    entropy: Entropy,
    *,
    stream: Stream,
    agent_id: str,
    event_id: str | None = None,
    actor: Actor = SYSTEM,
    causation_id: str | None = None,
    correlation_id: str | None = None,
    timestamp_us: int | None = None,
) -> NewEvent:
    """`event` as an event of `stream`, now or at `timestamp_us`; ready for the journal."""
    return NewEvent(
        event_id=event_id or new_id(clock, entropy),
        session_id=stream.session_id,
        branch_id=stream.branch_id,
        agent_id=agent_id,
        timestamp_us=clock.now_us() if timestamp_us is None else timestamp_us,
        payload=_heads[type(event)] + _encoder.encode(event) + b"}",
        kind_name=_CUSTOM,
        actor=actor,
        causation_id=causation_id,
        correlation_id=correlation_id,
    )


def read_finance(record: EventRecord | NewEvent) -> FinanceEvent | None:
    """The finance event in a record. None for any other event, for an unknown `finance.*` and for one that does not fit:
    folds skip those (HM-EVT)."""
    if record.kind_name != _CUSTOM:
        return None
    try:
        stored = _stored.decode(record.payload)
    except msgspec.DecodeError:
        return None
    decoder = _decoders.get(stored.event_type)
    if decoder is None:
        return None
    try:
        return decoder.decode(stored.data)
    except msgspec.DecodeError:
        return None


def as_kind(event: FinanceEvent) -> Kind:
    """The contract's `Custom` of an event, for writers that use the generic event writer."""
    return Custom(event_type=event_type(event), data=msgspec.json.decode(_encoder.encode(event)))


def wallet_stream(network: str, address: str) -> Stream:
    """The stream of one wallet on one network; the address in lower case, so that every spelling means one stream."""
    return Stream(f"wallet:{network}:{address.lower()}")

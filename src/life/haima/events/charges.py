"""What a seller does (life.haima.x402.claims)."""

from __future__ import annotations

from msgspec import UNSET, Raw, UnsetType

from life.haima.events.finance_event import FinanceEvent


class Claimed(FinanceEvent, frozen=True, kw_only=True):
    """Which claim. `claim_key` is that of the payment (`exact.claim_key`); `attempt` counts from 0 how often the payment
    was claimed, after a release; `payment_id` is the event id of the first claim."""

    claim_key: str
    payment_id: str
    attempt: int = 0


class _Charge(FinanceEvent, frozen=True, kw_only=True):
    """Which attempt to sell for which payment: `payment_id` is the event id of the payment's first claim."""

    payment_id: str
    attempt: int = 0


class ChargeClaimed(Claimed, frozen=True, kw_only=True):
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
    scheme: str | None = None
    """None is `exact`."""
    asset: str | None = None
    """The token, where `claim_key` does not name it: Permit2 burns its nonces for all tokens."""
    payment: Raw | UnsetType = UNSET
    """The payment itself, where the fields above do not say it all: Permit2, with the allowance that came along."""
    access_until_s: int | None = None
    """Until when the payer may come back by signing in; None without sign-in."""
    resource: str | None = None
    """What he may come back to: method and path."""
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
    charge_atomic: str | None = None
    """What the handler charges of the maximum that was signed (`upto`); None is all of it."""
    streamed: bool = False
    """The answer leaves as it is made; how that ended stands in `ChargeStreamed`."""


class ChargeStreamed(_Charge, frozen=True, kw_only=True):
    """A streamed answer ended. Not `complete`: it broke off, and `reason` says why."""

    complete: bool
    sent_bytes: int
    body: bytes | None = None
    """All of it, when it was complete and small enough to keep."""
    reason: str = ""
    by_client: bool = False
    """It broke off because the client went away."""


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


class AccessGranted(FinanceEvent, frozen=True, kw_only=True):
    """A payment lets its payer come back to a resource by signing in, without paying again."""

    resource: str
    """Method and path."""
    address: str
    payment_id: str
    until_s: int


class SignedIn(FinanceEvent, frozen=True, kw_only=True):
    """A wallet proved who it is and was let in. One per nonce, for ever."""

    address: str
    resource: str
    domain: str
    nonce: str

"""What hiring needs of others: somebody who holds the money, and somebody who remembers how dealing with a peer went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

Status = Literal["open", "delivered", "paid", "rejected", "declined", "late", "disputed"]
OVER: Final = frozenset({"paid", "rejected", "declined", "late"})


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is agreed on. Accounts are names at the house."""

    hire_id: str
    customer_id: str
    worker_id: str
    price_micro_credits: int
    deadline_s: int
    review_s: int
    title: str
    offer_digest: str
    session_id: str | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a hire stands by the word of the house, the only one that counts for money. Amounts are micro-credits."""

    hire_id: str
    customer_id: str
    worker_id: str
    title: str
    offer_digest: str
    price_micro_credits: int
    status: Status
    escrow_micro_credits: int
    paid_micro_credits: int
    refunded_micro_credits: int
    contracted_at_us: int
    deadline_us: int
    deadline_s: int
    review_s: int
    delivered_at_us: int | None = None
    review_until_us: int | None = None
    result: str = ""
    result_digest: str | None = None
    reason: str = ""
    position: int = 0


class Escrow(Protocol):
    """A house that holds money between two agents (an OutcomeDesk of Haima, here or at a daemon). Every call may be repeated: the second
    one changes nothing. Refusals are LifeErrors; one that is retryable says nothing about what happened."""

    @property
    def house(self) -> str:
        """The house's name, as offers name it: both sides must mean the same one."""
        ...

    def account_of(self, did: str) -> str:
        """The account there of the agent with this root DID; HireRefusedError for a DID that can have none."""
        ...

    async def put_aside(self, terms: Terms, *, approved: bool) -> Standing:
        """Fund the hire and put its price aside. `approved`: a person agreed to this very price, so that the payment policy need not
        ask again."""
        ...

    async def look(self, hire_id: str) -> Standing | None:
        """Where it stands now; None when the house does not know it, or does not tell us."""
        ...

    async def deliver(self, hire_id: str, result: str) -> Standing:
        """The worker hands the result in."""
        ...

    async def judge(self, hire_id: str, *, passed: bool, reason: str) -> Standing:
        """The customer accepts or rejects; the money follows."""
        ...

    async def give_up(self, hire_id: str, reason: str) -> Standing:
        """The worker won't do it; the money goes back."""
        ...


OpenEscrow = Callable[[], Awaitable[Escrow | None]]
"""Gives the house, which is opened at the first call; None where there is none. LifeErrors that are retryable: ask again later."""


class Interaction(NamedTuple):
    """A hire that is over, with a peer whose key was proven."""

    hire_id: str
    peer_did: str
    """Its root DID."""
    role: Literal["customer", "worker"]
    """Ours."""
    success: bool | None
    """How the peer did; None when that says nothing about it."""
    own_success: bool | None
    """How we did, as the worker; None for a customer."""


class Trusted(NamedTuple):
    """Our own trust in a peer."""

    score_micro: int
    """0 to 1,000,000; 500,000 for one that we never dealt with."""
    interactions: int


class PeerTrust(Protocol):
    """The agent's memory of how dealing with peers went."""

    async def trust_in(self, did: str) -> Trusted:
        """Trust in the agent with this root DID."""
        ...

    async def record(self, interaction: Interaction) -> Trusted:
        """Remember one, once for ever however often it is told; the trust afterwards."""
        ...

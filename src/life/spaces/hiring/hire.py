"""A hire as one of its two sides sees it: what the task says, and above it what the house says."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Literal

import msgspec

from life.spaces.hiring.offers import TaskBody
from life.spaces.hiring.peers import Peer
from life.spaces.hiring.ports import OVER, Standing
from life.spaces.model import Task

Role = Literal["customer", "worker"]
State = Literal["offered", "working", "delivered", "paid", "rejected", "declined", "late", "disputed"]
ClosedState: Final = frozenset({"paid", "rejected", "declined", "late"})
EscrowState = Literal["held", "released", "returned", "none"]


class Hire(msgspec.Struct, frozen=True, kw_only=True):
    """A hire (or a question, which has no price), as one of the two sees it."""

    hire_id: str
    kind: Literal["hire", "question"]
    role: Role
    state: State
    peer: Peer
    title: str
    task: str
    price_micro: int
    paid_micro: int = 0
    refunded_micro: int = 0
    escrow: EscrowState = "none"
    house: str = ""
    deadline_us: int = 0
    delivered_at_us: int | None = None
    review_until_us: int | None = None
    result: str | None = None
    result_sha256: str | None = None
    reason: str = ""
    fault: str = ""
    """Why what the task says is not to be believed."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ClosedState


def state_of(row: Task, body: TaskBody, standing: Standing | None) -> State:
    """The house's word first; where it says that the hire is open, what the task says."""
    if standing is not None and standing.status != "open":
        return standing.status
    if row.state == "rejected":
        return "declined"
    if standing is None and row.state == "completed":
        return "delivered"
    return "offered" if row.state == "submitted" else "working"


def by_the_house(hire: Hire, standing: Standing, declined: str) -> Hire:
    """The hire with what the house says of it; `declined` is what the worker wrote beside."""
    escrow: EscrowState = "held"
    if standing.status == "paid":
        escrow = "released"
    elif standing.status in OVER:
        escrow = "returned"
    delivered = standing.result_digest is not None
    return msgspec.structs.replace(
        hire,
        paid_micro=standing.paid_micro_credits,
        refunded_micro=standing.refunded_micro_credits,
        escrow=escrow if standing.price_micro_credits else "none",
        deadline_us=standing.deadline_us,
        delivered_at_us=standing.delivered_at_us,
        review_until_us=standing.review_until_us,
        result=standing.result if delivered else None,
        result_sha256=standing.result_digest,
        reason=standing.reason or declined,
    )


def from_the_house(standing: Standing, peer: Peer, house: str, while_open: State, fault: str) -> Hire:
    """A hire of ours whose words are gone, or nobody can believe: what the house alone knows of it."""
    hire = Hire(
        hire_id=standing.hire_id,
        kind="hire",
        role="customer",
        state=while_open if standing.status == "open" else standing.status,
        peer=peer,
        title=standing.title,
        task="",
        price_micro=standing.price_micro_credits,
        house=house,
        fault=fault,
    )
    return by_the_house(hire, standing, "")


def sha256_of(text: str) -> str:
    """As the house counts it, in hex."""
    return sha256(text.encode(errors="replace")).hexdigest()

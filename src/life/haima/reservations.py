"""What a wallet has promised and paid: the pure fold over the wallet's own stream (haima.md §1.19).

    held ─ signed ─┬─ settled          money moved: counts as spend for ever
                   ├─ refused          the payee said no, but could still settle until validBefore
                   ├─ ambiguous        nobody knows
                   └─ released         never signed, never sent, or the authorization can no longer land
          submitted                    sent again; from `refused` on it is open what the payee does this time
          claimed                      an `upto` payment of which the payee says that it took less than the maximum

Everything but `released` counts against the caps. A reservation is created with its whole authorization (payee, amount,
window, nonce), so `held` after a crash may mean "signed and sent, and the note of it was lost": it is treated as that.
`expired` is not a state of the fold but of the clock (`Payment.expired`): past validBefore, with some margin for the
chain's clock, the authorization can't land any more. A payment with an unknown outcome keeps counting even then, until
the chain, the payee or an operator says what happened; one that the payee refused is over (invariant 8 of haima.md §8.7).

Folding gives the changes it made, and they can be taken back: so that a purse can decide on top of events that are not
stored yet, and start over when another process was quicker.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ports.custody import PaymentAuthorization, PermitTransfer, TransferAuthorization
from life.haima.approvals import Ticket, TicketBook
from life.haima.budgets import Budgets
from life.haima.events import (
    ApprovalExpired,
    ApprovalRequested,
    ApprovalResolved,
    FinanceEvent,
    PaymentAmbiguous,
    PaymentCancelling,
    PaymentClaimed,
    PaymentDelivered,
    PaymentFailed,
    PaymentReleased,
    PaymentReserved,
    PaymentSettled,
    PaymentSigned,
    PaymentSubmitted,
    PaymentUndelivered,
    SpendingCapSet,
)
from life.haima.payees import Destination, SellerMemory, Undo
from life.haima.policy import Spending

EXPIRY_MARGIN_S: Final = 120
"""How long after validBefore an authorization may still land by our clock: clocks differ, and a chain that catches up
stamps its blocks in the past."""

KEPT_FINAL: Final = 1024
"""How many finished payments stay in memory at least (twice as many at most). Older ones are found in the journal."""

PaymentState = Literal["held", "signed", "submitted", "refused", "ambiguous", "claimed", "settled", "released"]
_WEIGHTS: Final[dict[str, tuple[int, int]]] = {
    "held": (1, 0),
    "signed": (1, 0),
    "submitted": (1, 0),
    "refused": (1, 0),
    "ambiguous": (1, 0),
    "claimed": (1, 0),
    "settled": (0, 1),
    "released": (0, 0),
}
"""Whether a payment in this state counts as outstanding, and whether as settled."""

Delivery = Literal["open", "delivered", "lost"]


class Payment(NamedTuple):
    """One reservation and what became of it."""

    reserved: PaymentReserved
    state: PaymentState
    reserved_at_us: int
    signature: str | None = None
    transaction: str = ""
    reason: str = ""
    resends: int = 0
    delivery: Delivery = "open"
    """Whether the paid answer was read to its end; `lost` when it broke off."""
    spent_micro: int | None = None
    """What was really taken of an `upto` payment, as far as anybody said; None: the whole amount."""
    cancelling: bool = False
    """Its authorization was to be burnt on the chain: that its nonce is used does not mean that money moved."""

    @property
    def payment_id(self) -> str:
        """The id of the reservation, of its journal event and of the payment identifier sent to the payee."""
        return self.reserved.payment_id

    @property
    def open(self) -> bool:
        """Whether the outcome is not final."""
        return self.state not in ("settled", "released")

    @property
    def unfinished(self) -> bool:
        """Whether the outcome is open, or the answer broke off."""
        return self.delivery == "lost" or self.state not in ("settled", "released")

    def expired(self, now_us: int) -> bool:
        """Whether the authorization can no longer land, by the clock."""
        return now_us >= (self.reserved.valid_before_s + EXPIRY_MARGIN_S) * 1_000_000

    @property
    def dies_by_clock(self) -> bool:
        """Whether time alone ends it. A transaction of Solana ends with its block, of which only the chain knows."""
        return self.reserved.transaction is None

    def is_dead(self, chain_says: str, now_us: int) -> bool:
        """Whether a payment that the chain calls `unused` can't land any more."""
        return chain_says == "unused" and (self.expired(now_us) or not self.dies_by_clock)

    def sendable(self, now_us: int) -> bool:
        """Whether the signed payment is still worth sending."""
        return self.state != "released" and now_us < self.reserved.valid_before_s * 1_000_000


class Change(NamedTuple):
    """What stood somewhere before an event was folded in."""

    kind: Literal["payment", "ticket", "cap", "forgotten", "seller"]
    key: str
    before: Payment | Ticket | Undo | int | None


NEVER_LEFT: Final = frozenset(("never_sent", "not_signed", "never_signed", "abandoned_before_signing"))
"""Reasons of a release after which no signature can be anywhere: a person's grant is good again then."""


def authorization_of(reserved: PaymentReserved) -> PaymentAuthorization:
    """The authorization that was reserved: the only one that may ever be signed for this payment. InvalidInputError for a
    payment that is a transaction (Solana)."""
    if reserved.transaction is not None:
        raise InvalidInputError("This payment is a transaction, not an authorization.")
    if reserved.transfer_method == "permit2":
        return PermitTransfer(
            network=reserved.network,
            asset=reserved.asset,
            from_address=reserved.wallet,
            to_address=reserved.payee,
            value_atomic=int(reserved.amount_atomic),
            spender=reserved.spender or "",
            nonce=int(reserved.nonce, 16),
            deadline_s=reserved.valid_before_s - 1,
            valid_after_s=reserved.valid_after_s,
            facilitator=reserved.facilitator,
            reservation_id=reserved.payment_id,
        )
    return TransferAuthorization(
        network=reserved.network,
        asset=reserved.asset,
        token_name=reserved.token_name,
        token_version=reserved.token_version,
        from_address=reserved.wallet,
        to_address=reserved.payee,
        value_atomic=int(reserved.amount_atomic),
        valid_after_s=reserved.valid_after_s,
        valid_before_s=reserved.valid_before_s,
        nonce=bytes.fromhex(reserved.nonce[2:]),
        reservation_id=reserved.payment_id,
    )


class WalletState:
    """All reservations of one wallet, with the sums that the caps need, each in constant time."""

    def __init__(self) -> None:
        self.outstanding_micro = 0
        self.settled_micro = 0
        self.total_cap_micro: int | None = None
        self._payments: dict[str, Payment] = {}
        self._final: deque[str] = deque()
        self._by_purchase: dict[str, list[str]] = {}
        self._by_request: dict[str, list[str]] = {}
        self._unfinished: dict[str, dict[str, None]] = {}
        self.sellers = SellerMemory()
        self.tickets = TicketBook()
        self._budgets = Budgets()
        self._changes: list[Change] = []

    # --- reading --------------------------------------------------------------------------------------------------

    def payment(self, payment_id: str) -> Payment | None:
        """The payment, as long as it is in memory."""
        return self._payments.get(payment_id)

    def of_purchase(self, purchase_id: str) -> Payment | None:
        """The newest payment of a purchase, as long as it is in memory."""
        ids = self._by_purchase.get(purchase_id)
        return self._payments[ids[-1]] if ids else None

    def unfinished(self, request_key: str) -> list[Payment]:
        """The payments for one request that are open or whose answer was lost, newest first."""
        ids = self._unfinished.get(request_key) if self._unfinished else None
        return sorted((self._payments[payment_id] for payment_id in ids), key=_age, reverse=True) if ids else []

    def latest(self, request_key: str) -> Payment | None:
        """The newest payment for one request, as long as it is in memory."""
        ids = self._by_request.get(request_key)
        return self._payments[ids[-1]] if ids else None

    def has_nonce(self, nonce: str) -> bool:
        """Whether a payment in memory that was not given back has this nonce (`0x` and hex)."""
        return any(
            payment.reserved.nonce == nonce and payment.state != "released" for payment in self._payments.values()
        )

    def open_payments(self) -> list[Payment]:
        """Every payment whose outcome is not final, oldest first."""
        return sorted((payment for payment in self._payments.values() if payment.open), key=_age)

    def ticket(self, ticket_id: str) -> Ticket | None:
        """One approval."""
        return self.tickets.get(ticket_id)

    def spending(
        self,
        *,
        session_id: str,
        task_id: str | None,
        payee: str | None,
        now_us: int,
        host: str | None = None,
        days: bool = True,
    ) -> Spending:
        """What counts against the caps for a payment in this session, for this task, to this payee at this host."""
        return self._budgets.spending(
            session_id=session_id,
            task_id=task_id,
            payee=payee,
            host=host,
            total_micro=self.outstanding_micro + self.settled_micro,
            now_us=now_us,
            days=days,
        )

    def encode(self) -> bytes:
        """The whole state as JSON: equal histories give equal bytes."""
        return msgspec.json.encode(
            {
                "outstanding_micro": self.outstanding_micro,
                "settled_micro": self.settled_micro,
                "total_cap_micro": self.total_cap_micro,
                "payments": self._payments,
                "final": list(self._final),
                "by_purchase": self._by_purchase,
                "by_request": self._by_request,
                "budgets": self._budgets.summary(),
                "sellers": self.sellers.summary(),
                "tickets": self.tickets.summary(),
            },
            order="deterministic",
        )

    # --- folding --------------------------------------------------------------------------------------------------

    def apply(self, event: FinanceEvent | None, timestamp_us: int) -> list[Change]:
        """Fold one event in, and say what changed: nothing when it is unknown, foreign or out of turn."""
        self._changes = []
        if isinstance(event, PaymentReserved):
            self._reserve(event, timestamp_us)
        elif isinstance(event, _MOVES):
            before = self._payments.get(event.payment_id) if event.payment_id is not None else None
            after = _advance(before, event) if before is not None else None
            if after is not None:
                self._put_payment(before, after)
                if isinstance(event, PaymentReleased) and event.reason in NEVER_LEFT and after.reserved.approval_id:
                    self._note_tickets(self.tickets.give_back(after.reserved.approval_id, after.payment_id))
        elif isinstance(event, ApprovalRequested):
            self._note_tickets(self.tickets.ask(event, timestamp_us))
        elif isinstance(event, ApprovalResolved):
            self._note_tickets(self.tickets.resolve(event, timestamp_us))
        elif isinstance(event, ApprovalExpired):
            self._note_tickets(self.tickets.expire(event))
        elif isinstance(event, SpendingCapSet):
            self._changes.append(Change("cap", "", self.total_cap_micro))
            self.total_cap_micro = event.total_cap_micro
        return self._changes

    def take_back(self, changes: list[Change]) -> None:
        """Undo what `apply` did. Several events are taken back newest first."""
        for change in reversed(changes):
            before = change.before
            if change.kind == "cap":
                assert not isinstance(before, tuple)
                self.total_cap_micro = before
            elif change.kind == "ticket":
                assert before is None or isinstance(before, Ticket)
                self.tickets.take_back(change.key, before)
            elif change.kind == "seller":
                assert isinstance(before, Undo)
                self.sellers.take_back(before)
            else:
                assert before is None or isinstance(before, Payment)
                self._take_back(change.kind, change.key, before)

    def _reserve(self, event: PaymentReserved, timestamp_us: int) -> None:
        if event.payment_id in self._payments:
            return
        self._put_payment(None, Payment(event, "held", timestamp_us))
        if event.approval_id is not None:
            self._note_tickets(self.tickets.use(event.approval_id, event.payment_id))
        destination = Destination.of(event.network, event.asset, event.payee)
        undo = self.sellers.remember(event.resource_url, destination, event.amount_micro)
        if undo is not None:
            self._changes.append(Change("seller", "", undo))

    def _note_tickets(self, changes: list[tuple[str, Ticket | None]]) -> None:
        self._changes += [Change("ticket", ticket_id, before) for ticket_id, before in changes]

    def _take_back(self, kind: str, payment_id: str, before: Payment | None) -> None:
        if kind == "forgotten":
            assert before is not None
            self._remember(before, newest=False)
            self._list_unfinished(None, before)
            self._final.appendleft(payment_id)
            return
        now = self._payments[payment_id]
        self._count(now, before)
        self._list_unfinished(now, before)
        if not now.open and (before is None or before.open):
            self._final.pop()
        if before is None:
            self._forget(now)
            self._budgets.take_back_reserved_at(now.reserved_at_us)
        else:
            self._payments[payment_id] = before

    def _put_payment(self, before: Payment | None, after: Payment) -> None:
        payment_id = after.reserved.payment_id
        self._changes.append(Change("payment", payment_id, before))
        self._count(before, after)
        self._list_unfinished(before, after)
        if before is None:
            self._remember(after, newest=True)
            self._budgets.reserved_at(after.reserved_at_us)
            return
        self._payments[payment_id] = after
        if before.open and not after.open:
            self._final.append(payment_id)
            if len(self._final) >= 2 * KEPT_FINAL:
                self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Many at a time, so that most payments don't pay for it."""
        while len(self._final) > KEPT_FINAL:
            oldest = self._payments[self._final.popleft()]
            self._changes.append(Change("forgotten", oldest.payment_id, oldest))
            self._forget(oldest)
            self._list_unfinished(oldest, None)

    def _remember(self, payment: Payment, *, newest: bool) -> None:
        reserved = payment.reserved
        self._payments[reserved.payment_id] = payment
        for index, key in ((self._by_purchase, reserved.purchase_id), (self._by_request, reserved.request_key)):
            ids = index.setdefault(key, [])
            ids.insert(len(ids) if newest else 0, reserved.payment_id)

    def _forget(self, payment: Payment) -> None:
        reserved = payment.reserved
        del self._payments[reserved.payment_id]
        for index, key in ((self._by_purchase, reserved.purchase_id), (self._by_request, reserved.request_key)):
            index[key].remove(reserved.payment_id)
            if not index[key]:
                del index[key]

    def _list_unfinished(self, before: Payment | None, after: Payment | None) -> None:
        """Keep the index of what may have to be finished, by request."""
        now = after is not None and after.unfinished
        if now == (before is not None and before.unfinished):
            return
        payment = after or before
        assert payment is not None
        reserved, index = payment.reserved, self._unfinished
        if now:
            index.setdefault(reserved.request_key, {})[reserved.payment_id] = None
        elif len(index[reserved.request_key]) == 1:
            del index[reserved.request_key]
        else:
            del index[reserved.request_key][reserved.payment_id]

    def _count(self, before: Payment | None, after: Payment | None) -> None:
        """Move the amount between the sums. Either side may be missing."""
        was_open, was_settled = _counted(before)
        is_open, is_settled = _counted(after)
        if was_open == is_open and was_settled == is_settled:
            return
        payment = after or before
        assert payment is not None
        self.outstanding_micro += is_open - was_open
        self.settled_micro += is_settled - was_settled
        change = is_open + is_settled - was_open - was_settled
        if change:
            self._budgets.move(payment.reserved, payment.reserved_at_us, change)


_Move = (
    PaymentSigned
    | PaymentSubmitted
    | PaymentFailed
    | PaymentAmbiguous
    | PaymentSettled
    | PaymentReleased
    | PaymentCancelling
    | PaymentClaimed
    | PaymentDelivered
    | PaymentUndelivered
)
_MOVES: Final = (
    PaymentSigned,
    PaymentSubmitted,
    PaymentFailed,
    PaymentAmbiguous,
    PaymentSettled,
    PaymentReleased,
    PaymentCancelling,
    PaymentClaimed,
    PaymentDelivered,
    PaymentUndelivered,
)


def _counted(payment: Payment | None) -> tuple[int, int]:
    """(outstanding, settled) in micro-credits."""
    if payment is None:
        return 0, 0
    is_open, is_settled = _WEIGHTS[payment.state]
    amount = payment.reserved.amount_micro
    if is_settled and payment.spent_micro is not None:
        amount = payment.spent_micro
    return amount * is_open, amount * is_settled


def _advance(before: Payment, event: _Move) -> Payment | None:
    """The payment after `event`; None when the event has no place in its state."""
    state = before.state
    if isinstance(event, PaymentSettled):
        if state == "settled" and (before.transaction or not event.tx_hash):
            return None
        settled = before._replace(state="settled", transaction=event.tx_hash)
        if before.reserved.scheme == "upto":
            return settled._replace(spent_micro=min(max(event.amount_micro_credits, 0), before.reserved.amount_micro))
        return settled
    if isinstance(event, PaymentDelivered):
        return before._replace(delivery="delivered") if before.delivery != "delivered" else None
    if isinstance(event, PaymentUndelivered):
        return before._replace(delivery="lost") if before.delivery == "open" else None
    if not before.open:
        return None
    if isinstance(event, PaymentSigned):
        return before._replace(state="signed" if state == "held" else state, signature=event.signature)
    if isinstance(event, PaymentSubmitted):
        return before._replace(
            state="submitted" if state in ("held", "signed", "refused") else state, resends=event.resend
        )
    if isinstance(event, PaymentCancelling):
        return before._replace(cancelling=True)
    if isinstance(event, PaymentReleased):
        return before._replace(state="released", reason=event.reason)
    if isinstance(event, PaymentClaimed):
        spent = min(max(event.amount_micro, 0), before.reserved.amount_micro)
        return before._replace(state="claimed", transaction=event.tx_hash, spent_micro=spent)
    if state == "claimed":
        return None
    if isinstance(event, PaymentAmbiguous):
        return before._replace(state="ambiguous", reason=event.reason)
    # A refusal after an unknown outcome proves nothing about the first try: it stays unknown.
    return before._replace(state="ambiguous" if state == "ambiguous" else "refused", reason=event.reason)


def _age(payment: Payment) -> tuple[int, str]:
    return payment.reserved_at_us, payment.payment_id

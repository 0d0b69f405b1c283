"""The purse: every payment is reserved here, under every cap, before it is signed (HM-POL, haima.md §1.19).

One purse is one wallet on one network. It decides on the fold of the wallet's stream and writes through the wallet log,
so that the caps hold over every process that shares the journal. It says no only on a fresh view: before a refusal it
catches up with the others and gives back what has expired.

Each attempt at a purchase has one possible payment id, derived from the wallet, the purchase and the attempt, and the
journal stores an id once. So a purchase has one payment, however many processes try; a second attempt exists only after
the first was released.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

import msgspec
from msgspec import Raw, UnsetType

from life.aios.errors import InvalidInputError
from life.aios.ids import derived_event_id, new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.haima.approvals import APPROVAL_LIFETIME_S, MAX_PENDING, Ticket, check_decided, decision
from life.haima.errors import DenialCode, PolicyDeniedError, PurchaseConflictError
from life.haima.events import (
    ApprovalExpired,
    ApprovalRequested,
    FinanceEvent,
    PayeeAlarm,
    PaymentDeclined,
    PaymentReleased,
    PaymentReserved,
    PaymentSettled,
    SpendingCapSet,
    read_finance,
    wallet_stream,
)
from life.haima.payees import Destination, Familiarity, SellerMemory, familiarity, host_of, origin_of
from life.haima.policy import Mode, PaymentPolicy, Proposal, SoulLimits, Verdict, decide, decide_on_account
from life.haima.reservations import Payment, WalletState
from life.haima.wallet_log import RIDE_ALONG_US, Reserved, WalletLog
from life.haima.x402.extensions import echo
from life.haima.x402.networks import TokenDomain


class Order(NamedTuple):
    """A payment that somebody wants to make: the chosen offer, and on whose behalf."""

    purchase_id: str
    request_key: str
    resource_url: str
    network: str
    network_known: bool
    asset: str
    domain: TokenDomain | None
    """None when the token is not known here; the policy then says no."""
    payee: str | None
    amount_atomic: int
    amount_micro: int | None
    timeout_s: int
    accepted: Raw
    resource: Raw | UnsetType
    extensions: Raw | UnsetType
    session_id: str
    task_id: str | None = None
    ceiling_micro: int | None = None
    attempt: int = 1
    """At least this attempt: earlier ones are over and may be forgotten here."""
    x402_version: int = 2
    scheme: str = "exact"
    transfer_method: str = "eip3009"
    spender: str | None = None
    facilitator: str | None = None
    allowance_nonce: int | None = None
    transaction: str | None = None
    last_valid_block_height: int | None = None
    from_slot: int | None = None
    rail: str = "x402"
    nonce: str | None = None
    """What the seller's challenge makes of it; None: chance."""

    @property
    def destination(self) -> Destination:
        """Where the money would go."""
        return Destination.of(self.network, self.asset, self.payee or "")


class _DeniedError(Exception):
    def __init__(self, verdict: Verdict, odd: Familiarity | None) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
        self.odd = odd


class Purse:
    """The reservations of one wallet on one network. Belongs to one event loop."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        network: str,
        address: str,
        agent_id: str,
        policy: PaymentPolicy,
        mode: Callable[[], Mode] | None = None,
        soul: SoulLimits | None = None,
        refusals_expire: bool = True,
        ride_along_us: int = RIDE_ALONG_US,
        wake: Callable[[], None] | None = None,
        sellers: Callable[[], Iterable[SellerMemory]] | None = None,
        on_question: Callable[[Ticket], None] | None = None,
        on_alarm: Callable[[PayeeAlarm], None] | None = None,
        approval_lifetime_s: int = APPROVAL_LIFETIME_S,
    ) -> None:
        """`address` is the wallet's, EIP-55. `mode` gives the present economic mode, `unknown` when it is stale; None
        means that no regulator is wired in.

        `refusals_expire`: what the payee refused is released by the clock alone. Switch it off where the chain can be
        asked instead. `wake`: see WalletLog. `sellers`: what is remembered of sellers on all networks; by default on this
        one. `on_question` is told of every question to a person once it is on disk; it must not block, and what it raises
        changes nothing about the question. `on_alarm` hears the same way of sellers that are odd.
        """
        self.network = network
        self.address = address
        self.policy = policy
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._mode = mode
        self._soul = soul
        self._refusals_expire = refusals_expire
        self._sellers = sellers or (lambda: (self.state.sellers,))
        self._on_question = on_question
        self._on_alarm = on_alarm
        self._approval_lifetime_s = approval_lifetime_s
        self._alarms: dict[str, Familiarity] = {}
        self._name = wallet_stream(network, address)
        self._log = WalletLog(
            journal,
            clock,
            entropy,
            stream=self._name,
            agent_id=agent_id,
            id_of=_id_of,
            ride_along_us=ride_along_us,
            wake=wake,
        )

    @property
    def state(self) -> WalletState:
        """The fold, with what is on its way to the journal on top. For reading."""
        return self._log.state

    async def open(self) -> None:
        """Read the wallet's history."""
        await self._log.catch_up()

    async def catch_up(self) -> None:
        """Read what other processes wrote since."""
        await self._log.catch_up()

    async def flush(self) -> None:
        """Return when everything noted so far is on disk."""
        await self._log.flush()

    async def aclose(self) -> None:
        """Store what waits, then stop."""
        await self._log.aclose()

    # --- reserving ------------------------------------------------------------------------------------------------

    async def reserve(self, order: Order) -> Reserved:
        """Reserve the amount under every cap; durable on return.

        PolicyDeniedError when the policy says no, with a ticket when a person may say yes. PurchaseConflictError when
        the purchase id belongs to another request. JournalError when the intent may not be on disk: sign nothing then.
        """
        try:
            return self._reserved(order, await self._log.reserve(lambda: self._decide(order)))
        except _DeniedError:
            await self._log.catch_up()
            self.release_expired()
        try:
            return self._reserved(order, await self._log.reserve(lambda: self._decide(order)))
        except _DeniedError as denied:
            error = await self._denied(order, denied.verdict, denied.odd)
        raise error

    async def check_on_account(
        self, amount_micro: int, *, purchase_id: str, resource_url: str, session_id: str, task_id: str | None
    ) -> None:
        """Whether money that lies on an account at somebody's may be spent there now; PolicyDeniedError otherwise. Nothing is
        reserved: this money left the wallet when it was paid in."""
        await self._log.catch_up()  # the cap that is kept with the wallet may have been set by another process
        verdict = decide_on_account(
            self.policy,
            Proposal(self.network, "", None, amount_micro, True, True, host=host_of(resource_url)),
            mode=self._mode() if self._mode is not None else None,
            soul=self._soul,
            total_cap_micro=self.state.total_cap_micro,
        )
        if verdict.code is None:
            return
        self.note(
            PaymentDeclined(
                code=verdict.code,
                reason=verdict.reason,
                resource_url=resource_url,
                network=self.network,
                asset="",
                payee="",
                amount_atomic=str(amount_micro),
                wallet=self.address,
                purchase_id=purchase_id,
                session_id=session_id,
                task_id=task_id,
            )
        )
        raise PolicyDeniedError(
            verdict.code, verdict.reason, details={"resource_url": resource_url, "network": self.network}
        )

    def _reserved(self, order: Order, reserved: Reserved) -> Reserved:
        """Raise the alarm about a seller that was paid although it is odd (policy `on_payee_change`: alarm)."""
        odd = self._alarms.pop(reserved.payment.payment_id, None) if self._alarms else None
        if odd is not None and reserved.created:
            self._raise_alarm(_alarm(order, odd, None))
        return reserved

    def note(self, event: FinanceEvent) -> None:
        """Fold an event in now and store it soon."""
        self._log.note(event)

    def hold(self, payment_id: str, event: FinanceEvent) -> None:
        """Note an event soon, unless its payment is over by then."""
        self._log.hold(payment_id, event)

    async def record(self, event: FinanceEvent) -> None:
        """Fold an event in and return when it is on disk."""
        await self._log.record(event)

    def settle(self, event: PaymentSettled) -> None:
        """Note a settlement. It has one possible id: two observers make one event, and the first one's stands."""
        assert event.payment_id is not None
        known = self.state.payment(event.payment_id)
        if known is not None and known.state == "settled":
            return
        self._log.note(event)

    def release(self, payment: Payment, reason: str) -> None:
        """Give a reservation back: its signature never left this process, or can no longer land."""
        self._log.note(PaymentReleased(payment_id=payment.payment_id, reason=reason))

    def release_expired(self) -> int:
        """Give back what the payee refused and what can no longer land, by the clock; how many."""
        if not self._refusals_expire:
            return 0
        now_us = self._clock.now_us()
        over = [p for p in self.state.open_payments() if p.state in ("refused", "claimed") and p.expired(now_us)]
        for payment in over:
            if payment.state == "refused":
                self.release(payment, "refused_and_expired")
            else:
                self.close_claim(payment)
        return len(over)

    def close_claim(self, payment: Payment) -> None:
        """Nothing more can be taken of this `upto` payment: book what the payee said that it took."""
        reserved = payment.reserved
        self.settle(
            PaymentSettled(
                payment_id=reserved.payment_id,
                session_id=reserved.session_id,
                task_id=reserved.task_id,
                wallet=reserved.wallet,
                network=reserved.network,
                asset=reserved.asset,
                payee=reserved.payee,
                nonce=reserved.nonce,
                tx_hash=payment.transaction,
                amount_micro_credits=payment.spent_micro or 0,
                chain=reserved.network,
                latency_ms=0,
                facilitator=reserved.facilitator or "",
                source="payee",
            )
        )

    async def set_total_cap(self, cap_micro: int | None) -> None:
        """Keep a lifetime cap with the wallet, for every process; None lifts it. Durable on return."""
        if cap_micro is not None and cap_micro < 0:
            raise InvalidInputError("A cap must not be negative.")
        await self.record(SpendingCapSet(wallet=self.address, network=self.network, total_cap_micro=cap_micro))

    async def resolve_ticket(
        self, ticket_id: str, *, approved: bool, by: str | None = None, reason: str | None = None
    ) -> Ticket:
        """A person's answer. A grant is good for one payment of exactly the asked terms; durable on return. The same
        answer again changes nothing. NotFoundError, ApprovalDecidedError: see `life.haima.approvals.decision`."""
        await self._log.catch_up()
        event = decision(
            self.state.ticket(ticket_id),
            ticket_id,
            approved=approved,
            by=by,
            reason=reason,
            now_us=self._clock.now_us(),
            lifetime_s=self._approval_lifetime_s,
        )
        if event is not None:
            await self.record(event)
        return check_decided(self.state.ticket(ticket_id), ticket_id, approved=approved)

    async def look_at_ticket(self, ticket_id: str) -> Ticket | None:
        """A question as it stands now, for every process; one whose time is over is written down as that."""
        await self._log.catch_up()
        self._expire_tickets()
        return self.state.ticket(ticket_id)

    def _expire_tickets(self) -> None:
        for ticket in self.state.tickets.overdue(self._clock.now_us()):
            self.note(ApprovalExpired(ticket_id=ticket.ticket_id))

    # --- looking up -----------------------------------------------------------------------------------------------

    async def find_purchase(self, purchase_id: str) -> Payment | None:
        """The newest payment of a purchase, even one that is long finished and no longer in memory."""
        known = self.state.of_purchase(purchase_id)
        found: Payment | None = None
        attempt = 1
        while known is None:
            payment_id = self.payment_id(purchase_id, attempt)
            record = await self._journal.get(payment_id)
            reserved = read_finance(record) if record is not None else None
            if record is None or not isinstance(reserved, PaymentReserved):
                return found
            settled = await self._journal.get(_settled_id(payment_id))
            event = read_finance(settled) if settled is not None else None
            # Everything open is in memory; what is neither there nor settled was released.
            found = Payment(reserved, "released", record.timestamp_us)
            if isinstance(event, PaymentSettled):
                return found._replace(state="settled", transaction=event.tx_hash)
            attempt += 1
            known = self.state.of_purchase(purchase_id)
        return known

    def payment_id(self, purchase_id: str, attempt: int) -> str:
        """The one id that this attempt at this purchase can have, in whatever process."""
        return derived_event_id("haima.payment", self._name.session_id, purchase_id, str(attempt))

    # --- deciding -------------------------------------------------------------------------------------------------

    def _decide(self, order: Order) -> PaymentReserved | Payment:
        """The reservation to write, or the one that stands already. Looks at the clock, the fold and the mode only."""
        earlier = self.state.of_purchase(order.purchase_id)
        if earlier is not None and earlier.reserved.request_key != order.request_key:
            raise PurchaseConflictError(
                "This purchase id was used for another request.", details={"purchase_id": order.purchase_id}
            )
        if earlier is not None and earlier.state != "released":
            return earlier
        if order.nonce is not None and self.state.has_nonce(order.nonce):
            raise PurchaseConflictError(
                "This payment challenge was answered before, for another purchase.",
                next_step="Ask the seller for a new one: every purchase pays a challenge of its own.",
            )
        now_us = self._clock.now_us()
        host = host_of(order.resource_url)
        odd = self._familiarity(order)
        verdict = decide(
            self.policy,
            Proposal(
                order.network,
                order.asset,
                order.payee,
                order.amount_micro,
                order.domain is not None,
                order.network_known,
                order.ceiling_micro,
                host,
            ),
            self.state.spending(
                session_id=order.session_id,
                task_id=order.task_id,
                payee=order.payee,
                host=host,
                now_us=now_us,
                days=self.policy.day_cap_micro is not None or self.policy.rolling_day_cap_micro is not None,
            ),
            now_us=now_us,
            mode=self._mode() if self._mode is not None else None,
            soul=self._soul,
            total_cap_micro=self.state.total_cap_micro,
            familiarity=odd,
        )
        grant: Ticket | None = None
        if verdict.decision == "needs_approval":
            grant = self.state.tickets.find(self._terms_digest(order), "granted", now_us=now_us)
        if verdict.decision != "allow" and grant is None:
            raise _DeniedError(verdict, odd)
        attempt = order.attempt if earlier is None else max(order.attempt, earlier.reserved.attempt + 1)
        if odd is not None and grant is None:
            self._alarms[self.payment_id(order.purchase_id, attempt)] = odd
        return self._reservation(order, attempt, grant, now_us)

    def _familiarity(self, order: Order) -> Familiarity | None:
        """What is odd about this seller, as far as the policy wants to know."""
        if self.policy.on_payee_change == "ignore" or order.amount_micro is None or order.payee is None:
            return None
        destination, percent = order.destination, self.policy.price_jump_percent
        own, accepted = self.state.sellers, self.state.sellers.accepted_micro(order.resource_url)
        is_usual = accepted is not None and (percent is None or order.amount_micro * 100 <= accepted * percent)
        if is_usual and own.has(origin_of(order.resource_url), destination):
            return None
        return familiarity(
            self._sellers(), order.resource_url, destination, order.amount_micro, price_jump_percent=percent
        )

    def _reservation(self, order: Order, attempt: int, grant: Ticket | None, now_us: int) -> PaymentReserved:
        assert order.domain is not None and order.payee is not None and order.amount_micro is not None  # HM-POL, step 1
        payment_id = self.payment_id(order.purchase_id, attempt)
        now_s = now_us // 1_000_000
        return PaymentReserved(
            payment_id=payment_id,
            purchase_id=order.purchase_id,
            attempt=attempt,
            request_key=order.request_key,
            wallet=self.address,
            network=self.network,
            asset=order.domain.contract,
            token_name=order.domain.name,
            token_version=order.domain.version,
            payee=order.payee,
            amount_atomic=str(order.amount_atomic),
            amount_micro=order.amount_micro,
            valid_after_s=max(0, now_s - self.policy.backdate_s),
            valid_before_s=now_s + min(order.timeout_s, self.policy.max_validity_s),
            nonce=order.nonce or "0x" + self._entropy.token_bytes(32).hex(),
            resource_url=order.resource_url,
            accepted=order.accepted,
            x402_version=order.x402_version,
            rail=order.rail,
            scheme=order.scheme,
            transfer_method=order.transfer_method,
            spender=order.spender,
            facilitator=order.facilitator,
            transaction=order.transaction,
            last_valid_block_height=order.last_valid_block_height,
            from_slot=order.from_slot,
            allowance_nonce=order.allowance_nonce,
            resource=order.resource,
            extensions=echo(order.extensions, payment_id),
            session_id=order.session_id,
            task_id=order.task_id,
            approval_id=grant.ticket_id if grant is not None else None,
        )

    async def _denied(self, order: Order, verdict: Verdict, odd: Familiarity | None) -> PolicyDeniedError:
        """The refusal with its event, and a ticket when a person may decide."""
        assert verdict.code is not None
        code: DenialCode = verdict.code
        reason = verdict.reason
        ticket_id: str | None = None
        if verdict.decision == "needs_approval":
            ticket_id = await self._ask(order, code, reason, odd)
            if ticket_id is None:
                code = "approvals_full"
                reason = f"{MAX_PENDING} questions wait for a person already; this one was not put."
        if ticket_id is None:
            self.note(
                PaymentDeclined(
                    code=code,
                    reason=reason,
                    resource_url=order.resource_url,
                    network=order.network,
                    asset=order.asset,
                    payee=order.payee or "",
                    amount_atomic=str(order.amount_atomic),
                    wallet=self.address,
                    purchase_id=order.purchase_id,
                    session_id=order.session_id,
                    task_id=order.task_id,
                )
            )
        return PolicyDeniedError(
            code,
            reason,
            retry_after_ms=verdict.retry_after_ms,
            ticket_id=ticket_id,
            details={"resource_url": order.resource_url, "network": order.network},
        )

    async def _ask(self, order: Order, code: DenialCode, reason: str, odd: Familiarity | None) -> str | None:
        """The ticket under which a person can grant exactly this payment; an open question is not asked twice, by whatever
        process. None when too many wait."""
        digest = self._terms_digest(order)
        now_us = self._clock.now_us()
        pending = self.state.tickets.find(digest, "pending", now_us=now_us)
        if pending is not None:
            return pending.ticket_id
        if self.state.tickets.pending(now_us) >= MAX_PENDING:
            return None
        self._expire_tickets()
        assert order.payee is not None and order.amount_micro is not None  # HM-POL, step 1
        # Two processes that ask the same at the same time derive the same id, and the journal stores an id once.
        earlier = sum(ticket.request.terms_digest == digest for ticket in self.state.tickets.all())
        ticket_id = derived_event_id("haima.ticket", self._name.session_id, digest, str(earlier))
        question = ApprovalRequested(
            ticket_id=ticket_id,
            terms_digest=digest,
            wallet=self.address,
            network=self.network,
            asset=order.asset,
            payee=order.payee,
            amount_atomic=str(order.amount_atomic),
            amount_micro=order.amount_micro,
            resource_url=order.resource_url,
            expires_at_us=now_us + self._approval_lifetime_s * 1_000_000,
            session_id=order.session_id,
            task_id=order.task_id,
            purchase_id=order.purchase_id,
            code=code,
            reason=reason,
            expected=odd.expected if odd is not None else None,
        )
        await self.record(question)
        ticket = self.state.ticket(ticket_id)
        if ticket is None or ticket.at(now_us) != "pending":  # an old one of this id that memory has forgotten
            ticket_id = new_id(self._clock, self._entropy)
            await self.record(msgspec.structs.replace(question, ticket_id=ticket_id))
            ticket = self.state.ticket(ticket_id)
        if odd is not None:
            self._raise_alarm(_alarm(order, odd, ticket_id))
        if ticket is not None and self._on_question is not None:
            with suppress(Exception):
                self._on_question(ticket)
        return ticket_id

    def _raise_alarm(self, alarm: PayeeAlarm) -> None:
        self.note(alarm)
        if self._on_alarm is not None:
            with suppress(Exception):
                self._on_alarm(alarm)

    def _terms_digest(self, order: Order) -> str:
        """What a grant is bound to: wallet, network, token, payee, exact amount, resource (HM-POL), and the very request,
        because what stands in its query or body may matter more than its path."""
        parts = (
            self.address,
            self.network,
            order.asset.lower(),
            order.payee or "",
            str(order.amount_atomic),
            order.scheme,
            order.resource_url,
            order.request_key,
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _id_of(event: FinanceEvent) -> str | None:
    """Reservations and settlements have one id in every process; the journal stores an id once."""
    if isinstance(event, PaymentReserved):
        return event.payment_id
    if isinstance(event, PaymentSettled) and event.payment_id is not None:
        return _settled_id(event.payment_id)
    if isinstance(event, ApprovalRequested):
        return event.ticket_id
    return None


def _alarm(order: Order, odd: Familiarity, ticket_id: str | None) -> PayeeAlarm:
    return PayeeAlarm(
        code=odd.code,
        reason=odd.reason,
        expected=odd.expected,
        resource_url=order.resource_url,
        network=order.network,
        asset=order.asset,
        payee=order.payee or "",
        amount_atomic=str(order.amount_atomic),
        amount_micro=order.amount_micro or 0,
        purchase_id=order.purchase_id,
        session_id=order.session_id,
        ticket_id=ticket_id,
    )


def _settled_id(payment_id: str) -> str:
    return derived_event_id("haima.settled", payment_id)

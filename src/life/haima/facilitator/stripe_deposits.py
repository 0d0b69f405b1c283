"""Deposit addresses at Stripe: one PaymentIntent per payment, remembered through crashes.

A route that is paid through Stripe asks for its money at a fresh address each time. That address must be there again when the
payment comes, also after a restart and in another process, and it must be paid once. Four facts in the journal see to that,
each with one possible id:

    requested   before Stripe is asked; its id is the idempotency key, so an answer that was lost is asked for again
    opened      address, PaymentIntent and exact amount, by the address: what a payment names is looked up here
    taken       the payment that owns the address, before it is settled; a second one is refused, unsettled
    paid        the transaction; then `captured`, when Stripe's PaymentIntent says so

Asking costs nothing, so whoever asks a thousand times must not cost a thousand PaymentIntents: an address that was offered
and not paid within the offer's time is offered again, and when `max_open` addresses are on offer for one price, the one that
was offered longest ago is offered to a second visitor. Of two who pay the same address the first is served; the other's
payment is refused before it is settled, with a new address to pay.

Amounts are whole cents, because that is what Stripe counts in.
"""

from __future__ import annotations

import binascii
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

import msgspec
from starlette.types import Scope

from life.aios.errors import EventConflictError, InvalidInputError, UnavailableError
from life.aios.ids import derived_event_id, new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream
from life.haima.errors import FacilitatorUnavailableError, MalformedPaymentError
from life.haima.events import FinanceEvent, finance_event, read_finance
from life.haima.events.deposits import (
    DepositCaptured,
    DepositCaptureFailed,
    DepositOpened,
    DepositPaid,
    DepositRequested,
    DepositTaken,
)
from life.haima.facilitator.stripe_intents import MAX_CENTS, PaymentIntent, StripeIntents
from life.haima.x402.authorization import read_address
from life.haima.x402.networks import BASE, BASE_SEPOLIA, BUILT_IN, NetworkRegistry
from life.haima.x402.price import DEFAULT_TIMEOUT_S, Price, parse_price
from life.haima.x402.wire import MAX_HEADER_CHARS, decode_payment_signature

STREAM: Final = Stream("deposits:stripe")
LIVE_NETWORKS: Final[Mapping[str, str]] = {BASE: "base"}
TEST_NETWORKS: Final[Mapping[str, str]] = {BASE_SEPOLIA: "base"}
"""CAIP-2 → Stripe's name, for live and for test keys. (Stripe also has tempo and solana, which other schemes pay.)"""

OFFERED_S: Final = DEFAULT_TIMEOUT_S + 180
"""How long an address stays with the visitor it was offered to: the offer's time, and what clocks may differ."""
MAX_OPEN: Final = 256
ASKED_AGAIN_S: Final = 23 * 3600
"""How long a request whose answer was lost is repeated: Stripe keeps idempotency keys for a day at least."""
_REMEMBERED: Final = 4096
_PAGE: Final = 500


class Deposit(NamedTuple):
    """An address for one payment."""

    payment_intent: str
    address: str
    network: str
    asset: str
    amount_atomic: int
    amount_cents: int


class Watched(NamedTuple):
    """Money that arrived, and that Stripe has not captured yet."""

    deposit: Deposit
    transaction: str


class _Shelf:
    """The addresses of one price, in the order in which they were offered."""

    __slots__ = ("asking", "offered")

    def __init__(self) -> None:
        self.asking = 0
        """How many more Stripe is being asked for."""
        self.offered: OrderedDict[str, tuple[Deposit, int]] = OrderedDict()
        """Address → the deposit, and when (µs) it was offered last."""


class StripeDeposits:
    """Deposit addresses, durable. Call `open` before the first use."""

    def __init__(
        self,
        intents: StripeIntents,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        networks: Mapping[str, str] | None = None,
        agent_id: str = "seller",
        stream: Stream = STREAM,
        max_open: int = MAX_OPEN,
        registry: NetworkRegistry = BUILT_IN,
    ) -> None:
        """`networks`: CAIP-2 → Stripe's name; by default what the key's mode means by `base`. `max_open`: how many unpaid
        addresses one price may have on offer."""
        if max_open < 1:
            raise InvalidInputError("At least one deposit address must be on offer.")
        self.intents: Final = intents
        self.networks: Final = dict(networks or (LIVE_NETWORKS if intents.is_live else TEST_NETWORKS))
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._stream = stream
        self._max_open = max_open
        self._registry = registry
        self._shelves: dict[tuple[str, str, int], _Shelf] = {}
        self._known: OrderedDict[str, Deposit] = OrderedDict()
        self._waiting: dict[str, Watched] = {}

    async def open(self) -> None:
        """Read what earlier runs left: unpaid addresses to offer again, captures to wait for, and requests whose answer was
        lost, which are asked for again. A Stripe that does not answer now is no obstacle."""
        requested: dict[str, tuple[DepositRequested, int]] = {}
        opened: dict[str, Deposit] = {}
        now_us = self._clock.now_us()
        after = 0
        while page := await self._journal.read(
            EventQuery(self._stream.session_id, self._stream.branch_id, after_sequence=after), limit=_PAGE
        ):
            after = page[-1].sequence
            for record in page:
                self._fold(read_finance(record), record.timestamp_us, requested, opened)
        for request, asked_us in requested.values():
            if request.network in self.networks and now_us - asked_us < ASKED_AGAIN_S * 1_000_000:
                try:
                    self._shelve(await self._ask(request), 0)
                except FacilitatorUnavailableError:
                    return  # the next start asks again

    # ---- prices

    def priced(self, price: str | Price, *, network: str) -> Callable[[Scope], Awaitable[Price]]:
        """A route's price that is paid to a deposit address: `routes={"GET /report": deposits.priced("$0.01", network=…)}`.
        InvalidInputError for what Stripe can't take."""
        fixed = parse_price(price, network=network, registry=self._registry)
        self._cents(fixed)

        async def ask(scope: Scope) -> Price:
            address = await self._presented(scope, fixed)
            return fixed._replace(pay_to=address or (await self.offer(fixed)).address)

        return ask

    async def offer(self, price: Price) -> Deposit:
        """An address for one payment of this price. UnavailableError when Stripe gives none."""
        cents = self._cents(price)
        now_us = self._clock.now_us()
        shelf = self._shelves.setdefault((price.network, price.asset.lower(), price.amount_atomic), _Shelf())
        if shelf.offered:
            address, (deposit, offered_us) = next(iter(shelf.offered.items()))
            if len(shelf.offered) + shelf.asking >= self._max_open or now_us - offered_us >= OFFERED_S * 1_000_000:
                shelf.offered.move_to_end(address)
                shelf.offered[address] = deposit, now_us
                return deposit
        elif shelf.asking >= self._max_open:
            raise UnavailableError(
                "Too many deposit addresses are being asked for.", next_step="Try again in a second."
            )
        request = DepositRequested(
            request_id=new_id(self._clock, self._entropy),
            network=price.network,
            asset=price.asset,
            amount_atomic=str(price.amount_atomic),
            amount_cents=cents,
        )
        shelf.asking += 1
        try:
            if not await self._write(request, request.request_id):
                raise UnavailableError("The request for a deposit address could not be written down.")
            deposit = await self._ask(request)
        except FacilitatorUnavailableError as error:
            raise UnavailableError(error.message, next_step="Try again later.") from None
        finally:
            shelf.asking -= 1
        self._shelve(deposit, now_us)
        return deposit

    def _cents(self, price: Price) -> int:
        if price.network not in self.networks:
            raise InvalidInputError(
                f"Stripe gives no deposit addresses on {price.network} with this key.",
                next_step=f"Take {', '.join(sorted(self.networks))}.",
            )
        if price.decimals is None:
            raise InvalidInputError("Stripe takes dollar tokens whose decimals are known.")
        unit: int = 10 ** max(price.decimals - 2, 0)
        cents, rest = divmod(price.amount_atomic, unit)
        if rest or price.decimals < 2 or not 1 <= cents <= MAX_CENTS:
            raise InvalidInputError(
                f"Stripe counts in whole cents; {price.amount_atomic} atomic units are not between 1 and {MAX_CENTS} of them.",
                next_step="Ask for $0.01 or a multiple of it.",
            )
        return cents

    async def _presented(self, scope: Scope, price: Price) -> str | None:
        """The address that a request's payment goes to, when it is ours and for this price."""
        address = _paid_to(scope)
        deposit = None if address is None else await self.find(address)
        if deposit is None or deposit.network != price.network or deposit.asset.lower() != price.asset.lower():
            return None
        return deposit.address if deposit.amount_atomic == price.amount_atomic else None

    # ---- one deposit

    async def find(self, address: str) -> Deposit | None:
        """The deposit of an address, in any spelling; None when it is not ours."""
        try:
            address = read_address(address, "payTo")
        except MalformedPaymentError:
            return None
        known = self._known.get(address)
        if known is None:
            record = await self._journal.get(_id("opened", address))
            event = None if record is None else read_finance(record)
            if isinstance(event, DepositOpened):
                known = self._remember(_deposit(event))
        return known

    async def owner(self, deposit: Deposit) -> str | None:
        """The claim key of the payment that owns it."""
        record = await self._journal.get(_id("taken", deposit.address))
        event = None if record is None else read_finance(record)
        return event.claim_key if isinstance(event, DepositTaken) else None

    async def take(self, deposit: Deposit, claim_key: str) -> bool:
        """Let this payment own the address; durable on return. False: another one does."""
        self._unshelve(deposit)
        event = DepositTaken(**_names(deposit), claim_key=claim_key)
        if await self._write(event, _id("taken", deposit.address)):
            return True
        return await self.owner(deposit) == claim_key

    def withdraw(self, deposit: Deposit) -> None:
        """Offer it to nobody any more: Stripe has closed it."""
        self._unshelve(deposit)

    async def paid(self, deposit: Deposit, transaction: str) -> None:
        """The money arrived."""
        if await self._write(DepositPaid(**_names(deposit), tx_hash=transaction), _id("paid", deposit.address)):
            self._waiting[deposit.address] = Watched(deposit, transaction)

    async def look(self, watched: Watched) -> PaymentIntent:
        """Read the PaymentIntent of money that arrived, and write down when Stripe has it, or has closed it without."""
        deposit = watched.deposit
        intent = await self.intents.get(deposit.payment_intent)
        event: FinanceEvent
        if intent.status == "succeeded":
            event = DepositCaptured(
                **_names(deposit), amount_received_cents=intent.amount_received, charge=intent.latest_charge
            )
        elif intent.status in ("canceled", "requires_payment_method"):
            event = DepositCaptureFailed(**_names(deposit), status=intent.status)
        else:
            return intent
        await self._write(event, _id("captured", deposit.address))
        self._waiting.pop(deposit.address, None)
        return intent

    @property
    def waiting(self) -> tuple[Watched, ...]:
        """Money that arrived and is not captured yet."""
        return tuple(self._waiting.values())

    # ---- inside

    async def _ask(self, request: DepositRequested) -> Deposit:
        """The PaymentIntent of a request; the same one whenever it is asked for. FacilitatorUnavailableError when Stripe
        gives none, or one that is not what was asked."""
        network = self.networks.get(request.network)
        if network is None:
            raise FacilitatorUnavailableError("The deposit was asked for on a network that is not configured any more.")
        intent = await self.intents.create(
            amount_cents=request.amount_cents, network=network, idempotency_key=request.request_id
        )
        given = intent.deposit_address(network)
        if given is None or (intent.amount, intent.currency, intent.status) != (
            request.amount_cents,
            "usd",
            "requires_action",
        ):
            raise FacilitatorUnavailableError("Stripe gave no deposit address for this amount.")
        tokens = {token.token_contract_address.lower() for token in given.supported_tokens or ()}
        if tokens and request.asset.lower() not in tokens:
            raise FacilitatorUnavailableError("Stripe's deposit address does not take this token.")
        try:
            address = read_address(given.address, "address")
        except MalformedPaymentError:
            raise FacilitatorUnavailableError("Stripe's deposit address is none.") from None
        opened = DepositOpened(
            payment_intent=intent.id,
            address=address,
            network=request.network,
            request_id=request.request_id,
            asset=request.asset,
            amount_atomic=request.amount_atomic,
            amount_cents=request.amount_cents,
        )
        if not await self._write(opened, _id("opened", address)):
            known = await self.find(address)
            if known is None or known.payment_intent != intent.id:
                raise FacilitatorUnavailableError("Stripe gave an address that belongs to another payment.")
        return self._remember(_deposit(opened))

    def _fold(
        self,
        event: FinanceEvent | None,
        at_us: int,
        requested: dict[str, tuple[DepositRequested, int]],
        opened: dict[str, Deposit],
    ) -> None:
        if isinstance(event, DepositRequested):
            requested[event.request_id] = event, at_us
        elif isinstance(event, DepositOpened):
            requested.pop(event.request_id, None)
            opened[event.address] = self._remember(_deposit(event))
            self._shelve(opened[event.address], at_us)
        elif isinstance(event, DepositTaken | DepositPaid | DepositCaptured | DepositCaptureFailed):
            deposit = opened.get(event.address)
            if deposit is None:
                return
            self._unshelve(deposit)
            if isinstance(event, DepositPaid):
                self._waiting[event.address] = Watched(deposit, event.tx_hash)
            elif not isinstance(event, DepositTaken):
                self._waiting.pop(event.address, None)

    def _shelve(self, deposit: Deposit, offered_us: int) -> None:
        shelf = self._shelves.setdefault((deposit.network, deposit.asset.lower(), deposit.amount_atomic), _Shelf())
        shelf.offered[deposit.address] = deposit, offered_us
        while len(shelf.offered) > self._max_open:  # what an earlier run with another limit left is not offered again
            shelf.offered.popitem(last=False)

    def _unshelve(self, deposit: Deposit) -> None:
        shelf = self._shelves.get((deposit.network, deposit.asset.lower(), deposit.amount_atomic))
        if shelf is not None:
            shelf.offered.pop(deposit.address, None)

    def _remember(self, deposit: Deposit) -> Deposit:
        self._known[deposit.address] = deposit
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return deposit

    async def _write(self, event: FinanceEvent, event_id: str) -> bool:
        """Whether it was this call that wrote the event; durable on return."""
        new = finance_event(
            event, self._clock, self._entropy, stream=self._stream, agent_id=self._agent_id, event_id=event_id
        )
        try:
            return not (await self._journal.append([new]))[0].duplicate
        except EventConflictError:
            return False


class _PaidTo(msgspec.Struct):
    to: str


class _Authorized(msgspec.Struct):
    authorization: _PaidTo


class _Older(msgspec.Struct):
    payload: _Authorized


_older: Final = msgspec.json.Decoder(_Older)


def _paid_to(scope: Scope) -> str | None:
    """The payTo that a request's payment accepted (version 2), or the payee that it was signed for (version 1)."""
    for name, value in scope["headers"]:
        try:
            if name == b"payment-signature":
                return decode_payment_signature(value.decode("latin-1")).requirements().pay_to
            if name == b"x-payment" and len(value) <= MAX_HEADER_CHARS:
                return _older.decode(binascii.a2b_base64(value)).payload.authorization.to
        except (MalformedPaymentError, msgspec.DecodeError, binascii.Error, RecursionError):
            return None
    return None


def _deposit(event: DepositOpened) -> Deposit:
    return Deposit(
        event.payment_intent,
        event.address,
        event.network,
        event.asset,
        int(event.amount_atomic),
        event.amount_cents,
    )


def _names(deposit: Deposit) -> dict[str, str]:
    return {"payment_intent": deposit.payment_intent, "address": deposit.address, "network": deposit.network}


def _id(fact: str, address: str) -> str:
    """A fact about an address has one id, in whatever process."""
    return derived_event_id(f"stripe.deposit.{fact}", address.lower())


__all__ = ["LIVE_NETWORKS", "STREAM", "TEST_NETWORKS", "Deposit", "StripeDeposits", "Watched"]

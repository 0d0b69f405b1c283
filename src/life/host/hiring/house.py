"""A house for hires: one wallet that takes deposits over x402 and sends payouts, and the books of everybody who has money there.

    async with open_hire_house(parts) as house:
        house.hires.put_aside(…); await house.deposits.answer(…); await house.payouts.pay(…)

The escrow itself is Haima's (life.haima.outcomes.hires). A deposit is a sale at a till: when it is settled it is booked as its owner's money, and
both happen once however often the same payment comes, and whoever crashes in between. A payout leaves the account first and is then sent by the house's own
payer, which signs it once and goes on with the same signature after a crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import ConflictError, LifeError, UnavailableError
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream
from life.anima.custody.wallet_rules import WalletRules
from life.haima.accounts import parse_account
from life.haima.chain.local_ledger import LocalLedger
from life.haima.events import RevenueReceived, read_finance
from life.haima.events.tasks import CriterionType
from life.haima.facilitator.port import Facilitator, settlement_header
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.house import House
from life.haima.outcomes.desk import OutcomeDesk
from life.haima.outcomes.hires import Hires
from life.haima.outcomes.verifiers import SilentApproval, Verifier
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402 import answers
from life.haima.x402.conversation import Conversation, PurchaseRequest, ReadBody, Receipt, Reply, Send
from life.haima.x402.networks import BUILT_IN, LOCAL, NetworkRegistry
from life.haima.x402.paid_routes import Offers, Route
from life.haima.x402.price import parse_price
from life.haima.x402.sale import Payment, Sale
from life.haima.x402.till import Till
from life.haima.x402.wire import (
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    ResourceInfo,
    decode_payment_signature,
)
from life.host.haima_wallet import wallet_of_key
from life.host.ledger import authorization_reader

CLAIMS: Final = Stream("hire-deposits")
PLAY_HOUSE: Final = "play-house"
"""The agent id of the local ledger's house."""
_PLAY_KEY: Final = sha256(b"life: the house of hires on the local ledger, play money only").hexdigest()
SETTLE_S: Final = 15
"""How often a house looks for what time has decided."""
VAULT_POLICY: Final = PaymentPolicy(
    auto_approve_cap_micro=2**53,
    hard_cap_per_tx_micro=2**53,
    session_spend_cap_micro=2**53,
    max_tx_per_minute=100_000,
    on_payee_change="ignore",
    price_jump_percent=None,
    allow_in_hibernate=True,
)
"""Of a house's own payer: it pays out what its books say that it owes, and nothing else."""
_PAGE: Final = 500
_DEPOSITS: Final = "/v1/house/deposits/"
_log: Final = logging.getLogger("life.hiring")


class HouseParts(NamedTuple):
    """What a house is made of."""

    journal: Journal
    clock: Clock
    entropy: Entropy
    facilitator: Facilitator
    """Settles deposits and payouts on `network`."""
    payer: Payer
    """Of the house's own wallet."""
    network: str
    agent_id: str
    base_url: str = "http://house.localhost"
    """Under which deposits are asked for."""
    registry: NetworkRegistry = BUILT_IN


class HireHouse(NamedTuple):
    """An open house."""

    name: str
    """CAIP-10 of its wallet, so that both sides of a hire can tell whether they mean the same house."""
    network: str
    hires: Hires
    deposits: DepositTill
    payouts: Payouts
    books: House


class DepositTill:
    """Takes deposits. What is sold is nothing; what counts is that it was paid for: every settled sale of the till's stream is booked as the
    money of the owner in its address, once, whether its customer heard the answer or not."""

    def __init__(self, till: Till, hires: Hires, parts: HouseParts) -> None:
        self._till = till
        self._hires = hires
        self._parts = parts
        self._booked = 0
        self._booking = asyncio.Lock()

    async def answer(self, owner: str, deposit_id: str, amount_micro: int, payment: str | None) -> answers.Answer:
        """The answer to a request for a deposit: 402 with its terms, or what became of the payment in `payment`. It is booked before a
        success leaves."""
        terms = await self._terms(owner, deposit_id, amount_micro)
        if payment is None:
            return answers.payment_required(terms)
        request = f"deposit {owner} {deposit_id} {amount_micro}"
        sale = Sale(payment.encode("ascii", "replace"), "header", terms, request, False, True, _nothing)
        answer = await self._till.sell_tool(sale)
        if answer.status < 300:
            await self.book()
        return answer

    async def book(self) -> int:
        """Book what was settled since the last time; how many."""
        count = 0
        async with self._booking:
            while True:
                query = EventQuery(CLAIMS.session_id, CLAIMS.branch_id, after_sequence=self._booked)
                page = await self._parts.journal.read(query, limit=_PAGE)
                for record in page:
                    event = read_finance(record)
                    url = event.resource_url if isinstance(event, RevenueReceived) else None
                    # The house may have had another address when it was asked; everything that this till sells is deposits.
                    owner = "" if url is None else url.partition(_DEPOSITS)[2].partition("/")[0]
                    if isinstance(event, RevenueReceived) and event.payment_id and owner:
                        network = event.network or self._parts.network
                        await self._hires.deposit(owner, event.payment_id, event.amount_micro_credits, network=network)
                        count += 1
                    self._booked = record.sequence
                if len(page) < _PAGE:
                    return count

    async def _terms(self, owner: str, deposit_id: str, amount_micro: int) -> answers.Terms:
        price = price_text(amount_micro)
        route = Route(price, rerun_interrupted=True)
        url = deposit_url(self._parts.base_url, owner, deposit_id)
        resource = ResourceInfo(url=url, description="A deposit for a hire")
        try:
            offers = self._till.offers(price, route)
        except UnavailableError:
            if not await self._till.ask_again():
                raise
            offers = self._till.offers(price, route)
        return answers.Terms(offers, resource, self._till.identifier)


async def _nothing(_: Payment) -> answers.Answer:
    return answers.Answer(200, [(b"content-type", b"application/json")], b"{}")


class Payouts:
    """Sends people their money, once per payout id."""

    def __init__(self, hires: Hires, parts: HouseParts) -> None:
        self._hires = hires
        self._parts = parts

    async def pay(self, owner: str, payout_id: str, amount_micro: int, to: str) -> Receipt:
        """Take it out of the account and send it to an address. Repeating it goes on with the same payment; OutcomeUnknownError and
        UnavailableError: repeat it. InsufficientBalanceError."""
        await self._hires.withdraw(owner, payout_id, amount_micro, network=self._parts.network, to=to)
        return await transfer(
            self._parts,
            self._parts.payer,
            amount_micro,
            to,
            url=f"{self._parts.base_url}/v1/house/payouts/{payout_id}",
            purchase_id=derived_event_id("hire.payout", owner, payout_id),
        )


async def transfer(
    parts: HouseParts, payer: Payer, amount_micro: int, to: str, *, url: str, purchase_id: str
) -> Receipt:
    """Money from a payer's wallet to an address, settled by the house's facilitator: a purchase whose seller asks for exactly that. Once
    per purchase id; UnavailableError while it did not settle."""
    price = parse_price(price_text(amount_micro), network=parts.network, registry=parts.registry)
    offers = Offers(pay_to=to, network=parts.network, registry=parts.registry)
    offer = offers.of(price, Route(price))[0]
    wanted = PurchaseRequest(
        method="POST",
        url=url,
        body=f"{amount_micro} {to}".encode(),
        purchase_id=purchase_id,
        max_amount_micro=amount_micro,
    )

    async def send(step: Send) -> Reply:
        if step.header is None:
            return reply_of(answers.payment_required(answers.Terms((offer,), ResourceInfo(url=url), None)))
        if step.header[0] != PAYMENT_SIGNATURE:
            raise UnavailableError("Payouts are signed by x402 version 2.")
        settled = await parts.facilitator.settle(decode_payment_signature(step.header[1]), offer.requirements)
        header = {PAYMENT_RESPONSE.lower(): settlement_header(settled).decode("ascii")}
        return Reply(200 if settled.success else 402, lambda name: header.get(name.lower()))

    receipt = await drive(payer, wanted, send)
    if receipt is None or receipt.state != "settled":
        raise UnavailableError("The payout did not settle yet.", next_step="Ask for the same payout again.")
    payer.note_delivered(receipt.payment)
    return receipt


@asynccontextmanager
async def open_hire_house(parts: HouseParts, *, settle_s: int = SETTLE_S) -> AsyncIterator[HireHouse]:
    """Open the books, take up deposits that a crash left open, and do what time brings until the block ends."""
    async with AsyncExitStack() as stack:
        house = House(parts.journal, parts.clock, parts.entropy, agent_id=parts.agent_id)
        await house.open()
        stack.push_async_callback(house.aclose)
        _check_one_money(house, parts.network)
        verifiers: dict[CriterionType, Verifier] = {"manual_approval": SilentApproval(parts.clock)}
        desk = OutcomeDesk(house, parts.clock, parts.entropy, trust=_nobody, verifiers=verifiers)
        hires = Hires(house, desk, parts.clock, parts.entropy)
        till = Till(
            pay_to=parts.payer.address,
            network=parts.network,
            facilitator=parts.facilitator,
            journal=parts.journal,
            clock=parts.clock,
            entropy=parts.entropy,
            agent_id=parts.agent_id,
            stream=CLAIMS,
            sole_server=True,  # whoever opens a house holds the lock of its directory
            registry=parts.registry,
        )
        stack.push_async_callback(till.aclose)
        await till.start()
        deposits = DepositTill(till, hires, parts)
        await deposits.book()
        settling = asyncio.create_task(_settling(hires, deposits, parts.clock, settle_s))
        stack.push_async_callback(_stopped, settling)
        yield HireHouse(
            name=f"{parts.network}:{parts.payer.address}",
            network=parts.network,
            hires=hires,
            deposits=deposits,
            payouts=Payouts(hires, parts),
            books=house,
        )


@asynccontextmanager
async def open_play_house(
    journal: Journal, ledger: LocalLedger, clock: Clock, entropy: Entropy, *, base_url: str = "http://house.localhost"
) -> AsyncIterator[HireHouse]:
    """A house on the local ledger. Everybody knows the key of its wallet, as they know how to make play money: it is for trying out,
    demonstrations and tests, and refuses every other network."""
    if ledger.network != LOCAL:
        raise UnavailableError("A house with a known key is for the local ledger's play money only.")
    async with AsyncExitStack() as stack:
        wallet = wallet_of_key(_PLAY_KEY, clock=clock, rules=WalletRules(require_reservation=True), agent_id=PLAY_HOUSE)
        stack.callback(wallet.custody.close)
        facilitator = SelfHostedFacilitator([ledger], journal, clock, entropy)
        stack.push_async_callback(facilitator.aclose)
        await facilitator.start()
        payer = await stack.enter_async_context(
            Payer(
                journal=journal,
                custody=wallet.custody,
                clock=clock,
                entropy=entropy,
                agent_id=PLAY_HOUSE,
                policy=msgspec.structs.replace(VAULT_POLICY, networks=(LOCAL,)),
                authorization_state=authorization_reader([ledger]),
                session_id=PLAY_HOUSE,
            )
        )
        parts = HouseParts(journal, clock, entropy, facilitator, payer, LOCAL, PLAY_HOUSE, base_url)
        yield await stack.enter_async_context(open_hire_house(parts))


def play_house_name(clock: Clock) -> str:
    """The name of the local ledger's house."""
    wallet = wallet_of_key(_PLAY_KEY, clock=clock, rules=WalletRules(), agent_id=PLAY_HOUSE)
    address = wallet.custody.capabilities().wallet_address
    wallet.custody.close()
    return f"{LOCAL}:{address}"


async def drive(payer: Payer, wanted: PurchaseRequest, send: Callable[[Send], Awaitable[Reply]]) -> Receipt | None:
    """A purchase whose requests `send` answers. Raises what a purchase raises."""
    conversation: Conversation[Receipt | None] = payer.purchase(wanted)
    try:
        step = next(conversation)
        while True:
            try:
                if isinstance(step, Send):
                    step.reply = await send(step)
                elif not isinstance(step, ReadBody):  # terms stand in the header; there is no body to read
                    await step.perform()
            except BaseException as error:
                step = conversation.throw(error)
            else:
                step = next(conversation)
    except StopIteration as done:
        receipt: Receipt | None = done.value
        return receipt
    finally:
        conversation.close()


def reply_of(answer: answers.Answer) -> Reply:
    """An answer, as a purchase reads it."""
    headers = {name.lower(): value for name, value in answer.headers}

    def header(name: str) -> str | None:
        value = headers.get(name.lower().encode("ascii"))
        return None if value is None else value.decode("latin-1")

    return Reply(answer.status, header)


def price_text(amount_micro: int) -> str:
    """Micro-dollars as a price."""
    return f"{amount_micro // 1_000_000}.{amount_micro % 1_000_000:06d}"


def deposit_url(base_url: str, owner: str, deposit_id: str) -> str:
    """Where a deposit is asked for."""
    return f"{base_url}{_DEPOSITS}{owner}/{deposit_id}"


def _check_one_money(house: House, network: str) -> None:
    """ConflictError for books that owe money of another network: it would be paid out in this one's."""
    for name in house.state.accounts.balances:
        kind, owner_type, owner = parse_account(name)
        if (kind, owner_type) == ("external", "network") and ":" in owner and owner != network:
            raise ConflictError(
                f"The books in this journal owe money that came in on {owner}; a house on {network} needs a journal of its own.",
                next_step="Give the house another data directory, or pay everything out first.",
            )


async def _settling(hires: Hires, deposits: DepositTill, clock: Clock, settle_s: int) -> None:
    while True:
        try:
            await deposits.book()  # one that was settled and could not be booked then
            await hires.settle_due()
        except LifeError as error:
            _log.warning("hires that are due could not be settled: %s [%s]", error, error.code)
        except Exception:  # a defect must not be the end of what time decides
            _log.exception("hires that are due could not be settled")
        await clock.sleep_us(settle_s * 1_000_000)


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _nobody(_agent_id: str) -> int:
    """A hire's price has no range that trust could move."""
    return 0

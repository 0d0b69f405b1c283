"""Stripe machine payments against a stand-in that keeps PaymentIntents as the documentation describes them (it is not Stripe);
the inner facilitator is our own, over a local ledger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from life.aios.errors import InvalidInputError, JournalUnavailableError
from life.aios.ports.journal import EventQuery, Journal
from life.haima.chain.local_ledger import LocalLedger
from life.haima.errors import FacilitatorUnavailableError
from life.haima.events import deposits as facts
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.facilitator.stripe import StripeFacilitator
from life.haima.facilitator.stripe_deposits import OFFERED_S, STREAM, StripeDeposits
from life.haima.facilitator.stripe_intents import TEST_SUCCESS, StripeIntents, StripeKey
from life.haima.mpp.evm import challenge_nonce, read_request
from life.haima.x402 import wire
from life.haima.x402.authorization import build_payload
from life.haima.x402.networks import BASE, BASE_SEPOLIA, LOCAL, PLAY_MONEY
from life.haima.x402.paid_routes import Route
from life.haima.x402.price import Price
from life.host.clock import SystemClock
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, sign
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import CrashError, Fault, FaultyJournal
from tests.haima.mpp.kit import MppShop, challenge_of
from tests.haima.shop import PRICE, PRICE_ATOMIC, settlement_of
from tests.haima.stripe_stand_in import KEY, StripeStandIn

NETWORKS = {LOCAL: "base"}
"""Stripe has no play money: the local ledger stands for Base."""


class StripeShop(MppShop):
    """A shop on both rails whose `/paid` is paid to Stripe's deposit addresses."""

    def __init__(
        self, stripe: StripeStandIn, *, journal: Journal | None = None, clock: ManualClock | None = None, **options: Any
    ) -> None:
        journal = MemoryJournal() if journal is None else journal
        clock = ManualClock() if clock is None else clock
        entropy = SeededEntropy(options.get("entropy_seed", "shop") + " at Stripe")
        self.intents = StripeIntents(StripeKey(stripe.key), _QuickClock(), url=stripe.url, timeout_s=1.0)
        self.deposits = StripeDeposits(
            self.intents, journal, clock, entropy, networks=NETWORKS, max_open=options.pop("max_open", 256)
        )
        ledger = LocalLedger(journal, clock, entropy, network=LOCAL)
        inner = SelfHostedFacilitator([ledger], journal, clock, entropy)
        self.stripe = StripeFacilitator(
            inner, self.deposits, clock, simulate_deposits=options.pop("simulate_deposits", False)
        )
        super().__init__(
            journal=journal,
            clock=clock,
            facilitator=self.stripe,
            routes={"/paid": Route(self.deposits.priced(PRICE, network=LOCAL), **options.pop("route", {}))},
            **options,
        )

    async def open(self) -> StripeShop:
        """Take up what earlier runs left."""
        await self.stripe.open()
        await self.fund()
        await self.warm_up()
        await self.middleware.start()
        return self

    async def asked(self) -> tuple[bytes, wire.PaymentRequirements]:
        """The offer of an unpaid request."""
        answer = await self.get("/paid")
        [(raw, offer)] = wire.decode_payment_required(answer.headers["payment-required"]).requirements()
        return bytes(raw), offer

    def signed(self, number: int, raw: bytes, offer: wire.PaymentRequirements) -> str:
        """PAYER's payment of an offer."""
        authorization = self.authorization(number, to_address=offer.pay_to)
        return wire.encode_header(build_payload(Raw(raw), authorization, sign(authorization)))

    async def held(self, address: str) -> int:
        """What arrived at an address."""
        return await self.ledger.balance(address, asset=PLAY_MONEY.address)

    async def facts(self) -> list[str]:
        """The names of what is on disk about deposits."""
        return [type(event).__name__ for event in await self.events(STREAM.session_id)]


class _QuickClock(SystemClock):
    """The system's clock, without the pauses between repeated calls."""

    async def sleep_us(self, duration_us: int) -> None:
        """No pause."""
        await asyncio.sleep(0)


@pytest.fixture
async def stripe() -> AsyncIterator[StripeStandIn]:
    with StripeStandIn(token=PLAY_MONEY.address) as standing:
        yield standing


@pytest.fixture
async def shop(stripe: StripeStandIn) -> AsyncIterator[StripeShop]:
    made = await StripeShop(stripe).open()
    yield made
    await made.aclose()


async def test_a_payment_goes_to_the_address_of_its_own_payment_intent(shop: StripeShop, stripe: StripeStandIn) -> None:
    """Each visitor is asked to pay another address; the payment is settled there by the inner facilitator, and is captured
    when the PaymentIntent says so, not before."""
    first, second = await shop.asked(), await shop.asked()
    assert first[1].pay_to != second[1].pay_to
    for number, (raw, offer) in enumerate((second, first), 1):
        answer = await shop.get("/paid", shop.signed(number, raw, offer))
        assert (answer.status_code, answer.json()["runs"]) == (200, number)
        assert settlement_of(answer).success
        assert await shop.held(offer.pay_to) == PRICE_ATOMIC
    assert len(stripe.intents) == 2
    assert await shop.stripe.check_captures() == (0, 0, 2)
    stripe.set(stripe.of_address(first[1].pay_to), "processing")
    stripe.set(stripe.of_address(second[1].pay_to), "succeeded")
    assert await shop.stripe.check_captures() == (1, 0, 1)
    stripe.set(stripe.of_address(first[1].pay_to), "succeeded")
    assert await shop.stripe.check_captures() == (1, 0, 0)
    assert await shop.booked() == 2 * PRICE_ATOMIC
    captured = [event for event in await shop.events(STREAM.session_id) if isinstance(event, facts.DepositCaptured)]
    assert [event.amount_received_cents for event in captured] == [1, 1]
    assert captured[0].charge is not None


async def test_the_same_offer_is_there_when_the_payment_comes(shop: StripeShop, stripe: StripeStandIn) -> None:
    """Also after a restart: the address is on disk, no PaymentIntent is made for a request that pays, and a repetition gets
    its answer."""
    raw, offer = await shop.asked()
    header = shop.signed(1, raw, offer)
    again = await StripeShop(stripe, journal=shop.journal, clock=shop.clock, entropy_seed="again").open()
    assert len(stripe.intents) == 1
    answer = await again.get("/paid", header)
    assert answer.status_code == 200
    third = await StripeShop(stripe, journal=shop.journal, clock=shop.clock, entropy_seed="third").open()
    repeated = await third.get("/paid", header)
    assert (repeated.status_code, repeated.content) == (200, answer.content)
    assert await shop.held(offer.pay_to) == PRICE_ATOMIC
    assert len(stripe.intents) == 1
    assert len(third.deposits.waiting) == 1, "its capture is still followed"
    for each in (again, third):
        await each.aclose()


async def test_a_thousand_visitors_cost_a_handful_of_payment_intents(stripe: StripeStandIn) -> None:
    """No more addresses are on offer than allowed; of two who pay one address the first is served, the second is refused
    before any money moves, with another address."""
    shop = await StripeShop(stripe, max_open=3).open()
    crowd = await asyncio.gather(*(shop.get("/paid") for _ in range(50)))
    assert {answer.status_code for answer in crowd} <= {402, 503}
    offers = [await shop.asked() for _ in range(100)]
    assert len(stripe.intents) == 3
    same = [each for each in offers if each[1].pay_to == offers[0][1].pay_to][:2]
    first = await shop.get("/paid", shop.signed(1, *same[0]))
    second = await shop.get("/paid", shop.signed(2, *same[1]))
    assert first.status_code == 200
    assert second.status_code == 402
    told = wire.decode_payment_required(second.headers["payment-required"])
    assert told.error == "stripe_deposit_used"
    assert await shop.held(same[0][1].pay_to) == PRICE_ATOMIC
    raw, offer = await shop.asked()
    assert offer.pay_to != same[0][1].pay_to
    assert (await shop.get("/paid", shop.signed(3, raw, offer))).status_code == 200
    await shop.aclose()


async def test_two_payments_race_for_one_address(stripe: StripeStandIn) -> None:
    """Two processes, checks that the facilitator makes left out: the address has one owner, on disk before anything moves."""
    one = await StripeShop(stripe, verify="local", max_open=1, sole_server=False).open()
    two = await StripeShop(
        stripe, verify="local", journal=one.journal, clock=one.clock, entropy_seed="two", sole_server=False
    ).open()
    raw, offer = await one.asked()
    answers = await asyncio.gather(
        one.get("/paid", one.signed(1, raw, offer)), two.get("/paid", two.signed(2, raw, offer))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 402]
    assert await one.held(offer.pay_to) == PRICE_ATOMIC
    for each in (one, two):
        await each.aclose()


async def test_an_address_that_nobody_paid_is_offered_again(shop: StripeShop, stripe: StripeStandIn) -> None:
    """After the offer's time, to the next visitor, instead of another PaymentIntent."""
    _, first = await shop.asked()
    shop.clock.advance_us((OFFERED_S - 1) * 1_000_000)
    _, second = await shop.asked()
    assert second.pay_to != first.pay_to
    shop.clock.advance_us(1_000_000)
    _, third = await shop.asked()
    assert third.pay_to == first.pay_to
    assert len(stripe.intents) == 2


@pytest.mark.parametrize("step", ["creates and hangs up", "hangs up", "status 500", "status 409", "status 429"])
async def test_a_lost_answer_is_asked_for_again(shop: StripeShop, stripe: StripeStandIn, step: str) -> None:
    """With the same idempotency key: one PaymentIntent, whatever got lost."""
    stripe.steps = [step]
    raw, offer = await shop.asked()
    assert len(stripe.intents) == 1
    assert (await shop.get("/paid", shop.signed(1, raw, offer))).status_code == 200


@pytest.mark.parametrize(
    "step",
    ["status 400", "status 401", "garbage", "other amount", "no address", "other token", "other mode", "done already"],
)
async def test_an_answer_that_is_wrong_is_not_offered(shop: StripeShop, stripe: StripeStandIn, step: str) -> None:
    """503 to the visitor; nobody is sent to an address that does not take this money for this amount."""
    stripe.steps = [step] * 8
    answer = await shop.get("/paid")
    assert answer.status_code == 503
    assert "payment-required" not in answer.headers
    assert set(await shop.facts()) == {"DepositRequested"}


async def test_stripe_is_down(shop: StripeShop, stripe: StripeStandIn) -> None:
    """Nothing is asked of visitors, and a payment is not settled while nobody can say whether its address is open; it is
    served when Stripe answers again."""
    raw, offer = await shop.asked()
    header = shop.signed(1, raw, offer)
    stripe.key = "sk_test_another"
    assert (await shop.get("/paid")).status_code == 503
    assert (await shop.get("/paid", header)).status_code == 503
    assert await shop.held(offer.pay_to) == 0
    stripe.key = KEY
    assert (await shop.get("/paid", header)).status_code == 200
    stripe.key = "sk_test_another"
    assert await shop.stripe.check_captures() == (0, 0, 1)


@pytest.mark.parametrize("status", ["canceled", "succeeded", "processing"])
async def test_a_closed_address_takes_no_money(shop: StripeShop, stripe: StripeStandIn, status: str) -> None:
    """What was cancelled at the dashboard, or paid by other means, is refused before anything moves, and not offered again."""
    raw, offer = await shop.asked()
    stripe.set(stripe.of_address(offer.pay_to), status)
    answer = await shop.get("/paid", shop.signed(1, raw, offer))
    assert answer.status_code == 402
    assert wire.decode_payment_required(answer.headers["payment-required"]).error == "stripe_deposit_closed"
    assert await shop.held(offer.pay_to) == 0
    shop.clock.advance_us(OFFERED_S * 1_000_000)
    assert (await shop.asked())[1].pay_to != offer.pay_to


async def test_money_that_stripe_closed_without_is_reported(
    shop: StripeShop, stripe: StripeStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """The buyer paid and was served; that Stripe does not have it is an error on disk and in the log, for a person."""
    raw, offer = await shop.asked()
    assert (await shop.get("/paid", shop.signed(1, raw, offer))).status_code == 200
    stripe.set(stripe.of_address(offer.pay_to), "canceled")
    with caplog.at_level(logging.ERROR):
        assert await shop.stripe.check_captures() == (0, 1, 0)
    assert "closed although" in caplog.text
    assert (await shop.facts())[-1] == "DepositCaptureFailed"


async def test_captures_are_followed_whatever_fails(
    shop: StripeShop, stripe: StripeStandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal that fails once does not end the watch; the capture is written at the next look."""
    raw, offer = await shop.asked()
    assert (await shop.get("/paid", shop.signed(1, raw, offer))).status_code == 200
    stripe.set(stripe.of_address(offer.pay_to), "succeeded")
    append, failures = shop.journal.append, [True]

    async def failing(*given: Any, **more: Any) -> Any:
        if failures.pop() if failures else False:
            raise JournalUnavailableError("injected")
        return await append(*given, **more)

    monkeypatch.setattr(shop.journal, "append", failing)
    watching = asyncio.create_task(shop.stripe.watch(every_us=1_000_000))
    while not shop.clock.sleepers:
        await asyncio.sleep(0.01)
    assert (await shop.facts())[-1] == "DepositPaid"
    shop.clock.advance_us(1_000_000)
    while shop.deposits.waiting:
        await asyncio.sleep(0.01)
    watching.cancel()
    assert (await shop.facts())[-1] == "DepositCaptured"
    assert "could not be followed" in caplog.text


async def test_only_our_addresses_and_amounts(shop: StripeShop) -> None:
    """A payment to the shop's own address, or of another amount, does not pay a route of Stripe's."""
    raw, offer = await shop.asked()
    own = raw.replace(offer.pay_to.encode(), PAYEE.encode())
    other = await shop.get("/paid", shop.signed(1, own, msgspec.structs.replace(offer, pay_to=PAYEE)))
    assert other.status_code == 402
    payment = wire.decode_payment_signature(shop.header(shop.authorization(2)))
    verified = await shop.stripe.verify(payment, payment.requirements())
    assert (verified.is_valid, verified.invalid_reason) == (False, "stripe_deposit_unknown")
    settled = await shop.stripe.settle(payment, payment.requirements())
    assert (settled.success, settled.error_reason) == (False, "stripe_deposit_unknown")
    assert await shop.earned() == 0


@pytest.mark.parametrize(
    "price", ["$0.001", "$0.015", "$1000000.00", Price(10_000, BASE, "0x" + "11" * 20, "T", "1", 6)]
)
async def test_what_stripe_cannot_count_is_refused_when_it_is_declared(
    stripe: StripeStandIn, price: str | Price
) -> None:
    """Parts of a cent, more than eight digits, another network: an error at start, not a visitor's 500."""
    shop = StripeShop(stripe)
    with pytest.raises(InvalidInputError):
        shop.deposits.priced(price, network=LOCAL)
    assert stripe.calls == []
    await shop.aclose()


async def test_the_key_is_never_shown(
    shop: StripeShop, stripe: StripeStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in errors (Stripe's own quote its end), reprs, logs or the journal."""
    caplog.set_level(logging.DEBUG)
    key = StripeKey(KEY)
    assert KEY[8:] not in repr(key) + repr(shop.intents) + repr(shop.deposits)
    stripe.key = "sk_test_another"
    with pytest.raises(FacilitatorUnavailableError) as unavailable:
        await shop.intents.get("pi_1")
    body = (await shop.get("/paid")).text
    stored = b"".join(
        record.payload for record in await shop.journal.read(EventQuery(STREAM.session_id), limit=100)
    ).decode()
    for shown in (str(unavailable.value), repr(unavailable.value.details), body, stored, caplog.text):
        assert KEY[-4:] not in shown
    with pytest.raises(InvalidInputError) as wrong:
        StripeKey("pk_live_notasecret")
    assert "notasecret" not in str(wrong.value)


@pytest.mark.parametrize("text", ["", "pk_test_1", "sk_test", "sk_other_1", "sk_live_a b", "sk_live_\u00e9"])
def test_what_is_no_key(text: str) -> None:
    """A clear error, also for a publishable key and for no key at all."""
    with pytest.raises(InvalidInputError, match="STRIPE_SECRET_KEY"):
        StripeKey.from_environment({"STRIPE_SECRET_KEY": text})


def test_the_mode_decides_the_network() -> None:
    """A live key means Base, a test key its test network; the key goes to Stripe and nowhere else."""
    clock, entropy = ManualClock(), SeededEntropy("x")
    for secret, network in (("sk_live_1", BASE), ("rk_test_1", BASE_SEPOLIA)):
        intents = StripeIntents(StripeKey.from_environment({"STRIPE_SECRET_KEY": secret}), clock)
        deposits = StripeDeposits(intents, MemoryJournal(), clock, entropy)
        deposits.priced("$0.01", network=network)
        with pytest.raises(InvalidInputError):
            deposits.priced("$0.01", network=BASE if network == BASE_SEPOLIA else BASE_SEPOLIA)
    with pytest.raises(InvalidInputError):
        StripeIntents(StripeKey("sk_live_1"), clock, url="https://api.stripe.com.evil.example")


async def test_the_sandbox_is_told_of_deposits(stripe: StripeStandIn) -> None:
    """It watches no chain: with a test key each payment is simulated, and captured by that. A live key is never used so."""
    shop = await StripeShop(stripe, simulate_deposits=True).open()
    raw, offer = await shop.asked()
    assert (await shop.get("/paid", shop.signed(1, raw, offer))).status_code == 200
    assert [each["transaction_hash"] for each in stripe.simulated] == [TEST_SUCCESS]
    assert await shop.stripe.check_captures() == (1, 0, 0)
    await shop.aclose()
    live = StripeIntents(StripeKey("sk_live_1"), ManualClock())
    with pytest.raises(InvalidInputError):
        await live.simulate_deposit("pi_1", network="base", buyer_wallet=PAYEE)
    deposits = StripeDeposits(live, MemoryJournal(), ManualClock(), SeededEntropy("x"))
    with pytest.raises(InvalidInputError):
        StripeFacilitator(shop.stripe, deposits, ManualClock(), simulate_deposits=True)


async def test_only_what_both_do_is_supported(shop: StripeShop) -> None:
    """Scheme exact, on the networks that Stripe has addresses on."""
    kinds = (await shop.stripe.supported()).kinds
    assert {(kind.scheme, kind.network) for kind in kinds} == {("exact", LOCAL)}
    assert await shop.stripe.repeatable()


async def test_a_challenge_names_the_deposit_address(shop: StripeShop) -> None:
    """The other rail over the same PaymentIntents: a credential pays the address of its challenge, once."""
    challenge = challenge_of(await shop.get("/paid"))
    recipient = read_request(challenge).recipient
    credential = shop.credential(challenge, to_address=recipient, nonce=challenge_nonce(challenge))
    for _ in range(2):
        answer = await shop.pay_challenge(credential)
        assert (answer.status_code, answer.json()["runs"]) == (200, 1)
    assert await shop.held(recipient) == PRICE_ATOMIC


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
async def test_killed_at_every_write(when: Any) -> None:
    """From the first question to the end of the sale: whatever died, one PaymentIntent belongs to the payment, its money is
    at its address at most once, and it is booked if and only if it is there."""
    reached = 0
    for write in range(24):
        with StripeStandIn(token=PLAY_MONEY.address) as stripe:
            disk, clock = MemoryJournal(), ManualClock()
            journal = FaultyJournal(disk)
            shop = await StripeShop(stripe, journal=journal, clock=clock, entropy_seed="first").open()
            journal.faults = [*_none(write), when]
            header = None
            try:
                raw, offer = await shop.asked()
                header = shop.signed(1, raw, offer)
                await shop.get("/paid", header)
            except CrashError:
                pass
            await shop.intents.aclose()
            if not journal.dead:
                break
            reached += 1
            again = await StripeShop(stripe, journal=disk, clock=clock, entropy_seed="second").open()
            if header is None:
                raw, offer = await again.asked()
                header = again.signed(1, raw, offer)
            answers = [await again.get("/paid", header) for _ in range(2)]
            assert len({answer.status_code for answer in answers}) == 1
            held = await again.held(offer.pay_to)
            assert held == await again.booked()
            assert held == (PRICE_ATOMIC if answers[0].status_code == 200 else 0)
            assert (await again.facts()).count("DepositTaken") <= 1
            stripe.set(stripe.of_address(offer.pay_to), "succeeded")
            captured = await again.stripe.check_captures()
            assert captured == ((1, 0, 0) if held else (0, 0, 0))
            await again.aclose()
    else:
        raise AssertionError("more writes than the walk has steps")
    assert reached >= 6


async def test_a_request_without_an_answer_is_asked_again_at_start(stripe: StripeStandIn) -> None:
    """Stripe made the PaymentIntent, and we died before we knew: the next start asks with the same key and offers it."""
    disk, clock = MemoryJournal(), ManualClock()
    journal = FaultyJournal(disk)
    shop = await StripeShop(stripe, journal=journal, clock=clock).open()
    journal.faults = ["none", "crash_before"]
    with pytest.raises(CrashError):
        await shop.get("/paid")
    await shop.intents.aclose()
    assert len(stripe.intents) == 1
    again = await StripeShop(stripe, journal=disk, clock=clock, entropy_seed="again").open()
    _, offer = await again.asked()
    assert len(stripe.intents) == 1
    assert stripe.of_address(offer.pay_to)
    await again.aclose()


def _none(writes: int) -> list[Fault]:
    """So many writes without a fault."""
    return ["none" for _ in range(writes)]

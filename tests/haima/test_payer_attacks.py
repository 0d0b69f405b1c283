"""Attacks on a payer (haima.md §8.1, W01 to W13; x402.md §12, rows 3, 8, 9 and 13): each of them fails."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable

import httpx2
import msgspec
import pytest

from life.aios.errors import CustodyError, LifeError
from life.aios.ports.custody import PermitTransfer
from life.aios.ports.journal import EventQuery
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import WalletRules
from life.haima import events
from life.haima.errors import (
    MalformedPaymentError,
    NoAcceptableTermsError,
    OutcomeUnknownError,
    PolicyDeniedError,
)
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy, SoulLimits
from life.haima.reservations import EXPIRY_MARGIN_S, authorization_of
from life.haima.x402 import authorization, wire
from life.haima.x402.driving import CONTEXT, RECEIPT
from life.haima.x402.networks import LOCAL, USDC_BASE
from life.haima.x402.transport import AsyncPayingTransport
from life.host.haima_client import untrusted_client
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import FaultyJournal
from tests.haima.payee import Payee
from tests.haima.payer_kit import ADDRESS, AGENT, KEY_HEX, OPEN_POLICY, Kit, finance_events, kinds, paying

ONE = {CONTEXT: {"purchase_id": "order-1"}}


def asking(**changes: object) -> Payee:
    """A seller whose offer is changed."""
    payee = Payee(now_s=lambda: ManualClock().now_us() // 1_000_000)
    payee.requirements = msgspec.structs.replace(payee.requirements, **changes)
    payee.terms = wire.offer((payee.requirements,), resource=wire.ResourceInfo(url="http://localhost/paid"))
    return payee


async def reserved_by(kit: Kit) -> list[events.PaymentReserved]:
    """Every reservation in the journal."""
    await kit.payer.flush()
    return [event for event in await finance_events(kit.journal) if isinstance(event, events.PaymentReserved)]


@pytest.mark.parametrize("amount", [2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**255, 2**256 - 1])
async def test_w01_an_amount_that_would_wrap(amount: int) -> None:
    """2^63 and its neighbours are huge, not negative: refused before anything is signed."""
    async with paying(payee=asking(amount=str(amount))) as kit:
        with pytest.raises(PolicyDeniedError) as denied:
            await kit.client.get("/paid")
        assert denied.value.verdict in ("amount_out_of_range", "hard_cap")
        assert await reserved_by(kit) == [] and kit.payee.presented == []


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"asset": "0x" + "11" * 20}, PolicyDeniedError),
        ({"network": "eip155:137"}, PolicyDeniedError),
        ({"network": USDC_BASE.network, "asset": "0x" + "11" * 20}, PolicyDeniedError),
        ({"extra": {"name": "USD Coin", "version": "2"}}, NoAcceptableTermsError),
        ({"network": USDC_BASE.network, "asset": USDC_BASE.address, "extra": {"name": "X"}}, NoAcceptableTermsError),
    ],
    ids=str,
)
async def test_w02_terms_over_another_token(changes: dict[str, object], errors: type[LifeError]) -> None:
    """A worthless token, another network or a domain of the seller's own: nothing is signed, least of all over real money."""
    async with paying(payee=asking(**changes)) as kit:
        with pytest.raises(errors):
            await kit.client.get("/paid")
        assert await reserved_by(kit) == []


async def test_w02_what_is_signed_is_what_was_accepted() -> None:
    """Network, token, payee and amount under the signature are those of the offer, and nothing else's."""
    async with paying() as kit:
        await kit.client.get("/paid")
        payment = wire.decode_payment_signature(kit.payee.presented[0])
        accepted = payment.requirements()
        (reserved,) = await reserved_by(kit)
        signed = authorization_of(reserved)
        assert (signed.network, signed.asset, signed.to_address, signed.value_atomic) == (
            accepted.network,
            accepted.asset,
            accepted.pay_to,
            int(accepted.amount),
        )
        content = wire.decode_evm_payload(payment.payload)
        assert authorization.is_signed_by_key(signed, authorization.read_signature(content.signature))


async def test_w04_parallel_calls_pass_the_cap_together() -> None:
    """Sixty-four calls in two processes, room for five: five are charged."""
    policy = msgspec.structs.replace(OPEN_POLICY, session_spend_cap_micro=250)
    async with paying(policy=policy) as kit:
        async with paying(policy=policy, payee=kit.payee, journal=kit.journal, clock=kit.clock, seed="b") as other:
            kit.payee.delay_s = 0.001
            outcomes = await asyncio.gather(
                *(one.client.get("/paid") for one in (kit, other) for _ in range(32)), return_exceptions=True
            )
        assert sum(isinstance(outcome, httpx2.Response) for outcome in outcomes) == 5
        assert kit.payee.charged == 250


async def test_w05_custody_signs_nothing_without_a_reservation() -> None:
    """A caller that holds the custody and no reservation gets no signature."""
    clock = ManualClock()
    custody = InProcessAnima.from_wallet_key(
        bytearray.fromhex(KEY_HEX), clock=clock, rules=WalletRules(require_reservation=True)
    )
    async with paying(clock=clock) as kit:
        await kit.client.get("/paid")
        (reserved,) = await reserved_by(kit)
        for wish in (
            authorization_of(msgspec.structs.replace(reserved, payment_id="")),
            authorization_of(
                msgspec.structs.replace(reserved, payment_id="", transfer_method="permit2", spender="0x" + "11" * 20)
            ),
        ):
            with pytest.raises(CustodyError):
                if isinstance(wish, PermitTransfer):
                    await custody.sign_permit(wish)
                else:
                    await custody.sign_authorization(wish)


@pytest.mark.parametrize("asked_s", [10, 300, 601, 86_400 * 365, 2**40])
async def test_w06_a_signature_that_lives_for_ever(asked_s: int) -> None:
    """The payer's own limit bounds the validity, whatever the payee asks for; what is out is tracked until it is dead."""
    async with paying(payee=asking(max_timeout_seconds=asked_s), policy=PaymentPolicy(max_validity_s=120)) as kit:
        kit.payee.faults = ["http_500"]
        with pytest.raises(OutcomeUnknownError):
            await kit.client.get("/paid")
        (reserved,) = await reserved_by(kit)
        now_s = kit.clock.now_us() // 1_000_000
        assert reserved.valid_before_s == now_s + min(asked_s, 120)
        assert reserved.valid_after_s <= now_s - 600  # W09: backdated, a chain's clock may be behind ours
        (outstanding,) = kit.payer.purse(LOCAL).state.open_payments()
        assert outstanding.payment_id == reserved.payment_id


@pytest.mark.parametrize("fault", ["refuse", "http_404", "http_500", "http_202", "pending", "other_terms"])
async def test_w07_a_failed_paid_try_is_not_called_settled(fault: str) -> None:
    """No status but a settlement makes a payment settled."""
    async with paying() as kit:
        kit.payee.faults = [fault]  # type: ignore[list-item]
        try:
            receipt = (await kit.client.get("/paid")).extensions[RECEIPT]
            assert receipt.state == "refused"
        except OutcomeUnknownError:
            pass
        state = kit.payer.purse(LOCAL).state
        assert (state.settled_micro, state.outstanding_micro) == (0, 50)


async def test_w08_a_server_that_says_settled_and_settles_later() -> None:
    """Its word costs nothing more than the payment: the amount counts from the reservation on, whatever it claims, and a
    claim under another transaction or about more changes no sum."""
    async with paying(policy=msgspec.structs.replace(OPEN_POLICY, session_spend_cap_micro=100)) as kit:
        kit.payee.claims = 10**9
        await kit.client.get("/paid")
        await kit.client.get("/paid?2")
        state = kit.payer.purse(LOCAL).state
        assert (state.settled_micro, state.outstanding_micro) == (100, 0)
        with pytest.raises(PolicyDeniedError):
            await kit.client.get("/paid?3")


@pytest.mark.parametrize("header", ["", "A", "%%%", "e30=", "bnVsbA==", "W10=", "A" * 40_000])
async def test_w08_settlements_that_are_none(header: str) -> None:
    """Garbage in PAYMENT-RESPONSE settles nothing: the goods are handed out, the money is watched."""

    async def app(scope: object, receive: object, send: object) -> None:
        has_paid = any(name == b"payment-signature" for name, _ in scope["headers"])  # type: ignore[index]
        headers = (
            [(b"payment-response", header.encode())]
            if has_paid
            else [(b"payment-required", wire.encode_header(Payee().terms).encode())]
        )
        status = 200 if has_paid else 402
        await send({"type": "http.response.start", "status": status, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"goods"})  # type: ignore[operator]

    async with paying() as kit:
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(app))
        async with httpx2.AsyncClient(transport=transport) as client:
            answer = await client.get("http://localhost/")
        assert answer.content == b"goods" and answer.extensions[RECEIPT].state == "unconfirmed"
        state = kit.payer.purse(LOCAL).state
        assert (state.settled_micro, state.outstanding_micro) == (0, 50)


@pytest.mark.parametrize(
    "header",
    [
        "A" * 200_000,
        base64.b64encode(b'{"x402Version":2,"accepts":' + b"[" * 50_000).decode(),
        base64.b64encode(json.dumps({"x402Version": 2, "accepts": [{"amount": "1"}] * 2_000}).encode()).decode(),
        base64.b64encode(b"\xff\xfe").decode(),
    ],
    ids=["huge", "deep", "many", "no-text"],
)
async def test_terms_that_are_a_bomb(header: str) -> None:
    """Huge, deep or endless terms are an error with a code; nothing is reserved."""

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 402, "headers": [(b"payment-required", header.encode())]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    async with paying() as kit:
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(app))
        async with httpx2.AsyncClient(transport=transport) as client:
            with pytest.raises((MalformedPaymentError, NoAcceptableTermsError)):
                await client.get("http://localhost/")
        assert await kinds(kit.journal) == []


@pytest.mark.parametrize(
    "body",
    [
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"x402Version":3,"accepts":[]}',
        b'{"x402Version":"1"}',
        b"\xff",
        b'{"x402Version":1,"accepts":[' + b"1," * 10_000 + b"1]}",
        b"x" * 300_000,
    ],
    ids=["braces", "brackets", "version-3", "version-text", "no-text", "numbers", "long"],
)
async def test_a_402_with_a_strange_body(body: bytes) -> None:
    """Somebody else's 402, or a bomb in one: it is handed through whole, or refused with a code; nothing is paid."""

    async def app(scope: object, receive: object, send: object) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 402, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": body})  # type: ignore[operator]

    async with paying() as kit:
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(app))
        async with httpx2.AsyncClient(transport=transport) as client:
            try:
                assert (await client.get("http://localhost/")).content == body
            except NoAcceptableTermsError:
                pass
        assert await kinds(kit.journal) == []


async def test_w10_nothing_is_signed_before_the_policy_has_spoken() -> None:
    """Custody is asked only for what is reserved on disk; a journal that fails, fails closed."""
    asked: list[str] = []

    class Counting:
        def __init__(self, inner: InProcessAnima) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> object:
            if name.startswith("sign_"):
                asked.append(name)
            return getattr(self._inner, name)

    clock, journal = ManualClock(), FaultyJournal()
    payer = Payer(
        journal=journal,
        custody=Counting(InProcessAnima.from_wallet_key(bytearray.fromhex(KEY_HEX), clock=clock)),  # type: ignore[arg-type]
        clock=clock,
        entropy=SeededEntropy(),
        agent_id=AGENT,
        policy=PaymentPolicy(hard_cap_per_tx_micro=50),
    )
    async with payer:
        for payee, faults in ((asking(amount="51"), []), (asking(), ["before"]), (asking(), ["after"])):
            journal.faults = faults  # type: ignore[assignment]
            transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
            async with httpx2.AsyncClient(transport=transport) as client:
                with pytest.raises(LifeError):
                    await client.get("http://localhost/paid")
            assert asked == [] and payee.presented == []


async def test_w11_words_in_an_answer_pay_nothing() -> None:
    """Only a 402 over HTTP starts a payment: a 200 whose body or headers talk of one is a 200."""

    async def app(scope: object, receive: object, send: object) -> None:
        terms = wire.encode_header(Payee().terms).encode()
        headers = [(b"payment-required", terms), (b"content-type", b"application/json")]
        body = json.dumps({"status_code": 402, "payment_required_header": terms.decode(), "x402Version": 1}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": body})  # type: ignore[operator]

    async with paying() as kit:
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(app))
        async with httpx2.AsyncClient(transport=transport) as client:
            assert (await client.get("http://localhost/")).status_code == 200
        assert await kinds(kit.journal) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/paid",
        "http://localhost:9/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
    ],
)
async def test_w12_a_url_of_a_stranger_reaches_no_private_address(url: str) -> None:
    """The client for untrusted URLs connects to public addresses only, and pays nothing elsewhere."""
    async with paying() as kit:
        async with untrusted_client(kit.payer) as client:
            with pytest.raises((httpx2.TransportError, LifeError)):
                await client.get(url)
        assert await kinds(kit.journal) == []


@pytest.mark.parametrize(
    ("mode", "soul", "verdict"),
    [
        ("hibernate", None, "mode_hibernate"),
        ("unknown", None, "mode_hibernate"),
        ("sovereign", SoulLimits(max_spend_per_tx_micro=49), "soul_limit"),
        ("sovereign", SoulLimits(max_spend_per_session_micro=49), "soul_limit"),
        ("sovereign", SoulLimits(max_lifetime_spend_micro=49), "soul_limit"),
    ],
)
async def test_w13_soul_and_mode_are_enforced(mode: str, soul: SoulLimits | None, verdict: str) -> None:
    """A soul's limit or a mode refuses where the policy alone would pay."""
    async with paying(mode=lambda: mode, soul=soul) as kit:  # type: ignore[arg-type, return-value]
        with pytest.raises(PolicyDeniedError) as denied:
            await kit.client.get("/paid")
        assert denied.value.verdict == verdict


# --- x402.md §12 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "fault"),
    [("3 settled, answer lost", "lose_answer"), ("8 pending as 500", "pending"), ("9 accepted, not yet", "http_202")],
)
async def test_rows_3_8_9_an_unknown_outcome_is_not_paid_again(row: str, fault: str) -> None:
    """Charged, and nobody said so: ten repetitions later there is one charge and one signature, and the goods came."""
    async with paying() as kit:
        kit.payee.faults = [fault, fault, "http_500"]  # type: ignore[list-item]
        statuses = []
        for _ in range(10):
            try:
                statuses.append((await kit.client.get("/paid", extensions=ONE)).status_code)
            except OutcomeUnknownError as error:
                assert "can't be charged twice" in (error.next_step or "")
        assert statuses == [200] * 7
        assert kit.payee.charged == 50 and len(set(kit.payee.presented)) == 1


async def test_row_13_the_same_command_again() -> None:
    """The paid answer is dropped and the command repeated, in this process and in the next: one payment."""
    async with paying() as kit:
        for _ in range(3):
            await kit.client.get("/paid", extensions=ONE)
        await kit.payer.flush()
        async with paying(payee=kit.payee, journal=kit.journal, clock=kit.clock, seed="again") as later:
            await later.client.get("/paid", extensions=ONE)
        assert kit.payee.charged == 50 and len(set(kit.payee.presented)) == 1


async def test_other_terms_on_the_second_402() -> None:
    """The seller refuses and asks for twice as much: nothing more is signed until the first payment can't land any more."""
    async with paying() as kit:
        kit.payee.faults = ["other_terms"]
        first = await kit.client.get("/paid", extensions=ONE)
        assert first.status_code == 402 and first.extensions[RECEIPT].state == "refused"
        again = await kit.client.get("/paid", extensions=ONE)
        assert again.status_code == 402 and len(set(kit.payee.presented)) == 1
        kit.clock.advance_us((300 + EXPIRY_MARGIN_S) * 1_000_000)
        kit.payee.now_s = lambda: kit.clock.now_us() // 1_000_000
        # Sent twice and refused twice, it is dead: the new price is a new payment.
        assert (await kit.client.get("/paid", extensions=ONE)).status_code == 200
        assert kit.payee.charged == 100 and len(await reserved_by(kit)) == 2


async def test_paying_ahead_of_terms_that_changed() -> None:
    """Known terms are paid without asking; when they no longer hold, the seller refuses, and the next call asks again and
    sends the identical payment instead of a second one."""
    ahead = {CONTEXT: {"ahead": True}}
    async with paying() as kit:
        await kit.client.get("/paid", extensions=ahead)
        assert len(kit.payee.requests) == 2
        kit.payee.faults = ["other_terms"]
        refused = await kit.client.get("/paid", extensions=ahead)
        assert refused.status_code == 402 and len(kit.payee.requests) == 3
        again = await kit.client.get("/paid", extensions=ahead)
        assert again.status_code == 402 and len(set(kit.payee.presented)) == 2
        assert kit.payee.charged == 50


# --- secrets ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["none", "refuse", "http_500", "lose_answer", "other_terms", "garbage_settlement"])
async def test_secrets_are_nowhere(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key nor what a URL or a header carries secretly stands in any event, error, repr or log (invariant 9)."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    tell: Callable[[object], None] = lambda thing: seen.append(f"{thing!r} {thing}")  # noqa: E731
    async with paying() as kit:
        kit.payee.faults = [fault]  # type: ignore[list-item]
        headers = {"Authorization": "Bearer hush-token"}
        try:
            answer = await kit.client.get("/paid?key=hush-query", headers=headers)
            tell(answer.extensions[RECEIPT])
        except LifeError as error:
            tell(error)
            tell(error.details)
        tell(kit.payer)
        tell(kit.payer.purse(LOCAL).state.open_payments())
        await kit.payer.flush()
        assert isinstance(kit.journal, MemoryJournal)
        for record in await kit.journal.read(EventQuery()):
            tell(record)
        seen += [record.getMessage() for record in caplog.records if record.name.startswith("life")]
    everything = "\n".join(seen).lower()
    for secret in (KEY_HEX, KEY_HEX[:32], "hush-token", "hush-query", bytes.fromhex(KEY_HEX).hex(" ")):
        assert secret.lower() not in everything
    assert ADDRESS.lower() in everything

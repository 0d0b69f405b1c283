"""Facilitators by name, with stand-ins for Coinbase and Stripe on loopback (neither is the real one)."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import httpx2
import pytest
from msgspec import Raw
from starlette.types import Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.ports.custody import TransferAuthorization
from life.haima.facilitator.coinbase_cdp import CdpFacilitator
from life.haima.facilitator.remote import RemoteFacilitator
from life.haima.x402 import wire
from life.haima.x402.authorization import build_payload
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import BASE_SEPOLIA, BUILT_IN
from life.haima.x402.paid_routes import Route
from life.host.clock import SystemClock, SystemEntropy
from life.host.errors import DataDirectoryError
from life.host.haima_seller import open_till
from life.host.haima_settling import CHALLENGE_SECRET_FILE, challenge_secret, open_settling
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER, sign
from tests.haima.scripted_facilitator import ScriptedFacilitator
from tests.haima.stripe_stand_in import KEY, StripeStandIn

USDC = BUILT_IN.default_token(BASE_SEPOLIA)
assert USDC is not None
CDP = {"CDP_API_KEY_ID": "1", "CDP_API_KEY_SECRET": "MC4CAQAw"}


async def goods(scope: Scope, receive: Receive, send: Send) -> None:
    """What is sold."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"goods"})


async def test_an_address_and_coinbase_are_opened_by_name() -> None:
    """An address is any facilitator; `coinbase-cdp` needs its keys and says which are missing."""
    clock, entropy, journal = SystemClock(), SystemEntropy(), MemoryJournal()
    async with open_settling("https://settle.example", journal, clock, entropy, environment={}) as settling:
        assert type(settling.facilitator) is RemoteFacilitator
        assert (settling.title, settling.deposits) == ("https://settle.example", None)
    with pytest.raises(InvalidInputError, match="CDP_API_KEY_ID and CDP_API_KEY_SECRET"):
        async with open_settling("coinbase-cdp", journal, clock, entropy, environment={}):
            pass
    secret = "".join(["A" * 86, "=="])
    with pytest.raises(InvalidInputError) as damaged:
        async with open_settling(
            "coinbase-cdp", journal, clock, entropy, environment={**CDP, "CDP_API_KEY_SECRET": secret}
        ):
            pass
    assert "A" * 8 not in str(damaged.value)
    assert CdpFacilitator.__mro__[1] is RemoteFacilitator


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("paypal", {}),
        ("", {}),
        ("stripe", {}),
        ("stripe", {"environment": {"STRIPE_SECRET_KEY": KEY}, "settle_with": "stripe"}),
        ("stripe", {"environment": {"STRIPE_SECRET_KEY": KEY}}),
        ("stripe", {"environment": {"STRIPE_SECRET_KEY": "pk_test_1"}}),
        ("https://settle.example", {"settle_with": "coinbase-cdp"}),
        ("https://settle.example", {"simulate_deposits": True}),
        ("http://settle.example", {}),
    ],
    ids=str,
)
async def test_what_cannot_be_right_is_said_at_once(name: str, options: dict[str, object]) -> None:
    """A wrong name, a missing key, Stripe with nobody to settle: a sentence before anything is served."""
    with pytest.raises(InvalidInputError) as error:
        async with open_settling(
            name,
            MemoryJournal(),
            SystemClock(),
            SystemEntropy(),
            **{"environment": {}, **options},  # type: ignore[arg-type]
        ):
            pass
    assert KEY not in str(error.value)


async def test_a_shop_through_stripe() -> None:
    """From the environment's key to a sale: the sandbox's deposit address on Base Sepolia, settled by an x402 facilitator,
    told to the sandbox, captured while the shop is open."""
    assert USDC is not None
    clock, entropy, journal = SystemClock(), SystemEntropy(), MemoryJournal()
    with StripeStandIn(token=USDC.address) as stripe, ScriptedFacilitator(BASE_SEPOLIA) as scripted:
        async with open_settling(
            "stripe",
            journal,
            clock,
            entropy,
            settle_with=scripted.url,
            environment={"STRIPE_SECRET_KEY": KEY},
            simulate_deposits=True,
            stripe_url=stripe.url,
        ) as settling:
            assert settling.title == f"Stripe (test), through {scripted.url}"
            assert settling.deposits is not None
            shop = X402Middleware(
                goods,
                routes={"/paid": Route(settling.deposits.priced("$0.01", network=BASE_SEPOLIA))},
                pay_to=PAYEE,
                network=BASE_SEPOLIA,
                facilitator=settling.facilitator,
                journal=journal,
                clock=clock,
                entropy=entropy,
            )
            await shop.start()
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(shop), base_url="http://shop.test") as client:
                asked = wire.decode_payment_required((await client.get("/paid")).headers["payment-required"])
                [(raw, offer)] = asked.requirements()
                assert offer.pay_to != PAYEE
                authorization = TransferAuthorization(
                    network=BASE_SEPOLIA,
                    asset=USDC.address,
                    token_name=USDC.name,
                    token_version=USDC.version,
                    from_address=PAYER,
                    to_address=offer.pay_to,
                    value_atomic=10_000,
                    valid_after_s=0,
                    valid_before_s=clock.now_us() // 1_000_000 + 250,
                    nonce=b"\x01" * 32,
                )
                payment = wire.encode_header(build_payload(Raw(bytes(raw)), authorization, sign(authorization)))
                answer = await client.get("/paid", headers={"PAYMENT-SIGNATURE": payment})
            assert (answer.status_code, answer.content) == (200, b"goods")
            assert [each["network"] for each in stripe.simulated] == ["base"]
            assert len(settling.deposits.waiting) == 1
            await shop.aclose()
        assert stripe.intents[stripe.of_address(offer.pay_to)]["status"] == "succeeded"
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing keeps running"


def test_the_secret_of_challenges_is_made_once(tmp_path: Path) -> None:
    """Long enough, the same for every process, for its owner's eyes only."""
    secret = challenge_secret(tmp_path, SystemEntropy())
    assert len(secret) >= 32
    assert challenge_secret(tmp_path, SystemEntropy()) == secret
    file = tmp_path / CHALLENGE_SECRET_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    with pytest.raises(DataDirectoryError):
        challenge_secret(tmp_path, SystemEntropy())


async def test_a_shop_whose_prices_name_a_payee_does_not_open_with_stripe(tmp_path: Path) -> None:
    """Every payment would be refused: said when it opens, not to the first buyer. Coinbase's name is taken as any address
    is."""
    with pytest.raises(InvalidInputError, match="deposit address"):
        async with open_till(pay_to=PAYEE, network="base", facilitator="stripe", directory=tmp_path):
            pass
    with pytest.raises(InvalidInputError, match="CDP_API_KEY_ID"):
        async with open_till(pay_to=PAYEE, network="base", facilitator="coinbase-cdp", directory=tmp_path):
            pass

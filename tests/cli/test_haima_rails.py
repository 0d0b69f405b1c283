"""`haima serve` on both rails and with hosted facilitators, as real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from eth_account import Account
from mpp.client.transport import PaymentTransport
from mpp.methods.evm import client as evm_client
from mpp.methods.evm.assets import BASE_SEPOLIA_USDC

from life.haima.chain.local_ledger import LocalLedger
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.mpp.credential import decode_receipt
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE
from tests.cli.haima_commands import (
    ASSET,
    NETWORK,
    PRICE,
    SELLER,
    hits,
    ledger_balance,
    local_facilitator,
    pay,
    run,
    shop,
)
from tests.haima.loopback import free_listener, served
from tests.haima.mpp.kit import PyMppShop
from tests.haima.stripe_stand_in import KEY
from tests.harness.anvil import ACCOUNTS

OPTIONS = ("--port", "0", "--asset", ASSET, "--network", NETWORK)


class Recording(httpx.AsyncHTTPTransport):
    """Keeps the credentials that leave."""

    def __init__(self) -> None:
        super().__init__()
        self.credentials: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        credential = request.headers.get("authorization")
        if credential is not None:
            self.credentials.append(credential)
        return await super().handle_async_request(request)


async def pay_with_pympp(url: str) -> tuple[httpx.Response, str]:
    """The answer, and the credential that got it."""
    method = evm_client.charge(currency=BASE_SEPOLIA_USDC, account=Account.from_key(ACCOUNTS[1].key))
    inner = Recording()
    async with httpx.AsyncClient(transport=PaymentTransport(methods=[method], inner=inner)) as client:
        answer = await client.get(url)
        return answer, inner.credentials[-1]


def test_pympp_pays_haima_serve_and_outlives_its_kill(tmp_path: Path) -> None:
    """`--realm` asks for challenges, too. After kill -9 and a restart the same credential gets the same answer: the secret
    and the sale are on disk, and nothing is charged again."""
    with local_facilitator(tmp_path / "f") as facilitator:
        with shop(tmp_path / "s", facilitator.url, "--realm", "localhost") as selling:
            answer, credential = asyncio.run(pay_with_pympp(selling.url + "/paid"))
            assert (answer.status_code, answer.json()["runs"]) == (200, 1)
            receipt = decode_receipt(answer.headers["payment-receipt"])
            selling.kill()
            selling.restart()
            again = httpx.get(selling.url + "/paid", headers={"Authorization": credential})
            assert (again.status_code, again.content) == (200, answer.content)
            assert decode_receipt(again.headers["payment-receipt"]).reference == receipt.reference
            assert hits(selling)["paid"] == 0, "the handler did not run again"
            assert selling.stop() == 0
        assert facilitator.stop() == 0
    assert ledger_balance(tmp_path / "f", SELLER) == PRICE


async def test_haima_pay_pays_pympps_shop(tmp_path: Path) -> None:
    """A seller whose challenges are what it settles: paid by the same command, with the receipt's transaction in its last
    line. An answer that gets lost is asked for with the identical credential, never paid for again."""
    journal, clock, entropy = MemoryJournal(), SystemClock(), SystemEntropy()
    ledger = LocalLedger(journal, clock, entropy, network=LOCAL)
    await ledger.fund(ACCOUNTS[1].address, 1_000_000, asset=PLAY_MONEY.address)
    facilitator = SelfHostedFacilitator([ledger], journal, clock, entropy)
    listener = free_listener()
    seller = PyMppShop(facilitator, realm=f"127.0.0.1:{listener.getsockname()[1]}")
    async with served(seller, listener) as url:
        paid = await asyncio.to_thread(pay, f"{url}/paid", ACCOUNTS[1], tmp_path / "w", network=LOCAL)
        assert paid.code == 0, paid
        assert paid.line["status"] == 200
        assert paid.transaction.startswith("local:")
        seller.loses_answers = 1
        for _ in range(2):
            lost = await asyncio.to_thread(pay, f"{url}/paid", ACCOUNTS[1], tmp_path / "w", network=LOCAL)
            assert lost.error_code == "haima.outcome_unknown", lost
    assert await ledger.balance(PAYEE, asset=PLAY_MONEY.address) == 2 * PRICE
    credentials = [headers["authorization"] for headers in seller.seen if "authorization" in headers]
    assert len(credentials) == 3
    assert credentials[1] == credentials[2]
    await facilitator.aclose()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--facilitator", "https://settle.example"), "--pay-to"),
        (("--facilitator", "coinbase-cdp", "--pay-to", SELLER), "CDP_API_KEY_ID"),
        (("--facilitator", "stripe"), "STRIPE_SECRET_KEY"),
        (("--facilitator", "stripe", "--pay-to", SELLER), "Leave out --pay-to"),
        (("--facilitator", "https://settle.example", "--pay-to", SELLER, "--settle-with", "x"), "Only Stripe"),
        (("--facilitator", "paypal", "--pay-to", SELLER), "coinbase-cdp, stripe"),
        (("--facilitator", "https://settle.example", "--pay-to", SELLER, "--realm", "é"), "realm"),
    ],
)
def test_what_can_not_work_does_not_start(tmp_path: Path, argv: tuple[str, ...], words: str) -> None:
    """One sentence and the next step, before anything is served."""
    ended = run("haima", "serve", *OPTIONS, *argv, "--data-dir", tmp_path / "s")
    assert ended.code == 1, ended
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--network", "base", "--settle-with", "https://settle.example"), "eip155:84532"),
        (("--price", "1234", "--network", NETWORK, "--settle-with", "https://settle.example"), "whole cents"),
        (("--network", NETWORK, "--settle-with", "stripe"), "settles nothing"),
        (("--network", NETWORK), "CDP_API_KEY_ID"),
    ],
)
def test_stripe_with_a_key_and_terms_it_can_not_take(tmp_path: Path, argv: tuple[str, ...], words: str) -> None:
    """A test key is of Base Sepolia, cents are whole, somebody has to settle; the key is not shown."""
    options = ("--port", "0", "--facilitator", "stripe", "--data-dir", tmp_path / "s")
    ended = run("haima", "serve", *options, *argv, env={"STRIPE_SECRET_KEY": KEY})
    assert ended.code == 1, ended
    assert words in ended.stderr
    assert KEY[8:] not in ended.stdout + ended.stderr

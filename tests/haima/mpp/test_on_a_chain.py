"""Challenges that are paid on a real chain: pympp's client at our shop, our client at pympp's shop, our facilitator for both."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import httpx2
import pytest
from eth_account import Account
from mpp.client.transport import PaymentTransport
from mpp.methods.evm import client as evm_client
from mpp.methods.evm.assets import BASE_SEPOLIA_USDC

from life.anima.custody.in_process import InProcessAnima
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.mpp.server import MachinePayments
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402.driving import RECEIPT
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.transport import AsyncPayingTransport
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER
from tests.haima.mpp.kit import REALM, SECRET, PyMppShop, receipt_of
from tests.haima.payer_kit import AGENT, KEY_HEX
from tests.haima.shop import PRICE, PRICE_ATOMIC, plain_app
from tests.haima.test_chain_evm import EvmBenches
from tests.harness.anvil import Anvil

pytestmark = pytest.mark.part("anvil", "solc")


@pytest.fixture
async def facilitator(chain: Anvil) -> AsyncIterator[SelfHostedFacilitator]:
    """Ours, on the session's chain, where the payer has money."""
    benches = EvmBenches(chain)
    chain.mint(PAYER, 1_000_000)
    made = SelfHostedFacilitator([benches.open()], MemoryJournal(), SystemClock(), SystemEntropy())
    yield made
    await made.aclose()
    await benches.aclose()


async def test_pympp_pays_our_shop(chain: Anvil, facilitator: SelfHostedFacilitator) -> None:
    """One transaction, whose hash is on the receipt."""
    clock, entropy = SystemClock(), SystemEntropy()
    selling = X402Middleware(
        plain_app,
        routes={"/paid": PRICE},
        pay_to=PAYEE,
        network=chain.network,
        facilitator=facilitator,
        journal=MemoryJournal(),
        clock=clock,
        entropy=entropy,
    )
    shop = MachinePayments(selling, realm=REALM, secrets=(SECRET,), clock=clock, entropy=entropy)
    method = evm_client.charge(currency=BASE_SEPOLIA_USDC, account=Account.from_key(KEY_HEX))
    transport = PaymentTransport(methods=[method], inner=httpx.ASGITransport(shop))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{REALM}") as client:
        answer = await client.get("/paid")
    assert (answer.status_code, answer.content) == (200, b"goods")
    found = chain.receipt(receipt_of(answer).reference)  # type: ignore[arg-type]
    assert found is not None
    assert found["status"] == "0x1"
    assert chain.balance_of(PAYEE) == PRICE_ATOMIC
    await selling.aclose()


async def test_our_client_pays_pympps_shop(chain: Anvil, facilitator: SelfHostedFacilitator) -> None:
    """The authorization lands with the challenge's hash as its nonce."""
    clock = SystemClock()
    shop = PyMppShop(facilitator, currency=BASE_SEPOLIA_USDC)
    payer = Payer(
        journal=MemoryJournal(),
        custody=InProcessAnima.from_wallet_key(bytearray.fromhex(KEY_HEX), clock=clock),
        clock=clock,
        entropy=SystemEntropy(),
        agent_id=AGENT,
        policy=PaymentPolicy(auto_approve_cap_micro=PRICE_ATOMIC),
    )
    async with payer:
        transport = AsyncPayingTransport(payer, httpx2.ASGITransport(shop))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get("/paid")
            assert answer.status_code == 200
            reserved = answer.extensions[RECEIPT].payment.reserved
    assert reserved.rail == "mpp"
    assert chain.authorization_state(PAYER, reserved.nonce)
    assert chain.balance_of(PAYEE) == PRICE_ATOMIC

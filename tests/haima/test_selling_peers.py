"""The official clients buy from our seller by every scheme, and our seller settles with the official facilitators, on a chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from eth_account import Account
from x402.http import decode_payment_response_header
from x402.http.utils import encode_payment_signature_header
from x402.mechanisms.evm.exact.v1.client import ExactEvmSchemeV1
from x402.schemas.v1 import PaymentPayloadV1, PaymentRequirementsV1

from tests.haima.test_interop import CLIENTS, FACILITATORS, our_facilitator
from tests.haima.test_middleware_crash import Seller
from tests.harness.anvil import FACILITATOR, MERCHANT, PAYER, Anvil
from tests.peers.processes import Peer, python

pytestmark = [pytest.mark.part("anvil", "solc", "node", "npm-peers", "x402-python"), pytest.mark.slow]

PRICE_ATOMIC, CHARGED_ATOMIC = 10_000, 4_200
WAYS: dict[str, dict[str, str | bool]] = {
    "permit2": {"transfer": "permit2"},
    "upto": {"scheme": "upto", "charge": str(CHARGED_ATOMIC)},
    "upto nothing": {"scheme": "upto", "charge": "0"},
}
TAKEN = {"permit2": PRICE_ATOMIC, "upto": CHARGED_ATOMIC, "upto nothing": 0}


def seller(folder: Path, facilitator: Peer, network: str, **options: str | bool) -> Peer:
    """Our seller's process."""
    files = Seller(folder, None)
    command = python(
        "x",
        journal=str(files.journal),
        runs=str(files.runs_file),
        hold=str(files.hold_file),
        facilitator=facilitator.url,
        network=network,
        pay_to=MERCHANT.address,
        **options,
    )
    return Peer.start([command[0], "-m", "tests.haima.seller_process", *command[3:]])


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", WAYS)
def test_official_clients_buy(chain: Anvil, tmp_path: Path, client: str, way: str) -> None:
    """Our 402 is understood, the payment settles at the first attempt, and exactly what the handler charges moves."""
    chain.mint(PAYER.address, 1_000_000)
    chain.approve_permit2(PAYER.address)
    with our_facilitator(tmp_path, chain.url) as facilitator:
        with seller(tmp_path, facilitator, chain.network, **WAYS[way]) as shop:
            for number in (1, 2):
                purchase = CLIENTS[client](shop.url + "/paid", key=PAYER.key)
                assert (purchase.status, purchase.body) == (200, {"runs": number})
                assert purchase.settlement is not None
                assert purchase.settlement["success"] is True
                assert "settlement-overrides" not in purchase.headers
                if way.startswith("upto"):
                    assert purchase.settlement["amount"] == str(TAKEN[way])
                assert chain.balance_of(MERCHANT.address) == number * TAKEN[way]


@pytest.mark.parametrize("facilitator", FACILITATORS)
@pytest.mark.parametrize("way", ["permit2", "upto"])
def test_official_facilitators_settle_our_sales(chain: Anvil, tmp_path: Path, facilitator: str, way: str) -> None:
    """Our seller reads the official /supported, offers by it, verifies and settles there."""
    chain.mint(PAYER.address, 1_000_000)
    chain.approve_permit2(PAYER.address)
    with FACILITATORS[facilitator](rpc=chain.url, key=FACILITATOR.key) as theirs:
        with seller(tmp_path, theirs, chain.network, **WAYS[way]) as shop:
            buy: Callable[..., object]
            for number, buy in enumerate(CLIENTS.values(), start=1):
                purchase = buy(shop.url + "/paid", key=PAYER.key)
                assert (purchase.status, purchase.body) == (200, {"runs": number})
                assert chain.balance_of(MERCHANT.address) == number * TAKEN[way]


def test_official_client_of_version_1_buys(chain: Anvil, tmp_path: Path) -> None:
    """The official version 1 scheme reads our body, signs, and is served; the settlement is in X-PAYMENT-RESPONSE."""
    chain.mint(PAYER.address, 1_000_000)
    with our_facilitator(tmp_path, chain.url) as facilitator:
        with seller(tmp_path, facilitator, chain.network, accept_v1=True) as shop:
            with httpx2.Client(trust_env=False, timeout=30) as http:
                asked = http.get(shop.url + "/paid")
                assert asked.status_code == 402
                assert asked.json()["x402Version"] == 1
                terms = PaymentRequirementsV1.model_validate(asked.json()["accepts"][0])
                assert (terms.network, terms.max_amount_required) == ("base-sepolia", str(PRICE_ATOMIC))
                content = ExactEvmSchemeV1(Account.from_key(PAYER.key)).create_payment_payload(terms)
                payment = PaymentPayloadV1(scheme="exact", network=terms.network, payload=content)
                header = encode_payment_signature_header(payment)
                bought = http.get(shop.url + "/paid", headers={"X-PAYMENT": header})
                again = http.get(shop.url + "/paid", headers={"X-PAYMENT": header})
    assert (bought.status_code, bought.json()) == (200, {"runs": 1})
    assert again.content == bought.content
    assert decode_payment_response_header(bought.headers["x-payment-response"]).success
    assert chain.balance_of(MERCHANT.address) == PRICE_ATOMIC

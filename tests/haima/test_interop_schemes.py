"""The official peers against our facilitator and the other way round, for every EVM scheme (x402.md §3, §9, §10).

their servers and clients → our facilitator      Permit2 and upto, both languages; EIP-3009 stands in test_interop
their client, version 1   → our facilitator      by their own facilitator client
their allowances          → our facilitator      eip2612GasSponsoring
our facilitator client    → their facilitators   EIP-3009, Permit2 and upto, both languages
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from x402.extensions.eip2612_gas_sponsoring import declare_eip2612_gas_sponsoring_extension
from x402.http import FacilitatorConfig, HTTPFacilitatorClientSync
from x402.http.utils import encode_payment_signature_header
from x402.mechanisms.evm.exact import ExactEvmClientScheme
from x402.mechanisms.evm.exact.v1.client import ExactEvmSchemeV1
from x402.mechanisms.evm.signers import EthAccountSignerWithRPC
from x402.schemas import PaymentPayload as OfficialPayload
from x402.schemas import PaymentRequirements as OfficialRequirements
from x402.schemas.v1 import PaymentPayloadV1, PaymentRequirementsV1

from life.aios.ports.custody import PaymentAuthorization, PermitTransfer, TransferAuthorization
from life.crypto.permit2 import EXACT_PROXY, UPTO_PROXY
from life.haima.facilitator.remote import RemoteFacilitator
from life.haima.x402 import codes, wire
from life.haima.x402.authorization import build_payload
from life.host.clock import SystemClock
from life.testing.chain import PAYEE, sign
from tests.haima.test_facilitator_evm import Bench
from tests.haima.test_interop import CLIENTS, FACILITATORS, SERVERS, our_facilitator
from tests.harness.anvil import FACILITATOR, MERCHANT, PAYER, Anvil
from tests.harness.rpc_counter import RpcCounter

pytestmark = [pytest.mark.part("anvil", "solc", "node", "npm-peers", "x402-python"), pytest.mark.slow]

PRICE_ATOMIC = 10_000
CHARGED_ATOMIC = 4_200


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("way", ["permit2", "upto"])
def test_official_servers_and_clients_use_our_facilitator(chain: Anvil, tmp_path: Path, server: str, way: str) -> None:
    """Both official servers offer by our /supported, both official clients sign, and we verify and settle: the whole price by
    Permit2, of an upto payment what the handler charged."""
    chain.mint(PAYER.address, 1_000_000)
    chain.approve_permit2(PAYER.address)
    charge = str(CHARGED_ATOMIC) if way == "upto" else ""
    paid = CHARGED_ATOMIC if way == "upto" else PRICE_ATOMIC
    with our_facilitator(tmp_path, chain.url) as facilitator:
        with SERVERS[server](facilitator=facilitator.url, pay_to=MERCHANT.address, way=way, charge=charge) as shop:
            for number, buy in enumerate(CLIENTS.values(), start=1):
                purchase = buy(shop.url + "/paid", key=PAYER.key)
                assert purchase.status == 200, purchase
                assert purchase.settlement is not None
                assert purchase.settlement["success"] is True
                if way == "upto":
                    assert purchase.settlement["amount"] == str(CHARGED_ATOMIC)
                assert chain.balance_of(MERCHANT.address) == number * paid
    assert chain.authorizations_used(PAYER.address) == 0


def test_official_client_of_version_1_uses_our_facilitator(chain: Anvil, tmp_path: Path) -> None:
    """A version 1 payment, asked for by the official facilitator client with version 1's own objects, verifies and settles;
    the settlement names the network as version 1 does. Too little is refused, too much is what version 1 allowed."""
    chain.mint(PAYER.address, 1_000_000)

    def asked(amount: int) -> PaymentRequirementsV1:
        return PaymentRequirementsV1(
            scheme="exact",
            network="base-sepolia",
            max_amount_required=str(amount),
            resource="http://shop.test/paid",
            description="a paid route",
            mime_type="application/json",
            pay_to=MERCHANT.address,
            max_timeout_seconds=300,
            asset=chain.token,
            extra={"name": "USDC", "version": "2"},
        )

    content = ExactEvmSchemeV1(Account.from_key(PAYER.key)).create_payment_payload(asked(PRICE_ATOMIC))
    payment = PaymentPayloadV1(scheme="exact", network="base-sepolia", payload=content)
    with our_facilitator(tmp_path, chain.url) as ours:
        with HTTPFacilitatorClientSync(FacilitatorConfig(url=ours.url)) as client:
            kinds = [(kind.x402_version, kind.scheme, kind.network) for kind in client.get_supported().kinds]
            assert (1, "exact", "base-sepolia") in kinds
            assert client.verify(payment, asked(PRICE_ATOMIC)).is_valid
            refused = client.verify(payment, asked(PRICE_ATOMIC + 1))
            assert (refused.is_valid, refused.invalid_reason) == (False, codes.VALUE_MISMATCH)
            settled = client.settle(payment, asked(PRICE_ATOMIC - 1))
            assert (settled.success, settled.network) == (True, "base-sepolia")
    assert chain.balance_of(MERCHANT.address) == PRICE_ATOMIC


async def test_an_official_clients_allowance_is_sent_along(chain: Anvil, counted_chain: RpcCounter) -> None:
    """The official client, told that gas is sponsored, signs an EIP-2612 permit beside its payment; one transaction of ours
    allows and moves."""
    chain.mint(PAYER.address, 1_000_000)
    terms = OfficialRequirements(
        scheme="exact",
        network=chain.network,
        amount=str(PRICE_ATOMIC),
        asset=chain.token,
        pay_to=PAYEE,
        max_timeout_seconds=300,
        extra={"name": "USDC", "version": "2", "assetTransferMethod": "permit2"},
    )
    signer = EthAccountSignerWithRPC(Account.from_key(PAYER.key), chain.url)
    made = await asyncio.to_thread(
        ExactEvmClientScheme(signer).create_payment_payload, terms, declare_eip2612_gas_sponsoring_extension()
    )
    extensions = made.pop("__extensions")
    official = OfficialPayload(payload=made, accepted=terms, extensions=extensions)
    payment = wire.decode_payment_signature(encode_payment_signature_header(official))
    bench = Bench(chain, counted_chain)
    facilitator = bench.facilitator()
    try:
        assert (await facilitator.verify(payment, payment.requirements())).is_valid
        assert (await facilitator.settle(payment, payment.requirements())).success
    finally:
        await facilitator.aclose()
        await bench.benches.aclose()
    assert (chain.balance_of(PAYEE), chain.permit_count(PAYER.address), bench.sent()) == (PRICE_ATOMIC, 1, 1)


def _payments(chain: Anvil) -> list[tuple[PaymentAuthorization, dict[str, Any], int]]:
    """One payment of each kind, the `extra` of its terms, and what is charged."""
    deadline_s = chain.timestamp_s() + 300
    transfer = TransferAuthorization(
        chain.network, chain.token, "USDC", "2", PAYER.address, PAYEE, PRICE_ATOMIC, 0, deadline_s, b"\5" * 32
    )
    exact = PermitTransfer(
        chain.network, chain.token, PAYER.address, PAYEE, PRICE_ATOMIC, EXACT_PROXY, 5 << 64, deadline_s
    )
    upto = exact._replace(spender=UPTO_PROXY, nonce=6 << 64, facilitator=FACILITATOR.address)
    domain = {"name": "USDC", "version": "2"}
    permit2 = {**domain, "assetTransferMethod": "permit2"}
    return [
        (transfer, domain, PRICE_ATOMIC),
        (exact, permit2, PRICE_ATOMIC),
        (upto, {**permit2, "facilitatorAddress": FACILITATOR.address}, CHARGED_ATOMIC),
    ]


@pytest.mark.parametrize("language", FACILITATORS)
async def test_our_client_uses_official_facilitators(chain: Anvil, language: str) -> None:
    """What our wallet signs is verified and settled by both official facilitators, for every scheme; the /supported that they
    publish names the account that an upto payment must name."""
    chain.mint(PAYER.address, 1_000_000)
    chain.approve_permit2(PAYER.address)
    paid = 0
    peer = await asyncio.to_thread(FACILITATORS[language], rpc=chain.url, key=FACILITATOR.key)
    with peer:
        remote = RemoteFacilitator(peer.url, SystemClock())
        try:
            kinds = (await remote.supported()).kinds
            (bound,) = [kind for kind in kinds if kind.scheme == "upto"]
            assert (bound.extra or {})["facilitatorAddress"] == FACILITATOR.address
            for authorization, extra, charged in _payments(chain):
                is_upto = isinstance(authorization, PermitTransfer) and authorization.facilitator is not None
                terms = wire.PaymentRequirements(
                    scheme="upto" if is_upto else "exact",
                    network=chain.network,
                    amount=str(PRICE_ATOMIC),
                    asset=chain.token,
                    pay_to=PAYEE,
                    max_timeout_seconds=300,
                    extra=extra,
                )
                payment = build_payload(wire.to_raw(terms), authorization, sign(authorization))
                verified = await remote.verify(payment, terms)
                assert verified.is_valid, (authorization, verified)
                charging = wire.PaymentRequirements(**{**_fields(terms), "amount": str(charged)})
                settled = await remote.settle(payment, charging)
                assert settled.success, (authorization, settled)
                paid += charged
                assert chain.balance_of(PAYEE) == paid
        finally:
            await remote.aclose()


def _fields(terms: wire.PaymentRequirements) -> dict[str, Any]:
    return {name: getattr(terms, name) for name in terms.__struct_fields__}

"""Scheme `exact` on Solana: payments against their terms, ours and the official package's in both directions."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from solders.keypair import Keypair
from x402.mechanisms.svm.exact.client import ExactSvmScheme as OfficialClient
from x402.mechanisms.svm.exact.facilitator import ExactSvmScheme as OfficialFacilitator
from x402.mechanisms.svm.signers import FacilitatorKeypairSigner, KeypairSigner
from x402.schemas import PaymentPayload as OfficialPayload
from x402.schemas import PaymentRequirements as OfficialRequirements

from life.anima.custody.solana_wallet import SolanaWallet
from life.anima.errors import CustodyInputError, PolicyDeniedError, StaleHandleError
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.solana import exact
from life.haima.x402 import codes
from life.haima.x402.wire import PaymentRequirements, decode_requirements
from life.lago.journal.memory import MemoryJournal
from tests.haima.solana.kit import (
    FEE_SEED,
    PAYEE,
    PAYER_SEED,
    facilitator,
    fee_payer,
    pay,
    payer,
    payload_of,
    prepare,
    terms,
)
from tests.harness.solana_node import SolanaNode


@pytest.fixture
def node() -> Iterator[SolanaNode]:
    with SolanaNode() as running:
        prepare(running)
        yield running


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": "9999"}, exact.AMOUNT_MISMATCH),
        ({"amount": "10001"}, exact.AMOUNT_MISMATCH),
        ({"payTo": str(Keypair().pubkey())}, exact.RECIPIENT_MISMATCH),
        ({"payTo": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"}, exact.RECIPIENT_MISMATCH),
        ({"asset": str(Keypair().pubkey())}, exact.MINT_MISMATCH),
        ({"extra": {}}, exact.MISSING_FEE_PAYER),
        ({"extra": {"feePayer": str(Keypair().pubkey())}}, exact.FEE_PAYER_NOT_MANAGED),
        ({"extra": {"feePayer": fee_payer().address, "memo": "order 7"}}, exact.MEMO_MISMATCH),
    ],
)
async def test_a_payment_must_be_exactly_what_is_asked(node: SolanaNode, change: dict[str, object], code: str) -> None:
    """Amount, payee, token, fee payer and memo are those of the terms, or the payment is refused offline."""
    payment = exact.read_payment(await pay(node, terms(node)), terms(node))
    document = {**msgspec.to_builtins(terms(node)), **change}
    asked = decode_requirements(msgspec.Raw(msgspec.json.encode(document)))
    refusal = exact.verify_offline(payment, asked, fee_payers=(fee_payer().address,))
    assert refusal is not None
    assert refusal.code == code


async def test_the_memo_of_the_terms_is_paid_with(node: SolanaNode) -> None:
    """`extra.memo` binds the payment to an order."""
    asked = terms(node, memo="order 7")
    payment = exact.read_payment(await pay(node, asked), asked)
    assert payment.transfer.memos == (b"order 7",)
    assert exact.verify_offline(payment, asked, fee_payers=(fee_payer().address,)) is None


async def test_what_is_no_payment_is_malformed_or_refused(node: SolanaNode) -> None:
    """No base64, no transaction, another scheme or network."""
    asked = terms(node)
    for odd in ("", "***", "é"):
        with pytest.raises((MalformedPaymentError, PaymentRefusedError)):
            exact.read_payment(payload_of(asked, odd), asked)
    with pytest.raises(PaymentRefusedError) as refused:
        exact.read_payment(payload_of(asked, base64.b64encode(b"x" * 64).decode()), asked)
    assert refused.value.reason == exact.TRANSACTION_REFUSED
    mainnet = msgspec.structs.replace(asked, network=exact.MAINNET)
    with pytest.raises(PaymentRefusedError) as refused:
        exact.read_payment(await pay(node, asked), mainnet)
    assert refused.value.reason == codes.NETWORK_MISMATCH


async def test_a_wallet_signs_only_its_own_part(node: SolanaNode) -> None:
    """The payer's key pays its own money, the fee payer's key never does; a closed one signs nothing."""
    asked = terms(node)
    payment = exact.read_payment(await pay(node, asked), asked)
    with pytest.raises(PolicyDeniedError):
        await SolanaWallet.from_seed(bytearray(PAYER_SEED), role="fee_payer").sign_transfer(payment.transfer)
    with pytest.raises(PolicyDeniedError):
        await SolanaWallet.from_seed(bytearray(FEE_SEED), role="payer").sign_transfer(payment.transfer)
    closed = payer()
    closed.close()
    with pytest.raises(StaleHandleError):
        await closed.sign_transfer(payment.transfer)
    for seed in (b"", b"x" * 31, PAYER_SEED + b"\0" * 32):
        with pytest.raises(CustodyInputError):
            SolanaWallet.from_seed(bytearray(seed), role="payer")
    assert PAYER_SEED.hex() not in repr(payer())


_THEIR_OLD_CLIENT = pytest.mark.filterwarnings("ignore:.* is deprecated")
"""The official package uses classes that its own dependency is about to drop."""


def _official(requirements: PaymentRequirements) -> OfficialRequirements:
    return OfficialRequirements.model_validate(msgspec.to_builtins(requirements))


def _close(theirs: object) -> None:
    """The official package leaves its connections open."""
    clients: dict[str, Any] = getattr(theirs, "_clients")  # noqa: B009
    for client in clients.values():
        client._provider.session.close()


@_THEIR_OLD_CLIENT
async def test_the_official_client_pays_us(node: SolanaNode) -> None:
    """PyPI x402's own payment is settled by our facilitator."""
    asked = terms(node)
    client = OfficialClient(KeypairSigner(Keypair.from_seed(PAYER_SEED)), rpc_url=node.url)
    made = await asyncio.to_thread(client.create_payment_payload, _official(asked))
    _close(client)
    async with MemoryJournal() as journal:
        ours = facilitator(node, journal)
        settled = await ours.settle(payload_of(asked, made["transaction"]), asked)
        assert settled.success, settled
        assert node.tokens_of(PAYEE) == 10_000
        await ours.aclose()


@_THEIR_OLD_CLIENT
async def test_the_official_facilitator_accepts_our_payment(node: SolanaNode) -> None:
    """What we sign is verified, simulated and settled by PyPI x402's facilitator."""
    asked = terms(node)
    payment = await pay(node, asked)
    signer = FacilitatorKeypairSigner(Keypair.from_seed(FEE_SEED), rpc_url=node.url)
    theirs = OfficialFacilitator(signer)
    payload = OfficialPayload.model_validate(
        {
            "x402Version": 2,
            "accepted": msgspec.to_builtins(asked),
            "payload": msgspec.json.decode(payment.payload),
        }
    )
    verified = await asyncio.to_thread(theirs.verify, payload, _official(asked))
    assert verified.is_valid, verified
    settled = await asyncio.to_thread(theirs.settle, payload, _official(asked))
    assert settled.success, settled
    assert node.tokens_of(PAYEE) == 10_000
    _close(signer)

"""A payer, a seller and a facilitator on one Solana node."""

from __future__ import annotations

import msgspec
from solders.keypair import Keypair

from life.aios.ports.journal import Journal
from life.anima.custody.solana_wallet import SolanaWallet
from life.crypto.solana_transfer import with_signature
from life.haima.chain.json_rpc import JsonRpc
from life.haima.solana import exact
from life.haima.solana.facilitator import SolanaFacilitator
from life.haima.solana.rpc import SolanaRpc
from life.haima.x402.wire import PaymentPayload, PaymentRequirements, decode_payment, decode_requirements
from life.testing.clock import SeededEntropy
from tests.harness.solana_node import SolanaNode

NETWORK = exact.DEVNET
PAYER_SEED, FEE_SEED = bytes([3]) * 32, bytes([4]) * 32
PAYEE = str(Keypair.from_seed(bytes([5]) * 32).pubkey())


class InstantClock:
    """Sleeping is over at once and counts as time."""

    def __init__(self) -> None:
        self.us = 1_795_000_000_000_000

    def now_us(self) -> int:
        """The wall clock."""
        return self.us

    def monotonic_us(self) -> int:
        """The same."""
        return self.us

    async def sleep_us(self, duration_us: int) -> None:
        """Not really."""
        self.us += duration_us


def payer() -> SolanaWallet:
    """Who pays."""
    return SolanaWallet.from_seed(bytearray(PAYER_SEED), role="payer")


def fee_payer() -> SolanaWallet:
    """Who pays the chain's fees."""
    return SolanaWallet.from_seed(bytearray(FEE_SEED), role="fee_payer")


def prepare(node: SolanaNode, *, payer_holds: int = 1_000_000) -> None:
    """Money for the payer, an account for the payee, fees for the facilitator."""
    node.give_tokens(payer().address, payer_holds)
    node.give_tokens(PAYEE, 0)
    node.fund_lamports(fee_payer().address)


def facilitator(
    node: SolanaNode, journal: Journal, *, seed: str = "f", patience_us: int = 2_000_000
) -> SolanaFacilitator:
    """Ours."""
    return SolanaFacilitator(
        SolanaRpc(JsonRpc(node.url, timeout_s=2)),
        fee_payer(),
        journal,
        InstantClock(),
        SeededEntropy(seed),
        network=NETWORK,
        patience_us=patience_us,
    )


def terms(node: SolanaNode, amount: int = 10_000, **extra: str) -> PaymentRequirements:
    """What is asked."""
    document = {
        "scheme": "exact",
        "network": NETWORK,
        "amount": str(amount),
        "asset": node.mint,
        "payTo": PAYEE,
        "maxTimeoutSeconds": 60,
        "extra": {"feePayer": fee_payer().address, **extra},
    }
    return decode_requirements(msgspec.Raw(msgspec.json.encode(document)))


def payload_of(requirements: PaymentRequirements, transaction: str) -> PaymentPayload:
    """A payment header's content."""
    return decode_payment(
        msgspec.json.encode(
            {"x402Version": 2, "accepted": msgspec.to_builtins(requirements), "payload": {"transaction": transaction}}
        )
    )


async def pay(
    node: SolanaNode, requirements: PaymentRequirements, *, memo: bytes = b"0123456789abcdef"
) -> PaymentPayload:
    """A payment by our own client side."""
    rpc = SolanaRpc(JsonRpc(node.url, timeout_s=2))
    try:
        mint, block = await rpc.mint(requirements.asset), await rpc.latest_blockhash()
    finally:
        await rpc.aclose()
    wallet = payer()
    unsigned = exact.build_payment(
        requirements,
        payer=wallet.address,
        token_program=mint.program,
        decimals=mint.decimals,
        blockhash=block.hash,
        memo=memo,
    )
    signed = with_signature(unsigned, wallet.address, await wallet.sign_transfer(unsigned))
    return payload_of(requirements, exact.encode_transfer(signed))

"""Several facilitators as one: who is asked, and what is said of all of them."""

from __future__ import annotations

from life.haima.facilitator.by_network import FacilitatorByNetwork
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.x402 import codes, wire
from life.haima.x402.networks import LOCAL, SOLANA, SOLANA_DEVNET
from tests.haima.shop import OFFER, Shop


class _Forgetful:
    """Settles on Solana, remembers nothing, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = 0

    async def repeatable(self) -> bool:
        return False

    async def verify(self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements) -> wire.VerifyResponse:
        self.asked.append(requirements.network)
        return wire.VerifyResponse(is_valid=True)

    async def settle(
        self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
    ) -> wire.SettlementResponse:
        self.asked.append(requirements.network)
        return wire.SettlementResponse(success=True, transaction="t", network=requirements.network)

    async def supported(self) -> wire.SupportedResponse:
        kinds = tuple(
            wire.SupportedKind(x402_version=2, scheme="exact", network=name) for name in (SOLANA, SOLANA_DEVNET)
        )
        return wire.SupportedResponse(kinds=kinds, extensions=("its-own",), signers={"solana:*": ("a",)})

    async def aclose(self) -> None:
        self.closed += 1


async def test_each_network_has_its_own() -> None:
    """A payment goes to the facilitator of its network, and to none when there is none."""
    shop, other = Shop(), _Forgetful()
    await shop.fund()
    both = FacilitatorByNetwork({LOCAL: shop.facilitator.inner, SOLANA: other, SOLANA_DEVNET: other})
    payload = wire.decode_payment_signature(shop.pay(1))
    assert (await both.verify(payload, OFFER.requirements)).is_valid
    assert (await both.settle(payload, OFFER.requirements)).success
    assert other.asked == []
    for network in (SOLANA, SOLANA_DEVNET, "eip155:1"):
        terms = wire.PaymentRequirements(
            scheme="exact", network=network, amount="1", asset="x", pay_to="y", max_timeout_seconds=60
        )
        verified, settled = await both.verify(payload, terms), await both.settle(payload, terms)
        if network == "eip155:1":
            assert (verified.invalid_reason, settled.error_reason) == (codes.INVALID_NETWORK, codes.INVALID_NETWORK)
    assert other.asked == [SOLANA, SOLANA, SOLANA_DEVNET, SOLANA_DEVNET]
    await both.aclose()
    assert other.closed == 1, "once, although it has two networks"
    await shop.aclose()


async def test_what_they_settle_together() -> None:
    """All kinds, extensions and signers; that settlements repeat only when it holds for all."""
    shop, other = Shop(), _Forgetful()
    both = FacilitatorByNetwork({LOCAL: shop.facilitator.inner, SOLANA: other})
    alone = await shop.facilitator.inner.supported()
    together = await both.supported()
    assert {kind.network for kind in together.kinds if kind.x402_version == 2} == {LOCAL, SOLANA, SOLANA_DEVNET}
    assert REPEATABLE_SETTLEMENT in alone.extensions
    assert REPEATABLE_SETTLEMENT not in together.extensions
    assert "its-own" in together.extensions
    assert together.signers == {**alone.signers, "solana:*": ("a",)}
    assert not await both.repeatable()
    assert await FacilitatorByNetwork({LOCAL: shop.facilitator.inner}).repeatable()
    await shop.aclose()

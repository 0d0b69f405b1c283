"""Spec D row B: a USDC transfer on a chain, by an identity in Vault and a wallet in a PKCS#11 token, and settled."""

from __future__ import annotations

import pytest
from msgspec import Raw

from life.aios.ports.custody import TransferAuthorization
from life.anima.custody.split import SplitAnima
from life.anima.custody.tpm import TpmAnima
from life.anima.custody.vault_transit import VaultTransitAnima
from life.anima.custody.wallet_rules import WalletRequest, WalletRules
from life.anima.errors import PolicyDeniedError
from life.crypto import jws
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402 import exact
from life.haima.x402.price import make_offer, parse_price
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE
from tests.anima.custody.test_vault_transit import (
    Server,
    credential,
    server,
    settings,
    wallet_pin,
    wallet_settings,
)
from tests.haima.test_chain_evm import EvmBenches
from tests.harness.anvil import Anvil
from tests.harness.fixtures import chain, session_chain
from tests.harness.softhsm import SoftHsm

__all__ = ["chain", "server", "session_chain"]

NETWORK = "eip155:84532"
OFFER = make_offer(parse_price("$0.01", network=NETWORK), PAYEE)
TERMS = OFFER.requirements


def one_cent_only(request: WalletRequest) -> str | None:
    """The limit of this test's soul."""
    if isinstance(request, TransferAuthorization) and request.value_atomic <= 10_000:
        return None
    return "Over the limit of one cent."


@pytest.mark.part("anvil", "solc", "softhsm")
async def test_a_payment_by_vault_and_token_settles(chain: Anvil, server: Server, softhsm: SoftHsm) -> None:
    """Identity in Vault, wallet in a token, limits in front: the payment settles once on the chain, the money has moved,
    what is over the limit is never signed, and tokens of the same handle are the identity's."""
    server.make_key("payer")
    clock = SystemClock()
    auth = await VaultTransitAnima.open(settings(server, "payer"), credential(), clock=clock, entropy=SystemEntropy())
    wallet = await TpmAnima.enroll(
        wallet_settings(softhsm), wallet_pin(), clock=clock, rules=WalletRules(guard=one_cent_only)
    )
    handle = SplitAnima(auth, wallet)
    payer = handle.capabilities().wallet_address
    assert payer is not None
    chain.mint(payer, 1_000_000)
    benches = EvmBenches(chain)
    facilitator = SelfHostedFacilitator([benches.open(chain.url)], MemoryJournal(), clock, SystemEntropy())
    now_s = clock.now_us() // 1_000_000
    authorization = TransferAuthorization(
        network=NETWORK,
        asset=TERMS.asset,
        token_name="USDC",
        token_version="2",
        from_address=payer,
        to_address=PAYEE,
        value_atomic=10_000,
        valid_after_s=0,
        valid_before_s=now_s + 600,
        nonce=bytes(range(32)),
        reservation_id="reservation-1",
    )
    try:
        paid_before = chain.balance_of(PAYEE)
        payload = exact.build_payload(Raw(OFFER.raw), authorization, await handle.sign_authorization(authorization))
        again = exact.build_payload(Raw(OFFER.raw), authorization, await handle.sign_authorization(authorization))
        assert (await facilitator.verify(payload, TERMS)).is_valid
        settled = await facilitator.settle(payload, TERMS)
        assert settled.success, settled
        assert (await facilitator.settle(again, TERMS)).transaction == settled.transaction
        assert chain.balance_of(PAYEE) - paid_before == 10_000
        assert chain.balance_of(payer) == 990_000
        assert chain.authorizations_used(payer) == 1
        with pytest.raises(PolicyDeniedError):
            await handle.sign_authorization(authorization._replace(value_atomic=10_001))
        token = await handle.sign_token({"aud": "lago"})
        assert jws.verify(token, typ="JWT").signer.did == auth.capabilities().did
    finally:
        await facilitator.aclose()
        await benches.aclose()
        await handle.close()

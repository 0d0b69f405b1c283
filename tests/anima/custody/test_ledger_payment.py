"""Spec D row F: a USDC transfer on a chain, signed by the Ledger's protocol, and settled by our facilitator."""

from __future__ import annotations

import pytest
from msgspec import Raw

from life.aios.ports.custody import EvmTransaction, TransferAuthorization
from life.anima.custody.external_keys import ExternalKeysAnima
from life.anima.custody.hardware_wallet import HardwareWalletAnima, LedgerSettings
from life.anima.custody.ledger_transport import TcpTransport
from life.anima.custody.split import SplitAnima
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import UserRejectedError
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402 import exact
from life.haima.x402.price import make_offer, parse_price
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE
from tests.anima.custody.test_external_keys import AuthDevice
from tests.haima.test_chain_evm import EvmBenches
from tests.harness.anvil import Anvil
from tests.harness.fixtures import chain, session_chain
from tests.harness.ledger_emulator import LedgerEmulator

__all__ = ["chain", "session_chain"]

NETWORK = "eip155:84532"
OFFER = make_offer(parse_price("$0.01", network=NETWORK), PAYEE)
TERMS = OFFER.requirements
SECOND_ACCOUNT = "m/44'/60'/0'/0/1"


@pytest.mark.part("anvil", "solc")
async def test_a_payment_confirmed_on_the_device_settles(chain: Anvil) -> None:
    """The person sees recipient and amount and confirms; the payment settles once and the money has moved. What they
    refuse is never signed. A transaction that the device signed is mined, too."""
    clock = SystemClock()
    with LedgerEmulator() as ledger:
        wallet = await HardwareWalletAnima.open(
            TcpTransport(ledger.host, ledger.port), LedgerSettings(path=SECOND_ACCOUNT), clock=clock
        )
        auth = ExternalKeysAnima(AuthDevice(), None, backend="tpm", clock=clock, rules=WalletRules())
        handle = SplitAnima(auth, wallet)
        payer = handle.capabilities().wallet_address
        assert payer is not None
        chain.mint(payer, 1_000_000)
        benches = EvmBenches(chain)
        facilitator = SelfHostedFacilitator([benches.open(chain.url)], MemoryJournal(), clock, SystemEntropy())
        authorization = TransferAuthorization(
            network=NETWORK,
            asset=TERMS.asset,
            token_name="USDC",
            token_version="2",
            from_address=payer,
            to_address=PAYEE,
            value_atomic=10_000,
            valid_after_s=0,
            valid_before_s=clock.now_us() // 1_000_000 + 600,
            nonce=bytes(range(32)),
            reservation_id="reservation-1",
        )
        try:
            paid_before, own_before = chain.balance_of(PAYEE), chain.balance_of(payer)
            ledger.decision = "reject"
            with pytest.raises(UserRejectedError):
                await handle.sign_authorization(authorization)
            assert ledger.signatures == 0
            ledger.decision = "approve"
            payload = exact.build_payload(Raw(OFFER.raw), authorization, await handle.sign_authorization(authorization))
            again = exact.build_payload(Raw(OFFER.raw), authorization, await handle.sign_authorization(authorization))
            shown = ledger.shown[-1][1]["message"]
            assert (shown["to"].lower(), shown["value"]) == (PAYEE.lower(), 10_000)
            assert (await facilitator.verify(payload, TERMS)).is_valid
            settled = await facilitator.settle(payload, TERMS)
            assert settled.success, settled
            assert (await facilitator.settle(again, TERMS)).transaction == settled.transaction
            assert chain.balance_of(PAYEE) - paid_before == 10_000
            assert own_before - chain.balance_of(payer) == 10_000
            raw = await handle.sign_transaction(
                EvmTransaction(
                    chain_id=84532,
                    nonce=chain.transaction_count(payer),
                    max_priority_fee_per_gas_wei=10**9,
                    max_fee_per_gas_wei=3 * 10**10,
                    gas_limit=21_000,
                    to_address=PAYEE,
                    value_wei=10**15,
                    data=b"",
                )
            )
            mined = chain.wait_for_receipt(chain.rpc.text("eth_sendRawTransaction", "0x" + raw.hex()))
            assert mined["status"] == "0x1"
            assert str(mined["from"]).lower() == payer.lower()
        finally:
            await facilitator.aclose()
            await benches.aclose()
            await handle.close()

"""Taking a signed payment back before it lands (W06): on a real EVM node, and in the payer's books whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import httpx2
import msgspec
import pytest
from click.testing import CliRunner

from life.aios.errors import ConflictError, CustodyError, NotFoundError
from life.aios.ports.custody import TransferAuthorization
from life.anima.custody.in_process import InProcessAnima
from life.cli import haima_wallet
from life.haima.chain.cancelling import AuthorizationCanceller
from life.haima.chain.json_rpc import JsonRpc
from life.haima.errors import ChainRefusedError, ChainUnavailableError, OutcomeUnknownError
from life.haima.payer import Payer
from life.haima.x402 import wire
from life.haima.x402.driving import CONTEXT
from life.haima.x402.networks import LOCAL
from life.haima.x402.transport import AsyncPayingTransport
from life.host.clock import SystemClock
from life.host.haima_client import open_payer
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import _PAYER_KEY, PAYER, settle, sign
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import CrashError, FaultyJournal
from tests.haima.gas_custody import DevelopmentGasAccount
from tests.haima.payee import Payee
from tests.haima.payer_kit import AGENT, OPEN_POLICY, kinds, replayed, same_state, wallet
from tests.haima.test_chain_evm import EvmBenches
from tests.harness.anvil import ACCOUNTS, Anvil

Fate = Literal["cancelled", "used"]


class Token:
    """Says what the chain would say, one answer after the other."""

    def __init__(self, *answers: Fate | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []

    async def __call__(self, authorization: TransferAuthorization, signature: bytes) -> Fate:
        self.asked.append(signature)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@asynccontextmanager
async def doubtful(
    token: Token | None, journal: MemoryJournal | FaultyJournal | None = None, clock: ManualClock | None = None
) -> AsyncIterator[tuple[Payer, str, Callable[[], object]]]:
    """A payer with one payment in doubt: it, the payment's id, and buying the same again."""
    clock = clock or ManualClock()
    payee = Payee(now_s=lambda: clock.now_us() // 1_000_000)
    payee.faults = ["lose_before_settling"]

    async def used(network: str, asset: str, payer: str, nonce: bytes) -> Literal["used"]:
        return "used"

    payer = Payer(
        journal=journal or MemoryJournal(),
        custody=wallet(clock),
        clock=clock,
        entropy=SeededEntropy("cancelling"),
        agent_id=AGENT,
        policy=OPEN_POLICY,
        authorization_state=used,
        canceller=token,
        session_id="s",
    )
    await payer.open()
    transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:

        async def buy() -> int:
            return (await client.get("/paid", extensions={CONTEXT: {"purchase_id": "order-1"}})).status_code

        with pytest.raises(OutcomeUnknownError) as unknown:
            await buy()
        yield payer, str(unknown.value.details["payment_id"]), buy


async def test_a_cancelled_payment_is_given_back() -> None:
    """The intent is on disk before the chain is asked; then the amount is free and the purchase may be made anew."""
    journal, token = MemoryJournal(), Token("cancelled")
    async with doubtful(token, journal) as (payer, payment_id, buy):
        cancelled = await payer.cancel(payment_id)
        assert (cancelled.state, cancelled.reason) == ("released", "cancelled")
        state = payer.purse(LOCAL).state
        assert state.outstanding_micro == 0
        assert (await kinds(journal))[-2:] == ["PaymentCancelling", "PaymentReleased"]
        assert await buy() == 200  # type: ignore[misc]
        assert state.settled_micro == 50
        with pytest.raises(NotFoundError):
            await payer.cancel(payment_id)
        await payer.flush()
        assert same_state(state, await replayed(journal))
        await payer.aclose()


async def test_the_payee_was_quicker() -> None:
    """The authorization was used: the payment is booked."""
    async with doubtful(Token("used")) as (payer, payment_id, _):
        assert (await payer.cancel(payment_id)).state == "settled"
        assert payer.purse(LOCAL).state.settled_micro == 50
        await payer.aclose()


async def test_nobody_knows_yet() -> None:
    """A chain that does not answer leaves the payment open; a burnt nonce is not taken for a payment meanwhile, and the next
    reconciliation asks again."""
    token = Token(ChainUnavailableError("gone"), ChainUnavailableError("gone"), "cancelled")
    async with doubtful(token) as (payer, payment_id, _):
        with pytest.raises(ChainUnavailableError):
            await payer.cancel(payment_id)
        state = payer.purse(LOCAL).state
        assert (await payer.reconcile()).still_open == 1 and state.outstanding_micro == 50
        assert (await payer.reconcile()).released == 1 and state.outstanding_micro == 0
        assert len(set(token.asked)) == 1
        await payer.aclose()


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
async def test_every_crash_of_a_cancellation(place: int, when: str) -> None:
    """The process dies around the intent or the outcome: the next one finds the nonce burnt and does not book a payment."""
    inner, clock = MemoryJournal(), ManualClock()
    journal = FaultyJournal(inner)
    async with doubtful(Token("cancelled"), journal, clock) as (payer, payment_id, _):
        await payer.flush()
        journal.faults = [*["none"] * (place - 1), when]  # type: ignore[list-item]
        with pytest.raises(CrashError):
            await payer.cancel(payment_id)
    async with doubtful_again(inner, clock) as again:
        written = await kinds(inner)
        state = again.purse(LOCAL).state
        if "PaymentCancelling" in written:
            assert (state.settled_micro, state.outstanding_micro) == (0, 0)
        else:  # nothing was asked of the chain: a burnt nonce is a payment
            assert (state.settled_micro, state.outstanding_micro) == (50, 0)


@asynccontextmanager
async def doubtful_again(journal: MemoryJournal, clock: ManualClock) -> AsyncIterator[Payer]:
    """The next process, over a chain on which the nonce is burnt."""

    async def used(network: str, asset: str, payer: str, nonce: bytes) -> Literal["used"]:
        return "used"

    payer = Payer(
        journal=journal,
        custody=wallet(clock),
        clock=clock,
        entropy=SeededEntropy("again"),
        agent_id=AGENT,
        policy=OPEN_POLICY,
        authorization_state=used,
        canceller=Token("cancelled", "cancelled"),
    )
    async with payer:
        yield payer


async def test_what_can_not_be_cancelled() -> None:
    """Without a canceller, and for an id that is none."""
    async with doubtful(None) as (payer, payment_id, _):
        with pytest.raises(ConflictError):
            await payer.cancel(payment_id)
        with pytest.raises(NotFoundError):
            await payer.cancel("nothing")
        await payer.aclose()


# --- on a chain -------------------------------------------------------------------------------------------------------------


@pytest.mark.part("anvil", "solc")
async def test_on_an_evm_node(chain: Anvil) -> None:
    """A cancelled authorization can't be settled any more; cancelling again says the same and costs nothing; one that was used
    is used; a signature that is none is refused before any gas is spent."""
    benches, rpc, clock = EvmBenches(chain), JsonRpc(chain.url, timeout_s=5.0), SystemClock()
    try:
        bench = benches.bench()
        await bench.fund(PAYER, 50_000)
        custody = InProcessAnima.from_wallet_key(bytearray(_PAYER_KEY), clock=clock)
        gas = DevelopmentGasAccount(ACCOUNTS[7].key)
        cancel = AuthorizationCanceller(rpc, network=chain.network, gas_custody=gas, clock=clock)
        first, second, third = (bench.authorization(number) for number in (71, 72, 73))
        for _ in range(2):
            assert await cancel(first, await custody.sign_cancellation(first)) == "cancelled"
        assert len(gas.signed) == 1
        assert await bench.chain.check(first, sign(first)) is not None
        await settle(bench.chain, second, sign(second))
        assert await cancel(second, await custody.sign_cancellation(second)) == "used"
        with pytest.raises(ChainRefusedError):
            await cancel(third, await custody.sign_cancellation(second))
        with pytest.raises(ChainRefusedError):
            await cancel(third._replace(network="eip155:1"), b"")
        with pytest.raises(CustodyError):
            await custody.sign_cancellation(third._replace(from_address=ACCOUNTS[7].address))
        assert len(gas.signed) == 1
    finally:
        await rpc.aclose()
        await benches.aclose()


@pytest.mark.part("anvil", "solc")
def test_the_command(chain: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`haima wallet cancel` burns a payment in doubt on a node, and the books say so; a second time there is none."""
    chain.mint(PAYER, 1_000_000)
    key = "0x" + _PAYER_KEY.hex()
    payee = Payee(now_s=None)
    payee.requirements = msgspec.structs.replace(
        payee.requirements,
        network=chain.network,
        asset=chain.token,
        extra={"name": "USDC", "version": "2"},
    )
    payee.terms = wire.offer((payee.requirements,))
    payee.faults = ["lose_before_settling"]

    async def doubt() -> str:
        async with open_payer(tmp_path, key=key, network=chain.network) as payer:
            transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                with pytest.raises(OutcomeUnknownError) as unknown:
                    await client.get("/paid")
        return str(unknown.value.details["payment_id"])

    payment_id = asyncio.run(doubt())
    monkeypatch.setenv("HAIMA_PRIVATE_KEY", key)
    monkeypatch.setenv("HAIMA_GAS_KEY", ACCOUNTS[7].key)
    arguments = [payment_id, "--rpc", chain.url, "--network", chain.network, "--state", str(tmp_path), "--json"]
    done = CliRunner().invoke(haima_wallet.cancel, arguments)
    assert json.loads(done.stdout) == {"payment_id": payment_id, "state": "released"}, done.output
    monkeypatch.setenv("HAIMA_PRIVATE_KEY", key)  # keys are taken out of the environment
    again = CliRunner().invoke(haima_wallet.cancel, arguments)
    assert again.exit_code == 1 and "[life.not_found]" in again.stderr
    assert chain.balance_of(PAYER) == 1_000_000

"""A paying process dies at every point there is, in this process by exception and outside by SIGKILL; the next one repeats
the purchase. Nothing is paid twice, and nothing that was signed is forgotten (invariants 2, 3 and 5 of haima.md §8.7)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn

from life.haima import events
from life.haima.errors import AlreadyPaidError, OutcomeUnknownError
from life.haima.payer import Payer
from life.haima.x402 import exact, wire
from life.haima.x402.driving import CONTEXT
from life.haima.x402.networks import LOCAL
from life.haima.x402.transport import AsyncPayingTransport
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import CrashError, FaultyJournal
from tests.haima.payee import Payee
from tests.haima.payer_kit import ADDRESS, AGENT, KEY_HEX, OPEN_POLICY, finance_events, replayed, same_state, wallet


class Wire(httpx2.AsyncBaseTransport):
    """The line to the payee, on which the process can die before a paid request leaves or before its answer arrives."""

    def __init__(self, payee: Payee, crash: str) -> None:
        self._inner = httpx2.ASGITransport(payee)
        self._crash = crash

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Die once, when a payment is on board."""
        crash = self._crash if wire.PAYMENT_SIGNATURE in request.headers else ""
        if crash == "before_sending":
            raise CrashError
        response = await self._inner.handle_async_request(request)
        if crash == "before_the_answer":
            raise CrashError
        return response


def process(journal: FaultyJournal, payee: Payee, clock: ManualClock, seed: str, *, eager: bool, chain: bool) -> Payer:
    """A payer as a new process would make it."""
    return Payer(
        journal=journal,
        custody=wallet(clock),
        clock=clock,
        entropy=SeededEntropy(seed),
        agent_id=AGENT,
        policy=OPEN_POLICY,
        authorization_state=payee.chain if chain else None,
        session_id="s",
        ride_along_us=0 if eager else 10**12,
    )


async def buy(payer: Payer, payee: Payee, crash: str = "") -> int:
    """The purchase `order-1`; its status."""
    transport = AsyncPayingTransport(payer, Wire(payee, crash))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/paid", extensions={CONTEXT: {"purchase_id": "order-1"}})
        for _ in range(3):
            await asyncio.sleep(0)  # what rides along is under way
        return answer.status_code


CRASHES = [
    *(f"append-{number}-{when}" for number in range(1, 5) for when in ("before", "after")),
    "before_sending",
    "before_the_answer",
    "none",
]


@pytest.mark.parametrize("eager", [True, False], ids=["notes-at-once", "notes-never"])
@pytest.mark.parametrize("chain", [True, False], ids=["chain", "no-chain"])
@pytest.mark.parametrize("idempotent", [True, False], ids=["answers-again", "answers-once"])
@pytest.mark.parametrize("second", ["none", "before_the_answer", "append-1-before", "append-1-after"])
@pytest.mark.parametrize("first", CRASHES)
async def test_every_crash(first: str, second: str, idempotent: bool, chain: bool, eager: bool) -> None:
    """Two crashes at any points, then a quiet run: one charge at most, one signature for the purchase, and every payment
    that the payee saw stands in the journal. With a payee that answers again, or a chain to ask, the purchase ends."""
    inner, clock = MemoryJournal(), ManualClock()
    payee = Payee(idempotent=idempotent, now_s=lambda: clock.now_us() // 1_000_000)
    status = 0
    for number, crash in enumerate((first, second, "none")):
        journal = FaultyJournal(inner)
        if crash.startswith("append"):
            _, place, when = crash.split("-")
            journal.faults = ["none"] * (int(place) - 1)
            journal.faults.append("crash_before" if when == "before" else "crash_after")
        payer = process(journal, payee, clock, f"process-{number}", eager=eager, chain=chain)
        try:
            await payer.open()
            status = await buy(payer, payee, crash)
            if crash == "none":
                await payer.aclose()
        except CrashError:
            pass
        except (OutcomeUnknownError, AlreadyPaidError):
            await _close(payer)
        clock.advance_us(1_000_000)
        journal.dead = True

    assert payee.charged <= 50
    assert len(set(payee.presented)) <= 1, "never two signatures for one purchase"
    written = await finance_events(inner)
    reserved = {event.nonce for event in written if isinstance(event, events.PaymentReserved)}
    for header in payee.presented:
        signed = exact.parse_exact(wire.decode_payment_signature(header), payee.requirements)
        assert signed.key.rpartition("|")[2] in reserved, "never a lost reservation"
    state = await replayed(inner)
    assert state.outstanding_micro + state.settled_micro >= payee.charged
    if idempotent:
        assert status == 200 and payee.charged == 50 and state.settled_micro == 50
    elif chain:
        assert state.settled_micro == payee.charged
    clock.advance_us(10**12)
    later = process(FaultyJournal(inner), payee, clock, "later", eager=eager, chain=False)
    await later.open()
    await later.flush()
    state = await replayed(inner)
    assert same_state(later.purse(LOCAL).state, state)
    assert state.outstanding_micro + state.settled_micro >= payee.charged, "what was charged counts for ever"


async def _close(payer: Payer) -> None:
    try:
        await payer.aclose()
    except CrashError:
        pass


async def test_a_refusal_of_the_past_says_nothing_about_the_next_time() -> None:
    """Refused once, then sent again and settled, and the process died before the answer: without a chain the payment keeps
    counting for ever, because on disk it was sent again after it was refused."""
    inner, clock = MemoryJournal(), ManualClock()
    payee = Payee(now_s=lambda: clock.now_us() // 1_000_000)
    payee.faults = ["refuse"]
    journal = FaultyJournal(inner)
    payer = process(journal, payee, clock, "first", eager=False, chain=False)
    await payer.open()
    assert await buy(payer, payee) == 402
    await payer.flush()
    with pytest.raises(CrashError):
        await buy(payer, payee, "before_the_answer")
    journal.dead = True
    assert payee.charged == 50

    clock.advance_us(10**12)
    later = process(FaultyJournal(inner), payee, clock, "second", eager=False, chain=False)
    await later.open()
    assert later.purse(LOCAL).state.outstanding_micro == 50
    with pytest.raises(OutcomeUnknownError):
        await buy(later, payee)
    asking = process(FaultyJournal(inner), payee, clock, "third", eager=False, chain=True)
    await asking.open()
    assert asking.purse(LOCAL).state.settled_micro == 50
    await asking.aclose()


# --- outside --------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(payee: Payee) -> AsyncIterator[str]:
    """The payee on a loopback port."""
    config = uvicorn.Config(payee, port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


PAYING_PROCESS = textwrap.dedent(
    """
    import asyncio, os, sys, time
    import httpx2
    from life.anima.custody.in_process import InProcessAnima
    from life.haima.errors import OutcomeUnknownError
    from life.haima.payer import Payer
    from life.haima.policy import PaymentPolicy
    from life.haima.x402.transport import AsyncPayingTransport
    from life.lago.journal.sqlite import SqliteJournal

    class Clock:
        now_us = staticmethod(lambda: time.time_ns() // 1000)
        monotonic_us = staticmethod(lambda: time.monotonic_ns() // 1000)
        async def sleep_us(self, duration_us):
            await asyncio.sleep(duration_us / 1e6)

    class Entropy:
        token_bytes = staticmethod(os.urandom)

    async def main(path, url, key, first, count, cap):
        clock = Clock()
        custody = InProcessAnima.from_wallet_key(bytearray.fromhex(key), clock=clock)
        policy = PaymentPolicy(max_tx_per_minute=10**9, session_spend_cap_micro=10**12, total_cap_micro=int(cap))
        async with SqliteJournal.open(path, clock=clock, verify=False) as journal:
            async with Payer(
                journal=journal, custody=custody, clock=clock, entropy=Entropy(), agent_id="agent", policy=policy
            ) as payer:
                async with httpx2.AsyncClient(transport=AsyncPayingTransport(payer), timeout=20) as client:
                    print("ready", flush=True)
                    for number in range(int(first), int(first) + int(count)):
                        context = {"purchase_id": f"order-{number}"}
                        try:
                            answer = await client.get(url + f"/paid?{number}", extensions={"life": context})
                            print(number, answer.status_code, flush=True)
                        except OutcomeUnknownError:
                            print(number, "unknown", flush=True)
                        except Exception as error:
                            print(number, getattr(error, "code", repr(error)), flush=True)

    asyncio.run(main(*sys.argv[1:]))
    """
)


def paying_process(path: Path, url: str, *, first: int, count: int, cap: int = 10**12) -> subprocess.Popen[str]:
    """A process that buys `order-<first>` and the following."""
    return subprocess.Popen(
        [sys.executable, "-c", PAYING_PROCESS, str(path), url, KEY_HEX, str(first), str(count), str(cap)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_killed_again_and_again(tmp_path: Path) -> None:
    """A paying process is killed at ever other moments, restarted, and repeats its purchases: at the end each of them is
    charged and delivered exactly once."""
    path = tmp_path / "journal.db"
    payee = Payee(now_s=None)
    orders = 0
    async with serving(payee) as url:
        # Until a kill has hit between a payment and its booking, so that one was presented again: usually at once.
        while orders < 12 * 25 and len(payee.presented) == len(set(payee.presented)):
            await _kill_and_finish(path, url, first=orders, count=12)
            orders += 12
    assert len(payee.settled) == orders == len(set(payee.presented)) < len(payee.presented)
    assert set(payee.executions.values()) == {1}
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        state = await replayed(journal)
        assert (state.settled_micro, state.outstanding_micro) == (50 * orders, 0)


async def _kill_and_finish(path: Path, url: str, *, first: int, count: int) -> None:
    """Fourteen lives that are cut short, and a last one that is not."""
    for life in range(14):
        process_ = paying_process(path, url, first=first, count=count)
        assert process_.stdout is not None
        try:
            await asyncio.to_thread(process_.stdout.readline)
            await asyncio.sleep(0.0015 * (life * 7 % 11) * (1 + first / (4 * count)))  # later on a busy machine
            process_.send_signal(signal.SIGKILL)
        finally:
            await asyncio.to_thread(process_.communicate)
    last = paying_process(path, url, first=first, count=count)
    output, _ = await asyncio.to_thread(last.communicate)
    assert output.split("\n")[1 : count + 1] == [f"{number} 200" for number in range(first, first + count)]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_four_processes_share_one_cap(tmp_path: Path) -> None:
    """Four processes hammer one wallet with a lifetime cap for 21 payments: 21 pass, whatever the interleaving."""
    path = tmp_path / "journal.db"
    payee = Payee(now_s=None)
    async with serving(payee) as url:
        started = [paying_process(path, url, first=100 * number, count=16, cap=50 * 21) for number in range(4)]
        outputs = [(await asyncio.to_thread(each.communicate))[0] for each in started]
    lines = [line.split(" ", 1)[1] for output in outputs for line in output.splitlines()[1:]]
    assert lines.count("200") == 21 and lines.count("haima.total_cap") == 43, lines
    assert payee.charged == 50 * 21
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        state = await replayed(journal)
        assert (state.settled_micro, state.outstanding_micro) == (50 * 21, 0)


def test_the_wallet_of_these_tests() -> None:
    """The child processes use the same public development key."""
    assert wallet(ManualClock()).capabilities().wallet_address == ADDRESS

"""The paying transports over real HTTP on loopback: httpx2 and httpx, asynchronous and synchronous."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import httpx2
import pytest
import uvicorn

from life.aios.errors import JournalUnavailableError, UnavailableError
from life.haima.errors import OutcomeUnknownError, PolicyDeniedError, UnrepeatableRequestError
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402 import httpx_transport, transport
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.driving import CONTEXT, RECEIPT
from life.haima.x402.networks import LOCAL
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import FaultyJournal
from tests.haima.payee import Payee
from tests.haima.payer_kit import AGENT, OPEN_POLICY, kinds, paying, replayed, wallet


class LoopClock(ManualClock):
    """A clock that stands still, and whose sleepers wake in real time: for timers that must fire by themselves."""

    async def sleep_us(self, duration_us: int) -> None:
        """Sleep for real."""
        await asyncio.sleep(duration_us / 1_000_000)


@contextmanager
def serving(payee: Callable[..., object]) -> Iterator[str]:
    """The payee on a loopback port, in a thread of its own."""
    server = uvicorn.Server(uvicorn.Config(payee, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def payee() -> Payee:
    """A payee that checks windows against the standing clock."""
    return Payee(now_s=lambda: ManualClock().now_us() // 1_000_000)


def building(
    journal: MemoryJournal | FaultyJournal, policy: PaymentPolicy = OPEN_POLICY
) -> Callable[[Callable[[], None]], object]:
    """What a BlockingPayer builds inside its loop."""

    @asynccontextmanager
    async def build(wake: Callable[[], None]) -> AsyncIterator[Payer]:
        clock = LoopClock()
        payer = Payer(
            journal=journal,
            custody=wallet(clock),
            clock=clock,
            entropy=SeededEntropy("sync"),
            agent_id=AGENT,
            policy=policy,
            session_id="s",
            wake=wake,
        )
        async with payer:
            yield payer

    return build


async def test_async_clients_of_both_libraries(payee: Payee) -> None:
    """Method, body and headers twice, one charge, a receipt, a streamed answer."""
    with serving(payee) as url:
        async with paying(payee=payee) as kit:
            async with httpx2.AsyncClient(transport=transport.AsyncPayingTransport(kit.payer)) as client:
                async with client.stream("POST", f"{url}/paid", content=b"q" * 100_000) as answer:
                    parts = [part async for part in answer.aiter_raw()]
                assert b"".join(parts) == b"goods" + b"q" * 100_000
                assert answer.extensions[RECEIPT].state == "settled"
            async with httpx.AsyncClient(transport=httpx_transport.AsyncPayingTransport(kit.payer)) as client1:
                answer1 = await client1.put(f"{url}/paid", json={"a": 1}, headers={"X-A": "b"})
                assert answer1.content == b'goods{"a":1}' and answer1.extensions[RECEIPT].state == "settled"
        assert payee.charged == 100
        first, second = payee.requests[-2:]
        assert first[0] == second[0] == "PUT" and first[3]["x-a"] == second[3]["x-a"] == "b"


def test_sync_clients_of_both_libraries(payee: Payee) -> None:
    """The same from synchronous code, through one blocking payer."""
    journal = MemoryJournal()
    with serving(payee) as url, BlockingPayer(building(journal)) as payer:  # type: ignore[arg-type]
        with httpx2.Client(transport=transport.PayingTransport(payer)) as client:
            with client.stream("POST", f"{url}/paid", content=iter([b"a", b"b"])) as answer:
                assert b"".join(answer.iter_bytes()) == b"goodsab"
            assert answer.extensions[RECEIPT].amount_micro == 50
        with httpx.Client(transport=httpx_transport.PayingTransport(payer)) as client1:
            assert client1.get(f"{url}/free").text == "free"
            assert client1.get(f"{url}/paid").text == "goods"
    assert payee.charged == 100
    state = asyncio.run(_replayed(journal))
    assert state == (100, 0)


async def _replayed(journal: MemoryJournal) -> tuple[int, int]:
    state = await replayed(journal)
    return state.settled_micro, state.outstanding_micro


def test_a_sync_client_streams_a_body_once_only(payee: Payee) -> None:
    """A body longer than what is kept is sent, and refused when it should be paid for."""
    with serving(payee) as url, BlockingPayer(building(MemoryJournal())) as payer:  # type: ignore[arg-type]
        for library in (httpx2, httpx):
            kind = transport.PayingTransport if library is httpx2 else httpx_transport.PayingTransport
            with library.Client(transport=kind(payer, max_body_bytes=3)) as client:
                assert client.post(f"{url}/free", content=iter([b"ab", b"cd"])).text == "free"
                assert payee.requests[-1][2] == b"abcd"
                with pytest.raises(UnrepeatableRequestError):
                    client.post(f"{url}/paid", content=iter([b"ab", b"cd"]))
    assert payee.presented == []


def test_many_threads_never_exceed_the_cap(payee: Payee) -> None:
    """Eight threads, forty calls, room for twelve: twelve are paid, the others are told why not."""
    policy = PaymentPolicy(max_tx_per_minute=10**6, session_spend_cap_micro=50 * 12)
    outcomes: list[str] = []
    with serving(payee) as url, BlockingPayer(building(MemoryJournal(), policy)) as payer:  # type: ignore[arg-type]
        with httpx2.Client(transport=transport.PayingTransport(payer)) as client, ThreadPoolExecutor(8) as threads:

            def call(_: int) -> str:
                try:
                    return str(client.get(f"{url}/paid").status_code)
                except PolicyDeniedError as error:
                    return error.verdict

            outcomes = list(threads.map(call, range(40)))
    assert outcomes.count("200") == 12 and outcomes.count("session_cap") == 28
    assert payee.charged == 50 * 12


async def test_a_sync_client_inside_a_running_loop(payee: Payee) -> None:
    """A synchronous client in asynchronous code works: the payer's loop runs in a thread then."""
    with serving(payee) as url, BlockingPayer(building(MemoryJournal())) as payer:  # type: ignore[arg-type]
        with httpx2.Client(transport=transport.PayingTransport(payer)) as client:
            assert client.get(f"{url}/paid").text == "goods"
            assert payer.run(payer.payer.find("nothing")) is None


def test_notes_are_stored_without_further_calls(payee: Payee) -> None:
    """The keeper stores what rides along, soon, though no call comes."""
    journal = MemoryJournal()
    with serving(payee) as url, BlockingPayer(building(journal)) as payer:  # type: ignore[arg-type]
        with httpx2.Client(transport=transport.PayingTransport(payer)) as client:
            client.get(f"{url}/paid")
        for _ in range(400):
            if "PaymentSettled" in payer.run(kinds(journal)):
                break
            threading.Event().wait(0.005)
        else:
            pytest.fail("the settlement was not stored")


def test_closing_stores_what_waits_and_ends_everything(payee: Payee) -> None:
    """After `close` the books are complete, the loop is closed, its thread is gone, and calls are refused."""
    journal = MemoryJournal()
    before = threading.active_count()
    with serving(payee) as url:
        payer = BlockingPayer(building(journal))  # type: ignore[arg-type]
        with httpx2.Client(transport=transport.PayingTransport(payer)) as client:
            client.get(f"{url}/paid")
            payer.close()
            payer.close()
            with pytest.raises(UnavailableError):
                client.get(f"{url}/paid")
            with pytest.raises(UnavailableError):
                payer.flush()
    assert threading.active_count() == before
    assert asyncio.run(kinds(journal)) == ["PaymentReserved", "PaymentSettled"]


def test_a_journal_that_fails_while_closing(payee: Payee) -> None:
    """What can't be stored is raised by `close`, and everything is closed all the same."""
    journal = FaultyJournal()
    payer = BlockingPayer(building(journal))  # type: ignore[arg-type]
    with serving(payee) as url, httpx2.Client(transport=transport.PayingTransport(payer)) as client:
        client.get(f"{url}/paid")
        journal.faults = ["before"] * 50
        with pytest.raises(JournalUnavailableError):
            payer.close()
    with pytest.raises(UnavailableError):
        payer.flush()


def test_what_build_raises_is_raised() -> None:
    """A payer that can't be made says why, and leaves no thread behind."""
    before = threading.active_count()

    @asynccontextmanager
    async def build(wake: Callable[[], None]) -> AsyncIterator[Payer]:
        async with SqliteJournal.open("/no/such/folder/journal.db", clock=ManualClock()):
            yield pytest.fail("opened")

    with pytest.raises(JournalUnavailableError):
        BlockingPayer(build)
    assert threading.active_count() == before


def test_the_durable_journal_behind_a_sync_client(tmp_path: Path, payee: Payee) -> None:
    """The journal on disk is opened and closed inside the payer's own loop, and holds everything afterwards."""
    path = tmp_path / "journal.db"

    @asynccontextmanager
    async def build(wake: Callable[[], None]) -> AsyncIterator[Payer]:
        clock = LoopClock()
        async with (
            SqliteJournal.open(path, clock=clock) as journal,
            Payer(
                journal=journal,
                custody=wallet(clock),
                clock=clock,
                entropy=SeededEntropy(),
                agent_id=AGENT,
                policy=OPEN_POLICY,
                wake=wake,
            ) as payer,
        ):
            yield payer

    with serving(payee) as url, BlockingPayer(build) as payer:
        with httpx2.Client(transport=transport.PayingTransport(payer)) as client:
            for _ in range(5):
                assert client.get(f"{url}/paid").status_code == 200
            assert payer.reconcile() == (0, 0, 0)

    async def check() -> tuple[int, int]:
        async with SqliteJournal.open(path, clock=ManualClock()) as journal:
            state = await replayed(journal)
            return state.settled_micro, state.outstanding_micro

    assert asyncio.run(check()) == (250, 0)


def test_a_lost_answer_in_a_sync_client(payee: Payee) -> None:
    """The connection breaks after the payment was taken: unknown, and finished by the next equal call."""
    with serving(payee) as url, BlockingPayer(building(MemoryJournal())) as payer:  # type: ignore[arg-type]
        with httpx2.Client(transport=transport.PayingTransport(payer)) as client:
            payee.faults = ["http_500"]
            with pytest.raises(OutcomeUnknownError):
                client.get(f"{url}/paid", extensions={CONTEXT: {"purchase_id": "p"}})
            payee.faults = ["lose_answer"]
            with pytest.raises(OutcomeUnknownError):
                client.get(f"{url}/paid", extensions={CONTEXT: {"purchase_id": "p"}})
            assert client.get(f"{url}/paid", extensions={CONTEXT: {"purchase_id": "p"}}).text == "goods"
    assert payee.charged == 50 and len(set(payee.presented)) == 1


async def test_a_server_that_is_gone(payee: Payee) -> None:
    """Between the terms and the payment the server goes away: nothing left, so nothing is held."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    class Vanishing(httpx2.AsyncBaseTransport):
        def __init__(self) -> None:
            self.here: httpx2.AsyncBaseTransport = httpx2.ASGITransport(payee)
            self.gone = httpx2.AsyncHTTPTransport()

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            line, self.here = self.here, self.gone
            return await line.handle_async_request(request)

        async def aclose(self) -> None:
            await self.gone.aclose()

    async with paying(payee=payee) as kit:
        async with httpx2.AsyncClient(transport=transport.AsyncPayingTransport(kit.payer, Vanishing())) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get(f"http://127.0.0.1:{port}/paid")
        assert kit.payer.purse(LOCAL).state.outstanding_micro == 0


async def test_connections_are_reused_after_a_402(payee: Payee) -> None:
    """The 402's body is read, so that the paid request goes over the same connection."""
    with serving(payee) as url:
        async with paying(payee=payee) as kit:
            inner = httpx2.AsyncHTTPTransport()
            async with httpx2.AsyncClient(transport=transport.AsyncPayingTransport(kit.payer, inner)) as client:
                for _ in range(3):
                    await client.get(f"{url}/paid")
                opened = len(inner._pool.connections)
    assert opened == 1

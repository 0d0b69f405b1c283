"""SomaCustody over a real socket: the conformance suite, and what can go wrong on the way."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from life.aios.ports.custody import Custody, SaleOffer, SaleReceipt
from life.anima.custody.soma.client import SomaCustody
from life.anima.custody.soma.key_store import SomaKeyStore
from life.anima.custody.soma.protocol import HEADER_BYTES, AgentFacts, Provision, Reply, decode_request, encode, frame
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import (
    BadSignatureError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    InsecureFileError,
    PolicyDeniedError,
    StaleHandleError,
    UnsupportedOperationError,
)
from life.anima.events import CustodyDenied, CustodySigned
from life.anima.key_source import RawKey
from life.crypto.address import format_address
from life.crypto.sale_documents import offer_digest
from life.crypto.secp256k1 import recover_address
from life.testing.clock import START_US, ManualClock, SeededEntropy
from life.testing.custody import CustodyBench, CustodySuite
from tests.anima.custody.requests import payment
from tests.anima.custody.soma.oracle import Oracle, rule, running_oracle, uncounted, write_policy

OTHER_DID = "did:key:zDnaeh1Xuzt2zXCZUYDU7cbTGqnXSDiXb7op6rbf13zvauj7w"


async def opened(oracle: Oracle, **members: object) -> SomaCustody:
    """A handle of alice."""
    return await SomaCustody.open(oracle.socket, "alice", clock=ManualClock(), **members)  # type: ignore[arg-type]


class TestSomaCustody(CustodySuite):
    """The whole suite, over the socket."""

    @pytest.fixture
    async def bench(self, tmp_path: Path) -> AsyncIterator[CustodyBench]:
        """Handles of alice at a fixed time, of a daemon whose own limits are wide."""
        handles: list[SomaCustody] = []
        wide = {"require_reservation": False, "max_validity_s": 7200}
        async with running_oracle(tmp_path / "soma", judge_of=uncounted, agent=wide) as oracle:

            async def open_handle(rules: WalletRules) -> Custody:
                made = await opened(oracle, rules=rules)
                handles.append(made)
                return made

            async def close(handle: Custody) -> None:
                assert isinstance(handle, SomaCustody)
                await handle.close()

            yield CustodyBench(
                open=open_handle,
                close=close,
                now_s=lambda: START_US // 1_000_000,
                backend="soma",
                wallet_signatures=lambda: sum(
                    line.count(b'"kind":"signed"') - line.count(b'"op":"sign_token"')
                    for line in (oracle.folder / "store" / "audit-000001.jsonl").read_bytes().splitlines()
                ),
            )
            for handle in handles:
                await handle.close()


@pytest.fixture
async def oracle(tmp_path: Path) -> AsyncIterator[Oracle]:
    """A daemon with the agent alice."""
    async with running_oracle(tmp_path / "soma") as found:
        yield found


async def test_a_handle_is_of_the_identity_that_is_asked_for(oracle: Oracle) -> None:
    """A handle opens for the agent's DID, and for no other."""
    did = (await oracle.identity()).did
    handle = await opened(oracle, did=did)
    assert handle.capabilities().did == did
    await handle.close()
    with pytest.raises(StaleHandleError):
        await opened(oracle, did=OTHER_DID)


async def test_offers_receipts_and_cancellations_are_signed(oracle: Oracle) -> None:
    """What a seller says of its sales recovers to the wallet."""
    handle = await opened(oracle)
    offer = SaleOffer("https://x/", "exact", "eip155:84532", "0x12", "0x34", "1", START_US // 1_000_000)
    signature = await handle.sign_sale_document(offer)
    address = format_address(recover_address(offer_digest(**offer._asdict()), signature))
    assert address == handle.capabilities().wallet_address
    receipt = SaleReceipt("eip155:84532", "https://x/", "0x12", 1, "")
    assert len(await handle.sign_sale_document(receipt)) == 65
    unused = payment(handle)
    assert len(await handle.sign_cancellation(unused)) == 65
    assert await handle.sign_cancellation(unused) != await handle.sign_authorization(unused)
    await handle.close()


async def test_only_what_the_policy_offers_is_listed(tmp_path: Path) -> None:
    """A caller who may only have tokens signed sees a handle without wallet, and can't open another agent at all."""
    async with running_oracle(tmp_path / "soma", allow=[rule(operations=["sign_token"])]) as oracle:
        handle = await opened(oracle)
        assert handle.capabilities().operations == {"sign_token"}
        assert handle.capabilities().wallet_address is None
        assert await handle.sign_token({})
        with pytest.raises(UnsupportedOperationError):
            await handle.sign_message(b"")
        with pytest.raises(UnsupportedOperationError):
            await handle.sign_sale_document(SaleReceipt("eip155:1", "", "", 1, ""))
        await handle.close()
        with pytest.raises(PolicyDeniedError):
            await SomaCustody.open(oracle.socket, "bob", clock=ManualClock())


async def test_a_revoked_permission_counts_at_once(oracle: Oracle) -> None:
    """A rule that is taken out of the file refuses the next request of an open handle; other ones go on."""
    handle = await opened(oracle)
    await handle.sign_message(b"before")
    write_policy(oracle.policy_file, allow=[rule(operations=["sign_token"])])
    with pytest.raises(PolicyDeniedError):
        await handle.sign_message(b"after")
    assert await handle.sign_token({})
    await handle.close()


async def test_signatures_are_reported(oracle: Oracle) -> None:
    """An observer sees what was signed and what was refused."""
    seen: list[CustodySigned | CustodyDenied] = []
    handle = await opened(oracle, observer=seen.append)
    await handle.sign_token({})
    await handle.sign_authorization(payment(handle, reservation_id="res-1"))
    with pytest.raises(PolicyDeniedError):
        await handle.sign_authorization(payment(handle, value_atomic=10**12))
    assert [type(event).__name__ for event in seen] == ["CustodySigned", "CustodySigned", "CustodyDenied"]
    assert isinstance(seen[1], CustodySigned)
    assert (seen[1].backend, seen[1].request_id) == ("soma", "res-1")
    await handle.close()


async def test_without_an_oracle_there_is_one_clear_error(tmp_path: Path) -> None:
    """No socket, a file in its place, nobody behind it."""
    tmp_path.chmod(0o755)
    path = tmp_path / "somad.sock"
    with pytest.raises(CustodyUnavailableError, match="no oracle"):
        await SomaCustody.open(path, "alice", clock=ManualClock())
    path.write_text("")
    with pytest.raises(InsecureFileError, match="not a socket"):
        await SomaCustody.open(path, "alice", clock=ManualClock())
    path.unlink()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    path.chmod(0o660)
    with pytest.raises(CustodyUnavailableError, match="Nobody listens"):
        await SomaCustody.open(path, "alice", clock=ManualClock())


async def test_a_socket_that_anybody_could_have_made_is_not_used(oracle: Oracle) -> None:
    """Open to all, in a folder open to all, or of a stranger: nothing is asked there."""
    oracle.socket.chmod(0o666)
    with pytest.raises(InsecureFileError, match="open to every user"):
        await opened(oracle)
    oracle.socket.chmod(0o660)
    oracle.folder.chmod(0o777)
    with pytest.raises(InsecureFileError, match="Any user could"):
        await opened(oracle)
    oracle.folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(oracle.socket, 12345, -1)
        with pytest.raises(InsecureFileError, match="does not own"):
            await opened(oracle)


async def test_the_daemon_may_be_started_again(tmp_path: Path) -> None:
    """A handle survives its daemon: calls fail while nobody listens, and work when the same keys are there again."""
    async with running_oracle(tmp_path / "soma") as oracle:
        handle = await opened(oracle)
        first = await handle.sign_message(b"x")
    with pytest.raises(CustodyUnavailableError):
        await handle.sign_message(b"x")
    async with running_oracle(tmp_path / "soma"):
        assert await handle.sign_message(b"x") == first
    await handle.close()


async def test_other_keys_behind_the_same_socket_are_an_alarm(tmp_path: Path) -> None:
    """After a new connection the keys are compared, and strange ones are asked nothing (AN-SOM-2)."""
    async with running_oracle(tmp_path / "soma") as oracle:
        handle = await opened(oracle)
    (tmp_path / "soma" / "store").rename(tmp_path / "soma" / "old")
    store = SomaKeyStore.open(
        tmp_path / "soma" / "store",
        key_store_source(),
        clock=ManualClock(),
        entropy=SeededEntropy("another"),
    )
    await store.provision(Provision(agent="alice"))
    store.close()
    async with running_oracle(tmp_path / "soma"):
        with pytest.raises(StaleHandleError, match="other keys"):
            await handle.sign_message(b"x")
    await handle.close()


def key_store_source() -> RawKey:
    """The key of the tests' stores."""
    return RawKey(bytearray(b"k" * 32))


class FalseOracle:
    """A server that says what a test tells it to, on a socket that looks right."""

    def __init__(self, path: Path, facts: AgentFacts) -> None:
        self.path = path
        self.facts = facts
        self.answer: Reply | bytes | None = None
        self.asked = asyncio.Event()

    async def __aenter__(self) -> FalseOracle:
        self._server = await asyncio.start_unix_server(self._serve, path=str(self.path))
        self.path.chmod(0o660)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(HEADER_BYTES), "big")
                request = decode_request(await reader.readexactly(length))
                if type(request).__name__ == "Describe":
                    writer.write(frame(encode(Reply(id=request.id, agents=(self.facts,)))))
                    continue
                self.asked.set()
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                elif self.answer is not None:
                    writer.write(
                        frame(encode(Reply(id=request.id, signature=self.answer.signature, token=self.answer.token)))
                    )
                else:
                    continue
                if self.answer == b"":
                    return
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


@pytest.fixture
async def facts(oracle: Oracle) -> AgentFacts:
    """Alice's public names."""
    identity = await oracle.identity()
    return AgentFacts(
        agent="alice",
        did=identity.did,
        wallet_address=identity.wallet.address,
        chain=identity.wallet.chain,
        operations=("sign_message", "sign_token"),
    )


async def test_a_lying_oracle_gives_nothing_away(oracle: Oracle, facts: AgentFacts) -> None:
    """A signature of something else, by somebody else, of the wrong form, or none: none of them gets out."""
    honest = await opened(oracle)
    other = await honest.sign_message(b"another message")
    other_token = await honest.sign_token({"n": 2})
    async with FalseOracle(oracle.folder / "false.sock", facts) as liar:
        handle = await SomaCustody.open(liar.path, "alice", clock=ManualClock())
        for signature, error in (
            (other, BadSignatureError),
            (bytes(65), BadSignatureError),
            (other[:64], CustodyProtocolError),
            (None, CustodyProtocolError),
        ):
            liar.answer = Reply(id=0, signature=signature, token="")
            with pytest.raises(error):
                await handle.sign_message(b"hello")
        good = await honest.sign_token({"n": 1})
        for token in (other_token, "", "a.b.c", good[:-2] + "AA", good.rpartition(".")[0] + "."):
            liar.answer = Reply(id=0, token=token)
            with pytest.raises((CustodyProtocolError, BadSignatureError)):
                await handle.sign_token({"n": 1})
        liar.answer = frame(b"not json")
        with pytest.raises(CustodyProtocolError):
            await handle.sign_token({"n": 1})
        liar.answer = b"\xff\xff\xff\xff"
        with pytest.raises(CustodyProtocolError):
            await handle.sign_token({"n": 1})
        await handle.close()
    await honest.close()


async def test_a_connection_that_ends_mid_call_says_so(oracle: Oracle, facts: AgentFacts) -> None:
    """Every call that waits gets the error, none hangs, and the next call connects again."""
    async with FalseOracle(oracle.folder / "false.sock", facts) as liar:
        handle = await SomaCustody.open(liar.path, "alice", clock=ManualClock())
        liar.answer = b""
        results = await asyncio.gather(handle.sign_message(b"1"), handle.sign_message(b"2"), return_exceptions=True)
        assert all(isinstance(result, CustodyUnavailableError) for result in results)
        assert "not known" in str(results[0])
        liar.answer = Reply(id=0, token="")
        with pytest.raises(CustodyProtocolError):
            await handle.sign_token({})
        await handle.close()


async def test_an_oracle_that_does_not_answer_is_not_waited_for(oracle: Oracle, facts: AgentFacts) -> None:
    """The deadline of a call is an error that says the outcome is unknown; closing ends calls that wait."""
    async with FalseOracle(oracle.folder / "false.sock", facts) as liar:
        handle = await SomaCustody.open(liar.path, "alice", clock=ManualClock(), timeout_s=0.1)
        with pytest.raises(CustodyTimeoutError, match="not known"):
            await handle.sign_message(b"1")
        slow = await SomaCustody.open(liar.path, "alice", clock=ManualClock())
        liar.asked.clear()
        waiting = asyncio.create_task(slow.sign_message(b"1"))
        await liar.asked.wait()
        await slow.close()
        with pytest.raises(StaleHandleError):
            await waiting
        await handle.close()


async def test_unknown_refusals_are_not_believed_to_be_signatures(oracle: Oracle, facts: AgentFacts) -> None:
    """An error code of a later version is still an error."""
    async with FalseOracle(oracle.folder / "false.sock", facts) as liar:
        handle = await SomaCustody.open(liar.path, "alice", clock=ManualClock())
        liar.answer = frame(b'{"id":2,"error":{"code":"custody.of_tomorrow","message":"no"}}')
        with pytest.raises(CustodyProtocolError, match="of_tomorrow"):
            await handle.sign_message(b"1")
        await handle.close()


async def test_many_calls_at_once_share_a_connection(oracle: Oracle) -> None:
    """Four hundred requests without waiting: each gets its own answer."""
    handle = await opened(oracle)
    messages = [b"%d" % number for number in range(400)]
    signatures = await asyncio.gather(*(handle.sign_message(message) for message in messages))
    assert len(set(signatures)) == 400
    await handle.close()

"""RemoteAnima over real HTTP, TLS and Unix sockets: the conformance suite, the permit's time, replay, and lies on the way."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from life.aios.ports.custody import Custody
from life.anima.custody.remote import CapabilityFile, Offer, RemoteAnima, RemoteSettings
from life.anima.custody.remote_app import RemoteCustodyApp
from life.anima.custody.remote_proofs import PROOF_HEADER, SIGN_PATH, issue_permit, sign_answer
from life.anima.custody.soma.protocol import Describe, Provision, Reply, encode
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import (
    BadSignatureError,
    CapExpiredError,
    CustodyAuthFailedError,
    CustodyInputError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    InsecureFileError,
    KeyNotFoundError,
    PolicyDeniedError,
    StaleHandleError,
)
from life.testing.clock import START_US, ManualClock, SeededEntropy
from life.testing.custody import CustodyBench, CustodySuite
from tests.anima.custody.requests import payment
from tests.anima.custody.soma.oracle import ALL, Oracle, rule, running_oracle, uncounted, write_policy
from tests.anima.custody.test_vault_tls import Authority

HOUR_S = 3600


@asynccontextmanager
async def served(app: object, **options: Any) -> AsyncIterator[int]:
    """The application on a loopback port (or `uds`), in the test's own loop; gives the port."""
    listener = None
    if "uds" not in options:
        listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
        **options,
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve(sockets=[listener] if listener else None))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        yield listener.getsockname()[1] if listener else 0
    finally:
        server.should_exit = True
        await task
        if listener:
            listener.close()


class Far:
    """An oracle, its application, and a caller's capability file."""

    def __init__(self, oracle: Oracle, app: RemoteCustodyApp, file: CapabilityFile, clock: ManualClock) -> None:
        self.oracle = oracle
        self.app = app
        self.file = file
        self.clock = clock
        self.url = ""

    @property
    def settings(self) -> RemoteSettings:
        """How to reach it."""
        return RemoteSettings(url=self.url, capability_file=self.file.path, timeout_s=5.0)

    async def open(self, rules: WalletRules | None = None, **changes: object) -> RemoteAnima:
        """A handle of alice."""
        return await RemoteAnima.open(
            self.settings,
            clock=self.clock,
            entropy=Entropies(),
            rules=rules or WalletRules(),
            **changes,  # type: ignore[arg-type]
        )

    async def grant(self, *, lifetime_s: int = HOUR_S, operations: tuple[str, ...] = ALL) -> Offer:
        """A new permit for the file's key."""
        handle = await self.oracle.store.oracle()
        permit = issue_permit(
            handle,
            caller_did=self.file.make(SeededEntropy()),
            agent="alice",
            operations=operations,  # type: ignore[arg-type]
            lifetime_s=lifetime_s,
            clock=self.clock,
            entropy=Entropies(),
        )
        return Offer(oracle=handle.capabilities().did or "", agent="alice", permit=permit)


class Entropies(SeededEntropy):
    """A sequence that no other of these tests has begun."""

    made = 0

    def __init__(self) -> None:
        Entropies.made += 1
        super().__init__(f"remote {Entropies.made}")


@asynccontextmanager
async def far_oracle(tmp_path: Path, *, lifetime_s: int = HOUR_S, **options: Any) -> AsyncIterator[Far]:
    """An oracle with an application that nobody serves yet; alice's file has a permit."""
    clock = ManualClock()
    file = CapabilityFile(tmp_path / "caller" / "capability.json")
    did = file.make(SeededEntropy())
    options.setdefault("allow", [rule(did=did)])
    async with running_oracle(tmp_path / "soma", clock=clock, **options) as oracle:
        app = RemoteCustodyApp(oracle.service, await oracle.store.oracle(), clock=clock, entropy=Entropies())
        far = Far(oracle, app, file, clock)
        file.accept(await far.grant(lifetime_s=lifetime_s))
        yield far


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    """An oracle that is served on loopback."""
    async with far_oracle(tmp_path) as found, served(found.app) as port:
        found.url = f"http://127.0.0.1:{port}"
        yield found


class TestRemoteAnima(CustodySuite):
    """The whole suite, over HTTP."""

    @pytest.fixture
    async def bench(self, tmp_path: Path) -> AsyncIterator[CustodyBench]:
        """Handles of alice at a fixed time, of an oracle whose own limits are wide."""
        handles: list[RemoteAnima] = []
        wide = {"require_reservation": False, "max_validity_s": 7200}
        async with far_oracle(tmp_path, judge_of=uncounted, agent=wide) as far, served(far.app) as port:
            far.url = f"http://127.0.0.1:{port}"

            async def open_handle(rules: WalletRules) -> Custody:
                handles.append(await far.open(rules))
                return handles[-1]

            async def close(handle: Custody) -> None:
                assert isinstance(handle, RemoteAnima)
                await handle.close()

            yield CustodyBench(open=open_handle, close=close, now_s=lambda: START_US // 1_000_000, backend="remote")
            for handle in handles:
                await handle.close()


async def test_over_tls_and_with_a_client_certificate(tmp_path: Path) -> None:
    """HTTPS with an authority of our own, mutual where the server wants it; a stranger's server is not spoken to."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("oracle")
    own = authority.issue("caller")
    options = {
        "ssl_certfile": str(certificate),
        "ssl_keyfile": str(key),
        "ssl_ca_certs": str(authority.file),
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }
    async with far_oracle(tmp_path) as far, served(far.app, **options) as port:
        mutual = {"client_certificate": own[0], "client_key": own[1]}
        for members, error in (
            ({"ca_file": authority.file, **mutual}, None),
            ({"ca_file": authority.file}, CustodyUnavailableError),
            (mutual, CustodyUnavailableError),
        ):
            settings = RemoteSettings(
                url=f"https://127.0.0.1:{port}",
                capability_file=far.file.path,
                timeout_s=5.0,
                **members,
            )
            if error is None:
                handle = await RemoteAnima.open(settings, clock=far.clock, entropy=Entropies())
                assert await handle.sign_token({})
                await handle.close()
            else:
                with pytest.raises(error):
                    await RemoteAnima.open(settings, clock=far.clock, entropy=Entropies())


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    """`unix:/path` leads to the same application."""
    path = tmp_path / "remote.sock"
    async with far_oracle(tmp_path) as far, served(far.app, uds=str(path)):
        far.url = f"unix:{path}"
        handle = await far.open()
        assert await handle.sign_message(b"hello")
        await handle.close()


def test_only_tls_or_this_machine(tmp_path: Path) -> None:
    """A URL over which anybody could listen is refused before anything is sent."""
    for url in (
        "http://example.com",
        "ftp://127.0.0.1",
        "https://",
        "https://a@b",
        "oracle",
        "unix:relative",
        "https://x/?q",
    ):
        with pytest.raises(CustodyInputError):
            RemoteSettings(url=url, capability_file=tmp_path)


async def test_the_policy_and_the_permit_must_both_allow(far: Far) -> None:
    """The narrower of the two counts, at once; a rule that is gone ends it all, and so does a permit that is taken back."""
    handle = await far.open()
    await handle.sign_message(b"x")
    did = far.file.caller_key().did.did
    write_policy(far.oracle.policy_file, allow=[rule(did=did, operations=["sign_token"])])
    with pytest.raises(PolicyDeniedError):
        await handle.sign_message(b"x")
    await handle.sign_token({})
    write_policy(far.oracle.policy_file, allow=[rule(did=did)])
    far.file.accept(await far.grant(operations=("sign_token",)))
    narrow = await far.open()
    assert narrow.capabilities().operations == {"sign_token"}
    write_policy(far.oracle.policy_file, allow=[])
    with pytest.raises(PolicyDeniedError):
        await handle.sign_token({})
    from life.anima.custody.remote_proofs import read_permit

    content = far.file.read()
    jti = read_permit(content.permit, oracle_did=content.oracle).jti
    write_policy(far.oracle.policy_file, allow=[rule(did=did)], revoked=[jti])
    with pytest.raises(CustodyAuthFailedError, match="taken back"):
        await narrow.sign_token({})
    await narrow.close()
    await handle.close()


async def test_the_limits_of_the_soul_hold_from_afar(far: Far) -> None:
    """A payment over the soul's limit is refused by the oracle, whatever the caller believes."""
    handle = await far.open()
    assert await handle.sign_authorization(payment(handle))
    with pytest.raises(PolicyDeniedError, match="per_tx"):
        await handle.sign_authorization(payment(handle, value_atomic=1_000_001))
    await handle.close()


async def test_a_permit_is_renewed_once_at_half_of_its_life(far: Far) -> None:
    """Ten calls that wait make one renewal; the new permit is in the file."""
    handle = await far.open()
    before = far.file.read().permit
    far.clock.advance_us((HOUR_S // 2 + 1) * 1_000_000)
    await asyncio.gather(*(handle.sign_message(b"%d" % number) for number in range(10)))
    after = far.file.read().permit
    assert after != before
    far.clock.advance_us((HOUR_S // 2 + 1) * 1_000_000)
    await handle.sign_message(b"past the first one's end")
    assert len({before, after, far.file.read().permit}) == 3
    await handle.close()


async def test_a_permit_that_has_run_out_says_so(far: Far) -> None:
    """Nothing is signed with it; a new one in the file is taken up without a start."""
    handle = await far.open()
    far.clock.advance_us((HOUR_S + 1) * 1_000_000)
    with pytest.raises(CapExpiredError, match="run out"):
        await handle.sign_message(b"x")
    far.file.accept(await far.grant())
    assert await handle.sign_message(b"x")
    await handle.close()


async def test_the_oracle_judges_the_time_itself(tmp_path: Path) -> None:
    """A caller whose clock is wrong gets no signature with an old permit, and no request of another hour counts."""
    async with far_oracle(tmp_path, lifetime_s=40) as far, served(far.app) as port:
        far.url = f"http://127.0.0.1:{port}"
        slow = ManualClock()
        handle = await RemoteAnima.open(far.settings, clock=slow, entropy=Entropies())
        far.clock.advance_us(20 * 1_000_000)
        assert await handle.sign_message(b"x")
        far.clock.advance_us(26 * 1_000_000)
        slow.advance_us(15 * 1_000_000)
        with pytest.raises(CustodyAuthFailedError, match="clocks"):
            await handle.sign_message(b"x")
        slow.advance_us(4 * 1_000_000)
        with pytest.raises(CapExpiredError):
            await handle.sign_message(b"x")
        await handle.close()


async def test_nothing_counts_twice(far: Far) -> None:
    """A request that somebody recorded is refused the second time, for another body, path and permit, and after a start."""
    key = far.file.caller_key()
    permit = far.file.read().permit
    body = encode(Describe(agent="alice"))

    def proof(path: str = SIGN_PATH, what: bytes = body) -> str:
        return key.prove(permit=permit, body=what, path=path, clock=far.clock, entropy=Entropies())

    async def post(proven: str, what: bytes = body, path: str = SIGN_PATH, shown: str = permit) -> int:
        headers = {"Authorization": f"Anima-Permit {shown}", PROOF_HEADER: proven}
        async with httpx2.AsyncClient(base_url=far.url) as http:
            return (await http.post(path, content=what, headers=headers)).status_code

    recorded = proof()
    assert await post(recorded) == 200
    assert await post(recorded) == 401
    assert await post(proof(), what=encode(Describe(agent="bob"))) == 401
    assert await post(proof(path="/v1/custody/renewals")) == 401
    assert await post(proof(), shown=(await far.grant()).permit) == 401
    assert await post("a.b.c") == 401
    assert await post(proof(), shown="a.b.c") == 401
    fresh = proof()
    far.clock.advance_us(1_000_000)
    again = RemoteCustodyApp(far.oracle.service, await far.oracle.store.oracle(), clock=far.clock, entropy=Entropies())
    async with served(again) as port:
        far.url = f"http://127.0.0.1:{port}"
        assert await post(fresh) == 401


async def test_a_copied_permit_is_worth_nothing(far: Far, tmp_path: Path) -> None:
    """A thief's key under the owner's permit is refused by the file, and by the oracle."""
    thief = CapabilityFile(tmp_path / "thief" / "capability.json")
    thief.make(Entropies())
    offer = await far.grant()
    with pytest.raises(CustodyAuthFailedError, match="not for the key"):
        thief.accept(offer)
    headers = {
        "Authorization": f"Anima-Permit {offer.permit}",
        PROOF_HEADER: thief.caller_key().prove(
            permit=offer.permit, body=b"{}", path=SIGN_PATH, clock=far.clock, entropy=Entropies()
        ),
    }
    async with httpx2.AsyncClient(base_url=far.url) as http:
        answer = await http.post(SIGN_PATH, content=b"{}", headers=headers)
    assert answer.status_code == 401
    assert b"not signed by the permit's owner" in answer.content


async def test_nobody_administers_from_afar(far: Far) -> None:
    """Provisioning over HTTP is refused, and another agent than the permit's, and what is no request."""
    key, permit = far.file.caller_key(), far.file.read().permit
    async with httpx2.AsyncClient(base_url=far.url) as http:
        for body, status in (
            (encode(Provision(agent="alice")), 403),
            (encode(Describe(agent="bob")), 403),
            (b"[]", 502),
            (b"x" * 200_000, 400),
        ):
            proof = key.prove(permit=permit, body=body, path=SIGN_PATH, clock=far.clock, entropy=Entropies())
            headers = {"Authorization": f"Anima-Permit {permit}", PROOF_HEADER: proof}
            assert (await http.post(SIGN_PATH, content=body, headers=headers)).status_code == status
        assert (await http.get(SIGN_PATH)).status_code == 400
        assert (await http.post("/elsewhere")).status_code == 400


class Meddler:
    """An application between caller and oracle that changes answers as a test says."""

    def __init__(self, far: Far) -> None:
        self.far = far
        self.change: Callable[[bytes, str], tuple[bytes, str]] = lambda body, proof: (body, proof)
        self.asked = asyncio.Event()
        self.stuck = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        messages = []

        async def keep(message: Any) -> None:
            messages.append(message)

        if self.stuck:
            self.asked.set()
            await asyncio.sleep(60)
        await self.far.app(scope, receive, keep)
        start, body = messages
        headers = dict(start["headers"])
        content, proof = self.change(body["body"], headers[PROOF_HEADER.encode()].decode())
        headers[b"content-length"] = str(len(content)).encode()
        headers[PROOF_HEADER.encode()] = proof.encode()
        await send({**start, "headers": list(headers.items())})
        await send({"type": "http.response.body", "body": content})


async def test_answers_that_were_changed_on_the_way_are_refused(tmp_path: Path) -> None:
    """Another answer's body, another answer's proof, somebody else's signature, none at all: nothing is believed."""
    async with far_oracle(tmp_path) as far:
        meddler = Meddler(far)
        async with served(meddler) as port:
            far.url = f"http://127.0.0.1:{port}"
            handle = await far.open()
            kept: list[tuple[bytes, str]] = []

            def keep(body: bytes, proof: str) -> tuple[bytes, str]:
                kept.append((body, proof))
                return body, proof

            meddler.change = keep
            await handle.sign_message(b"one")
            oracle = await far.oracle.store.oracle()
            wrong = encode(Reply(id=0, signature=bytes(65)))
            for change in (
                lambda body, proof: kept[0],
                lambda body, proof: (wrong, proof),
                lambda body, proof: (body, ""),
                lambda body, proof: (wrong, sign_answer(oracle, request_proof="another", body=wrong, status=200)),
            ):
                meddler.change = change
                with pytest.raises(CustodyProtocolError):
                    await handle.sign_message(b"two")
            await handle.close()


async def test_an_oracle_that_lies_about_signatures_is_found_out(tmp_path: Path) -> None:
    """Even a properly signed answer with another signature in it is not released (AN-REM-2)."""
    async with far_oracle(tmp_path) as far:
        handle_box: list[RemoteAnima] = []

        async def liar(scope: Any, receive: Any, send: Any) -> None:
            headers = dict(scope["headers"])
            oracle = await far.oracle.store.oracle()
            body = encode(Reply(id=0, signature=bytes(64) + b"\x1b"))
            proof = sign_answer(oracle, request_proof=headers[PROOF_HEADER.encode()].decode(), body=body, status=200)
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(PROOF_HEADER.encode(), proof.encode())]}
            )
            await send({"type": "http.response.body", "body": body})

        async with served(far.app) as port:
            far.url = f"http://127.0.0.1:{port}"
            handle_box.append(await far.open())
        async with served(liar) as port:
            handle_box[0]._channel._http.base_url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
            with pytest.raises(BadSignatureError):
                await handle_box[0].sign_message(b"x")
        await handle_box[0].close()


async def test_gone_slow_and_closed(tmp_path: Path) -> None:
    """Nobody there, no answer in time, closed meanwhile: one clear error each."""
    async with far_oracle(tmp_path) as far:
        meddler = Meddler(far)
        async with served(meddler) as port:
            far.url = f"http://127.0.0.1:{port}"
            handle = await far.open()
            settings = RemoteSettings(url=far.url, capability_file=far.file.path, timeout_s=0.2)
            quick = await RemoteAnima.open(settings, clock=far.clock, entropy=Entropies())
            meddler.stuck = True
            with pytest.raises(CustodyTimeoutError, match="not known"):
                await quick.sign_message(b"x")
            await quick.close()
            with pytest.raises(StaleHandleError):
                await quick.sign_message(b"x")
            meddler.stuck = False
        with pytest.raises(CustodyUnavailableError):
            await handle.sign_message(b"x")
        await handle.close()


async def test_the_capability_file_is_private(far: Far, tmp_path: Path) -> None:
    """Mode 0600, never shown, refused when others may read it; without key or permit the error says what to do."""
    path = far.file.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = far.file.read()
    assert content.key not in repr(content)
    assert content.key not in repr(far.file.caller_key())
    path.chmod(0o640)
    with pytest.raises(InsecureFileError):
        await far.open()
    path.chmod(0o600)
    with pytest.raises(KeyNotFoundError):
        CapabilityFile(tmp_path / "none.json").read()
    empty = CapabilityFile(tmp_path / "empty" / "capability.json")
    did = empty.make(Entropies())
    assert empty.make(Entropies()) == did
    with pytest.raises(CustodyAuthFailedError, match="no permit"):
        await RemoteAnima.open(
            RemoteSettings(url=far.url, capability_file=empty.path), clock=far.clock, entropy=Entropies()
        )
    path.write_text("{}")
    with pytest.raises(CustodyProtocolError):
        await far.open()

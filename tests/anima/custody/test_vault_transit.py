"""VaultTransitAnima: the same scenarios on the stand-in and on a real OpenBao, and on the stand-in what a server can do wrong."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from life.aios.errors import ConflictError
from life.aios.ports.custody import Custody
from life.anima.custody.credentials import Credential, CredentialFile
from life.anima.custody.errors import KeyStoreSealedError, TokenRemovedError
from life.anima.custody.pkcs11 import TokenAddress
from life.anima.custody.split import Halves, SplitAnima
from life.anima.custody.tpm import TpmAnima, TpmSettings
from life.anima.custody.vault_client import VaultClient, VaultSettings, auth_key_name
from life.anima.custody.vault_transit import VaultRotator, VaultTransitAnima
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import (
    BadSignatureError,
    CustodyAuthFailedError,
    CustodyInputError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    KeyNotFoundError,
    StaleHandleError,
    UnsupportedOperationError,
)
from life.crypto import jws
from life.testing.clock import START_US, ManualClock, SeededEntropy
from life.testing.custody import CustodyBench, CustodySuite
from tests.anima.custody.requests import payment
from tests.anima.custody.test_tpm import proven
from tests.harness import openbao as real
from tests.harness import vault_standin as standin
from tests.harness.openbao import OpenBao
from tests.harness.softhsm import PIN, SoftHsm
from tests.harness.vault_standin import Answer, Seen, Token, VaultStandin

NAME = auth_key_name("alice")
POLICY = f"""
path "transit/keys/{NAME}" {{ capabilities = ["read"] }}
path "transit/sign/{NAME}" {{ capabilities = ["update"] }}
"""
ROTATING = f"""
path "transit/keys/{NAME}" {{ capabilities = ["read"] }}
path "transit/sign/{NAME}" {{ capabilities = ["update"] }}
path "transit/keys/{NAME}/rotate" {{ capabilities = ["update"] }}
path "transit/keys/{NAME}/config" {{ capabilities = ["update"] }}
"""
assert real.ROOT_TOKEN == standin.ROOT_TOKEN


class Server(Protocol):
    """Either server."""

    address: str

    def make_key(self, name: str, *, namespace: str = "", kind: str = "ecdsa-p256") -> object: ...


@pytest.fixture(params=["standin", pytest.param("openbao", marks=pytest.mark.part("openbao"))])
def server(request: pytest.FixtureRequest) -> Server:
    """The stand-in, then a real server."""
    found: Server = request.getfixturevalue("vault" if request.param == "standin" else "openbao")
    return found


class QuickClock(ManualClock):
    """Sleeping moves the clock instead of waiting for it."""

    async def sleep_us(self, duration_us: int) -> None:
        """At once."""
        self.advance_us(duration_us)
        await asyncio.sleep(0)


def settings(server: Server, name: str = NAME, **changes: object) -> VaultSettings:
    """How to reach the test's server."""
    return VaultSettings(**{"address": server.address, "key_name": name, "timeout_s": 5.0, **changes})  # type: ignore[arg-type]


def credential(token: str = standin.ROOT_TOKEN) -> Credential:
    """A token."""
    return Credential(bytearray(token.encode()))


@asynccontextmanager
async def opened(
    server: Server, name: str = NAME, *, did: str | None = None, token: str = standin.ROOT_TOKEN, **changes: object
) -> AsyncIterator[VaultTransitAnima]:
    """A handle, closed in the end."""
    handle = await VaultTransitAnima.open(
        settings(server, name, **changes), credential(token), clock=QuickClock(), entropy=SeededEntropy(), did=did
    )
    try:
        yield handle
    finally:
        await handle.close()


async def close(handle: Custody) -> None:
    """Close a handle of the suite."""
    assert isinstance(handle, VaultTransitAnima | SplitAnima)
    await handle.close()


class TestVaultAlone(CustodySuite):
    """Tokens, and nothing else: Transit has no secp256k1."""

    @pytest.fixture
    async def bench(self, server: Server) -> AsyncIterator[CustodyBench]:
        """Handles of one key at a fixed time."""
        server.make_key("suite")
        handles: list[VaultTransitAnima] = []

        async def open_handle(rules: WalletRules) -> Custody:
            made = await VaultTransitAnima.open(
                settings(server, "suite"), credential(), clock=ManualClock(), entropy=SeededEntropy()
            )
            handles.append(made)
            return made

        yield CustodyBench(
            open=open_handle,
            close=close,
            now_s=lambda: START_US // 1_000_000,
            backend="vault",
            operations=frozenset({"sign_token"}),
        )
        for handle in handles:
            await handle.close()


@pytest.mark.part("softhsm")
class TestVaultWithWallet(CustodySuite):
    """The identity key in Vault, the wallet in a SoftHSM token: together they can do everything."""

    @pytest.fixture
    async def bench(self, server: Server, shared_softhsm: SoftHsm) -> AsyncIterator[CustodyBench]:
        """Handles of both halves at a fixed time."""
        server.make_key("suite")
        clock = ManualClock()
        handles: list[TpmAnima | SplitAnima] = []
        handles.append(await TpmAnima.enroll(wallet_settings(shared_softhsm), wallet_pin(), clock=clock))

        async def open_handle(rules: WalletRules) -> Custody:
            handles.append(await split(server, shared_softhsm, "suite", clock=clock, rules=rules))
            return handles[-1]

        yield CustodyBench(open=open_handle, close=close, now_s=lambda: START_US // 1_000_000, backend="vault")
        for handle in handles:
            await handle.close()


def wallet_settings(token: SoftHsm) -> TpmSettings:
    """A wallet in SoftHSM."""
    return TpmSettings(
        token=TokenAddress(module=token.module, label=token.label), label=None, wallet_label="anima-wallet"
    )


def wallet_pin() -> Credential:
    """Its PIN."""
    return Credential(bytearray(PIN.encode()))


async def split(server: Server, token: SoftHsm, name: str, *, clock: ManualClock, rules: WalletRules) -> SplitAnima:
    """Both halves together."""
    auth = await VaultTransitAnima.open(settings(server, name), credential(), clock=clock, entropy=SeededEntropy())
    return SplitAnima(auth, await TpmAnima.open(wallet_settings(token), wallet_pin(), clock=clock, rules=rules))


# ---- on both servers


async def test_requests_are_what_a_server_takes(server: Server) -> None:
    """Digests with every byte value are signed: those whose base64 has '+' and '/' too (AN-VLT-1)."""
    server.make_key("bytes")
    async with opened(server, "bytes") as handle:
        assert handle._auth is not None
        for digest in (
            b"\xfb" * 32,
            b"\xff" * 32,
            bytes(32),
            *(hashlib.sha256(bytes([n])).digest() for n in range(20)),
        ):
            assert len(await handle._auth.sign_digest(digest)) == 64


async def test_the_pinned_version_signs_after_a_rotation_elsewhere(server: Server) -> None:
    """Somebody rotates the key behind our back: the handle, and one opened by its DID, still sign with their version."""
    server.make_key("pinned")
    async with opened(server, "pinned") as first:
        did = first.capabilities().did
        client = VaultClient(settings(server, "pinned"), credential(), clock=QuickClock(), entropy=SeededEntropy())
        await client.rotate()
        await client.close()
        async with opened(server, "pinned", did=did) as again, opened(server, "pinned") as newest:
            assert (first.key_version, again.key_version, newest.key_version) == (1, 1, 2)
            for handle in (first, again):
                assert jws.verify(await handle.sign_token({}), typ="JWT").signer.did == did
            assert newest.capabilities().did != did


async def test_a_whole_rotation(server: Server, tmp_path: Path) -> None:
    """Prepare, both proofs, switch: the server itself refuses the old version afterwards, and the DID finds the new one."""
    server.make_key("rotated")
    async with opened(server, "rotated") as old:
        rotator = await rotating(server, tmp_path, "rotated", old)
        assert await rotator.prepared() is None
        link = await proven(old, await rotator.prepare())
        assert await old.sign_token({})
        await rotator.commit((link,))
        await rotator.commit((link,))
        with pytest.raises(StaleHandleError):
            await old.sign_token({})
        await rotator.close()
        async with opened(server, "rotated", did=link.new_did) as new:
            assert new.key_version == 2
        with pytest.raises(StaleHandleError):
            async with opened(server, "rotated", did=link.old_did):
                pass


async def test_an_interrupted_rotation_is_found(server: Server, tmp_path: Path) -> None:
    """A version that nobody journaled is prepared for the next rotator; discarded, it is never used."""
    server.make_key("interrupted")
    async with opened(server, "interrupted") as old:
        first = await rotating(server, tmp_path, "interrupted", old)
        left = (await first.prepare()).capabilities().did
        assert (await first.prepare()).capabilities().did == left
        await first.close()
        second = await rotating(server, tmp_path, "interrupted", old)
        found = await second.prepared()
        assert found is not None
        assert found.capabilities().did == left
        await second.discard()
        assert await second.prepared() is None
        assert (await second.prepare()).capabilities().did != left
        await second.close()
        assert await old.sign_token({})


async def rotating(server: Server, folder: Path, name: str, handle: VaultTransitAnima) -> VaultRotator:
    """The rotator of a handle's identity."""
    return await VaultRotator.open(
        settings(server, name),
        credential(),
        did=handle.capabilities().did or "",
        folder=folder,
        clock=QuickClock(),
        entropy=SeededEntropy(),
    )


async def test_one_rotator_at_a_time(vault: VaultStandin, tmp_path: Path) -> None:
    """A second rotator of the same identity is refused until the first is closed."""
    vault.make_key(NAME)
    async with opened(vault) as handle:
        first = await rotating(vault, tmp_path, NAME, handle)
        with pytest.raises(ConflictError):
            await rotating(vault, tmp_path, NAME, handle)
        await first.close()
        await (await rotating(vault, tmp_path, NAME, handle)).close()


async def test_namespaces_are_apart(server: Server) -> None:
    """The same key name in two namespaces is two identities; an unknown namespace has none."""
    dids = []
    for namespace in ("alice", "bob"):
        server.make_key("own", namespace=namespace)
        async with opened(server, "own", namespace=namespace) as handle:
            dids.append(handle.capabilities().did)
    assert dids[0] != dids[1]
    with pytest.raises(KeyNotFoundError):
        async with opened(server, "own", namespace="carol"):
            pass


@pytest.mark.parametrize("wrong", [{"name": "nobody"}, {"mount": "elsewhere"}])
async def test_a_missing_key_is_said_so(server: Server, wrong: dict[str, str]) -> None:
    """No key, and no engine, of this name."""
    server.make_key("here")
    with pytest.raises(KeyNotFoundError, match=r"nobody|elsewhere"):
        async with opened(server, **{"name": "here", **wrong}):
            pass


async def test_a_token_that_is_not_good(server: Server) -> None:
    """A wrong token is refused, and its text is in no message."""
    server.make_key("here")
    with pytest.raises(CustodyAuthFailedError) as refusal:
        async with opened(server, "here", token="wrong-token-77"):
            pass
    assert "wrong-token-77" not in repr((refusal.value, refusal.value.details, refusal.value.next_step))


async def test_a_key_of_another_type_is_refused(server: Server) -> None:
    """A key that can't sign ES256 is none of an identity."""
    server.make_key("other", kind="ecdsa-p384")
    with pytest.raises(UnsupportedOperationError):
        async with opened(server, "other"):
            pass


async def test_a_did_that_no_version_is(server: Server) -> None:
    """Somebody else's key is not taken for ours."""
    server.make_key("here")
    with pytest.raises(KeyNotFoundError):
        async with opened(server, "here", did="did:key:zDnaeh1Xuzt2zXCZUYDU7cbTGqnXSDiXb7op6rbf13zvauj6v"):
            pass


@pytest.mark.part("openbao")
async def test_the_daily_token_needs_little(openbao: OpenBao, tmp_path: Path) -> None:
    """The policy of docs/custody/vault-transit.md: read and sign, nothing else; rotating takes the second token (AN-VLT-7)."""
    openbao.make_key(NAME)
    daily = openbao.make_token(POLICY, default_policy=False)
    async with opened(openbao, token=daily) as handle:
        assert await handle.sign_token({})
        did = handle.capabilities().did or ""
        for token, may in ((daily, False), (openbao.make_token(ROTATING), True)):
            rotator = await VaultRotator.open(
                settings(openbao),
                credential(token),
                did=did,
                folder=tmp_path,
                clock=QuickClock(),
                entropy=SeededEntropy(),
            )
            if may:
                await rotator.commit((await proven(handle, await rotator.prepare()),))
            else:
                with pytest.raises(CustodyAuthFailedError):
                    await rotator.prepare()
            await rotator.close()


@pytest.mark.part("openbao")
async def test_sealed_and_unsealed(openbao: OpenBao) -> None:
    """A sealed server is its own error, with what to do; unsealed, the same handle signs (fault of issue: Vault sealed)."""
    openbao.make_key("sealed")
    async with opened(openbao, "sealed") as handle:
        openbao.seal()
        with pytest.raises(KeyStoreSealedError) as refusal:
            await handle.sign_token({})
        assert "unseal" in (refusal.value.next_step or "")
        with pytest.raises(KeyStoreSealedError):
            async with opened(openbao, "sealed"):
                pass
        openbao.unseal()
        assert await handle.sign_token({})


@pytest.mark.part("openbao")
async def test_a_revoked_token_is_replaced_by_its_source(openbao: OpenBao, tmp_path: Path) -> None:
    """The token ends; its file has a new one by then: one request is refused, the next goes through."""
    openbao.make_key(NAME)
    file = tmp_path / "token"
    first = openbao.make_token(POLICY)
    write(file, first)
    handle = await VaultTransitAnima.open(
        settings(openbao), CredentialFile(file), clock=QuickClock(), entropy=SeededEntropy()
    )
    openbao.revoke(first)
    with pytest.raises(CustodyAuthFailedError):
        await handle.sign_token({})
    write(file, openbao.make_token(POLICY))
    assert await handle.sign_token({})
    await handle.close()


def write(file: Path, token: str) -> None:
    """Put a token into its file."""
    file.write_text(token + "\n")
    file.chmod(0o600)


# ---- what a server can do wrong


async def test_what_is_sent(vault: VaultStandin) -> None:
    """Token, request mark and namespace in headers, the pinned version and padded base64 in the body, and no more."""
    vault.make_key(NAME, namespace="team")
    async with opened(vault, namespace="team") as handle:
        await handle.sign_token({})
    signing = [request for request in vault.seen if request.path == f"transit/sign/{NAME}"]
    assert set(signing[-1].body) == {"input", "prehashed", "hash_algorithm", "marshaling_algorithm", "key_version"}
    assert (signing[-1].body["key_version"], signing[-1].body["prehashed"]) == (1, True)
    assert len(signing[-1].body["input"]) == 44
    for request in vault.seen:
        assert request.headers["x-vault-namespace"] == "team"
        assert request.headers["x-vault-token"] == standin.ROOT_TOKEN
        assert request.headers["x-vault-request"] == "true"


async def test_the_answer_of_another_version_is_refused(vault: VaultStandin) -> None:
    """A server that signs with a version we did not ask for is not believed, whatever it claims."""
    key = vault.make_key(NAME)
    async with opened(vault) as handle:
        key.versions.append(ec.generate_private_key(ec.SECP256R1()))

        def newest(request: Seen, answer: Answer) -> Answer:
            return standin._sign(key, {**request.body, "key_version": 2}) if "sign/" in request.path else answer

        vault.after = newest
        with pytest.raises(CustodyProtocolError, match="version 2, not 1"):
            await handle.sign_token({})

        def disguised(request: Seen, answer: Answer) -> Answer:
            status, content = newest(request, answer)
            if content is not None and "sign/" in request.path:
                content["data"]["signature"] = content["data"]["signature"].replace("v2", "v1")
            return status, content

        vault.after = disguised
        with pytest.raises(BadSignatureError):
            await handle.sign_token({})


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"data": None},
        {"data": {"signature": 7}},
        {"data": {"signature": ""}},
        {"data": {"signature": "vault:v1:AA"}},
        {"data": {"signature": "vault:v0:" + "A" * 86}},
        {"data": {"signature": "vault:v1:" + "A" * 85 + "="}},
        {"data": {"signature": "vault:v01:" + "A" * 86}},
        {"data": {"signature": "vault:v1:" + "A" * 85 + "\n"}},
        {"data": {"signature": "x" * 300_000}},
    ],
)
async def test_malformed_answers(vault: VaultStandin, content: dict[str, object]) -> None:
    """An answer that is not the API's is a protocol error; nothing comes out of it."""
    vault.make_key(NAME)
    async with opened(vault) as handle:
        vault.before = lambda request: (200, content) if "sign/" in request.path else None
        with pytest.raises((CustodyProtocolError, BadSignatureError)):
            await handle.sign_token({})


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, CustodyInputError),
        (403, CustodyAuthFailedError),
        (404, KeyNotFoundError),
        (405, CustodyInputError),
        (307, CustodyProtocolError),
        (412, CustodyUnavailableError),
        (429, CustodyUnavailableError),
        (500, CustodyUnavailableError),
        (502, CustodyUnavailableError),
        (503, CustodyUnavailableError),
    ],
)
async def test_every_status_has_its_error(vault: VaultStandin, status: int, error: type[Exception]) -> None:
    """Error answers become our kinds (AN-VLT-5), with at most a short quotation of what the server said."""
    vault.make_key(NAME)
    async with opened(vault) as handle:
        vault.before = lambda request: (status, {"errors": ["x\n" * 500]})
        with pytest.raises(error) as refusal:
            await handle.sign_token({})
        assert len(str(refusal.value)) < 400


async def test_a_busy_server_is_asked_again(vault: VaultStandin) -> None:
    """Two refusals of a busy server cost a moment; a third one is the caller's (AN-VLT-5)."""
    vault.make_key(NAME)
    refusals = 2
    asked = 0

    def busy(request: Seen) -> Answer | None:
        nonlocal asked
        if "sign/" not in request.path:
            return None
        asked += 1
        return (429, {"errors": ["slow down"]}) if asked <= refusals else None

    async with opened(vault) as handle:
        vault.before = busy
        assert await handle.sign_token({})
        assert asked == 3
        asked, refusals = 0, 99
        with pytest.raises(CustodyUnavailableError):
            await handle.sign_token({})
        assert asked == 3


async def test_a_server_that_is_down(vault: VaultStandin) -> None:
    """Nobody listens: one sentence that names the address; the handle stays usable."""
    vault.make_key(NAME)
    async with opened(vault) as handle:
        vault.stop()
        with pytest.raises(CustodyUnavailableError, match=r"127\.0\.0\.1"):
            await handle.sign_token({})


async def test_a_server_that_hangs(vault: VaultStandin) -> None:
    """No answer in time is a timeout."""
    vault.make_key(NAME)
    async with opened(vault, timeout_s=0.1) as handle:
        vault.before = standin.hang(0.4)
        with pytest.raises(CustodyTimeoutError):
            await handle.sign_token({})


async def test_down_in_the_middle_of_a_rotation(vault: VaultStandin, tmp_path: Path) -> None:
    """The server rotates and goes down before it says so: an error, the old key signs, and the new version is found."""
    key = vault.make_key(NAME)
    async with opened(vault) as old:
        rotator = await rotating(vault, tmp_path, NAME, old)
        vault.after = lambda request, answer: None if request.path.endswith("/rotate") else answer
        with pytest.raises(CustodyUnavailableError):
            await rotator.prepare()
        assert len(key.versions) == 2
        assert jws.verify(await old.sign_token({}), typ="JWT").signer.did == old.capabilities().did
        vault.after = lambda request, answer: answer
        link = await proven(old, await rotator.prepare())
        assert len(key.versions) == 2
        vault.before = lambda request: (503, {"errors": ["Vault is sealed"]})
        with pytest.raises(KeyStoreSealedError):
            await rotator.commit((link,))
        vault.before = lambda request: None
        assert await old.sign_token({})
        await rotator.commit((link,))
        with pytest.raises(StaleHandleError):
            await old.sign_token({})
        await rotator.close()


async def test_tokens_are_renewed_at_half_time(vault: VaultStandin) -> None:
    """A renewable token is renewed by the first request after half of its life; a failure is tried again (AN-VLT-6)."""
    vault.make_key(NAME)
    vault.tokens["daily"] = Token(ttl_s=3600, renewable=True)
    clock = QuickClock()
    handle = await VaultTransitAnima.open(settings(vault), credential("daily"), clock=clock, entropy=SeededEntropy())
    clock.advance_us(1_799_000_000)
    await handle.sign_token({})
    assert vault.tokens["daily"].renewals == 0
    clock.advance_us(2_000_000)
    vault.before = lambda request: (500, {"errors": ["trouble"]}) if "renew" in request.path else None
    assert await handle.sign_token({})
    vault.before = lambda request: None
    assert await handle.sign_token({})
    assert vault.tokens["daily"].renewals == 1
    await handle.close()


async def test_an_idle_daemon_keeps_its_token(vault: VaultStandin) -> None:
    """The renewal loop goes on after errors, and ends with the handle (AN-VLT-6; weakness 29 of anima.md §25)."""
    vault.make_key(NAME)
    vault.tokens["daily"] = Token(ttl_s=3600, renewable=True)
    failures = 3

    def flaky(request: Seen) -> Answer | None:
        nonlocal failures
        if "renew" in request.path and failures:
            failures -= 1
            return 500, {"errors": ["trouble"]}
        return None

    handle = await VaultTransitAnima.open(
        settings(vault), credential("daily"), clock=QuickClock(), entropy=SeededEntropy()
    )
    vault.before = flaky
    keeping = asyncio.ensure_future(handle.keep_token_alive())
    async with asyncio.timeout(20):
        while vault.tokens["daily"].renewals < 5:
            await asyncio.sleep(0.001)
    await handle.close()
    async with asyncio.timeout(20):
        await keeping
    assert failures == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "http://vault.example:8200"},
        {"address": "ftp://127.0.0.1"},
        {"address": "https://user:secret@vault.example"},
        {"address": "https://vault.example/v1"},
        {"address": ""},
        {"key_name": "a/../b"},
        {"key_name": ""},
        {"key_name": "a-"},
        {"key_name": ".."},
        {"mount": "transit/.."},
        {"mount": "/transit"},
        {"namespace": "a//b"},
        {"namespace": "a\nb"},
        {"client_certificate": Path("a.pem")},
    ],
)
def test_settings_that_cannot_be_right(wrong: dict[str, object]) -> None:
    """Addresses without TLS, with secrets or paths, and names that would leave their place are refused."""
    with pytest.raises(CustodyInputError) as refusal:
        VaultSettings(**{"address": "https://vault.example:8200", "key_name": NAME, **wrong})  # type: ignore[arg-type]
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("user", ["", "a/b", "ü", "x" * 65, "a.b"])
def test_user_ids_are_plain(user: str) -> None:
    """Only a plain user id becomes part of a key's name."""
    with pytest.raises(CustodyInputError):
        auth_key_name(user)


def test_certificates_that_cannot_be_read(vault: VaultStandin, tmp_path: Path) -> None:
    """A missing CA file is one sentence."""
    with pytest.raises(CustodyInputError):
        VaultClient(
            settings(vault, ca_file=tmp_path / "none.pem"), credential(), clock=QuickClock(), entropy=SeededEntropy()
        )


# ---- both halves


@pytest.mark.part("softhsm")
async def test_each_half_signs_its_own(vault: VaultStandin, softhsm: SoftHsm) -> None:
    """Vault gone, payments go on; the token gone, tokens go on; neither takes over for the other (AN-CUS-7)."""
    vault.make_key(NAME)
    await (await TpmAnima.enroll(wallet_settings(softhsm), wallet_pin(), clock=QuickClock())).close()
    handle = await split(vault, softhsm, NAME, clock=QuickClock(), rules=WalletRules())
    assert handle.halves == Halves("vault", "tpm")
    softhsm.remove()
    assert await handle.sign_token({})
    with pytest.raises(TokenRemovedError):
        await handle.sign_authorization(payment(handle))
    softhsm.put_back()
    vault.stop()
    assert len(await handle.sign_authorization(payment(handle))) == 65
    with pytest.raises(CustodyUnavailableError):
        await handle.sign_token({})
    await handle.close()


async def test_a_split_needs_both_halves(vault: VaultStandin) -> None:
    """Two handles without a wallet, or without an identity, are no split custody."""
    vault.make_key(NAME)
    async with opened(vault) as first, opened(vault) as second:
        with pytest.raises(CustodyInputError):
            SplitAnima(first, second)

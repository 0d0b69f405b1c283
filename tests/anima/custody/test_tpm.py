"""TpmAnima on SoftHSM (both halves in the token) and on a software TPM behind a resource manager (identity key only)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from life.aios.errors import ConflictError
from life.aios.ports.custody import Custody
from life.anima.chain import RotationLink, acceptance_claims, proof_claims, verify_link
from life.anima.custody.credentials import Credential
from life.anima.custody.errors import TokenRemovedError
from life.anima.custody.external_keys import ExternalKey
from life.anima.custody.pkcs11 import KeyCurve, Pkcs11Token, TokenAddress
from life.anima.custody.split import SplitAnima
from life.anima.custody.tpm import TpmAnima, TpmRotator, TpmSettings
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import (
    CustodyAuthFailedError,
    CustodyInputError,
    CustodyLockedError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    KeyNotFoundError,
    StaleHandleError,
    UnsupportedOperationError,
)
from life.anima.identity import agent_id_of
from life.anima.tokens import issue_agent_token
from life.crypto import jws
from life.crypto.agent_token import verify_agent_token
from life.crypto.did import resolve_did
from life.crypto.secp256k1 import is_low_s, recover_address
from life.testing.clock import START_US, ManualClock, SeededEntropy
from life.testing.custody import CustodyBench, CustodySuite
from tests.anima.custody.requests import NOW_S, payment
from tests.harness.softhsm import PIN, SoftHsm
from tests.harness.swtpm import PIN as TPM_PIN
from tests.harness.swtpm import SwTpm

BOTH = "anima-wallet"


def pin(text: str = PIN) -> Credential:
    """A PIN."""
    return Credential(bytearray(text.encode()))


def hsm_settings(token: SoftHsm, **changes: object) -> TpmSettings:
    """Both halves in one token."""
    address = TokenAddress(module=token.module, label=token.label)
    return TpmSettings(**{"token": address, "wallet_label": BOTH, **changes})  # type: ignore[arg-type]


def tpm_settings(tpm: SwTpm, label: str = "anima-auth", *, timeout_s: float = 10.0) -> TpmSettings:
    """The identity key in a TPM."""
    return TpmSettings(token=TokenAddress(module=tpm.module, label=tpm.label, timeout_s=timeout_s), label=label)


@asynccontextmanager
async def closing(handle: TpmAnima) -> AsyncIterator[TpmAnima]:
    """Close a handle in the end."""
    try:
        yield handle
    finally:
        await handle.close()


async def close(handle: Custody) -> None:
    """Close a handle of the suite."""
    assert isinstance(handle, TpmAnima | SplitAnima)
    await handle.close()


class CountedKey:
    """A key of a device, with a count of what it signs."""

    def __init__(self, key: ExternalKey, made: Counter[str]) -> None:
        self._key, self._made = key, made
        self.public_key = key.public_key

    async def sign_digest(self, digest: bytes) -> bytes:
        """Count, and let the device sign."""
        self._made["wallet"] += 1
        return await self._key.sign_digest(digest)


@pytest.mark.part("softhsm")
class TestSoftHsm(CustodySuite):
    """The whole suite with both halves in a SoftHSM token."""

    @pytest.fixture
    async def bench(self, shared_softhsm: SoftHsm) -> AsyncIterator[CustodyBench]:
        """Handles on one token at a fixed time."""
        clock, handles = ManualClock(), []
        settings, made = hsm_settings(shared_softhsm), Counter[str]()
        handles.append(await TpmAnima.enroll(settings, pin(), clock=clock))

        async def open_handle(rules: WalletRules) -> Custody:
            handle = await TpmAnima.open(settings, pin(), clock=clock, rules=rules)
            assert handle._wallet is not None
            handle._wallet = CountedKey(handle._wallet, made)
            handles.append(handle)
            return handle

        yield CustodyBench(
            open=open_handle,
            close=close,
            now_s=lambda: START_US // 1_000_000,
            backend="tpm",
            wallet_signatures=lambda: made["wallet"],
        )
        for handle in handles:
            await handle.close()


@pytest.mark.part("swtpm")
class TestSoftwareTpm(CustodySuite):
    """A TPM has no secp256k1: tokens, and nothing else."""

    @pytest.fixture
    async def bench(self, swtpm: SwTpm) -> AsyncIterator[CustodyBench]:
        """Handles on one TPM at a fixed time."""
        clock, handles = ManualClock(), []
        handles.append(await TpmAnima.enroll(tpm_settings(swtpm), pin(TPM_PIN), clock=clock))

        async def open_handle(rules: WalletRules) -> Custody:
            handles.append(await TpmAnima.open(tpm_settings(swtpm), pin(TPM_PIN), clock=clock, rules=rules))
            return handles[-1]

        yield CustodyBench(
            open=open_handle,
            close=close,
            now_s=lambda: START_US // 1_000_000,
            backend="tpm",
            operations=frozenset({"sign_token"}),
        )
        for handle in handles:
            await handle.close()


@pytest.mark.part("softhsm", "swtpm")
class TestTpmWithWallet(CustodySuite):
    """The identity key in a TPM, the wallet in a SoftHSM token beside it: together they can do everything."""

    @pytest.fixture
    async def bench(self, swtpm: SwTpm, shared_softhsm: SoftHsm) -> AsyncIterator[CustodyBench]:
        """Handles on both tokens at a fixed time."""
        clock = ManualClock()
        handles: list[TpmAnima | SplitAnima] = []
        wallet = hsm_settings(shared_softhsm, label=None)
        handles.append(await TpmAnima.enroll(tpm_settings(swtpm), pin(TPM_PIN), clock=clock))
        handles.append(await TpmAnima.enroll(wallet, pin(), clock=clock))

        async def open_handle(rules: WalletRules) -> Custody:
            first = await TpmAnima.open(tpm_settings(swtpm), pin(TPM_PIN), clock=clock)
            second = await TpmAnima.open(wallet, pin(), clock=clock, rules=rules)
            handles.append(SplitAnima(first, second))
            return handles[-1]

        yield CustodyBench(open=open_handle, close=close, now_s=lambda: START_US // 1_000_000, backend="tpm")
        for handle in handles:
            await handle.close()


@pytest.mark.part("swtpm")
async def test_a_token_minted_on_a_tpm_is_verified(swtpm: SwTpm) -> None:
    """Spec D row D: cold start, an agent token by a key that was made in the chip and never left it, verified by ours."""
    clock = ManualClock()
    async with closing(await TpmAnima.enroll(tpm_settings(swtpm), pin(TPM_PIN), clock=clock)) as made:
        did = made.capabilities().did
        assert did is not None
    async with closing(await TpmAnima.open(tpm_settings(swtpm), pin(TPM_PIN), clock=clock, did=did)) as handle:
        agent_id = agent_id_of(resolve_did(did).public_key)
        token = await issue_agent_token(
            handle, agent_id=agent_id, audience="lago", clock=clock, entropy=SeededEntropy()
        )
        verified = verify_agent_token(token, audience="lago", now_s=NOW_S)
        await handle.check()
        assert (verified.signer.did, verified.claims.sub) == (did, agent_id)
        assert not handle.capabilities().exportable
        session = handle._token._module.logins[handle._token._key].session
        assert_never_extractable(session)


def assert_never_extractable(session: object) -> None:
    """What the token itself says of every private key it holds."""
    import pkcs11
    from pkcs11 import Attribute, ObjectClass

    assert isinstance(session, pkcs11.Session)
    private = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
    assert private
    for key in private:
        assert (key[Attribute.SENSITIVE], key[Attribute.NEVER_EXTRACTABLE], key[Attribute.LOCAL]) == (True, True, True)
        with pytest.raises(pkcs11.PKCS11Error):
            _ = key[Attribute.VALUE]


@pytest.mark.part("swtpm")
async def test_a_tpm_has_no_wallet_curve(swtpm: SwTpm) -> None:
    """Asked to make a wallet key, the TPM says that it can't; nothing else takes its place, and no key is left."""
    settings = TpmSettings(token=tpm_settings(swtpm).token, label="none", wallet_label=BOTH)
    with pytest.raises(UnsupportedOperationError):
        await TpmAnima.enroll(settings, pin(TPM_PIN), clock=ManualClock())
    with pytest.raises(KeyNotFoundError):
        await TpmAnima.open(tpm_settings(swtpm, "none"), pin(TPM_PIN), clock=ManualClock())


@pytest.mark.part("swtpm")
async def test_wrong_pins_lock_the_tpm_and_the_owner_unlocks_it(swtpm: SwTpm) -> None:
    """Three wrong PINs are refused, the fourth finds the TPM locked, and so does the right one, until the lock is cleared."""
    settings = tpm_settings(swtpm)
    await (await TpmAnima.enroll(settings, pin(TPM_PIN), clock=ManualClock())).close()
    for number in range(3):
        with pytest.raises(CustodyAuthFailedError):
            await TpmAnima.open(settings, pin(f"000{number}"), clock=ManualClock())
    for text in ("0003", TPM_PIN):
        with pytest.raises(CustodyLockedError) as refusal:
            await TpmAnima.open(settings, pin(text), clock=ManualClock())
        assert "tpm2_dictionarylockout --clear-lockout" in (refusal.value.next_step or "")
    swtpm.clear_lockout()
    async with closing(await TpmAnima.open(settings, pin(TPM_PIN), clock=ManualClock())) as handle:
        await handle.check()


@pytest.mark.part("swtpm")
async def test_a_tpm_that_dies_is_an_error_and_comes_back(swtpm: SwTpm) -> None:
    """Chip and resource manager are killed: every call is a clear error. Started again: the same handle signs."""
    settings = tpm_settings(swtpm)
    async with closing(await TpmAnima.enroll(settings, pin(TPM_PIN), clock=ManualClock())) as handle:
        did = handle.capabilities().did
        swtpm.kill()
        for _ in range(2):
            with pytest.raises(CustodyUnavailableError):
                await handle.sign_token({})
        swtpm.start()
        token = await handle.sign_token({"n": 1})
        assert jws.verify(token, typ="JWT").signer.did == did


@pytest.mark.part("swtpm")
async def test_killed_in_the_middle_of_a_call(swtpm: SwTpm) -> None:
    """The chip stands still while it should sign, and is killed: that very call is an error; started again, it signs."""
    async with closing(await TpmAnima.enroll(tpm_settings(swtpm), pin(TPM_PIN), clock=ManualClock())) as handle:
        swtpm.freeze()
        call = asyncio.ensure_future(handle.sign_token({}))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while not handle._token._module.thread._jobs.empty():
                await asyncio.sleep(0.001)
        swtpm.kill()
        with pytest.raises(CustodyUnavailableError):
            await call
        swtpm.start()
        assert await handle.sign_token({})


@pytest.mark.part("swtpm")
async def test_a_tpm_that_hangs_misses_its_deadline(swtpm: SwTpm) -> None:
    """A frozen chip: a timeout, then a refusal at once; thawed, it signs again."""
    settings = tpm_settings(swtpm, timeout_s=1.0)
    async with closing(await TpmAnima.enroll(settings, pin(TPM_PIN), clock=ManualClock())) as handle:
        swtpm.freeze()
        with pytest.raises(CustodyTimeoutError):
            await handle.sign_token({})
        with pytest.raises(CustodyUnavailableError):
            await handle.sign_token({})
        swtpm.thaw()
        async with asyncio.timeout(30):
            while handle._token._module.thread._overdue.is_set():
                await asyncio.sleep(0.01)
        assert await handle.sign_token({})


@pytest.mark.part("swtpm")
async def test_many_keys_in_one_tpm(swtpm: SwTpm) -> None:
    """More keys than a TPM has room for at once are used freely: the resource manager swaps them (AN-TPM-4)."""
    settings = tpm_settings(swtpm)
    token = await Pkcs11Token.open(settings.token, pin(TPM_PIN))
    keys = [await token.make_key(f"key-{number}", KeyCurve.P256) for number in range(6)]
    for key in keys * 2:
        assert len(await key.sign_digest(bytes(32))) == 64
    await token.close()


@pytest.mark.part("softhsm")
async def test_wallet_signatures_have_low_s_and_recover(softhsm: SoftHsm) -> None:
    """The token gives a high s every other time; what comes out is low, recovers, and is the same when asked again."""
    async with closing(await TpmAnima.enroll(hsm_settings(softhsm), pin(), clock=ManualClock())) as handle:
        raw: list[bytes] = []
        assert handle._wallet is not None
        for number in range(40):
            raw.append(await handle._wallet.sign_digest(bytes([number]) * 32))
            request = payment(handle, nonce=bytes([number]) * 32)
            signature = await handle.sign_authorization(request)
            assert is_low_s(signature)
            assert signature == await handle.sign_authorization(request)
        assert not all(is_low_s(signature) for signature in raw)


@pytest.mark.part("softhsm")
async def test_a_payment_asked_for_twice_at_once_is_signed_once(softhsm: SoftHsm) -> None:
    """Two callers with the same authorization get the same bytes, though the token draws its nonces (AN-CUS-5)."""
    async with closing(await TpmAnima.enroll(hsm_settings(softhsm), pin(), clock=ManualClock())) as handle:
        request = payment(handle)
        signatures = await asyncio.gather(*(handle.sign_authorization(request) for _ in range(8)))
        assert len(set(signatures)) == 1


@pytest.mark.part("softhsm")
async def test_enrolling_again_keeps_the_keys(softhsm: SoftHsm) -> None:
    """Interrupted or repeated, enrolment uses what is there."""
    names = []
    for _ in range(2):
        async with closing(await TpmAnima.enroll(hsm_settings(softhsm), pin(), clock=ManualClock())) as handle:
            names.append(handle.capabilities())
    assert names[0] == names[1]


@pytest.mark.part("softhsm")
async def test_a_token_of_another_identity_is_refused(softhsm: SoftHsm) -> None:
    """The DID decides: a token that holds other keys under the same labels does not open."""
    await (await TpmAnima.enroll(hsm_settings(softhsm), pin(), clock=ManualClock())).close()
    foreign = "did:key:zDnaeh1Xuzt2zXCZUYDU7cbTGqnXSDiXb7op6rbf13zvauj6v"
    with pytest.raises(KeyNotFoundError):
        await TpmAnima.open(hsm_settings(softhsm), pin(), clock=ManualClock(), did=foreign)
    with pytest.raises(CustodyInputError):
        TpmSettings(token=TokenAddress(module=softhsm.module, label="x"), label=None)


@pytest.mark.part("softhsm")
async def test_removed_in_the_middle_of_a_payment(softhsm: SoftHsm) -> None:
    """The token is pulled out before it signs: an error, nothing remembered; put back, the payment is signed."""
    async with closing(await TpmAnima.enroll(hsm_settings(softhsm), pin(), clock=ManualClock())) as handle:
        softhsm.remove()
        with pytest.raises(TokenRemovedError):
            await handle.sign_authorization(payment(handle))
        softhsm.put_back()
        signature = await handle.sign_authorization(payment(handle))
        assert len(signature) == 65
        assert handle._own is not None
        digest = WalletRules().digest_to_sign(payment(handle), own=handle._own, now_s=NOW_S)
        assert recover_address(digest, signature) == handle._own.raw


KILLED = """
import asyncio, os, signal
from pathlib import Path
from life.anima.custody.credentials import Credential
from life.anima.custody.pkcs11 import TokenAddress
from life.anima.custody.tpm import TpmRotator, TpmSettings
from life.testing.clock import ManualClock

async def main():
    settings = TpmSettings(token=TokenAddress(module=Path("{module}"), label="anima"))
    rotator = await TpmRotator.open(
        settings, Credential(bytearray(b"{pin}")), did="{did}", folder=Path("{folder}"), clock=ManualClock()
    )
    print((await rotator.prepare()).capabilities().did, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


class TestRotation:
    """The two-phase rotation of `life.anima.rotation`, at the token's side."""

    pytestmark = pytest.mark.part("softhsm")

    @pytest.fixture
    async def identity(self, softhsm: SoftHsm, tmp_path: Path) -> AsyncIterator[TpmAnima]:
        """An identity in a token."""
        async with closing(await TpmAnima.enroll(hsm_settings(softhsm), pin(), clock=ManualClock())) as handle:
            yield handle

    async def rotator(self, softhsm: SoftHsm, folder: Path, did: str) -> TpmRotator:
        """The rotator of the identity."""
        return await TpmRotator.open(hsm_settings(softhsm), pin(), did=did, folder=folder, clock=ManualClock())

    async def test_a_rotation_from_start_to_end(self, softhsm: SoftHsm, tmp_path: Path, identity: TpmAnima) -> None:
        """The new key proves itself, the old one is destroyed, the wallet stays, and the DID opens the new key."""
        old, wallet = identity.capabilities().did or "", identity.capabilities().wallet_address
        rotator = await self.rotator(softhsm, tmp_path, old)
        assert await rotator.prepared() is None
        link = await proven(identity, await rotator.prepare())
        await rotator.commit((link,))
        await rotator.commit((link,))
        await rotator.close()
        with pytest.raises(StaleHandleError):
            await identity.sign_token({})
        with pytest.raises(KeyNotFoundError):
            await TpmAnima.open(hsm_settings(softhsm), pin(), clock=ManualClock(), did=old)
        reopened = await TpmAnima.open(hsm_settings(softhsm), pin(), clock=ManualClock(), did=link.new_did)
        assert reopened.capabilities().wallet_address == wallet
        assert jws.verify(await reopened.sign_token({}), typ="JWT").signer.did == link.new_did
        await reopened.close()

    async def test_an_interrupted_rotation_is_found_and_thrown_away(
        self, softhsm: SoftHsm, tmp_path: Path, identity: TpmAnima
    ) -> None:
        """What a killed process prepared is there for the next one; discarded, no key of it is left, and the old one signs."""
        old = identity.capabilities().did or ""
        first = await self.rotator(softhsm, tmp_path, old)
        left = (await first.prepare()).capabilities().did
        await first.close()
        second = await self.rotator(softhsm, tmp_path, old)
        found = await second.prepared()
        assert found is not None
        assert found.capabilities().did == left == (await second.prepare()).capabilities().did
        await second.discard()
        await second.discard()
        assert await second.prepared() is None
        await second.close()
        assert await identity.sign_token({})

    async def test_killed_after_the_new_key_was_made(
        self, softhsm: SoftHsm, tmp_path: Path, identity: TpmAnima
    ) -> None:
        """Kill -9 between making the key and using it: the lock is free, the new key is found, and the old one still signs."""
        did = identity.capabilities().did or ""
        program = KILLED.format(module=str(softhsm.module), pin=PIN, did=did, folder=str(tmp_path))
        environment = {**os.environ, "SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf")}
        ended = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        reopened = await self.rotator(softhsm, tmp_path, did)
        found = await reopened.prepared()
        assert found is not None
        assert found.capabilities().did == ended.stdout.strip()
        await reopened.discard()
        await reopened.close()
        assert await identity.sign_token({})

    async def test_a_wrong_pin_locks_nobody_out(self, softhsm: SoftHsm, tmp_path: Path) -> None:
        """A rotator that could not be opened holds no lock."""
        await (await TpmAnima.enroll(hsm_settings(softhsm), pin(), clock=ManualClock())).close()
        with pytest.raises(CustodyAuthFailedError):
            await TpmRotator.open(
                hsm_settings(softhsm), pin("wrong-pin"), did="did:key:z", folder=tmp_path, clock=ManualClock()
            )
        await (await self.rotator(softhsm, tmp_path, "did:key:z")).close()

    async def test_one_rotator_at_a_time(self, softhsm: SoftHsm, tmp_path: Path, identity: TpmAnima) -> None:
        """A second one is refused until the first is closed."""
        did = identity.capabilities().did or ""
        first = await self.rotator(softhsm, tmp_path, did)
        with pytest.raises(ConflictError):
            await self.rotator(softhsm, tmp_path, did)
        await first.close()
        await (await self.rotator(softhsm, tmp_path, did)).close()

    async def test_a_token_removed_in_a_rotation(self, softhsm: SoftHsm, tmp_path: Path, identity: TpmAnima) -> None:
        """Every step is an error and changes nothing; the old key still works afterwards."""
        did = identity.capabilities().did or ""
        rotator = await self.rotator(softhsm, tmp_path, did)
        softhsm.remove()
        with pytest.raises(TokenRemovedError):
            await rotator.prepare()
        softhsm.put_back()
        link = await proven(identity, await rotator.prepare())
        softhsm.remove()
        with pytest.raises(TokenRemovedError):
            await rotator.commit((link,))
        softhsm.put_back()
        assert await identity.sign_token({})
        await rotator.commit((link,))
        await rotator.close()

    async def test_the_switch_needs_the_new_key(self, softhsm: SoftHsm, tmp_path: Path, identity: TpmAnima) -> None:
        """A switch to a key that the token does not have destroys nothing."""
        rotator = await self.rotator(softhsm, tmp_path, identity.capabilities().did or "")
        link = await proven(identity, await rotator.prepare())
        await rotator.discard()
        with pytest.raises(KeyNotFoundError):
            await rotator.commit((link,))
        await rotator.close()
        assert await identity.sign_token({})


async def proven(old: Custody, new: Custody) -> RotationLink:
    """The link of a rotation, with both proofs, verified."""
    before, after = old.capabilities().did or "", new.capabilities().did or ""
    link = RotationLink(
        old_did=before,
        new_did=after,
        rotation_proof_jws=await old.sign_token(proof_claims(before, after, now_s=NOW_S)),
        new_key_proof=await new.sign_token(acceptance_claims(before, after, now_s=NOW_S)),
        rotated_at="2025-11-20T07:03:00.000000Z",
    )
    verify_link(link)
    return link

"""Rotations of `life.anima.rotation` over real key stores: a SoftHSM token, a software TPM, Vault's stand-in and OpenBao."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from life.aios.errors import CustodyError
from life.aios.ports.custody import Custody
from life.anima.custody.tpm import TpmAnima, TpmRotator
from life.anima.custody.vault_transit import VaultRotator, VaultTransitAnima
from life.anima.errors import RotationIncompleteError, StaleHandleError
from life.anima.genesis import ensure_genesis, load_state
from life.anima.identity import WalletAddress, agent_id_of
from life.anima.identity_file import Identity
from life.anima.rotation import KeyRotator, rotate_identity, settle_rotation
from life.crypto import jws
from life.crypto.did import resolve_did
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.anima.custody.test_tpm import hsm_settings, pin, tpm_settings
from tests.anima.custody.test_vault_transit import Server, credential, settings
from tests.anima.material import WALLET_A, soul
from tests.harness.softhsm import SoftHsm
from tests.harness.swtpm import PIN as TPM_PIN
from tests.harness.swtpm import SwTpm

CLOCK = ManualClock()


@dataclass
class Store:
    """A key store with one identity."""

    handle: TpmAnima | VaultTransitAnima
    open: Callable[[str], Awaitable[TpmAnima | VaultTransitAnima]]
    rotator: Callable[[str], Awaitable[TpmRotator | VaultRotator]]


@pytest.fixture(
    params=[
        pytest.param("softhsm", marks=pytest.mark.part("softhsm")),
        pytest.param("swtpm", marks=pytest.mark.part("swtpm")),
        "vault",
        pytest.param("openbao", marks=pytest.mark.part("openbao")),
    ]
)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each key store in turn."""
    found = request.getfixturevalue(request.param)
    made = await (
        of_token(found, tmp_path)
        if isinstance(found, SoftHsm | SwTpm)
        else of_server(found, request.node.name, tmp_path)
    )
    yield made
    await made.handle.close()


async def of_token(found: SoftHsm | SwTpm, folder: Path) -> Store:
    """An identity in a token."""
    is_hsm = isinstance(found, SoftHsm)
    chosen = hsm_settings(found) if isinstance(found, SoftHsm) else tpm_settings(found, folder.name)
    secret = pin() if is_hsm else pin(TPM_PIN)
    return Store(
        await TpmAnima.enroll(chosen, secret, clock=CLOCK),
        lambda did: TpmAnima.open(chosen, secret, clock=CLOCK, did=did),
        lambda did: TpmRotator.open(chosen, secret, did=did, folder=folder, clock=CLOCK),
    )


async def of_server(found: Server, test: str, folder: Path) -> Store:
    """An identity in a Transit key."""
    name = "".join(letter if letter.isalnum() else "-" for letter in test).strip("-")
    found.make_key(name)
    entropy, chosen = SeededEntropy(), settings(found, name)
    return Store(
        await VaultTransitAnima.open(chosen, credential(), clock=CLOCK, entropy=entropy),
        lambda did: VaultTransitAnima.open(chosen, credential(), clock=CLOCK, entropy=entropy, did=did),
        lambda did: VaultRotator.open(chosen, credential(), did=did, folder=folder, clock=CLOCK, entropy=entropy),
    )


class Unswitched:
    """A rotator whose key store is away when the switch is due."""

    def __init__(self, rotator: TpmRotator | VaultRotator) -> None:
        self._rotator = rotator

    async def prepared(self) -> Custody | None:
        """As it is."""
        return await self._rotator.prepared()

    async def prepare(self) -> Custody:
        """As it is."""
        return await self._rotator.prepare()

    async def discard(self) -> None:
        """As it is."""
        await self._rotator.discard()

    async def close(self) -> None:
        """As it is."""
        await self._rotator.close()

    async def commit(self, links: object) -> None:
        """Away."""
        raise CustodyError("The key store went away.")


async def born(store: Store, folder: Path) -> tuple[MemoryJournal, str, str]:
    """The identity's journal, agent id and DID."""
    did = store.handle.capabilities().did
    assert did is not None
    public_key = resolve_did(did).public_key
    identity = Identity(
        folder=folder,
        did=did,
        agent_id=agent_id_of(public_key),
        wallet=WalletAddress(address=WALLET_A, chain="eip155:8453"),
        soul=soul(root_public_key=public_key),
        custody=store.handle.capabilities().backend,
        seed_path=folder / "none",
    )
    journal = MemoryJournal()
    await ensure_genesis(journal, identity)
    return journal, identity.agent_id, did


async def test_two_rotations(store: Store, tmp_path: Path) -> None:
    """Twice from prepare to switch: the journal names the new key, the old one signs no more, the new one opens by its DID."""
    journal, agent_id, did = await born(store, tmp_path)
    handle = store.handle
    for _ in range(2):
        rotator = await store.rotator(did)
        rotation = await rotate_identity(journal, rotator, handle, agent_id=agent_id, clock=CLOCK, cool_down_s=0)
        await rotator.close()
        with pytest.raises(StaleHandleError):
            await handle.sign_token({})
        await handle.close()
        did = rotation.link.new_did
        assert (await current(journal, agent_id)) == did
        handle = await store.open(did)
        assert jws.verify(await handle.sign_token({}), typ="JWT").signer.did == did
    await handle.close()


async def test_the_switch_is_made_up_for(store: Store, tmp_path: Path) -> None:
    """The journal has the rotation and the key store went away: the next start switches, once."""
    journal, agent_id, did = await born(store, tmp_path)
    rotator = await store.rotator(did)
    broken: KeyRotator = Unswitched(rotator)
    with pytest.raises(RotationIncompleteError):
        await rotate_identity(journal, broken, store.handle, agent_id=agent_id, clock=CLOCK)
    await rotator.close()
    again = await store.rotator(did)
    assert await settle_rotation(journal, again, agent_id=agent_id) == "completed"
    assert await settle_rotation(journal, again, agent_id=agent_id) == "nothing"
    await again.close()
    with pytest.raises(StaleHandleError):
        await store.handle.sign_token({})
    await (await store.open(await current(journal, agent_id))).close()


async def test_what_was_prepared_and_not_written_is_thrown_away(store: Store, tmp_path: Path) -> None:
    """A process died after it made the new key: the next start discards it, and the old key goes on."""
    journal, agent_id, did = await born(store, tmp_path)
    rotator = await store.rotator(did)
    await rotator.prepare()
    await rotator.close()
    again = await store.rotator(did)
    assert await settle_rotation(journal, again, agent_id=agent_id) == "discarded"
    assert await settle_rotation(journal, again, agent_id=agent_id) == "nothing"
    await again.close()
    assert await current(journal, agent_id) == did
    assert await store.handle.sign_token({})


async def current(journal: MemoryJournal, agent_id: str) -> str:
    """The DID that the journal names."""
    keys = (await load_state(journal, agent_id)).keys
    assert keys is not None
    return keys.current_did

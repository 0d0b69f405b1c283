"""Opening an identity on the backend that holds its keys, whichever that is (anima.md §11, §13; AN-CUS-7).

    context = CustodyContext(settings.custody, data.identity, key_source, clock, entropy)
    identity, is_new = await ensure_identity(context)
    async with open_custody(context, identity=identity) as custody: ...

`soul.json` says which backend holds the keys, and the settings how it is reached; where both name one, they must agree.
What is opened must be the identity's own key and wallet, or nothing is opened. No backend stands in for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.anima.chain import RotationLink
from life.anima.custody.hardware_wallet import HardwareWalletAnima
from life.anima.custody.ledger_transport import TcpTransport, usb_ledger
from life.anima.custody.oracle_handle import OracleAnima
from life.anima.custody.remote import RemoteAnima
from life.anima.custody.soma.client import SomaCustody
from life.anima.custody.split import CustodyHalf, SplitAnima
from life.anima.custody.tpm import TpmAnima
from life.anima.custody.vault_transit import VaultTransitAnima
from life.anima.custody.wallet_rules import CustodyObserver, WalletRules
from life.anima.custody.web_crypto.anima import WebCryptoAnima
from life.anima.custody.web_crypto.confirmed_wallet import ConfirmedWallet
from life.anima.custody.web_crypto.desk import SigningDesk
from life.anima.errors import CustodyProtocolError, IdentityMismatchError, IdentityNotFoundError
from life.anima.home import (
    DEFAULT_MISSION,
    DEFAULT_NAME_PREFIX,
    create_identity,
    disk_errors,
    open_identity,
    read_identity,
)
from life.anima.identity import DEFAULT_CHAIN, WalletAddress, check_chain
from life.anima.identity_file import SOUL_FILE, Identity, decode_identity, encode_identity_by
from life.anima.key_source import KeySource
from life.anima.policy import PolicyManifest
from life.anima.private_files import FolderLock, make_private_folder, write_public
from life.anima.soul import Soul, build_soul
from life.crypto.did import resolve_did
from life.host.custody_parts import (
    ledger_address,
    ledger_settings,
    remote_settings,
    soma_agent,
    tpm_pin,
    tpm_settings,
    vault_settings,
    vault_token,
)
from life.host.custody_settings import AuthBackend, CustodySettings, WalletBackend, wallet_backend_of
from life.host.errors import SettingsError
from life.host.wallet_seed import ensure_wallet_seed, open_wallet_seed

_DEFAULT_RULES: Final = WalletRules()


class CustodyContext(NamedTuple):
    """What is needed to open an identity on any backend."""

    settings: CustodySettings
    folder: Path
    key_source: Callable[[], KeySource]
    """Asked only where a seed is opened or made; may ask a person."""
    clock: Clock
    entropy: Entropy
    desk: SigningDesk | None = None
    """Where a browser answers, for the backend web_crypto."""


def backend_of(settings: CustodySettings, identity: Identity | None) -> AuthBackend:
    """The backend of the identity key. SettingsError when settings and identity name different ones."""
    if identity is None:
        return settings.backend or "in_process"
    if settings.backend and settings.backend != identity.custody:
        raise SettingsError(
            f"custody.backend is {settings.backend}, but this identity's keys are held by {identity.custody}.",
            next_step=f"Move them with `life identity migrate --to {settings.backend}`, or correct the setting.",
        )
    if identity.custody == "hardware_wallet":
        raise SettingsError("A hardware wallet holds no identity key.")
    return identity.custody


@asynccontextmanager
async def open_custody(
    context: CustodyContext,
    *,
    identity: Identity | None = None,
    rules: WalletRules = _DEFAULT_RULES,
    observer: CustodyObserver | None = None,
) -> AsyncIterator[Custody]:
    """A handle of `identity`, or of the keys that a new identity on this backend will have, for the length of a block.

    SettingsError for what is missing, IdentityMismatchError when the keys found are not the identity's, and the errors of
    the backend.
    """
    backend = backend_of(context.settings, identity)
    if backend == "in_process" and context.settings.wallet_backend in ("", "in_process"):
        if identity is None:
            raise IdentityNotFoundError(f"There is no identity in {context.folder}.")
        opened = await asyncio.to_thread(
            open_identity, context.folder, context.key_source(), clock=context.clock, rules=rules, observer=observer
        )
        try:
            yield opened.custody
        finally:
            opened.custody.close()
        return
    async with AsyncExitStack() as stack:
        handle = await _open_halves(context, backend, identity, rules, observer, stack)
        if identity is not None:
            _check_names(handle, identity)
        yield handle


@asynccontextmanager
async def open_auth(context: CustodyContext, did: str | None = None) -> AsyncIterator[Custody]:
    """The identity half alone of the backend in the settings: the key `did`, or the one that a new identity would have."""
    async with AsyncExitStack() as stack:
        backend = backend_of(context.settings, None)
        auth = await _open_auth(context, backend, did, _DEFAULT_RULES, None, stack, with_wallet=False)
        stack.push_async_callback(_close, auth)
        yield auth


async def _open_halves(
    context: CustodyContext,
    backend: AuthBackend,
    identity: Identity | None,
    rules: WalletRules,
    observer: CustodyObserver | None,
    stack: AsyncExitStack,
) -> Custody:
    wallet_backend = wallet_backend_of(context.settings, backend)
    did = None if identity is None else identity.did
    auth = await _open_auth(context, backend, did, rules, observer, stack, with_wallet=wallet_backend == backend)
    stack.push_async_callback(_close, auth)
    if wallet_backend == backend:
        return auth
    wallet = await _open_wallet(context, wallet_backend, rules, observer)
    if backend == "web_crypto":
        assert context.desk is not None  # `_open_auth` has seen it
        wallet = ConfirmedWallet(wallet, context.desk, clock=context.clock, rules=rules)
    stack.push_async_callback(_close, wallet)
    return SplitAnima(auth, wallet)


async def _open_auth(
    context: CustodyContext,
    backend: AuthBackend,
    did: str | None,
    rules: WalletRules,
    observer: CustodyObserver | None,
    stack: AsyncExitStack,
    *,
    with_wallet: bool,
) -> CustodyHalf:
    settings, clock, entropy = context.settings, context.clock, context.entropy
    match backend:
        case "in_process":
            opened = await asyncio.to_thread(
                open_identity, context.folder, context.key_source(), clock=clock, rules=rules, observer=observer
            )
            return opened.custody
        case "tpm":
            token, pin = tpm_settings(settings.tpm, auth=True, wallet=with_wallet), tpm_pin(settings.tpm)
            if did is None:
                return await TpmAnima.enroll(token, pin, clock=clock, rules=rules, observer=observer)
            return await TpmAnima.open(token, pin, clock=clock, did=did, rules=rules, observer=observer)
        case "vault":
            vault = await VaultTransitAnima.open(
                vault_settings(settings.vault),
                vault_token(settings.vault),
                clock=clock,
                entropy=entropy,
                did=did,
                observer=observer,
            )
            stack.push_async_callback(_stopped, asyncio.create_task(vault.keep_token_alive()))
            return vault
        case "soma":
            return await SomaCustody.open(
                Path(settings.soma.socket),
                soma_agent(settings.soma),
                clock=clock,
                did=did,
                rules=rules,
                observer=observer,
                timeout_s=settings.soma.timeout_s,
            )
        case "remote":
            return await RemoteAnima.open(
                remote_settings(settings.remote), clock=clock, entropy=entropy, did=did, rules=rules, observer=observer
            )
        case "web_crypto":
            if context.desk is None:
                raise SettingsError(
                    "This process serves no page in which a browser could sign.",
                    next_step="Use a command that serves one, or another backend.",
                )
            return WebCryptoAnima.open(context.desk, did=did, observer=observer)


async def _open_wallet(
    context: CustodyContext, backend: WalletBackend, rules: WalletRules, observer: CustodyObserver | None
) -> CustodyHalf:
    settings, clock = context.settings, context.clock
    match backend:
        case "in_process":
            return await asyncio.to_thread(
                open_wallet_seed, context.folder, context.key_source(), clock=clock, rules=rules, observer=observer
            )
        case "tpm":
            token = tpm_settings(settings.tpm, auth=False, wallet=True)
            return await TpmAnima.open(token, tpm_pin(settings.tpm), clock=clock, rules=rules, observer=observer)
        case "soma":
            agent, path = soma_agent(settings.soma), Path(settings.soma.socket)
            return await SomaCustody.open(path, agent, clock=clock, rules=rules, observer=observer)
        case "remote":
            return await RemoteAnima.open(
                remote_settings(settings.remote), clock=clock, entropy=context.entropy, rules=rules, observer=observer
            )
        case "hardware_wallet":
            address = ledger_address(settings.hardware_wallet)
            transport = usb_ledger() if address is None else TcpTransport(*address)
            return await HardwareWalletAnima.open(
                transport, ledger_settings(settings.hardware_wallet), clock=clock, rules=rules, observer=observer
            )


async def ensure_identity(
    context: CustodyContext,
    *,
    name: str | None = None,
    mission: str | None = None,
    chain: str | None = None,
    values: PolicyManifest | None = None,
) -> tuple[Identity, bool]:
    """The identity in the folder, made on the chosen backend if there is none; True when it was made now.

    An oracle (soma, remote) brings the soul that it keeps the limits of; `name`, `mission` and `values` are for the others. Interrupted,
    it is run again: keys that are there are used.
    """
    existing = None
    if (context.folder / SOUL_FILE).exists():
        existing = await asyncio.to_thread(read_identity, context.folder)
    backend = backend_of(context.settings, existing)
    if existing is not None and backend != "in_process":
        return existing, False
    if backend == "in_process":
        if existing is None and context.settings.wallet_backend not in ("", "in_process"):
            raise SettingsError(
                "A new identity in this process brings its own wallet; leave custody.wallet_backend empty."
            )
        return await asyncio.to_thread(
            create_identity,
            context.folder,
            name=name,
            mission=mission,
            chain=chain or DEFAULT_CHAIN,
            key_source=context.key_source(),
            clock=context.clock,
            entropy=context.entropy,
            values=values,
        )
    if backend in ("soma", "remote") and any(wish is not None for wish in (name, mission, chain, values)):
        raise SettingsError(
            "Name, mission, chain and values of this agent are the oracle's.",
            next_step="Give them to `somad provision`.",
        )
    check_chain(chain or DEFAULT_CHAIN)
    if wallet_backend_of(context.settings, backend) == "in_process":
        await asyncio.to_thread(ensure_wallet_seed, context.folder, context.key_source(), entropy=context.entropy)
    async with open_custody(context) as handle:
        capabilities = handle.capabilities()
        if capabilities.did is None or capabilities.wallet_address is None:
            raise SettingsError(f"The backend {backend} offers no identity key or no wallet to this user.")
        if isinstance(handle, OracleAnima):
            (soul, rotations), wallet_chain = _soul_of(handle), handle.facts.chain
        else:
            wallet_chain, rotations = chain or DEFAULT_CHAIN, ()
            soul = build_soul(
                name=name or DEFAULT_NAME_PREFIX + capabilities.wallet_address[-6:],
                mission=mission or DEFAULT_MISSION,
                root_public_key=resolve_did(capabilities.did).public_key,
                created_at_us=context.clock.now_us(),
                values=values,
            )
        wallet = WalletAddress(address=capabilities.wallet_address, chain=wallet_chain)
        content = await encode_identity_by(handle, soul, wallet=wallet, rotations=rotations)
    return await asyncio.to_thread(_write_new, context.folder, content)


def _write_new(folder: Path, content: bytes) -> tuple[Identity, bool]:
    identity = decode_identity(content, folder=folder)  # what is written is what can be read
    with disk_errors(folder):
        make_private_folder(folder)
        with FolderLock(folder):
            if (folder / SOUL_FILE).exists():
                return read_identity(folder), False  # another process was faster
            write_public(folder / SOUL_FILE, content)
    return identity, True


def _soul_of(handle: OracleAnima) -> tuple[Soul, tuple[RotationLink, ...]]:
    try:
        soul = msgspec.json.decode(handle.facts.soul, type=Soul)
        return soul, msgspec.json.decode(handle.facts.rotations, type=tuple[RotationLink, ...])
    except msgspec.DecodeError:
        raise CustodyProtocolError("The oracle's soul for this agent is malformed.") from None


def _check_names(handle: Custody, identity: Identity) -> None:
    capabilities = handle.capabilities()
    for half, found, own in (
        ("identity key", capabilities.did, identity.did),
        ("wallet", capabilities.wallet_address, identity.wallet.address),
    ):
        if found != own:
            raise IdentityMismatchError(
                f"The {half} that was found is {found or 'none'}, but the identity's is {own}.",
                next_step="Check the custody settings: they lead to other keys, or offer this user only a part.",
            )


async def _close(handle: CustodyHalf) -> None:
    closing = handle.close()
    if closing is not None:
        await closing


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

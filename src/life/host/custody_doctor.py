"""`life identity doctor`: the chosen backend, tried with real calls, and one sentence for each thing that was found.

Nothing is made or changed. The identity key signs a token, and the wallet a personal message that says what it is for; a wallet
that a person confirms is asked only when told so. What a call gives back is verified, not believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final, Literal

import msgspec

from life.aios.errors import LifeError
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.anima.custody.remote import CapabilityFile
from life.anima.custody.remote_proofs import read_permit
from life.anima.genesis import agent_stream, load_state
from life.anima.home import read_identity
from life.anima.identity_file import SEED_FILE, Identity
from life.crypto import jws
from life.crypto.address import format_address
from life.crypto.eip191 import personal_message_digest
from life.crypto.errors import CryptoError
from life.crypto.secp256k1 import recover_address
from life.host.custody_opening import CustodyContext, backend_of, open_custody
from life.host.custody_parts import remote_settings
from life.host.custody_settings import wallet_backend_of
from life.host.rotation_into import rotation_into_is_pending

MESSAGE: Final = b"life identity doctor: this signature proves that the wallet works, and allows nothing."
_SHORT_PERMIT_S: Final = 86_400


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at."""

    check: str
    result: Literal["ok", "warning", "failed"]
    says: str
    next_step: str | None = None
    code: str | None = None


async def examine(context: CustodyContext, journal: Journal | None, *, confirm: bool = False) -> AsyncIterator[Finding]:
    """Look at everything, in order; what depends on something that failed is not looked at."""
    try:
        identity = await asyncio.to_thread(read_identity, context.folder)
        yield _ok("identity", f"soul.json holds: {identity.name}, {identity.did}.")
        backend = backend_of(context.settings, identity)
        wallet = wallet_backend_of(context.settings, backend)
    except LifeError as error:
        yield _failed("identity", error)
        return
    shared = "" if wallet == backend else f", the wallet by {wallet}"
    yield _ok("settings", f"The identity key is held by {backend}{shared}.")
    for finding in _folder(context, identity):
        yield finding
    async with AsyncExitStack() as stack:
        try:
            custody = await stack.enter_async_context(open_custody(context, identity=identity))
        except LifeError as error:
            yield _failed("open", error)
        else:
            yield _ok("open", "The backend answers, and holds this identity's key and wallet.")
            yield await _token(custody, identity)
            yield await _wallet(custody, identity, confirm=confirm)
            if "remote" in (backend, wallet):
                yield _permit(context)
    if journal is not None:
        yield await _journal(journal, identity)


async def _token(custody: Custody, identity: Identity) -> Finding:
    try:
        token = await custody.sign_token({"iss": identity.did, "type": "life.doctor"})
        signer = jws.verify(token, typ="JWT").signer.did
    except LifeError as error:
        return _failed("token", error)
    except CryptoError as error:
        return Finding(check="token", result="failed", says=f"The token that was signed does not verify: {error}.")
    if signer != identity.did:
        return Finding(check="token", result="failed", says="The token is signed by another key.")
    return _ok("token", "It signed a token, which verifies.")


async def _wallet(custody: Custody, identity: Identity, *, confirm: bool) -> Finding:
    capabilities = custody.capabilities()
    if capabilities.user_confirmation and not confirm:
        return Finding(
            check="wallet",
            result="warning",
            says="The wallet was not tried: a person has to confirm each signature.",
            next_step="Try it with --confirm, at the device.",
        )
    if "sign_message" not in capabilities.operations:
        return Finding(
            check="wallet",
            result="warning",
            says="The wallet was not tried: this user may have no messages signed.",
            next_step="It can be tried with a payment only.",
        )
    try:
        signature = await custody.sign_message(MESSAGE)
        address = format_address(recover_address(personal_message_digest(MESSAGE), signature))
    except LifeError as error:
        return _failed("wallet", error)
    except CryptoError as error:
        return Finding(check="wallet", result="failed", says=f"The wallet's signature does not verify: {error}.")
    if address != identity.wallet.address:
        return Finding(check="wallet", result="failed", says=f"The signature is that of {address}.")
    return _ok("wallet", f"It signed a message, which recovers to {address}.")


def _folder(context: CustodyContext, identity: Identity) -> list[Finding]:
    findings = []
    if rotation_into_is_pending(context.folder):
        findings.append(
            Finding(
                check="folder",
                result="warning",
                says="A rotation into another backend was begun and not finished.",
                next_step="Run `life identity migrate` again, or start the agent: both finish it.",
            )
        )
    if identity.custody != "in_process" and (context.folder / SEED_FILE).exists():
        findings.append(
            Finding(
                check="folder",
                result="warning",
                says=f"{SEED_FILE} still lies here, although the keys are held by {identity.custody}.",
                next_step=f"life identity migrate --to {identity.custody}",
            )
        )
    return findings


def _permit(context: CustodyContext) -> Finding:
    try:
        content = CapabilityFile(remote_settings(context.settings.remote).capability_file).read()
        claims = read_permit(content.permit, oracle_did=content.oracle)
    except LifeError as error:
        return _failed("permit", error)
    left_s = claims.exp - context.clock.now_us() // 1_000_000
    says = f"The permit holds for another {left_s} seconds; while the agent runs it is renewed."
    if left_s < min(_SHORT_PERMIT_S, (claims.exp - claims.iat) // 4):
        return Finding(check="permit", result="warning", says=says, next_step="somad grant makes a new one.")
    return _ok("permit", says)


async def _journal(journal: Journal, identity: Identity) -> Finding:
    try:
        if (await journal.head(agent_stream(identity.agent_id))).sequence == 0:
            return _ok("journal", "The journal does not know the identity yet; the agent's start writes it.")
        keys = (await load_state(journal, identity.agent_id)).keys
    except LifeError as error:
        return _failed("journal", error)
    if keys is None or keys.is_dead:
        return Finding(check="journal", result="failed", says="The journal says that the identity is revoked.")
    if keys.current_did != identity.did:
        return Finding(
            check="journal",
            result="failed",
            says=f"The journal's current key is {keys.current_did}, not the one in soul.json.",
            next_step="Start the agent: it finishes a rotation that was interrupted. Otherwise restore soul.json.",
        )
    return _ok("journal", "The journal names the same key.")


def _ok(check: str, says: str) -> Finding:
    return Finding(check=check, result="ok", says=says)


def _failed(check: str, error: LifeError) -> Finding:
    return Finding(check=check, result="failed", says=error.message, next_step=error.next_step, code=error.code)

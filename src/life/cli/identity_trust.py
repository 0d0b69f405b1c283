"""`life identity verify` and `attest`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from life.aios.errors import InvalidInputError, LifeError
from life.aios.ids import derived_event_id
from life.anima.attestations import attest as sign_attestation
from life.anima.attestations import read_attestation
from life.anima.document import check_document
from life.anima.errors import TokenRefusedError, UnknownIdentityError
from life.anima.events import IdentityAttested
from life.anima.genesis import identity_event
from life.anima.registry import IdentityRegistry
from life.anima.replay_store import MemoryReplayStore
from life.anima.verifier import TokenVerifier
from life.cli.identity_opening import json_option, opened_identity, read_registry
from life.cli.run import command_errors, data_dir_option, run
from life.crypto import agent_token, jws
from life.crypto.did import resolve_did
from life.crypto.errors import CryptoError
from life.crypto.strict_json import decode_json_object
from life.host.clock import SystemClock, SystemEntropy

_MOST_BYTES: Final = 1 << 20


@click.command()
@data_dir_option
@click.argument("target")
@click.option("--audience", help="The service that an agent token must be for. Default: whatever it says.")
@json_option
@command_errors
def verify(data_dir: Path, target: str, audience: str | None, as_json: bool) -> None:
    """Check a token, a DID, or an identity document in a file.

    Rotations and revocations are those that this project's journal tells of. A token is only looked at, not used up. The exit
    code is 1 for what does not hold.
    """
    try:
        facts = run(_verify(data_dir, target, audience))
    except LifeError as error:
        if not as_json:
            raise
        click.echo(msgspec.json.encode({"valid": False, "code": error.code, "reason": error.message}))
        sys.exit(1)
    valid = bool(facts["valid"])
    if as_json:
        click.echo(msgspec.json.encode(facts))
    else:
        for name, value in facts.items():
            click.echo(f"  {name:<16} {value}")
    if not valid:
        sys.exit(1)


@click.command()
@data_dir_option
@click.option("--subject", help="The DID that the attestation is about.")
@click.option("--claim", help="What you say of it, in a few words.")
@click.option(
    "--evidence", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file whose hash goes with it."
)
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="How long it holds.")
@click.option("--record", metavar="JWS", help="Keep an attestation that somebody else gave this identity.")
@json_option
@command_errors
def attest(
    data_dir: Path,
    subject: str | None,
    claim: str | None,
    evidence: Path | None,
    days: int,
    record: str | None,
    as_json: bool,
) -> None:
    """Sign an attestation about another identity, or keep one about this one."""
    if record is not None:
        kept = run(_record(data_dir, record))
        click.echo(msgspec.json.encode(kept) if as_json else f"Kept: {kept.issuer_did} attests {kept.claim!r}.")
        return
    if subject is None or claim is None:
        raise InvalidInputError(
            "An attestation needs --subject and --claim.", next_step="Or keep one with --record JWS."
        )
    content = None if evidence is None else evidence.read_bytes()
    token = run(_attest(data_dir, subject, claim, content, days))
    click.echo(msgspec.json.encode({"attestation": token}) if as_json else token)


async def _verify(data_dir: Path, target: str, audience: str | None) -> dict[str, object]:
    if target.startswith("did:"):
        async with read_registry(data_dir) as registry:
            return _did_facts(registry, target)
    if target.count(".") == 2 and "/" not in target:
        async with read_registry(data_dir) as registry:
            return _token_facts(registry, target, audience)
    return _document_facts(Path(target))


def _did_facts(registry: IdentityRegistry, did: str) -> dict[str, object]:
    try:
        resolve_did(did)
    except CryptoError as error:
        raise InvalidInputError(f"This is no DID that can be read: {error}.") from None
    standing = registry.standing(did)
    if standing is None:
        raise UnknownIdentityError(
            "This project's journal does not know the DID.",
            next_step="Ask the host of the agent: /.well-known/anima/rotations and /.well-known/anima/revocations.",
        )
    return {
        "valid": standing.key_state == "current" and standing.is_active(SystemClock().now_us()),
        "did": did,
        "agent_id": standing.agent_id,
        "key": standing.key_state,
        "current_did": standing.current_did,
        "state": standing.lifecycle,
        "rotations": len(standing.keys.links),
        "as_of_seq": standing.as_of_seq,
    }


def _token_facts(registry: IdentityRegistry, token: str, audience: str | None) -> dict[str, object]:
    try:
        parsed = jws.parse(token)
        claims = decode_json_object(parsed.payload)
    except CryptoError as error:
        raise TokenRefusedError("invalid", f"The token can't be read ({error.code}).") from None
    if (parsed.typ or "").lower() != agent_token.TYP:
        attestation = read_attestation(token)
        current = SystemClock().now_us() // 1_000_000 < (attestation.expires_at_s or 0)
        return {
            "valid": current,
            "kind": "attestation",
            "issuer": attestation.issuer,
            "subject": attestation.subject,
            "claim": attestation.claim,
            "expires_at_s": attestation.expires_at_s,
        }
    clock = SystemClock()
    named = audience or str(claims.get("aud"))
    verifier = TokenVerifier(
        audience=named,
        identities=registry,
        replay=MemoryReplayStore(clock),
        clock=clock,
        allow_unregistered=True,
    )
    verified = verifier.inspect_agent_token(token)
    return {"valid": True, "kind": "agent token", **msgspec.to_builtins(verified)}


def _document_facts(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(
            f"{path} is no token, no DID, and no file that can be read: {error.strerror}."
        ) from None
    checked = check_document(content, now_s=SystemClock().now_us() // 1_000_000)
    document = checked.document
    return {
        "valid": True,
        "kind": "identity document",
        "did": document.did,
        "agent_id": document.agent_id,
        "name": document.name,
        "soul_hash": document.soul_hash,
        "wallet": None if document.wallet is None else f"{document.wallet.chain}:{document.wallet.address}",
        "rotations": len(document.rotation_chain),
        "attestations": sum(item.verified for item in document.attestations),
        "not checked": "whether it was revoked since: ask the host for /.well-known/anima/revocations",
    }


async def _attest(data_dir: Path, subject: str, claim: str, evidence: bytes | None, days: int) -> str:
    async with opened_identity(data_dir) as opened:
        return await sign_attestation(
            opened.custody,
            subject=subject,
            claim=claim,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            lifetime_s=days * 24 * 3600,
            evidence=evidence,
        )


async def _record(data_dir: Path, token: str) -> IdentityAttested:
    attestation = read_attestation(token)
    async with opened_identity(data_dir, create_journal=True) as opened:
        own = (opened.identity.did, *(link.old_did for link in opened.identity.rotations))
        if attestation.subject not in own:
            raise InvalidInputError("The attestation is about another identity than this project's.")
        event = IdentityAttested(issuer_did=attestation.issuer, claim=attestation.claim, attestation_jws=token)
        new = identity_event(
            event,
            event_id=derived_event_id("anima.identity_attested", opened.identity.agent_id, token),
            agent_id=opened.identity.agent_id,
            timestamp_us=SystemClock().now_us(),
        )
        await opened.journal.append([new])
        return event

"""`soul.json`: the public half of an identity, meant to be committed with the project (anima.md §22).

    {"schema_version": 1,
     "did": "did:key:zDn…",
     "wallet": {"address": "0x…", "chain": "eip155:8453"},
     "soul_hash": "…",
     "custody": {"kind": "in_process", "seed_file": "seed.enc"},
     "soul": {…},
     "rotations": [{…}],
     "seal": "<JWS>"}

`seal` is a signature by the identity's own key over the SHA-256 of the RFC 8785 form of everything else. A hash can be
computed again by whoever changes the file; the seal can't, so a changed name, mission, limit, wallet or chain is found even
without the seed. Reading verifies the seal, the soul's hash, and that the DID is that of the root key, or the one to which
the rotations lead from it, each with its proofs (AN-SELF-1). An identity that never rotated has no member `rotations`.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final, Literal

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.json import JsonObject
from life.aios.ports.custody import BackendKind, Capabilities, Custody
from life.anima.chain import RotationLink, verify_chain
from life.anima.custody.in_process import InProcessAnima
from life.anima.errors import IdentityFileError, IdentityMismatchError, RotationRefusedError
from life.anima.identity import WalletAddress, agent_id_of, check_chain
from life.anima.lineage import root_did
from life.anima.soul import Soul
from life.crypto import jws
from life.crypto.address import format_address, parse_address
from life.crypto.canonical import canonical_json
from life.crypto.errors import CryptoError, InvalidEncodingError
from life.crypto.strict_json import decode_json_object

SOUL_FILE: Final = "soul.json"
SEED_FILE: Final = "seed.enc"
SEAL_TYPE: Final = "anima.identity_seal"

_JWT: Final = "JWT"
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class CustodyEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which backend holds the keys, and the seed's file name beside soul.json where they follow from a seed."""

    kind: BackendKind
    seed_file: str | None = None


class IdentityDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of soul.json."""

    schema_version: Literal[1] = 1
    did: str
    wallet: WalletAddress
    soul_hash: str
    custody: CustodyEntry
    soul: Soul
    seal: str
    rotations: tuple[RotationLink, ...] = ()


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody may know of an identity in a folder. Made by `life.anima.home`."""

    folder: Path
    did: str
    agent_id: str
    wallet: WalletAddress
    soul: Soul
    custody: BackendKind
    seed_path: Path
    rotations: tuple[RotationLink, ...] = ()
    """How `did` follows from the soul's root key; verified. Without sequences, which belong to one journal."""

    @property
    def root_did(self) -> str:
        """The DID the agent was born with."""
        return root_did(self.soul)

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.soul.origin.name

    @property
    def soul_hash(self) -> str:
        """The soul's hash, 64 hex digits."""
        return self.soul.soul_hash


def encode_identity(
    soul: Soul, *, chain: str, custody: InProcessAnima, rotations: tuple[RotationLink, ...] = ()
) -> bytes:
    """The text of soul.json for the identity whose keys `custody` holds, sealed by them.

    `rotations` lead from the soul's root key to the key of `custody`.
    """
    capabilities = custody.capabilities()
    if capabilities.did is None or capabilities.wallet_address is None:
        raise IdentityMismatchError("An identity needs an auth key and a wallet.")
    wallet = WalletAddress(address=capabilities.wallet_address, chain=check_chain(chain))
    document = _draft(soul, capabilities, wallet, rotations)
    return _sealed(document, custody.sign_claims(_seal_claims(document), typ=_JWT))


async def encode_identity_by(
    custody: Custody, soul: Soul, *, wallet: WalletAddress, rotations: tuple[RotationLink, ...] = ()
) -> bytes:
    """As `encode_identity`, for any backend; the wallet may be held by another one."""
    document = _draft(soul, custody.capabilities(), wallet, rotations)
    return _sealed(document, await custody.sign_token(_seal_claims(document), typ=_JWT))


def _draft(
    soul: Soul, capabilities: Capabilities, wallet: WalletAddress, rotations: tuple[RotationLink, ...]
) -> IdentityDocument:
    """The document without its seal."""
    if capabilities.did is None:
        raise IdentityMismatchError("An identity needs an auth key.")
    return IdentityDocument(
        did=capabilities.did,
        wallet=wallet,
        soul_hash=soul.soul_hash,
        custody=CustodyEntry(
            kind=capabilities.backend, seed_file=SEED_FILE if capabilities.backend == "in_process" else None
        ),
        soul=soul,
        seal="",
        rotations=tuple(msgspec.structs.replace(link, rotated_at_seq=0) for link in rotations),
    )


def _sealed(document: IdentityDocument, seal: str) -> bytes:
    encoded = msgspec.json.encode(_members(msgspec.structs.replace(document, seal=seal)))
    return msgspec.json.format(encoded, indent=2) + b"\n"


def decode_identity(content: bytes, *, folder: Path) -> Identity:
    """The identity in soul.json's text, verified.

    IdentityFileError when it can't be read or its seal does not hold, SoulIntegrityViolationError when the soul was
    changed, IdentityMismatchError when DID, root key or hash disagree.
    """
    try:
        members = decode_json_object(content)
        document = msgspec.convert(members, IdentityDocument)
    except (InvalidEncodingError, msgspec.ValidationError, InvalidInputError) as error:
        raise _unreadable(folder, str(error)) from None
    if document.soul_hash != document.soul.soul_hash:
        raise IdentityMismatchError(f"{folder / SOUL_FILE} names another hash than that of its soul.")
    _verify_did(document, folder)
    seed_file = document.custody.seed_file or SEED_FILE
    if _FILE_NAME.fullmatch(seed_file) is None:
        raise _unreadable(folder, "the seed file's name is not a plain file name")
    _verify_seal(document, folder)
    return Identity(
        folder=folder,
        did=document.did,
        agent_id=agent_id_of(bytes.fromhex(document.soul.root_public_key)),
        wallet=_checked_wallet(document.wallet, folder),
        soul=document.soul,
        custody=document.custody.kind,
        seed_path=folder / seed_file,
        rotations=document.rotations,
    )


def _members(document: IdentityDocument) -> dict[str, object]:
    """The document as JSON; without rotations it reads as it did before there were any."""
    members: dict[str, object] = msgspec.to_builtins(document)
    if not document.rotations:
        del members["rotations"]
    return members


def _verify_did(document: IdentityDocument, folder: Path) -> None:
    try:
        reached = verify_chain(document.rotations, start=root_did(document.soul))
    except RotationRefusedError as error:
        raise IdentityMismatchError(f"{folder / SOUL_FILE} has rotations that do not hold: {error.message}") from None
    if reached != document.did:
        raise IdentityMismatchError(f"{folder / SOUL_FILE} names another DID than that of its soul's root key.")


def _seal_claims(document: IdentityDocument) -> JsonObject:
    sealed = _members(document)
    del sealed["seal"]
    return {
        "iss": document.did,
        "sub": document.soul_hash,
        "type": SEAL_TYPE,
        "document_sha256": hashlib.sha256(canonical_json(sealed)).hexdigest(),
    }


def _verify_seal(document: IdentityDocument, folder: Path) -> None:
    try:
        seal = jws.verify(document.seal, typ=_JWT)
        holds = seal.signer.did == document.did and seal.claims == _seal_claims(document)
    except CryptoError:
        holds = False
    if not holds:
        raise IdentityFileError(
            f"{folder / SOUL_FILE} is not what its owner signed.",
            next_step="Restore it from a backup or from version control.",
        )


def _checked_wallet(wallet: WalletAddress, folder: Path) -> WalletAddress:
    try:
        check_chain(wallet.chain)
        canonical = format_address(parse_address(wallet.address)) == wallet.address
    except (CryptoError, InvalidInputError):
        canonical = False
    if not canonical:
        raise _unreadable(folder, "the wallet is malformed")
    return wallet


def _unreadable(folder: Path, reason: str) -> IdentityFileError:
    return IdentityFileError(
        f"{folder / SOUL_FILE} can't be used: {reason}.",
        next_step="Restore it from a backup or from version control.",
    )

"""What an archive says of itself: its manifest, in RFC 8785 form, and the signature over it.

README.txt              how to check it
blobs/<sha256>          contents that the events mention and the store had
checkpoints.jsonl       the signed checkpoints of the session's branches, as records
events/<n>.jsonl.gz     one branch each: records as `export` writes them, oldest first
keys.json               the public history of the agent's keys (life.lago.proof.signing_keys.SigningKeys)
manifest.json           lengths and SHA-256 of all of these, and the heads of the branches
manifest.jws            the agent's signature over the manifest, typ `life-archive+jwt`; missing when no key was at hand
verify.py               a verifier that needs Python and nothing else
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from life.crypto.canonical import canonical_json
from life.lago.errors import ArchiveDamagedError

TYPE: Final = "life.session_archive"
TYP: Final = "life-archive+jwt"
SIGNATURE_TYPE: Final = "lago.archive"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.jws"
CHECKPOINTS: Final = "checkpoints.jsonl"
KEYS: Final = "keys.json"


class BranchEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One branch: where its events are, and its head."""

    branch_id: str
    member: str
    events: int
    digest: str


class MemberEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member of the archive."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything but the manifest and its signature."""

    type: str = TYPE
    version: int = 1
    session_id: str
    agent_id: str | None
    branches: tuple[BranchEntry, ...]
    members: tuple[MemberEntry, ...]


def encode_manifest(manifest: Manifest) -> bytes:
    """The one form a manifest has."""
    return canonical_json(msgspec.to_builtins(manifest))


def decode_manifest(content: bytes) -> Manifest:
    """The manifest; ArchiveDamagedError when it is none, or not in its one form."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArchiveDamagedError(MANIFEST, f"it can't be read ({error})") from None
    if (manifest.type, manifest.version) != (TYPE, 1) or encode_manifest(manifest) != content:
        raise ArchiveDamagedError(MANIFEST, "it is not written as a manifest is")
    return manifest


def manifest_hash(content: bytes) -> str:
    """What the signature says of a manifest."""
    return sha256(content).hexdigest()

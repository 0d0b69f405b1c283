"""Whose skill is it? A detached signature by a DID over all files of the folder (`SKILL.sig`).

What is signed is the SHA-256 of the canonical JSON (RFC 8785) of every file's path and SHA-256; so a changed, added or removed
file breaks the signature. The signature is a compact JWS (RFC 7515) with its payload left out (appendix F); the key is the
`did:key` of its `kid`, and needs no network. A signature proves who signed, not that the skill is good: whether the signer is
trusted is the operator's setting. The file is `header..signature`, and stands in the folder itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from life.aios.json import JsonObject
from life.crypto import jws
from life.crypto.base64url import encode_base64url
from life.crypto.canonical import canonical_json
from life.crypto.did import Curve
from life.crypto.errors import CryptoError
from life.praxis.errors import SkillSignatureError

SIGNATURE_NAME: Final = "SKILL.sig"
TYPE: Final = "life-skill+jws"
MAX_SIGNATURE_BYTES: Final = 2_048

_CURVES: Final = frozenset({Curve.P256, Curve.SECP256K1, Curve.ED25519})


def files_digest(files: Mapping[str, str]) -> str:
    """SHA-256 in hex over the canonical JSON of path → SHA-256 of every file but the signature."""
    listed = {path: digest for path, digest in files.items() if path != SIGNATURE_NAME}
    return hashlib.sha256(b"life.skill.files.1\x00" + canonical_json(listed)).hexdigest()


def claims_of(name: str, files: Mapping[str, str]) -> JsonObject:
    """What is signed, members in canonical order."""
    return {"files_sha256": files_digest(files), "skill": name}


async def sign_files(
    name: str, files: Mapping[str, str], sign_token: Callable[[JsonObject, str], Awaitable[str]]
) -> str:
    """The content of `SKILL.sig`. `sign_token` makes a compact JWS over claims with a type (custody's)."""
    token = await sign_token(claims_of(name, files), TYPE)
    header, _, rest = token.partition(".")
    detached = f"{header}..{rest.rpartition('.')[2]}"
    verify_files(name, files, detached.encode())
    return detached + "\n"


def verify_files(name: str, files: Mapping[str, str], signature: bytes) -> str:
    """The signer's DID. SkillSignatureError: this signature was not made over these files by the key that it names."""
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise SkillSignatureError(f"{SIGNATURE_NAME} is larger than {MAX_SIGNATURE_BYTES} bytes.")
    try:
        header, payload, signed = signature.decode("ascii").strip().split(".")
    except ValueError:
        raise SkillSignatureError(f"{SIGNATURE_NAME} is no detached JWS.") from None
    if payload:
        raise SkillSignatureError(f"{SIGNATURE_NAME} brings a payload of its own; it must be detached.")
    claims = encode_base64url(msgspec.json.encode(claims_of(name, files)))
    try:
        verified = jws.verify(f"{header}.{claims}.{signed}", typ=TYPE, curves=_CURVES)
    except CryptoError as error:
        raise SkillSignatureError(f"The signature does not fit the files: {error}.") from None
    return verified.signer.did

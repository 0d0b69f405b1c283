"""From a typed request to the bytes that are signed: checks that every backend makes the same way (AN-CUS-2, AN-KEY-4).

Nothing here takes a digest from outside. Each form has its own frame, so that no signature is good for two purposes:

* token: SHA-256 over ``base64url(header) . base64url(claims)``, P-256
* message: Keccak-256 over ``\\x19Ethereum Signed Message:\\n`` and the length, secp256k1 (EIP-191)
* authorization: Keccak-256 over ``\\x19\\x01`` and two hashes, secp256k1 (EIP-712)
* transaction: Keccak-256 over ``\\x02`` and a list, secp256k1 (EIP-1559)
* probe of a device: SHA-256 over ``anima:digest:v1:`` and a label, P-256 (AN-KEY-4); never a token, which begins with
  a base64url letter and has a full stop
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec

from life.aios.json import JsonObject
from life.aios.ports.custody import EvmTransaction
from life.anima.custody.wallet_rules import MAX_MESSAGE_BYTES
from life.anima.errors import BadSignatureError, CustodyInputError
from life.crypto import secp256k1
from life.crypto.address import parse_address
from life.crypto.base64url import encode_base64url
from life.crypto.did import DidKey
from life.crypto.errors import CryptoError, InvalidSignatureError
from life.crypto.jws import MAX_TOKEN_BYTES, Algorithm, algorithm_of, assemble, signing_input, verify_signature
from life.crypto.transaction import Eip1559Transaction, signing_hash

_TYP_CHARACTERS: Final = 64
_SIGNATURE_CHARACTERS: Final = 87  # a full stop, and 64 bytes in base64url
_JSON: Final = msgspec.json.Encoder()


def probe_digest(label: str) -> bytes:
    """The digest by which a device is asked whether it can sign; it is no token, message or payment (AN-KEY-4)."""
    return sha256(b"anima:digest:v1:" + label.encode() + b"\x00" + bytes(32)).digest()


def token_input(claims: JsonObject, typ: str, *, key: DidKey, issuers: tuple[str, ...]) -> bytes:
    """The signing input of a token of `key`. CustodyInputError for claims, type or issuer that can't be signed."""
    head = _head(key.did, algorithm_of(key.curve), typ)
    if not isinstance(claims, Mapping):
        raise CustodyInputError("The claims of a token are a JSON object.")
    if "iss" in claims and claims["iss"] not in issuers:
        raise CustodyInputError("A token's issuer must be this identity's DID or the thumbprint of its key.")
    try:
        message = head + encode_base64url(_JSON.encode(claims)).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        raise CustodyInputError("The claims of a token are a JSON object.") from None
    if len(message) + _SIGNATURE_CHARACTERS > MAX_TOKEN_BYTES:
        raise CustodyInputError(f"A token has at most {MAX_TOKEN_BYTES} bytes.")
    return message


@lru_cache(maxsize=64)
def _head(did: str, algorithm: Algorithm, typ: str) -> bytes:
    """The header of a token in base64url, with its full stop. CustodyInputError for a type that is not plain."""
    if not 0 < len(typ) <= _TYP_CHARACTERS or not typ.isascii() or not typ.isprintable():
        raise CustodyInputError("The type of a token is 1 to 64 printable ASCII characters.")
    return signing_input(algorithm, {}, typ=typ, kid=did).partition(b".")[0] + b"."


def check_message(message: bytes) -> None:
    """CustodyInputError unless `message` is bytes of at most 64 KiB."""
    if not isinstance(message, bytes) or len(message) > MAX_MESSAGE_BYTES:
        raise CustodyInputError(f"A message to sign is at most {MAX_MESSAGE_BYTES} bytes.")


def eip1559(transaction: EvmTransaction) -> tuple[Eip1559Transaction, bytes]:
    """The transaction in the form that is hashed, and its hash. CustodyInputError when it can't be right."""
    try:
        fields = Eip1559Transaction(
            chain_id=transaction.chain_id,
            nonce=transaction.nonce,
            max_priority_fee_per_gas_wei=transaction.max_priority_fee_per_gas_wei,
            max_fee_per_gas_wei=transaction.max_fee_per_gas_wei,
            gas_limit=transaction.gas_limit,
            to=parse_address(transaction.to_address),
            value_wei=transaction.value_wei,
            data=transaction.data,
        )
        return fields, signing_hash(fields)
    except CryptoError as error:
        raise CustodyInputError(f"The transaction can't be right: {error}.") from None
    except (TypeError, AttributeError):
        raise CustodyInputError("The transaction has a field of the wrong type.") from None


def finish_token(message: bytes, signature: bytes, *, key: DidKey) -> str:
    """Join a signing input and a device's 64 bytes, checked against `key`; BadSignatureError when they don't verify."""
    try:
        verify_signature(key, message, signature)
        return assemble(message, signature)
    except InvalidSignatureError:
        raise BadSignatureError("The token's signature does not verify; nothing was released.") from None


def finish_wallet_signature(digest: bytes, signature: bytes, *, address: bytes) -> bytes:
    """A device's ``r ‖ s`` as 65 bytes with low s and the v that recovers to `address` (AN-CUS-2).

    The recovery id is found, never believed. BadSignatureError when no spelling of it recovers to `address`.
    """
    if len(signature) == 64:
        s = int.from_bytes(signature[32:], "big")
        if secp256k1.ORDER // 2 < s < secp256k1.ORDER:
            signature = signature[:32] + (secp256k1.ORDER - s).to_bytes(32, "big")
        for v in (b"\x1b", b"\x1c"):
            try:
                if secp256k1.recover_address(digest, signature + v) == address:
                    return signature + v
            except InvalidSignatureError:
                continue
    raise BadSignatureError("The signature is not that of this wallet; nothing was released.")

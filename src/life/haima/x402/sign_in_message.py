"""Signing in where the wallet has paid before: the client's side of x402's extension `sign-in-with-x` (x402.md §5).

A challenge is answered only when it is for the very origin that was asked, for a chain that this wallet pays on, and fresh; the
text that is signed is EIP-4361's, written by `sign_in.Proof` like the one that the server checks. An EIP-191 signature over it
can be neither a payment nor a transaction.
"""

from __future__ import annotations

import binascii
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

import msgspec

from life.aios.json import JsonObject
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.payees import origin_of
from life.haima.x402.sign_in import SIGN_IN_WITH_X, Proof
from life.haima.x402.terms import Offers
from life.haima.x402.wire import read_extensions

_encode: Final = msgspec.json.Encoder().encode
_MAX_NONCE_CHARS: Final = 128


def challenge_of(offers: Offers) -> JsonObject | None:
    """The challenge in the terms of a 402, if the seller lets wallets sign in."""
    return read_extensions(offers.extensions).get(SIGN_IN_WITH_X)


def unsigned_proof(challenge: JsonObject, *, url: str, address: str, networks: Collection[str]) -> Proof | None:
    """The proof to sign, with an empty signature; None when the challenge is not one for this URL and this wallet."""
    info = challenge.get("info")
    if not isinstance(info, dict):
        return None
    network = _network(challenge.get("supportedChains"), info, networks)
    texts = {name: info.get(name) for name in ("domain", "uri", "nonce", "issuedAt")}
    if network is None or not all(isinstance(text, str) and text for text in texts.values()):
        return None
    if info.get("version", "1") != "1" or not _is_ours(str(texts["domain"]), str(texts["uri"]), url):
        return None
    nonce = str(texts["nonce"])
    if not (nonce.isascii() and nonce.isalnum() and 8 <= len(nonce) <= _MAX_NONCE_CHARS):
        return None
    fields = {
        **{name: value for name, value in info.items() if name in _OPTIONAL},
        **texts,
        "address": address,
        "version": "1",
        "chainId": network,
        "type": "eip191",
        "signature": "",
    }
    try:
        proof = msgspec.convert(fields, Proof)
        proof.message()
    except (msgspec.ValidationError, MalformedPaymentError, PaymentRefusedError):
        return None
    return proof


def encode_proof(proof: Proof, signature: bytes) -> str:
    """The value of SIGN-IN-WITH-X."""
    signed = msgspec.structs.replace(proof, signature="0x" + signature.hex())
    present = {name: value for name, value in msgspec.to_builtins(signed).items() if value is not None}
    return binascii.b2a_base64(_encode(present), newline=False).decode("ascii")


_OPTIONAL: Final = frozenset(("statement", "expirationTime", "notBefore", "requestId", "resources"))


def _is_ours(domain: str, uri: str, url: str) -> bool:
    """Whether the challenge is for the origin that was asked: a proof for another one could be carried there."""
    try:
        asked = urlsplit(url)
    except ValueError:
        return False
    return domain.lower() == asked.netloc.rpartition("@")[2].lower() and origin_of(uri) == origin_of(url)


def _network(chains: object, info: JsonObject, networks: Collection[str]) -> str | None:
    if isinstance(chains, list):
        for chain in chains:
            if isinstance(chain, dict) and chain.get("type") == "eip191" and chain.get("chainId") in networks:
                return str(chain["chainId"])
        return None
    single = info.get("chainId")
    return single if isinstance(single, str) and single in networks else None

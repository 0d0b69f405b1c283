"""Scheme `exact` on EVM by EIP-3009: reading, building and checking a payment without a chain (x402.md §1, §3.1).

A verifier's steps 1 to 6 are here: scheme and network, token domain, recipient, value, window, signature. What needs a
chain (code at the token, funds, the nonce's state, the dry run) is asked of the `Chain` port.

Signatures are those of a plain key: 65 bytes r‖s‖v, low s; v of 0 or 1 is read as 27 or 28. Numbers are canonical
decimals and addresses 20 bytes, so that one payment has one key, whatever spelling it came in (x402.md §16.4).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import UNSET, Raw, UnsetType

from life.aios.ports.chain import Refusal
from life.aios.ports.custody import TransferAuthorization
from life.crypto.address import format_address, parse_address
from life.crypto.eip3009 import Domain, authorization_digest
from life.crypto.errors import CryptoError
from life.crypto.secp256k1 import is_low_s, recover_address
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import codes
from life.haima.x402.networks import BUILT_IN, NetworkRegistry, chain_id_of
from life.haima.x402.wire import (
    X402_VERSION,
    ExactEvmAuthorization,
    ExactEvmPayload,
    PaymentPayload,
    PaymentRequirements,
    decode_exact_payload,
    to_raw,
)

SCHEME: Final = "exact"

SETTLING_MARGIN_S: Final = 6
"""A payment must stay valid for at least this long, or a settlement could come too late (x402.md §3.1, step 5)."""

_UINT256: Final = 1 << 256
_UINT256_DIGITS: Final = 78


class SignedAuthorization(NamedTuple):
    """A payment as it was signed, in one spelling. Nothing about it is verified until `verify_offline` says so."""

    authorization: TransferAuthorization
    signature: bytes
    """65 bytes r‖s‖v, v 27 or 28."""
    payer: str
    """`from`, EIP-55."""
    key: str
    """The claim key: network, token, payer and nonce in lower case, joined by '|'. One key settles once, for ever."""


def parse_exact(
    payload: PaymentPayload, requirements: PaymentRequirements, *, registry: NetworkRegistry = BUILT_IN
) -> SignedAuthorization:
    """Read a payment against the terms it must fulfil (steps 1 and 2, and the shape of everything else).

    MalformedPaymentError for what is no EIP-3009 payment; PaymentRefusedError for another scheme or network, an unknown
    domain, or a signature that can't be one of a plain key.
    """
    accepted = payload.requirements()
    if accepted.scheme != SCHEME or requirements.scheme != SCHEME:
        raise PaymentRefusedError(codes.UNSUPPORTED_SCHEME)
    if accepted.network != requirements.network:
        raise PaymentRefusedError(codes.NETWORK_MISMATCH)
    return parse_matched(payload, requirements, registry=registry)


def parse_matched(
    payload: PaymentPayload, requirements: PaymentRequirements, *, registry: NetworkRegistry = BUILT_IN
) -> SignedAuthorization:
    """The same for a payment whose `accepted` was found equal to these terms (`Offer.matches`): it is not read again."""
    if requirements.scheme != SCHEME:
        raise PaymentRefusedError(codes.UNSUPPORTED_SCHEME)
    domain = registry.domain(requirements)
    exact = decode_exact_payload(payload.payload)
    fields = exact.authorization
    payer = read_address(fields.from_, "from")
    nonce = _read_hex(fields.nonce)
    if nonce is None or len(nonce) != 32:
        raise MalformedPaymentError("The nonce is not 0x and 64 hex digits.")
    authorization = TransferAuthorization(
        network=requirements.network,
        asset=read_address(domain.contract, "asset"),
        token_name=domain.name,
        token_version=domain.version,
        from_address=payer,
        to_address=read_address(fields.to, "to"),
        value_atomic=_read_uint(fields.value, "value"),
        valid_after_s=_read_uint(fields.valid_after, "validAfter"),
        valid_before_s=_read_uint(fields.valid_before, "validBefore"),
        nonce=nonce,
    )
    return SignedAuthorization(authorization, _read_signature(exact.signature), payer, claim_key(authorization))


def verify_offline(signed: SignedAuthorization, requirements: PaymentRequirements, *, now_s: int) -> Refusal | None:
    """Steps 3 to 6: recipient, value, window and signature. None when the chain may be asked."""
    authorization = signed.authorization
    if authorization.to_address.lower() != requirements.pay_to.lower():
        return Refusal(codes.RECIPIENT_MISMATCH, "The payment goes to somebody else.")
    if not _is_uint(requirements.amount) or authorization.value_atomic != int(requirements.amount):
        return Refusal(codes.VALUE_MISMATCH, "The payment is not exactly the amount that is asked.")
    if authorization.valid_before_s < now_s + SETTLING_MARGIN_S:
        return Refusal(codes.VALID_BEFORE, "The payment has expired or is about to.")
    if authorization.valid_after_s > now_s:
        return Refusal(codes.VALID_AFTER, "The payment is not valid yet.")
    if not is_low_s(signed.signature):
        return Refusal(codes.INVALID_SIGNATURE, "The signature has a high s.")
    try:
        signer = recover_address(digest(authorization), signed.signature)
    except CryptoError:
        return Refusal(codes.INVALID_SIGNATURE, "The signature is no signature.")
    if signer != bytes.fromhex(authorization.from_address[2:]):
        return Refusal(codes.INVALID_SIGNATURE, "Somebody else signed.")
    return None


def build_payload(
    accepted: Raw,
    authorization: TransferAuthorization,
    signature: bytes,
    *,
    resource: Raw | UnsetType = UNSET,
    extensions: Raw | UnsetType = UNSET,
) -> PaymentPayload:
    """The payment to send: the same parts always give the same bytes."""
    exact = ExactEvmPayload(
        signature="0x" + signature.hex(),
        authorization=ExactEvmAuthorization(
            from_=authorization.from_address,
            to=authorization.to_address,
            value=str(authorization.value_atomic),
            valid_after=str(authorization.valid_after_s),
            valid_before=str(authorization.valid_before_s),
            nonce="0x" + authorization.nonce.hex(),
        ),
    )
    return PaymentPayload(
        x402_version=X402_VERSION,
        accepted=accepted,
        payload=to_raw(exact),
        resource=resource,
        extensions=extensions,
    )


def claim_key(authorization: TransferAuthorization) -> str:
    """What identifies a payment for ever: (network, token, payer, nonce). The recipient and the value are not part of
    it, because the token contract burns the nonce whatever else was signed with it."""
    a = authorization
    return f"{a.network}|{a.asset.lower()}|{a.from_address.lower()}|0x{a.nonce.hex()}"


def digest(authorization: TransferAuthorization) -> bytes:
    """The 32 bytes that are signed (EIP-712 over EIP-3009's TransferWithAuthorization)."""
    a = authorization
    return authorization_digest(
        domain_separator(a.network, a.asset, a.token_name, a.token_version),
        bytes.fromhex(a.from_address[2:]),
        bytes.fromhex(a.to_address[2:]),
        a.value_atomic,
        a.valid_after_s,
        a.valid_before_s,
        a.nonce,
    )


@lru_cache(maxsize=1024)
def domain_separator(network: str, asset: str, name: str, version: str) -> bytes:
    """EIP-712's domain separator of a token, computed once; MalformedPaymentError for a network without a chain id."""
    chain_id = chain_id_of(network)
    if chain_id is None:
        raise MalformedPaymentError("The network is not an EVM network (eip155:<chain id>).")
    return Domain(name, version, chain_id, bytes.fromhex(asset[2:])).separator


def read_address(text: str, what: str) -> str:
    """An address in EIP-55 spelling from any case; a wrong mixed-case checksum is a MalformedPaymentError (HM-WAL-1)."""
    checked = _checksummed(text)
    if checked is None:
        raise MalformedPaymentError(f"'{what}' is not an address (0x and 40 hex digits).")
    return checked


@lru_cache(maxsize=8192)
def _checksummed(text: str) -> str | None:
    try:
        return format_address(parse_address(text))
    except CryptoError:
        return None


def _read_uint(text: str, what: str) -> int:
    if not _is_uint(text):
        raise MalformedPaymentError(f"'{what}' is not a decimal number.")
    value = int(text)
    if value >= _UINT256:
        raise MalformedPaymentError(f"'{what}' is not below 2^256.")
    return value


def _is_uint(text: str) -> bool:
    """Whether it is decimal as it is written canonically: `0`, or at most 78 digits without a leading zero."""
    is_decimal = text.isascii() and text.isdigit() and len(text) <= _UINT256_DIGITS
    return is_decimal and (text[0] != "0" or len(text) == 1)


def _read_hex(text: str) -> bytes | None:
    """The bytes of `0x` and hex digits, two for each and nothing between them; None for any other text."""
    if not text.startswith("0x"):
        return None
    try:
        content = bytes.fromhex(text[2:])
    except ValueError:
        return None
    return content if 2 * len(content) == len(text) - 2 else None  # fromhex skips blanks


def _read_signature(text: str) -> bytes:
    signature = _read_hex(text)
    if signature is None:
        raise MalformedPaymentError("The signature is not 0x and hex digits.")
    if len(signature) != 65:
        raise PaymentRefusedError(codes.INVALID_SIGNATURE, "Only 65-byte signatures of a plain key are accepted.")
    v = signature[64]
    if v in (0, 1):
        return signature[:64] + bytes((v + 27,))
    if v not in (27, 28):
        raise PaymentRefusedError(codes.INVALID_SIGNATURE, "The signature's v is neither 27 nor 28.")
    return signature

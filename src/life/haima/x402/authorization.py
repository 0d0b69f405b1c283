"""What a payer signed, in one spelling, whatever the scheme and the transfer method: its parts, its key and its digest.

Numbers are canonical decimals and addresses 20 bytes, so that one payment has one key, whatever spelling it came in
(x402.md §16.4). Signatures are kept as bytes: 65 bytes r‖s‖v of a plain key (v of 0 or 1 is read as 27 or 28), or whatever a
contract accepts (ERC-1271), also wrapped by ERC-6492.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import UNSET, Raw, UnsetType

from life.aios.ports.chain import Refusal, SignedPermit
from life.aios.ports.custody import PaymentAuthorization, PermitTransfer
from life.crypto.address import format_address, parse_address
from life.crypto.eip3009 import Domain, authorization_digest
from life.crypto.errors import CryptoError
from life.crypto.permit2 import PERMIT2, permit_witness_digest
from life.crypto.secp256k1 import is_low_s, recover_address
from life.haima.errors import MalformedPaymentError
from life.haima.x402.networks import chain_id_of
from life.haima.x402.wire import (
    X402_VERSION,
    ExactEvmAuthorization,
    ExactEvmPayload,
    PaymentPayload,
    Permit2Authorization,
    Permit2EvmPayload,
    Permit2Permitted,
    Permit2Witness,
    to_raw,
)

EXACT: Final = "exact"
UPTO: Final = "upto"

SETTLING_MARGIN_S: Final = 6
"""A payment must stay valid for at least this long, or a settlement could come too late (x402.md §3.1, step 5)."""
MAX_SIGNATURE_BYTES: Final = 16_384
"""Signatures of contracts have no fixed size; nobody needs a longer one."""

_UINT256: Final = 1 << 256
_UINT256_DIGITS: Final = 78
_PERMIT2_KEY: Final = PERMIT2.lower()


class SignedAuthorization(NamedTuple):
    """A payment as it was signed, in one spelling. Nothing about it is verified until its scheme's check says so."""

    authorization: PaymentAuthorization
    signature: bytes
    """65 bytes r‖s‖v with v 27 or 28 for a plain key; anything for a contract."""
    payer: str
    """`from`, EIP-55."""
    key: str
    """The claim key (see `claim_key`). One key settles once, for ever."""
    permit: SignedPermit | None = None
    """The allowance that came with it (extension `eip2612GasSponsoring`)."""

    @property
    def scheme(self) -> str:
        """`upto` when it names a facilitator, `exact` otherwise."""
        return scheme_of(self.authorization)


def scheme_of(authorization: PaymentAuthorization) -> str:
    """The scheme that an authorization belongs to: its own fields say so, whatever the terms beside it claim."""
    is_upto = isinstance(authorization, PermitTransfer) and authorization.facilitator is not None
    return UPTO if is_upto else EXACT


def latest_moment_s(signed: SignedAuthorization) -> int:
    """A time (Unix seconds) at which it is valid, if there is any: to ask for everything but the window."""
    ends_s = signed.authorization.valid_before_s
    if signed.permit is not None:
        ends_s = min(ends_s, signed.permit.permit.deadline_s + 1)
    return max(signed.authorization.valid_after_s, ends_s - SETTLING_MARGIN_S - 1)


def claim_key(authorization: PaymentAuthorization) -> str:
    """What identifies a payment for ever: (network, contract that burns the nonce, payer, nonce), in lower case, joined by
    '|'. That contract is the token for EIP-3009 and Permit2 for a permit, whose nonces count across all tokens. The
    recipient and the value are not part of it, because the nonce is burnt whatever else was signed with it."""
    a = authorization
    if isinstance(a, PermitTransfer):
        return f"{a.network}|{_PERMIT2_KEY}|{a.from_address.lower()}|0x{a.nonce:064x}"
    return f"{a.network}|{a.asset.lower()}|{a.from_address.lower()}|0x{a.nonce.hex()}"


def digest(authorization: PaymentAuthorization) -> bytes:
    """The 32 bytes that are signed: EIP-712 over TransferWithAuthorization or PermitWitnessTransferFrom."""
    a = authorization
    if isinstance(a, PermitTransfer):
        return permit_witness_digest(
            _chain_id(a.network),
            token=bytes.fromhex(a.asset[2:]),
            amount=a.value_atomic,
            spender=bytes.fromhex(a.spender[2:]),
            nonce=a.nonce,
            deadline=a.deadline_s,
            to=bytes.fromhex(a.to_address[2:]),
            valid_after=a.valid_after_s,
            facilitator=None if a.facilitator is None else bytes.fromhex(a.facilitator[2:]),
        )
    return authorization_digest(
        domain_separator(a.network, a.asset, a.token_name, a.token_version),
        bytes.fromhex(a.from_address[2:]),
        bytes.fromhex(a.to_address[2:]),
        a.value_atomic,
        a.valid_after_s,
        a.valid_before_s,
        a.nonce,
    )


@lru_cache(maxsize=2048)
def is_signed_by_key(authorization: PaymentAuthorization, signature: bytes) -> bool:
    """Whether the payer's own plain key made this signature, in its low-s form (EIP-2).

    Seller, facilitator and chain each ask for themselves; the curve is asked once for all that run in one process.
    """
    if len(signature) != 65:
        return False
    try:
        signer = recover_address(digest(authorization), signature)
    except CryptoError:
        return False
    return signer == bytes.fromhex(authorization.from_address[2:])


def check_signature(signed: SignedAuthorization, *, code: str, contracts: bool) -> Refusal | None:
    """Step 6. With `contracts` a signature that no plain key of the payer made is left for the chain to judge, because the
    payer may be a contract; the malleated twin of a plain key's signature is refused all the same."""
    authorization, signature = signed.authorization, signed.signature
    if is_signed_by_key(authorization, signature):
        return None
    if len(signature) == 65 and not is_low_s(signature):
        return Refusal(code, "The signature has a high s.")
    if contracts and signature:
        return None
    if len(signature) != 65:
        return Refusal(code, "Only 65-byte signatures of a plain key are accepted here.")
    return Refusal(code, "Somebody else signed, or nobody.")


def build_payload(
    accepted: Raw,
    authorization: PaymentAuthorization,
    signature: bytes,
    *,
    resource: Raw | UnsetType = UNSET,
    extensions: Raw | UnsetType = UNSET,
) -> PaymentPayload:
    """The payment to send: the same parts always give the same bytes. A contract's signature is put in as it is."""
    return PaymentPayload(
        x402_version=X402_VERSION,
        accepted=accepted,
        payload=to_raw(_payload(authorization, "0x" + signature.hex())),
        resource=resource,
        extensions=extensions,
    )


def _payload(authorization: PaymentAuthorization, signature: str) -> ExactEvmPayload | Permit2EvmPayload:
    a = authorization
    if isinstance(a, PermitTransfer):
        permit = Permit2Authorization(
            permitted=Permit2Permitted(token=a.asset, amount=str(a.value_atomic)),
            from_=a.from_address,
            spender=a.spender,
            nonce=str(a.nonce),
            deadline=str(a.deadline_s),
            witness=Permit2Witness(to=a.to_address, valid_after=str(a.valid_after_s), facilitator=a.facilitator),
        )
        return Permit2EvmPayload(signature=signature, permit2_authorization=permit)
    fields = ExactEvmAuthorization(
        from_=a.from_address,
        to=a.to_address,
        value=str(a.value_atomic),
        valid_after=str(a.valid_after_s),
        valid_before=str(a.valid_before_s),
        nonce="0x" + a.nonce.hex(),
    )
    return ExactEvmPayload(signature=signature, authorization=fields)


@lru_cache(maxsize=1024)
def domain_separator(network: str, asset: str, name: str, version: str) -> bytes:
    """EIP-712's domain separator of a token, computed once; MalformedPaymentError for a network without a chain id."""
    return Domain(name, version, _chain_id(network), bytes.fromhex(asset[2:])).separator


def read_address(text: str, what: str) -> str:
    """An address in EIP-55 spelling from any case; a wrong mixed-case checksum is a MalformedPaymentError (HM-WAL-1)."""
    checked = _checksummed(text)
    if checked is None:
        raise MalformedPaymentError(f"'{what}' is not an address (0x and 40 hex digits).")
    return checked


def read_uint(text: str, what: str) -> int:
    """A canonical decimal below 2^256; MalformedPaymentError for anything else."""
    if not is_uint(text):
        raise MalformedPaymentError(f"'{what}' is not a decimal number.")
    value = int(text)
    if value >= _UINT256:
        raise MalformedPaymentError(f"'{what}' is not below 2^256.")
    return value


def is_uint(text: str) -> bool:
    """Whether it is decimal as it is written canonically: `0`, or at most 78 digits without a leading zero."""
    is_decimal = text.isascii() and text.isdigit() and len(text) <= _UINT256_DIGITS
    return is_decimal and (text[0] != "0" or len(text) == 1)


def read_hex(text: str) -> bytes | None:
    """The bytes of `0x` and hex digits, two for each and nothing between them; None for any other text."""
    if not text.startswith("0x"):
        return None
    try:
        content = bytes.fromhex(text[2:])
    except ValueError:
        return None
    return content if 2 * len(content) == len(text) - 2 else None  # fromhex skips blanks


def read_signature(text: str) -> bytes:
    """The bytes of a signature, with v of 0 or 1 in a 65-byte one raised to 27 or 28. MalformedPaymentError for no hex."""
    signature = read_hex(text)
    if signature is None or len(signature) > MAX_SIGNATURE_BYTES:
        raise MalformedPaymentError("The signature is not 0x and hex digits of a reasonable length.")
    if len(signature) == 65 and signature[64] in (0, 1):
        return signature[:64] + bytes((signature[64] + 27,))
    return signature


@lru_cache(maxsize=8192)
def _checksummed(text: str) -> str | None:
    try:
        return format_address(parse_address(text))
    except CryptoError:
        return None


@lru_cache(maxsize=256)
def _chain_id(network: str) -> int:
    chain_id = chain_id_of(network)
    if chain_id is None:
        raise MalformedPaymentError("The network is not an EVM network (eip155:<chain id>).")
    return chain_id


__all__ = [
    "EXACT",
    "SETTLING_MARGIN_S",
    "UPTO",
    "SignedAuthorization",
    "build_payload",
    "check_signature",
    "claim_key",
    "digest",
    "domain_separator",
    "is_signed_by_key",
    "is_uint",
    "latest_moment_s",
    "read_address",
    "read_hex",
    "read_signature",
    "read_uint",
    "scheme_of",
]

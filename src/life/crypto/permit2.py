"""Permit2 payments and EIP-2612 permits, hashed by hand: how ERC-20 tokens without EIP-3009 are paid with.

A payer signs Permit2's ``PermitWitnessTransferFrom`` for one spender. Permit2 itself lets the spender choose the recipient;
that the money goes to the witness's ``to`` and nowhere else is enforced by x402's two proxy contracts, so a permit for any
other spender is a blank cheque. The proxies live at the same address on every chain, as Permit2 does (x402.md §8):

    exact   Witness(address to,uint256 validAfter)                        exactly the permitted amount
    upto    Witness(address to,address facilitator,uint256 validAfter)    at most it, and only by that facilitator

Permit2's EIP-712 domain has no version. An EIP-2612 ``Permit`` under the token's own domain gives Permit2 the allowance that
it needs, without a transaction of the payer (extension ``eip2612GasSponsoring``, x402.md §5).

Addresses are 20 bytes, amounts, nonces and times integers below 2**256 (times in Unix seconds). Every function raises
:class:`InvalidAuthorizationError` for what is out of range.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from life.crypto.errors import InvalidAuthorizationError
from life.crypto.keccak import keccak256

PERMIT2: Final = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
"""Uniswap's Permit2, EIP-55."""
EXACT_PROXY: Final = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001"
"""x402's proxy that moves exactly the permitted amount to the witness's ``to``."""
UPTO_PROXY: Final = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"
"""x402's proxy that moves at most the permitted amount, called by the witness's ``facilitator`` only."""

_PERMIT: Final = (
    b"PermitWitnessTransferFrom(TokenPermissions permitted,address spender,"
    b"uint256 nonce,uint256 deadline,Witness witness)"
)
_TOKEN_PERMISSIONS: Final = b"TokenPermissions(address token,uint256 amount)"
_EXACT_WITNESS: Final = b"Witness(address to,uint256 validAfter)"
_UPTO_WITNESS: Final = b"Witness(address to,address facilitator,uint256 validAfter)"

DOMAIN_TYPE_HASH: Final = keccak256(b"EIP712Domain(string name,uint256 chainId,address verifyingContract)")
PERMIT_TYPE_HASH: Final = keccak256(
    b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
"""EIP-2612."""

_TOKEN_PERMISSIONS_HASH: Final = keccak256(_TOKEN_PERMISSIONS)
_EXACT_WITNESS_HASH: Final = keccak256(_EXACT_WITNESS)
_UPTO_WITNESS_HASH: Final = keccak256(_UPTO_WITNESS)
_EXACT_PERMIT_HASH: Final = keccak256(_PERMIT + _TOKEN_PERMISSIONS + _EXACT_WITNESS)
_UPTO_PERMIT_HASH: Final = keccak256(_PERMIT + _TOKEN_PERMISSIONS + _UPTO_WITNESS)
_NAME_HASH: Final = keccak256(b"Permit2")
_PAD_12: Final = bytes(12)


@lru_cache(maxsize=1024)
def permit2_separator(chain_id: int) -> bytes:
    """The 32-byte domain separator of Permit2 on a chain."""
    if not 0 < chain_id < 1 << 256:
        raise InvalidAuthorizationError("a chain id is a positive 256-bit integer")
    contract = bytes.fromhex(PERMIT2[2:])
    return keccak256(DOMAIN_TYPE_HASH + _NAME_HASH + chain_id.to_bytes(32, "big") + _PAD_12 + contract)


def permit_witness_digest(
    chain_id: int,
    *,
    token: bytes,
    amount: int,
    spender: bytes,
    nonce: int,
    deadline: int,
    to: bytes,
    valid_after: int,
    facilitator: bytes | None = None,
) -> bytes:
    """The 32 bytes to sign for a payment by Permit2: with `facilitator` the witness is that of scheme ``upto``."""
    witness_hash = _witness_hash(to, valid_after, facilitator)
    permitted_hash = keccak256(_TOKEN_PERMISSIONS_HASH + _address(token) + _word(amount))
    struct_hash = keccak256(
        b"".join(
            (
                _EXACT_PERMIT_HASH if facilitator is None else _UPTO_PERMIT_HASH,
                permitted_hash,
                _address(spender),
                _word(nonce),
                _word(deadline),
                witness_hash,
            )
        )
    )
    return keccak256(b"\x19\x01" + permit2_separator(chain_id) + struct_hash)


def token_permit_digest(
    separator: bytes, *, owner: bytes, spender: bytes, value: int, nonce: int, deadline: int
) -> bytes:
    """The 32 bytes to sign for an EIP-2612 ``Permit`` under the token's domain separator."""
    if len(separator) != 32:
        raise InvalidAuthorizationError("a domain separator has 32 bytes")
    struct_hash = keccak256(
        b"".join((PERMIT_TYPE_HASH, _address(owner), _address(spender), _word(value), _word(nonce), _word(deadline)))
    )
    return keccak256(b"\x19\x01" + separator + struct_hash)


def _witness_hash(to: bytes, valid_after: int, facilitator: bytes | None) -> bytes:
    if facilitator is None:
        return keccak256(_EXACT_WITNESS_HASH + _address(to) + _word(valid_after))
    return keccak256(_UPTO_WITNESS_HASH + _address(to) + _address(facilitator) + _word(valid_after))


def _address(raw: bytes) -> bytes:
    if len(raw) != 20:
        raise InvalidAuthorizationError("an address has 20 bytes")
    return _PAD_12 + raw


def _word(value: int) -> bytes:
    try:
        return value.to_bytes(32, "big")
    except OverflowError:
        raise InvalidAuthorizationError("amounts, nonces and times are unsigned 256-bit integers") from None

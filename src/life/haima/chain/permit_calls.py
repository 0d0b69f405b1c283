"""Call data for payments by Permit2, and what the reverts of Permit2 and x402's proxies mean.

Selectors are the first 4 bytes of Keccak-256 of the signatures beside them (Solidity ABI specification). The errors are
those of Uniswap's Permit2 and of x402's proxies, codes those of x402.md §7.
"""

from __future__ import annotations

from typing import Final

from life.aios.ports.chain import SignedPermit
from life.aios.ports.custody import PermitTransfer
from life.crypto.keccak import keccak256
from life.crypto.permit2 import PERMIT2
from life.haima.chain.abi import address_word, byte_string, word
from life.haima.x402 import codes


def _selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]


_PERMIT: Final = "((address,uint256),uint256,uint256)"
_ALLOWANCE: Final = "(uint256,uint256,bytes32,bytes32,uint8)"
SETTLE_EXACT: Final = _selector(f"settle({_PERMIT},address,(address,uint256),bytes)")
SETTLE_EXACT_WITH_PERMIT: Final = _selector(f"settleWithPermit({_ALLOWANCE},{_PERMIT},address,(address,uint256),bytes)")
SETTLE_UPTO: Final = _selector(f"settle({_PERMIT},uint256,address,(address,address,uint256),bytes)")
SETTLE_UPTO_WITH_PERMIT: Final = _selector(
    f"settleWithPermit({_ALLOWANCE},{_PERMIT},uint256,address,(address,address,uint256),bytes)"
)
NONCE_BITMAP: Final = _selector("nonceBitmap(address,uint256)")
BALANCE_OF: Final = _selector("balanceOf(address)")
ALLOWANCE: Final = _selector("allowance(address,address)")
UNORDERED_NONCE_TOPIC: Final = "0x" + keccak256(b"UnorderedNonceInvalidation(address,uint256,uint256)").hex()

_ERRORS: Final = {
    _selector(signature): (signature.partition("(")[0], code)
    for signature, code in (
        ("SignatureExpired(uint256)", codes.PERMIT2_DEADLINE_EXPIRED),
        ("InvalidNonce()", codes.NONCE_ALREADY_USED),
        ("InvalidSigner()", codes.PERMIT2_INVALID_SIGNATURE),
        ("InvalidSignature()", codes.PERMIT2_INVALID_SIGNATURE),
        ("InvalidSignatureLength()", codes.PERMIT2_INVALID_SIGNATURE),
        ("InvalidContractSignature()", codes.PERMIT2_INVALID_SIGNATURE),
        ("InvalidAmount(uint256)", codes.PERMIT2_INVALID_AMOUNT),
        ("InvalidAmount()", codes.PERMIT2_INVALID_AMOUNT),
        ("InvalidOwner()", codes.PERMIT2_INVALID_OWNER),
        ("InvalidDestination()", codes.PERMIT2_INVALID_DESTINATION),
        ("PaymentTooEarly()", codes.PERMIT2_NOT_YET_VALID),
        ("Permit2612AmountMismatch()", codes.PERMIT2_2612_AMOUNT_MISMATCH),
        ("UnauthorizedFacilitator()", codes.UPTO_UNAUTHORIZED_FACILITATOR),
        ("AmountExceedsPermitted()", codes.UPTO_AMOUNT_EXCEEDS_PERMITTED),
    )
}
"""Selector of a custom error: its name, and our code."""


def settle_call(
    permit: PermitTransfer, signature: bytes, *, value_atomic: int | None = None, allowance: SignedPermit | None = None
) -> bytes:
    """Call data for the proxy that the permit names as its spender. `value_atomic`, of an `upto` payment only, is what is
    moved; None moves the permitted amount."""
    is_upto = permit.facilitator is not None
    words = [address_word(permit.asset), word(permit.value_atomic), word(permit.nonce), word(permit.deadline_s)]
    if is_upto:
        words.append(word(permit.value_atomic if value_atomic is None else value_atomic))
    words += [address_word(permit.from_address), address_word(permit.to_address)]
    if permit.facilitator is not None:
        words.append(address_word(permit.facilitator))
    words.append(word(permit.valid_after_s))
    selector = SETTLE_UPTO if is_upto else SETTLE_EXACT
    if allowance is not None:
        selector = SETTLE_UPTO_WITH_PERMIT if is_upto else SETTLE_EXACT_WITH_PERMIT
        r, s, v = allowance.signature[:32], allowance.signature[32:64], allowance.signature[64]
        words = [word(allowance.permit.value_atomic), word(allowance.permit.deadline_s), r, s, word(v), *words]
    return selector + b"".join(words) + word(32 * (len(words) + 1)) + byte_string(signature)


def permit_words(permit: PermitTransfer) -> bytes:
    """What stands in every call that carries this permit out: token, amount, nonce and deadline, one after the other."""
    return b"".join(
        (address_word(permit.asset), word(permit.value_atomic), word(permit.nonce), word(permit.deadline_s))
    )


def nonce_bitmap_call(permit: PermitTransfer) -> bytes:
    """Call data that reads the word of 256 nonces to which the permit's belongs."""
    return NONCE_BITMAP + address_word(permit.from_address) + word(permit.nonce >> 8)


def nonce_bit(permit: PermitTransfer) -> int:
    """The permit's bit in that word."""
    return 1 << (permit.nonce & 0xFF)


def balance_call(account: str) -> bytes:
    """Call data for an account's balance of a token."""
    return BALANCE_OF + address_word(account)


def permit2_allowance_call(owner: str) -> bytes:
    """Call data for what Permit2 may pull from an owner."""
    return ALLOWANCE + address_word(owner) + address_word(PERMIT2)


def known_error(revert_data: bytes) -> tuple[str, str] | None:
    """Name and code of a custom error of Permit2 or a proxy; None for any other revert."""
    return _ERRORS.get(revert_data[:4])

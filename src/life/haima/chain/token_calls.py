"""Call data and log topics of an EIP-3009 token, and what its reverts mean.

Selectors and topics are the first 4 and all 32 bytes of Keccak-256 of the signatures in their comments (Solidity ABI
specification). The words of a revert are those of USDC (FiatTokenV2, as Circle published it) and of the tokens that copied
it; codes are those of x402.md §7.
"""

from __future__ import annotations

from typing import Final

from life.aios.ports.custody import PaymentAuthorization, TransferAuthorization
from life.haima.chain.abi import address_bytes, address_topic, address_word, byte_string, word
from life.haima.x402 import codes

TRANSFER_WITH_AUTHORIZATION: Final = bytes.fromhex("e3ee160e")
"""transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"""
TRANSFER_WITH_CONTRACT_SIGNATURE: Final = bytes.fromhex("cf092995")
"""transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"""
AUTHORIZATION_STATE: Final = bytes.fromhex("e94a0102")
"""authorizationState(address,bytes32)"""
TRANSFER_TOPIC: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""Transfer(address,address,uint256)"""
AUTHORIZATION_USED_TOPIC: Final = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
"""AuthorizationUsed(address,bytes32)"""
AUTHORIZATION_CANCELED_TOPIC: Final = "0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81"
"""AuthorizationCanceled(address,bytes32)"""

_ERROR_STRING: Final = bytes.fromhex("08c379a0")
"""Error(string): what `require` with a reason reverts with."""
_MAX_REASON_BYTES: Final = 200

_REASONS: Final = (
    ("authorization is used or canceled", codes.NONCE_ALREADY_USED),
    ("authorization is used", codes.NONCE_ALREADY_USED),
    ("authorization is not yet valid", codes.VALID_AFTER),
    ("authorization is expired", codes.VALID_BEFORE),
    ("transfer amount exceeds balance", codes.INSUFFICIENT_BALANCE),
    ("exceeds balance", codes.INSUFFICIENT_BALANCE),
    ("insufficient balance", codes.INSUFFICIENT_BALANCE),
    ("invalid signature", codes.INVALID_SIGNATURE),
)


def transfer_call(authorization: TransferAuthorization, signature: bytes) -> bytes:
    """Call data of transferWithAuthorization: the overload with v, r and s for a signature of 65 bytes (`v` of 0 or 1
    becomes 27 or 28), which every EIP-3009 token has; the one with `bytes` for any other, which those have that take a
    contract's signature (FiatTokenV2.2)."""
    fields = (
        address_word(authorization.from_address),
        address_word(authorization.to_address),
        word(authorization.value_atomic),
        word(authorization.valid_after_s),
        word(authorization.valid_before_s),
        authorization.nonce,
    )
    if len(signature) == 65 and signature[64] in (0, 1, 27, 28):
        v = signature[64]
        vrs = (word(v + 27 if v < 27 else v), signature[:32], signature[32:64])
        return b"".join((TRANSFER_WITH_AUTHORIZATION, *fields, *vrs))
    return b"".join((TRANSFER_WITH_CONTRACT_SIGNATURE, *fields, word(7 * 32), byte_string(signature)))


def authorization_state_call(authorization: TransferAuthorization) -> bytes:
    """Call data of authorizationState: whether the nonce was used or canceled."""
    return AUTHORIZATION_STATE + address_word(authorization.from_address) + authorization.nonce


def is_transfer_log(log: object, authorization: PaymentAuthorization, value_atomic: int | None = None) -> bool:
    """Whether a receipt's log is the exact Transfer that the authorization allows (x402.md §3.1): of `value_atomic`, or of
    the signed amount."""
    if not isinstance(log, dict):
        return False
    address, topics, data = log.get("address"), log.get("topics"), log.get("data")
    if (
        not (isinstance(address, str) and isinstance(topics, list) and isinstance(data, str))
        or log.get("removed") is True
    ):
        return False
    expected = [TRANSFER_TOPIC, address_topic(authorization.from_address), address_topic(authorization.to_address)]
    try:
        return (
            address_bytes(address) == address_bytes(authorization.asset)
            and [str(topic).lower() for topic in topics] == expected
            and int(data, 16) == (authorization.value_atomic if value_atomic is None else value_atomic)
        )
    except ValueError:
        return False


def revert_reason(data: bytes, words: str = "") -> str:
    """The sentence of a revert: from its ABI-encoded `Error(string)`, else from the node's own words."""
    if data[:4] == _ERROR_STRING and len(data) >= 68:
        length = int.from_bytes(data[36:68], "big")
        reason = data[68 : 68 + min(length, _MAX_REASON_BYTES)]
        return reason.decode(errors="replace")
    return words


def refusal_code(reason: str) -> str:
    """The x402 code of a revert's sentence; a sentence nobody knows is a failed simulation."""
    lowered = reason.lower()
    for words, code in _REASONS:
        if words in lowered:
            return code
    return codes.SIMULATION_FAILED


__all__ = [
    "AUTHORIZATION_CANCELED_TOPIC",
    "AUTHORIZATION_STATE",
    "AUTHORIZATION_USED_TOPIC",
    "TRANSFER_TOPIC",
    "TRANSFER_WITH_AUTHORIZATION",
    "TRANSFER_WITH_CONTRACT_SIGNATURE",
    "address_bytes",
    "address_topic",
    "authorization_state_call",
    "is_transfer_log",
    "refusal_code",
    "revert_reason",
    "transfer_call",
]

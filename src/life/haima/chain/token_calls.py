"""Call data and log topics of an EIP-3009 token, and what its reverts mean.

Selectors and topics are the first 4 and all 32 bytes of Keccak-256 of the signatures in their comments (Solidity ABI
specification). The words of a revert are those of USDC (FiatTokenV2, as Circle published it) and of the tokens that copied
it; codes are those of x402.md §7.
"""

from __future__ import annotations

from typing import Final

from life.aios.ports.custody import TransferAuthorization
from life.haima.x402 import codes

TRANSFER_WITH_AUTHORIZATION: Final = bytes.fromhex("e3ee160e")
"""transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"""
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


def address_bytes(address: str) -> bytes:
    """The 20 bytes of `0x` and 40 hex digits in any case; ValueError otherwise."""
    raw = bytes.fromhex(address.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError("an address has 20 bytes")
    return raw


def transfer_call(authorization: TransferAuthorization, signature: bytes) -> bytes:
    """Call data of transferWithAuthorization for a 65-byte signature; `v` of 0 or 1 becomes 27 or 28."""
    v = signature[64]
    return b"".join(
        (
            TRANSFER_WITH_AUTHORIZATION,
            address_bytes(authorization.from_address).rjust(32, b"\0"),
            address_bytes(authorization.to_address).rjust(32, b"\0"),
            authorization.value_atomic.to_bytes(32, "big"),
            authorization.valid_after_s.to_bytes(32, "big"),
            authorization.valid_before_s.to_bytes(32, "big"),
            authorization.nonce,
            (v + 27 if v < 27 else v).to_bytes(32, "big"),
            signature[:32],
            signature[32:64],
        )
    )


def authorization_state_call(authorization: TransferAuthorization) -> bytes:
    """Call data of authorizationState: whether the nonce was used or canceled."""
    return AUTHORIZATION_STATE + address_bytes(authorization.from_address).rjust(32, b"\0") + authorization.nonce


def address_topic(address: str) -> str:
    """An indexed address as a log shows it: `0x`, 64 lower-case hex digits."""
    return "0x" + address_bytes(address).hex().rjust(64, "0")


def is_transfer_log(log: object, authorization: TransferAuthorization) -> bool:
    """Whether a receipt's log is the exact Transfer that the authorization allows (x402.md §3.1)."""
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
            and int(data, 16) == authorization.value_atomic
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

"""EIP-3009 authorizations, hashed by hand: the messages by which USDC moves without a transaction of its owner.

A payment is signed or checked many thousand times a second, and the generic EIP-712 encoder costs more than the curve.
Here a struct hash is one concatenation and one Keccak. Addresses are 20 bytes, amounts and times integers below 2**256
(times in Unix seconds), nonces 32 bytes.
"""

from dataclasses import dataclass
from functools import cached_property

from life.crypto.errors import InvalidAuthorizationError
from life.crypto.keccak import keccak256

# Keccak-256 of the type strings of EIP-3009 and EIP-712; the tests recompute them from the strings.
DOMAIN_TYPE_HASH = bytes.fromhex("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f")
TRANSFER_WITH_AUTHORIZATION_TYPE_HASH = bytes.fromhex(
    "7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267"
)
RECEIVE_WITH_AUTHORIZATION_TYPE_HASH = bytes.fromhex("d099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8")
CANCEL_AUTHORIZATION_TYPE_HASH = bytes.fromhex("158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429")

_PAD_12 = bytes(12)
_TRANSFER_HEAD = TRANSFER_WITH_AUTHORIZATION_TYPE_HASH + _PAD_12
_RECEIVE_HEAD = RECEIVE_WITH_AUTHORIZATION_TYPE_HASH + _PAD_12


@dataclass(frozen=True)
class Domain:
    """The EIP-712 domain of a token contract: its on-chain name and version, EIP-155 chain id, 20-byte address.

    The separator is computed once and kept; hold on to one object per token. Raises
    :class:`InvalidAuthorizationError` for a bad chain id or address.
    """

    name: str
    version: str
    chain_id: int
    verifying_contract: bytes

    def __post_init__(self) -> None:
        if not 0 < self.chain_id < 1 << 256:
            raise InvalidAuthorizationError("a chain id is a positive 256-bit integer")
        if len(self.verifying_contract) != 20:
            raise InvalidAuthorizationError("a verifying contract has 20 bytes")

    @cached_property
    def separator(self) -> bytes:
        """The 32-byte domain separator."""
        return keccak256(
            b"".join(
                (
                    DOMAIN_TYPE_HASH,
                    keccak256(self.name.encode("utf-8")),
                    keccak256(self.version.encode("utf-8")),
                    self.chain_id.to_bytes(32, "big"),
                    _PAD_12,
                    self.verifying_contract,
                )
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferWithAuthorization:
    """The message by which ``from_address`` lets anybody move ``value_atomic`` to ``to_address`` once.

    Valid while ``valid_after_s`` < block time < ``valid_before_s`` (EIP-3009). Ranges are checked when it is hashed.
    """

    from_address: bytes
    to_address: bytes
    value_atomic: int
    valid_after_s: int
    valid_before_s: int
    nonce: bytes

    def digest(self, domain: Domain) -> bytes:
        """Return the 32 bytes to sign under ``domain``. Raises :class:`InvalidAuthorizationError`."""
        return authorization_digest(
            domain.separator,
            self.from_address,
            self.to_address,
            self.value_atomic,
            self.valid_after_s,
            self.valid_before_s,
            self.nonce,
        )


def authorization_digest(
    separator: bytes,
    from20: bytes,
    to20: bytes,
    value: int,
    valid_after: int,
    valid_before: int,
    nonce32: bytes,
) -> bytes:
    """Return the digest of ``TransferWithAuthorization``: the hot path, with positional arguments for its speed.

    Raises :class:`InvalidAuthorizationError` when an address, amount, time, nonce or separator is out of range.
    """
    return _digest(_TRANSFER_HEAD, separator, from20, to20, value, valid_after, valid_before, nonce32)


def receive_digest(
    separator: bytes,
    from20: bytes,
    to20: bytes,
    value: int,
    valid_after: int,
    valid_before: int,
    nonce32: bytes,
) -> bytes:
    """Return the digest of ``ReceiveWithAuthorization``, which only the payee may submit. Errors as above."""
    return _digest(_RECEIVE_HEAD, separator, from20, to20, value, valid_after, valid_before, nonce32)


def cancel_digest(separator: bytes, authorizer20: bytes, nonce32: bytes) -> bytes:
    """Return the digest of ``CancelAuthorization``, by which an authorizer burns a nonce it has not used."""
    if len(authorizer20) != 20 or len(nonce32) != 32 or len(separator) != 32:
        raise InvalidAuthorizationError("an authorizer has 20 bytes, a nonce and a domain separator 32")
    struct_hash = keccak256(CANCEL_AUTHORIZATION_TYPE_HASH + _PAD_12 + authorizer20 + nonce32)
    return keccak256(b"\x19\x01" + separator + struct_hash)


def _digest(
    head: bytes,
    separator: bytes,
    from20: bytes,
    to20: bytes,
    value: int,
    valid_after: int,
    valid_before: int,
    nonce32: bytes,
) -> bytes:
    if len(from20) != 20 or len(to20) != 20:
        raise InvalidAuthorizationError("an address has 20 bytes")
    if len(nonce32) != 32 or len(separator) != 32:
        raise InvalidAuthorizationError("a nonce and a domain separator have 32 bytes")
    try:
        struct_hash = keccak256(
            b"".join(
                (
                    head,
                    from20,
                    _PAD_12,
                    to20,
                    value.to_bytes(32, "big"),
                    valid_after.to_bytes(32, "big"),
                    valid_before.to_bytes(32, "big"),
                    nonce32,
                )
            )
        )
    except OverflowError:
        raise InvalidAuthorizationError("value, validAfter and validBefore are unsigned 256-bit integers") from None
    return keccak256(b"\x19\x01" + separator + struct_hash)

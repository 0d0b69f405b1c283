"""EIP-1559 transactions (type 2): what is signed, what is sent, and reading it back.

Amounts and fees are wei, gas is gas units. Reading back matters after a crash: the raw bytes in the journal say which
transaction was signed, by whom, and under which hash the chain knows it.
"""

from dataclasses import dataclass

import msgspec

from life.crypto import rlp, secp256k1
from life.crypto.errors import InvalidRlpError, InvalidSignatureError, InvalidTransactionError
from life.crypto.keccak import keccak256

TYPE_BYTE = b"\x02"
_UNSIGNED_FIELDS = 9
_SIGNED_FIELDS = 12
_MAX_UINT64 = (1 << 64) - 1
_MAX_UINT256 = (1 << 256) - 1


class AccessListEntry(msgspec.Struct, frozen=True):
    """An account (20 bytes) and the storage slots (32 bytes each) a transaction announces (EIP-2930)."""

    address: bytes
    storage_keys: tuple[bytes, ...] = ()


class Eip1559Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a type-2 transaction. ``to`` is 20 bytes, or ``None`` to create a contract.

    Raises :class:`InvalidTransactionError` when a field is out of range: nonce below 2**64-1 (EIP-2681), gas below 2**64,
    fees and value below 2**256, and the priority fee not above the whole fee (EIP-1559).
    """

    chain_id: int
    nonce: int
    max_priority_fee_per_gas_wei: int
    max_fee_per_gas_wei: int
    gas_limit: int
    to: bytes | None
    value_wei: int = 0
    data: bytes = b""
    access_list: tuple[AccessListEntry, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.chain_id <= _MAX_UINT256:
            raise InvalidTransactionError("a chain id is a positive 256-bit integer")
        if not 0 <= self.nonce < _MAX_UINT64 or not 0 <= self.gas_limit <= _MAX_UINT64:
            raise InvalidTransactionError("nonce and gas limit are unsigned 64-bit integers")
        if not 0 <= self.value_wei <= _MAX_UINT256 or not 0 <= self.max_fee_per_gas_wei <= _MAX_UINT256:
            raise InvalidTransactionError("value and fees are unsigned 256-bit integers")
        if not 0 <= self.max_priority_fee_per_gas_wei <= self.max_fee_per_gas_wei:
            raise InvalidTransactionError("the priority fee lies between 0 and the maximum fee")
        if self.to is not None and len(self.to) != 20:
            raise InvalidTransactionError("a recipient has 20 bytes")
        for entry in self.access_list:
            if len(entry.address) != 20 or any(len(key) != 32 for key in entry.storage_keys):
                raise InvalidTransactionError("an access list holds 20-byte addresses and 32-byte slots")


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A signed transaction: its fields, its 65-byte signature (``v`` 27 or 28), sender (20 bytes), raw bytes and hash."""

    transaction: Eip1559Transaction
    signature: bytes
    sender: bytes
    raw: bytes
    hash: bytes


def signing_hash(transaction: Eip1559Transaction) -> bytes:
    """Return the 32 bytes to sign: Keccak-256 of ``02 ‖ rlp(unsigned fields)`` (EIP-1559)."""
    return keccak256(TYPE_BYTE + rlp.encode(_fields(transaction)))


def assemble(transaction: Eip1559Transaction, signature: bytes) -> SignedTransaction:
    """Join a transaction and its 65-byte signature ``r ‖ s ‖ v`` (``v`` 0, 1, 27 or 28) to the bytes a node takes.

    The sender is recovered from the signature, so the caller can compare it with the account it meant.
    Raises :class:`InvalidSignatureError` (also for a high ``s``, which the chain refuses).
    """
    sender = secp256k1.recover_address(signing_hash(transaction), signature)
    parity = signature[64] - 27 if signature[64] >= 27 else signature[64]
    r, s = (rlp.encode_integer(int.from_bytes(part, "big")) for part in (signature[:32], signature[32:64]))
    raw = TYPE_BYTE + rlp.encode([*_fields(transaction), rlp.encode_integer(parity), r, s])
    return SignedTransaction(
        transaction=transaction,
        signature=signature[:64] + bytes((27 + parity,)),
        sender=sender,
        raw=raw,
        hash=keccak256(raw),
    )


def decode_signed(raw: bytes) -> SignedTransaction:
    """Read the raw bytes of a signed type-2 transaction and recover its sender.

    Raises :class:`InvalidTransactionError` for another type, RLP that is not canonical, fields out of range, or a
    signature from which no sender follows.
    """
    if raw[:1] != TYPE_BYTE:
        raise InvalidTransactionError("the bytes are not a type-2 transaction")
    try:
        items = rlp.decode(raw[1:])
        if not isinstance(items, list) or len(items) != _SIGNED_FIELDS:
            raise InvalidTransactionError(f"a signed type-2 transaction has {_SIGNED_FIELDS} fields")
        transaction = _read_fields(items[:_UNSIGNED_FIELDS])
        parity, r, s = (rlp.decode_integer(item) for item in items[_UNSIGNED_FIELDS:])
        if parity > 1 or max(r, s) > _MAX_UINT256:
            raise InvalidTransactionError("the signature of the transaction is out of range")
        return assemble(transaction, r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((27 + parity,)))
    except (InvalidRlpError, InvalidSignatureError) as error:
        raise InvalidTransactionError(f"the raw transaction is invalid: {error}") from None


def _fields(transaction: Eip1559Transaction) -> list[rlp.Item]:
    integer = rlp.encode_integer
    return [
        integer(transaction.chain_id),
        integer(transaction.nonce),
        integer(transaction.max_priority_fee_per_gas_wei),
        integer(transaction.max_fee_per_gas_wei),
        integer(transaction.gas_limit),
        transaction.to or b"",
        integer(transaction.value_wei),
        transaction.data,
        [[entry.address, list(entry.storage_keys)] for entry in transaction.access_list],
    ]


def _read_fields(items: list[rlp.Decoded]) -> Eip1559Transaction:
    chain_id, nonce, priority_fee, fee, gas_limit, to, value, data, access_list = items
    if not isinstance(access_list, list):
        raise InvalidTransactionError("the access list is not a list")
    return Eip1559Transaction(
        chain_id=rlp.decode_integer(chain_id),
        nonce=rlp.decode_integer(nonce),
        max_priority_fee_per_gas_wei=rlp.decode_integer(priority_fee),
        max_fee_per_gas_wei=rlp.decode_integer(fee),
        gas_limit=rlp.decode_integer(gas_limit),
        to=_octets(to) or None,
        value_wei=rlp.decode_integer(value),
        data=_octets(data),
        access_list=tuple(_read_entry(entry) for entry in access_list),
    )


def _read_entry(entry: rlp.Decoded) -> AccessListEntry:
    if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], list):
        raise InvalidTransactionError("an access list entry is an address and a list of slots")
    return AccessListEntry(address=_octets(entry[0]), storage_keys=tuple(_octets(key) for key in entry[1]))


def _octets(item: rlp.Decoded) -> bytes:
    if not isinstance(item, bytes):
        raise InvalidTransactionError("a field of the transaction is a list instead of bytes")
    return item

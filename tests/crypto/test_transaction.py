"""EIP-1559 transactions: the vector, eth-account as oracle in both directions, and what a node would refuse."""

from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from life.crypto import rlp, secp256k1, transaction
from life.crypto.address import format_address, parse_address
from life.crypto.errors import InvalidSignatureError, InvalidTransactionError
from life.crypto.transaction import AccessListEntry, Eip1559Transaction
from tests.crypto import vectors
from tests.crypto.strategies import addresses, digests

VECTOR = Eip1559Transaction(
    chain_id=84532,
    nonce=7,
    max_priority_fee_per_gas_wei=10**9,
    max_fee_per_gas_wei=3 * 10**10,
    gas_limit=21000,
    to=parse_address(vectors.DEV_ADDRESS_1),
    value_wei=10**15,
)
SECRET = bytearray(vectors.DEV_SECRET_0)


def sign(fields: Eip1559Transaction) -> transaction.SignedTransaction:
    return transaction.assemble(fields, secp256k1.sign_recoverable(transaction.signing_hash(fields), SECRET))


def test_vector() -> None:
    """Anima reference, appendix A: signing hash, r, s and parity; the sender is development account 0."""
    assert transaction.signing_hash(VECTOR).hex() == "63482e090b8cc1a9a61d19cad7dcd1684d43368b48d36061fa4f0b6463443254"
    signed = sign(VECTOR)
    assert signed.signature.hex() == (
        "5a504f518bb33639872bb0b1f545eeda3791519c43b1e5f87f6b857a283dc1af"
        "2fc715242b0af32196e53194f2052a51222abbdbcb951224c00cb239d6157bdb"
        "1b"
    )
    assert format_address(signed.sender) == vectors.DEV_ADDRESS_0


@st.composite
def transactions(draw: st.DrawFn) -> Eip1559Transaction:
    """Any transaction within the ranges of the EIP."""
    fee = draw(st.integers(0, 2**256 - 1))
    return Eip1559Transaction(
        chain_id=draw(st.integers(1, 2**63)),
        nonce=draw(st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 2))),
        max_priority_fee_per_gas_wei=draw(st.integers(0, fee)),
        max_fee_per_gas_wei=fee,
        gas_limit=draw(st.integers(21000, 2**64 - 1)),
        to=draw(st.none() | addresses),
        value_wei=draw(st.one_of(st.just(0), st.integers(0, 2**256 - 1))),
        data=draw(st.binary(max_size=80)),
        access_list=tuple(
            AccessListEntry(address=address, storage_keys=tuple(keys))
            for address, keys in draw(st.lists(st.tuples(addresses, st.lists(digests, max_size=2)), max_size=2))
        ),
    )


def _for_eth_account(fields: Eip1559Transaction) -> dict[str, Any]:
    return {
        "type": 2,
        "chainId": fields.chain_id,
        "nonce": fields.nonce,
        "maxPriorityFeePerGas": fields.max_priority_fee_per_gas_wei,
        "maxFeePerGas": fields.max_fee_per_gas_wei,
        "gas": fields.gas_limit,
        "to": b"" if fields.to is None else format_address(fields.to),
        "value": fields.value_wei,
        "data": fields.data,
        "accessList": [
            {"address": format_address(entry.address), "storageKeys": ["0x" + key.hex() for key in entry.storage_keys]}
            for entry in fields.access_list
        ],
    }


@settings(deadline=None, max_examples=60)
@given(transactions())
def test_agrees_with_eth_account(fields: Eip1559Transaction) -> None:
    """Raw bytes, hash and sender are eth-account's, and reading the raw bytes gives everything back."""
    signed = sign(fields)
    theirs = Account.sign_transaction(_for_eth_account(fields), vectors.DEV_SECRET_0)
    assert signed.raw == bytes(theirs.raw_transaction)
    assert signed.hash == bytes(theirs.hash)
    assert Account.recover_transaction(signed.raw) == vectors.DEV_ADDRESS_0
    assert transaction.decode_signed(signed.raw) == signed


def test_every_altered_byte_is_noticed() -> None:
    """An altered raw transaction is refused or names another sender; it never passes as the same payment."""
    signed = sign(VECTOR)
    for position in range(len(signed.raw)):
        altered = bytearray(signed.raw)
        altered[position] ^= 0x01
        try:
            assert transaction.decode_signed(bytes(altered)).sender != signed.sender
        except InvalidTransactionError:
            pass
    for raw in (signed.raw + b"\0", signed.raw[:-1], signed.raw[1:], b"", b"\x02", b"\x01" + signed.raw[1:]):
        with pytest.raises(InvalidTransactionError):
            transaction.decode_signed(raw)


def _items() -> list[Any]:
    decoded = rlp.decode(sign(VECTOR).raw[1:])
    assert isinstance(decoded, list)
    return decoded


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, b""),  # chain id 0
        (0, b"\0\1"),  # leading zero
        (1, b"\xff" * 8),  # nonce 2**64 - 1
        (1, b"\1" + bytes(8)),
        (2, b"\xff" * 32),  # priority fee above the fee
        (3, b"\1" + bytes(32)),
        (4, b"\1" + bytes(8)),
        (5, bytes(19)),
        (5, []),
        (6, b"\1" + bytes(32)),
        (7, []),
        (8, b""),
        (8, [b"x"]),
        (8, [[bytes(20)]]),
        (8, [[bytes(19), []]]),
        (8, [[bytes(20), [bytes(31)]]]),
        (8, [[bytes(20), b""]]),
        (8, [[[], []]]),
        (9, b"\2"),
        (9, b"\x1b"),
        (9, b"\x01\x2c"),
        (9, []),
        (10, b""),  # r = 0
        (11, b""),  # s = 0
        (10, b"\1" + bytes(32)),
        (11, b"\xff" * 32),
    ],
)
def test_invalid_fields_are_refused(index: int, value: object) -> None:
    """Each field out of range or of the wrong kind makes the whole transaction invalid."""
    items = _items()
    items[index] = value
    with pytest.raises(InvalidTransactionError):
        transaction.decode_signed(b"\x02" + rlp.encode(items))


def test_field_count_is_exact() -> None:
    """Eleven or thirteen fields, or no list at all, are refused."""
    items = _items()
    for wrong in (items[:-1], [*items, b""], b"string"):
        with pytest.raises(InvalidTransactionError):
            transaction.decode_signed(b"\x02" + rlp.encode(wrong))


def test_the_mirrored_signature_is_refused() -> None:
    """High s is refused when assembling and when reading, as the chain would (EIP-2)."""
    signed = sign(VECTOR)
    s = secp256k1.ORDER - int.from_bytes(signed.signature[32:64], "big")
    mirrored = signed.signature[:32] + s.to_bytes(32, "big") + bytes((55 - signed.signature[64],))
    with pytest.raises(InvalidSignatureError):
        transaction.assemble(VECTOR, mirrored)
    items = _items()
    items[9], items[11] = rlp.encode_integer(mirrored[64] - 27), mirrored[32:64]
    with pytest.raises(InvalidTransactionError):
        transaction.decode_signed(b"\x02" + rlp.encode(items))


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 0},
        {"chain_id": -1},
        {"nonce": -1},
        {"nonce": 2**64 - 1},
        {"gas_limit": 2**64},
        {"gas_limit": -1},
        {"value_wei": -1},
        {"value_wei": 2**256},
        {"max_fee_per_gas_wei": 2**256},
        {"max_priority_fee_per_gas_wei": -1},
        {"max_priority_fee_per_gas_wei": 3 * 10**10 + 1},
        {"to": b""},
        {"to": bytes(32)},
        {"access_list": (AccessListEntry(address=bytes(3)),)},
    ],
)
def test_fields_out_of_range_cannot_be_built(change: dict[str, Any]) -> None:
    """The same ranges hold for transactions we make ourselves; an empty recipient is not a contract creation."""
    fields = {name: getattr(VECTOR, name) for name in VECTOR.__struct_fields__}
    with pytest.raises(InvalidTransactionError):
        Eip1559Transaction(**{**fields, **change})

"""The Ledger's APDUs: recorded bytes, and any typed data, transaction or message as the emulator decodes it.

The emulator hashes what it decoded with eth-account; that its signature recovers over `life.crypto`'s digest says that
every byte arrived.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.anima.custody.hardware_wallet import unsigned_payload
from life.anima.custody.ledger_apdu import (
    Answer,
    Command,
    address_command,
    configuration_command,
    encode_path,
    message_commands,
    parse_address_answer,
    parse_configuration,
    parse_signature,
    transaction_commands,
    typed_data_commands,
)
from life.anima.custody.typed_requests import finish_wallet_signature
from life.anima.errors import CustodyInputError, CustodyProtocolError
from life.crypto.address import parse_address
from life.crypto.eip191 import personal_message_digest
from life.crypto.eip712 import Eip712Domain, Field, TypedData, TypeTable
from life.crypto.transaction import Eip1559Transaction, signing_hash
from tests.harness.ledger_emulator import LedgerEmulator

PATH = encode_path("m/44'/60'/0'/0/0")
OWN = parse_address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
ADDRESS_ANSWER = bytes.fromhex(
    "41048318535b54105d4a7aae60c08fc45f9687181b4fdfc625bd1a753fa7397fed753547f11ca8696646f2f3acb08e31016afac23e630c5d11"
    "f59f61fef57b0d2aa528"
    "66333946643665353161616438384636463463653661423838323732373963666646623932323636"
)
"""Recorded from the app 1.22 (custody-testbeds.md §6.4)."""
DEVICE = LedgerEmulator()


def sent(commands: Sequence[Command]) -> bytes:
    """The data of the last answer; every status is 9000."""
    data = b""
    for command in commands:
        answer = Answer.parse(DEVICE.process(command.encode()))
        assert answer.status == 0x9000, (command, hex(answer.status))
        data = answer.data
    return data


def check(digest: bytes, commands: Sequence[Command]) -> None:
    """The device signs exactly `digest`."""
    finish_wallet_signature(digest, parse_signature(sent(commands)), address=OWN)


def test_recorded_commands() -> None:
    """Configuration and address as recorded, question and answer."""
    assert configuration_command().encode().hex() == "e006000000"
    assert parse_configuration(bytes.fromhex("02011600")) == (False, (1, 22, 0))
    assert parse_configuration(bytes.fromhex("03011600")) == (True, (1, 22, 0))
    assert address_command(PATH).encode().hex() == "e002000015058000002c8000003c800000000000000000000000"
    assert sent([address_command(PATH)]) == ADDRESS_ANSWER
    assert parse_address_answer(ADDRESS_ANSWER).address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def test_the_recorded_transaction_is_one_chunk() -> None:
    """The bytes of the recorded EIP-1559 exchange."""
    fields = Eip1559Transaction(
        chain_id=84532,
        nonce=7,
        max_priority_fee_per_gas_wei=10**9,
        max_fee_per_gas_wei=3 * 10**10,
        gas_limit=21_000,
        to=parse_address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        value_wei=10**15,
    )
    (command,) = transaction_commands(PATH, unsigned_payload(fields))
    assert command.encode().hex() == (
        "e004000049058000002c8000003c800000000000000000000000"
        "02f283014a3407843b9aca008506fc23ac008252089470997970c51812dc3a010c7d01b50e0d17dc79c887038d7ea4c6800080c0"
    )


@given(st.integers(0, 1200), st.integers(0, 2**256 - 1), st.integers(0, 2**64 - 2))
@settings(max_examples=60)
def test_transactions_of_any_length(data_bytes: int, value: int, nonce: int) -> None:
    """However the chunks fall, the device decodes the whole transaction and signs its hash."""
    fields = Eip1559Transaction(
        chain_id=84532,
        nonce=nonce,
        max_priority_fee_per_gas_wei=1,
        max_fee_per_gas_wei=2,
        gas_limit=21_000,
        to=OWN,
        value_wei=value,
        data=bytes(data_bytes),
    )
    check(signing_hash(fields), transaction_commands(PATH, unsigned_payload(fields)))


@given(st.binary(max_size=1100))
@settings(max_examples=60)
def test_messages_of_any_length(message: bytes) -> None:
    """However the chunks fall, the device has the whole message."""
    check(personal_message_digest(message), message_commands(PATH, message))


TYPES = TypeTable(
    {
        "Everything": (
            Field("small", "uint8"),
            Field("big", "uint256"),
            Field("signed", "int64"),
            Field("widest", "int256"),
            Field("who", "address"),
            Field("yes", "bool"),
            Field("text", "string"),
            Field("four", "bytes4"),
            Field("raw", "bytes"),
            Field("list", "uint32[]"),
            Field("pairs", "uint8[2][]"),
            Field("part", "Part"),
            Field("parts", "Part[]"),
        ),
        "Part": (Field("name", "string"), Field("inner", "Inner")),
        "Inner": (Field("hash", "bytes32"),),
    }
)
PARTS = st.fixed_dictionaries(
    {"name": st.text(max_size=300), "inner": st.fixed_dictionaries({"hash": st.binary(min_size=32, max_size=32)})}
)
MESSAGES = st.fixed_dictionaries(
    {
        "small": st.integers(0, 255),
        "big": st.integers(0, 2**256 - 1),
        "signed": st.integers(-(2**63), 2**63 - 1),
        "widest": st.integers(-(2**255), 2**255 - 1),
        "who": st.binary(min_size=20, max_size=20),
        "yes": st.booleans(),
        "text": st.text(max_size=400),
        "four": st.binary(min_size=4, max_size=4),
        "raw": st.binary(max_size=600),
        "list": st.lists(st.integers(0, 2**32 - 1), max_size=4),
        "pairs": st.lists(st.lists(st.integers(0, 255), min_size=2, max_size=2), min_size=1, max_size=3),
        "part": PARTS,
        "parts": st.lists(PARTS, max_size=3),
    }
)
DOMAINS = st.builds(
    Eip712Domain,
    name=st.text(max_size=20),
    version=st.none() | st.just("2"),
    chain_id=st.none() | st.integers(1, 2**256 - 1),
    verifying_contract=st.none() | st.just(OWN),
    salt=st.none() | st.just(bytes(range(32))),
)


@given(MESSAGES, DOMAINS)
@settings(max_examples=60)
def test_typed_data_of_any_kind(message: dict[str, object], domain: Eip712Domain) -> None:
    """Every atomic type, arrays, arrays of arrays and nested structs arrive whole, under any domain."""
    typed = TypedData(domain, TYPES, "Everything", message)
    check(typed.digest(), typed_data_commands(PATH, typed))


@pytest.mark.parametrize(
    "answer",
    [b"", ADDRESS_ANSWER[:-1], ADDRESS_ANSWER + b"0", b"\x40" + ADDRESS_ANSWER[1:], ADDRESS_ANSWER[:-1] + b"g"],
)
def test_answers_that_are_no_address(answer: bytes) -> None:
    """Another length, prefix or alphabet is refused."""
    with pytest.raises(CustodyProtocolError):
        parse_address_answer(answer)


def test_answers_that_are_nothing() -> None:
    """An answer without status word, a short configuration, a signature of another length."""
    with pytest.raises(CustodyProtocolError):
        Answer.parse(b"\x90")
    with pytest.raises(CustodyProtocolError):
        parse_configuration(b"\x01\x01\x16")
    with pytest.raises(CustodyProtocolError):
        parse_signature(bytes(64))


def test_what_is_too_long() -> None:
    """More than 255 bytes in a command, 255 elements in an array or 65535 bytes in a value are refused."""
    with pytest.raises(CustodyInputError):
        Command(0x04, 0, 0, bytes(256)).encode()
    domain = Eip712Domain(name="x")
    for type_, value in (("uint8[]", [1] * 256), ("uint8[300]", [1] * 300), ("bytes", bytes(65_536))):
        typed = TypedData(domain, TypeTable({"T": (Field("x", type_),)}), "T", {"x": value})
        with pytest.raises(CustodyInputError):
            typed_data_commands(PATH, typed)

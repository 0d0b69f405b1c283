"""The APDU protocol of Ledger's Ethereum app: commands, chunks, answers, status words (anima.md §13.5, AN-HW-1).

A command is ``E0 ins p1 p2 length data``, with at most 255 bytes of data; an answer is data and a two-byte status word
(ISO 7816-4). The instructions, as the app's public protocol text (LedgerHQ, ``doc/ethapp.adoc``) and its 1.22 release have them:

    02  address         path                                   65-byte point, address as text
    04  transaction     path ‖ 02 ‖ rlp, in chunks             v ‖ r ‖ s
    06  configuration   nothing                                flags, version
    08  message         path ‖ length (4) ‖ text, in chunks    v ‖ r ‖ s
    0C  typed data      P2 00: path ‖ two hashes;  P2 01: path, after 1A and 1C     v ‖ r ‖ s
    1A  typed data, definitions      P2 00 a struct's name, FF one of its members
    1C  typed data, values           P2 00 root struct, 0F length of an array, FF a member's value; P1 01 when more follows

Nothing here talks to a device.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from life.anima.errors import CustodyInputError, CustodyProtocolError
from life.crypto.eip712 import DOMAIN_TYPE, Eip712Domain, Field, TypedData, TypeTable, encode_atomic

CLASS: Final = 0xE0
MAX_DATA_BYTES: Final = 255
MAX_PATH_LENGTH: Final = 10
DEFAULT_PATH: Final = "m/44'/60'/0'/0/0"

STATUS_OK: Final = 0x9000
_HARDENED: Final = 0x8000_0000
_FIRST, _NEXT = 0x00, 0x80
_STEP: Final = re.compile(r"(0|[1-9][0-9]{0,9})(['hH]?)")
_POINT_BYTES: Final = 65
_ADDRESS_CHARACTERS: Final = 40


class Command(NamedTuple):
    """One command APDU."""

    instruction: int
    p1: int
    p2: int
    data: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the wire."""
        if len(self.data) > MAX_DATA_BYTES:
            raise CustodyInputError("A command to a Ledger carries at most 255 bytes.")
        return bytes((CLASS, self.instruction, self.p1, self.p2, len(self.data))) + self.data


class Answer(NamedTuple):
    """One response APDU."""

    data: bytes
    status: int

    @classmethod
    def parse(cls, raw: bytes) -> Answer:
        """Data and status word; CustodyProtocolError when there is no status word."""
        if len(raw) < 2:
            raise CustodyProtocolError("The device's answer has no status word.")
        return cls(raw[:-2], int.from_bytes(raw[-2:], "big"))


class Configuration(NamedTuple):
    """What the app says of itself."""

    blind_signing: bool
    """Whether it signs what it can't explain; typed data without Ledger's own filters is that (AN-HW-1)."""
    version: tuple[int, int, int]


class WalletKey(NamedTuple):
    """A public key of the device."""

    public_key: bytes
    """65 bytes."""
    address: str
    """The app's own text of the address, `0x…`."""


def encode_path(path: str) -> bytes:
    """A derivation path (BIP-32) as the app reads it: a count, then 4 bytes for each step. CustodyInputError."""
    root, *steps = path.split("/")
    found = [_STEP.fullmatch(step) for step in steps]
    if root != "m" or not 0 < len(steps) <= MAX_PATH_LENGTH or None in found:
        raise CustodyInputError(f"A derivation path is like {DEFAULT_PATH}, with at most {MAX_PATH_LENGTH} steps.")
    encoded = bytes((len(steps),))
    for step in found:
        assert step is not None  # looked for above
        number = int(step[1])
        if number >= _HARDENED:
            raise CustodyInputError("A step of a derivation path is below 2^31.")
        encoded += (number | (_HARDENED if step[2] else 0)).to_bytes(4, "big")
    return encoded


def configuration_command() -> Command:
    """Ask for flags and version."""
    return Command(0x06, 0x00, 0x00)


def parse_configuration(data: bytes) -> Configuration:
    """Read the answer to `configuration_command`."""
    if len(data) < 4:
        raise CustodyProtocolError("The device's configuration is too short.")
    return Configuration(bool(data[0] & 0x01), (data[1], data[2], data[3]))


def address_command(path: bytes, *, show: bool = False) -> Command:
    """Ask for the public key at `path`; with `show` the person compares the address on the screen first."""
    return Command(0x02, 0x01 if show else 0x00, 0x00, path)


def parse_address_answer(data: bytes) -> WalletKey:
    """Read the answer to `address_command`: ``41 ‖ point ‖ 28 ‖ 40 characters``."""
    expected = 1 + _POINT_BYTES + 1 + _ADDRESS_CHARACTERS
    if len(data) != expected or data[0] != _POINT_BYTES or data[1 + _POINT_BYTES] != _ADDRESS_CHARACTERS:
        raise CustodyProtocolError("The device's answer is not a public key and an address.")
    text = data[-_ADDRESS_CHARACTERS:]
    if not re.fullmatch(rb"[0-9a-fA-F]{40}", text):
        raise CustodyProtocolError("The device's address is not 40 hexadecimal digits.")
    return WalletKey(data[1 : 1 + _POINT_BYTES], "0x" + text.decode("ascii"))


def transaction_commands(path: bytes, payload: bytes) -> list[Command]:
    """Sign a typed transaction; `payload` is its type byte and the RLP of its unsigned fields (EIP-2718)."""
    return _in_chunks(0x04, path + payload)


def message_commands(path: bytes, message: bytes) -> list[Command]:
    """Sign a personal message (EIP-191); the app adds the prefix."""
    return _in_chunks(0x08, path + len(message).to_bytes(4, "big") + message)


def hashed_typed_data_command(path: bytes, typed: TypedData) -> Command:
    """Sign typed data by its two hashes ("v0"): the screen shows only them."""
    struct_hash = typed.types.hash_struct(typed.primary_type, typed.message)
    return Command(0x0C, 0x00, 0x00, path + typed.domain.separator() + struct_hash)


def typed_data_commands(path: bytes, typed: TypedData) -> list[Command]:
    """Sign typed data in full: definitions, values, then the request, so that the screen shows every member."""
    domain_types = TypeTable({DOMAIN_TYPE: typed.domain.fields()})
    commands = [*_definitions(domain_types, DOMAIN_TYPE), *_definitions(typed.types, typed.primary_type)]
    for types, root, value in (
        (domain_types, DOMAIN_TYPE, _domain_members(typed.domain)),
        (typed.types, typed.primary_type, typed.message),
    ):
        commands.append(Command(0x1C, 0x00, 0x00, root.encode()))
        commands += _struct_values(types, root, value)
    return [*commands, Command(0x0C, 0x00, 0x01, path)]


def parse_signature(data: bytes) -> bytes:
    """``r ‖ s`` of an answer ``v ‖ r ‖ s``. The app's v is 0 or 1 for transactions, 27 or 28 otherwise, and is not
    used: recovery finds it (AN-CUS-2)."""
    if len(data) != 65:
        raise CustodyProtocolError("The device's answer is not a signature.")
    return data[1:]


def _in_chunks(instruction: int, content: bytes) -> list[Command]:
    chunks = [content[at : at + MAX_DATA_BYTES] for at in range(0, len(content), MAX_DATA_BYTES)]
    return [Command(instruction, _NEXT if number else _FIRST, 0x00, chunk) for number, chunk in enumerate(chunks)]


def _definitions(types: TypeTable, root: str) -> Iterator[Command]:
    """Struct by struct: its name, then its members; every struct that `root` reaches, once."""
    waiting, seen = [root], {root}
    while waiting:
        name = waiting.pop(0)
        yield Command(0x1A, 0x00, 0x00, name.encode())
        for field in types.fields(name):
            yield Command(0x1A, 0x00, 0xFF, _member_definition(field))
            core = field.type.partition("[")[0]
            if core in types and core not in seen:
                seen.add(core)
                waiting.append(core)


def _member_definition(field: Field) -> bytes:
    """Type byte, [struct name], [size], [array levels], name of the member."""
    core, levels = _array_levels(field.type)
    kind, size_bytes = _kind_of(core)
    first = kind | (0x80 if levels else 0) | (0x40 if size_bytes is not None else 0)
    encoded = bytes((first,))
    if kind == 0:
        encoded += _counted(core.encode())
    if size_bytes is not None:
        encoded += bytes((size_bytes,))
    if levels:
        encoded += bytes((len(levels),))
        for size in levels:
            if size is not None and size > 255:
                raise CustodyInputError("A Ledger takes arrays of at most 255 elements.")
            encoded += b"\x00" if size is None else bytes((1, size))
    return encoded + _counted(field.name.encode())


def _kind_of(core: str) -> tuple[int, int | None]:
    """The app's number of a type, and its size in bytes where the type has one."""
    for prefix, kind in (("int", 1), ("uint", 2)):
        if core.removeprefix(prefix).isdigit():
            return kind, int(core.removeprefix(prefix)) // 8
    if core.removeprefix("bytes").isdigit():
        return 6, int(core.removeprefix("bytes"))
    return {"address": 3, "bool": 4, "string": 5, "bytes": 7}.get(core, 0), None


def _array_levels(type_: str) -> tuple[str, list[int | None]]:
    """The element type, and the sizes of its array levels from left to right (None: any length)."""
    core, *rest = type_.split("[")
    return core, [int(level[:-1]) if level != "]" else None for level in rest]


def _struct_values(types: TypeTable, name: str, value: object) -> Iterator[Command]:
    assert isinstance(value, Mapping)  # the hash of this value has been taken, which checks its shape
    for field in types.fields(name):
        yield from _values(types, field.type, value[field.name], field.name)


def _values(types: TypeTable, type_: str, value: object, name: str) -> Iterator[Command]:
    """A member's value; arrays announce their length, structs are only their members."""
    if type_.endswith("]"):
        assert isinstance(value, Sequence)  # as above
        if len(value) > 255:
            raise CustodyInputError("A Ledger takes arrays of at most 255 elements.")
        yield Command(0x1C, 0x00, 0x0F, bytes((len(value),)))
        for element in value:
            yield from _values(types, type_.rpartition("[")[0], element, name)
    elif type_ in types:
        yield from _struct_values(types, type_, value)
    else:
        raw = _value_bytes(type_, value, name)
        content = len(raw).to_bytes(2, "big") + raw
        chunks = [content[at : at + MAX_DATA_BYTES] for at in range(0, len(content), MAX_DATA_BYTES)]
        for number, chunk in enumerate(chunks, start=1):
            yield Command(0x1C, 0x01 if number < len(chunks) else 0x00, 0xFF, chunk)


def _value_bytes(type_: str, value: object, name: str) -> bytes:
    """The bytes of an atomic value: text and bytes as they are, numbers without leading zeros."""
    if type_ == "string":
        raw = str(value).encode()
    elif type_ == "bytes":
        assert isinstance(value, str | bytes | bytearray | memoryview)  # as above
        raw = bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)
    else:
        word = encode_atomic(type_, value, path=name)
        kind, size_bytes = _kind_of(type_)
        if kind == 1:
            raw = word[32 - (size_bytes or 32) :]
        elif kind == 6:
            raw = word[: size_bytes or 32]
        elif kind == 3:
            raw = word[12:]
        else:
            raw = word.lstrip(b"\x00") or b"\x00"
    if len(raw) > 0xFFFF:
        raise CustodyInputError("A Ledger takes values of at most 65535 bytes.")
    return raw


def _domain_members(domain: Eip712Domain) -> dict[str, object]:
    members: dict[str, object] = {
        "name": domain.name,
        "version": domain.version,
        "chainId": domain.chain_id,
        "verifyingContract": domain.verifying_contract,
        "salt": domain.salt,
    }
    return {name: value for name, value in members.items() if value is not None}


def _counted(text: bytes) -> bytes:
    if len(text) > 255:
        raise CustodyInputError("A name in typed data has at most 255 bytes.")
    return bytes((len(text),)) + text

"""EIP-712 typed data: type strings, struct hashes, domain separators and the digest to sign.

General and strict (AN-WAL-1): every atomic type of the EIP, arrays, nested structs, ``bytes`` and ``string``. Values may be
Python values or the spellings JSON uses for them (decimal or ``0x`` text for integers, ``0x`` text for bytes). Nothing is
guessed: a missing or surplus member, a number out of range, a short ``bytes32`` or the aliases ``int`` and ``uint`` are
refused, because a lenient encoder signs something else than its user read.

For EIP-3009 authorizations, which are signed and checked in bulk, see :mod:`life.crypto.eip3009`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from life.crypto.address import parse_address
from life.crypto.errors import InvalidAddressError, InvalidTypedDataError
from life.crypto.keccak import keccak256

Value: TypeAlias = object
"""A value of typed data: bool, int, str, bytes, a sequence of values, or a mapping of member names to values."""

DOMAIN_TYPE = "EIP712Domain"
MAX_DEPTH = 32
"""Deepest nesting of structs and arrays that is encoded."""

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")
_ARRAY = re.compile(r"(.+)\[([1-9][0-9]{0,8})?\]\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,77})\Z|0x[0-9a-fA-F]{1,64}\Z")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*\Z")

_INTEGER_BITS = {f"uint{bits}": (0, (1 << bits) - 1) for bits in range(8, 257, 8)} | {
    f"int{bits}": (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) for bits in range(8, 257, 8)
}
_FIXED_BYTES = {f"bytes{size}": size for size in range(1, 33)}
_ATOMIC = frozenset(("bool", "address", "string", "bytes", *_INTEGER_BITS, *_FIXED_BYTES))
_RESERVED = _ATOMIC | {"int", "uint"}


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member of a struct type: its name and its type, e.g. ``Field("amounts", "uint256[]")``."""

    name: str
    type: str


Types = Mapping[str, Sequence[Field]]
"""Struct types by name. Members keep their order, which is part of the type."""


class TypeTable:
    """A checked set of struct types with their hashes.

    Raises :class:`InvalidTypedDataError` for bad identifiers, repeated members, or a member of an unknown type.
    """

    def __init__(self, types: Types) -> None:
        self._types = {name: tuple(fields) for name, fields in types.items()}
        self._type_hashes: dict[str, bytes] = {}
        for name, fields in self._types.items():
            if not _IDENTIFIER.match(name) or name in _RESERVED:
                raise InvalidTypedDataError(f"{name!r} cannot name a struct type")
            if len({field.name for field in fields}) != len(fields):
                raise InvalidTypedDataError(f"the type {name} repeats a member")
            for field in fields:
                if not _IDENTIFIER.match(field.name):
                    raise InvalidTypedDataError(f"{field.name!r} cannot name a member of {name}")
                self._check_known(field.type)

    def _check_known(self, type_: str) -> None:
        core, depth = type_, 0
        while match := _ARRAY.match(core):
            core, depth = match.group(1), depth + 1
            if depth > MAX_DEPTH:
                raise InvalidTypedDataError("the array type is nested too deeply")
        if core not in _ATOMIC and core not in self._types:
            raise InvalidTypedDataError(f"the type {type_!r} is not defined")

    def __contains__(self, name: str) -> bool:
        return name in self._types

    def fields(self, name: str) -> tuple[Field, ...]:
        """Return the members of struct ``name``, in order."""
        try:
            return self._types[name]
        except KeyError:
            raise InvalidTypedDataError(f"the type {name!r} is not defined") from None

    def encode_type(self, name: str) -> str:
        """Return ``encodeType``: the struct, then every struct it refers to, these sorted by name."""
        self.fields(name)
        seen, waiting = {name}, [name]
        while waiting:
            for field in self._types[waiting.pop()]:
                core = field.type.partition("[")[0]
                if core in self._types and core not in seen:
                    seen.add(core)
                    waiting.append(core)
        return "".join(
            f"{struct}({','.join(f'{field.type} {field.name}' for field in self._types[struct])})"
            for struct in (name, *sorted(seen - {name}))
        )

    def type_hash(self, name: str) -> bytes:
        """Return Keccak-256 of :meth:`encode_type`."""
        if name not in self._type_hashes:
            self._type_hashes[name] = keccak256(self.encode_type(name).encode("utf-8"))
        return self._type_hashes[name]

    def hash_struct(self, name: str, value: Value) -> bytes:
        """Return ``hashStruct``: Keccak-256 of type hash and encoded members.

        Raises :class:`InvalidTypedDataError`, which names the member that does not fit.
        """
        return self._hash_struct(name, value, path=name, depth=0)

    def _hash_struct(self, name: str, value: Value, *, path: str, depth: int) -> bytes:
        fields = self.fields(name)
        if not isinstance(value, Mapping):
            raise InvalidTypedDataError(f"{path} must be an object")
        names = [field.name for field in fields]
        if len(value) != len(names) or any(member not in value for member in names):
            raise InvalidTypedDataError(f"{path} must have exactly the members {', '.join(names) or '(none)'}")
        encoded = [self.type_hash(name)]
        for field in fields:
            member_path = f"{path}.{field.name}"
            encoded.append(self._encode(field.type, value[field.name], path=member_path, depth=depth + 1))
        return keccak256(b"".join(encoded))

    def _encode(self, type_: str, value: Value, *, path: str, depth: int) -> bytes:
        """Return the 32 bytes a member contributes to its struct (``encodeData``)."""
        if type_ in _ATOMIC:
            return encode_atomic(type_, value, path=path)
        if depth > MAX_DEPTH:
            raise InvalidTypedDataError("the value is nested too deeply")
        match = _ARRAY.match(type_)
        if match is None:
            return self._hash_struct(type_, value, path=path, depth=depth)
        if isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence):
            raise InvalidTypedDataError(f"{path} must be a list")
        element, size = match.groups()
        if size is not None and len(value) != int(size):
            raise InvalidTypedDataError(f"{path} must have {size} elements")
        return keccak256(
            b"".join(
                self._encode(element, item, path=f"{path}[{index}]", depth=depth + 1)
                for index, item in enumerate(value)
            )
        )


def encode_atomic(type_: str, value: Value, *, path: str) -> bytes:
    """Return the 32 bytes of a value of an atomic type, or of the hash of ``bytes`` and ``string``.

    Raises :class:`InvalidTypedDataError` naming ``path``.
    """
    if bounds := _INTEGER_BITS.get(type_):
        number = _integer(value, path)
        if not bounds[0] <= number <= bounds[1]:
            raise InvalidTypedDataError(f"{path} is out of range for {type_}")
        return number.to_bytes(32, "big", signed=number < 0)
    if size := _FIXED_BYTES.get(type_):
        octets = _octets(value, path)
        if len(octets) != size:
            raise InvalidTypedDataError(f"{path} must have {size} bytes")
        return octets.ljust(32, b"\0")
    if type_ == "address":
        return bytes(12) + _address(value, path)
    if type_ == "bool":
        if not isinstance(value, bool):
            raise InvalidTypedDataError(f"{path} must be true or false")
        return bytes(31) + (b"\1" if value else b"\0")
    if type_ == "string":
        if not isinstance(value, str):
            raise InvalidTypedDataError(f"{path} must be text")
        try:
            return keccak256(value.encode("utf-8"))
        except UnicodeEncodeError:
            raise InvalidTypedDataError(f"{path} is not Unicode text") from None
    return keccak256(_octets(value, path))


def _integer(value: Value, path: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _NUMBER.match(value):
        return int(value, 16 if value.startswith("0x") else 10)
    raise InvalidTypedDataError(f"{path} must be an integer (a number, decimal text or 0x text)")


def _octets(value: Value, path: str) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str) and _HEX.match(value):
        return bytes.fromhex(value[2:])
    raise InvalidTypedDataError(f"{path} must be bytes, or 0x and an even number of hex digits")


def _address(value: Value, path: str) -> bytes:
    if isinstance(value, bytes) and len(value) == 20:
        return value
    if isinstance(value, str):
        try:
            return parse_address(value)
        except InvalidAddressError as error:
            raise InvalidTypedDataError(f"{path}: {error}") from None
    raise InvalidTypedDataError(f"{path} must be an address (20 bytes or 0x text)")


_DOMAIN_FIELDS = (
    Field("name", "string"),
    Field("version", "string"),
    Field("chainId", "uint256"),
    Field("verifyingContract", "address"),
    Field("salt", "bytes32"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Eip712Domain:
    """A signing domain. Fields that are ``None`` are not part of its type; at least one must be given.

    ``chain_id`` is a 256-bit integer, ``verifying_contract`` 20 bytes, ``salt`` 32 bytes.
    """

    name: str | None = None
    version: str | None = None
    chain_id: int | None = None
    verifying_contract: bytes | None = None
    salt: bytes | None = None

    def _members(self) -> dict[str, str | int | bytes]:
        values = (self.name, self.version, self.chain_id, self.verifying_contract, self.salt)
        return {field.name: value for field, value in zip(_DOMAIN_FIELDS, values, strict=True) if value is not None}

    def fields(self) -> tuple[Field, ...]:
        """Return the members of this domain's ``EIP712Domain`` type, in the order the EIP fixes."""
        members = self._members()
        return tuple(field for field in _DOMAIN_FIELDS if field.name in members)

    def separator(self) -> bytes:
        """Return the 32-byte domain separator. Raises :class:`InvalidTypedDataError`."""
        members = self._members()
        if not members:
            raise InvalidTypedDataError("a signing domain has at least one field")
        return TypeTable({DOMAIN_TYPE: self.fields()}).hash_struct(DOMAIN_TYPE, members)


@dataclass(frozen=True, slots=True)
class TypedData:
    """Typed data ready to be hashed: domain, types, the primary type and its value."""

    domain: Eip712Domain
    types: TypeTable
    primary_type: str
    message: Mapping[str, object]

    def digest(self) -> bytes:
        """Return the 32 bytes to sign. Raises :class:`InvalidTypedDataError`."""
        return digest(self.domain.separator(), self.types.hash_struct(self.primary_type, self.message))


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    types: dict[str, list[Field]]
    primaryType: str  # noqa: N815 (the member's name on the wire)
    domain: dict[str, object]
    message: dict[str, object]


def digest(domain_separator: bytes, struct_hash: bytes) -> bytes:
    """Return Keccak-256 of ``19 01 ‖ domain separator ‖ struct hash``, the 32 bytes to sign.

    Raises :class:`InvalidTypedDataError` unless both have 32 bytes.
    """
    if len(domain_separator) != 32 or len(struct_hash) != 32:
        raise InvalidTypedDataError("a domain separator and a struct hash have 32 bytes")
    return keccak256(b"\x19\x01" + domain_separator + struct_hash)


def parse_domain(members: Mapping[str, object]) -> Eip712Domain:
    """Read a domain in its JSON spelling (name, version, chainId, verifyingContract, salt).

    Raises :class:`InvalidTypedDataError` for unknown members or values of a wrong type.
    """
    known = {field.name: field.type for field in _DOMAIN_FIELDS}
    for field, value in members.items():
        if field not in known:
            raise InvalidTypedDataError(f"a signing domain has no field {field!r}")
        encode_atomic(known[field], value, path=f"domain.{field}")
    name, version, salt = members.get("name"), members.get("version"), members.get("salt")
    return Eip712Domain(
        name=None if name is None else str(name),
        version=None if version is None else str(version),
        chain_id=_integer(members["chainId"], "domain.chainId") if "chainId" in members else None,
        verifying_contract=(
            _address(members["verifyingContract"], "domain.verifyingContract")
            if "verifyingContract" in members
            else None
        ),
        salt=None if salt is None else _octets(salt, "domain.salt"),
    )


def parse_typed_data(document: Mapping[str, object]) -> TypedData:
    """Read the document of ``eth_signTypedData_v4``: types, primaryType, domain, message.

    When ``types`` declares ``EIP712Domain``, it must list exactly the fields of ``domain``, in the EIP's order.
    Raises :class:`InvalidTypedDataError`.
    """
    try:
        parsed = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise InvalidTypedDataError(f"the typed data document is malformed: {error}") from None
    domain = parse_domain(parsed.domain)
    declared = parsed.types.pop(DOMAIN_TYPE, None)
    if declared is not None and tuple(declared) != domain.fields():
        raise InvalidTypedDataError("the declared EIP712Domain type does not list the fields of the domain")
    table = TypeTable(parsed.types)
    table.fields(parsed.primaryType)
    return TypedData(domain=domain, types=table, primary_type=parsed.primaryType, message=parsed.message)

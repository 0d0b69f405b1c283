"""EIP-712: the example of the EIP, Permit2 vectors, eth-account as oracle, and strictness."""

from collections.abc import Callable
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from life.crypto import eip712
from life.crypto.address import format_address
from life.crypto.eip712 import Eip712Domain, Field, TypeTable, parse_domain, parse_typed_data
from life.crypto.errors import InvalidTypedDataError
from tests.crypto import vectors
from tests.crypto.strategies import addresses


def oracle_digest(document: dict[str, Any]) -> bytes:
    """The digest eth-account computes for a whole document."""
    message = encode_typed_data(full_message=document)
    return bytes(keccak(b"\x19" + message.version + message.header + message.body))


MAIL: dict[str, Any] = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}


def test_example_of_the_eip() -> None:
    """Type string, type hash, struct hash, separator and digest of EIP-712's Mail example."""
    data = parse_typed_data(MAIL)
    assert data.types.encode_type("Mail") == (
        "Mail(Person from,Person to,string contents)Person(string name,address wallet)"
    )
    assert data.types.type_hash("Mail").hex() == "a0cedeb2dc280ba39b857546d74f5549c3a1d7bdc2dd96bf881f76108e23dac2"
    assert data.types.hash_struct("Mail", MAIL["message"]).hex() == (
        "c52c0ee5d84264471806290a3f2c4cecfc5490626bf912d01f240d7a274b371e"
    )
    assert data.domain.separator().hex() == "f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f"
    assert data.digest().hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"


def _permit2(witness: list[dict[str, str]], values: dict[str, Any], spender: str) -> dict[str, Any]:
    return {
        "types": {
            "PermitWitnessTransferFrom": [
                {"name": "permitted", "type": "TokenPermissions"},
                {"name": "spender", "type": "address"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
                {"name": "witness", "type": "Witness"},
            ],
            "TokenPermissions": [{"name": "token", "type": "address"}, {"name": "amount", "type": "uint256"}],
            "Witness": witness,
        },
        "primaryType": "PermitWitnessTransferFrom",
        "domain": {
            "name": "Permit2",
            "chainId": 84532,
            "verifyingContract": "0x000000000022D473030F116dDEE9F6B43aC78BA3",
        },
        "message": {
            "permitted": {"token": vectors.USDC_BASE_SEPOLIA, "amount": "10000"},
            "spender": spender,
            "nonce": "7",
            "deadline": "1893456000",
            "witness": values,
        },
    }


PAY_TO = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"


def test_permit2_vectors() -> None:
    """x402's Permit2 digests, exact and upto: a domain without version and a nested witness."""
    address, number = "address", "uint256"
    exact = _permit2(
        [{"name": "to", "type": address}, {"name": "validAfter", "type": number}],
        {"to": PAY_TO, "validAfter": "0"},
        "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
    )
    upto = _permit2(
        [
            {"name": "to", "type": address},
            {"name": "facilitator", "type": address},
            {"name": "validAfter", "type": number},
        ],
        {"to": PAY_TO, "facilitator": vectors.DEV_ADDRESS_0, "validAfter": "0"},
        "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
    )
    assert parse_typed_data(exact).digest().hex() == "466e23da6a3967fbef8994953672d481d23fb0572ba09cb842cc96e34702ba30"
    assert parse_typed_data(upto).digest().hex() == "ff27e32478a1f183697c9b57d35c1ccb1a09bf747af0f8038ea1550ba6fbb379"
    domain_type = TypeTable({"EIP712Domain": parse_typed_data(exact).domain.fields()}).type_hash("EIP712Domain")
    assert domain_type.hex() == "8cad95687ba82c2ce50e74f7b754645e5117c3a5bec8151c0726d5857980a866"


ATOMIC: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
    "bool": st.booleans,
    "address": lambda: addresses.map(format_address),
    "string": lambda: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    "bytes": lambda: st.binary(max_size=40),
}
for _bits in (8, 16, 64, 128, 248, 256):
    ATOMIC[f"uint{_bits}"] = lambda bits=_bits: st.integers(0, 2**bits - 1)  # type: ignore[misc]
    ATOMIC[f"int{_bits}"] = lambda bits=_bits: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)  # type: ignore[misc]
for _size in (1, 4, 20, 31, 32):
    ATOMIC[f"bytes{_size}"] = lambda size=_size: st.binary(min_size=size, max_size=size)  # type: ignore[misc]


def _value_of(draw: st.DrawFn, type_: str, types: dict[str, list[dict[str, str]]]) -> Any:
    if type_.endswith("]"):
        element, _, size = type_[:-1].rpartition("[")
        count = int(size) if size else draw(st.integers(0, 3))
        return [_value_of(draw, element, types) for _ in range(count)]
    if type_ in types:
        return {field["name"]: _value_of(draw, field["type"], types) for field in types[type_]}
    return draw(ATOMIC[type_]())


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Whole documents: up to four structs that refer only to later ones, arrays of arrays, any subset of the domain."""
    names = ["Root", "Zebra", "Apple", "Mango"][: draw(st.integers(1, 4))]
    types: dict[str, list[dict[str, str]]] = {}
    for index, name in enumerate(names):
        cores = [draw(st.sampled_from(sorted(ATOMIC))) for _ in range(draw(st.integers(1, 4)))]
        cores += names[index + 1 : index + 2]  # each struct uses the next, so all are reachable from the first
        cores += draw(st.lists(st.sampled_from(names[index + 1 :]), max_size=1)) if names[index + 1 :] else []
        suffixes = [draw(st.sampled_from(["", "", "", "[]", "[2]", "[][2]", "[1][]"])) for _ in cores]
        types[name] = [
            {"name": f"member{position}", "type": core + suffix}
            for position, (core, suffix) in enumerate(zip(cores, suffixes, strict=True))
        ]
    domain = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "name": ATOMIC["string"](),
                "version": ATOMIC["string"](),
                "chainId": ATOMIC["uint256"](),
                "verifyingContract": ATOMIC["address"](),
                "salt": ATOMIC["bytes32"](),
            },
        ).filter(bool)
    )
    fields = [{"name": field.name, "type": field.type} for field in eip712._DOMAIN_FIELDS if field.name in domain]
    message = {field["name"]: _value_of(draw, field["type"], types) for field in types["Root"]}
    return {"types": {"EIP712Domain": fields, **types}, "primaryType": "Root", "domain": domain, "message": message}


@settings(deadline=None, max_examples=150)
@given(documents())
def test_agrees_with_eth_account(document: dict[str, Any]) -> None:
    """Random types, nested structs, arrays and domains give eth-account's digest."""
    assert parse_typed_data(document).digest() == oracle_digest(document)


def test_recursive_types_end_in_empty_lists() -> None:
    """A struct may hold a list of itself; eth-account agrees."""
    document = {
        **MAIL,
        "types": {"Node": [{"name": "label", "type": "string"}, {"name": "children", "type": "Node[]"}]},
        "primaryType": "Node",
        "message": {"label": "root", "children": [{"label": "leaf", "children": []}]},
    }
    table = parse_typed_data(document)
    document["types"] = {"EIP712Domain": MAIL["types"]["EIP712Domain"], **document["types"]}
    assert table.digest() == oracle_digest(document)


def test_json_spellings_of_values() -> None:
    """Decimal and 0x texts, 0x bytes and raw bytes are the same values."""
    table = TypeTable({"T": [Field("n", "int256"), Field("b", "bytes"), Field("a", "address")]})
    address = bytes.fromhex(vectors.USDC_BASE[2:])
    expected = table.hash_struct("T", {"n": 255, "b": b"\xab\xcd", "a": address})
    for number in ("255", "0xff", "0xFF", "0x00ff"):
        assert table.hash_struct("T", {"n": number, "b": "0xABcd", "a": vectors.USDC_BASE}) == expected
    assert table.hash_struct("T", {"n": "-1", "b": "0x", "a": address}) == table.hash_struct(
        "T", {"n": -1, "b": bytearray(), "a": address}
    )


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", "256"),
        ("int8", 128),
        ("int8", -129),
        ("uint256", 2**256),
        ("int256", 2**255),
        ("int256", -(2**255) - 1),
        ("uint256", True),
        ("uint256", 1.0),
        ("uint256", None),
        ("uint256", ""),
        ("uint256", "01"),
        ("uint256", " 1"),
        ("uint256", "1_0"),
        ("uint256", "1e3"),
        ("uint256", "0x"),
        ("uint256", "-0x1"),
        ("uint256", "٣"),
        ("uint256", "9" * 5000),
        ("bool", 1),
        ("bool", "true"),
        ("bool", None),
        ("string", b"text"),
        ("string", 5),
        ("string", "\ud800"),
        ("bytes", "abcd"),
        ("bytes", "0xabc"),
        ("bytes", "0xzz"),
        ("bytes", [1, 2]),
        ("bytes32", b"short"),
        ("bytes32", bytes(33)),
        ("bytes4", "0xabcd"),
        ("address", bytes(19)),
        ("address", 5),
        ("address", vectors.USDC_BASE[2:]),
        ("address", vectors.USDC_BASE.replace("fCD", "Fcd")),
        ("uint8[]", 5),
        ("uint8[]", "12"),
        ("uint8[]", b"12"),
        ("uint8[]", {"0": 1}),
        ("uint8[2]", [1]),
        ("uint8[2]", [1, 2, 3]),
        ("uint8[][2]", [[1]]),
        ("uint8[]", [1, 256]),
        ("Inner", None),
        ("Inner", []),
        ("Inner", {}),
        ("Inner", {"x": 1, "y": 2}),
        ("Inner[]", [{"x": 1}, {"x": 256}]),
    ],
)
def test_values_that_do_not_fit_are_refused(type_: str, value: object) -> None:
    """Ranges, lengths, kinds and members are exact; the message names the member."""
    table = TypeTable({"T": [Field("member", type_)], "Inner": [Field("x", "uint8")]})
    with pytest.raises(InvalidTypedDataError, match=r"T\.member"):
        table.hash_struct("T", {"member": value})


@pytest.mark.parametrize(
    "type_",
    [
        "uint",
        "int",
        "uint7",
        "uint264",
        "uint08",
        "int0",
        "bytes0",
        "bytes33",
        "byte",
        "fixed128x18",
        "function",
        "Missing",
        "",
        "uint8[",
        "uint8[0]",
        "uint8[-1]",
        "uint8[01]",
        "uint8[]x",
        "uint8 []",
        "uint8[][",
        "T[" + "9" * 10 + "]",
        "uint8" + "[]" * 40,
    ],
)
def test_unknown_types_are_refused(type_: str) -> None:
    """Aliases, impossible sizes, malformed arrays and undefined structs are no types."""
    with pytest.raises(InvalidTypedDataError):
        TypeTable({"T": [Field("member", type_)]})


@pytest.mark.parametrize(
    "types",
    [
        {"uint256": [Field("x", "bool")]},
        {"uint": [Field("x", "bool")]},
        {"1T": [Field("x", "bool")]},
        {"T(": [Field("x", "bool")]},
        {"": [Field("x", "bool")]},
        {"T": [Field("x", "bool"), Field("x", "bool")]},
        {"T": [Field("x y", "bool")]},
        {"T": [Field("x,uint256 y", "bool")]},
        {"T": [Field("", "bool")]},
    ],
)
def test_types_cannot_be_forged_by_names(types: dict[str, list[Field]]) -> None:
    """Names are identifiers, so no name can pretend to be more members or another type."""
    with pytest.raises(InvalidTypedDataError):
        TypeTable(types)


def test_deep_values_are_refused() -> None:
    """Nesting is bounded: a bomb is an error, not a crash."""
    table = TypeTable({"Node": [Field("children", "Node[]")]})
    value: dict[str, object] = {"children": []}
    for _ in range(5000):
        value = {"children": [value]}
    with pytest.raises(InvalidTypedDataError, match="deeply"):
        table.hash_struct("Node", value)


def test_domains() -> None:
    """Any subset of the five fields makes a domain; none at all, unknown fields and wrong values do not."""
    salted = Eip712Domain(salt=b"\x01" * 32)
    assert [field.name for field in salted.fields()] == ["salt"]
    assert parse_domain({"salt": "0x" + "01" * 32}) == salted
    assert parse_domain({"chainId": "0x1"}) == Eip712Domain(chain_id=1)
    for bad in (
        {"chainid": 1},
        {"chainId": -1},
        {"chainId": None},
        {"salt": "0x01"},
        {"name": 5},
        {"verifyingContract": "0x"},
    ):
        with pytest.raises(InvalidTypedDataError):
            parse_domain(bad)
    with pytest.raises(InvalidTypedDataError, match="at least one"):
        Eip712Domain().separator()
    with pytest.raises(InvalidTypedDataError):
        Eip712Domain(chain_id=2**256).separator()
    with pytest.raises(InvalidTypedDataError):
        Eip712Domain(verifying_contract=bytes(19)).separator()


@pytest.mark.parametrize(
    "change",
    [
        {"primaryType": "Missing"},
        {"primaryType": "EIP712Domain"},
        {"primaryType": 5},
        {"types": {}},
        {"types": {"Mail": [{"name": "x"}]}},
        {"types": {"Mail": [{"name": "x", "type": "bool", "extra": 1}]}},
        {"domain": None},
        {"message": []},
        {"surplus": 1},
        {"types": {**MAIL["types"], "EIP712Domain": MAIL["types"]["EIP712Domain"][::-1]}},
        {"types": {**MAIL["types"], "EIP712Domain": MAIL["types"]["EIP712Domain"][:3]}},
    ],
)
def test_malformed_documents_are_refused(change: dict[str, Any]) -> None:
    """Missing, mistyped and surplus members, and a declared domain that differs from the given one, are errors."""
    with pytest.raises(InvalidTypedDataError):
        parse_typed_data({**MAIL, **change}).digest()


@pytest.mark.parametrize(("separator", "struct"), [(b"", bytes(32)), (bytes(32), bytes(31))])
def test_digest_parts_have_32_bytes(separator: bytes, struct: bytes) -> None:
    """Concatenation is only safe with fixed lengths."""
    with pytest.raises(InvalidTypedDataError):
        eip712.digest(separator, struct)

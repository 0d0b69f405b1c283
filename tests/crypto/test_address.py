"""EVM addresses and their checksum."""

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given

from life.crypto.address import format_address, parse_address
from life.crypto.errors import InvalidAddressError
from tests.crypto.strategies import PROPERTY, addresses

# EIP-55, test cases: all caps, all lower, normal.
EIP55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", EIP55)
def test_eip55_examples(text: str) -> None:
    """The examples of the EIP are written and read."""
    assert format_address(bytes.fromhex(text[2:])) == text
    assert parse_address(text).hex() == text[2:].lower()


@PROPERTY
@given(addresses)
def test_agrees_with_an_independent_implementation(address: bytes) -> None:
    """Checksums are eth-utils'; all-lower and all-upper texts are accepted as well."""
    text = format_address(address)
    assert text == to_checksum_address(address)
    for spelling in (text, text.lower(), "0x" + text[2:].upper()):
        assert parse_address(spelling) == address


def test_a_wrong_checksum_is_refused() -> None:
    """Changing the case of any one letter of a mixed-case address is noticed."""
    text = EIP55[4]
    for position in range(2, 42):
        flipped = text[:position] + text[position].swapcase() + text[position + 1 :]
        if flipped != text:
            with pytest.raises(InvalidAddressError, match="checksum"):
                parse_address(flipped)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        EIP55[4][2:],
        "0X" + EIP55[4][2:].lower(),
        EIP55[4][:-1],
        EIP55[4] + "0",
        "0x" + "g" * 40,
        "0x" + " " * 40,
        "0x" + "１" * 40,
        "\n" + EIP55[4][1:],
    ],
)
def test_malformed_texts_are_refused(text: str) -> None:
    """Anything but 0x and forty ASCII hex digits is refused."""
    with pytest.raises(InvalidAddressError):
        parse_address(text)


@pytest.mark.parametrize("length", [0, 19, 21, 32])
def test_addresses_have_20_bytes(length: int) -> None:
    """Another length cannot be written."""
    with pytest.raises(InvalidAddressError):
        format_address(bytes(length))

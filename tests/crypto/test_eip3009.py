"""EIP-3009: published digests and signatures, the general encoder and eth-account as oracles, ranges."""

from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import eip3009, secp256k1
from life.crypto.address import format_address, parse_address
from life.crypto.eip712 import Eip712Domain, Field, TypeTable, digest
from life.crypto.eip3009 import Domain, TransferWithAuthorization
from life.crypto.errors import InvalidAuthorizationError
from life.crypto.keccak import keccak256
from tests.crypto import vectors
from tests.crypto.strategies import PROPERTY, addresses, nonces, uint256

BASE = Domain("USD Coin", "2", 8453, parse_address(vectors.USDC_BASE))
BASE_SEPOLIA = Domain("USDC", "2", 84532, parse_address(vectors.USDC_BASE_SEPOLIA))

FIELDS = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"


@pytest.mark.parametrize(
    ("text", "type_hash"),
    [
        (
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
            eip3009.DOMAIN_TYPE_HASH,
        ),
        (f"TransferWithAuthorization({FIELDS})", eip3009.TRANSFER_WITH_AUTHORIZATION_TYPE_HASH),
        (f"ReceiveWithAuthorization({FIELDS})", eip3009.RECEIVE_WITH_AUTHORIZATION_TYPE_HASH),
        ("CancelAuthorization(address authorizer,bytes32 nonce)", eip3009.CANCEL_AUTHORIZATION_TYPE_HASH),
    ],
)
def test_type_hashes(text: str, type_hash: bytes) -> None:
    """The constants are the hashes of the type strings in EIP-3009 and EIP-712."""
    assert keccak256(text.encode()) == type_hash


def test_domain_separators() -> None:
    """USDC on Base and Base Sepolia: the separators of the deployed contracts (names differ between the two)."""
    assert BASE.separator.hex() == "02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f"
    assert BASE_SEPOLIA.separator.hex() == "71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"
    assert BASE.separator is BASE.separator


VECTORS = [
    # Haima reference, appendix A: key 01 repeated.
    (
        b"\x01" * 32,
        vectors.USDC_BASE_SEPOLIA,
        (50_000, 1_700_000_000, 1_700_000_600, b"\x13" * 32),
        BASE,
        "8d050452c3869c8e6f88c71933af54cf0a09c2d1665504107b1d1eeb49c94b75",
        "adf28fc68982e21e781a8b28d54a7974df0bb075331d0c16138a64465d47c3e8"
        "47bedca69b397b4627364922be5ca77ee5ad84aa4ee7a65bc276cfc622e9741b1c",
    ),
    (
        b"\x01" * 32,
        vectors.USDC_BASE_SEPOLIA,
        (50_000, 1_700_000_000, 1_700_000_600, b"\x13" * 32),
        BASE_SEPOLIA,
        "59fddee98dd978ccb8d5b5e0b55936ba2e1ed3697dde8546792b4893970afc18",
        "75dd6f36ec2500b68c99392e12f7321e76840bf45dc5da2cd00fb1010ced0fa4"
        "3527ea5dec0ea98a969919f9fbde5d6574a45e10c61fa07bc5956b7cd78ecd501c",
    ),
    # Anima reference, appendix A: development account 0.
    (
        vectors.DEV_SECRET_0,
        vectors.DEV_ADDRESS_1,
        (10_000, 0, 1_893_456_000, b"\x42" * 32),
        BASE_SEPOLIA,
        "54890059b4387585445fc9400d48c9234b18fa67db881f9eef378974c17ffeff",
        "cb1621d58dab5a3f55baaef5609ef6b9b2a2e024526c48f1e64553e83aef0aa4"
        "3108e4922c902c4c679f3ec43e74d997e2c630fbb38b394b91d34e0204aa433c1b",
    ),
    # x402 reference, section 8: development account 1.
    (
        vectors.DEV_SECRET_1,
        "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        (10_000, 0, 1_893_456_000, b"\x11" * 32),
        BASE_SEPOLIA,
        "2923bbb5fb698ce69b1a4a2663586bc50c09277159283fce42f4ec87e2b2120f",
        "2793a8e128de35b6a7402e47b7b713fb923ef22d72907885c0f8246de6b7bef6"
        "336be0dbece62258387040c18281a42c7a165b1ea19bfe10c3ffcc241cc4824d1b",
    ),
    (
        vectors.DEV_SECRET_1,
        "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        (10_000, 0, 1_893_456_000, b"\x11" * 32),
        BASE,
        "b1b99fcf950f02d8607880b44c753937a9a0f4448af3aeca4e2d7575ba67e34e",
        "9866949a5d449fd727e1be1b19c08232f8e119ea06f753fbaeac7c9e07e7271e"
        "0f784466774535bb495d6da139284546384528dcc9cd4208614566f5ef13eae41b",
    ),
]


@pytest.mark.parametrize(("secret", "to", "terms", "domain", "expected", "signature"), VECTORS)
def test_vectors(
    secret: bytes, to: str, terms: tuple[int, int, int, bytes], domain: Domain, expected: str, signature: str
) -> None:
    """Digest, signature and recovered signer of every published authorization."""
    key = bytearray(secret)
    payer = secp256k1.address_of(secp256k1.public_key(key))
    value, after, before, nonce = terms
    authorization = TransferWithAuthorization(
        from_address=payer,
        to_address=parse_address(to),
        value_atomic=value,
        valid_after_s=after,
        valid_before_s=before,
        nonce=nonce,
    )
    message = authorization.digest(domain)
    assert message.hex() == expected
    assert secp256k1.sign_recoverable(message, key).hex() == signature
    assert secp256k1.recover_address(message, bytes.fromhex(signature)) == payer


def test_struct_hash_vector() -> None:
    """Anima reference, appendix A: the struct hash between the fields and the digest."""
    struct_hash = bytes.fromhex("1273348cdf7641e28af50d91a44e10fe9c7bce25d249d4bbd5697b48431f7e7d")
    assert digest(BASE_SEPOLIA.separator, struct_hash).hex() == VECTORS[2][4]


TABLE = TypeTable(
    {
        name: [Field(*reversed(field.split())) for field in FIELDS.split(",")]
        for name in ("TransferWithAuthorization", "ReceiveWithAuthorization")
    }
    | {"CancelAuthorization": [Field("authorizer", "address"), Field("nonce", "bytes32")]}
)


@PROPERTY
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.integers(1, 2**256 - 1),
    addresses,
    addresses,
    addresses,
    uint256,
    uint256,
    uint256,
    nonces,
)
def test_agrees_with_the_general_encoder(
    name: str,
    version: str,
    chain_id: int,
    contract: bytes,
    payer: bytes,
    to: bytes,
    value: int,
    after: int,
    before: int,
    nonce: bytes,
) -> None:
    """For any domain and values the fast path gives what the general EIP-712 encoder gives."""
    domain = Domain(name, version, chain_id, contract)
    general = Eip712Domain(name=name, version=version, chain_id=chain_id, verifying_contract=contract).separator()
    assert domain.separator == general
    message = {"from": payer, "to": to, "value": value, "validAfter": after, "validBefore": before, "nonce": nonce}
    arguments = (payer, to, value, after, before, nonce)
    for type_name, function in (
        ("TransferWithAuthorization", eip3009.authorization_digest),
        ("ReceiveWithAuthorization", eip3009.receive_digest),
    ):
        assert function(domain.separator, *arguments) == digest(general, TABLE.hash_struct(type_name, message))
    cancel = TABLE.hash_struct("CancelAuthorization", {"authorizer": payer, "nonce": nonce})
    assert eip3009.cancel_digest(domain.separator, payer, nonce) == digest(general, cancel)


@PROPERTY
@given(addresses, uint256, uint256, nonces)
def test_signatures_agree_with_eth_account(to: bytes, value: int, before: int, nonce: bytes) -> None:
    """eth-account signs the same authorization to the same 65 bytes."""
    fields: list[Any] = [dict(zip(("type", "name"), field.split(), strict=True)) for field in FIELDS.split(",")]
    signed = Account.sign_typed_data(
        vectors.DEV_SECRET_0,
        {"name": "USDC", "version": "2", "chainId": 84532, "verifyingContract": vectors.USDC_BASE_SEPOLIA},
        {"TransferWithAuthorization": fields},
        {
            "from": vectors.DEV_ADDRESS_0,
            "to": format_address(to),
            "value": value,
            "validAfter": 0,
            "validBefore": before,
            "nonce": nonce,
        },
    )
    payer = parse_address(vectors.DEV_ADDRESS_0)
    message = eip3009.authorization_digest(BASE_SEPOLIA.separator, payer, to, value, 0, before, nonce)
    assert secp256k1.sign_recoverable(message, bytearray(vectors.DEV_SECRET_0)) == bytes(signed.signature)


GOOD: dict[str, Any] = {
    "from_address": bytes(20),
    "to_address": bytes(20),
    "value_atomic": 2**256 - 1,
    "valid_after_s": 0,
    "valid_before_s": 2**256 - 1,
    "nonce": bytes(32),
}


@pytest.mark.parametrize(
    "change",
    [
        {"from_address": bytes(19)},
        {"to_address": bytes(21)},
        {"from_address": bytes(21), "to_address": bytes(19)},
        {"nonce": bytes(31)},
        {"nonce": bytes(33)},
        {"value_atomic": -1},
        {"value_atomic": 2**256},
        {"valid_after_s": -1},
        {"valid_after_s": 2**256},
        {"valid_before_s": -1},
        {"valid_before_s": 2**256},
    ],
)
def test_fields_out_of_range_are_refused(change: dict[str, Any]) -> None:
    """Lengths and 256-bit ranges are exact at both ends; shifted field borders do not cancel out."""
    assert len(TransferWithAuthorization(**GOOD).digest(BASE)) == 32
    with pytest.raises(InvalidAuthorizationError):
        TransferWithAuthorization(**{**GOOD, **change}).digest(BASE)


def test_separators_and_domains_are_checked() -> None:
    """A separator has 32 bytes, a contract 20, a chain id is positive."""
    with pytest.raises(InvalidAuthorizationError):
        eip3009.authorization_digest(bytes(31), bytes(20), bytes(20), 0, 0, 0, bytes(32))
    for arguments in (
        (bytes(31), bytes(20), bytes(32)),
        (bytes(32), bytes(19), bytes(32)),
        (bytes(32), bytes(20), b""),
    ):
        with pytest.raises(InvalidAuthorizationError):
            eip3009.cancel_digest(*arguments)
    for chain_id, contract in ((0, bytes(20)), (-1, bytes(20)), (2**256, bytes(20)), (1, bytes(19))):
        with pytest.raises(InvalidAuthorizationError):
            Domain("USDC", "2", chain_id, contract)


def test_every_field_is_signed() -> None:
    """Changing any one field, or the domain, changes the digest."""
    base = {**GOOD, "value_atomic": 5, "valid_before_s": 9}
    changes: list[dict[str, Any]] = [
        {},
        {"from_address": b"\x01" * 20},
        {"to_address": b"\x01" * 20},
        {"value_atomic": 6},
        {"valid_after_s": 1},
        {"valid_before_s": 10},
        {"nonce": b"\x01" * 32},
    ]
    digests = {TransferWithAuthorization(**{**base, **change}).digest(BASE) for change in changes}
    digests.add(TransferWithAuthorization(**base).digest(BASE_SEPOLIA))
    assert len(digests) == len(changes) + 1

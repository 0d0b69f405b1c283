"""Scheme `exact` by EIP-3009: vectors, what is refused, and that one payment has one key."""

from __future__ import annotations

import re

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st
from x402.http.utils import encode_payment_signature_header
from x402.mechanisms.evm.exact import ExactEvmScheme
from x402.schemas import PaymentPayload as OfficialPayload
from x402.schemas import PaymentRequirements as OfficialRequirements

from life.aios.ports.custody import TransferAuthorization
from life.crypto import secp256k1
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import codes, exact, wire
from life.haima.x402.networks import USDC_BASE, USDC_BASE_SEPOLIA, KnownToken, NetworkRegistry
from tests.haima.payer_kit import ADDRESS, KEY_HEX

PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
VALID_BEFORE = 1893456000
NOW_S = 1_800_000_000

# x402.md §8, checked there against eth_account; haima.md appendix A (key 01×32).
VECTORS = [
    (
        KEY_HEX,
        TransferAuthorization(
            "eip155:84532", USDC_BASE_SEPOLIA.address, "USDC", "2", ADDRESS, PAYEE, 10000, 0, VALID_BEFORE, b"\x11" * 32
        ),
        "2923bbb5fb698ce69b1a4a2663586bc50c09277159283fce42f4ec87e2b2120f",
        "2793a8e128de35b6a7402e47b7b713fb923ef22d72907885c0f8246de6b7bef6"
        "336be0dbece62258387040c18281a42c7a165b1ea19bfe10c3ffcc241cc4824d1b",
    ),
    (
        KEY_HEX,
        TransferAuthorization(
            "eip155:8453", USDC_BASE.address, "USD Coin", "2", ADDRESS, PAYEE, 10000, 0, VALID_BEFORE, b"\x11" * 32
        ),
        "b1b99fcf950f02d8607880b44c753937a9a0f4448af3aeca4e2d7575ba67e34e",
        "9866949a5d449fd727e1be1b19c08232f8e119ea06f753fbaeac7c9e07e7271e"
        "0f784466774535bb495d6da139284546384528dcc9cd4208614566f5ef13eae41b",
    ),
    (
        "01" * 32,
        TransferAuthorization(
            "eip155:8453",
            USDC_BASE.address,
            "USD Coin",
            "2",
            "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1",
            "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            50_000,
            1_700_000_000,
            1_700_000_600,
            b"\x13" * 32,
        ),
        "8d050452c3869c8e6f88c71933af54cf0a09c2d1665504107b1d1eeb49c94b75",
        "adf28fc68982e21e781a8b28d54a7974df0bb075331d0c16138a64465d47c3e8"
        "47bedca69b397b4627364922be5ca77ee5ad84aa4ee7a65bc276cfc622e9741b1c",
    ),
]


def requirements(token: KnownToken = USDC_BASE_SEPOLIA, /, **changes: object) -> wire.PaymentRequirements:
    """Terms for 10000 units of a token."""
    fields: dict[str, object] = {
        "scheme": "exact",
        "network": token.network,
        "amount": "10000",
        "asset": token.address,
        "pay_to": PAYEE,
        "max_timeout_seconds": 300,
        "extra": {"name": token.name, "version": token.version},
    }
    return wire.PaymentRequirements(**{**fields, **changes})  # type: ignore[arg-type]


def sign(authorization: TransferAuthorization, key_hex: str = KEY_HEX) -> bytes:
    """The wallet's signature."""
    return secp256k1.sign_recoverable(exact.digest(authorization), bytearray.fromhex(key_hex))


def payment(terms: wire.PaymentRequirements, *, signature: str | None = None, **fields: str) -> wire.PaymentPayload:
    """A payment for these terms, with some of its fields replaced after signing (`from_` for `from`)."""
    authorization = VECTORS[0][1]
    built = exact.build_payload(wire.to_raw(terms), authorization, sign(authorization))
    content = wire.decode_exact_payload(built.payload)
    names = {"from_": "from_", "to": "to", "value": "value", "valid_after": "valid_after"}
    changed = {
        name: fields.get(name, getattr(content.authorization, name)) for name in (*names, "valid_before", "nonce")
    }
    exchanged = wire.ExactEvmPayload(
        signature=content.signature if signature is None else signature,
        authorization=wire.ExactEvmAuthorization(**changed),
    )
    return wire.PaymentPayload(x402_version=2, accepted=built.accepted, payload=wire.to_raw(exchanged))


@pytest.mark.parametrize(("key", "authorization", "digest", "signature"), VECTORS)
def test_vectors(key: str, authorization: TransferAuthorization, digest: str, signature: str) -> None:
    """Digest and signature are those of the reference."""
    assert exact.digest(authorization).hex() == digest
    assert sign(authorization, key).hex() == signature


def test_domain_separators_of_usdc() -> None:
    """The two separators that real USDC answers (x402.md §8); the names differ between the networks."""
    base = exact.domain_separator(USDC_BASE.network, USDC_BASE.address, "USD Coin", "2")
    sepolia = exact.domain_separator(USDC_BASE_SEPOLIA.network, USDC_BASE_SEPOLIA.address, "USDC", "2")
    assert base.hex() == "02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f"
    assert sepolia.hex() == "71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"


@given(
    value=st.integers(1, 2**256 - 1),
    after=st.integers(0, 2**63),
    before=st.integers(0, 2**63),
    nonce=st.binary(min_size=32, max_size=32),
)
def test_signatures_equal_those_of_eth_account(value: int, after: int, before: int, nonce: bytes) -> None:
    """Property: an independent implementation signs the same bytes for any authorization."""
    authorization = TransferAuthorization(
        USDC_BASE.network, USDC_BASE.address, "USD Coin", "2", ADDRESS, PAYEE, value, after, before, nonce
    )
    message = encode_typed_data(
        {"name": "USD Coin", "version": "2", "chainId": 8453, "verifyingContract": USDC_BASE.address},
        {
            "TransferWithAuthorization": [
                {"name": "from", "type": "address"},
                {"name": "to", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "validAfter", "type": "uint256"},
                {"name": "validBefore", "type": "uint256"},
                {"name": "nonce", "type": "bytes32"},
            ]
        },
        {"from": ADDRESS, "to": PAYEE, "value": value, "validAfter": after, "validBefore": before, "nonce": nonce},
    )
    assert bytes(Account.sign_message(message, KEY_HEX).signature) == sign(authorization)


def test_a_good_payment_passes() -> None:
    """What is signed over the terms is accepted, and names its payer."""
    terms = requirements()
    signed = exact.parse_exact(payment(terms), terms)
    assert exact.verify_offline(signed, terms, now_s=NOW_S) is None
    assert signed.payer == ADDRESS
    assert signed.authorization == VECTORS[0][1]


def test_the_official_clients_payment_passes() -> None:
    """A payment made by the official Python SDK is read and verified."""
    terms = requirements()
    offered = OfficialRequirements.model_validate_json(bytes(wire.to_raw(terms)))
    content = ExactEvmScheme(Account.from_key(KEY_HEX)).create_payment_payload(offered)
    header = encode_payment_signature_header(OfficialPayload(payload=content, accepted=offered))
    signed = exact.parse_exact(wire.decode_payment_signature(header), terms)
    now_s = signed.authorization.valid_before_s - 100
    assert exact.verify_offline(signed, terms, now_s=now_s) is None


def test_a_payment_has_one_key_whatever_its_spelling() -> None:
    """Case of addresses and nonce, and v of 0 or 27, do not change the payment: it can be claimed once."""
    terms = requirements()
    plain = exact.parse_exact(payment(terms), terms)
    low = sign(VECTORS[0][1])
    other = exact.parse_exact(
        payment(
            terms,
            from_=ADDRESS.lower(),
            to="0x" + PAYEE[2:].upper(),
            nonce="0x" + "1" * 64,
            signature="0x" + (low[:64] + bytes((low[64] - 27,))).hex().upper(),
        ),
        terms,
    )
    assert other == plain
    assert plain.key == f"eip155:84532|{USDC_BASE_SEPOLIA.address.lower()}|{ADDRESS.lower()}|0x{'11' * 32}"


@pytest.mark.parametrize(
    ("fields", "terms", "now_s", "code"),
    [
        ({}, {"pay_to": ADDRESS}, NOW_S, codes.RECIPIENT_MISMATCH),
        ({}, {"amount": "9999"}, NOW_S, codes.VALUE_MISMATCH),
        ({}, {"amount": "10001"}, NOW_S, codes.VALUE_MISMATCH),
        ({}, {"amount": "010000"}, NOW_S, codes.VALUE_MISMATCH),
        ({}, {}, VALID_BEFORE, codes.VALID_BEFORE),
        ({}, {}, VALID_BEFORE - 5, codes.VALID_BEFORE),
        ({"valid_after": str(NOW_S + 1)}, {}, NOW_S, codes.VALID_AFTER),
        ({"nonce": "0x" + "22" * 32}, {}, NOW_S, codes.INVALID_SIGNATURE),
        ({"from_": PAYEE}, {}, NOW_S, codes.INVALID_SIGNATURE),
        ({"signature": "0x" + "00" * 64 + "1b"}, {}, NOW_S, codes.INVALID_SIGNATURE),
        ({"signature": "0x" + "ff" * 64 + "1b"}, {}, NOW_S, codes.INVALID_SIGNATURE),
    ],
)
def test_refusals(fields: dict[str, str], terms: dict[str, object], now_s: int, code: str) -> None:
    """Each step of the verifier refuses with its own code (x402.md §3.1)."""
    offered = requirements(**terms)
    signed = exact.parse_exact(payment(offered, **fields), offered)
    refusal = exact.verify_offline(signed, offered, now_s=now_s)
    assert refusal is not None and refusal.code == code


def test_the_last_valid_second_passes() -> None:
    """`validBefore` may be exactly six seconds ahead, `validAfter` exactly now."""
    terms = requirements()
    signed = exact.parse_exact(payment(terms), terms)
    assert exact.verify_offline(signed, terms, now_s=VALID_BEFORE - 6) is None


def test_a_high_s_is_refused_before_any_chain_is_asked() -> None:
    """The malleated twin of a good signature recovers the same signer and is refused all the same (EIP-2)."""
    terms = requirements()
    good = sign(VECTORS[0][1])
    high = good[:32] + (secp256k1.ORDER - int.from_bytes(good[32:64], "big")).to_bytes(32, "big")
    twin = high + bytes((27 + (28 - good[64]),))
    signed = exact.parse_exact(payment(terms, signature="0x" + twin.hex()), terms)
    refusal = exact.verify_offline(signed, terms, now_s=NOW_S)
    assert refusal is not None and refusal.code == codes.INVALID_SIGNATURE


@pytest.mark.parametrize(
    "fields",
    [
        {"value": "ten"},
        {"value": "01"},
        {"value": "-1"},
        {"value": "1e4"},
        {"value": "١٠"},
        {"value": str(2**256)},
        {"value": " 1"},
        {"value": "1_000"},
        {"value": "²"},
        {"value": "9" * 5000},
        {"valid_before": ""},
        {"nonce": "0x11"},
        {"nonce": "11" * 32},
        {"nonce": "0X" + "11" * 32},
        {"nonce": "0x" + "11" * 33},
        {"nonce": "0x" + "11" * 31 + " 1"},
        {"nonce": "0x" + " " + "11" * 32},
        {"nonce": "0x" + "11" * 31 + "1g"},
        {"nonce": "0x" + "١١" * 32},
        {"from_": "0x1234"},
        {"from_": "0x70997970c51812dc3A010C7d01b50e0d17dc79C8"},  # mixed case with a wrong checksum
        {"signature": "0x1"},
        {"signature": "0x" + "00 " * 65},
        {"signature": "0x" + "00" * 65 + "\n"},
        {"signature": "0x" + "é0" * 65},
        {"signature": "00" * 65},
    ],
    ids=str,
)
def test_what_is_no_payment_is_malformed(fields: dict[str, str]) -> None:
    """Numbers that are none, addresses that are none: status 400, not a refusal of the payment."""
    terms = requirements()
    with pytest.raises(MalformedPaymentError):
        exact.parse_exact(payment(terms, **fields), terms)


@given(
    value=st.one_of(st.text("0123456789 _+-²١", max_size=80), st.integers(0, 2**260).map(str)),
    nonce=st.one_of(st.text("0123456789abcdefABCDEFgx \n", max_size=70), st.binary(max_size=34).map(bytes.hex)),
)
def test_numbers_and_nonces_have_one_spelling(value: str, nonce: str) -> None:
    """What is read is exactly what the grammar says: canonical decimals below 2^256, `0x` and 64 hex digits."""
    terms = requirements()
    is_right = (
        re.fullmatch(r"0|[1-9][0-9]*", value) is not None
        and int(value) < 2**256
        and re.fullmatch(r"[0-9a-fA-F]{64}", nonce) is not None
    )
    try:
        read = exact.parse_exact(payment(terms, value=value, nonce="0x" + nonce), terms).authorization
        assert isinstance(read, TransferAuthorization)
    except MalformedPaymentError:
        assert not is_right
    else:
        assert is_right and (str(read.value_atomic), read.nonce.hex()) == (value, nonce.lower())


def test_matched_terms_are_not_read_again() -> None:
    """A payment whose terms were found equal reads like any other; our own terms must still be of this scheme."""
    terms = requirements()
    assert exact.parse_matched(payment(terms), terms) == exact.parse_exact(payment(terms), terms)
    with pytest.raises(PaymentRefusedError) as caught:
        exact.parse_matched(payment(terms), requirements(scheme="upto"))
    assert caught.value.reason == codes.UNSUPPORTED_SCHEME


@pytest.mark.parametrize("length", [0, 1, 64, 66, 130])
def test_a_signature_of_another_length_is_a_contracts(length: int) -> None:
    """Another length than 65 bytes is refused where only plain keys can pay, and left for the chain to judge where
    contracts can, unless there is no signature at all."""
    terms = requirements()
    signed = exact.parse_exact(payment(terms, signature="0x" + "11" * length), terms)
    refusal = exact.verify_offline(signed, terms, now_s=NOW_S)
    assert refusal is not None and refusal.code == codes.INVALID_SIGNATURE
    assert (exact.verify_offline(signed, terms, now_s=NOW_S, contracts=True) is None) is (length > 0)


def test_a_signature_without_end_is_malformed() -> None:
    """Nobody makes a verifier carry kilobytes of signature to the chain."""
    terms = requirements()
    with pytest.raises(MalformedPaymentError):
        exact.parse_exact(payment(terms, signature="0x" + "11" * 16_385), terms)


def test_a_permit2_payload_is_malformed() -> None:
    """Another transfer method's payload is not mistaken for an authorization."""
    terms = requirements()
    payload = wire.PaymentPayload(
        x402_version=2,
        accepted=wire.to_raw(terms),
        payload=wire.to_raw({"signature": "0x", "permit2Authorization": {}}),
    )
    with pytest.raises(MalformedPaymentError):
        exact.parse_exact(payload, terms)


@pytest.mark.parametrize(
    ("accepted", "offered", "code"),
    [
        ({"scheme": "upto"}, {}, codes.UNSUPPORTED_SCHEME),
        ({"network": "eip155:8453"}, {}, codes.NETWORK_MISMATCH),
        ({}, {"extra": {"name": "USD Coin", "version": "2"}}, codes.TOKEN_NAME_MISMATCH),
        ({}, {"extra": {"name": "USDC", "version": "1"}}, codes.TOKEN_VERSION_MISMATCH),
        ({"network": "solana:x"}, {"network": "solana:x"}, codes.INVALID_NETWORK),
        ({"asset": PAYEE}, {"asset": PAYEE, "extra": None}, codes.MISSING_EIP712_DOMAIN),
    ],
)
def test_terms_that_do_not_fit(accepted: dict[str, object], offered: dict[str, object], code: str) -> None:
    """Steps 1 and 2: scheme, network and the token's domain."""
    with pytest.raises(PaymentRefusedError) as caught:
        exact.parse_exact(payment(requirements(**accepted)), requirements(**offered))
    assert caught.value.reason == code


def test_an_unknown_token_takes_its_domain_from_the_terms() -> None:
    """A token outside the registry is verified under the name and version that its terms give."""
    token = "0x1111111111111111111111111111111111111111"
    terms = requirements(asset=token, extra={"name": "Odd", "version": "7"})
    authorization = VECTORS[0][1]._replace(asset=token, token_name="Odd", token_version="7")
    payload = exact.build_payload(wire.to_raw(terms), authorization, sign(authorization))
    signed = exact.parse_exact(payload, terms)
    assert exact.verify_offline(signed, terms, now_s=NOW_S) is None


def test_a_configured_token_binds_its_domain() -> None:
    """A token that the configuration adds is protected like a built-in one."""
    token = KnownToken("eip155:84532", "0x1111111111111111111111111111111111111111", "ODD", "Odd", "7", 6)
    registry = NetworkRegistry(tokens=[token])
    terms = requirements(asset=token.address, extra={"name": "Fake", "version": "7"})
    with pytest.raises(PaymentRefusedError):
        exact.parse_exact(payment(terms), terms, registry=registry)

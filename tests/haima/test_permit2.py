"""Payments by Permit2, `exact` and `upto`: vectors, the verifier's steps, one key for one payment, official payloads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from x402.http.utils import encode_payment_signature_header
from x402.mechanisms.evm.exact import ExactEvmScheme
from x402.mechanisms.evm.upto.client import UptoEvmScheme
from x402.schemas import PaymentPayload as OfficialPayload
from x402.schemas import PaymentRequirements as OfficialRequirements

from life.aios.ports.custody import PermitTransfer
from life.crypto import secp256k1
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import codes, exact, schemes, upto, wire
from life.haima.x402.authorization import build_payload, claim_key, digest, latest_moment_s
from life.haima.x402.networks import USDC_BASE_SEPOLIA
from tests.haima.payer_kit import ADDRESS, KEY_HEX

PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
FACILITATOR = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
STRANGER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
DEADLINE = 1893456000
NOW_S = 1_800_000_000

EXACT = PermitTransfer(
    network="eip155:84532",
    asset=USDC_BASE_SEPOLIA.address,
    from_address=ADDRESS,
    to_address=PAYEE,
    value_atomic=10_000,
    spender=EXACT_PROXY,
    nonce=7,
    deadline_s=DEADLINE,
)
UPTO = EXACT._replace(spender=UPTO_PROXY, facilitator=FACILITATOR)


def requirements(scheme: str = "exact", /, **changes: Any) -> wire.PaymentRequirements:
    """Terms for 10000 units by Permit2."""
    extra = {"name": "USDC", "version": "2", "assetTransferMethod": "permit2"}
    if scheme == "upto":
        extra["facilitatorAddress"] = FACILITATOR
    fields: dict[str, Any] = {
        "scheme": scheme,
        "network": "eip155:84532",
        "amount": "10000",
        "asset": USDC_BASE_SEPOLIA.address,
        "pay_to": PAYEE,
        "max_timeout_seconds": 300,
        "extra": extra,
    }
    return wire.PaymentRequirements(**{**fields, **changes})


def sign(permit: PermitTransfer) -> bytes:
    """The wallet's signature."""
    return secp256k1.sign_recoverable(digest(permit), bytearray.fromhex(KEY_HEX))


def payment(
    permit: PermitTransfer = EXACT, /, terms: wire.PaymentRequirements | None = None, **edits: Any
) -> wire.PaymentPayload:
    """A signed payment, with members of its payload replaced afterwards (`witness__to` for witness.to)."""
    scheme = "exact" if permit.facilitator is None else "upto"
    built = build_payload(wire.to_raw(terms or requirements(scheme)), permit, sign(permit))
    content = msgspec.json.decode(bytes(built.payload))
    for path, value in edits.items():
        member = content if path == "signature" else content["permit2Authorization"]
        *above, last = path.split("__")
        for name in above:
            member = member[name]
        if value is None:
            del member[last]
        else:
            member[last] = value
    return wire.PaymentPayload(x402_version=2, accepted=built.accepted, payload=wire.to_raw(content))


@pytest.mark.parametrize(
    ("permit", "expected"),
    [
        (EXACT, "466e23da6a3967fbef8994953672d481d23fb0572ba09cb842cc96e34702ba30"),
        (UPTO, "ff27e32478a1f183697c9b57d35c1ccb1a09bf747af0f8038ea1550ba6fbb379"),
    ],
)
def test_vectors(permit: PermitTransfer, expected: str) -> None:
    """The digests of the reference (x402.md §8)."""
    assert digest(permit).hex() == expected


@pytest.mark.parametrize("permit", [EXACT, UPTO])
def test_a_good_payment_passes(permit: PermitTransfer) -> None:
    """What is signed over the terms is read as it was signed, and accepted, until six seconds before its deadline."""
    terms = requirements("exact" if permit.facilitator is None else "upto")
    signed = schemes.parse(payment(permit), terms)
    assert signed.authorization == permit
    assert signed.scheme == terms.scheme
    for now_s in (NOW_S, DEADLINE - 6, latest_moment_s(signed)):
        assert schemes.verify_offline(signed, terms, now_s=now_s) is None


@pytest.mark.parametrize("scheme", ["exact", "upto"])
def test_the_official_clients_payment_passes(scheme: str) -> None:
    """A Permit2 payment made by the official Python SDK is read and verified."""
    terms = requirements(scheme)
    offered = OfficialRequirements.model_validate_json(bytes(wire.to_raw(terms)))
    client = (ExactEvmScheme if scheme == "exact" else UptoEvmScheme)(Account.from_key(KEY_HEX))
    content = client.create_payment_payload(offered)
    header = encode_payment_signature_header(OfficialPayload(payload=content, accepted=offered))
    signed = schemes.parse(wire.decode_payment_signature(header), terms)
    now_s = signed.authorization.valid_before_s - 100
    assert schemes.verify_offline(signed, terms, now_s=now_s) is None
    assert signed.payer == ADDRESS


def test_a_payment_has_one_key_whatever_its_spelling() -> None:
    """Case of addresses and v of 0 or 27 do not change the payment; the token is not part of the key, because Permit2's
    nonces count across tokens."""
    low = sign(EXACT)
    plain = schemes.parse(payment(), requirements())
    other = schemes.parse(
        payment(
            spender=EXACT_PROXY.lower(),
            witness__to="0x" + PAYEE[2:].upper(),
            permitted__token=USDC_BASE_SEPOLIA.address.lower(),
            signature="0x" + (low[:64] + bytes((low[64] - 27,))).hex().upper(),
            **dict[str, Any]({"from": ADDRESS.lower()}),
        ),
        requirements(),
    )
    assert other == plain
    assert plain.key == f"eip155:84532|{PERMIT2.lower()}|{ADDRESS.lower()}|0x{7:064x}"
    assert claim_key(EXACT._replace(asset=PAYEE)) == claim_key(EXACT)
    assert claim_key(EXACT._replace(nonce=8)) != claim_key(EXACT)


@pytest.mark.parametrize(
    ("permit", "terms", "now_s", "code"),
    [
        (EXACT, {"pay_to": ADDRESS}, NOW_S, codes.PERMIT2_RECIPIENT_MISMATCH),
        (EXACT, {}, DEADLINE - 5, codes.PERMIT2_DEADLINE_EXPIRED),
        (EXACT._replace(valid_after_s=NOW_S + 1), {}, NOW_S, codes.PERMIT2_NOT_YET_VALID),
        (EXACT, {"amount": "9999"}, NOW_S, codes.PERMIT2_AMOUNT_MISMATCH),
        (EXACT, {"amount": "10001"}, NOW_S, codes.PERMIT2_AMOUNT_MISMATCH),
        (EXACT, {"amount": "010000"}, NOW_S, codes.PERMIT2_AMOUNT_MISMATCH),
        (UPTO, {"amount": "9999"}, NOW_S, codes.PERMIT2_AMOUNT_MISMATCH),
        (UPTO._replace(facilitator=STRANGER), {}, NOW_S, codes.UPTO_FACILITATOR_MISMATCH),
    ],
)
def test_refusals(permit: PermitTransfer, terms: dict[str, Any], now_s: int, code: str) -> None:
    """Each step of the verifier refuses with its own code (x402.md §3.2, §3.3)."""
    offered = requirements("exact" if permit.facilitator is None else "upto", **terms)
    signed = schemes.parse(payment(permit, offered), offered)
    refusal = schemes.verify_offline(signed, offered, now_s=now_s)
    assert refusal is not None and refusal.code == code


@pytest.mark.parametrize(
    ("charged", "code"), [("0", None), ("1", None), ("10000", None), ("10001", codes.UPTO_EXCEEDS_AMOUNT)]
)
def test_an_upto_charge_stays_below_the_maximum(charged: str, code: str | None) -> None:
    """When it is settled, the terms' amount is the charge: anything from 0 to the maximum."""
    terms = requirements("upto", amount=charged)
    signed = schemes.parse(payment(UPTO), terms)
    refusal = schemes.verify_offline(signed, terms, now_s=NOW_S, settling=True)
    assert (None if refusal is None else refusal.code) == code
    assert schemes.charged_atomic(signed, terms) == int(charged)
    assert schemes.charged_atomic(schemes.parse(payment(), requirements()), requirements()) is None


@pytest.mark.parametrize("permit", [EXACT, UPTO])
@pytest.mark.parametrize("forged", ["stranger", "high s", "another payment", "none"])
def test_signatures_of_others_are_refused(permit: PermitTransfer, forged: str) -> None:
    """Somebody else's key, the malleated twin, a signature over other fields, and none at all."""
    good = sign(permit)
    high = good[:32] + (secp256k1.ORDER - int.from_bytes(good[32:64], "big")).to_bytes(32, "big")
    signature = {
        "stranger": secp256k1.sign_recoverable(digest(permit), bytearray(31) + b"\x07"),
        "high s": high + bytes((55 - good[64],)),
        "another payment": sign(permit._replace(nonce=8)),
        "none": b"",
    }[forged]
    terms = requirements("exact" if permit.facilitator is None else "upto")
    signed = schemes.parse(payment(permit, signature="0x" + signature.hex()), terms)
    refusal = schemes.verify_offline(signed, terms, now_s=NOW_S)
    assert refusal is not None and refusal.code == codes.PERMIT2_INVALID_SIGNATURE


@pytest.mark.parametrize(
    ("permit", "edits", "code"),
    [
        (EXACT, {"spender": STRANGER}, codes.PERMIT2_SPENDER),
        (EXACT, {"spender": UPTO_PROXY}, codes.PERMIT2_SPENDER),
        (UPTO, {"spender": EXACT_PROXY}, codes.PERMIT2_SPENDER),
        (EXACT, {"permitted__token": STRANGER}, codes.PERMIT2_TOKEN_MISMATCH),
    ],
)
def test_other_spenders_and_tokens_are_refused(permit: PermitTransfer, edits: dict[str, Any], code: str) -> None:
    """A spender of Permit2 decides who gets the money: only x402's proxy for the scheme will do."""
    terms = requirements("exact" if permit.facilitator is None else "upto")
    with pytest.raises(PaymentRefusedError) as refused:
        schemes.parse(payment(permit, **edits), terms)
    assert refused.value.reason == code


@pytest.mark.parametrize(
    ("permit", "edits"),
    [
        (EXACT, {"nonce": "07"}),
        (EXACT, {"nonce": "0x07"}),
        (EXACT, {"nonce": str(2**256)}),
        (EXACT, {"nonce": "-1"}),
        (EXACT, {"deadline": "soon"}),
        (EXACT, {"deadline": None}),
        (EXACT, {"witness": None}),
        (EXACT, {"permitted__amount": "1e4"}),
        (EXACT, {"witness__to": "0x12"}),
        (EXACT, {"witness__facilitator": FACILITATOR}),
        (UPTO, {"witness__facilitator": None}),
        (EXACT, {"signature": "0x1"}),
    ],
    ids=str,
)
def test_what_is_no_payment_is_malformed(permit: PermitTransfer, edits: dict[str, Any]) -> None:
    """Numbers that are none, missing members, a witness of the other scheme: status 400, not a refusal."""
    terms = requirements("exact" if permit.facilitator is None else "upto")
    with pytest.raises(MalformedPaymentError):
        schemes.parse(payment(permit, **edits), terms)


def test_a_second_authorization_beside_the_signed_one_is_malformed() -> None:
    """A payload that could be read as two payments is read as none; verifiers were fooled so (x402.md §16.4)."""
    content = msgspec.json.decode(bytes(payment().payload))
    content["authorization"] = {
        "from": ADDRESS,
        "to": PAYEE,
        "value": "1",
        "validAfter": "0",
        "validBefore": "1",
        "nonce": "0x" + "11" * 32,
    }
    double = wire.PaymentPayload(x402_version=2, accepted=payment().accepted, payload=wire.to_raw(content))
    neither = wire.PaymentPayload(x402_version=2, accepted=payment().accepted, payload=wire.to_raw({"signature": "0x"}))
    for payload in (double, neither):
        with pytest.raises(MalformedPaymentError):
            schemes.parse(payload, requirements())


def test_the_named_transfer_method_is_kept() -> None:
    """Terms that name a method take no other; terms that name none take either."""
    named = requirements(extra={"name": "USDC", "version": "2", "assetTransferMethod": "eip3009"})
    with pytest.raises(PaymentRefusedError):
        exact.parse_exact(payment(EXACT, named), named)
    unnamed = requirements(extra={"name": "USDC", "version": "2"})
    assert exact.parse_exact(payment(EXACT, unnamed), unnamed).authorization == EXACT


def test_schemes_are_not_mistaken_for_each_other() -> None:
    """An exact payment does not pass for an upto one, nor the other way round, whatever the terms beside it say."""
    signed_exact, signed_upto = (
        schemes.parse(payment(), requirements()),
        schemes.parse(payment(UPTO), requirements("upto")),
    )
    for signed, terms in ((signed_exact, requirements("upto")), (signed_upto, requirements())):
        refusal = schemes.verify_offline(signed, terms, now_s=NOW_S)
        assert refusal is not None and refusal.code == codes.UNSUPPORTED_SCHEME
    for verify, signed, terms in (
        (exact.verify_offline, signed_upto, requirements()),
        (upto.verify_offline, signed_exact, requirements("upto")),
    ):
        refusal = verify(signed, terms, now_s=NOW_S)
        assert refusal is not None and refusal.code == codes.UNSUPPORTED_SCHEME
    with pytest.raises(PaymentRefusedError):
        schemes.parse(payment(), requirements("upto"))
    with pytest.raises(PaymentRefusedError):
        schemes.parse(payment(UPTO), requirements())


def allowance(**changes: str) -> dict[str, Any]:
    """The extension `eip2612GasSponsoring` as a client fills it in."""
    info = {
        "from": ADDRESS,
        "asset": USDC_BASE_SEPOLIA.address,
        "spender": PERMIT2,
        "amount": "10000",
        "nonce": "0",
        "deadline": str(DEADLINE),
        "signature": "0x" + "11" * 64 + "1b",
        "version": "1",
    }
    return {"eip2612GasSponsoring": {"info": {**info, **changes}}}


def with_extensions(extensions: dict[str, Any]) -> wire.PaymentPayload:
    return msgspec.structs.replace(payment(), extensions=wire.to_raw(extensions))


def test_an_allowance_comes_along() -> None:
    """The EIP-2612 permit is read with the token's own domain; the server's announcement alone is none."""
    signed = schemes.parse(with_extensions(allowance()), requirements())
    assert signed.permit is not None
    permit = signed.permit.permit
    assert (permit.token_name, permit.token_version, permit.spender) == ("USDC", "2", PERMIT2)
    assert (permit.from_address, permit.value_atomic, permit.deadline_s) == (ADDRESS, 10_000, DEADLINE)
    announced: dict[str, Any] = {"eip2612GasSponsoring": {"info": {"description": "yes", "version": "1"}, "schema": {}}}
    silent: tuple[dict[str, Any], ...] = ({}, announced, {"other": {}})
    for extensions in silent:
        assert schemes.parse(with_extensions(extensions), requirements()).permit is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"from": STRANGER}, codes.EIP2612_FROM_MISMATCH),
        ({"asset": STRANGER}, codes.EIP2612_ASSET_MISMATCH),
        ({"spender": STRANGER}, codes.EIP2612_SPENDER),
        ({"amount": "1"}, codes.PERMIT2_2612_AMOUNT_MISMATCH),
        ({"amount": "lots"}, codes.EIP2612_FORMAT),
        ({"signature": "0x11"}, codes.EIP2612_FORMAT),
        ({"nonce": "0x0"}, codes.EIP2612_FORMAT),
    ],
)
def test_an_allowance_for_something_else_is_refused(changes: dict[str, str], code: str) -> None:
    """Gas is paid for no permit but the payment's own."""
    with pytest.raises(PaymentRefusedError) as refused:
        schemes.parse(with_extensions(allowance(**changes)), requirements())
    assert refused.value.reason == code


def test_an_expired_allowance_is_refused() -> None:
    """It must last as long as the payment."""
    signed = schemes.parse(with_extensions(allowance(deadline=str(NOW_S))), requirements())
    refusal = schemes.verify_offline(signed, requirements(), now_s=NOW_S)
    assert refusal is not None and refusal.code == codes.EIP2612_DEADLINE_EXPIRED
    assert schemes.verify_offline(signed, requirements(), now_s=latest_moment_s(signed)) is None, "it was valid once"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["signature", "authorization", "permit2Authorization", "permitted", "witness", "from", "nonce"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_payload_is_read_or_refused(content: Any) -> None:
    """Property: whatever JSON comes as a payload, the answer is a payment, malformed or refused, never a crash."""
    for scheme in ("exact", "upto"):
        payload = wire.PaymentPayload(
            x402_version=2,
            accepted=wire.to_raw(requirements(scheme)),
            payload=msgspec.Raw(msgspec.json.encode(content)),
        )
        with pytest.raises((MalformedPaymentError, PaymentRefusedError)):
            schemes.parse(payload, requirements(scheme))

"""Call data, logs and reverts of an EIP-3009 token, against Keccak and an independent ABI encoder."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from life.aios.ports.custody import TransferAuthorization
from life.crypto.keccak import keccak256
from life.haima.chain import token_calls
from life.haima.x402 import codes
from life.testing.chain import PAYEE, PAYER
from tests.harness.anvil import USDC

AUTHORIZATION = TransferAuthorization(
    network="eip155:84532",
    asset=USDC[84532],
    token_name="USDC",
    token_version="2",
    from_address=PAYER,
    to_address=PAYEE,
    value_atomic=10_000,
    valid_after_s=5,
    valid_before_s=2**40,
    nonce=bytes(range(32)),
)
SIGNATURE = bytes(range(64)) + b"\x1b"


@pytest.mark.parametrize(
    ("constant", "signature"),
    [
        (
            token_calls.TRANSFER_WITH_AUTHORIZATION.hex(),
            "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
        ),
        (token_calls.AUTHORIZATION_STATE.hex(), "authorizationState(address,bytes32)"),
        (token_calls.TRANSFER_TOPIC[2:], "Transfer(address,address,uint256)"),
        (token_calls.AUTHORIZATION_USED_TOPIC[2:], "AuthorizationUsed(address,bytes32)"),
        (token_calls.AUTHORIZATION_CANCELED_TOPIC[2:], "AuthorizationCanceled(address,bytes32)"),
    ],
)
def test_selectors_and_topics(constant: str, signature: str) -> None:
    """Each constant is the Keccak-256 of its signature, or the first four bytes of it."""
    assert keccak256(signature.encode()).hex().startswith(constant)


@pytest.mark.parametrize("v", [0, 1, 27, 28])
def test_transfer_call_is_what_an_abi_encoder_makes(v: int) -> None:
    """Our call data equals eth-abi's; v of 0 and 1 is normalised."""
    types = ["address", "address", "uint256", "uint256", "uint256", "bytes32", "uint8", "bytes32", "bytes32"]
    values = [PAYER, PAYEE, 10_000, 5, 2**40, AUTHORIZATION.nonce, v + 27 if v < 27 else v]
    expected = encode(types, [*values, SIGNATURE[:32], SIGNATURE[32:64]])
    assert token_calls.transfer_call(AUTHORIZATION, SIGNATURE[:64] + bytes([v]))[4:] == expected


def _log(**changes: object) -> dict[str, object]:
    log: dict[str, object] = {
        "address": AUTHORIZATION.asset.lower(),
        "topics": [token_calls.TRANSFER_TOPIC, token_calls.address_topic(PAYER), token_calls.address_topic(PAYEE)],
        "data": "0x" + (10_000).to_bytes(32, "big").hex(),
    }
    return {**log, **changes}


def test_only_the_exact_transfer_counts() -> None:
    """Token, payer, payee and value must all be those of the authorization; a removed log is none."""
    assert token_calls.is_transfer_log(_log(), AUTHORIZATION)
    topics = _log()["topics"]
    assert isinstance(topics, list)
    others: list[object] = [
        _log(address=PAYEE),
        _log(address="0x12"),
        _log(topics=[topics[0], topics[2], topics[1]]),
        _log(topics=[token_calls.AUTHORIZATION_USED_TOPIC, *topics[1:]]),
        _log(topics=topics[:2]),
        _log(data="0x" + (9_999).to_bytes(32, "big").hex()),
        _log(data="0x"),
        _log(data=None),
        _log(removed=True),
        None,
        [],
    ]
    for wrong in others:
        assert not token_calls.is_transfer_log(wrong, AUTHORIZATION)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("FiatTokenV2: authorization is used or canceled", codes.NONCE_ALREADY_USED),
        ("FiatTokenV2: authorization is not yet valid", codes.VALID_AFTER),
        ("FiatTokenV2: authorization is expired", codes.VALID_BEFORE),
        ("ERC20: transfer amount exceeds balance", codes.INSUFFICIENT_BALANCE),
        ("FiatTokenV2: invalid signature", codes.INVALID_SIGNATURE),
        ("ECRecover: invalid signature 's' value", codes.INVALID_SIGNATURE),
        ("Blacklistable: account is blacklisted", codes.SIMULATION_FAILED),
        ("", codes.SIMULATION_FAILED),
    ],
)
def test_reverts_have_codes(reason: str, code: str) -> None:
    """USDC's words become x402's codes, from the ABI-encoded reason or from the node's sentence."""
    data = bytes.fromhex("08c379a0") + encode(["string"], [reason])
    assert token_calls.refusal_code(token_calls.revert_reason(data)) == code
    assert token_calls.refusal_code(token_calls.revert_reason(b"", f"execution reverted: {reason}")) == code


def test_hostile_revert_data_is_cut() -> None:
    """A contract may revert with anything; the reason stays short and never fails."""
    head = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big")
    assert len(token_calls.revert_reason(head + (2**255).to_bytes(32, "big") + b"x" * 10_000)) == 200
    assert token_calls.revert_reason(head + (4).to_bytes(32, "big") + b"\xff\xfe\xfd\xfc")
    assert token_calls.revert_reason(b"\x08\xc3\x79", "words") == "words"

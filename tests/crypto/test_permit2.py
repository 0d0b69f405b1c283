"""Permit2 and EIP-2612 digests: golden values, the general encoder, and what is out of range."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.crypto.address import parse_address
from life.crypto.eip712 import Eip712Domain, Field, TypedData, TypeTable
from life.crypto.errors import InvalidAuthorizationError
from life.crypto.permit2 import (
    DOMAIN_TYPE_HASH,
    EXACT_PROXY,
    PERMIT2,
    PERMIT_TYPE_HASH,
    UPTO_PROXY,
    permit2_separator,
    permit_witness_digest,
    token_permit_digest,
)

USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
FACILITATOR = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

UINT256 = st.integers(0, 2**256 - 1)
ADDRESS = st.binary(min_size=20, max_size=20)


def golden(**changes: Any) -> bytes:
    """The digest of the payment of x402.md §8."""
    fields: dict[str, Any] = {
        "token": parse_address(USDC),
        "amount": 10_000,
        "spender": parse_address(EXACT_PROXY),
        "nonce": 7,
        "deadline": 1893456000,
        "to": parse_address(PAYEE),
        "valid_after": 0,
    }
    return permit_witness_digest(84532, **{**fields, **changes})


def test_golden_digests() -> None:
    """Both schemes' digests on Base Sepolia are those of the reference (x402.md §8)."""
    assert golden().hex() == "466e23da6a3967fbef8994953672d481d23fb0572ba09cb842cc96e34702ba30"
    upto = golden(spender=parse_address(UPTO_PROXY), facilitator=parse_address(FACILITATOR))
    assert upto.hex() == "ff27e32478a1f183697c9b57d35c1ccb1a09bf747af0f8038ea1550ba6fbb379"


def test_type_hashes() -> None:
    """Permit2's domain has no version, and EIP-2612's Permit is the standard's (x402.md §8)."""
    assert DOMAIN_TYPE_HASH.hex() == "8cad95687ba82c2ce50e74f7b754645e5117c3a5bec8151c0726d5857980a866"
    assert PERMIT_TYPE_HASH.hex() == "6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9"


@given(
    chain_id=st.integers(1, 2**64),
    token=ADDRESS,
    amount=UINT256,
    spender=ADDRESS,
    nonce=UINT256,
    deadline=UINT256,
    to=ADDRESS,
    valid_after=UINT256,
    facilitator=st.none() | ADDRESS,
)
def test_the_general_encoder_agrees(
    chain_id: int,
    token: bytes,
    amount: int,
    spender: bytes,
    nonce: int,
    deadline: int,
    to: bytes,
    valid_after: int,
    facilitator: bytes | None,
) -> None:
    """Property: hashing by hand gives what the generic EIP-712 encoder gives."""
    witness = [Field("to", "address"), Field("validAfter", "uint256")]
    content: dict[str, object] = {"to": "0x" + to.hex(), "validAfter": valid_after}
    if facilitator is not None:
        witness.insert(1, Field("facilitator", "address"))
        content["facilitator"] = "0x" + facilitator.hex()
    typed = TypedData(
        domain=Eip712Domain(name="Permit2", chain_id=chain_id, verifying_contract=parse_address(PERMIT2)),
        types=TypeTable(
            {
                "PermitWitnessTransferFrom": (
                    Field("permitted", "TokenPermissions"),
                    Field("spender", "address"),
                    Field("nonce", "uint256"),
                    Field("deadline", "uint256"),
                    Field("witness", "Witness"),
                ),
                "TokenPermissions": (Field("token", "address"), Field("amount", "uint256")),
                "Witness": tuple(witness),
            }
        ),
        primary_type="PermitWitnessTransferFrom",
        message={
            "permitted": {"token": "0x" + token.hex(), "amount": amount},
            "spender": "0x" + spender.hex(),
            "nonce": nonce,
            "deadline": deadline,
            "witness": content,
        },
    )
    assert typed.digest() == permit_witness_digest(
        chain_id,
        token=token,
        amount=amount,
        spender=spender,
        nonce=nonce,
        deadline=deadline,
        to=to,
        valid_after=valid_after,
        facilitator=facilitator,
    )


@given(owner=ADDRESS, spender=ADDRESS, value=UINT256, nonce=UINT256, deadline=UINT256)
def test_token_permits_agree_with_the_general_encoder(
    owner: bytes, spender: bytes, value: int, nonce: int, deadline: int
) -> None:
    """Property: the EIP-2612 digest is the generic encoder's."""
    domain = Eip712Domain(name="USDC", version="2", chain_id=84532, verifying_contract=parse_address(USDC))
    names = ("owner", "spender", "value", "nonce", "deadline")
    kinds = ("address", "address", "uint256", "uint256", "uint256")
    typed = TypedData(
        domain=domain,
        types=TypeTable({"Permit": tuple(Field(name, kind) for name, kind in zip(names, kinds, strict=True))}),
        primary_type="Permit",
        message={
            "owner": "0x" + owner.hex(),
            "spender": "0x" + spender.hex(),
            "value": value,
            "nonce": nonce,
            "deadline": deadline,
        },
    )
    separator = domain.separator()
    assert typed.digest() == token_permit_digest(
        separator, owner=owner, spender=spender, value=value, nonce=nonce, deadline=deadline
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"token": bytes(19)},
        {"to": bytes(21)},
        {"spender": b""},
        {"facilitator": bytes(32)},
        {"amount": -1},
        {"amount": 2**256},
        {"nonce": 2**256},
        {"deadline": -1},
        {"valid_after": 2**300},
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    """Addresses have 20 bytes, numbers are unsigned and below 2^256."""
    with pytest.raises(InvalidAuthorizationError):
        golden(**changes)


def test_chains_and_separators_are_checked() -> None:
    """A chain id is positive, a separator has 32 bytes."""
    for chain_id in (0, -1, 2**256):
        with pytest.raises(InvalidAuthorizationError):
            permit2_separator(chain_id)
    with pytest.raises(InvalidAuthorizationError):
        token_permit_digest(bytes(31), owner=bytes(20), spender=bytes(20), value=1, nonce=0, deadline=1)

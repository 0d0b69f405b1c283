"""Call data of Permit2 settlements and deployments, against an independent ABI encoder and the compiled contracts."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from life.aios.ports.chain import SignedPermit
from life.aios.ports.custody import PermitTransfer, TokenPermit, TransferAuthorization
from life.crypto.keccak import keccak256
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY
from life.haima.chain import permit_calls
from life.haima.chain.payer_code import Deployment, deploy_and_call
from life.haima.chain.token_calls import transfer_call
from life.haima.x402 import codes
from tests.harness.solidity import compile_contracts

TOKEN = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAYER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
FACILITATOR = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
PERMIT = "((address,uint256),uint256,uint256)"
ALLOWANCE = "(uint256,uint256,bytes32,bytes32,uint8)"

UINT256 = st.integers(0, 2**256 - 1)


def _permit(value: int, nonce: int, deadline_s: int, after_s: int, *, upto: bool) -> PermitTransfer:
    return PermitTransfer(
        network="eip155:84532",
        asset=TOKEN,
        from_address=PAYER,
        to_address=PAYEE,
        value_atomic=value,
        spender=UPTO_PROXY if upto else EXACT_PROXY,
        nonce=nonce,
        deadline_s=deadline_s,
        valid_after_s=after_s,
        facilitator=FACILITATOR if upto else None,
    )


@given(
    value=UINT256,
    nonce=UINT256,
    deadline_s=UINT256,
    after_s=UINT256,
    charged=UINT256,
    signature=st.binary(max_size=200),
    upto=st.booleans(),
    allowed=st.booleans(),
)
def test_settling_calls(
    value: int, nonce: int, deadline_s: int, after_s: int, charged: int, signature: bytes, upto: bool, allowed: bool
) -> None:
    """Property: selector and arguments are those of the proxies' signatures (x402.md §8)."""
    permit = _permit(value, nonce, deadline_s, after_s, upto=upto)
    token_permit = TokenPermit("eip155:84532", TOKEN, "USDC", "2", PAYER, PERMIT2, value, 0, deadline_s)
    allowance = SignedPermit(token_permit, b"\x11" * 32 + b"\x22" * 32 + b"\x1b") if allowed else None
    types, values = [PERMIT], [((TOKEN, value), nonce, deadline_s)]
    if allowed:
        types.insert(0, ALLOWANCE)
        values.insert(0, (value, deadline_s, b"\x11" * 32, b"\x22" * 32, 27))  # type: ignore[arg-type]
    if upto:
        types.append("uint256")
        values.append(charged)  # type: ignore[arg-type]
    witness = "(address,address,uint256)" if upto else "(address,uint256)"
    types += ["address", witness, "bytes"]
    values += [PAYER, (PAYEE, FACILITATOR, after_s) if upto else (PAYEE, after_s), signature]  # type: ignore[list-item]
    name = "settleWithPermit" if allowed else "settle"
    expected = keccak256(f"{name}({','.join(types)})".encode())[:4] + encode(types, values)
    call = permit_calls.settle_call(permit, signature, value_atomic=charged if upto else None, allowance=allowance)
    assert call == expected
    assert permit_calls.permit_words(permit) in call


@given(value=UINT256, signature=st.binary(max_size=200).filter(lambda raw: len(raw) != 65))
def test_a_contracts_signature_goes_as_bytes(value: int, signature: bytes) -> None:
    """Property: the overload with `bytes` for every signature that is not r, s and v."""
    authorization = TransferAuthorization(
        "eip155:84532", TOKEN, "USDC", "2", PAYER, PAYEE, value, 0, 1893456000, b"\x33" * 32
    )
    types = ["address", "address", "uint256", "uint256", "uint256", "bytes32", "bytes"]
    expected = encode(types, [PAYER, PAYEE, value, 0, 1893456000, b"\x33" * 32, signature])
    selector = keccak256(f"transferWithAuthorization({','.join(types)})".encode())[:4]
    assert transfer_call(authorization, signature) == selector + expected


@given(creation=st.binary(max_size=200), data=st.binary(max_size=200))
def test_deploying_and_calling_in_one(creation: bytes, data: bytes) -> None:
    """Property: Multicall3.aggregate3 with the factory first, which may fail, and the settlement, which may not."""
    types = ["(address,bool,bytes)[]"]
    expected = encode(types, [[(FACILITATOR, True, creation), (TOKEN, False, data)]])
    call = deploy_and_call(Deployment(FACILITATOR, creation), TOKEN, data)
    assert call == keccak256(f"aggregate3({types[0]})".encode())[:4] + expected


@pytest.mark.part("solc")
def test_selectors_are_the_compiled_contracts() -> None:
    """What the test contracts answer to is what is called."""
    contracts = compile_contracts()
    called = {
        "0x" + selector.hex()
        for selector in (
            permit_calls.SETTLE_EXACT,
            permit_calls.SETTLE_EXACT_WITH_PERMIT,
            permit_calls.SETTLE_UPTO,
            permit_calls.SETTLE_UPTO_WITH_PERMIT,
        )
    }
    proxies = (contracts["ExactPermit2Proxy"], contracts["UptoPermit2Proxy"])
    assert called == {selector for proxy in proxies for selector in proxy.selectors.values()}


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        ("InvalidNonce()", codes.NONCE_ALREADY_USED),
        ("InvalidSigner()", codes.PERMIT2_INVALID_SIGNATURE),
        ("InvalidContractSignature()", codes.PERMIT2_INVALID_SIGNATURE),
        ("SignatureExpired(uint256)", codes.PERMIT2_DEADLINE_EXPIRED),
        ("UnauthorizedFacilitator()", codes.UPTO_UNAUTHORIZED_FACILITATOR),
        ("AmountExceedsPermitted()", codes.UPTO_AMOUNT_EXCEEDS_PERMITTED),
        ("PaymentTooEarly()", codes.PERMIT2_NOT_YET_VALID),
    ],
)
def test_reverts_have_codes(signature: str, code: str) -> None:
    """Custom errors of Permit2 and the proxies are told by name and code; nothing else is."""
    known = permit_calls.known_error(keccak256(signature.encode())[:4] + bytes(32))
    assert known == (signature.partition("(")[0], code)
    for other in (b"", b"\x08\xc3\x79\xa0", bytes(4)):
        assert permit_calls.known_error(other) is None


@given(nonce=UINT256)
def test_nonce_bits(nonce: int) -> None:
    """Property: a nonce is one bit of one word (Permit2's bitmap)."""
    permit = _permit(1, nonce, 1, 0, upto=False)
    call = permit_calls.nonce_bitmap_call(permit)
    word = int.from_bytes(call[-32:], "big")
    assert (word << 8) + permit_calls.nonce_bit(permit).bit_length() - 1 == nonce

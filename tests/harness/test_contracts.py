"""The token takes the authorizations USDC takes and refuses those USDC refuses, in words that peers recognise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.harness.anvil import (
    ACCOUNTS,
    AUTHORIZATION_USED_TOPIC,
    BASE,
    BASE_SEPOLIA,
    FACILITATOR,
    MERCHANT,
    MULTICALL3,
    PAYER,
    TRANSFER_TOPIC,
    Anvil,
    RpcError,
)
from tests.harness.fixtures import StartChain
from tests.harness.solidity import compile_contracts

pytestmark = pytest.mark.part("anvil", "solc", "x402-python")

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of secp256k1 (SEC 2, section 2.4.1)."""
FAR_FUTURE = 1893456000
NONCE = b"\x11" * 32
FIELDS = "address,address,uint256,uint256,uint256,bytes32"
AUTHORIZATION_TYPES = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]
CANCEL_TYPES = [{"name": "authorizer", "type": "address"}, {"name": "nonce", "type": "bytes32"}]

GOLDEN_PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
GOLDEN_SIGNATURES = {
    BASE_SEPOLIA: "2793a8e128de35b6a7402e47b7b713fb923ef22d72907885c0f8246de6b7bef6"
    "336be0dbece62258387040c18281a42c7a165b1ea19bfe10c3ffcc241cc4824d1b",
    BASE: "9866949a5d449fd727e1be1b19c08232f8e119ea06f753fbaeac7c9e07e7271e"
    "0f784466774535bb495d6da139284546384528dcc9cd4208614566f5ef13eae41b",
}
"""Signatures made with eth-account 0.13.7 by PAYER over USDC's domain: 10000 atomic to GOLDEN_PAYEE, valid from 0 to
FAR_FUTURE, nonce 0x11 repeated (RFC 6979, low s)."""


@dataclass(frozen=True)
class Authorization:
    """The six fields of an EIP-3009 authorization."""

    sender: str = PAYER.address
    to: str = MERCHANT.address
    value: int = 10_000
    valid_after: int = 0
    valid_before: int = FAR_FUTURE
    nonce: bytes = NONCE

    def values(self) -> list[object]:
        """The fields in the order of the contract's parameters."""
        return [self.sender, self.to, self.value, self.valid_after, self.valid_before, self.nonce]

    def sign(
        self, chain: Anvil, key: str = PAYER.key, *, primary_type: str = "TransferWithAuthorization", name: str = "USDC"
    ) -> bytes:
        """65 bytes r, s, v over the token's domain, made by eth-account."""
        named = dict(zip([field["name"] for field in AUTHORIZATION_TYPES], self.values(), strict=True))
        return sign(chain, key, {primary_type: AUTHORIZATION_TYPES}, named, name=name)


def sign(
    chain: Anvil, key: str, types: dict[str, list[dict[str, str]]], message: dict[str, object], *, name: str = "USDC"
) -> bytes:
    """An EIP-712 signature by eth-account over the token's domain."""
    from eth_account import Account

    domain = {"name": name, "version": "2", "chainId": chain.chain_id, "verifyingContract": chain.token}
    return bytes(Account.from_key(key).sign_typed_data(domain, types, message).signature)


def call_data(signature: str, values: list[object]) -> str:
    """Call data of a token function."""
    types = signature[signature.index("(") + 1 : -1].split(",")
    return compile_contracts()["Token3009"].selectors[signature] + encode(types, values)


def encode(types: list[str], values: list[object]) -> str:
    """Values in hex without prefix, encoded by eth-abi."""
    from eth_abi.abi import encode

    return encode(types, values).hex()


def decode(types: list[str], answer: str) -> tuple[object, ...]:
    """Values in an answer of the node (hex), decoded by eth-abi."""
    from eth_abi.abi import decode

    return tuple(decode(types, bytes.fromhex(answer.removeprefix("0x"))))


def with_vrs(name: str, fields: str, values: list[object], signature: bytes) -> str:
    """Call data of the overload that takes v, r and s."""
    return call_data(
        f"{name}({fields},uint8,bytes32,bytes32)", [*values, signature[64], signature[:32], signature[32:64]]
    )


def with_bytes(name: str, fields: str, values: list[object], signature: bytes) -> str:
    """Call data of the overload that takes the signature as bytes."""
    return call_data(f"{name}({fields},bytes)", [*values, signature])


def refusal(chain: Anvil, data: str, *, sender: str = FACILITATOR.address) -> str:
    """The reason with which the token reverts a simulated call."""
    with pytest.raises(RpcError) as reverted:
        chain.rpc.call("eth_call", {"from": sender, "to": chain.token, "data": data}, "latest")
    assert reverted.value.code == 3
    assert isinstance(reverted.value.data, str)
    (reason,) = decode(["string"], reverted.value.data.removeprefix("0x08c379a0"))
    return str(reason)


@pytest.fixture
def funded(chain: Anvil) -> Anvil:
    """The chain, with one USDC for the payer."""
    chain.mint(PAYER.address, 1_000_000)
    return chain


@pytest.mark.parametrize("chain_id", sorted(GOLDEN_SIGNATURES))
def test_golden_signature_moves_money(start_chain: StartChain, chain_id: int) -> None:
    """A signature made elsewhere for the real USDC is accepted on both networks."""
    chain = start_chain(chain_id)
    chain.mint(PAYER.address, 10_000)
    values = Authorization(to=GOLDEN_PAYEE).values()
    data = with_vrs("transferWithAuthorization", FIELDS, values, bytes.fromhex(GOLDEN_SIGNATURES[chain_id]))
    chain.send_as(FACILITATOR.address, to=chain.token, data=data)
    assert chain.balance_of(GOLDEN_PAYEE) == 10_000


@pytest.mark.parametrize("overload", [with_vrs, with_bytes])
def test_transfer_pays_once(funded: Anvil, overload: object) -> None:
    """Either overload pays, marks the nonce, emits both events; the second try is refused as used."""
    assert callable(overload)
    authorization = Authorization()
    data = overload("transferWithAuthorization", FIELDS, authorization.values(), authorization.sign(funded))
    assert not funded.authorization_state(PAYER.address, NONCE)
    funded.send_as(FACILITATOR.address, to=funded.token, data=data)
    assert funded.balance_of(MERCHANT.address) == 10_000
    assert funded.balance_of(PAYER.address) == 990_000
    assert funded.authorization_state(PAYER.address, NONCE)
    assert funded.authorizations_used(PAYER.address) == 1
    assert len(funded.token_logs(TRANSFER_TOPIC, PAYER.address)) == 1
    assert funded.token_logs(AUTHORIZATION_USED_TOPIC, MERCHANT.address) == []
    assert refusal(funded, data) == "FiatTokenV2: authorization is used or canceled"


def test_time_bounds(funded: Anvil) -> None:
    """Too early and too late are refused in USDC's words; both bounds are exclusive."""
    now = funded.timestamp_s() + 100

    def attempt(authorization: Authorization) -> str:
        return with_vrs("transferWithAuthorization", FIELDS, authorization.values(), authorization.sign(funded))

    early, late = Authorization(valid_after=now), Authorization(valid_before=now)
    fitting = Authorization(valid_after=now - 1, valid_before=now + 1)
    funded.set_next_timestamp(now)
    funded.mine()
    funded.set_automine(False)
    overrides = {"time": hex(now)}

    def reason(data: str) -> str:
        call = {"from": FACILITATOR.address, "to": funded.token, "data": data}
        with pytest.raises(RpcError) as reverted:
            funded.rpc.call("eth_call", dict(call), "latest", {}, dict(overrides))
        return reverted.value.message

    assert "authorization is not yet valid" in reason(attempt(early))
    assert "authorization is expired" in reason(attempt(late))
    call = {"from": FACILITATOR.address, "to": funded.token, "data": attempt(fitting)}
    assert funded.rpc.call("eth_call", dict(call), "latest", {}, dict(overrides)) == "0x"


def test_wrong_signatures_are_refused(funded: Anvil) -> None:
    """Another signer, another domain, another type and changed fields are invalid; malformed ones are named."""
    genuine = Authorization()
    signature = genuine.sign(funded)

    def attempt(signature: bytes, authorization: Authorization = genuine) -> str:
        return refusal(funded, with_bytes("transferWithAuthorization", FIELDS, authorization.values(), signature))

    invalid = "FiatTokenV2: invalid signature"
    assert attempt(genuine.sign(funded, ACCOUNTS[3].key)) == invalid
    assert attempt(genuine.sign(funded, name="USD Coin")) == invalid
    assert attempt(genuine.sign(funded, primary_type="ReceiveWithAuthorization")) == invalid
    for changed in (
        replace(genuine, value=10_001),
        replace(genuine, to=FACILITATOR.address),
        replace(genuine, nonce=b"\x12" * 32),
    ):
        assert attempt(signature, changed) == invalid
    assert attempt(signature[:64]) == "ECRecover: invalid signature length"
    assert attempt(signature[:64] + bytes([signature[64] - 27])) == "ECRecover: invalid signature 'v' value"
    assert attempt(bytes(32) + signature[32:]) == "ECRecover: invalid signature"


def test_high_s_is_refused(funded: Anvil) -> None:
    """The mirrored signature of EIP-2 recovers to the same signer and is refused nevertheless, in both overloads."""
    authorization = Authorization()
    signature = authorization.sign(funded)
    mirrored_s = ORDER - int.from_bytes(signature[32:64])
    mirrored = signature[:32] + mirrored_s.to_bytes(32) + bytes([55 - signature[64]])
    for overload in (with_vrs, with_bytes):
        data = overload("transferWithAuthorization", FIELDS, authorization.values(), mirrored)
        assert refusal(funded, data) == "ECRecover: invalid signature 's' value"


def test_unfunded_payer_is_refused(chain: Anvil) -> None:
    """A valid signature without money behind it is refused as in ERC-20."""
    authorization = Authorization()
    data = with_vrs("transferWithAuthorization", FIELDS, authorization.values(), authorization.sign(chain))
    assert refusal(chain, data) == "ERC20: transfer amount exceeds balance"


@pytest.mark.parametrize("overload", [with_vrs, with_bytes])
def test_receive_is_for_the_payee_alone(funded: Anvil, overload: object) -> None:
    """`receiveWithAuthorization` pays when the payee calls, and nobody else may."""
    assert callable(overload)
    authorization = Authorization()
    signature = authorization.sign(funded, primary_type="ReceiveWithAuthorization")
    data = overload("receiveWithAuthorization", FIELDS, authorization.values(), signature)
    assert refusal(funded, data) == "FiatTokenV2: caller must be the payee"
    funded.send_as(MERCHANT.address, to=funded.token, data=data)
    assert funded.balance_of(MERCHANT.address) == 10_000
    assert funded.authorization_state(PAYER.address, NONCE)


@pytest.mark.parametrize("overload", [with_vrs, with_bytes])
def test_cancelled_nonce_cannot_pay(funded: Anvil, overload: object) -> None:
    """A cancelled authorization counts as used; only the authorizer's signature cancels, and only once."""
    assert callable(overload)
    cancel: dict[str, object] = {"authorizer": PAYER.address, "nonce": NONCE}
    types = {"CancelAuthorization": CANCEL_TYPES}
    stranger = sign(funded, ACCOUNTS[3].key, types, cancel)
    owner = sign(funded, PAYER.key, types, cancel)
    assert "invalid signature" in refusal(
        funded, overload("cancelAuthorization", "address,bytes32", list(cancel.values()), stranger)
    )
    data = overload("cancelAuthorization", "address,bytes32", list(cancel.values()), owner)
    receipt = funded.send_as(FACILITATOR.address, to=funded.token, data=data)
    assert isinstance(receipt["logs"], list)
    assert len(receipt["logs"]) == 1
    assert funded.authorization_state(PAYER.address, NONCE)
    assert funded.authorizations_used(PAYER.address) == 0
    assert refusal(funded, data) == "FiatTokenV2: authorization is used or canceled"
    authorization = Authorization()
    payment = with_vrs("transferWithAuthorization", FIELDS, authorization.values(), authorization.sign(funded))
    assert refusal(funded, payment) == "FiatTokenV2: authorization is used or canceled"


def test_wallet_with_code_decides_itself(chain: Anvil) -> None:
    """A payer with code is asked by ERC-1271: its owner's signature pays, another one does not."""
    wallet = chain.deploy(compile_contracts()["OwnedWallet"])
    chain.send_as(
        FACILITATOR.address,
        to=wallet,
        data=compile_contracts()["OwnedWallet"].call_data("setOwner(address)", PAYER.address),
    )
    chain.mint(wallet, 10_000)
    authorization = Authorization(sender=wallet)
    stranger = with_bytes(
        "transferWithAuthorization", FIELDS, authorization.values(), authorization.sign(chain, ACCOUNTS[3].key)
    )
    assert refusal(chain, stranger) == "FiatTokenV2: invalid signature"
    owner = with_bytes("transferWithAuthorization", FIELDS, authorization.values(), authorization.sign(chain))
    chain.send_as(FACILITATOR.address, to=chain.token, data=owner)
    assert chain.balance_of(MERCHANT.address) == 10_000


def test_erc20_rules(funded: Anvil) -> None:
    """Allowances are spent and kept to; the zero address receives nothing."""
    approve = call_data("approve(address,uint256)", [FACILITATOR.address, 400])
    funded.send_as(PAYER.address, to=funded.token, data=approve)
    spend = call_data("transferFrom(address,address,uint256)", [PAYER.address, MERCHANT.address, 300])
    funded.send_as(FACILITATOR.address, to=funded.token, data=spend)
    assert funded.balance_of(MERCHANT.address) == 300
    assert int(funded.read("allowance(address,address)", PAYER.address, FACILITATOR.address), 16) == 100
    assert refusal(funded, spend) == "ERC20: transfer amount exceeds allowance"
    nowhere = call_data("transfer(address,uint256)", ["0x" + "00" * 20, 1])
    assert refusal(funded, nowhere, sender=PAYER.address) == "ERC20: transfer to the zero address"
    assert int(funded.read("totalSupply()"), 16) == 1_000_000


def test_batched_calls_answer_each(chain: Anvil) -> None:
    """The contract at Multicall3's address answers good and failing calls side by side, or fails as a whole."""
    selectors = compile_contracts()["CallBatch"].selectors
    good = bytes.fromhex(compile_contracts()["Token3009"].selectors["decimals()"].removeprefix("0x"))
    bad = b"\xde\xad\xbe\xef"

    def ask(signature: str, types: list[str], values: list[object]) -> str:
        data = selectors[signature] + encode(types, values)
        return chain.rpc.text("eth_call", {"to": MULTICALL3, "data": data}, "latest")

    def results(answer: str) -> list[tuple[bool, bytes]]:
        (decoded,) = decode(["(bool,bytes)[]"], answer)
        assert isinstance(decoded, tuple)
        return list(decoded)

    calls = [(chain.token, good), (chain.token, bad)]
    tried = results(ask("tryAggregate(bool,(address,bytes)[])", ["bool", "(address,bytes)[]"], [False, calls]))
    assert tried == [(True, (6).to_bytes(32)), (False, b"")]
    allowing = [(chain.token, True, good), (chain.token, True, bad)]
    assert results(ask("aggregate3((address,bool,bytes)[])", ["(address,bool,bytes)[]"], [allowing])) == tried
    height, answers = decode(
        ["uint256", "bytes[]"],
        ask("aggregate((address,bytes)[])", ["(address,bytes)[]"], [calls[:1]]),
    )
    assert (height, answers) == (chain.block_number(), ((6).to_bytes(32),))
    for signature, types, values in (
        ("tryAggregate(bool,(address,bytes)[])", ["bool", "(address,bytes)[]"], [True, calls]),
        ("aggregate((address,bytes)[])", ["(address,bytes)[]"], [calls]),
        ("aggregate3((address,bool,bytes)[])", ["(address,bool,bytes)[]"], [[(chain.token, False, bad)]]),
    ):
        with pytest.raises(RpcError, match="Multicall3: call failed"):
            ask(signature, types, list(values))

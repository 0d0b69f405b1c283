"""InProcessAnima: the conformance suite, the vectors of anima.md appendix A, and independent verifiers."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from dataclasses import replace
from typing import Any

import jwt
import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.ports.custody import Capabilities, Custody, EvmTransaction, Operation, TransferAuthorization
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.locked_memory import LockedSecret
from life.anima.custody.wallet_rules import OwnAddress, WalletRules
from life.anima.errors import CustodyInputError, PolicyDeniedError, StaleHandleError, UnsupportedOperationError
from life.anima.events import CustodyDenied, CustodySigned
from life.crypto.derivation import derive_secp256k1_secret
from life.crypto.did import resolve_did
from life.crypto.jwk import public_jwk, thumbprint
from life.crypto.secp256k1 import ORDER
from life.testing.clock import START_US, ManualClock
from life.testing.custody import CustodyBench, CustodySuite

SEED_A = bytes([0x42]) * 32
SEED_B = bytes(range(32))
WALLET_KEY_A = bytes.fromhex("bb43bbead104a9680441f1083bfc1cf5b74e3d17b544d4f18e60c12ab39613f3")

# The public "test … junk" mnemonic, account 0: everybody knows this key.
PUBLIC_KEY_0 = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


class TestInProcessAnima(CustodySuite):
    """The whole suite, with nothing left out."""

    @pytest.fixture
    async def bench(self) -> CustodyBench:
        """Handles of seed A at a fixed time."""
        clock = ManualClock()

        async def open_handle(rules: WalletRules) -> Custody:
            return InProcessAnima.from_seed(bytearray(SEED_A), clock=clock, rules=rules)

        return CustodyBench(
            open=open_handle, close=close, now_s=lambda: START_US // 1_000_000, backend="in_process", exportable=True
        )


class TestWalletHalfOnly(CustodySuite):
    """A handle from a bare wallet key: no DID, no tokens, everything else."""

    @pytest.fixture
    async def bench(self) -> CustodyBench:
        """Handles of one wallet key at a fixed time."""
        clock = ManualClock()

        async def open_handle(rules: WalletRules) -> Custody:
            return InProcessAnima.from_wallet_key(bytearray(WALLET_KEY_A), clock=clock, rules=rules)

        return CustodyBench(
            open=open_handle,
            close=close,
            now_s=lambda: START_US // 1_000_000,
            backend="in_process",
            exportable=True,
            operations=frozenset({"sign_message", "sign_authorization", "sign_permit", "sign_transaction"}),
        )


async def close(handle: Custody) -> None:
    """Close a handle of this backend."""
    assert isinstance(handle, InProcessAnima)
    handle.close()


def opened(seed: bytes = SEED_A, **changes: object) -> InProcessAnima:
    """A handle of a seed at a fixed time."""
    rules = replace(WalletRules(), **changes)  # type: ignore[arg-type]
    return InProcessAnima.from_seed(bytearray(seed), clock=ManualClock(), rules=rules)


async def test_suite_notices_an_undeclared_gap() -> None:
    """A backend that silently lost an operation does not pass the suite."""
    bench = CustodyBench(
        open=lambda rules: _ready(InProcessAnima.from_wallet_key(bytearray(WALLET_KEY_A), clock=ManualClock())),
        close=close,
        now_s=lambda: START_US // 1_000_000,
        backend="in_process",
    )
    handle = await bench.open(WalletRules())
    with pytest.raises(AssertionError):
        await CustodySuite().test_cus_01_capabilities_are_what_is_declared(bench, handle)
    with pytest.raises(UnsupportedOperationError):
        await CustodySuite().test_cus_02_tokens_are_es256_under_the_did(bench, handle)


async def test_suite_notices_a_declared_gap_that_works() -> None:
    """A backend that declares a gap but has the operation does not pass the suite."""
    bench = CustodyBench(
        open=lambda rules: _ready(opened()),
        close=close,
        now_s=lambda: START_US // 1_000_000,
        backend="in_process",
        operations=frozenset({"sign_message"}),
    )
    handle = await bench.open(WalletRules())
    with pytest.raises(AssertionError):
        await CustodySuite().test_cus_01_capabilities_are_what_is_declared(bench, handle)
    with pytest.raises(pytest.fail.Exception):
        await CustodySuite().test_cus_02_tokens_are_es256_under_the_did(bench, handle)


@pytest.mark.parametrize("wrong", [{"exportable": False}, {"user_confirmation": True}, {"backend": "tpm"}])
async def test_suite_notices_a_wrong_declaration(wrong: dict[str, Any]) -> None:
    """Exportable keys that are not declared, and a confirmation or backend that is not there, do not pass the suite."""
    declared = {"backend": "in_process", "exportable": True, **wrong}
    bench = CustodyBench(
        open=lambda rules: _ready(opened()), close=close, now_s=lambda: START_US // 1_000_000, **declared
    )
    with pytest.raises(AssertionError):
        await CustodySuite().test_cus_01_capabilities_are_what_is_declared(bench, await bench.open(WalletRules()))


async def test_suite_notices_an_operation_that_is_not_listed() -> None:
    """A handle that signs what its capabilities do not list does not pass the suite."""

    class Careless(InProcessAnima):
        def _wallet_for(self, operation: Operation) -> tuple[LockedSecret, OwnAddress]:
            assert self._wallet is not None
            assert self._own is not None
            return self._wallet, self._own

    handle = Careless.from_seed(bytearray(SEED_A), clock=ManualClock())
    hidden = handle.capabilities().operations - {"sign_message"}
    handle._capabilities = msgspec.structs.replace(handle.capabilities(), operations=hidden)
    bench = CustodyBench(
        open=lambda rules: _ready(handle),
        close=close,
        now_s=lambda: START_US // 1_000_000,
        backend="in_process",
        operations=hidden,
        exportable=True,
    )
    with pytest.raises(pytest.fail.Exception):
        await CustodySuite().test_cus_29_what_is_not_listed_is_unsupported(bench, handle)


async def test_suite_notices_a_digest_signer() -> None:
    """A handle with a public way to sign a digest does not pass the suite."""

    class Careless(InProcessAnima):
        def sign_digest(self, digest: bytes) -> bytes:
            """What no handle has."""
            return digest

    handle = Careless.from_seed(bytearray(SEED_A), clock=ManualClock())
    bench = CustodyBench(
        open=lambda rules: _ready(handle), close=close, now_s=lambda: START_US // 1_000_000, backend="in_process"
    )
    with pytest.raises(AssertionError):
        await CustodySuite().test_cus_30_nobody_has_a_digest_signed(bench, handle)


async def _ready(handle: InProcessAnima) -> Custody:
    return handle


@pytest.mark.parametrize(
    ("seed", "did", "address", "jwk_thumbprint"),
    [
        (
            SEED_A,
            "did:key:zDnaeh1Xuzt2zXCZUYDU7cbTGqnXSDiXb7op6rbf13zvauj6v",
            "0x8cEa92Eb71bee6E0a86eB66797541b1238C585aa",
            "C-CoLXpofMfKXsEQ0_dSBRqWQWLvneMzhDkl15lJT7M",
        ),
        (
            SEED_B,
            "did:key:zDnaeYpu2WigB5WSkeZKMR9Fiye5knQQCee467kQhccbruitW",
            "0x8D3877fc9d011190Cc9089Dc8B63283414f8049a",
            "fDqY-NHzxmff5J-SIBHOxQayNpZZTjD3o7mx0nZapFk",
        ),
    ],
)
def test_names_follow_from_the_seed(seed: bytes, did: str, address: str, jwk_thumbprint: str) -> None:
    """DID, wallet and thumbprint of both seeds of anima.md appendix A."""
    handle = opened(seed)
    assert handle.capabilities() == Capabilities(
        backend="in_process",
        operations=frozenset({"sign_token", "sign_message", "sign_authorization", "sign_permit", "sign_transaction"}),
        did=did,
        wallet_address=address,
        exportable=True,
    )
    assert thumbprint(resolve_did(did)) == jwk_thumbprint


async def test_authorization_vector() -> None:
    """The EIP-3009 signature of anima.md appendix A (the same from eth-account and from the Ledger app)."""
    clock = ManualClock(start_us=(1_893_456_000 - 600) * 1_000_000)
    handle = InProcessAnima.from_wallet_key(bytearray(PUBLIC_KEY_0), clock=clock)
    signature = await handle.sign_authorization(
        TransferAuthorization(
            network="eip155:84532",
            asset="0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            token_name="USDC",
            token_version="2",
            from_address="0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            to_address="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            value_atomic=10_000,
            valid_after_s=0,
            valid_before_s=1_893_456_000,
            nonce=bytes([0x42]) * 32,
        )
    )
    assert signature.hex() == (
        "cb1621d58dab5a3f55baaef5609ef6b9b2a2e024526c48f1e64553e83aef0aa4"
        "3108e4922c902c4c679f3ec43e74d997e2c630fbb38b394b91d34e0204aa433c1b"
    )


async def test_transaction_vector() -> None:
    """The EIP-1559 signature of anima.md appendix A, and eth-account reads the same sender."""
    handle = InProcessAnima.from_wallet_key(bytearray(PUBLIC_KEY_0), clock=ManualClock())
    raw = await handle.sign_transaction(
        EvmTransaction(
            chain_id=84532,
            nonce=7,
            max_priority_fee_per_gas_wei=10**9,
            max_fee_per_gas_wei=3 * 10**10,
            gas_limit=21_000,
            to_address="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            value_wei=10**15,
            data=b"",
        )
    )
    assert raw.hex().endswith(
        "80a05a504f518bb33639872bb0b1f545eeda3791519c43b1e5f87f6b857a283dc1af"
        "a02fc715242b0af32196e53194f2052a51222abbdbcb951224c00cb239d6157bdb"
    )
    assert Account.recover_transaction(raw) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


async def test_eth_account_agrees_on_messages() -> None:
    """An independent library recovers the wallet from a personal message."""
    handle = opened()
    signature = await handle.sign_message("Grüße".encode())
    recovered = Account.recover_message(encode_defunct(text="Grüße"), signature=signature)
    assert recovered == handle.capabilities().wallet_address


@settings(max_examples=25, deadline=None)
@given(
    value=st.integers(1, 2**256 - 1),
    nonce=st.binary(min_size=32, max_size=32),
    name=st.text(max_size=40),
    version=st.text(max_size=8),
    chain_id=st.integers(1, 10**18 - 1),
    seed=st.binary(min_size=32, max_size=32),
)
async def test_eth_account_agrees_on_authorizations(
    value: int, nonce: bytes, name: str, version: str, chain_id: int, seed: bytes
) -> None:
    """An independent library makes the very same signature over any authorization, or ours refuses the text."""
    handle = opened(seed)
    own = handle.capabilities().wallet_address
    assert own is not None
    now = START_US // 1_000_000
    authorization = TransferAuthorization(
        network=f"eip155:{chain_id}",
        asset="0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        token_name=name,
        token_version=version,
        from_address=own,
        to_address="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        value_atomic=value,
        valid_after_s=now - 1,
        valid_before_s=now + 60,
        nonce=nonce,
    )
    document = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "TransferWithAuthorization": [
                {"name": "from", "type": "address"},
                {"name": "to", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "validAfter", "type": "uint256"},
                {"name": "validBefore", "type": "uint256"},
                {"name": "nonce", "type": "bytes32"},
            ],
        },
        "primaryType": "TransferWithAuthorization",
        "domain": {
            "name": name,
            "version": version,
            "chainId": chain_id,
            "verifyingContract": authorization.asset,
        },
        "message": {
            "from": own,
            "to": authorization.to_address,
            "value": value,
            "validAfter": now - 1,
            "validBefore": now + 60,
            "nonce": nonce,
        },
    }
    key = bytes(derive_secp256k1_secret(bytearray(seed)))
    expected = Account.sign_typed_data(key, full_message=document).signature
    assert await handle.sign_authorization(authorization) == bytes(expected)


async def test_pyjwt_agrees_on_tokens() -> None:
    """An independent library verifies a token with the public JWK of the DID."""
    handle = opened()
    did = handle.capabilities().did
    assert did is not None
    token = await handle.sign_token({"iss": did, "aud": "lago", "n": 3})
    key = jwt.PyJWK({**public_jwk(resolve_did(did)), "alg": "ES256"})
    assert jwt.decode(token, key, algorithms=["ES256"], audience="lago") == {"iss": did, "aud": "lago", "n": 3}


def test_token_without_an_event_loop() -> None:
    """`sign_claims` is the same as `sign_token`."""
    handle = opened()
    assert handle.sign_claims({"n": 1}).count(".") == 2


@pytest.mark.parametrize("length", [0, 31, 33])
def test_seed_has_32_bytes(length: int) -> None:
    """Another length is refused as input, without a trace of the seed in the message."""
    with pytest.raises(CustodyInputError) as refusal:
        InProcessAnima.from_seed(bytearray(b"S" * length), clock=ManualClock())
    assert "SSS" not in str(refusal.value)


@pytest.mark.parametrize("key", [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32, bytes(31), b""])
def test_wallet_key_is_in_range(key: bytes) -> None:
    """Zero, the group order and wrong lengths are refused as input."""
    with pytest.raises(CustodyInputError):
        InProcessAnima.from_wallet_key(bytearray(key), clock=ManualClock())


def test_callers_buffer_stays_the_callers() -> None:
    """The constructors copy: wiping the buffer afterwards takes nothing from the handle."""
    seed = bytearray(SEED_A)
    handle = InProcessAnima.from_seed(seed, clock=ManualClock())
    assert seed == SEED_A
    seed[:] = bytes(32)
    assert handle.sign_claims({})


async def test_signatures_are_observed() -> None:
    """The observer is told the hash that was signed, the reservation and the decision, never a signature (AN-EV-2)."""
    seen: list[CustodySigned | CustodyDenied] = []
    clock = ManualClock()
    handle = InProcessAnima.from_seed(
        bytearray(SEED_A), clock=clock, rules=WalletRules(guard=lambda _request: None), observer=seen.append
    )
    signature = await handle.sign_authorization(_payment(handle, reservation_id="res-9"))
    token = await handle.sign_token({})
    signed = seen[0]
    assert isinstance(signed, CustodySigned)
    assert (signed.op, signed.purpose, signed.request_id) == ("sign_authorization", "eip3009", "res-9")
    assert (signed.policy_decision, signed.backend, len(signed.payload_hash)) == ("guard_allowed", "in_process", 64)
    assert isinstance(seen[1], CustodySigned)
    assert (seen[1].op, seen[1].policy_decision) == ("sign_token", "allowed")
    assert signature.hex() not in repr(seen)
    assert token.rpartition(".")[2] not in repr(seen)


async def test_refusals_are_observed() -> None:
    """Every refusal reaches the observer with its code, and raises all the same."""
    seen: list[CustodySigned | CustodyDenied] = []
    handle = InProcessAnima.from_seed(
        bytearray(SEED_A), clock=ManualClock(), rules=WalletRules(require_reservation=True), observer=seen.append
    )
    with pytest.raises(PolicyDeniedError):
        await handle.sign_authorization(_payment(handle))
    with pytest.raises(UnsupportedOperationError):
        await handle.sign_transaction(EvmTransaction(1, 0, 0, 0, 0, "0x", 0, b""))
    with pytest.raises(CustodyInputError):
        await handle.sign_token({"iss": "somebody"})
    did = handle.capabilities().did
    assert seen == [
        CustodyDenied(did=did, op="sign_authorization", reason="custody.policy_denied"),
        CustodyDenied(did=did, op="sign_transaction", reason="custody.unsupported"),
        CustodyDenied(did=did, op="sign_token", reason="custody.bad_input"),
    ]


async def test_no_key_bytes_in_texts(caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr nor errors nor logs nor the attributes' reprs carry the seed or a scalar, in any usual spelling."""
    caplog.set_level(logging.DEBUG)
    handle = opened()
    texts = [repr(handle), str(handle), f"{handle}", *(repr(getattr(handle, name)) for name in handle.__slots__[1:])]
    for call in (
        handle.sign_authorization(_payment(handle, value_atomic=0)),
        handle.sign_authorization(_payment(handle, from_address="0x" + "11" * 20)),
    ):
        with pytest.raises(CustodyInputError) as refusal:
            await call
        texts += [str(refusal.value), repr(refusal.value), repr(refusal.value.details)]
    everything = "\n".join([*texts, caplog.text])
    secrets = (
        SEED_A,
        WALLET_KEY_A,
        bytes.fromhex("ecef809ce195b873e216efe73e4aa6c5f85876e03b90c26cebbe5a6e5c81e0f0"),
    )
    for secret in secrets:
        for spelling in (secret.hex(), str(int.from_bytes(secret, "big")), repr(secret), repr(bytearray(secret))):
            assert spelling not in everything


def test_close_wipes_the_wallet_key() -> None:
    """After closing, the page that held the key is zeros."""
    handle = opened()
    secret = handle._wallet
    assert secret is not None
    page = secret._map
    assert bytes(page[:32]) == WALLET_KEY_A
    handle.close()
    assert bytes(page[:32]) == bytes(32)
    assert secret.wiped


def test_collection_wipes_the_wallet_key() -> None:
    """A handle that is forgotten wipes its key too."""
    handle = opened()
    assert handle._wallet is not None
    page = handle._wallet._map
    del handle
    gc.collect()
    assert bytes(page[:32]) == bytes(32)


FORKING = """
import asyncio, os
from life.anima.custody.in_process import InProcessAnima
from life.anima.errors import StaleHandleError
from life.testing.clock import ManualClock

handle = InProcessAnima.from_seed(bytearray(b"B" * 32), clock=ManualClock())
pid = os.fork()
try:
    asyncio.run(handle.sign_message(b"hello"))
    result = 7
except StaleHandleError:
    result = 8
if pid == 0:
    os._exit(result)
print(result, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel wipes pages on fork only on Linux")
def test_a_forked_process_has_no_wallet_key() -> None:
    """The page with the wallet key reads as zeros in a child, whose handle says so; the parent goes on signing."""
    ended = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.split() == ["7", "8"]


def test_locked_secret_hides_itself() -> None:
    """A secret has no repr, pickle or copy, and can't be read after wiping."""
    secret = LockedSecret(bytearray(b"k" * 32))
    assert "k" * 4 not in repr(secret)
    with pytest.raises(TypeError):
        secret.__reduce__()
    secret.wipe()
    secret.wipe()
    assert repr(secret) == "<secret wiped>"
    with pytest.raises(ValueError, match="wiped"):
        _ = secret.view


def _payment(handle: InProcessAnima, **changes: object) -> TransferAuthorization:
    now = START_US // 1_000_000
    return TransferAuthorization(
        network="eip155:84532",
        asset="0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        token_name="USDC",
        token_version="2",
        from_address=handle.capabilities().wallet_address or "",
        to_address="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        value_atomic=10_000,
        valid_after_s=now - 600,
        valid_before_s=now + 300,
        nonce=bytes(32),
    )._replace(**changes)  # type: ignore[arg-type]


def test_storage_keys_follow_from_the_wallet_seed_alone() -> None:
    """The same purpose gives the same key, another purpose or seed another one; a rotated identity key changes nothing, and the
    key is none of those that sign."""
    clock = ManualClock()
    before = InProcessAnima.from_seed(bytearray(SEED_A), clock=clock)
    rotated = InProcessAnima.from_seeds(bytearray(SEED_B), bytearray(SEED_A), clock=clock)
    other = InProcessAnima.from_seed(bytearray(SEED_B), clock=clock)
    key = before.storage_key("blobs/a")
    assert len(key) == 32
    assert rotated.storage_key("blobs/a") == key
    assert other.storage_key("blobs/a") != key
    assert before.storage_key("blobs/b") != key
    assert key not in (WALLET_KEY_A, SEED_A)
    before.close()
    with pytest.raises(StaleHandleError):
        before.storage_key("blobs/a")
    with pytest.raises(UnsupportedOperationError):
        InProcessAnima.from_wallet_key(bytearray(PUBLIC_KEY_0), clock=clock).storage_key("blobs/a")

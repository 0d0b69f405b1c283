"""Conformance suite of the Custody port (`life.aios.ports.custody`): every backend passes the same numbered scenarios.

Subclass `CustodySuite` in a test module and give it a fixture `bench`::

    class TestMyBackend(CustodySuite):
        @pytest.fixture
        async def bench(self) -> AsyncIterator[CustodyBench]: ...

The bench declares which operations its handle has. For an operation that it leaves out, every scenario demands an
UnsupportedOperationError instead: a gap that is not declared fails, and so does a declared one that works after all.

Signatures are judged by `life.crypto`: tokens by the key in their DID, wallet signatures by recovery, authorizations by the
general EIP-712 encoder, which shares no code with the fast path that backends use.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import pickle
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from life.aios.errors import CustodyError
from life.aios.json import JsonObject
from life.aios.ports.custody import (
    BackendKind,
    Custody,
    EvmTransaction,
    Operation,
    PermitTransfer,
    TokenPermit,
    TransferAuthorization,
)
from life.anima.custody.wallet_rules import MAX_MESSAGE_BYTES, PersonalMessage, WalletRequest, WalletRules
from life.anima.errors import (
    CustodyInputError,
    PolicyDeniedError,
    StaleHandleError,
    UnsupportedOperationError,
)
from life.anima.policy import EconomicLimits, PolicyManifest
from life.crypto import jws
from life.crypto.address import format_address, parse_address
from life.crypto.base64url import decode_base64url
from life.crypto.did import Curve, resolve_did
from life.crypto.eip191 import personal_message_digest
from life.crypto.eip712 import Eip712Domain, Field, TypedData, TypeTable
from life.crypto.errors import InvalidSignatureError
from life.crypto.keccak import keccak256
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY
from life.crypto.secp256k1 import is_low_s, recover_address
from life.crypto.transaction import decode_signed

ALL_OPERATIONS: Final[frozenset[Operation]] = frozenset(
    {"sign_token", "sign_message", "sign_authorization", "sign_permit", "sign_transaction"}
)
SIGNING_NAMES: Final = frozenset(
    {
        "sign_token",
        "sign_claims",
        "sign_message",
        "sign_authorization",
        "sign_cancellation",
        "sign_permit",
        "sign_sale_document",
        "sign_transaction",
    }
)
"""What a handle may offer to be signed; each takes a typed request."""
NETWORK: Final = "eip155:84532"
CHAIN_ID: Final = 84532
ASSET: Final = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAYEE: Final = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"

_AUTHORIZATION_FIELDS: Final = (
    Field("from", "address"),
    Field("to", "address"),
    Field("value", "uint256"),
    Field("validAfter", "uint256"),
    Field("validBefore", "uint256"),
    Field("nonce", "bytes32"),
)

_PERMIT_TYPES: Final[Mapping[str, tuple[Field, ...]]] = {
    "PermitWitnessTransferFrom": (
        Field("permitted", "TokenPermissions"),
        Field("spender", "address"),
        Field("nonce", "uint256"),
        Field("deadline", "uint256"),
        Field("witness", "Witness"),
    ),
    "TokenPermissions": (Field("token", "address"), Field("amount", "uint256")),
}
_EXACT_WITNESS: Final = (Field("to", "address"), Field("validAfter", "uint256"))
_UPTO_WITNESS: Final = (Field("to", "address"), Field("facilitator", "address"), Field("validAfter", "uint256"))
_TOKEN_PERMIT_FIELDS: Final = (
    Field("owner", "address"),
    Field("spender", "address"),
    Field("value", "uint256"),
    Field("nonce", "uint256"),
    Field("deadline", "uint256"),
)


@dataclass(frozen=True, kw_only=True)
class CustodyBench:
    """What the suite needs of a backend."""

    open: Callable[[WalletRules], Awaitable[Custody]]
    """A handle under these rules; every call gives one for the same identity."""
    close: Callable[[Custody], Awaitable[None]]
    """Close a handle; may be called again."""
    now_s: Callable[[], int]
    """The backend's time in Unix seconds."""
    backend: BackendKind
    operations: frozenset[Operation] = ALL_OPERATIONS
    """What a handle without restricting rules can do."""
    exportable: bool = False
    """Whether the keys can leave the backend. Said wrongly, either way, it is a failure."""
    user_confirmation: bool = False
    """Whether a person confirms each wallet signature."""
    wallet_signatures: Callable[[], int] | None = None
    """How many signatures the wallet's key has made so far, for all handles; None when the bench can't see that."""


class CustodySuite:
    """The promises of the port, as scenarios CUS-01 to CUS-34."""

    @pytest.fixture
    async def bench(self) -> CustodyBench:
        """The backend under test; a backend's own subclass says which."""
        raise pytest.UsageError("a subclass of CustodySuite needs a fixture `bench`")

    @pytest.fixture
    async def handle(self, bench: CustodyBench) -> Custody:
        """A handle without restrictions."""
        return await bench.open(WalletRules())

    async def test_cus_01_capabilities_are_what_is_declared(self, bench: CustodyBench, handle: Custody) -> None:
        """The handle lists exactly the declared operations, with a DID and a wallet where it signs with them."""
        capabilities = handle.capabilities()
        assert capabilities.operations == bench.operations
        assert capabilities.backend == bench.backend
        assert capabilities.exportable is bench.exportable
        assert capabilities.user_confirmation is bench.user_confirmation
        if "sign_token" in bench.operations:
            assert capabilities.did is not None
            assert resolve_did(capabilities.did).curve is Curve.P256
        if bench.operations - {"sign_token"}:
            assert capabilities.wallet_address is not None
            assert format_address(parse_address(capabilities.wallet_address)) == capabilities.wallet_address

    async def test_cus_02_tokens_are_es256_under_the_did(self, bench: CustodyBench, handle: Custody) -> None:
        """A token has exactly alg, typ and kid in its header, kid is the bare DID, and the DID's key verifies it."""
        claims: JsonObject = {"type": "test", "n": 1, "list": [1, "two", None], "text": "ü"}
        if await _is_gap(bench, "sign_token", lambda: handle.sign_token(claims)):
            return
        token = await handle.sign_token(claims, typ="test+jwt")
        verified = jws.verify(token, typ="test+jwt")
        header = json.loads(decode_base64url(token.split(".")[0]))
        assert header == {"alg": "ES256", "typ": "test+jwt", "kid": handle.capabilities().did}
        assert verified.claims == claims
        assert len(decode_base64url(token.split(".")[2])) == 64

    async def test_cus_03_a_changed_token_does_not_verify(self, bench: CustodyBench, handle: Custody) -> None:
        """The signature covers header and claims."""
        if await _is_gap(bench, "sign_token", lambda: handle.sign_token({})):
            return
        head, body, signature = (await handle.sign_token({"n": 1})).split(".")
        other = (await handle.sign_token({"n": 2})).split(".")[1]
        assert body != other
        with pytest.raises(InvalidSignatureError):
            jws.verify(f"{head}.{other}.{signature}", typ="JWT")

    async def test_cus_04_nobody_elses_name_is_signed(self, bench: CustodyBench, handle: Custody) -> None:
        """An issuer that is not this identity is refused."""
        if await _is_gap(bench, "sign_token", lambda: handle.sign_token({})):
            return
        did = handle.capabilities().did
        await handle.sign_token({"iss": did})
        for issuer in ("did:key:zDnaeh1Xuzt2zXCZUYDU7cbTGqnXSDiXb7op6rbf13zvauj7w", "", None, 7):
            with pytest.raises(CustodyInputError):
                await handle.sign_token({"iss": issuer})

    async def test_cus_05_claims_are_a_json_object(self, bench: CustodyBench, handle: Custody) -> None:
        """Anything but a JSON object of bounded size, under a plain type, is refused as input."""
        if await _is_gap(bench, "sign_token", lambda: handle.sign_token({})):
            return
        wrong: tuple[Any, ...] = ([1], "claims", None, {"x": object()}, {"long": "x" * 9000})
        for claims in wrong:
            with pytest.raises(CustodyInputError):
                await handle.sign_token(claims)
        for typ in ("", "x" * 65, "ü", "a\nb"):
            with pytest.raises(CustodyInputError):
                await handle.sign_token({}, typ=typ)

    async def test_cus_06_messages_recover_to_the_wallet(self, bench: CustodyBench, handle: Custody) -> None:
        """EIP-191: 65 bytes, v 27 or 28, low s, and recovery gives the wallet; from no byte up to the largest size."""
        if await _is_gap(bench, "sign_message", lambda: handle.sign_message(b"")):
            return
        for message in (b"", b"hello", bytes(range(256)), b"x" * MAX_MESSAGE_BYTES):
            signature = await handle.sign_message(message)
            _check_wallet_signature(handle, personal_message_digest(message), signature)

    async def test_cus_07_messages_are_bounded_bytes(self, bench: CustodyBench, handle: Custody) -> None:
        """Text and oversized messages are refused as input."""
        if await _is_gap(bench, "sign_message", lambda: handle.sign_message(b"")):
            return
        wrong: tuple[Any, ...] = ("hello", None, b"x" * (MAX_MESSAGE_BYTES + 1))
        for message in wrong:
            with pytest.raises(CustodyInputError):
                await handle.sign_message(message)

    async def test_cus_08_authorizations_recover_to_the_wallet(self, bench: CustodyBench, handle: Custody) -> None:
        """EIP-3009 under EIP-712: 65 bytes, v 27 or 28, low s, recovery gives the wallet."""
        if await _authorization_gap(bench, handle):
            return
        for number in range(1, 17):
            authorization = _authorization(bench, handle, nonce=number.to_bytes(32, "big"), value_atomic=number)
            signature = await handle.sign_authorization(authorization)
            _check_wallet_signature(handle, _typed_data_digest(authorization), signature)

    async def test_cus_09_the_same_authorization_has_one_signature(self, bench: CustodyBench, handle: Custody) -> None:
        """Asking again gives the same bytes, not a second authorization (AN-CUS-5)."""
        if await _authorization_gap(bench, handle):
            return
        authorization = _authorization(bench, handle)
        assert await handle.sign_authorization(authorization) == await handle.sign_authorization(authorization)

    async def test_cus_10_only_the_own_wallet_pays(self, bench: CustodyBench, handle: Custody) -> None:
        """A foreign payer is refused; the own address counts however it is spelled."""
        if await _authorization_gap(bench, handle):
            return
        own = handle.capabilities().wallet_address
        assert own is not None
        lower = _authorization(bench, handle, from_address=own.lower())
        _check_wallet_signature(handle, _typed_data_digest(lower), await handle.sign_authorization(lower))
        for payer in (PAYEE, "", "0x", own[:-1]):
            with pytest.raises(CustodyInputError):
                await handle.sign_authorization(_authorization(bench, handle, from_address=payer))

    async def test_cus_11_amounts_are_positive_256_bit_integers(self, bench: CustodyBench, handle: Custody) -> None:
        """1 and 2^256-1 are signed, everything outside and everything that is no integer is refused."""
        if await _authorization_gap(bench, handle):
            return
        for value in (1, 2**256 - 1):
            await handle.sign_authorization(_authorization(bench, handle, value_atomic=value))
        wrong: tuple[Any, ...] = (0, -1, 2**256, 1.5, "1", None)
        for value in wrong:
            with pytest.raises(CustodyInputError):
                await handle.sign_authorization(_authorization(bench, handle, value_atomic=value))

    async def test_cus_12_windows_are_open_and_short(self, bench: CustodyBench, handle: Custody) -> None:
        """An empty or past window is refused as input, one that stays open too long by policy."""
        if await _authorization_gap(bench, handle):
            return
        now = bench.now_s()
        for after, before in ((now, now), (now + 10, now + 5), (0, now), (0, now - 1), (-1, now + 60)):
            with pytest.raises(CustodyInputError):
                await handle.sign_authorization(
                    _authorization(bench, handle, valid_after_s=after, valid_before_s=before)
                )
        for before in (now + 3601, 2**256 - 1):
            with pytest.raises(PolicyDeniedError):
                await handle.sign_authorization(_authorization(bench, handle, valid_before_s=before))
        longer = await bench.open(WalletRules(max_validity_s=7200))
        await longer.sign_authorization(_authorization(bench, longer, valid_before_s=now + 7200))

    async def test_cus_13_networks_are_permitted_evm_chains(self, bench: CustodyBench, handle: Custody) -> None:
        """A malformed network and a chain that the rules don't name are refused, for payments and transactions."""
        if await _authorization_gap(bench, handle):
            return
        for network in (
            "eip155:",
            "eip155:0",
            "eip155:01",
            "eip155:-1",
            "eip155:٣",
            "solana:1",
            "84532",
            "base-sepolia",
        ):
            with pytest.raises(CustodyInputError):
                await handle.sign_authorization(_authorization(bench, handle, network=network))
        bound = await bench.open(WalletRules(chain_ids=frozenset({CHAIN_ID})))
        await bound.sign_authorization(_authorization(bench, bound))
        with pytest.raises(CustodyInputError):
            await bound.sign_authorization(_authorization(bench, bound, network="eip155:8453"))
        if "sign_transaction" in bench.operations:
            with pytest.raises(CustodyInputError):
                await bound.sign_transaction(_transaction()._replace(chain_id=8453))

    async def test_cus_14_addresses_and_nonces_have_their_form(self, bench: CustodyBench, handle: Custody) -> None:
        """Malformed or mistyped addresses and nonces of another length are refused."""
        if await _authorization_gap(bench, handle):
            return
        swapped = PAYEE.replace("C51812dc", "c51812DC")
        wrong: tuple[dict[str, Any], ...] = (
            {"to_address": swapped},
            {"to_address": "0x12"},
            {"to_address": PAYEE[2:]},
            {"asset": swapped},
            {"asset": ""},
            {"nonce": bytes(31)},
            {"nonce": bytes(33)},
            {"nonce": "0" * 32},
        )
        for change in wrong:
            with pytest.raises(CustodyInputError):
                await handle.sign_authorization(_authorization(bench, handle, **change))

    async def test_cus_15_no_reservation_no_signature(self, bench: CustodyBench, handle: Custody) -> None:
        """A handle that demands reservations refuses an authorization without one (haima.md §8.7, invariant 3)."""
        if await _authorization_gap(bench, handle):
            return
        strict = await bench.open(WalletRules(require_reservation=True))
        with pytest.raises(PolicyDeniedError):
            await strict.sign_authorization(_authorization(bench, strict))
        await strict.sign_authorization(_authorization(bench, strict, reservation_id="res-1"))

    async def test_cus_16_a_guard_also_demands_reservations(self, bench: CustodyBench, handle: Custody) -> None:
        """Where a guard judges, a payment without reservation does not even reach it."""
        if await _authorization_gap(bench, handle):
            return
        asked: list[WalletRequest] = []
        guarded = await bench.open(WalletRules(guard=_allow_into(asked)))
        with pytest.raises(PolicyDeniedError):
            await guarded.sign_authorization(_authorization(bench, guarded))
        assert asked == []
        authorization = _authorization(bench, guarded, reservation_id="res-1")
        await guarded.sign_authorization(authorization)
        assert asked == [authorization]

    async def test_cus_17_the_guard_has_the_last_word(self, bench: CustodyBench, handle: Custody) -> None:
        """A guard that says no, or fails, means no signature of any kind, and its sentence reaches the caller."""
        if await _authorization_gap(bench, handle):
            return
        refusing = await bench.open(WalletRules(guard=lambda _request: "Over the session limit."))
        with pytest.raises(PolicyDeniedError, match="Over the session limit"):
            await refusing.sign_authorization(_authorization(bench, refusing, reservation_id="res-1"))
        if "sign_transaction" in bench.operations:
            with pytest.raises(PolicyDeniedError):
                await refusing.sign_transaction(_transaction())
        if "sign_message" in bench.operations:
            with pytest.raises(PolicyDeniedError):
                await refusing.sign_message(b"hello")

        def broken(_request: WalletRequest) -> str | None:
            raise RuntimeError("the guard's own trouble")

        failing = await bench.open(WalletRules(guard=broken))
        with pytest.raises(RuntimeError):
            await failing.sign_authorization(_authorization(bench, failing, reservation_id="res-1"))

    async def test_cus_18_the_guard_sees_everything_a_wallet_signs(self, bench: CustodyBench, handle: Custody) -> None:
        """Messages and transactions reach the guard as they will be signed; tokens are not its business."""
        asked: list[WalletRequest] = []
        guarded = await bench.open(WalletRules(guard=_allow_into(asked)))
        expected: list[WalletRequest] = []
        if "sign_token" in bench.operations:
            await guarded.sign_token({})
        if "sign_message" in bench.operations:
            await guarded.sign_message(b"hello")
            expected.append(PersonalMessage(b"hello"))
        if "sign_transaction" in bench.operations:
            await guarded.sign_transaction(_transaction())
            expected.append(_transaction())
        assert asked == expected

    async def test_cus_19_reservations_are_not_bypassed_by_transactions(
        self, bench: CustodyBench, handle: Custody
    ) -> None:
        """A handle that demands reservations has no transactions, which carry none, unless a guard judges them."""
        strict = await bench.open(WalletRules(require_reservation=True))
        assert "sign_transaction" not in strict.capabilities().operations
        with pytest.raises(UnsupportedOperationError):
            await strict.sign_transaction(_transaction())
        if "sign_transaction" in bench.operations:
            guarded = await bench.open(WalletRules(require_reservation=True, guard=lambda _request: None))
            assert await guarded.sign_transaction(_transaction())

    async def test_cus_20_transactions_are_ready_to_broadcast(self, bench: CustodyBench, handle: Custody) -> None:
        """The raw bytes decode to exactly what was asked for, sent by the wallet."""
        if await _is_gap(bench, "sign_transaction", lambda: handle.sign_transaction(_transaction())):
            return
        for asked in (_transaction(), _transaction()._replace(value_wei=0, data=bytes(200), nonce=0)):
            signed = decode_signed(await handle.sign_transaction(asked))
            assert format_address(signed.sender) == handle.capabilities().wallet_address
            fields = signed.transaction
            assert (
                EvmTransaction(
                    chain_id=fields.chain_id,
                    nonce=fields.nonce,
                    max_priority_fee_per_gas_wei=fields.max_priority_fee_per_gas_wei,
                    max_fee_per_gas_wei=fields.max_fee_per_gas_wei,
                    gas_limit=fields.gas_limit,
                    to_address=format_address(fields.to or b""),
                    value_wei=fields.value_wei,
                    data=fields.data,
                )
                == asked
            )
            assert is_low_s(signed.signature)

    async def test_cus_21_impossible_transactions_are_refused(self, bench: CustodyBench, handle: Custody) -> None:
        """Fields out of range, of the wrong type or without recipient are refused as input."""
        if await _is_gap(bench, "sign_transaction", lambda: handle.sign_transaction(_transaction())):
            return
        wrong: tuple[dict[str, Any], ...] = (
            {"chain_id": 0},
            {"nonce": -1},
            {"nonce": 2**64},
            {"max_priority_fee_per_gas_wei": 10**12},
            {"value_wei": -1},
            {"value_wei": 2**256},
            {"to_address": ""},
            {"to_address": None},
            {"gas_limit": "21000"},
            {"data": "0x"},
        )
        for change in wrong:
            with pytest.raises(CustodyInputError):
                await handle.sign_transaction(_transaction()._replace(**change))

    async def test_cus_22_a_handle_is_not_copied(self, bench: CustodyBench, handle: Custody) -> None:
        """A handle can't be pickled or copied, so its keys go nowhere by accident."""
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                duplicate(handle)

    async def test_cus_23_a_closed_handle_signs_nothing(self, bench: CustodyBench, handle: Custody) -> None:
        """After closing, which may be repeated, every operation is a StaleHandleError; public names stay readable."""
        authorization = _authorization(bench, handle) if "sign_authorization" in bench.operations else None
        permit = _permit(bench, handle) if "sign_permit" in bench.operations else None
        before = handle.capabilities()
        await bench.close(handle)
        await bench.close(handle)
        assert handle.capabilities() == before
        calls: Mapping[Operation, Callable[[], Awaitable[object]]] = {
            "sign_token": lambda: handle.sign_token({}),
            "sign_message": lambda: handle.sign_message(b""),
            "sign_transaction": lambda: handle.sign_transaction(_transaction()),
        }
        for operation, call in calls.items():
            if operation in bench.operations:
                with pytest.raises(StaleHandleError):
                    await call()
        if authorization is not None:
            with pytest.raises(StaleHandleError):
                await handle.sign_authorization(authorization)
        if permit is not None:
            with pytest.raises(StaleHandleError):
                await handle.sign_permit(permit)

    async def test_cus_24_calls_at_once_do_not_mix(self, bench: CustodyBench, handle: Custody) -> None:
        """Signatures asked for at the same time each belong to their own request."""
        if await _authorization_gap(bench, handle):
            return
        asked = [_authorization(bench, handle, nonce=number.to_bytes(32, "big")) for number in range(64)]
        signatures = await asyncio.gather(*(handle.sign_authorization(one) for one in asked))
        assert len(set(signatures)) == len(asked)
        for authorization, signature in zip(asked, signatures, strict=True):
            _check_wallet_signature(handle, _typed_data_digest(authorization), signature)

    async def test_cus_25_permits_recover_to_the_wallet(self, bench: CustodyBench, handle: Custody) -> None:
        """Permit2 payments of both kinds and EIP-2612 permits: 65 bytes, v 27 or 28, low s, recovery gives the wallet, and
        asking again gives the same bytes."""
        if await _permit_gap(bench, handle):
            return
        for number in (0, 1, 2**256 - 1):
            for permit in (
                _permit(bench, handle, nonce=number),
                _permit(bench, handle, nonce=number, spender=UPTO_PROXY, facilitator=PAYEE),
                _token_permit(bench, handle, nonce=number),
            ):
                signature = await handle.sign_permit(permit)
                _check_wallet_signature(handle, _permit_typed_data_digest(permit), signature)
                assert signature == await handle.sign_permit(permit)

    async def test_cus_26_permits_name_their_own_spender(self, bench: CustodyBench, handle: Custody) -> None:
        """A spender of Permit2 decides who gets the money, so only the proxy of the permit's kind may be one."""
        if await _permit_gap(bench, handle):
            return
        for wrong in (
            _permit(bench, handle, spender=UPTO_PROXY),
            _permit(bench, handle, spender=PAYEE),
            _permit(bench, handle, spender=PERMIT2),
            _permit(bench, handle, facilitator=PAYEE),
            _token_permit(bench, handle, spender=EXACT_PROXY),
            _token_permit(bench, handle, spender=PAYEE),
            _permit(bench, handle, spender=""),
        ):
            with pytest.raises(CustodyInputError):
                await handle.sign_permit(wrong)

    async def test_cus_27_permits_keep_the_rules_of_payments(self, bench: CustodyBench, handle: Custody) -> None:
        """Own wallet, amount, window, nonce, network and form are checked as for an authorization."""
        if await _permit_gap(bench, handle):
            return
        now = bench.now_s()
        changes: tuple[dict[str, Any], ...] = (
            {"from_address": PAYEE},
            {"value_atomic": 0},
            {"value_atomic": 2**256},
            {"value_atomic": "1"},
            {"deadline_s": now - 1},
            {"nonce": -1},
            {"nonce": 2**256},
            {"nonce": bytes(32)},
            {"network": "eip155:01"},
            {"asset": "0x12"},
        )
        for change in changes:
            for permit in (_permit(bench, handle, **change), _token_permit(bench, handle, **change)):
                with pytest.raises(CustodyInputError):
                    await handle.sign_permit(permit)
        with pytest.raises(CustodyInputError):
            await handle.sign_permit(_permit(bench, handle, valid_after_s=now + 400))
        with pytest.raises(PolicyDeniedError):
            await handle.sign_permit(_permit(bench, handle, deadline_s=now + 3601))
        bound = await bench.open(WalletRules(chain_ids=frozenset({CHAIN_ID})))
        await bound.sign_permit(_permit(bench, bound))
        with pytest.raises(CustodyInputError):
            await bound.sign_permit(_permit(bench, bound, network="eip155:8453"))

    async def test_cus_28_permits_need_reservation_and_guard(self, bench: CustodyBench, handle: Custody) -> None:
        """No permit without a reservation where one is demanded; the guard sees every permit and has the last word."""
        if await _permit_gap(bench, handle):
            return
        strict = await bench.open(WalletRules(require_reservation=True))
        asked: list[WalletRequest] = []
        guarded = await bench.open(WalletRules(guard=_allow_into(asked)))
        refusing = await bench.open(WalletRules(guard=lambda _request: "Over the session limit."))
        seen = []
        for make in (_permit, _token_permit):
            for wary in (strict, guarded):
                with pytest.raises(PolicyDeniedError):
                    await wary.sign_permit(make(bench, wary))
                await wary.sign_permit(make(bench, wary, reservation_id="res-1"))
            seen.append(make(bench, guarded, reservation_id="res-1"))
            with pytest.raises(PolicyDeniedError, match="Over the session limit"):
                await refusing.sign_permit(make(bench, refusing, reservation_id="res-1"))
        assert asked == seen

    async def test_cus_29_what_is_not_listed_is_unsupported(self, bench: CustodyBench, handle: Custody) -> None:
        """Capability discovery: each operation works exactly when it is listed; nothing else stands in for a gap."""
        listed = handle.capabilities().operations
        for operation, call in _calls(bench, handle).items():
            if operation in listed:
                assert await call()
            else:
                with pytest.raises(UnsupportedOperationError):
                    await call()
        if not listed - {"sign_token"}:
            assert handle.capabilities().wallet_address is None
        if "sign_token" not in listed:
            assert handle.capabilities().did is None

    async def test_cus_30_nobody_has_a_digest_signed(self, bench: CustodyBench, handle: Custody) -> None:
        """Signing is typed: a handle has no public way to sign a digest, and none to its keys (ARCHITECTURE.md §2.8)."""
        public = {name for name in dir(handle) if not name.startswith("_")}
        assert {name for name in public if "sign" in name} <= SIGNING_NAMES
        assert not {
            name for name in public if "secret" in name or "private" in name or name in ("key", "seed", "wallet")
        }

    async def test_cus_31_a_message_is_never_a_payment(self, bench: CustodyBench, handle: Custody) -> None:
        """Purposes are apart (AN-KEY-4): the bytes that are hashed for a payment or a transaction, and their digest, signed
        as a message, are not a signature of that payment or transaction."""
        if await _is_gap(bench, "sign_message", lambda: handle.sign_message(b"")):
            return
        own = handle.capabilities().wallet_address
        typed = _typed_data_digest(_authorization(bench, handle))
        preimage = b"\x19\x01" + typed
        for disguised in (typed, preimage, b"\x02" + typed, b"\x19Ethereum Signed Message:\n32" + typed):
            signature = await handle.sign_message(disguised)
            for digest in (typed, keccak256(preimage), keccak256(disguised), hashlib.sha256(disguised).digest()):
                assert _recovered(digest, signature) != own

    async def test_cus_32_every_wallet_signature_is_low(self, bench: CustodyBench, handle: Custody) -> None:
        """A device gives a high s every other time; none of many gets out, and each recovers to the wallet (AN-CUS-2)."""
        if await _is_gap(bench, "sign_message", lambda: handle.sign_message(b"")):
            return
        for number in range(24):
            message = b"message %d" % number
            _check_wallet_signature(handle, personal_message_digest(message), await handle.sign_message(message))

    async def test_cus_33_the_limits_of_the_soul_come_first(self, bench: CustodyBench, handle: Custody) -> None:
        """AN-POL-2: what the soul's limits forbid is refused before the wallet's key is asked, for every kind of request;
        what they allow is signed."""
        limits = PolicyManifest(economic_limits=EconomicLimits(max_spend_per_tx_micro_credits=10_000))
        spent = 0

        def guard(request: WalletRequest) -> str | None:
            nonlocal spent
            if isinstance(request, TransferAuthorization | PermitTransfer):
                exceeded = limits.exceeded_limit(
                    request.value_atomic, session_spent_micro=spent, lifetime_spent_micro=0
                )
                if exceeded is None:
                    spent += request.value_atomic
                return None if exceeded is None else f"Over the limit {exceeded}."
            return "Only payments are allowed."

        limited = await bench.open(WalletRules(guard=guard))
        allowed = _authorization(bench, limited, reservation_id="res-1", value_atomic=10_000)
        if "sign_authorization" in bench.operations:
            assert await limited.sign_authorization(allowed)
        before = None if bench.wallet_signatures is None else bench.wallet_signatures()
        excessive = allowed._replace(value_atomic=10_001)
        permit = _permit(bench, limited, reservation_id="res-1", value_atomic=10_001)
        refused: Mapping[Operation, Callable[[], Awaitable[object]]] = {
            "sign_authorization": lambda: limited.sign_authorization(excessive),
            "sign_permit": lambda: limited.sign_permit(permit),
            "sign_transaction": lambda: limited.sign_transaction(_transaction()),
            "sign_message": lambda: limited.sign_message(b"hello"),
        }
        for operation, call in refused.items():
            if operation in bench.operations:
                with pytest.raises(PolicyDeniedError):
                    await call()
        if bench.wallet_signatures is not None:
            assert bench.wallet_signatures() == before

    async def test_cus_34_a_handle_tells_nothing(self, bench: CustodyBench, handle: Custody) -> None:
        """What a handle prints of itself are its public names (AN-KEY-3)."""
        capabilities = handle.capabilities()
        text = repr(handle).replace(capabilities.did or "", "").replace(capabilities.wallet_address or "", "")
        assert not re.search(r"[0-9a-fA-F]{32}|[0-9]{40}", text)


async def _is_gap(bench: CustodyBench, operation: Operation, call: Callable[[], Awaitable[object]]) -> bool:
    """Whether the operation is a declared gap; then `call` must say so."""
    if operation in bench.operations:
        return False
    with pytest.raises(UnsupportedOperationError) as refusal:
        await call()
    assert isinstance(refusal.value, CustodyError)
    return True


def _calls(bench: CustodyBench, handle: Custody) -> dict[Operation, Callable[[], Awaitable[object]]]:
    """One good request of every operation."""
    return {
        "sign_token": lambda: handle.sign_token({}),
        "sign_message": lambda: handle.sign_message(b"hello"),
        "sign_authorization": lambda: handle.sign_authorization(_authorization(bench, handle)),
        "sign_permit": lambda: handle.sign_permit(_permit(bench, handle)),
        "sign_transaction": lambda: handle.sign_transaction(_transaction()),
    }


def _recovered(digest: bytes, signature: bytes) -> str | None:
    """Who made a signature over a digest, None when nobody can have."""
    try:
        return format_address(recover_address(digest, signature))
    except InvalidSignatureError:
        return None


async def _authorization_gap(bench: CustodyBench, handle: Custody) -> bool:
    return await _is_gap(bench, "sign_authorization", lambda: handle.sign_authorization(_authorization(bench, handle)))


async def _permit_gap(bench: CustodyBench, handle: Custody) -> bool:
    return await _is_gap(bench, "sign_permit", lambda: handle.sign_permit(_permit(bench, handle)))


def _permit(bench: CustodyBench, handle: Custody, **changes: Any) -> PermitTransfer:
    """One cent to PAYEE by Permit2, for the next five minutes."""
    return PermitTransfer(
        network=NETWORK,
        asset=ASSET,
        from_address=handle.capabilities().wallet_address or PAYEE,
        to_address=PAYEE,
        value_atomic=10_000,
        spender=EXACT_PROXY,
        nonce=7,
        deadline_s=bench.now_s() + 300,
        valid_after_s=0,
    )._replace(**changes)


def _token_permit(bench: CustodyBench, handle: Custody, **changes: Any) -> TokenPermit:
    """An allowance of one cent for Permit2, for the next five minutes."""
    return TokenPermit(
        network=NETWORK,
        asset=ASSET,
        token_name="USDC",
        token_version="2",
        from_address=handle.capabilities().wallet_address or PAYEE,
        spender=PERMIT2,
        value_atomic=10_000,
        nonce=0,
        deadline_s=bench.now_s() + 300,
    )._replace(**changes)


def _authorization(bench: CustodyBench, handle: Custody, **changes: Any) -> TransferAuthorization:
    """One cent to PAYEE for the next five minutes."""
    return TransferAuthorization(
        network=NETWORK,
        asset=ASSET,
        token_name="USDC",
        token_version="2",
        from_address=handle.capabilities().wallet_address or PAYEE,
        to_address=PAYEE,
        value_atomic=10_000,
        valid_after_s=bench.now_s() - 600,
        valid_before_s=bench.now_s() + 300,
        nonce=bytes(range(32)),
    )._replace(**changes)


def _transaction() -> EvmTransaction:
    return EvmTransaction(
        chain_id=CHAIN_ID,
        nonce=7,
        max_priority_fee_per_gas_wei=10**9,
        max_fee_per_gas_wei=3 * 10**10,
        gas_limit=21_000,
        to_address=PAYEE,
        value_wei=10**15,
        data=b"",
    )


def _allow_into(asked: list[WalletRequest]) -> Callable[[WalletRequest], str | None]:
    """A guard that writes down what it is asked, and allows it."""

    def guard(request: WalletRequest) -> str | None:
        asked.append(request)
        return None

    return guard


def _typed_data_digest(authorization: TransferAuthorization) -> bytes:
    """The digest by the general encoder."""
    return TypedData(
        domain=Eip712Domain(
            name=authorization.token_name,
            version=authorization.token_version,
            chain_id=int(authorization.network.removeprefix("eip155:")),
            verifying_contract=parse_address(authorization.asset),
        ),
        types=TypeTable({"TransferWithAuthorization": _AUTHORIZATION_FIELDS}),
        primary_type="TransferWithAuthorization",
        message={
            "from": authorization.from_address,
            "to": authorization.to_address,
            "value": authorization.value_atomic,
            "validAfter": authorization.valid_after_s,
            "validBefore": authorization.valid_before_s,
            "nonce": authorization.nonce,
        },
    ).digest()


def _permit_typed_data_digest(permit: PermitTransfer | TokenPermit) -> bytes:
    """The digest by the general encoder."""
    chain_id = int(permit.network.removeprefix("eip155:"))
    if isinstance(permit, TokenPermit):
        return TypedData(
            domain=Eip712Domain(
                name=permit.token_name,
                version=permit.token_version,
                chain_id=chain_id,
                verifying_contract=parse_address(permit.asset),
            ),
            types=TypeTable({"Permit": _TOKEN_PERMIT_FIELDS}),
            primary_type="Permit",
            message={
                "owner": permit.from_address,
                "spender": permit.spender,
                "value": permit.value_atomic,
                "nonce": permit.nonce,
                "deadline": permit.deadline_s,
            },
        ).digest()
    witness: dict[str, object] = {"to": permit.to_address, "validAfter": permit.valid_after_s}
    if permit.facilitator is not None:
        witness["facilitator"] = permit.facilitator
    return TypedData(
        domain=Eip712Domain(name="Permit2", chain_id=chain_id, verifying_contract=parse_address(PERMIT2)),
        types=TypeTable({**_PERMIT_TYPES, "Witness": _EXACT_WITNESS if permit.facilitator is None else _UPTO_WITNESS}),
        primary_type="PermitWitnessTransferFrom",
        message={
            "permitted": {"token": permit.asset, "amount": permit.value_atomic},
            "spender": permit.spender,
            "nonce": permit.nonce,
            "deadline": permit.deadline_s,
            "witness": witness,
        },
    ).digest()


def _check_wallet_signature(handle: Custody, digest: bytes, signature: bytes) -> None:
    assert len(signature) == 65
    assert signature[64] in (27, 28)
    assert is_low_s(signature)
    assert format_address(recover_address(digest, signature)) == handle.capabilities().wallet_address

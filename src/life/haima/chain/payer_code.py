"""Payers that are contracts: whether a signature that no plain key made may be shown to the chain, and in which form.

    65 bytes of the payer's own key      nothing is asked
    the payer has code                   the token or Permit2 asks the payer itself (ERC-1271); the dry run shows its answer
    no code, wrapped by ERC-6492         the wallet is deployed in the settling transaction, by a factory on the allow-list
    no code, not wrapped                 refused

A factory's call is executed with our gas, so only factories that the operator named are called, and only through Multicall3,
whose address no token gives rights to. Scheme `upto` can't be paid so: its proxy demands that the facilitator calls it itself.

Source: ERC-1271, ERC-6492, x402.md §3.1 step 6.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from life.aios.ports.chain import Refusal
from life.aios.ports.clock import Clock
from life.aios.ports.custody import PaymentAuthorization, PermitTransfer
from life.crypto import contract_signature
from life.crypto.errors import CryptoError
from life.haima.chain.abi import address_bytes, address_word, byte_string, word
from life.haima.chain.json_rpc import JsonRpc
from life.haima.x402 import codes
from life.haima.x402.authorization import is_signed_by_key

MULTICALL3: Final = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""The address of Multicall3 on every chain (multicall3.com)."""
_AGGREGATE3: Final = bytes.fromhex("82ad56cb")
"""aggregate3((address,bool,bytes)[])"""
_KEPT_US: Final = 15_000_000
"""How long it is believed that an address has no code, so that bad signatures cost the node little."""
_REMEMBERED: Final = 4096


class Deployment(NamedTuple):
    """The call that deploys a payer's wallet."""

    factory: str
    data: bytes


class PayerSignature(NamedTuple):
    """A signature as the chain takes it, and what has to happen before."""

    signature: bytes
    deployment: Deployment | None = None
    by_contract: bool = False


class PayerCode:
    """Which payers of one chain have code."""

    def __init__(self, rpc: JsonRpc, clock: Clock, *, factories: Iterable[str] = ()) -> None:
        """`factories` may deploy wallets with our gas."""
        self._rpc = rpc
        self._clock = clock
        self._factories = frozenset(address_bytes(factory) for factory in factories)
        self._without_code: OrderedDict[str, int] = OrderedDict()

    async def read(self, authorization: PaymentAuthorization, signature: bytes) -> PayerSignature | Refusal:
        """The form in which to show this signature to the chain, or why not to. Raises as JsonRpc does."""
        if is_signed_by_key(authorization, signature):
            return PayerSignature(signature)
        try:
            wrapped = contract_signature.unwrap(signature)
        except CryptoError as error:
            return _refused(authorization, f"The signature's wrapper can't be read: {error}.")
        if not signature:
            return _refused(authorization, "There is no signature.")
        inner = signature if wrapped is None else wrapped.signature
        # A wrapped signature says that the wallet is about to be deployed, perhaps a moment ago: then nothing is remembered.
        if await self._has_code(authorization.from_address, remember=wrapped is None):
            return PayerSignature(inner, by_contract=True)
        if wrapped is None:
            return _refused(authorization, "Somebody else signed, or the payer is no contract that could have.")
        if wrapped.factory not in self._factories:
            return Refusal(
                codes.FACTORY_NOT_ALLOWED, "The payer's wallet is not deployed, and its factory is not allowed."
            )
        if isinstance(authorization, PermitTransfer) and authorization.facilitator is not None:
            return Refusal(codes.UNDEPLOYED_SMART_WALLET, "A wallet has to be deployed before it can pay by upto.")
        factory = "0x" + wrapped.factory.hex()
        return PayerSignature(inner, Deployment(factory, wrapped.factory_data), by_contract=True)

    async def _has_code(self, address: str, *, remember: bool) -> bool:
        key = address.lower()
        asked_us = self._without_code.get(key) if remember else None
        if asked_us is not None and self._clock.monotonic_us() - asked_us < _KEPT_US:
            return False
        code = await self._rpc.text("eth_getCode", key, "latest")
        if len(code) > 2:
            self._without_code.pop(key, None)
            return True
        self._without_code[key] = self._clock.monotonic_us()
        while len(self._without_code) > _REMEMBERED:
            self._without_code.popitem(last=False)
        return False


def deploy_and_call(deployment: Deployment, to_address: str, data: bytes) -> bytes:
    """Call data for Multicall3: deploy the wallet, which may have been done by somebody else meanwhile, then call."""
    calls = (
        _call3(deployment.factory, deployment.data, allow_failure=True),
        _call3(to_address, data, allow_failure=False),
    )
    offsets, place = b"", 32 * len(calls)
    for call in calls:
        offsets += word(place)
        place += len(call)
    return _AGGREGATE3 + word(32) + word(len(calls)) + offsets + b"".join(calls)


def _call3(target: str, data: bytes, *, allow_failure: bool) -> bytes:
    return address_word(target) + word(int(allow_failure)) + word(96) + byte_string(data)


def _refused(authorization: PaymentAuthorization, why: str) -> Refusal:
    is_permit = isinstance(authorization, PermitTransfer)
    return Refusal(codes.PERMIT2_INVALID_SIGNATURE if is_permit else codes.INVALID_SIGNATURE, why)

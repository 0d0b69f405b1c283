"""Burning an authorization on an EVM chain before anybody uses it (EIP-3009 cancelAuthorization, W06).

Whoever signed an authorization may cancel its nonce while it is unused; somebody has to pay the gas, as for a settlement. The
payee may be quicker: then the authorization was used, and that is said instead.
"""

from __future__ import annotations

from typing import Final, Literal

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody, TransferAuthorization
from life.crypto.keccak import keccak256
from life.haima.chain.abi import address_word, word
from life.haima.chain.fees import FeeOracle
from life.haima.chain.gas_account import GasAccount
from life.haima.chain.json_rpc import JsonRpc, NodeRefusedError
from life.haima.chain.settlement_search import SettlementSearch
from life.haima.errors import ChainRefusedError, ChainUnavailableError
from life.haima.x402 import codes
from life.haima.x402.networks import chain_id_of

CANCEL_AUTHORIZATION: Final = keccak256(b"cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)")[:4]

_POLL_US: Final = 500_000
_POLLS: Final = 240
"""Two minutes: after that the transaction may still be mined, and asking again finds out."""


class AuthorizationCanceller:
    """Cancels authorizations on one chain, from a gas account that is used by nobody else at the same time."""

    def __init__(self, rpc: JsonRpc, *, network: str, gas_custody: Custody, clock: Clock) -> None:
        """InvalidInputError when the custody signs no transactions, or the network is no EVM network."""
        chain_id = chain_id_of(network)
        if chain_id is None:
            raise InvalidInputError(f"{network} is no EVM network; it must look like eip155:8453.")
        self._rpc = rpc
        self._network = network
        self._clock = clock
        self._account = GasAccount(rpc, FeeOracle(rpc, clock), gas_custody, clock, chain_id=chain_id)
        self._search = SettlementSearch(rpc, window_blocks=2000, windows=10)

    async def __call__(self, authorization: TransferAuthorization, signature: bytes) -> Literal["cancelled", "used"]:
        """See life.haima.payer.Canceller. ChainRefusedError when the token does not take the cancellation,
        ChainUnavailableError when nobody knows yet."""
        if authorization.network != self._network:
            raise ChainRefusedError(codes.INVALID_NETWORK, f"This canceller is for {self._network}.")
        known = await self._fate(authorization)
        if known is not None:
            return known
        call = CANCEL_AUTHORIZATION + address_word(authorization.from_address) + authorization.nonce
        call += word(signature[64]) + signature[:64]
        outline = {"from": self._account.address, "to": authorization.asset.lower(), "data": "0x" + call.hex()}
        try:
            gas = await self._rpc.quantity("eth_estimateGas", outline)
        except NodeRefusedError as error:
            known = await self._fate(authorization)
            if known is not None:
                return known
            raise ChainRefusedError(codes.TRANSACTION_FAILED, "The token does not take this cancellation.") from error
        prepared = await self._account.sign(authorization.asset, call, gas_limit=gas + gas // 4)
        try:
            await self._account.broadcast(prepared)
        except ChainRefusedError:
            await self._account.abandon(prepared)
            raise
        for _ in range(_POLLS):
            if await self._rpc.record("eth_getTransactionReceipt", prepared.transaction_hash) is not None:
                break
            await self._clock.sleep_us(_POLL_US)
        known = await self._fate(authorization)
        if known is None:
            raise ChainUnavailableError("The cancellation is out, and no block holds it yet.")
        return known

    async def _fate(self, authorization: TransferAuthorization) -> Literal["cancelled", "used"] | None:
        """By what its nonce was burnt; None while it is unused."""
        found = await self._search.settled_by_another("", authorization, value_atomic=None)
        if found is None:
            return None
        return "used" if found.state == "confirmed" else "cancelled"

"""What commands ask of an EVM node: which chain it serves, whether an authorization was used, what Permit2 may move.

Source: JSON-RPC of execution clients, EIP-3009 (authorizationState), Permit2 (nonceBitmap), EIP-2612 (nonces), x402.md §16.5.
"""

from __future__ import annotations

from typing import Final

from life.aios.errors import InvalidInputError
from life.aios.ports.chain import AuthorizationState
from life.aios.ports.clock import Clock
from life.crypto.permit2 import PERMIT2
from life.haima.chain.abi import address_bytes, address_word, word
from life.haima.chain.json_rpc import JsonRpc, parse_quantity
from life.haima.chain.permit_calls import NONCE_BITMAP, permit2_allowance_call
from life.haima.chain.token_calls import AUTHORIZATION_STATE
from life.haima.errors import ChainError
from life.haima.payer import Allowance
from life.haima.reservations import EXPIRY_MARGIN_S
from life.haima.x402.networks import chain_id_of

_NONCES: Final = bytes.fromhex("7ecebe00")
"""nonces(address), EIP-2612."""

FRESH_S: Final = EXPIRY_MARGIN_S // 2
"""A block at most this old speaks for the present. It is less than the margin after which a payment counts as expired, so
a block that is fresh then was made after the payment's last moment."""


class AuthorizationLookup:
    """Asks one node whether the token, or Permit2, has burnt an authorization's nonce (life.haima.payer.AuthorizationReader).

    `unused` is said only on the word of a fresh block: a node that lags behind, or that does not answer, knows nothing.
    """

    def __init__(self, rpc: JsonRpc, *, network: str, clock: Clock) -> None:
        self._rpc = rpc
        self._network = network
        self._clock = clock

    async def open(self) -> None:
        """InvalidInputError when the node serves another chain; ChainError when it does not say."""
        await check_chain(self._rpc, self._network)

    async def __call__(self, network: str, asset: str, payer: str, nonce: bytes) -> AuthorizationState:
        """Never raises for what the node does."""
        if network != self._network:
            return "unknown"
        try:
            block = await self._rpc.record("eth_getBlockByNumber", "latest", False) or {}
            made_s = parse_quantity(block.get("timestamp"))
            number = int.from_bytes(nonce, "big")
            if asset == PERMIT2:
                call = NONCE_BITMAP + address_word(payer) + word(number >> 8)
            else:
                call = AUTHORIZATION_STATE + address_bytes(payer).rjust(32, b"\0") + nonce
            used = await self._rpc.quantity(
                "eth_call", {"to": asset.lower(), "data": "0x" + call.hex()}, block.get("number")
            )
            if asset == PERMIT2:
                used = used >> (number & 0xFF) & 1
        except (ChainError, ValueError):
            return "unknown"
        if used:
            return "used"
        return "unused" if made_s >= self._clock.now_us() // 1_000_000 - FRESH_S else "unknown"


class AllowanceLookup:
    """Asks one node what Permit2 may move, and for the count of EIP-2612 permits (life.haima.payer.AllowanceReader)."""

    def __init__(self, rpc: JsonRpc, *, network: str) -> None:
        self._rpc = rpc
        self._network = network

    async def __call__(self, network: str, asset: str, owner: str) -> Allowance | None:
        """Never raises for what the node does; None when it does not say, or the token has no permits."""
        if network != self._network:
            return None
        try:
            allowed = await self._ask(asset, permit2_allowance_call(owner))
            return Allowance(allowed, await self._ask(asset, _NONCES + address_word(owner)))
        except (ChainError, ValueError):
            return None

    async def _ask(self, asset: str, call: bytes) -> int:
        return await self._rpc.quantity("eth_call", {"to": asset.lower(), "data": "0x" + call.hex()}, "latest")


async def check_chain(rpc: JsonRpc, network: str) -> None:
    """InvalidInputError when the node serves another chain than `network`; ChainError when it does not say."""
    answered = await rpc.quantity("eth_chainId")
    if answered != chain_id_of(network):
        raise InvalidInputError(
            f"The node at {rpc.host} serves eip155:{answered}, not {network}.",
            next_step="Name the other network, or another node.",
        )

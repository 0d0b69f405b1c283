"""A gas account whose key everybody knows, behind the Custody port.

Transactions are signed by eth-account, an independent implementation, so that what reaches the chain in these tests does
not depend on our own encoder.
"""

from __future__ import annotations

from eth_account import Account

from life.aios.json import JsonObject
from life.aios.ports.custody import Capabilities, EvmTransaction, PermitTransfer, TokenPermit, TransferAuthorization


class DevelopmentGasAccount:
    """Signs transactions with a public development key, and nothing else."""

    def __init__(self, key: str) -> None:
        self._account = Account.from_key(key)
        self.signed: list[EvmTransaction] = []

    def capabilities(self) -> Capabilities:
        """A wallet that signs transactions."""
        return Capabilities(
            backend="in_process",
            operations=frozenset({"sign_transaction"}),
            did=None,
            wallet_address=self._account.address,
        )

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """The raw EIP-1559 transaction."""
        self.signed.append(transaction)
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": transaction.chain_id,
                "nonce": transaction.nonce,
                "maxPriorityFeePerGas": transaction.max_priority_fee_per_gas_wei,
                "maxFeePerGas": transaction.max_fee_per_gas_wei,
                "gas": transaction.gas_limit,
                "to": transaction.to_address,
                "value": transaction.value_wei,
                "data": transaction.data,
            }
        )
        return bytes(signed.raw_transaction)

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """Not among its operations."""
        raise AssertionError("a gas account signs no tokens")

    async def sign_message(self, message: bytes) -> bytes:
        """Not among its operations."""
        raise AssertionError("a gas account signs no messages")

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """Not among its operations."""
        raise AssertionError("a gas account signs no authorizations")

    async def sign_permit(self, permit: PermitTransfer | TokenPermit) -> bytes:
        """Not among its operations."""
        raise AssertionError("a gas account signs no permits")

"""The account that pays gas: its nonces, its signatures, what it has sent, and sending it again for a higher fee.

A transaction that waits too long is sent again with the same account nonce and fees an eighth higher: nodes take a replacement
from 10 % on, and of all that share a nonce the chain executes exactly one (geth's `PriceBump`, reth's `price_bump`).

Source: EIP-1559, x402.md §12 rows 4 to 6, §16.7; error words of geth, reth, erigon and anvil.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from life.aios.errors import InvalidInputError
from life.aios.ports.chain import Prepared
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody, EvmTransaction
from life.crypto.address import format_address
from life.crypto.errors import CryptoError
from life.crypto.keccak import keccak256
from life.crypto.transaction import decode_signed
from life.haima.chain.abi import address_bytes
from life.haima.chain.account_nonces import AccountNonces
from life.haima.chain.fees import FeeOracle, Fees
from life.haima.chain.json_rpc import JsonRpc, NodeRefusedError
from life.haima.errors import ChainRefusedError, ChainUnavailableError
from life.haima.x402 import codes

SENT_KEPT_US: Final = 60_000_000
"""How long a transaction that the node took counts as pending without being looked up in the pool."""
_BUMP_DIVISOR: Final = 8
"""A replacement's fees are at least an eighth higher."""
_REMEMBERED: Final = 4096
_FILLER_GAS: Final = 21_000

_ALREADY_THERE: Final = ("already known", "already imported", "known transaction", "already exists")
_NOT_TAKEN: Final = (
    "insufficient funds",
    "nonce too low",
    "underpriced",
    "could not replace",
    "intrinsic gas",
    "exceeds block gas limit",
    "max fee per gas less than block base fee",
    "fee cap",
    "txpool is full",
    "transaction pool is full",
    "invalid sender",
    "invalid chain id",
    "wrong chain",
)
_OTHER_TRANSACTION_HOLDS_NONCE: Final = ("nonce too low", "replacement", "could not replace")


class GasAccount:
    """One account behind custody, on one chain. It may be used by nobody else at the same time; when it was, the refused
    broadcast is reported as not taken, the account's nonce is asked again, and the next attempt goes through."""

    def __init__(self, rpc: JsonRpc, fees: FeeOracle, custody: Custody, clock: Clock, *, chain_id: int) -> None:
        """InvalidInputError when the custody has no wallet that signs transactions."""
        capabilities = custody.capabilities()
        if capabilities.wallet_address is None or "sign_transaction" not in capabilities.operations:
            raise InvalidInputError("The gas account's custody has no wallet that signs transactions.")
        self.address: Final = format_address(address_bytes(capabilities.wallet_address))
        """EIP-55."""
        self._rpc = rpc
        self._fees = fees
        self._custody = custody
        self._clock = clock
        self._chain_id = chain_id
        self._nonces = AccountNonces(self._pending_nonce)
        self._sent_us: OrderedDict[str, int] = OrderedDict()

    async def balance_wei(self) -> int:
        """What the account has left for gas."""
        return await self._rpc.quantity("eth_getBalance", self.address, "latest")

    async def sign(self, to_address: str, data: bytes, *, gas_limit: int) -> Prepared:
        """A transaction with the next account nonce. Follow it with `broadcast` or `abandon`."""
        fees = await self._fees.fees()
        nonce = await self._nonces.reserve()
        try:
            return await self._signed(to_address, data, nonce=nonce, gas_limit=gas_limit, fees=fees)
        except BaseException:
            self._nonces.give_back(nonce)
            raise

    async def replacement(self, prepared: Prepared) -> Prepared:
        """The same transaction, same nonce, with fees that nodes take in its place. ChainRefusedError when the bytes are no
        transaction of ours or the fees would exceed the limit; ChainUnavailableError when the fees can't be asked."""
        try:
            signed = decode_signed(prepared.raw)
        except CryptoError:
            raise ChainRefusedError(codes.INVALID_PAYLOAD, "These bytes are no transaction.") from None
        old = signed.transaction
        if format_address(signed.sender) != self.address or old.to is None or old.chain_id != self._chain_id:
            raise ChainRefusedError(codes.INVALID_PAYLOAD, "This transaction is another account's.")
        current = await self._fees.fees()
        tip = max(current.max_priority_fee_per_gas_wei, _bumped(old.max_priority_fee_per_gas_wei))
        fee = max(current.max_fee_per_gas_wei, _bumped(old.max_fee_per_gas_wei), tip)
        if self._fees.limit_wei is not None and fee > self._fees.limit_wei:
            raise ChainRefusedError(codes.TRANSACTION_FAILED, "A replacement would cost more than the fee limit.")
        return await self._signed(
            format_address(old.to), old.data, nonce=old.nonce, gas_limit=old.gas_limit, fees=Fees(tip, fee)
        )

    async def broadcast(self, prepared: Prepared) -> None:
        """`eth_sendRawTransaction`. ChainRefusedError: not taken, `abandon` it. ChainUnavailableError: nobody knows."""
        try:
            await self._rpc.call("eth_sendRawTransaction", "0x" + prepared.raw.hex())
        except NodeRefusedError as error:
            words = error.words.lower()
            if not any(known in words for known in _ALREADY_THERE):
                await self._explain_refused_broadcast(prepared, error, words)
        except ChainUnavailableError:
            self._spend(prepared)
            raise
        self._spend(prepared)
        self._sent_us[prepared.transaction_hash] = self._clock.monotonic_us()
        while len(self._sent_us) > _REMEMBERED:
            self._sent_us.popitem(last=False)

    async def abandon(self, prepared: Prepared) -> None:
        """Give the account nonce back. Where later ones are on their way already, fill its place with an empty transfer.

        A transaction of an earlier run, or of a block that was taken back, has no reservation here: its nonce may be free
        again, so the node is asked before the next one goes out.
        """
        if prepared.account_nonce is None:
            return
        if not self._nonces.give_back(prepared.account_nonce):
            self._nonces.resync()
        if self._nonces.gaps:
            await self._fill_gap()

    def was_sent_lately(self, transaction_hash: str) -> bool:
        """Whether the node took it within the last minute, so that it needs not be looked for in the pool."""
        sent_us = self._sent_us.get(transaction_hash)
        return sent_us is not None and self._clock.monotonic_us() - sent_us < SENT_KEPT_US

    def forget_sent(self, transaction_hash: str) -> None:
        """Its block was taken back: look for it again."""
        self._sent_us.pop(transaction_hash, None)

    async def _pending_nonce(self) -> int:
        return await self._rpc.quantity("eth_getTransactionCount", self.address, "pending")

    async def _signed(self, to_address: str, data: bytes, *, nonce: int, gas_limit: int, fees: Fees) -> Prepared:
        raw = await self._custody.sign_transaction(
            EvmTransaction(
                chain_id=self._chain_id,
                nonce=nonce,
                max_priority_fee_per_gas_wei=fees.max_priority_fee_per_gas_wei,
                max_fee_per_gas_wei=fees.max_fee_per_gas_wei,
                gas_limit=gas_limit,
                to_address=to_address,
                value_wei=0,
                data=data,
            )
        )
        return Prepared("0x" + keccak256(raw).hex(), raw, nonce)

    async def _explain_refused_broadcast(self, prepared: Prepared, error: NodeRefusedError, words: str) -> None:
        """Return when the transaction is on the chain after all; raise what the refusal means otherwise."""
        if "nonce too low" in words:
            receipt = await self._rpc.record("eth_getTransactionReceipt", prepared.transaction_hash)
            if receipt is not None:
                return
        if any(known in words for known in _OTHER_TRANSACTION_HOLDS_NONCE):
            self._spend(prepared)  # by another transaction: it must not be handed out again
            self._nonces.resync()
        if any(known in words for known in _NOT_TAKEN):
            raise error
        self._spend(prepared)
        raise ChainUnavailableError(f"The chain's node at {self._rpc.host} neither took nor refused the transaction.")

    async def _fill_gap(self) -> None:
        """Send nothing to ourselves with a nonce that others wait for. On failure the nonce waits for the next payment."""
        filler: Prepared | None = None
        try:
            filler = await self.sign(self.address, b"", gas_limit=_FILLER_GAS)
            await self.broadcast(filler)
        except ChainRefusedError:
            if filler is not None and filler.account_nonce is not None:
                self._nonces.give_back(filler.account_nonce)
        except ChainUnavailableError:
            pass

    def _spend(self, prepared: Prepared) -> None:
        if prepared.account_nonce is not None:
            self._nonces.spend(prepared.account_nonce)


def _bumped(fee_wei: int) -> int:
    return fee_wei + fee_wei // _BUMP_DIVISOR + 1

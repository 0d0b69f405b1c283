"""Finding out by which transaction an authorization was used, when ours failed or vanished.

Anybody may send what a payer signed, so a failed transaction of ours is not the end of the question (x402.md §12 row 4,
§16.5). The contract that burns nonces is asked whether this one is used; the logs say by which transaction. An EIP-3009 token
logs each nonce; Permit2 does not, so the token's transfers between payer and payee are looked through for a transaction that
carries this very permit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from life.aios.json import Json
from life.aios.ports.chain import Settlement
from life.aios.ports.custody import PaymentAuthorization, PermitTransfer, TransferAuthorization
from life.crypto.permit2 import PERMIT2
from life.haima.chain import permit_calls, token_calls
from life.haima.chain.abi import address_topic
from life.haima.chain.json_rpc import JsonRpc, NodeRefusedError, parse_quantity
from life.haima.errors import ChainUnavailableError
from life.haima.x402 import codes

_MAX_CANDIDATES: Final = 200
"""Transfers between one payer and one payee that are looked through for a permit."""


class SettlementSearch:
    """Searches the logs of one chain, newest blocks first."""

    def __init__(self, rpc: JsonRpc, *, window_blocks: int, windows: int) -> None:
        """Logs are searched back over `windows` windows of `window_blocks` (nodes limit the range of one question)."""
        self._rpc = rpc
        self._window_blocks = window_blocks
        self._windows = windows

    async def settled_by_another(
        self, transaction_hash: str, authorization: PaymentAuthorization, *, value_atomic: int | None
    ) -> Settlement | None:
        """Confirmed by whichever transaction used the authorization; reverted when it was canceled; None when unused.

        ChainUnavailableError when it was used or canceled and no log says by what.
        """
        if not await self._is_used(authorization):
            return None
        newest = await self._rpc.quantity("eth_blockNumber")
        for _ in range(self._windows):
            oldest = max(0, newest - self._window_blocks + 1)
            found = await self._in_window(transaction_hash, authorization, value_atomic, oldest, newest)
            if found is not None:
                return found
            if oldest == 0:
                break
            newest = oldest - 1
        raise ChainUnavailableError("The authorization is used or canceled, but no log says by which transaction.")

    async def _is_used(self, authorization: PaymentAuthorization) -> bool:
        if isinstance(authorization, PermitTransfer):
            contract, data = PERMIT2, permit_calls.nonce_bitmap_call(authorization)
        else:
            contract, data = authorization.asset, token_calls.authorization_state_call(authorization)
        try:
            state = await self._rpc.quantity("eth_call", {"to": contract.lower(), "data": "0x" + data.hex()}, "latest")
        except NodeRefusedError:
            return False
        return (
            bool(state & permit_calls.nonce_bit(authorization))
            if isinstance(authorization, PermitTransfer)
            else state != 0
        )

    async def _in_window(
        self,
        transaction_hash: str,
        authorization: PaymentAuthorization,
        value_atomic: int | None,
        oldest: int,
        newest: int,
    ) -> Settlement | None:
        if isinstance(authorization, PermitTransfer):
            return await self._permit_in_window(transaction_hash, authorization, value_atomic, oldest, newest)
        return await self._nonce_in_window(transaction_hash, authorization, oldest, newest)

    async def _nonce_in_window(
        self, transaction_hash: str, authorization: TransferAuthorization, oldest: int, newest: int
    ) -> Settlement | None:
        topics: list[Json] = [
            [token_calls.AUTHORIZATION_USED_TOPIC, token_calls.AUTHORIZATION_CANCELED_TOPIC],
            address_topic(authorization.from_address),
            "0x" + authorization.nonce.hex(),
        ]
        for log in await self._logs(authorization.asset, topics, oldest, newest):
            found = await self._read_use(str(log.get("transactionHash")), authorization, None)
            return found or Settlement("reverted", transaction_hash, reason=codes.NONCE_ALREADY_USED)
        return None

    async def _permit_in_window(
        self, transaction_hash: str, permit: PermitTransfer, value_atomic: int | None, oldest: int, newest: int
    ) -> Settlement | None:
        transfers: list[Json] = [
            token_calls.TRANSFER_TOPIC,
            address_topic(permit.from_address),
            address_topic(permit.to_address),
        ]
        logs = await self._logs(permit.asset, transfers, oldest, newest)
        words = permit_calls.permit_words(permit).hex()
        for log in logs[-_MAX_CANDIDATES:]:
            candidate = str(log.get("transactionHash"))
            transaction = await self._rpc.record("eth_getTransactionByHash", candidate)
            if transaction is not None and words in str(transaction.get("input", "")).lower():
                found = await self._read_use(candidate, permit, value_atomic)
                # An upto permit that was charged with another amount is used up all the same.
                return found or Settlement("reverted", transaction_hash, reason=codes.NONCE_ALREADY_USED)
        invalidations: list[Json] = [permit_calls.UNORDERED_NONCE_TOPIC, address_topic(permit.from_address)]
        for log in await self._logs(PERMIT2, invalidations, oldest, newest):
            if _invalidates(log, permit):
                return Settlement("reverted", transaction_hash, reason=codes.NONCE_ALREADY_USED)
        return None

    async def _logs(self, address: str, topics: list[Json], oldest: int, newest: int) -> list[Mapping[str, Json]]:
        query: dict[str, Json] = {
            "address": address.lower(),
            "topics": topics,
            "fromBlock": hex(oldest),
            "toBlock": hex(newest),
        }
        return list(await self._rpc.records("eth_getLogs", query))

    async def _read_use(
        self, transaction_hash: str, authorization: PaymentAuthorization, value_atomic: int | None
    ) -> Settlement | None:
        receipt = await self._rpc.record("eth_getTransactionReceipt", transaction_hash)
        if receipt is None:
            return None
        settled = read_receipt(receipt, transaction_hash, authorization, value_atomic=value_atomic)
        return settled if settled.state == "confirmed" else None


def read_receipt(
    receipt: Mapping[str, Json],
    transaction_hash: str,
    authorization: PaymentAuthorization,
    *,
    value_atomic: int | None = None,
) -> Settlement:
    """Confirmed or reverted, by status and the exact Transfer log (x402.md §3.1). A receipt of another transaction than
    the one that was asked for, or without block or status, says nothing: ChainUnavailableError."""
    answered = receipt.get("transactionHash")
    if isinstance(answered, str) and answered.lower() != transaction_hash.lower():
        raise ChainUnavailableError("The chain's node gave the receipt of another transaction.")
    try:
        block_number = parse_quantity(receipt.get("blockNumber"))
        succeeded = parse_quantity(receipt.get("status")) == 1
    except ValueError:
        raise ChainUnavailableError("The chain's node gave a receipt without block or status.") from None
    block_hash = receipt.get("blockHash")
    block = block_hash if isinstance(block_hash, str) else None
    if not succeeded:
        return Settlement("reverted", transaction_hash, block_number, codes.TRANSACTION_FAILED, block)
    logs = receipt.get("logs")
    if isinstance(logs, list) and any(token_calls.is_transfer_log(log, authorization, value_atomic) for log in logs):
        return Settlement("confirmed", transaction_hash, block_number, None, block)
    return Settlement("reverted", transaction_hash, block_number, codes.TRANSFER_EVENT_MISMATCH, block)


def _invalidates(log: Mapping[str, Json], permit: PermitTransfer) -> bool:
    """Whether an UnorderedNonceInvalidation burns the permit's nonce: its data are a word's number and a mask."""
    data = log.get("data")
    try:
        raw = bytes.fromhex(str(data).removeprefix("0x"))
    except ValueError:
        return False
    if len(raw) != 64:
        return False
    number, mask = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return number == permit.nonce >> 8 and bool(mask & permit_calls.nonce_bit(permit))

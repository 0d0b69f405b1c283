"""Settlement on an EVM network: EIP-3009 over JSON-RPC, gas paid by an account behind custody.

A payment takes at most five calls: a dry run at verify, a dry run at settle (both `eth_estimateGas`, which also gives the gas
limit), the fees when the kept ones are older than 15 s, the sending, the receipt (x402.md §15). Chain id, the account's
nonce and the token's code are asked once per process.

Confirmed means: the receipt's status is 1 and it holds the exact Transfer. A transaction that failed or vanished is not
the end of the question, because anybody may send a signed authorization: `settlement` then asks the token whether the
authorization was used, and finds the transaction that did it in the logs (x402.md §12 row 4, §16.5).

Sources: EIP-1559, EIP-3009, x402.md §3.1 and §12; error words of geth, reth, erigon and anvil.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, TypeVar

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.ports.chain import Prepared, Refusal, Settlement
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody, EvmTransaction, TransferAuthorization
from life.crypto.address import format_address
from life.crypto.keccak import keccak256
from life.crypto.secp256k1 import is_low_s
from life.haima.chain import token_calls
from life.haima.chain.account_nonces import AccountNonces
from life.haima.chain.fees import FeeOracle
from life.haima.chain.json_rpc import JsonRpc, NodeRefusedError, parse_quantity
from life.haima.errors import ChainRefusedError, ChainUnavailableError
from life.haima.x402 import codes
from life.haima.x402.networks import chain_id_of

GAS_MARGIN: Final = 30_000
"""Added to a quarter more than the estimate: a first transfer to a payee writes one more storage slot."""
SIGN_GAS_LIMIT: Final = 250_000
"""Gas limit when no dry run came before `prepare`."""
SENT_KEPT_US: Final = 60_000_000
"""How long a transaction that the node took counts as pending without being looked up in the pool."""
_REMEMBERED: Final = 4096
_Key = TypeVar("_Key")

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


class EvmChain:
    """An EVM network as a Chain port. One instance per gas account and network; share it.

    The gas account may be used by nobody else at the same time; when it was, the refused broadcast is reported as not
    taken, the account's nonce is asked again, and the next attempt goes through.
    """

    def __init__(
        self,
        rpc: JsonRpc,
        *,
        network: str,
        gas_custody: Custody,
        clock: Clock,
        max_fee_per_gas_wei: int | None = None,
        log_window_blocks: int = 2000,
        log_windows: int = 10,
    ) -> None:
        """`network` is `eip155:<id>`; `gas_custody` must be able to sign transactions. Logs are searched back over
        `log_windows` windows of `log_window_blocks` (nodes limit the range of one question)."""
        self._rpc = rpc
        self._network = network
        self._chain_id = _chain_id(network)
        self._clock = clock
        self._custody = gas_custody
        capabilities = gas_custody.capabilities()
        if capabilities.wallet_address is None or "sign_transaction" not in capabilities.operations:
            raise InvalidInputError("The gas account's custody has no wallet that signs transactions.")
        self._gas_address = format_address(token_calls.address_bytes(capabilities.wallet_address))
        self._nonces = AccountNonces(self._pending_nonce)
        self._fees = FeeOracle(rpc, clock, limit_wei=max_fee_per_gas_wei)
        self._log_window_blocks = log_window_blocks
        self._log_windows = log_windows
        self._checked_chain_id = False
        self._tokens: set[str] = set()
        self._estimates: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._sent_us: OrderedDict[str, int] = OrderedDict()

    @property
    def network(self) -> str:
        """CAIP-2 name."""
        return self._network

    @property
    def gas_address(self) -> str:
        """EIP-55 address of the account that pays gas; `/supported` names it as a signer."""
        return self._gas_address

    async def open(self) -> None:
        """Ask the node for its chain id, and refuse one of another chain. Called by itself before the first use."""
        if not self._checked_chain_id:
            answered = await self._rpc.quantity("eth_chainId")
            if answered != self._chain_id:
                raise InvalidInputError(f"The node at {self._rpc.host} serves chain {answered}, not {self._network}.")
            self._checked_chain_id = True

    async def aclose(self) -> None:
        """Close the connections to the node."""
        await self._rpc.aclose()

    async def check(self, authorization: TransferAuthorization, signature: bytes) -> Refusal | None:
        """Dry run by `eth_estimateGas`. Malleable and malformed signatures are refused without asking the node."""
        refusal = self._offline_refusal(authorization, signature)
        if refusal is not None:
            return refusal
        await self.open()
        if not await self._is_token(authorization.asset):
            return Refusal(codes.ASSET_NOT_DEPLOYED, "The asset is no contract on this network.")
        call = self._call(authorization.asset, token_calls.transfer_call(authorization, signature))
        try:
            gas = await self._rpc.quantity("eth_estimateGas", call)
        except NodeRefusedError as error:
            return _refusal(error)
        _remember(self._estimates, (authorization.from_address.lower(), authorization.nonce), gas)
        return None

    async def prepare(self, authorization: TransferAuthorization, signature: bytes) -> Prepared:
        """Sign the settling transaction with the next account nonce."""
        refusal = self._offline_refusal(authorization, signature)
        if refusal is not None:
            raise ChainRefusedError(refusal.code, refusal.message)
        await self.open()
        fees = await self._fees.fees()
        estimate = self._estimates.get((authorization.from_address.lower(), authorization.nonce))
        gas_limit = SIGN_GAS_LIMIT if estimate is None else estimate + estimate // 4 + GAS_MARGIN
        return await self._sign(
            format_address(token_calls.address_bytes(authorization.asset)),
            token_calls.transfer_call(authorization, signature),
            gas_limit=gas_limit,
            priority_fee_wei=fees.max_priority_fee_per_gas_wei,
            fee_wei=fees.max_fee_per_gas_wei,
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
        _remember(self._sent_us, prepared.transaction_hash, self._clock.monotonic_us())

    async def abandon(self, prepared: Prepared) -> None:
        """Give the account nonce back. Where later ones are on their way already, fill its place with an empty transfer."""
        if prepared.account_nonce is None:
            return
        self._nonces.give_back(prepared.account_nonce)
        if self._nonces.gaps:
            await self._fill_gap()

    async def settlement(self, transaction_hash: str, authorization: TransferAuthorization) -> Settlement:
        """The receipt's word, or that of the token's own records when the transaction failed or is not to be found."""
        receipt = await self._rpc.record("eth_getTransactionReceipt", transaction_hash)
        if receipt is None and self._was_sent_lately(transaction_hash):
            return Settlement("pending", transaction_hash)
        if receipt is not None:
            settled = _read_receipt(receipt, transaction_hash, authorization)
            if settled.state == "confirmed":
                return settled
            if settled.reason == codes.TRANSFER_EVENT_MISMATCH:
                return settled
            return await self._settled_by_another(transaction_hash, authorization) or settled
        if await self._rpc.record("eth_getTransactionByHash", transaction_hash) is not None:
            return Settlement("pending", transaction_hash)
        return await self._settled_by_another(transaction_hash, authorization) or Settlement(
            "not_found", transaction_hash
        )

    # ---- dry run

    def _offline_refusal(self, authorization: TransferAuthorization, signature: bytes) -> Refusal | None:
        if authorization.network != self._network:
            return Refusal(codes.NETWORK_MISMATCH, f"This chain is {self._network}.")
        if len(signature) != 65 or signature[64] not in (0, 1, 27, 28) or not is_low_s(signature):
            return Refusal(codes.INVALID_SIGNATURE, "The signature is not 65 bytes r, s, v with a low s.")
        return None

    async def _is_token(self, asset: str) -> bool:
        """Whether the asset has code; a call to an address without code succeeds and moves nothing."""
        lowered = asset.lower()
        if lowered not in self._tokens:
            code = await self._rpc.text("eth_getCode", lowered, "latest")
            if len(code) <= 2:
                return False
            self._tokens.add(lowered)
        return True

    def _call(self, asset: str, data: bytes) -> dict[str, Json]:
        return {"from": self._gas_address, "to": asset.lower(), "data": "0x" + data.hex()}

    # ---- sending

    async def _pending_nonce(self) -> int:
        return await self._rpc.quantity("eth_getTransactionCount", self._gas_address, "pending")

    async def _sign(
        self, to_address: str, data: bytes, *, gas_limit: int, priority_fee_wei: int, fee_wei: int
    ) -> Prepared:
        nonce = await self._nonces.reserve()
        try:
            raw = await self._custody.sign_transaction(
                EvmTransaction(
                    chain_id=self._chain_id,
                    nonce=nonce,
                    max_priority_fee_per_gas_wei=priority_fee_wei,
                    max_fee_per_gas_wei=fee_wei,
                    gas_limit=gas_limit,
                    to_address=to_address,
                    value_wei=0,
                    data=data,
                )
            )
        except BaseException:
            self._nonces.give_back(nonce)
            raise
        return Prepared("0x" + keccak256(raw).hex(), raw, nonce)

    async def _explain_refused_broadcast(self, prepared: Prepared, error: NodeRefusedError, words: str) -> None:
        """Return when the transaction is on the chain after all; raise what the refusal means otherwise."""
        if "nonce too low" in words:
            receipt = await self._rpc.record("eth_getTransactionReceipt", prepared.transaction_hash)
            if receipt is not None:
                return
        if any(known in words for known in _OTHER_TRANSACTION_HOLDS_NONCE):
            self._spend(prepared)  # by somebody else: it must not be handed out again
            self._nonces.resync()
        if any(known in words for known in _NOT_TAKEN):
            raise error
        self._spend(prepared)
        raise ChainUnavailableError(f"The chain's node at {self._rpc.host} neither took nor refused the transaction.")

    async def _fill_gap(self) -> None:
        """Send nothing to ourselves with a nonce that others wait for. On failure the nonce waits for the next payment."""
        filler: Prepared | None = None
        try:
            fees = await self._fees.fees()
            filler = await self._sign(
                self._gas_address,
                b"",
                gas_limit=21_000,
                priority_fee_wei=fees.max_priority_fee_per_gas_wei,
                fee_wei=fees.max_fee_per_gas_wei,
            )
            await self.broadcast(filler)
        except ChainRefusedError:
            if filler is not None and filler.account_nonce is not None:
                self._nonces.give_back(filler.account_nonce)
        except ChainUnavailableError:
            pass

    def _spend(self, prepared: Prepared) -> None:
        if prepared.account_nonce is not None:
            self._nonces.spend(prepared.account_nonce)

    # ---- finding out

    def _was_sent_lately(self, transaction_hash: str) -> bool:
        sent_us = self._sent_us.get(transaction_hash)
        return sent_us is not None and self._clock.monotonic_us() - sent_us < SENT_KEPT_US

    async def _settled_by_another(
        self, transaction_hash: str, authorization: TransferAuthorization
    ) -> Settlement | None:
        """Confirmed by whichever transaction used the authorization; reverted when it was canceled; None when unused."""
        call = self._call(authorization.asset, token_calls.authorization_state_call(authorization))
        try:
            state = await self._rpc.quantity("eth_call", call, "latest")
        except NodeRefusedError:
            return None
        if state == 0:
            return None
        found = await self._find_end(transaction_hash, authorization)
        if found is None:
            raise ChainUnavailableError("The authorization is used or canceled, but no log says by which transaction.")
        return found

    async def _find_end(self, transaction_hash: str, authorization: TransferAuthorization) -> Settlement | None:
        """The log that used or canceled the nonce, newest blocks first."""
        newest = await self._rpc.quantity("eth_blockNumber")
        topics: list[Json] = [
            [token_calls.AUTHORIZATION_USED_TOPIC, token_calls.AUTHORIZATION_CANCELED_TOPIC],
            token_calls.address_topic(authorization.from_address),
            "0x" + authorization.nonce.hex(),
        ]
        for _ in range(self._log_windows):
            oldest = max(0, newest - self._log_window_blocks + 1)
            logs = await self._rpc.records(
                "eth_getLogs",
                {
                    "address": authorization.asset.lower(),
                    "topics": topics,
                    "fromBlock": hex(oldest),
                    "toBlock": hex(newest),
                },
            )
            for log in logs:
                found = await self._read_use(str(log.get("transactionHash")), authorization)
                return found or Settlement("reverted", transaction_hash, reason=codes.NONCE_ALREADY_USED)
            if oldest == 0:
                return None
            newest = oldest - 1
        return None

    async def _read_use(self, transaction_hash: str, authorization: TransferAuthorization) -> Settlement | None:
        receipt = await self._rpc.record("eth_getTransactionReceipt", transaction_hash)
        if receipt is None:
            return None
        settled = _read_receipt(receipt, transaction_hash, authorization)
        return settled if settled.state == "confirmed" else None


def _chain_id(network: str) -> int:
    chain_id = chain_id_of(network)
    if chain_id is None:
        raise InvalidInputError(f"{network} is no EVM network; it must look like eip155:8453.")
    return chain_id


def _refusal(error: NodeRefusedError) -> Refusal:
    """The refusal behind a failed dry run; an error that is no revert says nothing of the payment and is raised again."""
    is_revert = error.rpc_code == 3 or bool(error.revert_data) or "revert" in error.words.lower()
    if not is_revert:
        raise ChainUnavailableError(f"The dry run could not be made: {error.words}")
    reason = token_calls.revert_reason(error.revert_data, error.words)
    return Refusal(token_calls.refusal_code(reason), reason)


def _read_receipt(
    receipt: Mapping[str, Json], transaction_hash: str, authorization: TransferAuthorization
) -> Settlement:
    """Confirmed or reverted, by status and the exact Transfer log (x402.md §3.1)."""
    try:
        block_number = parse_quantity(receipt.get("blockNumber"))
        succeeded = parse_quantity(receipt.get("status")) == 1
    except ValueError:
        raise ChainUnavailableError("The chain's node gave a receipt without block or status.") from None
    if not succeeded:
        return Settlement("reverted", transaction_hash, block_number, codes.TRANSACTION_FAILED)
    logs = receipt.get("logs")
    if isinstance(logs, list) and any(token_calls.is_transfer_log(log, authorization) for log in logs):
        return Settlement("confirmed", transaction_hash, block_number)
    return Settlement("reverted", transaction_hash, block_number, codes.TRANSFER_EVENT_MISMATCH)


def _remember(kept: OrderedDict[_Key, int], key: _Key, value: int) -> None:
    """Keep the newest few thousand."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)

"""Settlement on an EVM network over JSON-RPC, gas paid by an account behind custody.

    EIP-3009    transferWithAuthorization of the token
    Permit2     settle, or with an EIP-2612 permit settleWithPermit, of x402's exact or upto proxy

A payment takes at most five calls: a dry run at verify, a dry run at settle (both `eth_estimateGas`, which also gives the gas
limit), the fees when the kept ones are older than 15 s, the sending, the receipt (x402.md §15). Chain id, the account's
nonce and the token's code are asked once per process; a signature that is not the payer's own key's costs one call more.

Confirmed means: the receipt's status is 1 and it holds the exact Transfer, under as many blocks as are asked for. A
transaction that failed or vanished is not the end of the question; see `settlement_search`.

Sources: EIP-1559, EIP-3009, Permit2, x402.md §3 and §12.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.ports.chain import Prepared, Refusal, Settlement, SignedPermit, Standing
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody, PaymentAuthorization, PermitTransfer
from life.crypto.address import format_address
from life.crypto.secp256k1 import is_low_s
from life.haima.chain import permit_calls, token_calls
from life.haima.chain.abi import address_bytes
from life.haima.chain.block_watch import BlockWatch
from life.haima.chain.fees import FeeOracle
from life.haima.chain.gas_account import GasAccount
from life.haima.chain.json_rpc import JsonRpc, NodeRefusedError
from life.haima.chain.payer_code import MULTICALL3, PayerCode, PayerSignature, deploy_and_call
from life.haima.chain.settlement_search import SettlementSearch, read_receipt
from life.haima.errors import ChainRefusedError, ChainUnavailableError
from life.haima.x402 import codes
from life.haima.x402.authorization import claim_key
from life.haima.x402.networks import chain_id_of

GAS_MARGIN: Final = 30_000
"""Added to a quarter more than the estimate: a first transfer to a payee writes one more storage slot."""
SIGN_GAS_LIMIT: Final = 250_000
"""Gas limit when no dry run came before `prepare`."""
MAX_GAS: Final = 1_000_000
"""No settlement may need more: a payer that is a contract decides how much gas its signature check burns."""
CONFIRMATIONS: Final = 1
FINAL_DEPTH: Final = 12
_REMEMBERED: Final = 4096


class _Call(NamedTuple):
    """One call of a contract."""

    to: str
    data: bytes


class EvmChain:
    """An EVM network as a PublicChain port. One instance per gas account and network; share it.

    The gas account may be used by nobody else at the same time; see `GasAccount`.
    """

    def __init__(
        self,
        rpc: JsonRpc,
        *,
        network: str,
        gas_custody: Custody,
        clock: Clock,
        max_fee_per_gas_wei: int | None = None,
        confirmations: int = CONFIRMATIONS,
        final_depth: int = FINAL_DEPTH,
        wallet_factories: Iterable[str] = (),
        log_window_blocks: int = 2000,
        log_windows: int = 10,
    ) -> None:
        """`network` is `eip155:<id>`; `gas_custody` must be able to sign transactions.

        A settlement is confirmed in a block with `confirmations` - 1 blocks on top, and watched until there are
        `final_depth`. `wallet_factories` may deploy payers' wallets (ERC-6492). Logs are searched back over `log_windows`
        windows of `log_window_blocks` (nodes limit the range of one question).
        """
        chain_id = chain_id_of(network)
        if chain_id is None:
            raise InvalidInputError(f"{network} is no EVM network; it must look like eip155:8453.")
        if confirmations < 1:
            raise InvalidInputError("A settlement needs at least one confirmation.")
        self._rpc = rpc
        self._network = network
        self._chain_id = chain_id
        self._confirmations = confirmations
        self._account = GasAccount(
            rpc, FeeOracle(rpc, clock, limit_wei=max_fee_per_gas_wei), gas_custody, clock, chain_id=chain_id
        )
        self._payers = PayerCode(rpc, clock, factories=wallet_factories)
        self._blocks = BlockWatch(rpc, clock, final_depth=max(final_depth, confirmations))
        self._search = SettlementSearch(rpc, window_blocks=log_window_blocks, windows=log_windows)
        self._checked_chain_id = False
        self._tokens: set[str] = set()
        self._estimates: OrderedDict[tuple[str, int | None], int] = OrderedDict()

    @property
    def network(self) -> str:
        """CAIP-2 name."""
        return self._network

    @property
    def gas_address(self) -> str:
        """EIP-55 address of the account that pays gas; `/supported` names it as a signer."""
        return self._account.address

    @property
    def settler(self) -> str:
        """The gas account: the facilitator that an `upto` payment must name."""
        return self._account.address

    async def gas_balance_wei(self) -> int:
        """What the gas account has left."""
        return await self._account.balance_wei()

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

    # ---- the port

    async def check(
        self,
        authorization: PaymentAuthorization,
        signature: bytes,
        *,
        value_atomic: int | None = None,
        permit: SignedPermit | None = None,
    ) -> Refusal | None:
        """Dry run by `eth_estimateGas`. Malleable signatures are refused without asking the node."""
        refusal = self._offline_refusal(authorization, signature)
        if refusal is not None:
            return refusal
        await self.open()
        shown = await self._payers.read(authorization, signature)
        if isinstance(shown, Refusal):
            return shown
        if not await self._is_token(authorization.asset):
            return Refusal(codes.ASSET_NOT_DEPLOYED, "The asset is no contract on this network.")
        permit = await self._needed(authorization, permit, value_atomic)
        call = _settling_call(authorization, shown, value_atomic, permit)
        try:
            gas = await self._rpc.quantity("eth_estimateGas", self._as_json(call))
        except NodeRefusedError as error:
            return await self._explain_revert(error, authorization, value_atomic, shown)
        if gas > MAX_GAS:
            return Refusal(codes.SIMULATION_FAILED, f"Settling this would take {gas} gas, more than {MAX_GAS}.")
        self._estimates[claim_key(authorization), value_atomic] = gas
        while len(self._estimates) > _REMEMBERED:
            self._estimates.popitem(last=False)
        return None

    async def prepare(
        self,
        authorization: PaymentAuthorization,
        signature: bytes,
        *,
        value_atomic: int | None = None,
        permit: SignedPermit | None = None,
    ) -> Prepared:
        """Sign the settling transaction with the next account nonce."""
        refusal = self._offline_refusal(authorization, signature)
        if refusal is not None:
            raise ChainRefusedError(refusal.code, refusal.message)
        await self.open()
        shown = await self._payers.read(authorization, signature)
        if isinstance(shown, Refusal):
            raise ChainRefusedError(shown.code, shown.message)
        permit = await self._needed(authorization, permit, value_atomic)
        call = _settling_call(authorization, shown, value_atomic, permit)
        estimate = self._estimates.get((claim_key(authorization), value_atomic))
        gas_limit = SIGN_GAS_LIMIT if estimate is None else estimate + estimate // 4 + GAS_MARGIN
        return await self._account.sign(call.to, call.data, gas_limit=gas_limit)

    async def broadcast(self, prepared: Prepared) -> None:
        """`eth_sendRawTransaction`. ChainRefusedError: not taken, `abandon` it. ChainUnavailableError: nobody knows."""
        await self._account.broadcast(prepared)

    async def abandon(self, prepared: Prepared) -> None:
        """Give the account nonce back. Where later ones are on their way already, fill its place with an empty transfer."""
        await self._account.abandon(prepared)

    async def reprice(self, prepared: Prepared) -> Prepared:
        """The same transaction for fees an eighth higher, or the current ones where those are above."""
        return await self._account.replacement(prepared)

    async def settlement(
        self, transaction_hash: str, authorization: PaymentAuthorization, *, value_atomic: int | None = None
    ) -> Settlement:
        """The receipt's word, or that of the token's own records when the transaction failed or is not to be found."""
        receipt = await self._rpc.record("eth_getTransactionReceipt", transaction_hash)
        if receipt is None and self._account.was_sent_lately(transaction_hash):
            return Settlement("pending", transaction_hash)
        if receipt is not None:
            settled = read_receipt(receipt, transaction_hash, authorization, value_atomic=value_atomic)
            if settled.state == "confirmed" or settled.reason == codes.TRANSFER_EVENT_MISMATCH:
                return await self._once_deep_enough(settled)
            other = await self._search.settled_by_another(transaction_hash, authorization, value_atomic=value_atomic)
            return await self._once_deep_enough(other or settled)
        if await self._rpc.record("eth_getTransactionByHash", transaction_hash) is not None:
            return Settlement("pending", transaction_hash)
        other = await self._search.settled_by_another(transaction_hash, authorization, value_atomic=value_atomic)
        return Settlement("not_found", transaction_hash) if other is None else await self._once_deep_enough(other)

    async def standing(self, settlement: Settlement) -> Standing:
        """Whether a confirmed settlement's block is still the one that stands at its height."""
        standing = await self._blocks.standing(settlement)
        if standing == "gone":
            self._account.forget_sent(settlement.transaction_hash)
        return standing

    # ---- dry run

    def _offline_refusal(self, authorization: PaymentAuthorization, signature: bytes) -> Refusal | None:
        if authorization.network != self._network:
            return Refusal(codes.NETWORK_MISMATCH, f"This chain is {self._network}.")
        if not signature or (len(signature) == 65 and not is_low_s(signature)):
            is_permit = isinstance(authorization, PermitTransfer)
            code = codes.PERMIT2_INVALID_SIGNATURE if is_permit else codes.INVALID_SIGNATURE
            return Refusal(code, "The signature is empty or has a high s.")
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

    async def _needed(
        self, authorization: PaymentAuthorization, permit: SignedPermit | None, value_atomic: int | None
    ) -> SignedPermit | None:
        """The EIP-2612 permit, unless Permit2 has the allowance already: then it would only cost gas."""
        if permit is None or not isinstance(authorization, PermitTransfer):
            return None
        value = authorization.value_atomic if value_atomic is None else value_atomic
        has = await self._read(authorization.asset, permit_calls.permit2_allowance_call(authorization.from_address))
        return None if has >= value else permit

    async def _explain_revert(
        self,
        error: NodeRefusedError,
        authorization: PaymentAuthorization,
        value_atomic: int | None,
        shown: PayerSignature,
    ) -> Refusal:
        """The refusal behind a failed dry run; an error that is no revert says nothing of the payment and is raised again."""
        is_revert = error.rpc_code == 3 or bool(error.revert_data) or "revert" in error.words.lower()
        if not is_revert:
            raise ChainUnavailableError(f"The dry run could not be made: {error.words}")
        known = permit_calls.known_error(error.revert_data)
        if known is not None:
            return Refusal(known[1], known[0])
        reason = token_calls.revert_reason(error.revert_data, error.words)
        code = token_calls.refusal_code(reason)
        if isinstance(authorization, PermitTransfer):
            return await self._explain_pull(authorization, value_atomic, reason)
        if code == codes.SIMULATION_FAILED and shown.deployment is not None:
            held = await self._read(authorization.asset, permit_calls.balance_call(authorization.from_address))
            if held < authorization.value_atomic:
                return Refusal(codes.INSUFFICIENT_BALANCE, "The payer holds too little.")
        return Refusal(code, reason)

    async def _explain_pull(self, permit: PermitTransfer, value_atomic: int | None, reason: str) -> Refusal:
        """Why Permit2 could not pull the tokens: no allowance, too little money, or what the token said."""
        value = permit.value_atomic if value_atomic is None else value_atomic
        if await self._read(permit.asset, permit_calls.permit2_allowance_call(permit.from_address)) < value:
            return Refusal(codes.PERMIT2_ALLOWANCE_REQUIRED, "Permit2 has no allowance that covers this payment.")
        if await self._read(permit.asset, permit_calls.balance_call(permit.from_address)) < value:
            is_upto = permit.facilitator is not None
            code = codes.PERMIT2_INSUFFICIENT_BALANCE if is_upto else codes.INSUFFICIENT_BALANCE
            return Refusal(code, "The payer holds too little.")
        return Refusal(codes.SIMULATION_FAILED, reason)

    async def _read(self, contract: str, data: bytes) -> int:
        """A view function's number; 0 where the contract refuses to say."""
        try:
            answer = await self._rpc.text("eth_call", self._as_json(_Call(contract, data)), "latest")
        except NodeRefusedError:
            return 0
        try:
            return int(answer, 16) if len(answer) > 2 else 0
        except ValueError:
            raise ChainUnavailableError(f"The chain's node at {self._rpc.host} gave no number.") from None

    def _as_json(self, call: _Call) -> dict[str, Json]:
        return {"from": self._account.address, "to": call.to.lower(), "data": "0x" + call.data.hex()}

    async def _once_deep_enough(self, settled: Settlement) -> Settlement:
        """Pending until enough blocks stand on top of it."""
        if self._confirmations == 1 or settled.block_number is None:
            return settled
        depth = await self._blocks.head() - settled.block_number + 1
        return settled if depth >= self._confirmations else Settlement("pending", settled.transaction_hash)


def _settling_call(
    authorization: PaymentAuthorization, shown: PayerSignature, value_atomic: int | None, permit: SignedPermit | None
) -> _Call:
    """The one call that moves the money, with the payer's wallet deployed before where it has to be."""
    if isinstance(authorization, PermitTransfer):
        to = authorization.spender
        data = permit_calls.settle_call(authorization, shown.signature, value_atomic=value_atomic, allowance=permit)
    else:
        to, data = authorization.asset, token_calls.transfer_call(authorization, shown.signature)
    to = format_address(address_bytes(to))
    if shown.deployment is not None:
        return _Call(MULTICALL3, deploy_and_call(shown.deployment, to, data))
    return _Call(to, data)

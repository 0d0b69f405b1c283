"""The few calls of a Solana node that payments need (JSON-RPC, commitment `confirmed`).

Errors are those of `JsonRpc`: NodeRefusedError when the node understood and says no, ChainUnavailableError for everything else.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

from life.aios.json import Json
from life.haima.chain.json_rpc import JsonRpc, NodeRefusedError
from life.haima.errors import ChainUnavailableError

_CONFIRMED: Final[dict[str, Json]] = {"commitment": "confirmed"}
_MINT_BYTES: Final = 82
_DECIMALS_AT: Final = 44


class Blockhash(NamedTuple):
    """A recent block, and until which height a transaction over it is taken."""

    hash: str
    last_valid_block_height: int
    slot: int
    """The chain's newest slot when the node answered."""


class Status(NamedTuple):
    """What the chain says of a transaction."""

    slot: int
    error: str | None
    """None when it was executed without one."""
    is_confirmed: bool


class Mint(NamedTuple):
    """A token."""

    program: str
    decimals: int


class Signed(NamedTuple):
    """One transaction in an account's history."""

    transaction: str
    """Its id."""
    slot: int
    failed: bool
    """Executed with an error: it moved nothing and never will."""
    memo: str | None = None
    """Its memos, as the node tells them; None when it has none, or the node does not say."""


class SolanaRpc:
    """One node."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc

    @property
    def host(self) -> str:
        """What messages may show of its address."""
        return self._rpc.host

    async def network(self) -> str:
        """Which network it serves, as CAIP-2 names it: by the first 32 characters of the genesis hash."""
        return f"solana:{(await self._rpc.text('getGenesisHash'))[:32]}"

    async def balance_lamports(self, address: str) -> int:
        """What an account holds of the chain's own coin, in lamports."""
        value = await self._value("getBalance", address, dict(_CONFIRMED))
        if not isinstance(value, int):
            raise self._odd("getBalance")
        return value

    async def first_slot(self) -> int:
        """The oldest slot that the node still holds."""
        slot = await self._rpc.call("getFirstAvailableBlock")
        if not isinstance(slot, int):
            raise self._odd("getFirstAvailableBlock")
        return slot

    async def history(self, address: str, *, before: str | None = None, limit: int = 1_000) -> tuple[Signed, ...]:
        """Transactions that name an account, newest first, older than `before`."""
        options: dict[str, Json] = {"limit": limit, **_CONFIRMED}
        if before is not None:
            options["before"] = before
        answer = await self._rpc.call("getSignaturesForAddress", address, options)
        if not isinstance(answer, list):
            raise self._odd("getSignaturesForAddress")
        found = []
        for each in answer:
            if not isinstance(each, dict):
                raise self._odd("getSignaturesForAddress")
            name, slot = each.get("signature"), each.get("slot")
            if not isinstance(name, str) or not isinstance(slot, int):
                raise self._odd("getSignaturesForAddress")
            memo = each.get("memo")
            found.append(Signed(name, slot, each.get("err") is not None, memo if isinstance(memo, str) else None))
        return tuple(found)

    async def transaction(self, name: str) -> bytes:
        """The bytes of an executed transaction."""
        options: dict[str, Json] = {"encoding": "base64", "maxSupportedTransactionVersion": 0, **_CONFIRMED}
        answer = await self._rpc.record("getTransaction", name, options)
        content = None if answer is None else answer.get("transaction")
        if isinstance(content, list) and content and isinstance(content[0], str):
            try:
                return base64.b64decode(content[0], validate=True)
            except (binascii.Error, ValueError):
                pass
        raise self._odd("getTransaction")

    async def latest_blockhash(self) -> Blockhash:
        """A block to build on."""
        answer = await self._rpc.record("getLatestBlockhash", dict(_CONFIRMED)) or {}
        value, context = answer.get("value"), answer.get("context")
        if isinstance(value, dict) and isinstance(context, dict):
            made, height, slot = value.get("blockhash"), value.get("lastValidBlockHeight"), context.get("slot")
            if isinstance(made, str) and isinstance(height, int) and isinstance(slot, int):
                return Blockhash(made, height, slot)
        raise self._odd("getLatestBlockhash")

    async def block_height(self) -> int:
        """The chain's height."""
        height = await self._rpc.call("getBlockHeight", dict(_CONFIRMED))
        if not isinstance(height, int):
            raise self._odd("getBlockHeight")
        return height

    async def mint(self, address: str) -> Mint:
        """A token's program and decimals; NodeRefusedError when the address is no token."""
        value = await self._value("getAccountInfo", address, {"encoding": "base64", **_CONFIRMED})
        if isinstance(value, dict):
            program, data = value.get("owner"), value.get("data")
            if isinstance(program, str) and isinstance(data, list) and data and isinstance(data[0], str):
                try:
                    content = base64.b64decode(data[0], validate=True)
                except (binascii.Error, ValueError):
                    content = b""
                if len(content) >= _MINT_BYTES:
                    return Mint(program, content[_DECIMALS_AT])
        raise NodeRefusedError("getAccountInfo", "there is no token at this address")

    async def simulate(self, raw: bytes) -> str | None:
        """Run a signed transaction without keeping what it does; the error's words, None when it would go through."""
        options: dict[str, Json] = {"encoding": "base64", "sigVerify": True, **_CONFIRMED}
        value = await self._value("simulateTransaction", base64.b64encode(raw).decode(), options)
        if not isinstance(value, dict):
            raise self._odd("simulateTransaction")
        error = value.get("err")
        return None if error is None else str(error)[:200]

    async def send(self, raw: bytes) -> str:
        """Hand a signed transaction over; its id. The same bytes may be sent again: they are executed once."""
        options: dict[str, Json] = {"encoding": "base64", "skipPreflight": True, "maxRetries": 3}
        return await self._rpc.text("sendTransaction", base64.b64encode(raw).decode(), options)

    async def status(self, transaction: str) -> Status | None:
        """What became of a transaction; None when the chain does not know it."""
        value = await self._value("getSignatureStatuses", [transaction], {"searchTransactionHistory": True})
        if not isinstance(value, list) or len(value) != 1:
            raise self._odd("getSignatureStatuses")
        found = value[0]
        if found is None:
            return None
        if not isinstance(found, dict) or not isinstance(found.get("slot"), int):
            raise self._odd("getSignatureStatuses")
        slot, error = found["slot"], found.get("err")
        assert isinstance(slot, int)
        confirmed = found.get("confirmationStatus") in ("confirmed", "finalized")
        return Status(slot, None if error is None else str(error)[:200], confirmed)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._rpc.aclose()

    async def _value(self, method: str, *params: Json) -> Json:
        answer = await self._rpc.record(method, *params)
        if answer is None or "value" not in answer:
            raise self._odd(method)
        return answer["value"]

    def _odd(self, method: str) -> ChainUnavailableError:
        return ChainUnavailableError(f"The chain's node at {self._rpc.host} gave an odd answer to {method}.")

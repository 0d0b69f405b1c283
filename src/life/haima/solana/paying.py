"""The payer's side of Solana: transactions made to be reserved, signed as they were reserved, and looked for on the chain.

A payment's transaction is made whole before anything is written: over a block of the chain, with a memo of its own where the
seller has none. The reservation holds it, so whatever happens later leads to this very transaction and to no second one; the
chain executes it once, and not at all when its block is too old.

What became of it is told by the payer's own history, because its id is the fee payer's signature, which the payer may never
see. That it will not land is said only when the chain is past the transaction's last block by a margin (indexes lag), the node
holds the history back to where the transaction was made, and none of the transactions in it has this message. A clock proves
nothing here: a chain that stands still takes old blocks when it goes on.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from life.aios.errors import CustodyError
from life.aios.ports.chain import AuthorizationState
from life.crypto.errors import InvalidTransactionError
from life.crypto.solana_transfer import TokenTransfer, message_hash_of, read_transfer, with_signature
from life.haima.errors import ChainError, ChainUnavailableError, NoAcceptableTermsError, PaymentRefusedError
from life.haima.events import PaymentReserved
from life.haima.solana import exact
from life.haima.solana.facilitator import SolanaSigner, check_network
from life.haima.solana.rpc import Mint, SolanaRpc
from life.haima.transfer_account import PreparedTransfer
from life.haima.x402.wire import PaymentRequirements

LAG_BLOCKS: Final = 32
"""How far past a transaction's last block the chain must be before its absence counts."""
_LAG_SLOTS: Final = 150
_PAGE: Final = 1_000
_PAGES: Final = 10
_MINTS: Final = 64
_MAX_READ: Final = 256
"""How many transactions are read in one look. Those whose memo is another one need no reading."""


class SolanaAccount:
    """A wallet and a node on one network (life.haima.transfer_account.TransferAccount). The caller closes both."""

    def __init__(self, signer: SolanaSigner, rpc: SolanaRpc, *, network: str) -> None:
        self.network = network
        self.address = signer.address
        self._signer = signer
        self._rpc = rpc
        self._mints: dict[str, Mint] = {}

    async def open(self) -> None:
        """InvalidInputError when the node serves another network; ChainError when it does not say."""
        await check_network(self._rpc, self.network)

    async def prepare(
        self, requirements: PaymentRequirements, *, memo: bytes, decimals: int | None
    ) -> PreparedTransfer:
        """See TransferAccount."""
        mint = self._mints.get(requirements.asset)
        if mint is None:
            mint = await self._rpc.mint(requirements.asset)
        if decimals is not None and mint.decimals != decimals:
            raise ChainUnavailableError(f"The node at {self._rpc.host} says odd things of a token that is known.")
        if len(self._mints) < _MINTS:
            self._mints[requirements.asset] = mint  # what it says of itself never changes
        block = await self._rpc.latest_blockhash()
        try:
            made = exact.build_payment(
                requirements,
                payer=self.address,
                token_program=mint.program,
                decimals=mint.decimals,
                blockhash=block.hash,
                memo=memo,
            )
        except PaymentRefusedError as error:
            raise NoAcceptableTermsError(
                f"The resource wants money on terms that can't be paid: {error.message}"
            ) from None
        return PreparedTransfer(
            exact.encode_transfer(made),
            made.message_hash,
            made.fee_payer,
            block.last_valid_block_height,
            max(0, block.slot - _LAG_SLOTS),
        )

    async def sign(self, transaction: str) -> bytes:
        """See TransferAccount."""
        return await self._signer.sign_transfer(_read(transaction))

    async def state(self, reserved: PaymentReserved) -> AuthorizationState:
        """See TransferAccount."""
        return await payment_state(self._rpc, reserved)


def signed_transaction(reserved: PaymentReserved, signature: bytes) -> str:
    """The reserved transaction with the payer's signature, base64, as the payload carries it. CustodyError for a signature
    that is not the wallet's over this transaction."""
    assert reserved.transaction is not None
    try:
        return exact.encode_transfer(with_signature(_read(reserved.transaction), reserved.wallet, signature))
    except InvalidTransactionError as error:
        raise CustodyError(f"Custody gave a signature that is none: {error}.") from None


async def payment_state(rpc: SolanaRpc, reserved: PaymentReserved) -> AuthorizationState:
    """Whether a payment was executed: `used`, `unused` (it was not and never will be), or `unknown`. Never raises for what
    the node does."""
    if reserved.transaction is None or reserved.last_valid_block_height is None or reserved.from_slot is None:
        return "unknown"
    transfer = _read(reserved.transaction)
    wanted, memos = transfer.message_hash, [memo.decode("utf-8", "replace") for memo in transfer.memos]
    try:
        # The height is asked first: what lands in between is then found in the history.
        height = await rpc.block_height()
        complete = False
        before: str | None = None
        read = 0
        for _ in range(_PAGES):
            page = await rpc.history(reserved.wallet, before=before, limit=_PAGE)
            for each in page:
                if each.slot < reserved.from_slot:
                    complete = True
                    break
                if each.memo is not None and any(memo not in each.memo for memo in memos):
                    continue
                read += 1
                if read > _MAX_READ:
                    return "unknown"
                if message_hash_of(await rpc.transaction(each.transaction)) == wanted:
                    return "unused" if each.failed else "used"
            complete = complete or len(page) < _PAGE
            if complete:
                break
            before = page[-1].transaction
        if not complete or height <= reserved.last_valid_block_height + LAG_BLOCKS:
            return "unknown"
        return "unused" if await rpc.first_slot() <= reserved.from_slot else "unknown"
    except ChainError:
        return "unknown"


def _read(transaction: str) -> TokenTransfer:
    try:
        return read_transfer(base64.b64decode(transaction, validate=True))
    except (InvalidTransactionError, binascii.Error, ValueError):
        raise NoAcceptableTermsError("The reserved transaction can't be read.") from None

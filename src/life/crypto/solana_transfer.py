"""A token transfer on Solana as x402 pays with it: made, taken apart and checked, without a chain (x402.md §3.6).

The transaction is a version 0 message whose fee payer is somebody else (the facilitator), with these instructions in order:

    SetComputeUnitLimit    SetComputeUnitPrice    TransferChecked    then at most three of Memo and Lighthouse

`read_transfer` refuses every other shape, so whoever signs or settles what it accepts moves exactly one amount of one token
from one owner to one account. Lookup tables are refused: they would hide accounts. Amounts are atomic units; addresses base58.

Needs the extra `solana` (solders).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from solders.hash import Hash
from solders.instruction import AccountMeta, CompiledInstruction, Instruction
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from life.crypto.errors import InvalidTransactionError

TOKEN_PROGRAM: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 (a program's address)
TOKEN_2022_PROGRAM: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105
ASSOCIATED_TOKEN_PROGRAM: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"  # noqa: S105
COMPUTE_BUDGET_PROGRAM: Final = "ComputeBudget111111111111111111111111111111"
MEMO_PROGRAM: Final = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
LIGHTHOUSE_PROGRAM: Final = "L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95"

COMPUTE_UNIT_LIMIT: Final = 40_000
COMPUTE_UNIT_PRICE_MICROLAMPORTS: Final = 1
MAX_COMPUTE_UNIT_LIMIT: Final = 400_000
MAX_COMPUTE_UNIT_PRICE_MICROLAMPORTS: Final = 5_000_000
MAX_MEMO_BYTES: Final = 256
MAX_TRANSACTION_BYTES: Final = 1_232
"""What fits a packet of Solana's."""

_SET_LIMIT, _SET_PRICE, _TRANSFER_CHECKED = 2, 3, 12
_MAX_AMOUNT: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """A transaction that was taken apart. What it says is not verified until `check_signature` has been asked."""

    transaction: VersionedTransaction
    fee_payer: str
    authority: str
    """The owner of the source account; who pays."""
    source: str
    mint: str
    destination: str
    amount_atomic: int
    decimals: int
    token_program: str
    memos: tuple[bytes, ...]
    blockhash: str

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return to_bytes_versioned(self.transaction.message)

    @property
    def message_hash(self) -> str:
        """SHA-256 (hex) of the message: what makes the payment this payment, whoever has signed it so far."""
        return sha256(self.message).hexdigest()


def associated_account(owner: str, mint: str, token_program: str) -> str:
    """The owner's associated token account for a mint. InvalidTransactionError for what is no address."""
    seeds = [bytes(_key(owner)), bytes(_key(token_program)), bytes(_key(mint))]
    return str(Pubkey.find_program_address(seeds, _key(ASSOCIATED_TOKEN_PROGRAM))[0])


def make_transfer(
    *,
    fee_payer: str,
    payer: str,
    payee: str,
    mint: str,
    token_program: str,
    amount_atomic: int,
    decimals: int,
    blockhash: str,
    memo: bytes,
) -> TokenTransfer:
    """The unsigned transaction of a payment. `memo`: the seller's, or random, so that two equal payments differ.

    InvalidTransactionError for addresses, amounts or memos that can't be.
    """
    if not 0 < amount_atomic <= _MAX_AMOUNT or not 0 <= decimals <= 255:
        raise InvalidTransactionError("the amount does not fit a token transfer")
    if not 0 < len(memo) <= MAX_MEMO_BYTES:
        raise InvalidTransactionError(f"a memo has 1 to {MAX_MEMO_BYTES} bytes")
    budget, program = _key(COMPUTE_BUDGET_PROGRAM), _key(token_program)
    source = _key(associated_account(payer, mint, token_program))
    destination = _key(associated_account(payee, mint, token_program))
    accounts = [
        AccountMeta(source, is_signer=False, is_writable=True),
        AccountMeta(_key(mint), is_signer=False, is_writable=False),
        AccountMeta(destination, is_signer=False, is_writable=True),
        AccountMeta(_key(payer), is_signer=True, is_writable=False),
    ]
    transfer = bytes([_TRANSFER_CHECKED]) + amount_atomic.to_bytes(8, "little") + bytes([decimals])
    instructions = [
        Instruction(budget, bytes([_SET_LIMIT]) + COMPUTE_UNIT_LIMIT.to_bytes(4, "little"), []),
        Instruction(budget, bytes([_SET_PRICE]) + COMPUTE_UNIT_PRICE_MICROLAMPORTS.to_bytes(8, "little"), []),
        Instruction(program, transfer, accounts),
        Instruction(_key(MEMO_PROGRAM), memo, []),
    ]
    try:
        recent = Hash.from_string(blockhash)
    except ValueError:
        raise InvalidTransactionError("the block hash is none") from None
    message = MessageV0.try_compile(_key(fee_payer), instructions, [], recent)
    unsigned = [Signature.default()] * message.header.num_required_signatures
    return read_transfer(bytes(VersionedTransaction.populate(message, unsigned)))


def read_transfer(raw: bytes) -> TokenTransfer:
    """Take a transaction apart; InvalidTransactionError for every shape but the one above."""
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise InvalidTransactionError("the transaction is larger than a packet")
    try:
        transaction = VersionedTransaction.from_bytes(raw)
    except ValueError:
        raise InvalidTransactionError("the transaction can't be decoded") from None
    message = transaction.message
    if not isinstance(message, MessageV0):
        raise InvalidTransactionError("the transaction is not of version 0")
    if message.address_table_lookups:
        raise InvalidTransactionError("the transaction hides accounts in lookup tables")
    instructions = message.instructions
    if not 3 <= len(instructions) <= 6:
        raise InvalidTransactionError("the transaction does not have three to six instructions")
    keys = [str(key) for key in message.account_keys]
    try:
        _check_budget(keys, instructions[0], instructions[1])
        memos = _read_rest(keys, instructions[3:])
        source, mint, destination, authority, amount, decimals, program = _read_transfer_checked(keys, instructions[2])
    except IndexError:
        raise InvalidTransactionError("an instruction names an account that is not there") from None
    return TokenTransfer(
        transaction=transaction,
        fee_payer=keys[0],
        authority=authority,
        source=source,
        mint=mint,
        destination=destination,
        amount_atomic=amount,
        decimals=decimals,
        token_program=program,
        memos=memos,
        blockhash=str(message.recent_blockhash),
    )


def check_signature(transfer: TokenTransfer) -> None:
    """InvalidTransactionError unless the authority has signed. The fee payer's signature may still be missing."""
    message = transfer.transaction.message
    signers = [str(key) for key in message.account_keys[: message.header.num_required_signatures]]
    if transfer.authority not in signers:
        raise InvalidTransactionError("the owner of the money is not asked to sign")
    signature = transfer.transaction.signatures[signers.index(transfer.authority)]
    if not signature.verify(_key(transfer.authority), transfer.message):
        raise InvalidTransactionError("the owner of the money has not signed")


def message_hash_of(raw: bytes) -> str | None:
    """`message_hash` of any transaction; None for what is none."""
    try:
        message = VersionedTransaction.from_bytes(raw).message
    except ValueError:
        return None
    return sha256(to_bytes_versioned(message)).hexdigest()


def signature_of(transfer: TokenTransfer) -> bytes:
    """The authority's signature, 64 bytes; zeros before it has signed."""
    message = transfer.transaction.message
    signers = [str(key) for key in message.account_keys[: message.header.num_required_signatures]]
    if transfer.authority not in signers:
        raise InvalidTransactionError("the owner of the money is not asked to sign")
    return bytes(transfer.transaction.signatures[signers.index(transfer.authority)])


def with_signature(transfer: TokenTransfer, address: str, signature: bytes) -> TokenTransfer:
    """The transaction with one more signature; InvalidTransactionError when this address does not sign it, or not so."""
    message = transfer.transaction.message
    signers = [str(key) for key in message.account_keys[: message.header.num_required_signatures]]
    made = Signature.from_bytes(signature) if len(signature) == 64 else Signature.default()
    if address not in signers or not made.verify(_key(address), transfer.message):
        raise InvalidTransactionError("this signature does not belong to the transaction")
    signatures = list(transfer.transaction.signatures)
    signatures[signers.index(address)] = made
    return read_transfer(bytes(VersionedTransaction.populate(message, signatures)))


def transaction_id(transfer: TokenTransfer) -> str:
    """The signature of the fee payer, by which the chain knows the transaction. InvalidTransactionError before it signed."""
    first = transfer.transaction.signatures[0]
    if first == Signature.default():
        raise InvalidTransactionError("the fee payer has not signed")
    return str(first)


def is_address(text: str) -> bool:
    """Whether `text` is base58 of 32 bytes."""
    try:
        _key(text)
    except InvalidTransactionError:
        return False
    return True


def _check_budget(keys: list[str], limit: CompiledInstruction, price: CompiledInstruction) -> None:
    limit_data, price_data = bytes(limit.data), bytes(price.data)
    if keys[limit.program_id_index] != COMPUTE_BUDGET_PROGRAM or len(limit_data) != 5 or limit_data[0] != _SET_LIMIT:
        raise InvalidTransactionError("the first instruction does not set the compute limit")
    if keys[price.program_id_index] != COMPUTE_BUDGET_PROGRAM or len(price_data) != 9 or price_data[0] != _SET_PRICE:
        raise InvalidTransactionError("the second instruction does not set the compute price")
    if int.from_bytes(limit_data[1:], "little") > MAX_COMPUTE_UNIT_LIMIT:
        raise InvalidTransactionError("the compute limit is too high")
    if int.from_bytes(price_data[1:], "little") > MAX_COMPUTE_UNIT_PRICE_MICROLAMPORTS:
        raise InvalidTransactionError("the compute price is too high")


def _read_transfer_checked(
    keys: list[str], instruction: CompiledInstruction
) -> tuple[str, str, str, str, int, int, str]:
    program, data = keys[instruction.program_id_index], bytes(instruction.data)
    accounts = bytes(instruction.accounts)
    if program not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM) or len(data) != 10 or data[0] != _TRANSFER_CHECKED:
        raise InvalidTransactionError("the third instruction is no TransferChecked")
    if len(accounts) != 4:  # more would be a multisignature owner, or hooks that nobody looked at
        raise InvalidTransactionError("the transfer does not name exactly four accounts")
    source, mint, destination, authority = (keys[index] for index in accounts)
    if keys[0] in (source, mint, destination, authority):
        raise InvalidTransactionError("the fee payer takes part in the transfer")
    return source, mint, destination, authority, int.from_bytes(data[1:9], "little"), data[9], program


def _read_rest(keys: list[str], instructions: list[CompiledInstruction]) -> tuple[bytes, ...]:
    memos = []
    for instruction in instructions:
        program = keys[instruction.program_id_index]
        if program not in (MEMO_PROGRAM, LIGHTHOUSE_PROGRAM):
            raise InvalidTransactionError("the transaction does more than pay")
        if 0 in bytes(instruction.accounts):
            raise InvalidTransactionError("the fee payer takes part in an instruction")
        if program == MEMO_PROGRAM:
            memos.append(bytes(instruction.data))
    return tuple(memos)


def _key(text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError:
        raise InvalidTransactionError("this is no Solana address") from None

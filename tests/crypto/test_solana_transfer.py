"""Token transfers on Solana: one shape is made, and no other is read (x402.md §3.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction, VersionedTransaction

from life.crypto import solana_transfer as solana
from life.crypto.errors import InvalidTransactionError
from life.crypto.solana_transfer import TokenTransfer, associated_account, make_transfer, read_transfer

PAYER, FEE, PAYEE = (Keypair.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
MINT = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
BLOCK = str(Hash.hash(b"block"))


def made(amount: int = 10_000, memo: bytes = b"memo") -> TokenTransfer:
    return make_transfer(
        fee_payer=str(FEE.pubkey()),
        payer=str(PAYER.pubkey()),
        payee=str(PAYEE.pubkey()),
        mint=MINT,
        token_program=solana.TOKEN_PROGRAM,
        amount_atomic=amount,
        decimals=6,
        blockhash=BLOCK,
        memo=memo,
    )


def signed(transfer_: TokenTransfer) -> TokenTransfer:
    return solana.with_signature(transfer_, str(PAYER.pubkey()), bytes(PAYER.sign_message(transfer_.message)))


def instructions(**changes: Instruction | None) -> list[Instruction]:
    """The four instructions of a payment, some of them replaced or left out."""
    source = Pubkey.from_string(associated_account(str(PAYER.pubkey()), MINT, solana.TOKEN_PROGRAM))
    target = Pubkey.from_string(associated_account(str(PAYEE.pubkey()), MINT, solana.TOKEN_PROGRAM))
    budget = Pubkey.from_string(solana.COMPUTE_BUDGET_PROGRAM)
    accounts = [
        AccountMeta(source, False, True),
        AccountMeta(Pubkey.from_string(MINT), False, False),
        AccountMeta(target, False, True),
        AccountMeta(PAYER.pubkey(), True, False),
    ]
    usual: dict[str, Instruction | None] = {
        "limit": Instruction(budget, b"\x02" + (40_000).to_bytes(4, "little"), []),
        "price": Instruction(budget, b"\x03" + (1).to_bytes(8, "little"), []),
        "pay": Instruction(
            Pubkey.from_string(solana.TOKEN_PROGRAM), b"\x0c" + (10_000).to_bytes(8, "little") + b"\x06", accounts
        ),
        "memo": Instruction(Pubkey.from_string(solana.MEMO_PROGRAM), b"memo", []),
    }
    return [instruction for instruction in {**usual, **changes}.values() if instruction is not None]


def compiled(*parts: Instruction, payer: Keypair = FEE) -> bytes:
    message = MessageV0.try_compile(payer.pubkey(), list(parts), [], Hash.from_string(BLOCK))
    unsigned = [Signature.default()] * message.header.num_required_signatures
    return bytes(VersionedTransaction.populate(message, unsigned))


def test_what_is_made_is_read_back() -> None:
    """Every field, and the payer's signature once it is there."""
    read = read_transfer(bytes(signed(made()).transaction))
    assert (read.authority, read.fee_payer, read.mint) == (str(PAYER.pubkey()), str(FEE.pubkey()), MINT)
    assert (read.amount_atomic, read.decimals, read.memos) == (10_000, 6, (b"memo",))
    assert read.destination == associated_account(str(PAYEE.pubkey()), MINT, solana.TOKEN_PROGRAM)
    assert read.message_hash == made().message_hash
    solana.check_signature(read)
    assert read_transfer(compiled(*instructions())).amount_atomic == 10_000


def test_signatures_belong_to_their_signer_and_message() -> None:
    """Missing, by another key, or over another message: refused."""
    with pytest.raises(InvalidTransactionError, match="has not signed"):
        solana.check_signature(made())
    with pytest.raises(InvalidTransactionError):
        solana.with_signature(made(), str(PAYER.pubkey()), bytes(PAYEE.sign_message(made().message)))
    with pytest.raises(InvalidTransactionError):
        solana.with_signature(made(), str(PAYER.pubkey()), bytes(PAYER.sign_message(made(1).message)))
    with pytest.raises(InvalidTransactionError):
        solana.with_signature(made(), str(PAYEE.pubkey()), bytes(PAYEE.sign_message(made().message)))
    with pytest.raises(InvalidTransactionError):
        solana.with_signature(made(), str(PAYER.pubkey()), b"short")
    with pytest.raises(InvalidTransactionError, match="fee payer has not signed"):
        solana.transaction_id(signed(made()))


def test_the_fee_payer_takes_no_part() -> None:
    """Neither as the owner of the money nor in any account of any instruction."""
    theft = compiled(*instructions(), payer=PAYER)
    with pytest.raises(InvalidTransactionError, match="fee payer takes part"):
        read_transfer(theft)
    looking = Instruction(
        Pubkey.from_string(solana.LIGHTHOUSE_PROGRAM), b"\x00", [AccountMeta(FEE.pubkey(), False, False)]
    )
    with pytest.raises(InvalidTransactionError, match="fee payer takes part"):
        read_transfer(compiled(*instructions(extra=looking)))


_BUDGET = Pubkey.from_string(solana.COMPUTE_BUDGET_PROGRAM)
_TOKEN = Pubkey.from_string(solana.TOKEN_PROGRAM)
_DRAIN = transfer(TransferParams(from_pubkey=PAYER.pubkey(), to_pubkey=PAYEE.pubkey(), lamports=1))


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": None},
        {"price": None, "memo": None},
        {"pay": None},
        {"limit": Instruction(_BUDGET, b"\x02" + (400_001).to_bytes(4, "little"), [])},
        {"price": Instruction(_BUDGET, b"\x03" + (5_000_001).to_bytes(8, "little"), [])},
        {"price": Instruction(_BUDGET, b"\x02" + (1).to_bytes(4, "little"), [])},
        {"pay": Instruction(_TOKEN, b"\x03" + (1).to_bytes(8, "little"), [])},
        {"pay": Instruction(_TOKEN, b"\x0c" + (1).to_bytes(8, "little") + b"\x06", [])},
        {"memo": _DRAIN},
        {"extra": _DRAIN},
        {"a": _DRAIN, "b": _DRAIN, "c": _DRAIN},
    ],
)
def test_every_other_shape_is_refused(changes: dict[str, Instruction | None]) -> None:
    """Missing or odd budgets, other instructions, other programs, too many of them."""
    with pytest.raises(InvalidTransactionError):
        read_transfer(compiled(*instructions(**changes)))


def test_old_messages_and_lookup_tables_are_refused() -> None:
    """Only version 0, with every account in sight."""
    legacy = Transaction.new_unsigned(Message(instructions(), FEE.pubkey()))
    with pytest.raises(InvalidTransactionError, match="version 0"):
        read_transfer(bytes(VersionedTransaction.populate(legacy.message, [Signature.default()] * 2)))


def test_amounts_addresses_and_memos_that_cannot_be_are_refused() -> None:
    """Before anything is signed."""
    for amount in (0, -1, 2**64):
        with pytest.raises(InvalidTransactionError):
            made(amount)
    for memo in (b"", b"m" * 257):
        with pytest.raises(InvalidTransactionError):
            made(memo=memo)
    with pytest.raises(InvalidTransactionError):
        associated_account("nobody", MINT, solana.TOKEN_PROGRAM)
    assert not solana.is_address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
    assert solana.is_address(MINT)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """No other exception, whatever comes."""
    try:
        read_transfer(raw)
    except InvalidTransactionError:
        pass


@given(st.integers(0, 600), st.integers(0, 255))
def test_a_changed_byte_never_passes_for_the_signed_payment(place: int, value: int) -> None:
    """A transaction that was touched is another one, or is refused: the signature holds for one message."""
    raw = bytearray(bytes(signed(made()).transaction))
    place %= len(raw)
    if raw[place] == value:
        return
    raw[place] = value
    try:
        read = read_transfer(bytes(raw))
        solana.check_signature(read)
    except InvalidTransactionError:
        return
    assert read.message == made().message

"""Idempotency: a command that comes again under the same key is not carried out again (W11)."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from blake3 import blake3
from msgspec import structs

from life.spaces.commands import Command
from life.spaces.errors import InvalidArgumentError, SpacesConflictError
from life.spaces.identity import Caller
from life.spaces.model import TABLES, Idempotency, Row, key_values, table_name
from life.spaces.reducers.transaction import Transaction
from life.spaces.state import State
from life.spaces.validation import check_client_id

KEEP_US: Final = 24 * 3_600_000_000
HOUR_US: Final = 3_600_000_000
MAX_KEY: Final = 128
_PLACES: Final = ("channel_id", "conversation_id", "recipient")
_json: Final = msgspec.json.Encoder()


class Repeat(NamedTuple):
    """The first answer to a key."""

    position: int
    space_seq: int
    row: Row | None
    """As it is now; None when it is gone."""


def client_key(command: Command, key: str | None) -> str | None:
    """The key a command is remembered by: the caller's, or its own client id within its channel, conversation or recipient."""
    if key is not None:
        if not 1 <= len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
            raise InvalidArgumentError(f"An idempotency key has 1 to {MAX_KEY} printable ASCII characters.")
        return f"k:{key}"
    client_id: str | None = getattr(command, "client_id", None)
    if client_id is None:
        return None
    check_client_id(client_id)
    for place in _PLACES:
        where = getattr(command, place, None)
        if where is not None:
            return f"c:{place}:{where}:{client_id}"
    return f"c:{client_id}"


def repeated(state: State, command: Command, caller: Caller, *, key: str | None, now_us: int) -> Repeat | None:
    """The first answer, when this identity's command was carried out under this key within 24 hours.

    SpacesConflictError when the key was used for another command.
    """
    full_key = client_key(command, key)
    if full_key is None or command.TRANSIENT:
        return None
    known = state.get(Idempotency, (caller.identity, full_key))
    if known is None or known.expires_hour * HOUR_US <= now_us:
        return None
    if known.digest != _digest(command):
        raise SpacesConflictError("This idempotency key was used for another command.")
    row = None
    if known.result is not None:
        name, values = known.result
        row = state.get(TABLES[name], values[0] if len(values) == 1 else values)
    return Repeat(known.position, known.space_seq, row)


def remember(transaction: Transaction, command: Command, full_key: str, result: Row | None) -> None:
    """Attach the row that recognizes a repeat to what the command did. A command that did nothing needs none."""
    space_seq = transaction.last_space_seq
    transaction.attach(
        Idempotency(
            identity=transaction.caller.identity,
            key=full_key,
            digest=_digest(command),
            position=transaction.state.position + 1,
            space_seq=space_seq,
            result=None if result is None else (table_name(result), key_values(result)),
            expires_hour=(transaction.now_us + KEEP_US) // HOUR_US + 1,
        )
    )


def _digest(command: Command) -> str:
    """What makes two commands the same. A signature made anew (another time, other chance) over the same message does not differ."""
    if getattr(command, "signature", None) is not None:
        command = structs.replace(command, signature=None)
    return blake3(_json.encode(command)).hexdigest(length=16)

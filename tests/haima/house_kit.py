"""What the tests of the house share: houses over one journal, and plain commands that move money."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from life.aios.ids import new_id
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.snapshots import Snapshots
from life.haima.accounts import account, move, wallet_of
from life.haima.errors import InsufficientBalanceError
from life.haima.events import FinanceEvent, read_finance
from life.haima.events.accounts import LedgerPosted
from life.haima.house import STREAM, Decision, House, Key
from life.haima.house_state import HouseState, encode
from life.testing.clock import ManualClock, SeededEntropy

OUTSIDE = account("external", "network", "test")
ALICE = wallet_of("alice")
BOB = wallet_of("bob")


class Moved(msgspec.Struct, frozen=True):
    """The answer of a plain transfer."""

    left_micro: int


async def open_house(
    journal: Journal, *, clock: ManualClock | None = None, seed: str = "house", snapshots: Snapshots | None = None
) -> House:
    """A house as a new process would open it."""
    house = House(journal, clock or ManualClock(), SeededEntropy(seed), agent_id="house", snapshots=snapshots)
    await house.open()
    return house


def moving(source: str, target: str, amount_micro: int) -> Callable[[HouseState, int], Decision[Moved]]:
    """A rule: move money; InsufficientBalanceError (from the frame) when it is not there."""

    def rule(state: HouseState, _now_us: int) -> Decision[Moved]:
        name = f"posting-{new_id(ManualClock(), SeededEntropy(f'{source}{target}'))}"
        posted = LedgerPosted(posting_id=name, entries=move(source, target, amount_micro), reason="transfer")
        return Decision([posted], Moved(state.accounts.balance(source) - amount_micro))

    return rule


async def fund(house: House, target: str, amount_micro: int) -> None:
    """Money from outside."""
    await house.decide(moving(OUTSIDE, target, amount_micro))


def key_of(name: str, request: bytes = b"request", caller: str = "test") -> Key:
    """A key of a test."""
    return Key(caller, name, request)


async def spend(house: House, amount_micro: int, name: str | None = None) -> bool:
    """Alice pays Bob; False when she has not enough."""
    rule = moving(ALICE, BOB, amount_micro)
    try:
        if name is None:
            await house.decide(rule)
        else:
            await house.decide(rule, key=key_of(name), answer_type=Moved)
    except InsufficientBalanceError:
        return False
    return True


async def house_events(journal: Journal) -> list[FinanceEvent]:
    """All finance events of the house's stream."""
    records = await journal.read(EventQuery(STREAM.session_id, STREAM.branch_id), limit=10_000)
    return [event for record in records if (event := read_finance(record)) is not None]


async def replayed(journal: Journal) -> bytes:
    """The state that the journal's events alone give."""
    state = HouseState()
    sequence = 0
    while records := await journal.read(
        EventQuery(STREAM.session_id, STREAM.branch_id, after_sequence=sequence), limit=2_000
    ):
        for record in records:
            event = read_finance(record)
            if event is not None:
                state.apply(event, record.timestamp_us)
        sequence = records[-1].sequence
    return encode(state)

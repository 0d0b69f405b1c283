"""A process that dies at every step of a hire, and looks what is left: `python -m tests.spaces.hiring.crash_process FOLDER STORY`.

For n = 1, 2, … a child plays the story in a folder of its own and kills itself with SIGKILL at its n-th step; another child opens the same
folder and plays the story again from its beginning, under the same ids. A step is the moment before, and the moment after, any batch of
events goes into any journal (the customer's, the worker's, the house's with its ledger) or any command into Spaces. Prints how many steps there
were, or what was wrong.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from life.aios.errors import ConflictError
from life.aios.ports.journal import Appended
from life.aios.record import NewEvent, Stream
from life.haima.errors import IdempotencyConflictError
from life.host.clock import SystemClock
from life.lago.journal.sqlite import SqliteJournal
from life.spaces.commands import Command
from life.spaces.hiring.errors import HireRefusedError
from life.spaces.seat import LocalSeat, Outcome
from tests.spaces.hiring.kit import Village, Villager, settled

FUNDS, PRICE = 1_000_000, 250_000
HIRE = "01JD0000000000000000000000"


class Wire:
    """Kills this process at its n-th step; 0 never does."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0

    def step(self) -> None:
        """One more."""
        self.steps += 1
        if self.steps == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class WiredJournal(SqliteJournal):
    """A journal on disk with a wire."""

    wire: Wire

    async def append(
        self, batch: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """See Journal."""
        self.wire.step()
        stored = await super().append(batch, expected=expected)
        self.wire.step()
        return stored


def wired(seat: LocalSeat, wire: Wire) -> None:
    """Put the wire into a seat."""
    submit = seat.submit

    async def stepping(command: Command, **more: Any) -> Outcome:
        wire.step()
        done = await submit(command, **more)
        wire.step()
        return done

    seat.submit = stepping  # type: ignore[method-assign]


async def play(folder: Path, story: str, wire: Wire) -> None:
    """The story, from its beginning. AssertionError when something is wrong at its end."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        WiredJournal.wire = wire
        books, mine, theirs = [
            await stack.enter_async_context(WiredJournal.open(folder / f"{name}.db", clock=clock))
            for name in ("house", "ada", "ben")
        ]
        place = await stack.enter_async_context(settled(clock, journal=books, path=folder / "spaces.db"))
        place.stack = stack
        ada = await place.villager("ada", funds_micro=FUNDS, journal=mine)
        ben = await place.villager("ben", journal=theirs)
        for each in (ada, ben):
            assert isinstance(each.seat, LocalSeat)
            wired(each.seat, wire)
        await STORIES[story](place, ada, ben)
        for each in (ada, ben):
            await each.desk.look(HIRE)
            await each.payer.flush()
        await check(place, ada, ben, story)


async def hire(ada: Villager, ben: Villager) -> None:
    """Ada hires Ben."""
    await ada.desk.hire(
        HIRE, ben.seat.identity, title="Work", task="Do it.", price_micro=PRICE, deadline_s=3600, review_s=3600
    )


async def accepted(place: Village, ada: Villager, ben: Villager) -> None:
    """Hired, taken, delivered, accepted, cashed out."""
    await hire(ada, ben)
    await ben.desk.take(HIRE)
    await ben.desk.deliver(HIRE, "done")
    await ada.desk.accept(HIRE)
    await place.house.payouts.pay(ben.account, "cash", PRICE, ben.wallet)


async def rejected(place: Village, ada: Villager, ben: Villager) -> None:
    """Hired, delivered, rejected."""
    await hire(ada, ben)
    await ben.desk.deliver(HIRE, "nonsense")
    await ada.desk.reject(HIRE, "No.")


async def declined(place: Village, ada: Villager, ben: Villager) -> None:
    """Hired, declined."""
    await hire(ada, ben)
    await ben.desk.decline(HIRE, "No time.")


STORIES = {"accepted": accepted, "rejected": rejected, "declined": declined}
ENDS = {"accepted": ("paid", 0, 0, PRICE), "rejected": ("rejected", PRICE, 0, 0), "declined": ("declined", PRICE, 0, 0)}
"""State; what the house holds for Ada and Ben; what Ben's wallet has."""


async def check(place: Village, ada: Villager, ben: Villager, story: str) -> None:
    """Whoever crashed: paid once, held once, delivered once, remembered once."""
    state, adas, bens, wallet = ENDS[story]
    found = await ada.desk.look(HIRE)
    assert found.state == state, found
    assert (await ben.desk.look(HIRE)).state == state
    assert await place.on_chain(ada.wallet) == FUNDS - PRICE, "Ada paid another amount than once"
    assert await place.on_chain(ben.wallet) == wallet, "Ben's wallet"
    assert (await place.held(ada), await place.held(ben)) == (adas, bens)
    await place.check_books()
    assert len(await ada.desk.list_()) == 1 and len(await ben.desk.list_()) == 1
    steps = [ben.desk.deliver(HIRE, "something else")]
    if story == "rejected":
        await ada.desk.reject(HIRE, "Said before.")
    else:
        steps.append(ada.desk.reject(HIRE, "again?"))
    for step in steps:
        try:
            await step
        except (ConflictError, HireRefusedError, IdempotencyConflictError):
            continue
        raise AssertionError("What is over was changed.")
    await place.check_books()


def in_child(folder: Path, story: str, at: int) -> tuple[int, int]:
    """Play in a fork; (how it ended as a wait status, how many steps it took)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        wire = Wire(at)
        try:
            asyncio.run(play(folder, story, wire))
            os.write(writer, str(wire.steps).encode())
            os._exit(0)
        except BaseException as error:  # whatever it is, the parent is told
            print(f"step {at}: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return status, int(told or 0)


def main(folder: Path, story: str, first: int, stride: int) -> int:
    """Every `stride`-th step from `first` on."""
    at, died = first, 0
    while True:
        place = folder / f"{story}-{at}"
        place.mkdir()
        status, _ = in_child(place, story, at)
        if not os.WIFSIGNALED(status):
            if os.WEXITSTATUS(status):
                return 1
            break
        died += 1
        status, _ = in_child(place, story, 0)
        if status:
            print(f"after a death at step {at} it is wrong", flush=True)
            return 1
        at += stride
    print(died)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))

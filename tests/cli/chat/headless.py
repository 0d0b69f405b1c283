"""The chat without a terminal: the application over a recording, driven by Textual's pilot, and what it shows as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rich.segment import Segment
from textual.pilot import Pilot

from life.aios.envelope import decode_record
from life.aios.record import EventRecord
from life.cli.chat.commands import CHAT_COMMANDS
from life.cli.chat.controller import ChatConversation
from life.cli.chat.opening import Opened
from life.cli.chat.reader import About, Limits, ListReader, PaymentQuestion
from life.cli.chat.recorded import list_client
from life.cli.chat.screen import ChatApp
from life.cli.chat.words import PLAIN, Language, Signs, words_of
from life.cli.session_client import SessionClient
from life.testing.clock import ManualClock

SCENES = Path(__file__).with_name("scenes")

ABOUT = About(
    version="0",
    agent="tester",
    agent_id="agent-1",
    did="did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
    wallet="0x70997970C51812dc3A010C7d01b50e0d17dc79C8 on eip155:4020402",
    custody="in_process",
    provider="scripted",
    journal="sqlite",
    payments=Limits(
        enabled=True,
        network="eip155:4020402",
        auto_approve_micro=100,
        most_per_payment_micro=1_000_000,
        most_per_session_micro=10_000_000,
    ),
    tools=("bash", "read_file", "write_file"),
)


class StillReader(ListReader):
    """A recording with a daemon's facts beside it."""

    def __init__(self, records: Sequence[EventRecord], payments: Sequence[PaymentQuestion] = ()) -> None:
        super().__init__(records)
        self.asked = payments

    async def about(self) -> About | None:
        """See Reader."""
        return ABOUT

    async def payments(self) -> Sequence[PaymentQuestion]:
        """See Reader."""
        return self.asked


def scene(name: str, through: int | None = None) -> list[EventRecord]:
    """The events of one of this folder's own recordings, which stay as they are."""
    lines = (SCENES / f"{name}.jsonl").read_bytes().splitlines()
    return [decode_record(line) for line in lines[:through]]


def opened(records: Sequence[EventRecord], *, acts: bool = False, payments: Sequence[PaymentQuestion] = ()) -> Opened:
    """A recording as something to chat with. With `acts` the chat believes that it can."""
    reader = StillReader(records, payments)
    client: SessionClient = list_client(reader, ManualClock(), place="a recording")
    return Opened(client, reader, acts)


@asynccontextmanager
async def chat_on(
    what: Opened,
    *,
    size: tuple[int, int] = (80, 24),
    language: Language = "en",
    plain: bool = False,
    at: int | None = None,
    root: Path = SCENES,
) -> AsyncIterator[tuple[ChatApp, Pilot[int]]]:
    """The application at work, on the last branch of a recording."""
    assert isinstance(what.reader, ListReader)
    conversation = ChatConversation(
        what,
        ManualClock(),
        data_dir=root / "nowhere",
        words=words_of(language),
        signs=PLAIN if plain else Signs(),
        more_commands=CHAT_COMMANDS,
    )
    stream = what.reader.last
    await conversation.attach(stream.session_id, stream.branch_id)
    if at is not None:
        await conversation.track.seek(at)
    app = ChatApp(conversation, root=root)
    try:
        async with app.run_test(size=size) as pilot:
            await settle(app, pilot)
            yield app, pilot
    finally:
        await conversation.aclose()


async def settle(app: ChatApp, pilot: Pilot[int]) -> None:
    """Until everything that was begun is drawn."""
    for _ in range(2):
        await pilot.pause()
        while app.is_working:
            await asyncio.sleep(0.005)
    app.draw()
    await pilot.pause()


async def press(app: ChatApp, pilot: Pilot[int], *keys: str) -> None:
    """Press keys, and wait until what they do is drawn."""
    for number, key in enumerate(keys):
        await pilot.press(key)
        if len(key) > 1 or number + 1 == len(keys):  # letters of a word come together
            await settle(app, pilot)


def segments(app: ChatApp) -> list[list[Segment]]:
    """What is sent to the terminal, row by row, filters applied."""
    return [list(strip) for strip in app.screen._compositor.render_strips()]


def seen(app: ChatApp) -> str:
    """What a person sees."""
    return "\n".join("".join(each.text for each in row).rstrip() for row in segments(app)).rstrip() + "\n"

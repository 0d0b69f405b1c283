"""What the chat shows, kept as text: `python -m tests.cli.chat.stills` writes the files anew, and the change is read like any other.

The recordings stand beside this (`scenes/`), so that other tests may make theirs anew without changing these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from life.cli.chat.reader import PaymentQuestion
from life.cli.chat.words import Language
from tests.cli.chat.headless import chat_on, opened, press, scene, seen

FOLDER: Final = Path(__file__).with_name("snapshots")
SIZES: Final = ((80, 24), (120, 36), (190, 50))

PAYMENT: Final = PaymentQuestion(
    ticket_id="ticket-1",
    code="needs_approval",
    amount_micro=20_000,
    network="eip155:4020402",
    payee="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    resource_url="http://127.0.0.1:9999/report?year=2026",
    expires_at="2026-11-20T18:00:00.000000Z",
    reason="More than what is paid without asking.",
)


class Still(NamedTuple):
    """One picture."""

    scene: str
    through: int | None = None
    keys: Sequence[str] = ()
    acts: bool = False
    at: int | None = None
    language: Language = "en"
    plain: bool = False
    payments: Sequence[PaymentQuestion] = ()
    sizes: Sequence[tuple[int, int]] = SIZES


STILLS: Final = {
    "end": Still("tools"),
    "replay": Still("tools", at=21, keys=("f4",)),
    "difference": Still("tools", keys=("f3", "down", "enter", "d")),
    "event": Still("tools", keys=("f4", "up", "enter"), sizes=((120, 36),)),
    "question": Still("approvals", 10, acts=True, keys=("f9",)),
    "refusing": Still("approvals", 10, acts=True, keys=("f9", "n"), sizes=((80, 24),)),
    "running": Still("steering", 9, acts=True, keys=("ctrl+t",)),
    "waiting-messages": Still("steering", 9, acts=True, keys=("f8",), sizes=((80, 24),)),
    "payment": Still("tools", acts=True, payments=(PAYMENT,), keys=("f9",)),
    "ledger": Still("payment_wallet", keys=("escape", "8", "down", "enter")),
    "autonomic": Still("tools", keys=("escape", "7"), sizes=((120, 36),)),
    "identity": Still("tools", keys=("escape", "9"), sizes=((120, 36),)),
    "keys": Still("tools", keys=("f1",), sizes=((80, 24),)),
    "branch": Still("tools", acts=True, at=21, keys=("f7",), sizes=((80, 24), (120, 36))),
    "palette": Still("tools", keys=("ctrl+p", "t", "r"), sizes=((80, 24),)),
    "command": Still("tools", keys=(*"/cos", "enter"), sizes=((80, 24),)),
    "completion": Still("tools", keys=tuple("/re"), sizes=((80, 24),)),
    "spanish": Still("approvals", 10, acts=True, keys=("f9",), language="es", sizes=((80, 24),)),
    "ascii": Still("approvals", 10, acts=True, keys=("f9",), plain=True, sizes=((80, 24),)),
    "ascii-replay": Still("tools", at=21, keys=("f5",), plain=True, sizes=((80, 24),)),
}


def names() -> list[tuple[str, tuple[int, int]]]:
    """Every picture at every size."""
    return [(name, size) for name, still in STILLS.items() for size in still.sizes]


def file_of(name: str, size: tuple[int, int]) -> Path:
    """Where one stands."""
    return FOLDER / f"{name}-{size[0]}x{size[1]}.txt"


async def draw(name: str, size: tuple[int, int]) -> str:
    """One picture."""
    still = STILLS[name]
    what = opened(scene(still.scene, still.through), acts=still.acts, payments=still.payments)
    async with chat_on(what, size=size, language=still.language, plain=still.plain, at=still.at) as (app, pilot):
        await press(app, pilot, *still.keys)
        return seen(app)


async def _write() -> None:
    for name, size in names():
        file_of(name, size).write_text(await draw(name, size), encoding="utf-8")


if __name__ == "__main__":
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    asyncio.run(_write())

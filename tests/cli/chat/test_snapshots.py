"""The chat's screens as text, at three sizes (WS-TUI-5)."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet
from rich.cells import cell_len

from tests.cli.chat.stills import FOLDER, draw, file_of, names

ALWAYS = {
    *((name, (80, 24)) for name in ("end", "question", "payment", "spanish", "ascii", "branch")),
    ("replay", (120, 36)),
    ("end", (190, 50)),
}


def kept() -> list[ParameterSet]:
    """Every screen; a few of them always, all with the slow ones."""
    return [
        pytest.param(
            name, size, id=f"{name}-{size[0]}x{size[1]}", marks=[] if (name, size) in ALWAYS else [pytest.mark.slow]
        )
        for name, size in names()
    ]


@pytest.mark.parametrize(("name", "size"), kept())
async def test_the_screen_is_as_it_was(name: str, size: tuple[int, int]) -> None:
    """Each kept screen is drawn as it was, to the cell. A change that is meant: python -m tests.cli.chat.stills"""
    drawn = await draw(name, size)
    assert drawn == file_of(name, size).read_text(encoding="utf-8")
    rows = drawn.splitlines()
    assert len(rows) <= size[1]
    assert all(cell_len(row) <= size[0] for row in rows)


def test_no_kept_screen_is_left_over() -> None:
    """Every file is one that a test compares."""
    assert {path.name for path in FOLDER.iterdir()} == {file_of(name, size).name for name, size in names()}

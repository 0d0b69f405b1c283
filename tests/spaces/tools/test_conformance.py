"""The tools of Spaces keep the Toolbox port's promises, also while nobody answers."""

from __future__ import annotations

from collections.abc import Sequence

from life.aios.json import JsonObject
from life.aios.ports.tools import Toolbox, ToolContext
from life.spaces.errors import SpacesUnavailableError
from life.spaces.hiring.desk import HiringDesk
from life.spaces.hiring.peers import PeerBook
from life.spaces.hiring.ports import Escrow
from life.spaces.seat import Seat
from life.spaces.tools.room import Room
from life.spaces.tools.toolbox import SpacesToolbox
from life.testing.clock import ManualClock
from life.testing.toolbox import EffectCase, ToolboxSuite
from tests.spaces.hiring.kit import Memory


async def _nobody() -> Seat:
    raise SpacesUnavailableError("Nobody answers.")


async def _nowhere() -> Escrow | None:
    return None


async def _never(_: ToolContext) -> bool:
    return False


class TestSpacesToolbox(ToolboxSuite):
    """They change no files, so there is no effect on any."""

    def open_toolbox(self) -> Toolbox:
        """Without Spaces: every call is an error that says so."""
        people = PeerBook()
        desk = HiringDesk(_nobody, _nowhere, Memory(), people)
        return SpacesToolbox(Room(_nobody, desk, people, ManualClock(), auto_limit=lambda: 0, was_approved=_never))

    def effect_cases(self) -> Sequence[EffectCase]:
        """None: what they change is elsewhere."""
        return []

    def read_only_calls(self) -> Sequence[tuple[str, JsonObject]]:
        """Every tool that only looks."""
        return [
            ("spaces_list_spaces", {}),
            ("spaces_list_channels", {}),
            ("spaces_list_members", {}),
            ("spaces_read_messages", {"channel": 1}),
            ("spaces_read_dms", {"peer": "ben"}),
            ("spaces_search", {"text": "x"}),
            ("spaces_find_agent", {}),
            ("spaces_wait_for", {"for": "work", "timeout_s": 1}),
            ("spaces_hired", {}),
        ]

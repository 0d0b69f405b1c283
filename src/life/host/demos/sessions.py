"""The ids of the demos' sessions, by which their tools and their judge know them.

demo-<slug>-<10 characters>         a run
demo-copy-<slug>-<10 characters>    a copy of one's own
recording-<slug>-<12 hex digits>    a recording
"""

from __future__ import annotations

import re
from typing import Final, Literal

from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.workspace.demos.catalogue import SLUGS

How = Literal["run", "copy", "recording"]

_NAMES: Final = "|".join(sorted(SLUGS, key=len, reverse=True))
_PATTERNS: Final[dict[How, re.Pattern[str]]] = {
    "run": re.compile(rf"demo-(?:{_NAMES})-[0-9a-z]{{10}}"),
    "copy": re.compile(rf"demo-copy-(?:{_NAMES})-[0-9a-z]{{10}}"),
    "recording": re.compile(rf"recording-(?:{_NAMES})-[0-9a-f]{{12}}"),
}


def how_of(session_id: str) -> How | None:
    """What kind of a demo's session this is; None for any other session."""
    if not session_id.startswith(("demo-", "recording-")):
        return None
    return next((how for how, pattern in _PATTERNS.items() if pattern.fullmatch(session_id)), None)


def new_session_id(how: Literal["run", "copy"], slug: str, clock: Clock, entropy: Entropy) -> str:
    """A new id for a session of a demo."""
    return f"demo-{'copy-' if how == 'copy' else ''}{slug}-{new_id(clock, entropy)[-10:].lower()}"

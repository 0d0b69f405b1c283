"""What the fold keeps of the context: the frozen beginning, what was said before, and how often a summary was tried.

Pure and total, like every fold (`life.arcan.state`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.arcan.context.events import ContextFrozen, ContextNoted, ContextWindow, SeenSource

DEFAULT_WINDOW_TOKENS: Final = 200_000
"""Where neither the settings nor the provider say another one."""

MAX_SEEN: Final = 64
"""Sources that are remembered by what they said; no session has so many."""


class ContextState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The context of a session, without the conversation."""

    frozen: str | None = None
    """The beginning of every request, once it is fixed."""
    noted_run: str = ""
    """The run that was told last."""
    seen: tuple[SeenSource, ...] = ()
    window_tokens: int = DEFAULT_WINDOW_TOKENS
    summaries_tried: int = 0
    """Summaries by a model that were begun since the last compaction."""

    def said(self, source: str) -> str:
        """The digest of what a source last said."""
        return next((item.digest for item in self.seen if item.source == source), "")

    def freeze(self, payload: ContextFrozen) -> ContextState:
        """The first one counts."""
        return self if self.frozen is not None else msgspec.structs.replace(self, frozen=payload.text)

    def note(self, payload: ContextNoted) -> ContextState:
        """Later words of a source replace earlier ones."""
        new = {item.source for item in payload.seen}
        seen = (*(item for item in self.seen if item.source not in new), *payload.seen)
        return msgspec.structs.replace(self, noted_run=payload.run_id, seen=seen[-MAX_SEEN:])

    def fit(self, payload: ContextWindow) -> ContextState:
        """Another model's window; anything that can't be one is passed over."""
        window = payload.window_tokens
        return msgspec.structs.replace(self, window_tokens=window) if 0 < window < 2**53 else self

    def try_summary(self) -> ContextState:
        """One more attempt."""
        return msgspec.structs.replace(self, summaries_tried=min(self.summaries_tried + 1, 1_000))

    def compacted(self) -> ContextState:
        """What was said before may be gone with the turns it stood in: it is said again."""
        return msgspec.structs.replace(self, seen=(), summaries_tried=0)

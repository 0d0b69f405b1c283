"""What the runtime writes about branches beyond the contract's kinds: `Custom` under `arcan.*`.

arcan.branch_sealed  BranchSealed  on a merged branch, in the batch of its `BranchMerged`: it is read-only from here on
arcan.files_placed   FilesPlaced   the working copy has what a merge or a restored point brought
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios.events import Custom
from life.aios.events.codec import custom

BRANCH_SEALED: Final = "arcan.branch_sealed"
FILES_PLACED: Final = "arcan.files_placed"


class BranchSealed(msgspec.Struct, frozen=True, kw_only=True):
    """The branch became part of `target_branch_id`, up to the event before this one."""

    target_branch_id: str


class FilesPlaced(msgspec.Struct, frozen=True, kw_only=True):
    """The working copy is up to date. `left`: paths that somebody had changed meanwhile and that were not touched."""

    left: tuple[str, ...] = ()


def branch_sealed(payload: BranchSealed) -> Custom:
    """The event that makes a merged branch read-only."""
    return custom(BRANCH_SEALED, payload)


def files_placed(payload: FilesPlaced) -> Custom:
    """The event for a working copy that is up to date again."""
    return custom(FILES_PLACED, payload)

"""Two-way sync: what has to be done so that a folder and a session's notes are the same (lago.md §16).

Three states decide for each path: what both had after the last sync (base), what the folder has (here), what the session has (there). A
side that is as it was takes the other's change. Where both changed, and not to the same, nothing is lost: the session's version gets the
path, the folder's version goes beside it under a name with its hash, on both sides. A changed note wins over its deletion.

A deletion is taken over only where the path was on both sides after the last sync; without a base nothing is ever deleted. Whoever has the base
must make sure that both sides are the ones it was made of (folder_sync.py does, by the journal's digests).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

Action = Literal["upload", "download", "delete here", "delete there", "conflict", "blocked"]


class Step(NamedTuple):
    """What is to be done with one path. Hashes are SHA-256; None: not there."""

    action: Action
    path: str
    here: str | None
    there: str | None


def plan_sync(
    base: Mapping[str, str],
    here: Mapping[str, str],
    there: Mapping[str, str],
    *,
    other_paths: Collection[str] = (),
) -> list[Step]:
    """The steps, by path. `other_paths`: what else the session has; a note never takes the place of a folder or a file of it."""
    steps = []
    taken = {*there, *other_paths}
    folders = _folders(taken)
    for path in sorted({*base, *here, *there}):
        action = _decide(base.get(path), here.get(path), there.get(path))
        if action == "upload" and (path in folders or not taken.isdisjoint(_folders([path]))):
            action = "blocked"
        if action is not None:
            steps.append(Step(action, path, here.get(path), there.get(path)))
    return steps


def conflict_path(path: str, blob_hash: str) -> str:
    """Where the folder's version goes: `Note (conflict 4b0c17aa).md`."""
    return f"{path.removesuffix('.md')} (conflict {blob_hash[:8]}).md"


def _decide(base: str | None, here: str | None, there: str | None) -> Action | None:
    if here == there:
        return None
    if here is None:
        return "delete there" if there == base else "download"
    if there is None:
        return "delete here" if here == base else "upload"
    if here == base:
        return "download"
    return "upload" if there == base else "conflict"


def _folders(paths: Collection[str]) -> set[str]:
    found = set()
    for path in paths:
        while (path := path.rpartition("/")[0]) and path not in found:
            found.add(path)
    return found

"""Notes and their links: resolution, walks, backlinks, nearness (lago.md §13).

A link is resolved when it is followed: first by name (of several notes with that name the one whose path sorts first), then by path
without suffix and leading slash, without regard to case. So a note that comes or goes changes what other notes' links
mean without a word of theirs being read again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Set
from typing import Final, NamedTuple

from life.lago.knowledge.links import link_key, note_name, path_key, reference_key

VISITED_AT_MOST: Final = 128
"""How many notes a search for nearness looks at: beyond them a note counts as out of reach."""


class Node(NamedTuple):
    """One note of the graph."""

    path: str
    links: tuple[str, ...]
    """As written."""
    keys: tuple[str, ...]
    """What they are resolved by, each once."""


class Step(NamedTuple):
    """One note of a walk."""

    number: int
    depth: int


class _Followed(dict[int, tuple[int, ...]]):
    """Links that were resolved before; others are when they are asked for."""

    def __init__(self, follow: Callable[[int], tuple[int, ...]]) -> None:
        super().__init__()
        self._follow = follow

    def __missing__(self, number: int) -> tuple[int, ...]:
        followed = self[number] = self._follow(number)
        return followed


class NoteGraph:
    """Links between numbered notes."""

    def __init__(self) -> None:
        self._nodes: dict[int, Node] = {}
        self._numbers: dict[str, int] = {}
        self._paths: list[str] = []
        self._by_name: dict[str, list[tuple[str, int]]] = {}
        self._by_path: dict[str, list[tuple[str, int]]] = {}
        self._referrers: dict[str, set[int]] = {}
        self._followed = _Followed(self._follow)

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, number: int) -> Node:
        return self._nodes[number]

    def numbers(self) -> list[int]:
        """All notes, by path."""
        return [self._numbers[path] for path in self._paths]

    def number(self, path: str) -> int | None:
        """The note at exactly this path."""
        return self._numbers.get(path)

    def below(self, folder: str) -> list[str]:
        """The paths of the notes below a folder."""
        prefix = folder + "/"
        start = end = bisect_left(self._paths, prefix)
        while end < len(self._paths) and self._paths[end].startswith(prefix):
            end += 1
        return self._paths[start:end]

    def add(self, number: int, path: str, links: Iterable[str]) -> None:
        """A new note, or the new links of one that is there (under the same path)."""
        if number in self._nodes:
            self._unlink(number)
        else:
            insort(self._by_name.setdefault(note_name(path).lower(), []), (path, number))
            insort(self._by_path.setdefault(path_key(path), []), (path, number))
            self._numbers[path] = number
            insort(self._paths, path)
            self._forget_referrers(path)
        written = tuple(links)
        keys = tuple(dict.fromkeys(key for key in map(link_key, written) if key))
        self._nodes[number] = Node(path, written, keys)
        for key in keys:
            self._referrers.setdefault(key, set()).add(number)
        self._followed.pop(number, None)

    def remove(self, number: int) -> None:
        """A note is gone."""
        self._unlink(number)
        path = self._nodes.pop(number).path
        del self._numbers[path]
        del self._paths[bisect_left(self._paths, path)]
        for table, key in ((self._by_name, note_name(path).lower()), (self._by_path, path_key(path))):
            entries = table[key]
            del entries[bisect_left(entries, (path, number))]
            if not entries:
                del table[key]
        self._forget_referrers(path)
        self._followed.pop(number, None)

    def resolve(self, key: str) -> int | None:
        """The note that a key (of `link_key` or `reference_key`) means."""
        found = self._by_name.get(key) or self._by_path.get(key.lstrip("/"))
        return found[0][1] if found else None

    def find(self, reference: str) -> int | None:
        """The note that a person's words mean: an exact path, a name, a path, with or without brackets and suffix."""
        exact = self._numbers.get(reference)
        return exact if exact is not None else self.resolve(reference_key(reference))

    def following(self, number: int) -> tuple[int, ...]:
        """The notes that a note's links lead to, in their order, each once, itself left out."""
        return self._followed[number]

    def backlinks(self, number: int) -> list[int]:
        """The notes with a link that leads to this one, itself left out, by path."""
        path = self._nodes[number].path
        found: set[int] = set()
        for key in (note_name(path).lower(), path_key(path), "/" + path_key(path)):
            if self.resolve(key) == number:
                found |= self._referrers.get(key, set())
        found.discard(number)
        return sorted(found, key=lambda other: self._nodes[other].path)

    def walk(self, start: int, *, depth: int, max_notes: int) -> list[Step]:
        """Breadth first along the links, `start` at depth 0, at most `max_notes` in all."""
        found = [Step(start, 0)] if max_notes > 0 else []
        seen = {start}
        for step in found:
            if step.depth >= depth:
                break
            for number in self.following(step.number):
                if len(found) >= max_notes:
                    return found
                if number not in seen:
                    seen.add(number)
                    found.append(Step(number, step.depth + 1))
        return found

    def nearness(self, start: int, targets: Set[int]) -> float:
        """The sum of 1/(1 + hops) over the targets that links lead to: 1 for the note itself, 0 for what is out of reach."""
        total = 1.0 if start in targets else 0.0
        wanted = len(targets) - (start in targets)
        seen, level, hops = {start}, {start}, 0
        while level and wanted and len(seen) < VISITED_AT_MOST:
            hops += 1
            level = set().union(*map(self._followed.__getitem__, level)) - seen
            seen |= level
            reached = len(level & targets)
            total += reached / (1 + hops)
            wanted -= reached
        return total

    def nearness_at_most(self, start: int, targets: Set[int]) -> float:
        """What `nearness` can't exceed, without a walk: 1 for itself, 1/2 for each direct link, 1/3 for all others."""
        own = start in targets
        rest = len(targets) - own
        direct = min(len(self._followed[start]), rest)
        return own + direct / 2 + (rest - direct) / 3

    def _follow(self, number: int) -> tuple[int, ...]:
        targets = dict.fromkeys(map(self.resolve, self._nodes[number].keys))
        return tuple(target for target in targets if target is not None and target != number)

    def _unlink(self, number: int) -> None:
        for key in self._nodes[number].keys:
            referrers = self._referrers[key]
            referrers.discard(number)
            if not referrers:
                del self._referrers[key]

    def _forget_referrers(self, path: str) -> None:
        """Links that may lead to `path` may lead elsewhere from now on."""
        for key in (note_name(path).lower(), path_key(path), "/" + path_key(path)):
            for number in self._referrers.get(key, ()):
                self._followed.pop(number, None)

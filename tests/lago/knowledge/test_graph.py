"""Links between notes: resolution, walks, backlinks, nearness."""

from __future__ import annotations

import random

import pytest

from life.lago.knowledge.graph import NoteGraph, Step


def graph_of(notes: dict[str, list[str]]) -> NoteGraph:
    graph = NoteGraph()
    for number, (path, links) in enumerate(notes.items(), 1):
        graph.add(number, path, links)
    return graph


def path_of(graph: NoteGraph, reference: str) -> str | None:
    number = graph.find(reference)
    return None if number is None else graph[number].path


def test_names_come_before_paths() -> None:
    """First by name, the note whose path sorts first; then by path without suffix and slash; never by case."""
    graph = graph_of({"/z/Lake.md": [], "/a/lake.md": [], "/lake/River.md": [], "/x.md": [], "/y/a/x.md": []})
    assert path_of(graph, "LAKE") == "/a/lake.md"
    assert path_of(graph, "z/lake") == "/z/Lake.md"
    assert path_of(graph, "lake/river") == "/lake/River.md"
    assert path_of(graph, "/z/Lake.md") == "/z/Lake.md"
    assert path_of(graph, "[[y/a/X.md]]") == "/y/a/x.md"
    assert path_of(graph, "a/x") is None
    assert path_of(graph, "") is None
    assert path_of(graph, "../z/Lake") is None


def test_a_note_that_comes_or_goes_changes_what_links_mean() -> None:
    """Without a word of the linking note being read again."""
    graph = graph_of({"/a.md": ["b"]})
    assert graph.following(1) == ()
    graph.add(2, "/z/b.md", [])
    assert graph.following(1) == (2,)
    assert graph.backlinks(2) == [1]
    graph.add(3, "/y/b.md", [])
    assert graph.following(1) == (3,)
    assert graph.backlinks(2) == []
    graph.remove(3)
    assert graph.following(1) == (2,)
    graph.add(1, "/a.md", ["a"])
    assert graph.following(1) == ()
    assert graph.backlinks(2) == []


def test_backlinks_name_each_note_once_and_not_itself() -> None:
    """By path, whatever spelling the link has."""
    graph = graph_of({"/f/b.md": ["b"], "/d.md": ["B", "f/b#x"], "/c.md": ["/f/b"], "/e.md": ["c"]})
    assert [graph[number].path for number in graph.backlinks(1)] == ["/c.md", "/d.md"]


def test_walks_are_breadth_first_within_their_limits() -> None:
    """Depth, count, cycles; a note stands once, at its least depth."""
    graph = graph_of({"/a.md": ["b", "c"], "/b.md": ["a", "d"], "/c.md": ["d", "b"], "/d.md": ["a"], "/e.md": []})
    assert graph.walk(1, depth=0, max_notes=15) == [Step(1, 0)]
    assert graph.walk(1, depth=1, max_notes=15) == [Step(1, 0), Step(2, 1), Step(3, 1)]
    assert graph.walk(1, depth=9, max_notes=15) == [Step(1, 0), Step(2, 1), Step(3, 1), Step(4, 2)]
    assert graph.walk(1, depth=9, max_notes=2) == [Step(1, 0), Step(2, 1)]


def test_nearness_is_one_through_one_plus_hops() -> None:
    """1 for itself, 1/2 for a neighbour, 1/3 behind it, 0 out of reach; along links, not against them."""
    graph = graph_of({"/a.md": ["b"], "/b.md": ["c"], "/c.md": [], "/d.md": ["a"]})
    assert graph.nearness(1, {1}) == 1
    assert graph.nearness(1, {2}) == 1 / 2
    assert graph.nearness(1, {1, 2, 3, 4}) == pytest.approx(1 + 1 / 2 + 1 / 3)
    assert graph.nearness(3, {1, 2}) == 0
    assert graph.nearness(1, set()) == 0


def test_a_graph_that_changed_is_as_one_made_anew() -> None:
    """A thousand random changes: resolution, links and backlinks are those of the notes that are there now."""
    rng = random.Random(7)
    names = [f"{folder}/{name}" for folder in ("", "/x", "/x/y") for name in ("A.md", "a.md", "b.md", "c.md", "d.md")]
    keys = ["a", "b", "c", "d", "x/a", "x/y/b", "/x/c", "e"]
    graph = NoteGraph()
    notes: dict[str, list[str]] = {}
    for _ in range(1000):
        path = rng.choice(names)
        number = names.index(path)
        if path in notes and rng.random() < 0.4:
            graph.remove(number)
            del notes[path]
        else:
            notes[path] = rng.sample(keys, k=rng.randint(0, 4))
            graph.add(number, path, notes[path])
        for other in notes:  # so that resolved links are kept, and have to be forgotten
            graph.following(names.index(other))
    fresh = NoteGraph()
    for path, links in notes.items():
        fresh.add(names.index(path), path, links)
    for path in notes:
        number = names.index(path)
        assert graph.following(number) == fresh.following(number)
        assert graph.backlinks(number) == fresh.backlinks(number)
    assert graph.numbers() == fresh.numbers()
    assert graph.below("/x") == sorted(path for path in notes if path.startswith("/x/"))


def test_the_bound_on_nearness_holds() -> None:
    """Whatever the graph: no note is nearer than it says."""
    rng = random.Random(5)
    for _ in range(200):
        count = rng.randint(1, 12)
        notes = {f"/n{n}.md": [f"n{rng.randrange(count)}" for _ in range(rng.randint(0, 4))] for n in range(count)}
        graph = graph_of(notes)
        targets = set(rng.sample(range(1, count + 1), k=rng.randint(0, count)))
        for number in range(1, count + 1):
            assert graph.nearness(number, targets) <= graph.nearness_at_most(number, targets) + 1e-12

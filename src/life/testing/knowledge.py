"""What every vault promises (life.aios.ports.knowledge). A backend's tests subclass `KnowledgeSuite` and give a fixture `bench`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import NamedTuple

import pytest

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ports.knowledge import Knowledge

LAKE = "---\ntitle: The lake\ntags: [water]\n---\nA lake has water. See [[River]] and [[Missing]].\n"
RIVER = "The river feeds the [[Lake|big lake]] with cold currents.\n"
STONE = "Nothing but stones, and `[[Lake]]` in code.\n"


class KnowledgeBench(NamedTuple):
    """A vault under test, empty at first."""

    knowledge: Knowledge
    write: Callable[[str, str], Awaitable[None]]
    """Give the note at a path (it begins with `/`) this text; the next answer knows it."""
    remove: Callable[[str], Awaitable[None]]
    """Take a note away."""


class KnowledgeSuite:
    """The promises of the port."""

    @pytest.fixture
    async def bench(self) -> KnowledgeBench:
        """The vault under test; a backend's own subclass says which."""
        raise pytest.UsageError("a subclass of KnowledgeSuite needs a fixture `bench`")

    @pytest.fixture
    async def knowledge(self, bench: KnowledgeBench) -> Knowledge:
        """Three notes."""
        for path, text in (("/w/Lake.md", LAKE), ("/w/River.md", RIVER), ("/Stone.md", STONE)):
            await bench.write(path, text)
        return bench.knowledge

    async def test_an_empty_vault_answers(self, bench: KnowledgeBench) -> None:
        """With nothing."""
        assert await bench.knowledge.search("lake") == []
        assert (await bench.knowledge.assemble("lake", budget_tokens=100)).text == ""
        with pytest.raises(NotFoundError):
            await bench.knowledge.note("lake")
        with pytest.raises(NotFoundError):
            await bench.knowledge.traverse("lake")

    async def test_results_are_best_first_with_their_source(self, knowledge: Knowledge) -> None:
        """Path, metadata, lines, links and the content's hash."""
        first, *others = await knowledge.search("lake water")
        assert (first.path, first.name) == ("/w/Lake.md", "Lake")
        assert first.frontmatter == {"title": "The lake", "tags": ["water"]}
        assert first.excerpts == ("A lake has water. See [[River]] and [[Missing]].",)
        assert first.links == ("River", "Missing")
        assert first.blob_hash == sha256(LAKE.encode()).hexdigest()
        assert all(hit.score <= first.score for hit in others)
        assert len(await knowledge.search("lake", limit=1)) == 1
        assert await knowledge.search("nowhere") == []

    async def test_answers_know_what_was_written_and_removed(self, bench: KnowledgeBench, knowledge: Knowledge) -> None:
        """Right away."""
        await bench.write("/w/Lake.md", "A meadow by now.")
        await bench.remove("/Stone.md")
        assert [hit.path for hit in await knowledge.search("meadow")] == ["/w/Lake.md"]
        assert await knowledge.search("stones") == []
        with pytest.raises(NotFoundError):
            await knowledge.note("stone")

    @pytest.mark.parametrize(
        "reference", ["Lake", "lake", "[[Lake]]", "[[Lake#x|y]]", "w/lake", "/w/Lake.md", "Lake.md"]
    )
    async def test_a_note_has_many_names(self, knowledge: Knowledge, reference: str) -> None:
        """Name, path, brackets, suffix; with its backlinks."""
        note = await knowledge.note(reference)
        assert (note.path, note.backlinks) == ("/w/Lake.md", ("/w/River.md",))
        assert note.body == "A lake has water. See [[River]] and [[Missing]].\n"

    async def test_a_walk_is_breadth_first(self, knowledge: Knowledge) -> None:
        """Within depth and number, whatever goes round in circles."""
        walk = await knowledge.traverse("river", depth=9)
        assert [(note.path, note.depth) for note in walk] == [("/w/River.md", 0), ("/w/Lake.md", 1)]
        assert [note.path for note in await knowledge.traverse("lake", depth=0)] == ["/w/Lake.md"]
        assert len(await knowledge.traverse("lake", depth=3, max_notes=1)) == 1
        for unfit in ({"depth": -1}, {"max_notes": 0}):
            with pytest.raises(InvalidInputError):
                await knowledge.traverse("lake", **unfit)

    @pytest.mark.parametrize("budget", [1, 20, 45, 90, 1000])
    async def test_context_cites_and_keeps_to_its_budget(self, knowledge: Knowledge, budget: int) -> None:
        """At four characters a token."""
        context = await knowledge.assemble("lake river", budget_tokens=budget)
        assert len(context.text) <= 4 * context.tokens
        assert context.tokens <= budget
        assert context.tokens == sum(excerpt.tokens for excerpt in context.excerpts)
        for excerpt in context.excerpts:
            assert f"{excerpt.path} · " in context.text
            assert f"sha256 {excerpt.blob_hash}" in context.text
        if budget == 1000:
            assert {excerpt.path for excerpt in context.excerpts} == {"/w/Lake.md", "/w/River.md", "/Stone.md"}

    @pytest.mark.parametrize(
        "query", ["", " ", '"', "lake AND (", "NEAR(x y)", "w:lake", "*", "'; --", "\x00", "🌊", "a" * 5000]
    )
    async def test_no_query_is_an_error(self, knowledge: Knowledge, query: str) -> None:
        """Words are words, and what is none is passed over."""
        for hit in await knowledge.search(query, recent=True):
            assert "lake" in query
            assert hit.path != ""
        await knowledge.assemble(query, budget_tokens=50)

    @pytest.mark.parametrize("limit", [0, -1, 1_000_000])
    async def test_limits_are_checked(self, knowledge: Knowledge, limit: int) -> None:
        """A number of results that can't be meant."""
        with pytest.raises(InvalidInputError):
            await knowledge.search("lake", limit=limit)
        with pytest.raises(InvalidInputError):
            await knowledge.assemble("lake", budget_tokens=min(limit, 0))

"""knowledge_search, with the vault asked for by session."""

from __future__ import annotations

import msgspec

from life.aios.errors import UnavailableError
from life.aios.json import Json
from life.aios.ports.knowledge import AssembledContext, Knowledge, LinkedNote, NoteHit, NoteView
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.registry import ToolRegistry
from life.praxis.tools.knowledge_search import KnowledgeSearch


class OneNote:
    """A vault with a single note: a fake that matches on its text only. The real one is tested in tests/lago."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def search(self, query: str, *, limit: int = 10, recent: bool = False) -> list[NoteHit]:
        """The note, when it holds the query."""
        if query not in self.text:
            return []
        return [
            NoteHit(
                path="/n.md",
                name="n",
                frontmatter=None,
                excerpts=(self.text,),
                links=(),
                score=0.123456,
                sequence=7,
                blob_hash="0" * 64,
            )
        ][:limit]

    async def note(self, reference: str) -> NoteView:
        """Not asked here."""
        raise AssertionError

    async def traverse(self, target: str, *, depth: int = 1, max_notes: int = 15) -> list[LinkedNote]:
        """Not asked here."""
        raise AssertionError

    async def assemble(self, query: str, *, budget_tokens: int) -> AssembledContext:
        """Not asked here."""
        raise AssertionError


VAULTS: dict[str, Knowledge] = {"sess-1": OneNote("the owner's secret plan"), "sess-2": OneNote("another plan")}


async def vault_of(context: ToolContext) -> Knowledge | None:
    """By session, as the host decides it."""
    if context.session_id == "sess-broken":
        raise UnavailableError("The index is being built.")
    return VAULTS.get(context.session_id)


async def ask(context: ToolContext, session_id: str, query: str) -> dict[str, Json]:
    """One search as that session."""
    registry = ToolRegistry()
    registry.register(KnowledgeSearch(vault_of))
    call = ToolCall("c", "knowledge_search", {"query": query})
    assert registry.capabilities(call, context) == ("memory:read:knowledge",)
    outcome = await registry.execute(call, msgspec.structs.replace(context, session_id=session_id))
    return msgspec.convert(outcome.output, dict[str, Json])


async def test_only_the_owners_notes(context: ToolContext) -> None:
    """Each session searches what the host gives it; one without notes finds nothing; citations come along."""
    found = await ask(context, "sess-1", "plan")
    assert found["results"] == [
        {
            "path": "/n.md",
            "name": "n",
            "excerpts": ["the owner's secret plan"],
            "score": 0.1235,
            "sequence": 7,
            "blob_hash": "0" * 64,
        }
    ]
    assert (await ask(context, "sess-2", "secret"))["count"] == 0
    assert (await ask(context, "sess-3", "plan"))["count"] == 0


async def test_a_vault_that_does_not_answer(context: ToolContext) -> None:
    """An error the model can read."""
    assert "The index is being built." in str((await ask(context, "sess-broken", "x"))["error"])

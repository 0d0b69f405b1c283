"""Memory and knowledge: what the agent remembers, what waits to be remembered, and the notes that a search finds."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.record import USER
from life.arcan.memory.scopes import Place as MemoryPlace
from life.arcan.memory.scopes import check_scope, user_stream
from life.host.pages.areas.room import Place, Room, back_to
from life.host.pages.listing import listed
from life.host.pages.parts import (
    Block,
    Button,
    Card,
    Choice,
    Code,
    Column,
    Fact,
    Facts,
    Field,
    Form,
    Row,
    Tab,
    Table,
    View,
)
from life.host.pages.transcript import as_text
from life.host.pages.visit import Visit
from life.host.pages.words import Words

_SCOPES: Final = ("user", "agent", "org")
_MOST: Final = 5_000
_MOST_HITS: Final = 50


class MemoryPages:
    """The handlers. Whose memory: the operator's, the agent's, or the installation's."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._memory = room.system.equipment.memory

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/memory", self.memories),
            Place("/memory/proposals", self.proposals),
            Place("/memory/proposals/{proposal_id}", self.decide, "POST"),
            Place("/memory/{memory_id}", self.memory),
            Place("/memory/{memory_id}/forget", self.forget, "POST"),
            Place("/knowledge", self.knowledge),
            Place("/knowledge/note", self.note),
        ]

    async def memories(self, visit: Visit) -> View:
        """What is remembered in a scope, newest first."""
        say = visit.say
        scope = check_scope(visit.query.get("scope", "user"))
        found = await self._memory.service.query(self._place(), scope, limit=_MOST)
        rows: list[Row] = [
            {
                "scope": each.scope,
                "content": each.content,
                "created": each.created_us,
                "expires": each.expires_at_us,
                "memory_id": each.memory_id,
                "path": each.path,
                "blob": each.blob_hash,
            }
            for each in found
        ]
        columns = [
            Column("content", say("Remembered"), href=lambda row: f"/memory/{row['memory_id']}"),
            Column("created", say("Since (UTC)"), "time"),
            Column("expires", say("Until (UTC)"), "time"),
            Column("scope", say("Scope"), "tag"),
            Column("memory_id", say("Id"), "code", shown=False),
            Column("path", say("Note"), "code", shown=False),
            Column("blob", say("Content"), "code", shown=False),
        ]
        choice = Choice("scope", say("Scope"), [(name, say.known(name)) for name in _SCOPES], "user")
        table = listed(visit.query, columns, rows, empty=say("Nothing is remembered in this scope."), choices=[choice])
        return View(say("Memory"), [table], f"life memory list --scope {scope}", tabs=_tabs(say))

    async def memory(self, visit: Visit) -> View:
        """One memory in full."""
        say = visit.say
        found = await self._memory.service.get(self._place(), visit.part("memory_id"))
        facts = [
            Fact(say("Scope"), found.scope, "tag"),
            Fact(say("Since (UTC)"), found.created_us, "time"),
            Fact(say("Until (UTC)"), found.expires_at_us, "time"),
            Fact(say("Note"), found.path, "code"),
            Fact(say("Content"), found.blob_hash, "code"),
        ]
        form = Form(
            f"/memory/{found.memory_id}/forget",
            [Button(say("Forget it"), quiet=True)],
            [Field("scope", "", "hidden", found.scope), Field("reason", say("Reason, for the journal"), most=500)],
            note=say("It shows no more; the events stay in the journal."),
        )
        return View(
            found.memory_id,
            [Code(found.content), Facts(facts), form],
            f"life memory show {found.memory_id}",
            tabs=_tabs(say),
        )

    async def forget(self, visit: Visit) -> Response:
        """Let a memory show no more."""
        form = await visit.form()
        scope = check_scope(form.get("scope", ""))
        await self._memory.service.forget(
            self._place(),
            visit.part("memory_id"),
            scope=scope,
            reason=form.get("reason", "").strip()[:500] or "forgotten by a person",
            actor=USER,
        )
        return back_to(f"/memory?scope={scope}")

    async def proposals(self, visit: Visit) -> View:
        """What waits to be remembered, oldest first."""
        say = visit.say
        cards: list[Card] = []
        rows: list[Row] = []
        for name in _SCOPES:
            for proposal, content in await self._memory.service.proposals(self._place(), check_scope(name)):
                text = "\n\n".join(entry.content for entry in content.entries)
                rows.append(
                    {"scope": name, "proposed": proposal.at_us, "content": text, "proposal_id": proposal.proposal_id}
                )
                action = f"/memory/proposals/{proposal.proposal_id}"
                hidden = [Field("scope", "", "hidden", name)]
                forms = [
                    Form(
                        action,
                        [
                            Button(say("Remember it"), "decision", "commit"),
                            Button(say("Forget it"), "decision", "forget", quiet=True),
                        ],
                        hidden,
                    )
                ]
                facts = [Fact(say("Scope"), name, "tag"), Fact(say("Proposed (UTC)"), proposal.at_us, "time")]
                cards.append(Card(proposal.key or proposal.proposal_id, facts, text, forms, "wait"))
        columns = [
            Column("proposed", say("Proposed (UTC)"), "time"),
            Column("scope", say("Scope"), "tag"),
            Column("content", say("Content")),
            Column("proposal_id", say("Id"), "code", shown=False),
        ]
        table = listed(
            visit.query,
            columns,
            rows,
            empty=say("Nothing waits to be remembered."),
            title=say("All that waits"),
            searches=False,
        )
        return View(say("Proposals"), [*cards[:50], table], "life memory list --proposals", tabs=_tabs(say))

    async def decide(self, visit: Visit) -> Response:
        """Remember a proposal, or drop it."""
        form = await visit.form()
        proposal_id, decision = visit.part("proposal_id"), form.get("decision", "")
        if decision == "commit":
            await self._memory.service.commit(self._place(), proposal_id, actor=USER)
        elif decision == "forget":
            scope = check_scope(form.get("scope", ""))
            await self._memory.service.forget(
                self._place(), proposal_id, scope=scope, reason="refused by a person", actor=USER
            )
        else:
            raise InvalidInputError("The decision must be commit or forget.")
        return back_to("/memory/proposals")

    async def knowledge(self, visit: Visit) -> View:
        """Notes of the operator's sessions that hold the words; each with the event that it comes from."""
        say = visit.say
        words = visit.query.get("q", "")[:200].strip()
        vault = await self._memory.knowledge(user_stream(""))
        hits = await vault.search(words, limit=_MOST_HITS) if words else []
        rows: list[Row] = [
            {
                "name": hit.name,
                "path": hit.path,
                "excerpt": " … ".join(hit.excerpts),
                "links": hit.links,
                "score": hit.score,
                "sequence": hit.sequence,
                "blob": hit.blob_hash,
            }
            for hit in hits
        ]
        columns = [
            Column("name", say("Note"), href=lambda row: f"/knowledge/note?path={_quoted(str(row['path']))}"),
            Column("excerpt", say("Excerpt")),
            Column("links", say("Links"), "code"),
            Column("score", say("Score"), "number"),
            Column("path", say("Path"), "code", shown=False),
            Column("sequence", say("Sequence"), "number", shown=False),
            Column("blob", say("Content"), "code", shown=False),
        ]
        empty = say("No note holds these words.") if words else say("Say what you look for.")
        table = Table(columns, rows, rows, empty, chosen={"q": words}, first=1 if rows else 0, total=len(rows))
        lead = say("Notes that the agent wrote down, found by their words, each with the event that it comes from.")
        return View(say("Knowledge"), [table], "life knowledge search", tabs=_tabs(say), lead=lead)

    async def note(self, visit: Visit) -> View:
        """One note with what links to it."""
        say = visit.say
        vault = await self._memory.knowledge(user_stream(""))
        found = await vault.note(visit.query.get("path", "")[:1024])
        facts = [
            Fact(say("Path"), found.path, "code"),
            Fact(say("Changed (UTC)"), found.updated_at_us, "time"),
            Fact(say("Links"), found.links, "code"),
            Fact(say("Linked from"), found.backlinks, "code"),
            Fact(say("Sequence"), found.sequence, "number"),
            Fact(say("Content"), found.blob_hash, "code"),
        ]
        blocks: list[Block] = [Code(found.body), Facts(facts)]
        if found.frontmatter:
            blocks.append(Code(as_text(found.frontmatter), say("Frontmatter"), open=False))
        return View(found.name, blocks, "life knowledge show", tabs=_tabs(say))

    def _place(self) -> MemoryPlace:
        return MemoryPlace("", self._room.system.identity.agent_id, by_operator=True)


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _tabs(say: Words) -> tuple[Tab, ...]:
    return (
        Tab(say("Remembered"), "/memory"),
        Tab(say("Proposals"), "/memory/proposals"),
        Tab(say("Knowledge"), "/knowledge"),
    )

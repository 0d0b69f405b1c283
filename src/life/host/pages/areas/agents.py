"""Agents: the project's own with soul, grants, tools and model, and those that can be called, with a test run."""

from __future__ import annotations

import asyncio
import json

from starlette.responses import Response

from life.aios.errors import NotFoundError
from life.aios.json import Json
from life.anima.report import report_of
from life.arcan.agents.definition import AgentDefinition
from life.arcan.agents.running import start_agent
from life.host.agents import open_agents
from life.host.pages.areas.room import Place, Room, back_to
from life.host.pages.listing import listed
from life.host.pages.parts import Block, Button, Code, Column, Fact, Facts, Field, Form, Note, Row, View
from life.host.pages.transcript import as_text
from life.host.pages.visit import Visit


class AgentPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/agents", self.agents),
            Place("/agents/{name}", self.agent),
            Place("/agents/{name}/try", self.try_out, "POST"),
        ]

    async def agents(self, visit: Visit) -> View:
        """The project's own agent, and the agents that it can call."""
        say, system = visit.say, self._room.system
        state = system.registry.state(system.identity.agent_id)
        origin, settings = system.identity.soul.origin, system.settings
        facts = [
            Fact(say("Name"), origin.name, href="/anima"),
            Fact(say("Mission"), origin.mission),
            Fact(say("DID"), system.identity.did, "code"),
            Fact(say("Model"), settings.model.provider, "code", "/system/models"),
            Fact(say("Tools"), len(system.runtime.tool_names), "number", "/praxis"),
            Fact(say("Soul hash"), system.identity.soul.soul_hash, "code"),
            Fact(say("Commands are asked about"), settings.sandbox.confirm, "yes", "/policy"),
        ]
        if state is not None and state.identity is not None:
            report = report_of(state, at_us=system.clock.now_us(), as_of_seq=0)
            facts.append(Fact(say("Grants"), len(report.grants), "number", "/anima/grants"))
        found = await asyncio.to_thread(open_agents, system.data, system.environment)
        rows: list[Row] = [
            {
                "name": each.name,
                "description": each.description,
                "model": each.model,
                "max_turns": each.max_turns,
                "tools": None if each.allowed_tools is None else each.allowed_tools,
                "ready": self._is_ready(each),
                "digest": each.digest,
                "path": each.path,
            }
            for each in found.agents
        ]
        columns = [
            Column("name", say("Agent"), href=lambda row: f"/agents/{row['name']}"),
            Column("description", say("What it is for")),
            Column("model", say("Model"), "code"),
            Column("max_turns", say("Most turns"), "number"),
            Column("tools", say("Tools"), "code"),
            Column("ready", say("Ready"), "yes"),
            Column("digest", say("Digest"), "code", shown=False),
            Column("path", say("File"), "code", shown=False),
        ]
        table = listed(
            visit.query,
            columns,
            rows,
            empty=say("No agents are here. `life agents new NAME` begins one."),
            title=say("Agents that can be called"),
        )
        problems: list[Block] = [Note(f"{bad.path}: {bad.reason}", "bad") for bad in found.problems]
        return View(say("Agents"), [Facts(facts, say("This agent")), table, *problems], "life agents list")

    async def agent(self, visit: Visit) -> View:
        """One agent whole."""
        say, system = visit.say, self._room.system
        found = await asyncio.to_thread(open_agents, system.data, system.environment)
        agent = found.find(visit.part("name"))
        if agent is None:
            raise NotFoundError("There is no such agent.", next_step="life agents list")
        facts = [
            Fact(say("What it is for"), agent.description),
            Fact(say("Model"), agent.model or say("its parent's"), "code"),
            Fact(say("Tools"), say("all that its parent has") if agent.allowed_tools is None else agent.allowed_tools),
            Fact(say("Most turns"), agent.max_turns, "number"),
            Fact(say("Most tokens"), agent.max_tokens, "number"),
            Fact(say("Most cost"), agent.max_cost_micro, "price"),
            Fact(say("Most seconds"), agent.max_time_s, "number"),
            Fact(say("File"), agent.path, "code"),
            Fact(say("Digest"), agent.digest, "code"),
        ]
        blocks: list[Block] = [Facts(facts), *(Note(remark, "wait") for remark in agent.remarks)]
        blocks.append(Code(agent.instructions, say("Instructions")))
        for schema, words in ((agent.input_schema, say("Input")), (agent.output_schema, say("Answer"))):
            if schema is not None:
                blocks.append(Code(as_text(schema), words, open=False))
        if self._is_ready(agent):
            blocks.append(
                Form(
                    f"/agents/{agent.name}/try",
                    [Button(say("Try it out"))],
                    [Field("input", say("Input: text, or JSON where the agent wants that"), "area", required=True)],
                    title=say("A test run"),
                    note=say("It runs in a session of its own."),
                )
            )
        else:
            blocks.append(
                Note(say("Its file came or changed after the daemon started; it runs after the next start."), "wait")
            )
        return View(agent.name, blocks, f"life agents show {agent.name}")

    def _is_ready(self, agent: AgentDefinition) -> bool:
        """Whether the runtime has this very file: it reads them when it starts."""
        known = self._room.system.runtime.agents.find(agent.name)
        return known is not None and known.digest == agent.digest

    async def try_out(self, visit: Visit) -> Response:
        """Run an agent on an input, in a session of its own."""
        form = await visit.form()
        begun = await start_agent(self._room.system.runtime, visit.part("name"), _input(form.get("input", "")))
        return back_to(f"/s/{begun.session_id}")


def _input(text: str) -> Json:
    """JSON objects and arrays as such; anything else is text."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found

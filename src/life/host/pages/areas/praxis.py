"""Tools, skills, MCP servers and the sandbox: what the agent can do, where it comes from, what is held back until a person accepts it."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from life.aios.errors import LifeError, NotFoundError
from life.aios.ports.tools import ToolDefinition
from life.host.mcp_clients import known_servers, trust_store
from life.host.pages.areas.room import Place, Room
from life.host.pages.listing import listed
from life.host.pages.parts import (
    Block,
    Button,
    Choice,
    Code,
    Column,
    Fact,
    Facts,
    Form,
    Note,
    Row,
    Tab,
    Table,
    Tone,
    View,
)
from life.host.pages.transcript import as_text
from life.host.pages.visit import Visit
from life.host.pages.words import Words
from life.host.sandboxes import sandbox_findings, sandbox_limits
from life.praxis.mcp.config import ServerConfig

_RESULTS: dict[str, Tone] = {"enforced": "good", "not_enforced": "wait", "broken": "bad", "unavailable": ""}


class PraxisPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/praxis", self.tools),
            Place("/praxis/tools/{name}", self.tool),
            Place("/praxis/skills", self.skills),
            Place("/praxis/skills/{name}", self.skill),
            Place("/praxis/mcp", self.servers),
            Place("/praxis/sandboxes", self.sandbox),
            Place("/praxis/sandboxes", self.try_sandboxes, "POST"),
        ]

    async def tools(self, visit: Visit) -> View:
        """Every tool of the daemon."""
        say = visit.say
        rows: list[Row] = [
            {
                "name": tool.name,
                "description": tool.description,
                "category": tool.category,
                "effect": "reads" if tool.annotations.read_only else "changes",
                "asks": tool.annotations.requires_confirmation,
                "timeout": tool.timeout_s,
            }
            for tool in self._definitions()
        ]
        columns = [
            Column("name", say("Tool"), "code", href=lambda row: f"/praxis/tools/{row['name']}"),
            Column("description", say("What it does")),
            Column("category", say("Kind"), "tag"),
            Column("effect", say("Effect"), "tag", tone=lambda row: "wait" if row["effect"] == "changes" else ""),
            Column("asks", say("Asks first"), "yes"),
            Column("timeout", say("Most seconds"), "number"),
        ]
        kinds = sorted({str(row["category"]) for row in rows})
        choices = [
            Choice("category", say("Kind"), [(name, say.known(name)) for name in kinds]),
            Choice("effect", say("Effect"), [(name, say.known(name)) for name in ("reads", "changes")]),
        ]
        table = listed(visit.query, columns, rows, empty=say("The agent has no tools."), choices=choices)
        return View(say("Tools"), [table], "life mcp list", tabs=_tabs(say))

    async def tool(self, visit: Visit) -> View:
        """One tool, as a model sees it."""
        say, name = visit.say, visit.part("name")
        tool = next((each for each in self._definitions() if each.name == name), None)
        if tool is None:
            raise NotFoundError("There is no such tool.")
        hints = tool.annotations
        facts = [
            Fact(say("What it does"), tool.description, "long"),
            Fact(say("Kind"), tool.category, "tag"),
            Fact(say("Only reads"), hints.read_only, "yes"),
            Fact(say("May destroy"), hints.destructive, "yes"),
            Fact(say("Twice is as once"), hints.idempotent, "yes"),
            Fact(say("Reaches out"), hints.open_world, "yes"),
            Fact(say("Asks first"), hints.requires_confirmation, "yes"),
            Fact(say("Most seconds"), tool.timeout_s, "number"),
            Fact(say("Expensive"), tool.cost_class == "expensive", "yes"),
        ]
        return View(
            tool.name, [Facts(facts), Code(as_text(tool.input_schema), say("Input"))], "life mcp list", tabs=_tabs(say)
        )

    async def skills(self, visit: Visit) -> View:
        """Instructions for special tasks, and the folders that give none."""
        say, catalogue = visit.say, self._room.system.equipment.skills.catalogue
        rows: list[Row] = [
            {
                "name": skill.name,
                "description": skill.manifest.description,
                "signature": skill.signature,
                "signer": skill.signer,
                "files": len(skill.files),
                "folder": skill.folder,
            }
            for skill in catalogue.skills
        ]
        columns = [
            Column("name", say("Skill"), href=lambda row: f"/praxis/skills/{row['name']}"),
            Column("description", say("What it is for")),
            Column(
                "signature", say("Signature"), "tag", tone=lambda row: "good" if row["signature"] == "trusted" else ""
            ),
            Column("files", say("Files"), "number"),
            Column("signer", say("Signer"), "code", shown=False),
            Column("folder", say("Folder"), "code", shown=False),
        ]
        table = listed(visit.query, columns, rows, empty=say("No skills are here."))
        problems: list[Block] = [Note(f"{each.folder}: {each.reason}", "bad") for each in catalogue.problems]
        return View(say("Skills"), [table, *problems], "life skills list", tabs=_tabs(say))

    async def skill(self, visit: Visit) -> View:
        """One skill whole."""
        say, name = visit.say, visit.part("name")
        found = next((each for each in self._room.system.equipment.skills.catalogue.skills if each.name == name), None)
        if found is None:
            raise NotFoundError("There is no such skill.")
        manifest = found.manifest
        facts = [
            Fact(say("What it is for"), manifest.description),
            Fact(say("Signature"), found.signature, "tag"),
            Fact(say("Signer"), found.signer, "code"),
            Fact(say("Tools"), say("all") if manifest.allowed_tools is None else manifest.allowed_tools, "code"),
            Fact(say("Folder"), found.folder, "code"),
            Fact(say("Files"), found.bundled, "code"),
        ]
        blocks: list[Block] = [Facts(facts), Code(manifest.body, say("Instructions"))]
        return View(found.name, blocks, f"life skills show {found.name}", tabs=_tabs(say))

    async def servers(self, visit: Visit) -> View:
        """The configured MCP servers. Secrets of their entries are not shown."""
        say, system = visit.say, self._room.system
        problem = ""
        rows: list[Row] = []
        try:
            known = await asyncio.to_thread(known_servers, system.data, system.settings.mcp, system.environment)
            trust = await asyncio.to_thread(trust_store, system.data)
            for server in known.servers:
                accepted = trust.is_accepted(server.name, server.entry)
                state = "off" if not server.enabled else "accepted" if accepted else "waits for you"
                rows.append(
                    {
                        "name": server.name,
                        "state": state,
                        "transport": "stdio" if server.command is not None else "http",
                        "where": _where(server),
                        "tools": len(trust.tools(server.name)),
                    }
                )
            problem = "; ".join(known.problems)
        except LifeError as error:
            problem = f"{error.message} [{error.code}]"
        columns = [
            Column("name", say("Server"), "code"),
            Column("state", say("State"), "tag", tone=lambda row: "good" if row["state"] == "accepted" else "wait"),
            Column("transport", say("Transport"), "tag"),
            Column("where", say("Where"), "code"),
            Column("tools", say("Accepted tools"), "number"),
        ]
        table = listed(
            visit.query,
            columns,
            rows,
            empty=say("No MCP servers are configured. `.mcp.json` beside the data directory names them."),
        )
        blocks: list[Block] = [table, *([Note(problem, "bad")] if problem else [])]
        blocks.append(Note(say("A server runs only after a person accepted its very entry: `life mcp accept NAME`.")))
        return View(say("MCP servers"), blocks, "life mcp list", tabs=_tabs(say))

    async def sandbox(self, visit: Visit) -> View:
        """Where commands run, and how much they may use."""
        return self._sandbox(visit, None)

    async def try_sandboxes(self, visit: Visit) -> View | Response:
        """Try what every backend promises; about ten seconds."""
        await visit.form()
        system = self._room.system
        found = await sandbox_findings(system.settings.sandbox, clock=system.clock)
        return self._sandbox(
            visit,
            [
                {
                    "backend": each.backend,
                    "chosen": each.chosen,
                    "guarantee": each.guarantee or each.area,
                    "result": each.result,
                    "says": each.says,
                }
                for each in found
            ],
        )

    def _sandbox(self, visit: Visit, rows: list[Row] | None) -> View:
        say, system = visit.say, self._room.system
        settings, limits = system.settings.sandbox, sandbox_limits(system.settings.sandbox)
        facts = [
            Fact(say("Backend"), settings.backend, "tag"),
            Fact(say("Asks before each command"), settings.confirm, "yes"),
            Fact(say("Hosts that commands may reach"), settings.allow_hosts or say("none"), "code"),
            Fact(say("Variables that commands get"), settings.pass_environment, "code"),
            Fact(say("Most seconds"), settings.max_time_s, "number"),
            Fact(say("Memory"), limits.memory_bytes, "bytes"),
            Fact(say("Processes"), limits.processes, "number"),
            Fact(say("Largest file"), limits.file_bytes, "bytes"),
        ]
        blocks: list[Block] = [Facts(facts)]
        if system.equipment.warning is not None:
            blocks.append(Note(system.equipment.warning, "wait"))
        form = Form(
            "/praxis/sandboxes",
            [Button(say("Try every promise"))],
            note=say("Each backend's guarantees are tried by running something; it takes a while."),
        )
        if rows is not None:
            columns = [
                Column("backend", say("Backend"), "tag"),
                Column("chosen", say("Chosen"), "yes"),
                Column("guarantee", say("Guarantee"), "code"),
                Column("result", say("Result"), "tag", tone=lambda row: _RESULTS.get(str(row["result"]), "")),
                Column("says", say("Finding")),
            ]
            blocks.append(Table(columns, rows, rows, "", title=say("What was tried"), searches=False))
        return View(say("Sandbox"), [*blocks, form], "life doctor", tabs=_tabs(say))

    def _definitions(self) -> list[ToolDefinition]:
        return sorted(self._room.system.equipment.toolbox.definitions(), key=lambda tool: tool.name)


def _where(server: ServerConfig) -> str:
    """The program, or the host: arguments and addresses may hold secrets."""
    if server.command is not None:
        return server.command
    scheme, _, rest = (server.url or "").partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"


def _tabs(say: Words) -> tuple[Tab, ...]:
    return (
        Tab(say("Tools"), "/praxis"),
        Tab(say("Skills"), "/praxis/skills"),
        Tab(say("MCP servers"), "/praxis/mcp"),
        Tab(say("Sandbox"), "/praxis/sandboxes"),
    )

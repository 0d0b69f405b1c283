"""How the daemon is doing: health, parts with reasons, configuration with secrets hidden, its log, backups."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from typing import Final

import apsw
from starlette.responses import Response

import life
from life.aios.errors import LifeError
from life.host.backups import open_repository
from life.host.pages.areas.room import Place, Room
from life.host.pages.listing import listed
from life.host.pages.parts import (
    Block,
    Button,
    Choice,
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
from life.host.pages.visit import Visit
from life.host.pages.words import Words
from life.host.settings import describe

_PACKAGES: Final = (
    ("apsw", "keeps the journal"),
    ("starlette", "answers requests"),
    ("uvicorn", "speaks HTTP"),
    ("msgspec", "reads and writes events"),
    ("cryptography", "signs and seals"),
    ("httpx2", "asks others"),
    ("jinja2", "draws these pages"),
    ("anthropic", "asks Anthropic's models"),
    ("openai", "asks OpenAI's models, and compatible ones"),
    ("google-genai", "asks Google's models"),
    ("mcp", "speaks MCP"),
    ("a2a-sdk", "speaks A2A"),
    ("opentelemetry-sdk", "exports spans"),
    ("nats-py", "speaks to NATS"),
    ("textual", "draws the terminal"),
    ("uvloop", "makes the loop quick"),
    ("solders", "signs for Solana"),
)
"""What each is for, in words of the catalogue. What is missing is an extra that was not chosen."""

_DAEMONS: Final = ("arcand", "autonomicd", "spacesd", "lagod", "mcpd")
_RESULTS: Final[dict[str, Tone]] = {"ok": "good", "warning": "wait", "failed": "bad", "skipped": "", "info": ""}
_SECRET: Final = ("token", "key", "secret", "password", "passphrase", "credential", "pin")
_LEVELS: Final = ("info", "warning", "error", "critical")


class SystemPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/system", self.health),
            Place("/system/check", self.check_form),
            Place("/system/check", self.check, "POST"),
            Place("/system/versions", self.versions),
            Place("/system/configuration", self.configuration),
            Place("/system/logs", self.logs),
            Place("/system/backup", self.backup),
        ]

    async def health(self, visit: Visit) -> View:
        """Every part, how it stands and why; and the next useful step."""
        say, system, settings = visit.say, self._room.system, self._room.system.settings
        uptime = self._room.uptime_s
        figures = [
            Fact(say("Version"), life.__version__),
            Fact(say("Up for"), say("{hours} h {minutes} min", hours=uptime // 3600, minutes=uptime // 60 % 60)),
            Fact(say("Streams"), len(await system.journal.streams()), "number", "/lago"),
            Fact(say("Free disk"), shutil.disk_usage(system.data.root).free, "bytes"),
        ]
        rows = self._roster(say)
        columns = [
            Column("part", say("Part"), href=lambda row: str(row["href"])),
            Column("state", say("State"), "tag", tone=lambda row: _STATES.get(str(row["state"]), "")),
            Column("why", say("Why")),
            Column("href", say("Address"), "code", shown=False),
        ]
        table = listed(visit.query, columns, rows, empty="", title=say("Parts"), searches=False)
        facts = Facts(
            [
                Fact(say("Data directory"), str(system.data.root.resolve()), "code"),
                Fact(say("Journal engine"), settings.journal.engine, "tag", "/lago"),
                Fact(say("Journal writer"), settings.daemon.journal_writer, "tag"),
                Fact(say("Programs"), "/openapi.json", "code", "/openapi.json"),
                Fact(say("Health for programs"), "/health", "code", "/health"),
            ],
            say("Where things are"),
        )
        blocks: list[Block] = [Facts(figures, figures=True), *await self._next_step(say), table, facts]
        return View(say("System"), blocks, "life status", tabs=system_tabs(say))

    async def _next_step(self, say: Words) -> list[Note]:
        system = self._room.system
        waiting = len(await system.runtime.pending_approvals()) + len(
            (await self._room.approvals.page(limit=500)).tickets
        )
        if waiting:
            return [Note(say("Somebody waits for your decision."), "wait", href="/inbox", link=say("Open the inbox"))]
        if system.settings.model.provider.startswith("scripted"):
            words = say(
                "The model is the scripted one, which follows fixed rules. A key, or a local server, gives the agent a model that thinks."
            )
            return [Note(words, href="/system/models", link=say("Models and keys"))]
        return []

    def _roster(self, say: Words) -> list[Row]:
        system, settings = self._room.system, self._room.system.settings
        failure = system.autonomic.failure
        spaces = system.spaces
        rows: list[Row] = [
            {"part": say("Runtime"), "state": "up", "why": settings.model.provider, "href": "/sessions"},
            {"part": say("Journal"), "state": "up", "why": settings.journal.engine, "href": "/lago"},
            {"part": say("Identity"), "state": "up", "why": system.identity.custody, "href": "/anima"},
            {
                "part": say("Finance"),
                "state": "up" if settings.payments.enabled else "off",
                "why": settings.payments.network,
                "href": "/finance",
            },
            {
                "part": say("Regulation"),
                "state": "failing" if failure else "up" if settings.autonomic.enabled else "off",
                "why": failure or "",
                "href": "/autonomic",
            },
            {
                "part": say("Sandbox"),
                "state": "off" if settings.sandbox.backend == "off" else "up",
                "why": system.equipment.warning or settings.sandbox.backend,
                "href": "/praxis/sandboxes",
            },
            {
                "part": say("Spaces"),
                "state": "up" if spaces.is_on else "off",
                "why": settings.spaces.place,
                "href": "/spaces",
            },
            {
                "part": say("Telemetry"),
                "state": "off" if system.telemetry is None else "up",
                "why": "" if system.telemetry is None else ", ".join(system.telemetry.config.exporters),
                "href": "/vigil",
            },
        ]
        for daemon in _DAEMONS:
            found = system.data.address_of(daemon)
            if found is not None:
                rows.append({"part": daemon, "state": "up", "why": found, "href": "/system"})
        return rows

    async def check_form(self, visit: Visit) -> View:
        """What the check does, and the button."""
        return self._checked(visit, None)

    async def check(self, visit: Visit) -> View | Response:
        """`life doctor --quick`, here."""
        from life.host.doctor import Checks, diagnose  # with everything that it tries

        await visit.form()
        system = self._room.system
        rows: list[Row] = []
        async for found in diagnose(system.data.root, system.environment, Checks(network=False, sandbox=False)):
            rows.append({"check": found.check, "result": found.result, "says": found.says, "next": found.next_step})
        return self._checked(visit, rows)

    def _checked(self, visit: Visit, rows: list[Row] | None) -> View:
        say = visit.say
        form = Form("/system/check", [Button(say("Check now"))])
        lead = say(
            "Everything that the project needs is tried by using it. Nothing is changed, and nothing leaves this machine."
        )
        if rows is None:
            return View(say("Check"), [form], "life doctor", tabs=system_tabs(say), lead=lead)
        columns = [
            Column("check", say("Check")),
            Column("result", say("Result"), "tag", tone=lambda row: _RESULTS.get(str(row["result"]), "")),
            Column("says", say("Finding")),
            Column("next", say("Next step")),
        ]
        table = Table(columns, rows, rows, "", searches=False)
        return View(say("Check"), [table, form], "life doctor", tabs=system_tabs(say), lead=lead)

    async def versions(self, visit: Visit) -> View:
        """What runs, and what for."""
        say = visit.say
        rows: list[Row] = [
            {"name": "lifeos", "version": life.__version__, "why": say("everything here")},
            {"name": "Python", "version": platform.python_version(), "why": say("runs it")},
            {"name": "SQLite", "version": apsw.sqlite_lib_version(), "why": say("keeps the journal")},
            {"name": platform.system(), "version": platform.release(), "why": sys.platform},
        ]
        for name, why in _PACKAGES:
            try:
                version = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                version = ""
            rows.append({"name": name, "version": version, "why": say.known(why)})
        columns = [
            Column("name", say("Package"), "code"),
            Column("version", say("Version"), "code"),
            Column("why", say("What it does here")),
        ]
        table = listed(visit.query, columns, rows, empty="")
        return View(
            say("Versions"),
            [table],
            "life doctor",
            tabs=system_tabs(say),
            lead=say("A package without a version is an extra that was not chosen."),
        )

    async def configuration(self, visit: Visit) -> View:
        """Every setting in force. Secrets are not settings; names of files with secrets are shown, their contents never."""
        say, system = visit.say, self._room.system
        rows: list[Row] = [
            {
                "name": name,
                "value": _hidden(say, name, value),
                "variable": variable,
                "given": bool(system.environment.get(variable)),
            }
            for name, variable, value in describe(system.settings)
        ]
        columns = [
            Column("name", say("Setting"), "code"),
            Column("value", say("Value"), "code"),
            Column("variable", say("Variable"), "code"),
            Column("given", say("From the environment"), "yes"),
        ]
        choice = Choice("given", say("From the environment"), [("yes", say("yes")), ("no", say("no"))])
        table = listed(visit.query, columns, rows, empty="", choices=[choice])
        facts = Facts([Fact(say("File"), str(system.data.config.resolve()), "code")])
        return View(say("Configuration"), [facts, table], "life settings", tabs=system_tabs(say))

    async def logs(self, visit: Visit) -> View:
        """What the daemon said since it started, newest first."""
        say = visit.say
        rows: list[Row] = [
            {"time": line.at_us, "level": line.level, "logger": line.logger, "message": line.message}
            for line in self._room.log.lines()
        ]
        columns = [
            Column("time", say("Time (UTC)"), "time"),
            Column(
                "level",
                say("Level"),
                "tag",
                tone=lambda row: (
                    "bad" if row["level"] in ("error", "critical") else "wait" if row["level"] == "warning" else ""
                ),
            ),
            Column("logger", say("From"), "code"),
            Column("message", say("Message")),
        ]
        choice = Choice("level", say("Level"), [(name, say.known(name)) for name in _LEVELS])
        table = listed(
            visit.query, columns, rows, empty=say("The daemon has said nothing worth a line."), choices=[choice]
        )
        return View(say("Log"), [table], "life up", tabs=system_tabs(say))

    async def backup(self, visit: Visit) -> View:
        """The backups at the place that LIFE_BACKUP names, newest first."""
        say, system = visit.say, self._room.system
        place = system.environment.get("LIFE_BACKUP", "")
        rows: list[Row] = []
        blocks: list[Block] = []
        if place and not place.startswith("s3://"):
            try:
                async with open_repository(
                    place, clock=system.clock, entropy=system.entropy, environment=system.environment
                ) as repository:
                    for backup in reversed(await repository.backups()):
                        manifest = await repository.read(backup)
                        rows.append({"backup": backup, "made": manifest.created_at, "events": manifest.journal.events})
            except LifeError as error:
                blocks.append(Note(f"{error.message} [{error.code}]", "bad"))
        columns = [
            Column("backup", say("Backup"), "code"),
            Column("made", say("Made"), "code"),
            Column("events", say("Events"), "number"),
        ]
        table = listed(
            visit.query,
            columns,
            rows,
            empty=say("No backups are known here. Set LIFE_BACKUP to the folder that holds them."),
        )
        facts = Facts([Fact(say("Place"), place.partition("?")[0], "code")])
        note = Note(
            say("A backup holds the journal and its contents, not the identity: keep seed.enc and its key elsewhere.")
        )
        return View(
            say("Backup"), [facts, table, *blocks, note], "life backup create --to FOLDER", tabs=system_tabs(say)
        )


_STATES: Final[dict[str, Tone]] = {"up": "good", "off": "", "failing": "bad"}


def _hidden(say: Words, name: str, value: str) -> str:
    """The value, unless its name says that it might be a secret and it is no name of a file."""
    last = name.rpartition(".")[2]
    is_secret = any(word in last.split("_") for word in _SECRET)
    return say("hidden") if is_secret and value else value


def system_tabs(say: Words) -> tuple[Tab, ...]:
    """The views of the system, models among them."""
    return (
        Tab(say("Health"), "/system"),
        Tab(say("Check"), "/system/check"),
        Tab(say("Versions"), "/system/versions"),
        Tab(say("Configuration"), "/system/configuration"),
        Tab(say("Log"), "/system/logs"),
        Tab(say("Backup"), "/system/backup"),
        Tab(say("Models"), "/system/models"),
    )

"""The journal and what lies beside it: streams, blobs, snapshots, checkpoints; and "verify", which reads every event again."""

from __future__ import annotations

import asyncio
from typing import Final

import apsw
from starlette.responses import Response

from life.aios.errors import LifeError, NotFoundError
from life.aios.ports.journal import EventQuery
from life.aios.record import Stream
from life.host.journal_proof import signing_keys
from life.host.pages.areas.room import Place, Room
from life.host.pages.areas.sessions import event_columns, event_row
from life.host.pages.listing import address, listed, number
from life.host.pages.parts import Block, Button, Column, Fact, Facts, Form, Note, Row, Tab, Table, View
from life.host.pages.visit import Visit
from life.host.pages.words import Words
from life.lago.journal import schema
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.statistics import Statistics, statistics_of
from life.lago.journal.verification import verify_file
from life.lago.proof.checkpoints import read_checkpoints, verify_checkpoints

_EVENTS_PER_PAGE: Final = 200
_MOST_BLOBS: Final = 20_000
_MOST_CHECKPOINTS: Final = 20_000


class LagoPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/lago", self.streams),
            Place("/lago/events", self.events),
            Place("/lago/kinds", self.kinds),
            Place("/lago/blobs", self.blobs),
            Place("/lago/snapshots", self.snapshots),
            Place("/lago/checkpoints", self.checkpoints),
            Place("/lago/verify", self.verify_form),
            Place("/lago/verify", self.verify, "POST"),
        ]

    async def streams(self, visit: Visit) -> View:
        """Every stream of the journal."""
        say, system = visit.say, self._room.system
        streams = await system.journal.streams()
        rows: list[Row] = [{"session": stream.session_id, "branch": stream.branch_id} for stream in reversed(streams)]
        columns = [
            Column("session", say("Stream"), "code", href=_stream_href),
            Column("branch", say("Branch"), "code"),
        ]
        table = listed(visit.query, columns, rows, empty=say("The journal is empty."), title=say("Streams"))
        blocks: list[Block] = []
        if self._is_file:
            found: Statistics = await asyncio.to_thread(statistics_of, system.data.journal)
            blocks.append(
                Facts(
                    [
                        Fact(say("Events"), found.events, "number"),
                        Fact(say("Sessions"), found.sessions, "number"),
                        Fact(say("File"), found.file_bytes + found.log_bytes, "bytes"),
                        Fact(say("Contents"), found.payload_bytes, "bytes", "/lago/blobs"),
                    ],
                    figures=True,
                )
            )
            blocks.append(table)
        else:
            blocks.append(Facts([Fact(say("Engine"), system.settings.journal.engine, "tag")]))
            blocks.append(table)
        return View(say("Journal"), blocks, "lago journal stats", tabs=_tabs(say))

    async def kinds(self, visit: Visit) -> View:
        """How many events there are of each kind, and how much room they take."""
        say, system = visit.say, self._room.system
        rows: list[Row] = []
        if self._is_file:
            found = await asyncio.to_thread(statistics_of, system.data.journal)
            rows = [{"kind": each.kind, "events": each.events, "bytes": each.payload_bytes} for each in found.kinds]
        columns = [
            Column("kind", say("Kind"), "code"),
            Column("events", say("Events"), "number"),
            Column("bytes", say("Size"), "bytes"),
        ]
        table = listed(visit.query, columns, rows, empty=say("Nothing is counted yet."))
        return View(say("Kinds of events"), [table], "lago journal stats", tabs=_tabs(say))

    async def events(self, visit: Visit) -> View:
        """The events of any stream, page by page."""
        say, journal = visit.say, self._room.system.journal
        stream = Stream(visit.query.get("stream", "")[:255], visit.query.get("branch", "main")[:255])
        head = (await journal.head(stream)).sequence
        if head == 0:
            raise NotFoundError("The journal has no such stream.")
        after = number(visit.query.get("after"), 0)
        records = await journal.read(EventQuery(*stream, after_sequence=after), limit=_EVENTS_PER_PAGE)
        last = records[-1].sequence if records else after
        kept = {"stream": stream.session_id, "branch": stream.branch_id}
        rows = [event_row(record) for record in records]
        table = Table(
            event_columns(say),
            rows,
            rows,
            say("There are no events after this one."),
            searches=False,
            previous=address(kept, after=max(0, after - _EVENTS_PER_PAGE)) if after else "",
            following=address(kept, after=last) if last < head else "",
        )
        facts = Facts(
            [
                Fact(say("Stream"), stream.session_id, "code"),
                Fact(say("Branch"), stream.branch_id, "code"),
                Fact(say("Events"), head, "number"),
            ]
        )
        return View(say("Events"), [facts, table], "lago journal tail", tabs=_tabs(say))

    async def blobs(self, visit: Visit) -> View:
        """Contents by their hash."""
        say = visit.say
        rows: list[Row] = []
        async for each in self._room.system.equipment.blobs.stored():
            if len(rows) == _MOST_BLOBS:
                break
            rows.append({"hash": each.hash, "bytes": each.stored_bytes, "written": each.written_at_us})
        columns = [
            Column("hash", say("SHA-256"), "code"),
            Column("bytes", say("On disk"), "bytes"),
            Column("written", say("Written (UTC)"), "time"),
        ]
        table = listed(visit.query, columns, rows, empty=say("No contents are stored."))
        blocks: list[Block] = [table]
        if len(rows) == _MOST_BLOBS:
            blocks.append(Note(say("There are more; the command lists them all."), "wait"))
        return View(say("Blobs"), blocks, "lago blobs list", tabs=_tabs(say))

    async def snapshots(self, visit: Visit) -> View:
        """What projections keep for a quick start. All of it can be thrown away and folded again."""
        say = visit.say
        rows = await asyncio.to_thread(self._kept) if self._is_file else []
        columns = [
            Column("name", say("Projection"), "code"),
            Column("version", say("Version"), "number"),
            Column("position", say("Up to position"), "number"),
            Column("bytes", say("Size"), "bytes"),
        ]
        table = listed(visit.query, columns, rows, empty=say("No snapshots are kept yet."))
        return View(say("Snapshots"), [table], "lago journal stats", tabs=_tabs(say))

    def _kept(self) -> list[Row]:
        path = self._room.system.data.journal
        connection = schema.connect(path, purpose="read")
        try:
            found = schema.fetch(
                connection, "SELECT name, version, position, length(state) FROM snapshot ORDER BY name, version"
            )
        except apsw.Error as error:
            raise schema.explain(error, path) from None
        finally:
            connection.close()
        return [{"name": row[0], "version": row[1], "position": row[2], "bytes": row[3]} for row in found]

    async def checkpoints(self, visit: Visit) -> View:
        """How far each branch reached, signed by the agent; newest first."""
        say = visit.say
        found = await read_checkpoints(self._room.system.journal)
        rows: list[Row] = [
            {
                "at": record.timestamp_us,
                "session": checkpoint.session_id,
                "branch": checkpoint.branch_id,
                "sequence": checkpoint.sequence,
                "digest": checkpoint.digest,
                "root": checkpoint.root,
            }
            for record, checkpoint in reversed(found[-_MOST_CHECKPOINTS:])
        ]
        columns = [
            Column("at", say("Signed (UTC)"), "time"),
            Column("session", say("Stream"), "code"),
            Column("branch", say("Branch"), "code"),
            Column("sequence", say("Sequence"), "number"),
            Column("digest", say("Digest"), "code"),
            Column("root", say("Root"), "code", shown=False),
        ]
        table = listed(
            visit.query,
            columns,
            rows,
            empty=say("No checkpoints yet; the daemon signs one for each branch now and then."),
        )
        return View(say("Checkpoints"), [table], "lago journal checkpoint", tabs=_tabs(say))

    async def verify_form(self, visit: Visit) -> View:
        """What verifying does, and the button."""
        return self._verified(visit, None)

    async def verify(self, visit: Visit) -> View | Response:
        """Read every event again, and check every digest and every signature of a checkpoint."""
        await visit.form()
        say, system = visit.say, self._room.system
        rows: list[Row] = []
        try:
            if self._is_file:
                if isinstance(system.journal, SqliteJournal):
                    found = await system.journal.verify()
                else:
                    found = await asyncio.to_thread(verify_file, system.data.journal)
                words = say(
                    "{events} events in {streams} streams: every digest holds.",
                    events=found.events,
                    streams=found.streams,
                )
                rows.append({"check": say("digests"), "result": "ok", "says": words})
        except LifeError as error:
            rows.append({"check": say("digests"), "result": "failed", "says": error.message})
        try:
            keys = await signing_keys(system.journal, system.identity.agent_id)
            checked = await verify_checkpoints(system.journal, keys)
            words = say(
                "{count} checkpoints, {events} events covered", count=checked.checkpoints, events=checked.events_covered
            )
            rows.append({"check": say("checkpoints"), "result": "ok", "says": words})
        except LifeError as error:
            rows.append({"check": say("checkpoints"), "result": "failed", "says": error.message})
        return self._verified(visit, rows)

    def _verified(self, visit: Visit, rows: list[Row] | None) -> View:
        say = visit.say
        form = Form(
            "/lago/verify", [Button(say("Verify now"))], note=say("A journal of a million events takes some seconds.")
        )
        if rows is None:
            return View(say("Verify the journal"), [form], "lago journal verify", tabs=_tabs(say))
        failed = any(row["result"] != "ok" for row in rows)
        verdict = Note(say("Something does not hold."), "bad") if failed else Note(say("Everything holds."), "good")
        columns = [
            Column("check", say("Check")),
            Column("result", say("Result"), "tag", tone=lambda row: "good" if row["result"] == "ok" else "bad"),
            Column("says", say("Finding")),
        ]
        table = Table(columns, rows, rows, "", searches=False)
        return View(say("Verify the journal"), [verdict, table, form], "lago journal verify", tabs=_tabs(say))

    @property
    def _is_file(self) -> bool:
        return self._room.system.settings.journal.engine == "sqlite"


def _stream_href(row: Row) -> str:
    return "/lago/events" + address({"stream": str(row["session"]), "branch": str(row["branch"])})


def _tabs(say: Words) -> tuple[Tab, ...]:
    return (
        Tab(say("Streams"), "/lago"),
        Tab(say("Kinds of events"), "/lago/kinds"),
        Tab(say("Blobs"), "/lago/blobs"),
        Tab(say("Snapshots"), "/lago/snapshots"),
        Tab(say("Checkpoints"), "/lago/checkpoints"),
        Tab(say("Verify"), "/lago/verify"),
    )

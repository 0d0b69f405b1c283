"""Identity: who the agent is, what its custody can do, its rotations, its grants; and "verify now", which really tries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response

from life.aios.errors import LifeError
from life.aios.record import parse_timestamp
from life.anima.home import read_identity
from life.anima.report import IdentityReport, report_of
from life.crypto import jws
from life.crypto.errors import CryptoError
from life.host.errors import HostError
from life.host.journal_proof import signing_keys
from life.host.pages.areas.room import Place, Room
from life.host.pages.listing import listed
from life.host.pages.parts import Button, Choice, Column, Fact, Facts, Form, Note, Row, Tab, Table, View
from life.host.pages.visit import Visit
from life.host.pages.words import Words
from life.lago.proof.checkpoints import verify_checkpoints


class AnimaPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/anima", self.identity),
            Place("/anima/rotations", self.rotations),
            Place("/anima/grants", self.grants),
            Place("/anima/verify", self.verify_form),
            Place("/anima/verify", self.verify, "POST"),
        ]

    async def identity(self, visit: Visit) -> View:
        """Public facts only; the seed never leaves custody."""
        say, identity = visit.say, self._room.system.identity
        report, origin = self._report(), identity.soul.origin
        facts = [
            Fact(say("Name"), origin.name),
            Fact(say("Mission"), origin.mission),
            Fact(say("DID"), identity.did, "code"),
            Fact(say("Root DID"), report.root_did, "code"),
            Fact(say("Agent id"), identity.agent_id, "code"),
            Fact(say("State"), say.known(report.lifecycle), "tag", tone="good" if report.active else "bad"),
            Fact(say("Wallet"), report.wallet.address, "code", "/finance"),
            Fact(say("Chain"), report.wallet.chain, "code"),
            Fact(say("Soul hash"), report.soul_hash, "code"),
            Fact(say("Born (UTC)"), parse_timestamp(origin.created_at), "time"),
            Fact(say("Generation"), report.generation, "number"),
        ]
        custody = [
            Fact(say("Keys are held by"), report.custody, "tag"),
            Fact(say("Security"), report.security, "tag"),
            Fact(say("Signs"), report.operations, "code"),
            Fact(say("A person confirms payments"), report.user_confirmation, "yes"),
            Fact(say("The key can be taken out"), report.exportable, "yes"),
            Fact(say("Seed"), say("sealed in {file}", file=identity.seed_path.name))
            if identity.custody == "in_process"
            else Fact(say("Seed"), say("not here")),
        ]
        values = [
            Fact(say("Most that may be granted"), report.capability_ceiling, "code"),
            Fact(say("Never"), [each.description for each in identity.soul.values.safety_constraints], "long"),
            Fact(say("Violations"), report.violations, "number"),
        ]
        return View(
            say("Identity"),
            [Facts(facts), Facts(custody, say("Custody")), Facts(values, say("Soul"))],
            "life identity show",
            tabs=_tabs(say),
        )

    async def rotations(self, visit: Visit) -> View:
        """Every key that the identity has had. What does not verify is no part of the chain."""
        say = visit.say
        rows: list[Row] = [
            {
                "at": parse_timestamp(each.rotated_at),
                "old": each.old_did,
                "new": each.new_did,
                "sequence": each.rotated_at_seq,
                "proof": each.proof,
            }
            for each in reversed(self._report().chain)
        ]
        columns = [
            Column("at", say("Rotated (UTC)"), "time"),
            Column("old", say("Old DID"), "code"),
            Column("new", say("New DID"), "code"),
            Column("sequence", say("Sequence"), "number"),
            Column("proof", say("Proof"), "tag", tone=lambda _: "good"),
        ]
        table = listed(visit.query, columns, rows, empty=say("The identity still has the key that it was born with."))
        note = Note(say("The key is rotated in the terminal, while the daemon does not run: it holds the old key."))
        return View(say("Rotations"), [table, note], "life identity rotate", tabs=_tabs(say))

    async def grants(self, visit: Visit) -> View:
        """What the agents of this journal may do at the daemons."""
        say, system = visit.say, self._room.system
        rows: list[Row] = []
        for agent_id in system.registry.agents():
            state = system.registry.state(agent_id)
            if state is None:
                continue
            rows += [
                {
                    "agent": agent_id,
                    "capability": grant.capability,
                    "by": grant.granted_by,
                    "at": parse_timestamp(grant.granted_at),
                    "until": None if grant.expires_at is None else parse_timestamp(grant.expires_at),
                    "conditions": len(grant.constraints),
                }
                for grant in state.active_grants(system.clock.now_us())
            ]
        columns = [
            Column("agent", say("Agent"), "code"),
            Column("capability", say("May"), "code"),
            Column("by", say("Granted by"), "code"),
            Column("at", say("Granted (UTC)"), "time"),
            Column("until", say("Until (UTC)"), "time"),
            Column("conditions", say("Conditions"), "number"),
        ]
        agents = [(each, each) for each in system.registry.agents()]
        table = listed(
            visit.query,
            columns,
            rows,
            empty=say("Nothing was granted. `life identity grant` lets an agent do something."),
            choices=[Choice("agent", say("Agent"), agents)] if len(agents) > 1 else [],
        )
        return View(say("Grants"), [table], "life identity grant", tabs=_tabs(say))

    async def verify_form(self, visit: Visit) -> View:
        """What verifying does, and the button."""
        return self._verify_view(visit, None)

    async def verify(self, visit: Visit) -> View | Response:
        """Try everything now."""
        await visit.form()
        return self._verify_view(visit, [check async for check in self._checks(visit.say)])

    def _verify_view(self, visit: Visit, rows: list[Row] | None) -> View:
        say = visit.say
        form = Form("/anima/verify", [Button(say("Verify now"))])
        lead = say(
            "soul.json is read and its seal checked, the key signs and the signature is verified, the journal is asked what it says of the identity, and every checkpoint's signature is checked."
        )
        if rows is None:
            return View(say("Verify"), [form], "life identity doctor", tabs=_tabs(say), lead=lead)
        columns = [
            Column("check", say("Check")),
            Column("result", say("Result"), "tag", tone=lambda row: "good" if row["result"] == "ok" else "bad"),
            Column("says", say("Finding")),
        ]
        failed = any(row["result"] != "ok" for row in rows)
        verdict = Note(say("Something does not hold."), "bad") if failed else Note(say("Everything holds."), "good")
        table = Table(columns, rows, rows, "", searches=False)
        return View(say("Verify"), [verdict, table, form], "life identity doctor", tabs=_tabs(say), lead=lead)

    async def _checks(self, say: Words) -> AsyncIterator[Row]:
        system = self._room.system
        try:
            read = await asyncio.to_thread(read_identity, system.data.identity)
            same = (read.did, read.soul.soul_hash) == (system.identity.did, system.identity.soul.soul_hash)
            yield _row(
                say("soul.json"), same, read.did if same else say("It is not the identity that this daemon opened.")
            )
        except LifeError as error:
            yield _row(say("soul.json"), False, error.message)
        try:
            token = await system.custody.sign_token({"iss": system.identity.did, "type": "life.verify"})
            signer = jws.verify(token, typ="JWT").signer.did
            yield _row(say("key"), signer == system.identity.did, signer)
        except (LifeError, CryptoError) as error:
            yield _row(say("key"), False, str(error))
        try:
            report = self._report()
            yield _row(say("journal"), report.active and report.did == system.identity.did, say.known(report.lifecycle))
        except LifeError as error:
            yield _row(say("journal"), False, error.message)
        try:
            keys = await signing_keys(system.journal, system.identity.agent_id)
            found = await verify_checkpoints(system.journal, keys)
            words = say(
                "{count} checkpoints, {events} events covered", count=found.checkpoints, events=found.events_covered
            )
            yield _row(say("checkpoints"), True, words)
        except LifeError as error:
            yield _row(say("checkpoints"), False, error.message)

    def _report(self) -> IdentityReport:
        system = self._room.system
        state = system.registry.state(system.identity.agent_id)
        if state is None:
            raise HostError("The journal does not know this identity.")
        return report_of(
            state,
            at_us=system.clock.now_us(),
            as_of_seq=system.registry.sequence_of(system.identity.agent_id),
            capabilities=system.custody.capabilities(),
        )


def _row(check: str, holds: bool, says: str) -> Row:
    return {"check": check, "result": "ok" if holds else "failed", "says": says}


def _tabs(say: Words) -> tuple[Tab, ...]:
    return (
        Tab(say("Identity"), "/anima"),
        Tab(say("Rotations"), "/anima/rotations"),
        Tab(say("Grants"), "/anima/grants"),
        Tab(say("Verify"), "/anima/verify"),
    )

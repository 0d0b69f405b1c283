"""What a new session may do, what a person is asked about, and which session rules stand."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from life.arcan.errors import SessionNotFoundError
from life.host.pages.areas.room import Place, Room, back_to
from life.host.pages.listing import listed
from life.host.pages.parts import Button, Card, Choice, Column, Fact, Facts, Field, Form, Note, Row, View
from life.host.pages.visit import Visit

_LOOKED_AT: Final = 50
"""Of the newest sessions the rules are shown."""


class PolicyPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [Place("/policy", self.policy), Place("/policy/rules", self.revoke, "POST")]

    async def policy(self, visit: Visit) -> View:
        """Capabilities of new sessions, and what was allowed for running ones."""
        say, system = visit.say, self._room.system
        policy = system.equipment.policy
        rows: list[Row] = [{"capability": each, "ruling": "asks"} for each in policy.gate_capabilities]
        rows += [{"capability": each, "ruling": "allowed"} for each in policy.allow_capabilities]
        columns = [
            Column("capability", say("Capability"), "code"),
            Column("ruling", say("Ruling"), "tag", tone=lambda row: "wait" if row["ruling"] == "asks" else "good"),
        ]
        choice = Choice("ruling", say("Ruling"), [(name, say.known(name)) for name in ("allowed", "asks")])
        table = listed(
            visit.query,
            columns,
            rows,
            empty=say("Nothing is permitted."),
            title=say("What a new session may do"),
            choices=[choice],
        )
        settings = system.settings
        facts = Facts(
            [
                Fact(say("Commands are asked about"), settings.sandbox.confirm, "yes", "/praxis/sandboxes"),
                Fact(say("Private hosts that tools may reach"), settings.tools.allow_private_hosts, "code"),
                Fact(say("Tools of other servers that need no approval"), settings.mcp.allow, "code", "/praxis/mcp"),
                Fact(
                    say("Paid without asking up to"),
                    settings.payments.auto_approve_cap_micro,
                    "money",
                    "/finance/policy",
                ),
                Fact(say("Regulation"), settings.autonomic.enabled, "yes", "/autonomic"),
            ],
            say("Beside it"),
        )
        note = Note(say("What no line names is denied. Lines that ask go before lines that allow."))
        return View(say("Policy"), [table, note, facts, *await self._rules(visit)], "life settings")

    async def _rules(self, visit: Visit) -> list[Card]:
        say, runtime = visit.say, self._room.system.runtime
        cards = []
        for summary in (await runtime.sessions())[:_LOOKED_AT]:
            if summary.state == "closed":
                continue
            try:
                state = await runtime.state(summary.session_id)
            except SessionNotFoundError:
                continue
            for rule in state.rules:
                form = Form(
                    "/policy/rules",
                    [Button(say("Take it back"), quiet=True)],
                    [
                        Field("session", "", "hidden", state.session_id),
                        Field("rule", "", "hidden", rule.rule_id),
                    ],
                )
                facts = [
                    Fact(say("Session"), state.session_id, "code", f"/s/{state.session_id}"),
                    Fact(say("May"), rule.patterns, "code"),
                    Fact(say("Allowed by"), rule.by),
                    Fact(say("Since (UTC)"), rule.since_us, "time"),
                ]
                cards.append(
                    Card(
                        rule.tool_name,
                        [fact for fact in facts if fact.value],
                        forms=[form],
                        tag=say("allowed for this session"),
                    )
                )
        return cards

    async def revoke(self, visit: Visit) -> Response:
        """Take back what was allowed for a session."""
        form = await visit.form()
        await self._room.system.runtime.revoke_rule(form.get("session", ""), form.get("rule", ""), actor="page")
        return back_to("/policy")

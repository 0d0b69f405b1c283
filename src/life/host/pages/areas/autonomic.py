"""What keeps the agent within its means and its limits: pillars, what is held back and why, the decisions of the past, trust."""

from __future__ import annotations

from typing import Final

from life.aios.events import Custom
from life.aios.ids import MAIN_BRANCH
from life.aios.record import Stream
from life.autonomic.events import PREFIX, STREAM_NAME
from life.autonomic.trust import trust_score
from life.autonomic.words import held_back, title
from life.host.pages.areas.room import Place, Room
from life.host.pages.listing import listed
from life.host.pages.parts import Block, Choice, Column, Fact, Facts, Note, Row, Tab, View
from life.host.pages.transcript import as_text
from life.host.pages.visit import Visit
from life.host.pages.words import Words

_MOST: Final = 1_000


class AutonomicPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/autonomic", self.pillars),
            Place("/autonomic/sessions", self.sessions),
            Place("/autonomic/sessions/{session_id}", self.session),
            Place("/autonomic/history", self.history),
        ]

    async def pillars(self, visit: Visit) -> View:
        """The agent over all its sessions."""
        say, autonomic = visit.say, self._room.system.autonomic
        agent = autonomic.agent(autonomic.agent_id)
        state, trust = agent.state, trust_score(agent.state)
        figures = [
            Fact(say("Mode of means"), autonomic.mode(), "tag"),
            Fact(say("May still spend"), _means(say, state.economic.balance_micro_credits), "money"),
            Fact(say("Trust"), trust.score, "percent"),
            Fact(say("Stand still"), agent.suspended, "number", "/autonomic/sessions?suspended=yes"),
        ]
        economic, cognitive, operational = state.economic, state.cognitive, state.operational
        blocks: list[Block] = [Facts(figures, figures=True)]
        if autonomic.failure:
            blocks.append(Note(autonomic.failure, "bad"))
        blocks += [
            Facts(
                [
                    Fact(say("Runs"), cognitive.turns_completed, "number"),
                    Fact(say("Errors"), operational.total_errors, "number"),
                    Fact(say("Successes"), operational.total_successes, "number"),
                    Fact(say("Refused by the gate"), operational.total_denials, "number"),
                    Fact(say("Errors in a row"), operational.error_streak, "number"),
                    Fact(say("Errors of late"), operational.recent_error_rate, "percent"),
                ],
                say("Does it work?"),
            ),
            Facts(
                [
                    Fact(say("Tokens in all"), cognitive.total_tokens_used, "number"),
                    Fact(say("Context used"), cognitive.context_pressure, "percent"),
                    Fact(say("Tokens left to the run"), cognitive.tokens_remaining, "number"),
                    Fact(say("Compactions"), cognitive.compaction_count, "number"),
                ],
                say("Is there room to think?"),
            ),
            Facts(
                [
                    Fact(say("Costs in all"), economic.lifetime_costs, "money"),
                    Fact(say("Revenue in all"), economic.lifetime_revenue, "money"),
                    Fact(say("Costs of the last minutes"), economic.cost_last_5min, "money"),
                    Fact(say("A month at this rate"), economic.monthly_burn_estimate, "money"),
                    Fact(say("Days that it lasts"), economic.runway_days, "number"),
                ],
                say("Can it pay?"),
            ),
            Facts(
                [
                    Fact(say("Tier"), trust.tier, "tag"),
                    Fact(say("Trajectory"), trust.trajectory, "tag"),
                    Fact(say("Evidence"), trust.evidence, "number"),
                    Fact(say("Stable"), agent.stability.is_stable, "yes"),
                ],
                say("Can it be relied on?"),
            ),
            Note(say("Deposits and waking are commands: `life autonomic deposit`, `life autonomic wake`.")),
        ]
        return View(say("Autonomic"), blocks, "life autonomic explain", tabs=_tabs(say))

    async def sessions(self, visit: Visit) -> View:
        """Every session that ran, and what is held back in it."""
        say, autonomic = visit.say, self._room.system.autonomic
        rows: list[Row] = []
        for stream, vitals in autonomic.homeostasis.streams():
            if not vitals.turns and not vitals.run_open:
                continue
            rows.append(
                {
                    "session": stream.session_id,
                    "branch": stream.branch_id,
                    "runs": vitals.turns,
                    "suspended": bool(vitals.suspended),
                    "why": vitals.suspended,
                    "last": vitals.last_event_ms * 1000,
                }
            )
        rows.sort(key=lambda row: -int(row["last"] or 0))  # type: ignore[arg-type]
        columns = [
            Column("session", say("Session"), "code", href=lambda row: f"/autonomic/sessions/{row['session']}"),
            Column("branch", say("Branch"), "code"),
            Column("runs", say("Runs"), "number"),
            Column("suspended", say("Stands still"), "yes"),
            Column("why", say("Why")),
            Column("last", say("Last event (UTC)"), "time"),
        ]
        choice = Choice("suspended", say("Stands still"), [("yes", say("yes")), ("no", say("no"))])
        table = listed(visit.query, columns, rows, empty=say("No session has run here yet."), choices=[choice])
        return View(say("Sessions under regulation"), [table], "life status", tabs=_tabs(say))

    async def session(self, visit: Visit) -> View:
        """What is permitted in one session now, and which rule made it so."""
        say, autonomic = visit.say, self._room.system.autonomic
        session_id = visit.part("session_id")
        branch = visit.query.get("branch", MAIN_BRANCH)[:255]
        picture = await autonomic.picture(Stream(session_id, branch))
        cognitive, gates = picture.state.cognitive, picture.verdict.profile.operational
        facts = [
            Fact(say("Session"), session_id, "code", f"/s/{session_id}"),
            Fact(say("Economic mode"), picture.verdict.profile.economic.economic_mode, "tag"),
            Fact(say("Context used"), cognitive.context_pressure, "percent"),
            Fact(say("Ruling on the context"), picture.verdict.context.ruling, "tag"),
            Fact(say("Approval from this risk on"), gates.require_approval_for_risk, "tag"),
            Fact(say("Tool calls per step"), gates.max_tool_calls_per_tick, "number"),
            Fact(say("Files changed per step"), gates.max_file_mutations_per_tick, "number"),
        ]
        rows: list[Row] = [
            {"what": fact.what, "value": fact.value, "rules": tuple(title(rule) for rule in fact.rules)}
            for fact in held_back(picture)
        ]
        columns = [
            Column("what", say("Held back")),
            Column("value", say("To")),
            Column("rules", say("Because of")),
        ]
        table = listed(
            visit.query, columns, rows, empty=say("Nothing is held back."), searches=False, title=say("Held back now")
        )
        return View(
            say("Regulation of {session}", session=session_id),
            [Facts(facts), table, *(Note(reason) for reason in picture.verdict.profile.rationale)],
            f"life autonomic explain {session_id}",
            tabs=_tabs(say),
        )

    async def history(self, visit: Visit) -> View:
        """Deposits and charges of the agent, newest first."""
        say, autonomic = visit.say, self._room.system.autonomic
        records = await autonomic.history(Stream(STREAM_NAME), _MOST)
        rows: list[Row] = []
        for record in reversed(records):
            kind = record.kind
            if isinstance(kind, Custom):
                rows.append(
                    {
                        "time": record.timestamp_us,
                        "what": kind.event_type.removeprefix(PREFIX),
                        "data": as_text(kind.data),
                        "sequence": record.sequence,
                    }
                )
        columns = [
            Column("time", say("Time (UTC)"), "time"),
            Column("what", say("What"), "code"),
            Column("data", say("Content"), "fold"),
            Column("sequence", say("Sequence"), "number", shown=False),
        ]
        table = listed(visit.query, columns, rows, empty=say("Nothing was deposited or charged."))
        return View(say("Deposits and charges"), [table], "life autonomic history", tabs=_tabs(say))


def _means(say: Words, balance: int | None) -> int | str:
    return say("not metered") if balance is None else balance


def _tabs(say: Words) -> tuple[Tab, ...]:
    return (
        Tab(say("Pillars"), "/autonomic"),
        Tab(say("Sessions"), "/autonomic/sessions"),
        Tab(say("Deposits and charges"), "/autonomic/history"),
    )

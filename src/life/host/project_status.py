"""How a project stands, over all its parts: for `life status`.

Everything is read from the journal and from the locks that daemons hold; nothing has to run for it, and nothing is changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from life.aios.record import Stream, format_timestamp
from life.aios.state import EconomicMode
from life.anima.home import read_identity
from life.arcan.sessions import SessionIndex
from life.autonomic.modes import stricter, target_mode
from life.autonomic.stability import Level
from life.autonomic.state import CognitivePillar, EconomicPillar, OperationalPillar
from life.autonomic.trust import Tier, trust_score
from life.autonomic.words import mode_words, pillars
from life.haima.approval_desk import ApprovalDesk
from life.haima.policy import Mode
from life.host.autonomicd import ProjectAutonomic, open_project_autonomic
from life.host.clock import SystemEntropy
from life.host.lago_store import OPERATOR

DAEMONS: Final = ("arcand", "autonomicd", "spacesd", "lagod", "mcpd")
MOST_SHOWN: Final = 200

Standing = Literal["idle", "running", "hibernating", "waiting", "closed"]


class SessionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One session. `waiting` has the tools whose calls wait for a person; `suspended` why it stands still."""

    session_id: str
    name: str
    standing: Standing
    updated_at: str
    runs: int
    errors: int
    waiting: tuple[str, ...]
    suspended: str
    rules_fired: tuple[str, ...]


class TrustLine(msgspec.Struct, frozen=True, kw_only=True):
    """The trust score, and how much it rests on."""

    score: float
    tier: Tier
    trajectory: str
    evidence: int


class ProjectStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole project. Money is micro-credits."""

    data_dir: str
    agent: str
    agent_id: str
    did: str | None
    sessions: int
    shown: tuple[SessionLine, ...]
    operational: OperationalPillar
    cognitive: CognitivePillar
    economic: EconomicPillar
    economic_mode: EconomicMode
    payment_mode: Mode
    """What payments are decided by; the settings may ask for a stricter mode than means do."""
    regulation: bool
    runway_days: float | None
    trust: TrustLine
    stability: dict[Level, float]
    stable: bool
    approvals: int
    """Tool calls and payments that wait for a person."""
    payments_waiting: int
    daemons: dict[str, str | None]
    """Their addresses; None for one that does not run."""
    problem: str
    """Why regulation does not work; empty while it does."""
    words: tuple[str, ...]
    """The pillars in plain words."""


async def project_status(data_dir: Path) -> ProjectStatus:
    """How the project stands. NotFoundError when there is no journal."""
    async with open_project_autonomic(data_dir, snapshots=True) as project:
        return await _status(project)


async def _status(project: ProjectAutonomic) -> ProjectStatus:
    autonomic, data = project.autonomic, project.data
    is_named = (data.identity / "soul.json").exists()
    identity = read_identity(data.identity) if is_named else None
    agent = autonomic.agent(autonomic.agent_id)
    economic, trust = agent.state.economic, trust_score(agent.state)
    target = target_mode(economic.balance_micro_credits, economic.monthly_burn_estimate)
    mode = stricter(economic.mode, target)
    summaries = await SessionIndex(project.journal).list()
    lines = tuple(
        [
            await _line(project, summary.session_id, summary.name, summary.state, summary.updated_us)
            for summary in summaries[:MOST_SHOWN]
        ]
    )
    payments = await _payments_waiting(project)
    return ProjectStatus(
        data_dir=str(data.root),
        agent=identity.name if identity is not None else OPERATOR,
        agent_id=autonomic.agent_id,
        did=identity.did if identity is not None else None,
        sessions=len(summaries),
        shown=lines,
        operational=agent.state.operational,
        cognitive=agent.state.cognitive,
        economic=economic,
        economic_mode=mode,
        payment_mode=autonomic.mode(),
        regulation=project.settings.autonomic.enabled,
        runway_days=economic.runway_days,
        trust=TrustLine(score=trust.score, tier=trust.tier, trajectory=trust.trajectory, evidence=trust.evidence),
        stability=agent.stability.margins,
        stable=agent.stability.is_stable,
        approvals=payments + sum(len(line.waiting) for line in lines),
        payments_waiting=payments,
        daemons={daemon: data.address_of(daemon) for daemon in DAEMONS},
        problem=autonomic.failure,
        words=(mode_words(economic, mode), *pillars(agent.state)),
    )


async def _line(project: ProjectAutonomic, session_id: str, name: str, state: str, updated_us: int) -> SessionLine:
    stream = Stream(session_id)
    picture = await project.autonomic.picture(stream)
    vitals = project.autonomic.homeostasis.vitals(stream)
    waiting = tuple(vitals.asked.values()) if vitals is not None and vitals.run_open else ()
    suspended = vitals.suspended if vitals is not None else ""
    standing: Standing = "closed" if state == "closed" else "idle" if state == "idle" else "running"
    if standing == "running":
        standing = "hibernating" if suspended else "waiting" if waiting else "running"
    return SessionLine(
        session_id=session_id,
        name=name,
        standing=standing,
        updated_at=format_timestamp(updated_us),
        runs=picture.state.cognitive.turns_completed,
        errors=picture.state.operational.total_errors,
        waiting=waiting,
        suspended=suspended,
        rules_fired=picture.verdict.fired,
    )


async def _payments_waiting(project: ProjectAutonomic) -> int:
    desk = ApprovalDesk(project.journal, project.autonomic.clock, SystemEntropy(), agent_id=OPERATOR)
    try:
        return len((await desk.page(state="pending", limit=50)).tickets)
    finally:
        await desk.aclose()

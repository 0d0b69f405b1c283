"""`life identity grant` and `ungrant`"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, NamedTuple

import click

from life.aios.errors import NotFoundError
from life.aios.ids import new_id
from life.aios.ports.journal import Journal
from life.aios.record import format_timestamp
from life.anima.errors import CapabilityCeilingExceededError, UnknownIdentityError
from life.anima.events import AnimaEvent, CapabilityGranted, CapabilityRevoked
from life.anima.genesis import identity_event
from life.anima.home import read_identity
from life.anima.registry import IdentityRegistry
from life.anima.scopes import check_pattern
from life.anima.soul import Soul
from life.anima.state import AnimaState
from life.cli.run import command_errors, data_dir_option, run
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.lago.journal.sqlite import SqliteJournal

_GRANTED_BY: Final = "operator"


class _Known(NamedTuple):
    agent_id: str
    soul: Soul
    state: AnimaState


agent_option = click.option(
    "--agent", "agent_id", metavar="ID", help="Which agent of the journal.  [default: the project's own]"
)


@click.command()
@data_dir_option
@agent_option
@click.argument("capabilities", nargs=-1, required=True, metavar="CAPABILITY…")
@click.option(
    "--hours", type=click.FloatRange(min=0, min_open=True, max=24 * 366), help="How long; for ever unless told."
)
@command_errors
def grant(data_dir: Path, agent_id: str | None, capabilities: tuple[str, ...], hours: float | None) -> None:
    """Let an agent do something, like `wallet:read` at a daemon.

    Names what a daemon's route asks for (`docs/finance-daemon.md`, the daemons' `/openapi.json`), or a prefix with `*`. The soul's
    ceiling holds: what it does not cover is refused.
    """
    run(_grant(data_dir, agent_id, capabilities, hours))


@click.command()
@data_dir_option
@agent_option
@click.argument("capabilities", nargs=-1, required=True, metavar="CAPABILITY…")
@click.option("--reason", default="taken back by the operator", show_default=True, help="For the record.")
@command_errors
def ungrant(data_dir: Path, agent_id: str | None, capabilities: tuple[str, ...], reason: str) -> None:
    """Take back what was granted."""
    run(_ungrant(data_dir, agent_id, capabilities, reason))


async def _grant(data_dir: Path, agent_id: str | None, capabilities: tuple[str, ...], hours: float | None) -> None:
    clock = SystemClock()
    until = None if hours is None else format_timestamp(clock.now_us() + round(hours * 3_600_000_000))
    async with _journal(data_dir) as journal:
        known = await _state(journal, data_dir, agent_id)
        for capability in map(check_pattern, capabilities):
            if not known.soul.values.allows_capability(capability):
                raise CapabilityCeilingExceededError(f"The ceiling of this agent's soul does not cover {capability}.")
        granted = [
            CapabilityGranted(capability=capability, granted_by=_GRANTED_BY, expires_at=until)
            for capability in capabilities
        ]
        await _append(journal, known.agent_id, granted)
        await _tell(journal, data_dir, agent_id)


async def _ungrant(data_dir: Path, agent_id: str | None, capabilities: tuple[str, ...], reason: str) -> None:
    async with _journal(data_dir) as journal:
        known = await _state(journal, data_dir, agent_id)
        held = {held.capability for held in known.state.grants}
        for capability in capabilities:
            if capability not in held:
                raise NotFoundError(
                    f"{capability} was not granted.", details={"granted": ", ".join(sorted(held))[:500]}
                )
        taken = [
            CapabilityRevoked(capability=capability, revoked_by=_GRANTED_BY, reason=reason)
            for capability in capabilities
        ]
        await _append(journal, known.agent_id, taken)
        await _tell(journal, data_dir, agent_id)


def _journal(data_dir: Path) -> AbstractAsyncContextManager[SqliteJournal]:
    path = DataDirectory(data_dir).journal
    if not (path.exists() and path.stat().st_size):
        raise NotFoundError(f"There is no journal in {data_dir}.", next_step="Name its folder with --data-dir.")
    return SqliteJournal.open(path, clock=SystemClock())


async def _state(journal: Journal, data_dir: Path, agent_id: str | None) -> _Known:
    registry = IdentityRegistry(journal, SystemClock())
    await registry.load()
    if agent_id is None:
        agent_id = read_identity(DataDirectory(data_dir).identity).agent_id
    state = registry.state(agent_id)
    if state is None or state.soul is None:
        raise UnknownIdentityError("This journal knows no such agent.", details={"agent_id": agent_id[:64]})
    return _Known(agent_id, state.soul, state)


async def _append(journal: Journal, agent_id: str, events: list[CapabilityGranted] | list[CapabilityRevoked]) -> None:
    clock, entropy = SystemClock(), SystemEntropy()
    payloads: list[AnimaEvent] = [*events]
    await journal.append(
        [
            identity_event(payload, event_id=new_id(clock, entropy), agent_id=agent_id, timestamp_us=clock.now_us())
            for payload in payloads
        ]
    )


async def _tell(journal: Journal, data_dir: Path, agent_id: str | None) -> None:
    known = await _state(journal, data_dir, agent_id)
    now_us = SystemClock().now_us()
    held = known.state.active_grants(now_us)
    if not held:
        click.echo(f"{known.agent_id} has no grants.")
    for one in sorted(held, key=lambda one: one.capability):
        until = f" until {one.expires_at[:19].replace('T', ' ')}" if one.expires_at else ""
        click.echo(f"{known.agent_id}  {one.capability}{until}")

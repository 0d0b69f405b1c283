"""The demos in an open system: run one, look at its recording, make it one's own.

    demos = Demos(system)
    started = await demos.run("sentinel")
    await system.runtime.wait(started.session_id, started.run_id)

A run is a session of the real runtime. The demo gives it its files, instructions, tools, policy and limits; the only scripted
part is the model (`demo:<slug>`), and any other model may be named instead. `demo.opened`, the session's second event, says what it is
and what in it is simulated.

Source: workspace-ui.md §1.3 (WS-DEMO-2, -5, -6).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.events import Custom
from life.aios.ids import derived_event_id
from life.aios.policy import PolicySet
from life.aios.ports.journal import EventQuery
from life.aios.record import SYSTEM, USER, Actor, EventRecord, EventWriter, Stream
from life.arcan.agents.profile import AgentProfile
from life.arcan.events import RunLimits
from life.arcan.session_state import SessionConfig
from life.haima.x402.networks import LOCAL
from life.host.demos.files import read_contents, read_lines
from life.host.demos.model import PREFIX
from life.host.demos.sessions import How, new_session_id
from life.host.demos.spaces import SPACES_TOOLS
from life.host.system import System
from life.workspace.demos.catalogue import RECORDINGS, demo, recording, recording_id, seed_files
from life.workspace.demos.demo import Demo
from life.workspace.demos.errors import DemoUnavailableError
from life.workspace.fold import fold
from life.workspace.values import fields, fields_of, text

OPENED: Final = "demo.opened"
_PAGE: Final = 1000
_NAME_CHARACTERS: Final = 80


class DemoOpened(msgspec.Struct, frozen=True, kw_only=True):
    """`demo.opened`: what this session is."""

    slug: str
    how: How
    suggestion: int = 0
    simulated: tuple[str, ...] = ()
    """One line for each stand-in."""


class Started(NamedTuple):
    """A demo that runs."""

    session_id: str
    run_id: str


class Demos:
    """The demos of one open system."""

    def __init__(self, system: System, recordings: Path = RECORDINGS) -> None:
        self._system = system
        self._recordings = recordings

    def unavailable(self, slug: str) -> str | None:
        """Why a demo can't run here, in a sentence; None when it can."""
        wanted, system = demo(slug), self._system
        needed = {name for name in wanted.tools if not name.startswith(SPACES_TOOLS)}
        missing = sorted(needed - system.runtime.tool_names)
        if missing:
            return f"It needs the tool {missing[0]}, which this machine has not (`life doctor` says why)."
        payments = system.settings.payments
        if wanted.has_payments and not payments.enabled:
            return "It pays with play money, and payments are switched off here (payments.enabled)."
        if wanted.has_payments and payments.network != LOCAL:
            return f"It pays with play money on {LOCAL}, and this project pays on {payments.network}."
        return None

    async def run(
        self,
        slug: str,
        *,
        suggestion: int = 0,
        model: str = "",
        owner: str = "",
        actor: Actor = USER,
        session_id: str | None = None,
        how: How = "run",
    ) -> Started:
        """Begin a demo in a new session. DemoNotFoundError, DemoUnavailableError; InvalidInputError for a suggestion that it has
        not; a provider's error for a `model` that can't be opened."""
        played = demo(slug)
        if not 0 <= suggestion < len(played.ui.suggestions):
            raise InvalidInputError(f"The demo {slug} has the suggestions 0 to {len(played.ui.suggestions) - 1}.")
        self._check_available(played)
        made = await self._session(
            played,
            how,
            session_id or new_session_id("run", slug, self._system.clock, self._system.entropy),
            suggestion=suggestion,
            name=played.name,
            provider=model or f"{PREFIX}{slug}",
            owner=owner,
        )
        if played.has_payments:
            await self._system.demo_world.fund()
            self._system.demo_world.network.stage().curtain()
        run_id = await self._system.runtime.start(
            made, played.ui.suggestions[suggestion].prompt, limits=limits_of(played), actor=actor
        )
        return Started(made, run_id)

    async def copy(self, slug: str, *, name: str = "", model: str = "", owner: str = "") -> str:
        """The demo's files, instructions, tools and policy in a session of one's own; its id. Nothing is started."""
        copied = demo(slug)
        self._check_available(copied)
        if len(name) > _NAME_CHARACTERS:
            raise InvalidInputError(f"A name has at most {_NAME_CHARACTERS} characters.")
        return await self._session(
            copied,
            "copy",
            new_session_id("copy", slug, self._system.clock, self._system.entropy),
            name=name.strip() or copied.name,
            provider=model,
            owner=owner,
        )

    async def open_recording(self, slug: str) -> str:
        """A demo's recording, ready to be looked at; its session's id. Its files are laid out, so that they can be shown. No model is
        asked and none is opened. DemoRecordingMissingError."""
        path = recording(slug) if self._recordings == RECORDINGS else self._recordings / f"{slug}.jsonl"
        session_id = recording_id(slug)
        contents = [await self._put(content) for content in read_contents(path)]
        by_hash = dict(contents)
        records = [record for record in read_lines(path) if record.session_id == session_id]
        root = self._system.data.workspace(session_id)
        for file in fold(records).files:
            content = by_hash.get(file.hash)
            if file.op != "delete" and content is not None:
                _lay_out(root, file.path, content)
        return session_id

    def _check_available(self, wanted: Demo) -> None:
        reason = self.unavailable(wanted.slug)
        if reason is not None:
            raise DemoUnavailableError(
                f"The demo {wanted.slug} can't run here. {reason}",
                next_step=f"Its recording can be watched: life demo replay {wanted.slug}.",
            )

    async def _put(self, content: bytes) -> tuple[str, bytes]:
        return (await self._system.equipment.blobs.put(content)).hash, content

    async def _session(
        self,
        made_of: Demo,
        how: How,
        session_id: str,
        *,
        name: str,
        provider: str,
        owner: str,
        suggestion: int = 0,
    ) -> str:
        """A new session with the demo's files, tools and policy."""
        system = self._system
        system.demo_world.spaces.want()
        if provider:
            system.runtime.check_provider(provider)
        config = SessionConfig(
            owner=owner,
            provider=provider,
            system_prompt=system.equipment.instructions(made_of.instructions),
            policy=PolicySet(
                allow_capabilities=made_of.policy.allow,
                gate_capabilities=made_of.policy.gate,
                max_tool_runtime_secs=900,
            ),
            agent=AgentProfile(name=made_of.slug, scopes=(made_of.tools,), lineage=(made_of.slug,)),
        )
        await system.runtime.create_session(session_id, name=name, config=config)
        opened = DemoOpened(slug=made_of.slug, how=how, suggestion=suggestion, simulated=made_of.simulated)
        writer = EventWriter(
            system.clock, system.entropy, agent_id=system.identity.agent_id, stream=Stream(session_id), actor=SYSTEM
        )
        kind = Custom(event_type=OPENED, data=msgspec.to_builtins(opened))
        await system.journal.append([writer.event(kind, event_id=derived_event_id(OPENED, session_id))])
        root = system.data.workspace(session_id)
        for path, content in seed_files(made_of).items():
            _lay_out(root, path, content)
        await system.equipment.files.copies.keep(Stream(session_id))
        return session_id

    # What it shows

    async def money_of(self, session_id: str) -> list[EventRecord]:
        """The wallets' events that concern a session, oldest first."""
        found: list[EventRecord] = []
        journal = self._system.journal
        for stream in await journal.streams():
            if not stream.session_id.startswith("wallet:"):
                continue
            concerned: set[str] = set()
            for record in await _all_of(self._system, stream):
                data = fields(fields_of(record.payload).get("data"))
                payment = text(data.get("payment_id")) or text(data.get("purchase_id"))
                if text(data.get("session_id")) == session_id:
                    concerned.add(payment)
                elif not payment or payment not in concerned:
                    continue
                found.append(record)
        return found

    async def records_of(self, session_id: str) -> list[EventRecord]:
        """Every event of a session's main branch."""
        return await _all_of(self._system, Stream(session_id))


async def _all_of(system: System, stream: Stream) -> list[EventRecord]:
    found: list[EventRecord] = []
    while page := await system.journal.read(
        EventQuery(*stream, after_sequence=found[-1].sequence if found else 0), limit=_PAGE
    ):
        found += page
    return found


def limits_of(played: Demo) -> RunLimits:
    """A run's limits."""
    budget = played.budget
    return RunLimits(
        max_steps=budget.max_steps,
        max_tokens=budget.max_tokens,
        max_time_ms=budget.max_time_ms,
        max_tool_calls=budget.max_tool_calls,
    )


def _lay_out(root: Path, path: str, content: bytes) -> None:
    """Write one file below a workspace's root, which nobody but this process writes to."""
    place = (root / path).resolve()
    if not place.is_relative_to(root.resolve()):
        raise InvalidInputError(f"The path {path} leads out of the workspace.")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)

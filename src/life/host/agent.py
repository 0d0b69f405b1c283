"""The library's front door: an agent in six lines.

async with life.open(".life") as agent:
    async for event in agent.run("write hello.txt: Hello"):
        print(event.sequence, event.kind)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from life.aios.ports.provider import ModelProvider
from life.aios.record import EventRecord
from life.arcan.foreign.outside_loop import OutsideLoop
from life.arcan.reports import RunReport
from life.host.data_directory import DEFAULT_NAME, DataDirectory
from life.host.settings import Settings
from life.host.system import System, open_system
from life.praxis.function_tool import FunctionTool

_ENDS = frozenset({"RunFinished", "ApprovalRequested"})
_IN_DOUBT = b'"arcan.run_in_doubt"'


class Agent:
    """One agent with everything it has: identity, journal, wallet, tools and a model."""

    def __init__(self, system: System) -> None:
        self.system = system

    @property
    def did(self) -> str:
        """Who it is."""
        return self.system.identity.did

    async def run(self, objective: str, *, session_id: str | None = None) -> AsyncGenerator[EventRecord, None]:
        """Run an objective (in a new session unless one is named) and yield the run's events as they happen.

        Durable events carry their sequence; text that is being written comes as ephemeral events with sequence 0. The
        iterator ends with the run, or when only a person can move it (an approval, a doubt). Leaving early leaves the run
        going; `system.runtime.cancel` stops it.
        """
        runtime = self.system.runtime
        state = await runtime.create_session(session_id)
        run_id = await runtime.start(state.session_id, objective)
        async with aclosing(runtime.subscribe(state.session_id, state.head)) as events:
            async for event in events:
                if event.sequence == 0 or event.correlation_id == run_id or event.event_id == run_id:
                    yield event
                    if event.kind_name in _ENDS or (event.kind_name == "Custom" and _IN_DOUBT in event.payload):
                        return

    async def ask(self, objective: str, *, session_id: str | None = None) -> RunReport:
        """Run an objective and wait for its end."""
        state = await self.system.runtime.create_session(session_id)
        return await self.system.runtime.run(state.session_id, objective)


@asynccontextmanager
async def open_agent(
    root: Path | str = DEFAULT_NAME,
    *,
    settings: Settings | None = None,
    environment: Mapping[str, str] | None = None,
    provider: ModelProvider | None = None,
    loop: OutsideLoop | None = None,
    tools: Sequence[FunctionTool[..., object]] = (),
) -> AsyncIterator[Agent]:
    """Open the agent of a data directory, making what is missing. Interrupted runs are taken up first. `provider` is a model
    of one's own (docs/models.md); without it the settings name one. `loop` is an agent of another framework
    (docs/bring-your-own-loop.md). `tools` are functions of one's own, made tools by `life.tool` (docs/tools.md).

    DataDirectoryLockedError while a daemon or another agent works there: a run that somebody drives is not interrupted, and
    taking it up here would do its effects twice.
    """
    with DataDirectory.create(Path(root)).lock("arcand"):
        async with open_system(
            root, settings=settings, environment=environment, provider=provider, loop=loop, tools=tools
        ) as system:
            await system.runtime.recover_all()
            yield Agent(system)

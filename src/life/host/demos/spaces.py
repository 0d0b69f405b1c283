"""The Spaces of the demos: a place of its own in which simulated agents can be hired with the real tools (docs/hiring.md).

    spaces = DemoSpaces(parts)          # opens and imports nothing
    spaces.toolbox(own)                 # spaces_*: of a demo's session here, of every other session `own`
    await spaces.aclose()

Its log stands in `demos/` of the data directory. The project's agent enters it under its own key; the demos' peers are members with a key that
everybody knows, a listing in the directory, and work that stands in the demo's file. The money in between is held by the house of the
local ledger, so it really moves from the agent's wallet into escrow and, once the work is accepted, to the peer. What the agent learns about a peer here
stays here: it never becomes a belief about anybody.

Where the project's own agent has tools for Spaces, they go on meaning the project's place in every other session.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from life.aios.errors import LifeError
from life.aios.json import Json
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.aios.ports.tools import Probe, Toolbox, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.anima.registry import IdentityRegistry
from life.haima.chain.local_ledger import LocalLedger
from life.haima.payer import Payer
from life.haima.policy import Mode
from life.haima.x402.networks import LOCAL
from life.host.data_directory import DataDirectory
from life.host.demos.sessions import how_of
from life.host.settings import SpacesSettings
from life.workspace.demos.catalogue import demos
from life.workspace.demos.demo import Peer

if TYPE_CHECKING:
    from life.arcan.runtime import Runtime
    from life.host.hiring.hiring import Hiring
    from life.host.spaces_link import SpacesLink
    from life.spaces.hiring.desk import Hire
    from life.spaces.hiring.ports import Interaction, Trusted
    from life.spaces.seat import Seat

FOLDER: Final = "demos"
SPACES_TOOLS: Final = "spaces_"
"""How the names of tools begin that this place brings with it."""


class DemoSpacesParts(NamedTuple):
    """Parts of the open system."""

    data: DataDirectory
    journal: Journal
    registry: IdentityRegistry
    custody: Custody
    """The agent's keys, guarded."""
    payer: Payer
    ledger: LocalLedger
    mode: Callable[[], Mode]
    agent_id: str
    did: str
    name: str
    """The agent's; what it calls itself among the peers."""
    clock: Clock
    entropy: Entropy


class DemoSpaces:
    """See the module. Belongs to one event loop."""

    def __init__(self, parts: DemoSpacesParts) -> None:
        self._parts = parts
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._hiring: Hiring | None = None
        self._link: SpacesLink | None = None
        self._has_peers = False
        self._runtime: Runtime | None = None
        self._is_wanted = (parts.data.root / FOLDER).is_dir()  # one was played here before, and may go on

    def toolbox(self, own: Toolbox | None) -> Toolbox:
        """The tools of Spaces: this place's for the demos' sessions, `own` for all others."""
        return _BySession(own, self)

    def want(self) -> None:
        """A demo is played in this process: from now on the tools are there."""
        self._is_wanted = True

    def attach(self, runtime: Runtime) -> None:
        """The runtime that drives the sessions; it is opened after its tools."""
        self._runtime = runtime
        if self._hiring is not None:
            self._hiring.attach(runtime)

    async def aclose(self) -> None:
        """Close what was opened."""
        async with self._opening:
            if self._hiring is not None:
                await self._hiring.aclose()
            await self._stack.aclose()
            if self._link is not None:
                await self._link.aclose()

    def tools(self) -> Toolbox | None:
        """The tools over this place; None while nobody plays a demo. Nothing is opened before one of them is called."""
        if self._hiring is None:
            if not self._is_wanted:
                return None
            self._hiring = self._made()
        return self._hiring.toolbox

    def _made(self) -> Hiring:
        from life.host.hiring.hiring import Hiring, HiringParts  # who plays no demo imports nothing
        from life.host.spaces_link import LinkParts, SpacesLink

        parts = self._parts
        self._link = link = SpacesLink(
            LinkParts(
                settings=SpacesSettings(place="embedded", tools="on", house="local", admit_strangers=True),
                data=DataDirectory(parts.data.root / FOLDER),
                journal=parts.journal,
                registry=parts.registry,
                custody=parts.custody,
                agent_id=parts.agent_id,
                did=parts.did,
                name=parts.name,
                clock=parts.clock,
                entropy=parts.entropy,
                environment={},
            )
        )
        hiring = Hiring(
            HiringParts(
                link=link,
                journal=parts.journal,
                registry=parts.registry,
                custody=parts.custody,
                payer=parts.payer,
                ledger=parts.ledger,
                mode=parts.mode,
                agent_id=parts.agent_id,
                did=parts.did,
                house="local",
                network=LOCAL,
                clock=parts.clock,
                entropy=parts.entropy,
            ),
            trust=_KeptHere(),
        )
        if self._runtime is not None:
            hiring.attach(self._runtime)
        return hiring

    async def ready(self) -> None:
        """Open the place, and let the peers in, once."""
        async with self._opening:
            if self._has_peers:
                return
            assert self._hiring is not None
            assert self._link is not None
            DataDirectory.create(self._parts.data.root / FOLDER)
            await self._link.seat()
            for demo in demos():
                for peer in demo.peers:
                    await self._stack.enter_async_context(self._member(peer))
            self._has_peers = True

    @asynccontextmanager
    async def _member(self, peer: Peer) -> AsyncIterator[None]:
        """A peer at work: known by its key, listed, and delivering what the demo's file says."""
        from life.anima.custody.in_process import InProcessAnima
        from life.anima.tokens import issue_agent_token
        from life.host.hiring.escrow import HouseEscrow, account_of
        from life.host.spaces import AUDIENCE
        from life.spaces.commands import PublishListing, SetProfile, SkillSpec
        from life.spaces.hiring.desk import HiringDesk
        from life.spaces.hiring.peers import PeerBook
        from life.spaces.hiring.ports import Escrow
        from life.spaces.hiring.work import HireServer
        from life.spaces.seat import LocalSeat

        parts = self._parts
        assert self._hiring is not None
        assert self._link is not None
        assert self._link.spaces is not None
        house = await self._hiring.own_house()
        assert house is not None  # it is local
        seed = bytearray(hashlib.sha256(f"life demo peer: {peer.name}, play money only".encode()).digest())
        custody = InProcessAnima.from_seed(seed, clock=parts.clock)
        did = custody.capabilities().did
        assert did is not None
        account = account_of(did)
        escrow = HouseEscrow(house, account, funds=None, base_url="http://house.localhost")

        async def token() -> str:
            return await issue_agent_token(
                custody, agent_id=account, audience=AUDIENCE, clock=parts.clock, entropy=parts.entropy
            )

        async def open_escrow() -> Escrow:
            return escrow

        async with AsyncExitStack() as stack:
            stack.callback(custody.close)
            seat: Seat = await stack.enter_async_context(
                LocalSeat.open(self._link.spaces.engine, token, custody, clock=parts.clock, entropy=parts.entropy)
            )

            async def open_seat() -> Seat:
                return seat

            await seat.submit(SetProfile(username=peer.name.lower()))
            await seat.submit(
                PublishListing(
                    name=f"{peer.name} (simulated)",
                    description=peer.says,
                    pricing_model="pay_per_use",
                    price_per_request_micro=peer.price_micro,
                    skills=tuple(SkillSpec(skill_id=skill, name=skill) for skill in peer.skills),
                )
            )
            await seat.set_presence("online")
            desk = HiringDesk(open_seat, open_escrow, _KeptHere(), PeerBook())
            server = HireServer(
                desk, open_seat, _Written(peer, parts.clock), accepts=_pays_for(peer), clock=parts.clock
            )
            await stack.enter_async_context(server.running())
            yield


class _Written:
    """Work that was written beforehand (life.spaces.hiring.work.Work)."""

    def __init__(self, peer: Peer, clock: Clock) -> None:
        self._peer = peer
        self._clock = clock

    async def carry_out(self, hire: Hire) -> str:
        """What the demo's file says, after the time that it says."""
        await self._clock.sleep_us(self._peer.takes_ms * 1000)
        return msgspec.json.encode({"simulated": True, **self._peer.delivers}).decode()


def _pays_for(peer: Peer) -> Callable[[Hire], str | None]:
    def accepts(hire: Hire) -> str | None:
        if hire.price_micro < peer.price_micro:
            return f"My price is {peer.price_micro} micro-USDC."
        return None

    return accepts


class _KeptHere:
    """What is learnt about peers here, kept in memory (life.spaces.hiring.ports.PeerTrust): simulated agents are nobody to believe in."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, bool]] = {}

    async def trust_in(self, did: str) -> Trusted:
        """From half a million for a stranger, up with every success and down with every failure."""
        from life.spaces.hiring.ports import Trusted

        told = self._told.get(did, {})
        good = sum(told.values())
        return Trusted(1_000_000 * (good + 1) // (len(told) + 2), len(told))

    async def record(self, interaction: Interaction) -> Trusted:
        """Remember one, once."""
        if interaction.success is not None:
            self._told.setdefault(interaction.peer_did, {}).setdefault(interaction.hire_id, interaction.success)
        return await self.trust_in(interaction.peer_did)


class _BySession:
    """The Toolbox port: a call of a demo's session is this place's, any other the project's own."""

    def __init__(self, own: Toolbox | None, spaces: DemoSpaces) -> None:
        self._own = own
        self._spaces = spaces
        self._known: tuple[ToolDefinition, ...] | None = None

    def definitions(self) -> Sequence[ToolDefinition]:
        """The project's own tools; without them the demos', for who names them."""
        if self._own is not None:
            return self._own.definitions()
        box = self._spaces.tools()
        if box is None:
            return _NONE
        if self._known is None:
            self._known = tuple(msgspec.structs.replace(each, by_name_only=True) for each in box.definitions())
        return self._known

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """See Toolbox."""
        return self._of(context).capabilities(call, context)

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """See Toolbox."""
        return await self._of(context).prepare(call, context)

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """See Toolbox."""
        box = self._of(context)
        try:
            await self._ready(box)
        except LifeError as error:
            return ToolOutcome(status="error", output={"error": error.message, "code": error.code})
        return await box.execute(call, context)

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """See Toolbox."""
        box = self._of(context)
        try:
            await self._ready(box)
        except LifeError as error:
            return Probe(answer="unknown", explanation=f"The demos' Spaces can't be opened now ({error.code}).")
        return await box.probe(call, context, prepared)

    async def _ready(self, box: Toolbox) -> None:
        if box is not self._own:
            await self._spaces.ready()

    def _of(self, context: ToolContext) -> Toolbox:
        box = self._own
        if box is None or how_of(context.session_id) is not None:
            self._spaces.want()
            box = self._spaces.tools()
        assert box is not None  # it was wanted
        return box


_NONE: Final[tuple[ToolDefinition, ...]] = ()

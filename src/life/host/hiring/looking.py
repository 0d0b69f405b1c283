"""Looking at the project's hires from beside its daemon: nothing is paid, judged or remembered here.

async with open_looking(client, custody, journal, identity, settings) as desk:
    for hire in await desk.list_(): …
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2
import msgspec

from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.anima.beliefs import NEUTRAL_TRUST
from life.anima.genesis import load_state
from life.anima.identity_file import Identity
from life.anima.tokens import issue_agent_token
from life.haima.house import House
from life.haima.outcomes.hires import standing_of
from life.haima.x402.networks import LOCAL
from life.host.clock import SystemClock, SystemEntropy
from life.host.hiring.escrow import HTTP_TIMEOUT_S, RemoteEscrow, account_of, audience_of
from life.host.hiring.house import PLAY_HOUSE, play_house_name
from life.host.settings import Settings
from life.spaces.hiring.desk import HiringDesk
from life.spaces.hiring.errors import HireRefusedError
from life.spaces.hiring.peers import PeerBook
from life.spaces.hiring.ports import Escrow, Interaction, Standing, Terms, Trusted
from life.spaces.listeners.websocket.client import SpacesClient
from life.spaces.seat import RemoteSeat, Seat

_ONLY_LOOKING = "Hires are only looked at here."


class BooksEscrow:
    """The Escrow port over the books of a journal, for reading. What time has decided meanwhile shows once the daemon has written it."""

    def __init__(self, house: House, name: str) -> None:
        self._house = house
        self._name = name

    @property
    def house(self) -> str:
        """See Escrow."""
        return self._name

    def account_of(self, did: str) -> str:
        """See Escrow."""
        return account_of(did)

    async def look(self, hire_id: str) -> Standing | None:
        """See Escrow."""
        state = await self._house.catch_up()
        task = state.outcomes.tasks.get(hire_id)
        if task is None:
            return None
        return msgspec.convert(msgspec.to_builtins(standing_of(state, task, self._house.position)), Standing)

    async def put_aside(self, terms: Terms, *, approved: bool) -> Standing:
        """HireRefusedError: see the module."""
        raise HireRefusedError(_ONLY_LOOKING)

    async def deliver(self, hire_id: str, result: str) -> Standing:
        """HireRefusedError: see the module."""
        raise HireRefusedError(_ONLY_LOOKING)

    async def judge(self, hire_id: str, *, passed: bool, reason: str) -> Standing:
        """HireRefusedError: see the module."""
        raise HireRefusedError(_ONLY_LOOKING)

    async def give_up(self, hire_id: str, reason: str) -> Standing:
        """HireRefusedError: see the module."""
        raise HireRefusedError(_ONLY_LOOKING)


class ReadBeliefs:
    """The PeerTrust port over the journal, for reading: what is over is remembered by the daemon."""

    def __init__(self, journal: Journal, agent_id: str, clock: Clock) -> None:
        self._journal = journal
        self._agent_id = agent_id
        self._clock = clock

    async def trust_in(self, did: str) -> Trusted:
        """See PeerTrust."""
        known = (await load_state(self._journal, self._agent_id)).beliefs.trust_scores.get(did)
        if known is None:
            return Trusted(NEUTRAL_TRUST, 0)
        count = known.successful_interactions + known.failed_interactions
        return Trusted(known.score_at(self._clock.now_us()), count)

    async def record(self, interaction: Interaction) -> Trusted:
        """See PeerTrust; nothing is written."""
        return await self.trust_in(interaction.peer_did)


@asynccontextmanager
async def open_looking(
    client: SpacesClient,
    custody: Custody,
    journal: Journal,
    identity: Identity,
    settings: Settings,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> AsyncIterator[HiringDesk]:
    """The project's hires, as its agent (who is logged in with `client`) and its house see them."""
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    seat = RemoteSeat(client, "", custody, clock)
    async with AsyncExitStack() as stack:
        escrow: Escrow | None = None
        place = settings.spaces.house.rstrip("/")
        if place.startswith(("http://", "https://")):

            async def token() -> str:
                return await issue_agent_token(
                    custody, agent_id=identity.agent_id, audience=audience_of(place), clock=clock, entropy=entropy
                )

            http = await stack.enter_async_context(
                httpx2.AsyncClient(timeout=HTTP_TIMEOUT_S, follow_redirects=False, trust_env=False)
            )
            escrow = await RemoteEscrow.open(http, place, account=identity.agent_id, token=token, funds=None)
        elif place == "local" or (place == "auto" and settings.payments.network == LOCAL):
            house = House(journal, clock, entropy, agent_id=PLAY_HOUSE)
            await house.open()
            escrow = BooksEscrow(house, play_house_name(clock))

        async def open_seat() -> Seat:
            return seat

        async def open_escrow() -> Escrow | None:
            return escrow

        trust = ReadBeliefs(journal, identity.agent_id, clock)
        yield HiringDesk(open_seat, open_escrow, trust, PeerBook())

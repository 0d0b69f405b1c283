"""The registry: what a journal says of every identity in it, in memory, at once (anima.md §15.4, §16; AN-VER-9, AN-REV-4).

An index over the agents' own streams: DID → agent → folded state. It is read whole at start and then follows the journal, so a
revocation or a rotation counts as soon as it is stored: for a writer in this process when its call returns
(`catch_up`), for another process when the journal's subscription tells it. When the journal has not answered for a
minute, the registry says so and verifiers refuse: a revocation might have been missed.

    async with IdentityRegistry.open(journal, clock) as registry:
        standing = registry.standing(did)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Final, Literal, NamedTuple, Protocol

from life.aios.errors import LifeError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream, parse_timestamp
from life.anima.attestations import MAX_DEPTH
from life.anima.errors import IdentitiesStaleError
from life.anima.genesis import STREAM_PREFIX, agent_stream
from life.anima.identity import Lifecycle
from life.anima.key_history import KeyHistory
from life.anima.scopes import any_covers
from life.anima.state import AnimaState, replay
from life.crypto.address import format_address
from life.crypto.did import Curve, resolve_did
from life.crypto.errors import CryptoError
from life.crypto.secp256k1 import address_of, decompress

_log: Final = logging.getLogger(__name__)

FRESH_US: Final = 60 * 1_000_000
"""How old the last answer of the journal may be."""
HEARTBEAT_US: Final = 15 * 1_000_000
_PAGE: Final = 1_000

KeyState = Literal["current", "superseded", "revoked"]


class Standing(NamedTuple):
    """What the journal says of one DID, as of sequence `as_of_seq` of its identity's stream."""

    did: str
    agent_id: str
    root_did: str
    current_did: str
    key_state: KeyState
    superseded_at_us: int | None
    """When the key was replaced; None for the current one."""
    lifecycle: Lifecycle
    expires_at_us: int | None
    dead: bool
    """The identity is revoked: nothing new of any of its keys is believed."""
    sessions_not_before_s: int
    keys: KeyHistory
    parent_agent_id: str | None
    """Whoever delegated to this identity; None for one that stands for itself."""
    delegated_until_s: int | None
    wallet_frozen: bool
    as_of_seq: int

    def is_active(self, at_us: int) -> bool:
        """Whether the identity itself is in use at `at_us`. Its parents are the registry's business."""
        return (
            not self.dead
            and self.lifecycle == "active"
            and (self.expires_at_us is None or at_us < self.expires_at_us)
            and (self.delegated_until_s is None or at_us < self.delegated_until_s * 1_000_000)
        )


class Identities(Protocol):
    """Where a verifier learns about identities. `IdentityRegistry` is one; so is a set of documents that were checked."""

    def standing(self, did: str) -> Standing | None:
        """What is known of a DID, or None."""
        ...

    def is_suspended(self, standing: Standing, at_us: int) -> bool:
        """Whether an ancestor of the identity is revoked or not active (AN-DEL-1)."""
        ...

    def require_fresh(self) -> None:
        """IdentitiesStaleError when news could have been missed."""
        ...


class IdentityRegistry:
    """Every identity of a journal. Make one with `open`."""

    def __init__(self, journal: Journal, clock: Clock, *, operators: tuple[str, ...] = ()) -> None:
        """`operators` are the DIDs that the host's policy gives a say over every identity (AN-REV-1)."""
        self._journal = journal
        self._clock = clock
        self._operators = operators
        self._states: dict[str, AnimaState] = {}
        self._sequences: dict[str, int] = {}
        self._agent_of: dict[str, str] = {}
        self._agent_of_wallet: dict[str, str] = {}
        self._standings: dict[str, Standing] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._confirmed_us = -FRESH_US

    @classmethod
    @asynccontextmanager
    async def open(
        cls, journal: Journal, clock: Clock, *, operators: tuple[str, ...] = ()
    ) -> AsyncIterator[IdentityRegistry]:
        """Read the journal's identities and follow them until the block ends."""
        registry = cls(journal, clock, operators=operators)
        after = await _end_of(journal)
        await registry.load()
        tasks = [asyncio.create_task(registry._follow(after)), asyncio.create_task(registry._confirm())]
        try:
            yield registry
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def load(self) -> None:
        """Read every identity's stream from where it was left."""
        for stream in await self._journal.streams():
            if stream.session_id.startswith(STREAM_PREFIX) and stream == Stream(stream.session_id):
                await self.catch_up(stream.session_id.removeprefix(STREAM_PREFIX))
        self._confirmed_us = self._clock.monotonic_us()

    async def catch_up(self, agent_id: str) -> AnimaState:
        """Read what the journal has on one agent; whoever just wrote there calls it, and the news counts at once."""
        stream = agent_stream(agent_id)
        while True:
            after = self._sequences.get(agent_id, 0)
            query = EventQuery(session_id=stream.session_id, branch_id=stream.branch_id, after_sequence=after)
            page = await self._journal.read(query, limit=_PAGE)
            self.apply(agent_id, page)
            if len(page) < _PAGE:
                return self._states.get(agent_id) or AnimaState(operators=self._operators)

    def apply(self, agent_id: str, records: Iterable[EventRecord]) -> None:
        """Fold records of one agent's stream, in order; those that were folded before are passed over."""
        fresh = [record for record in records if record.sequence > self._sequences.get(agent_id, 0)]
        if not fresh:
            return
        before = self._states.get(agent_id) or AnimaState(operators=self._operators)
        state = replay(fresh, before)
        self._sequences[agent_id] = fresh[-1].sequence
        if state is before and agent_id in self._states:
            return
        self._states[agent_id] = state
        self._index(agent_id, state)
        for listener in self._listeners:
            listener(agent_id)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the agent's id after every change of an identity. It must not block or raise."""
        self._listeners.append(listener)

    def state(self, agent_id: str) -> AnimaState | None:
        """The folded state of an agent, or None."""
        return self._states.get(agent_id)

    def sequence_of(self, agent_id: str) -> int:
        """Up to which sequence of the agent's stream the registry has read."""
        return self._sequences.get(agent_id, 0)

    def agents(self) -> tuple[str, ...]:
        """The ids of all agents with an identity here."""
        return tuple(sorted(agent for agent, state in self._states.items() if state.identity is not None))

    def standing(self, did: str) -> Standing | None:
        """What is known of a DID. A secp256k1 DID is known when it is an agent's wallet (AN-VER-2)."""
        known = self._standings.get(did)
        if known is not None:
            return known
        agent_id = self._agent_of.get(did) or self._agent_of_wallet.get(_wallet_of(did))
        state = None if agent_id is None else self._states.get(agent_id)
        if agent_id is None or state is None:
            return None
        standing = self._standings[did] = standing_of(did, state, as_of_seq=self._sequences[agent_id])
        return standing

    def is_suspended(self, standing: Standing, at_us: int) -> bool:
        """Whether a parent, up to eight generations back, is revoked, not active, or not known (AN-DEL-1)."""
        for _ in range(MAX_DEPTH):
            parent_id = standing.parent_agent_id
            if parent_id is None:
                return False
            parent = self._states.get(parent_id)
            if parent is None or parent.identity is None or parent.keys is None:
                return True
            standing = standing_of(parent.identity.did, parent, as_of_seq=self._sequences[parent_id])
            if not standing.is_active(at_us):
                return True
        return True

    def allows(self, agent_id: str, capability: str, arguments: JsonObject, *, at_us: int) -> bool:
        """Whether the agent may use a capability with these arguments now: its own grants, within what every parent
        delegated and may itself (AN-DEL-1, AN-BEL-1)."""
        for generation in range(MAX_DEPTH + 1):
            state = self._states.get(agent_id)
            if state is None or state.identity is None or state.keys is None:
                return False
            standing = standing_of(state.identity.did, state, as_of_seq=self._sequences[agent_id])
            if not standing.is_active(at_us) or state.beliefs.grant_for(capability, arguments, at_us=at_us) is None:
                return False
            delegation = state.delegation
            if delegation is None:
                return True
            if delegation.depth < generation or not any_covers(delegation.capabilities, capability):
                return False
            agent_id = delegation.parent_agent_id
        return False

    def require_fresh(self) -> None:
        """IdentitiesStaleError when the journal did not answer within the last minute."""
        if self._clock.monotonic_us() - self._confirmed_us > FRESH_US:
            raise IdentitiesStaleError(
                "The journal has not answered for a minute, so a revocation could have been missed.",
                next_step="Look at the daemon's log; try again when the journal answers.",
            )

    def _index(self, agent_id: str, state: AnimaState) -> None:
        self._standings.clear()
        if state.keys is None or state.identity is None or state.identity.agent_id != agent_id:
            return  # also a copy of another agent's events under a foreign name: it would lack what that agent revoked
        for did in state.keys.dids:
            self._agent_of.setdefault(did, agent_id)
        self._agent_of_wallet[state.identity.wallet_address.address] = agent_id
        for former in state.former_wallets:
            if self._agent_of_wallet.get(former.address) == agent_id:
                del self._agent_of_wallet[former.address]

    async def _follow(self, after: int) -> None:
        """Take what the journal's subscription brings. Its end is not hidden: the registry goes stale."""
        try:
            async with aclosing(_closing(self._journal, after)) as records:
                async for record in records:
                    session, agent_id = record.session_id, record.session_id.removeprefix(STREAM_PREFIX)
                    known = self._sequences.get(agent_id, 0)
                    if session == agent_id or record.stream != Stream(session) or record.sequence <= known:
                        continue
                    if record.sequence == known + 1:
                        self.apply(agent_id, [record])
                    else:
                        await self.catch_up(agent_id)
        except LifeError as error:
            _log.error("the registry of identities lost the journal: %s", error.message)
        except Exception:
            _log.exception("the registry of identities stopped following the journal")

    async def _confirm(self) -> None:
        """Ask the journal now and then, so that silence is told apart from trouble."""
        while True:
            await self._clock.sleep_us(HEARTBEAT_US)
            try:
                await self._journal.head(Stream(STREAM_PREFIX))
                for agent_id in tuple(self._sequences):
                    await self.catch_up(agent_id)
                self._confirmed_us = self._clock.monotonic_us()
            except LifeError as error:
                _log.warning("the registry of identities can't read the journal: %s", error.message)


def standing_of(did: str, state: AnimaState, *, as_of_seq: int) -> Standing:
    """The standing of one of an identity's DIDs (or of its wallet's)."""
    identity, keys = state.identity, state.keys
    assert identity is not None and keys is not None  # indexed only with both
    link = keys.link_from(did)
    key_state: KeyState = "superseded" if link is not None else "current"
    if keys.is_dead or keys.revocation_of(did) is not None:
        key_state = "revoked"
    delegation = state.delegation
    return Standing(
        did=did,
        agent_id=identity.agent_id,
        root_did=keys.root_did,
        current_did=keys.current_did,
        key_state=key_state,
        superseded_at_us=None if link is None else parse_timestamp(link.rotated_at),
        lifecycle=identity.lifecycle,
        expires_at_us=None if identity.expires_at is None else parse_timestamp(identity.expires_at),
        dead=keys.is_dead or state.fault is not None,
        sessions_not_before_s=keys.sessions_not_before_s,
        keys=keys,
        parent_agent_id=None if delegation is None else delegation.parent_agent_id,
        delegated_until_s=None if delegation is None else delegation.expires_at_s,
        wallet_frozen=state.wallet_frozen,
        as_of_seq=as_of_seq,
    )


def _wallet_of(did: str) -> str:
    """The EVM address of a secp256k1 DID's key; empty for every other DID."""
    try:
        key = resolve_did(did)
        if key.curve is not Curve.SECP256K1:
            return ""
        return format_address(address_of(decompress(key.public_key)))
    except CryptoError:
        return ""


async def _closing(journal: Journal, after: int) -> AsyncGenerator[EventRecord, None]:
    records = journal.subscribe(EventQuery(after_position=after, kinds=("Custom",)))
    try:
        async for record in records:
            yield record
    finally:
        close = getattr(records, "aclose", None)
        if close is not None:
            await close()


async def _end_of(journal: Journal) -> int:
    """A position at or after which nothing is stored yet, found by asking about 2·log2(n) times."""
    high = 1
    while await journal.read(EventQuery(after_position=high), limit=1):
        high *= 2
    low = 0
    while low < high:
        middle = (low + high) // 2
        if await journal.read(EventQuery(after_position=middle), limit=1):
            low = middle + 1
        else:
            high = middle
    return low

"""All of it together: the vitals of every stream, the means and the standing of every agent, fed event by event.

An event is decoded once, whatever looks at it, and most are decided by a look at their kind. What comes out is the state of one
session at one moment (`HomeostaticState`). It is rebuilt from the journal, or from a snapshot and what came after; a snapshot
belongs to its thresholds and rates and is thrown away with them.

Streams beyond `MOST_STREAMS` are forgotten, longest quiet first; one that comes back is `is_partial` until it was folded
again (`life.autonomic.follower`). Source: autonomic.md §3; ARCHITECTURE.md §2.5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from life.aios.record import EventRecord, Stream
from life.aios.state import EconomicMode
from life.autonomic import readings
from life.autonomic.economy import Economy, TokenRates
from life.autonomic.fold import KINDS, SessionVitals
from life.autonomic.standing import Standing
from life.autonomic.state import HomeostaticState
from life.autonomic.thresholds import Thresholds

VERSION: Final = 1
"""Of the folds: another version is another snapshot."""

MOST_STREAMS: Final = 4096
MOST_AGENTS: Final = 1024


class AgentBooks(msgspec.Struct, kw_only=True):
    """What belongs to an agent rather than to one of its sessions."""

    economy: Economy
    standing: Standing


class Seen(NamedTuple):
    """The accumulators that a state is made of."""

    vitals: SessionVitals
    economy: Economy


class Kept(msgspec.Struct, kw_only=True):
    """The contents, as a snapshot has them."""

    streams: list[tuple[str, str, SessionVitals]] = []
    agents: list[tuple[str, AgentBooks]] = []


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Kept)


class Homeostasis:
    """The folds of a whole journal. Give it every event in the journal's order; it never fails on one."""

    def __init__(self, thresholds: Thresholds | None = None, rates: TokenRates | None = None) -> None:
        self.thresholds = thresholds or Thresholds()
        self.rates = rates or TokenRates()
        self._streams: dict[tuple[str, str], SessionVitals] = {}
        self._agents: dict[str, AgentBooks] = {}
        self.events = 0
        """Events seen by this object."""
        self.has_forgotten = False
        """Whether a stream that is not here may nevertheless have events."""

    @property
    def fingerprint(self) -> str:
        """What a snapshot depends on besides the events, as 16 hex digits."""
        settings = msgspec.json.encode((VERSION, self.thresholds, self.rates))
        return hashlib.sha256(settings).hexdigest()[:16]

    def apply(self, record: EventRecord) -> None:
        """Take in the next event of the journal."""
        self.events += 1
        key = (record.session_id, record.branch_id)
        vitals = self._streams.get(key)
        if vitals is None:
            vitals = self._began(key, record.agent_id, record.sequence)
        name = record.kind_name
        vitals.last_event_seq = record.sequence
        vitals.last_event_ms = at_ms = record.timestamp_us // 1000
        try:
            handler = KINDS.get(name)
            if handler is not None:
                handler(vitals, record, at_ms)
            elif name in readings.USAGE_KINDS:
                usage = readings.used_tokens(record.payload)
                if usage is not None:
                    vitals.used(usage, at_ms, name)
                    self.books(record.agent_id).economy.used(usage, at_ms)
                if name == "ContextCompacted":
                    vitals.compacted(record, at_ms)
            elif name == "Custom":
                custom = readings.NAMED.decode(record.payload)
                event_type = custom.event_type
                vitals.named(event_type, custom.data, at_ms)
                if not event_type.startswith("arcan."):
                    books = self.books(record.agent_id)
                    books.economy.named(event_type, custom.data, at_ms)
                    books.standing.named(event_type, custom.data, at_ms)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # of another maker or version: it says nothing that can be read

    def vitals(self, stream: Stream) -> SessionVitals | None:
        """The accumulator of a stream, when it is known here."""
        return self._streams.get(stream)

    def restore(self, stream: Stream, vitals: SessionVitals) -> None:
        """Take a stream back that was folded again."""
        self._streams[stream] = vitals

    def books(self, agent_id: str) -> AgentBooks:
        """The books of an agent; new ones for an agent of whom nothing is known."""
        books = self._agents.get(agent_id)
        if books is None:
            books = AgentBooks(economy=self._new_economy(), standing=Standing())
            if len(self._agents) >= MOST_AGENTS:
                return books  # a journal with more agents than can be: they are not told apart
            self._agents[agent_id] = books
        return books

    @property
    def agents(self) -> list[str]:
        """Every agent that is known."""
        return list(self._agents)

    def streams(self) -> Iterable[tuple[Stream, SessionVitals]]:
        """Every stream that is known, with its vitals."""
        return [(Stream(*key), vitals) for key, vitals in self._streams.items()]

    def state(self, stream: Stream, agent_id: str, now_ms: int) -> HomeostaticState:
        """The state of a session at `now_ms`, as far as the journal was read."""
        return self.state_of(stream, agent_id, self.ahead(stream, agent_id, ()), now_ms)

    def ahead(self, stream: Stream, agent_id: str, records: Sequence[EventRecord]) -> Seen:
        """What is known of a session once these events of its stream, which are about to be written, are; those that were
        seen already are left out. Nothing here is changed by them."""
        vitals = self._streams.get(stream) or SessionVitals.under(self.thresholds)
        books = self._agents.get(agent_id)
        economy = books.economy if books is not None else self._new_economy()
        head = vitals.last_event_seq
        if not records or records[-1].sequence <= head:
            return Seen(vitals, economy)
        vitals, economy = vitals.copied(), economy.copied()
        for record in records:
            if record.sequence > head:
                vitals.apply(record)
                economy.apply(record)
        return Seen(vitals, economy)

    def state_of(
        self, stream: Stream, agent_id: str, seen: Seen, now_ms: int, *, mode: EconomicMode | None = None
    ) -> HomeostaticState:
        """The state that follows from these accumulators at `now_ms`. `mode` is the economic mode that is being recorded."""
        vitals, economy = seen
        books = self._agents.get(agent_id)
        standing = books.standing if books is not None else Standing()
        economic = economy.pillar(now_ms)
        if mode is not None:
            economic = replace(economic, mode=mode, mode_since_ms=now_ms)
        return HomeostaticState(
            agent_id=agent_id,
            session_id=stream.session_id,
            operational=vitals.operational(now_ms),
            cognitive=vitals.cognitive(),
            economic=economic,
            strategy=vitals.strategy(),
            eval=vitals.evaluation(),
            belief=standing.belief(),
            thresholds=self.thresholds,
            awake_until_ms=vitals.awake_until_ms,
            now_ms=now_ms,
            last_event_seq=vitals.last_event_seq,
            last_event_ms=vitals.last_event_ms,
            events=vitals.evidence,
        )

    def agent_state(self, agent_id: str, now_ms: int) -> HomeostaticState:
        """An agent over all its sessions: totals are sums, the present is that of the session that was active last."""
        own = [(stream, vitals) for stream, vitals in self.streams() if vitals.agent_id == agent_id]
        if not own:
            return self.state(Stream(""), agent_id, now_ms)
        stream, latest = max(own, key=lambda item: (item[1].evidence > 0, item[1].last_event_ms))
        state = self.state(stream, agent_id, now_ms)
        runs = [lasted for _, vitals in own for lasted, _ in vitals.runs if lasted >= 0]
        operational = replace(
            state.operational,
            total_errors=sum(vitals.total_errors for _, vitals in own),
            total_successes=sum(vitals.total_successes for _, vitals in own),
            total_denials=sum(vitals.total_denials for _, vitals in own),
            mean_run_ms=sum(runs) // len(runs) if runs else 0,
        )
        cognitive = replace(
            state.cognitive,
            total_tokens_used=sum(vitals.total_tokens for _, vitals in own),
            turns_completed=sum(vitals.turns for _, vitals in own),
        )
        return replace(
            state,
            session_id="",
            operational=operational,
            cognitive=cognitive,
            last_event_ms=latest.last_event_ms,
            events=sum(vitals.evidence for _, vitals in own),
        )

    def encode(self) -> bytes:
        """Everything, for a snapshot."""
        streams = [(*key, vitals) for key, vitals in self._streams.items()]
        return _encoder.encode(Kept(streams=streams, agents=list(self._agents.items())))

    def load(self, state: bytes) -> bool:
        """Go on from a snapshot; False, and nothing changed, when it can't be read."""
        try:
            kept = _decoder.decode(state)
        except (msgspec.DecodeError, ValueError):
            return False
        self._streams = {(session_id, branch_id): vitals for session_id, branch_id, vitals in kept.streams}
        self._agents = dict(kept.agents)
        self.has_forgotten = len(self._streams) >= MOST_STREAMS
        return True

    def _new_economy(self) -> Economy:
        return Economy(rates=self.rates, gate=self.thresholds.velocity_gate)

    def _began(self, key: tuple[str, str], agent_id: str, sequence: int) -> SessionVitals:
        vitals = SessionVitals.under(self.thresholds)
        vitals.agent_id = agent_id
        vitals.is_partial = sequence > 1
        if len(self._streams) >= MOST_STREAMS:
            self._forget()
        self._streams[key] = vitals
        return vitals

    def _forget(self) -> None:
        """Forget an eighth of the streams: those that have been quiet longest, and no session that stands still."""
        quiet = sorted((vitals.last_event_ms, key) for key, vitals in self._streams.items() if not vitals.suspended)
        for _, key in quiet[: MOST_STREAMS // 8]:
            del self._streams[key]
        self.has_forgotten = True

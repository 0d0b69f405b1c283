"""What the page knows at a position: plain values that are the same in Python and in the page, digest for digest.

Every list has a greatest length (`CAPS`), so a state is small whatever the session's length; what has left a list is in the
journal. Entries point at events by branch and sequence instead of repeating them. Times are the events' own, as text
(RFC 3339). Only `Vector` and `Sample` have fractions; every other number is a whole one below 2**53.

The field names are those of the page's TypeScript (`ui/src/fold/state.ts`).
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from life.crypto.canonical import canonical_json
from life.workspace.surroundings import Channel, Contact, Demo, Hire, Note, Offer, Quality, Said, Score

VERSION: Final = 2
"""Counts up when the meaning of the state changes: kept states of another version are folded anew."""

CAPS: Final[dict[str, int]] = {
    "entries": 400,
    "spans": 600,
    "runs": 100,
    "approvals": 100,
    "decisions": 100,
    "rules": 100,
    "queue": 50,
    "samples": 200,
    "modes": 50,
    "rulings": 50,
    "files": 500,
    "blocks": 100,
    "memory": 200,
    "judge": 50,
    "scores": 200,
    "notes": 200,
    "contacts": 100,
    "channels": 100,
    "talk": 100,
    "hires": 100,
    "offers": 20,
    "identity": 50,
    "payments": 200,
    "peers": 100,
    "branches": 100,
    "marks": 2000,
    "calls": 200,
}
"""How many items each list keeps; the oldest leave first."""


class Entry(msgspec.Struct, kw_only=True, gc=False):
    """One thing in the conversation: `user`, `text`, `thinking`, `tool`, `end` of a run, `notice`, `payment`."""

    seq: int
    branch: str
    kind: str
    ref: str = ""
    """The call, run or payment that it is about; of a notice the event's type."""
    label: str = ""
    """The tool's name, or why a run ended."""
    detail: str = ""
    """What the tool is pointed at."""
    state: str = ""
    """Of a tool: requested, waiting, client, approved, running, ok, error, timeout, cancelled, failed, refused, expired, in_doubt."""
    end: int = 0
    """Sequence of the result."""
    ms: int = 0
    approval: str = ""
    rule: str = ""
    """The policy rule that spoke about the call."""
    why: str = ""
    """In words, where it did not simply allow it."""


class Run(msgspec.Struct, kw_only=True, gc=False):
    """One run and what it used."""

    id: str
    seq: int
    started: str
    provider: str
    max_steps: int = 0
    max_tokens: int = 0
    max_cost_micro: int = 0
    """0: no such limit."""
    end: int = 0
    ended: str = ""
    reason: str = ""
    steps: int = 0
    prompt: int = 0
    completion: int = 0
    cost_micro: int = 0
    uncosted: int = 0
    """Model answers whose cost nobody told."""
    calls: int = 0
    failed: int = 0


class Totals(msgspec.Struct, kw_only=True, gc=False):
    """Counted over everything that was folded."""

    runs: int = 0
    steps: int = 0
    prompt: int = 0
    completion: int = 0
    cost_micro: int = 0
    uncosted: int = 0
    calls: int = 0
    ok: int = 0
    failed: int = 0
    denied: int = 0
    files: int = 0
    approvals: int = 0
    spent_micro: int = 0
    earned_micro: int = 0
    payments: int = 0
    compactions: int = 0
    errors: int = 0


class Call(msgspec.Struct, kw_only=True, gc=False):
    """A call without a result."""

    id: str
    tool: str
    seq: int
    run: str = ""
    """Its tool run, once it was started."""
    state: str = "requested"


class Span(msgspec.Struct, kw_only=True, gc=False):
    """A stretch of work: `run`, `step`, `model`, `tool`."""

    id: str
    parent: str
    kind: str
    name: str
    seq: int
    started: str
    end: int = 0
    ended: str = ""
    status: str = ""
    """Empty while it is open."""
    prompt: int = 0
    completion: int = 0
    first_ms: int = 0
    """From asking the model to the first piece of its answer."""


class Approval(msgspec.Struct, kw_only=True, gc=False):
    """A call that waits for a person."""

    id: str
    call: str
    tool: str
    risk: str
    seq: int
    asked: str
    capabilities: list[str]


class Decision(msgspec.Struct, kw_only=True, gc=False):
    """What became of an approval."""

    id: str
    call: str
    tool: str
    risk: str
    asked_seq: int
    seq: int
    decision: str
    reason: str


class Rule(msgspec.Struct, kw_only=True, gc=False):
    """What a person allowed for the rest of the session."""

    id: str
    tool: str
    patterns: list[str]
    by: str
    seq: int


class Waiting(msgspec.Struct, kw_only=True, gc=False):
    """A queued message."""

    id: str
    mode: str
    message: str
    seq: int


class Vector(msgspec.Struct, kw_only=True, gc=False):
    """The agent's state vector as the journal last told it."""

    seq: int
    progress: float
    uncertainty: float
    risk: str
    error_streak: int
    context_pressure: float
    side_effect_pressure: float
    human_dependency: float
    tokens_remaining: int
    time_remaining_ms: int
    tool_calls_remaining: int
    error_budget_remaining: int


class Sample(msgspec.Struct, kw_only=True, gc=False):
    """The three pressures and what is remaining, for a line over time."""

    seq: int
    progress: float
    uncertainty: float
    context_pressure: float
    side_effect_pressure: float
    error_streak: int


class Gates(msgspec.Struct, kw_only=True, gc=False):
    """What homeostasis permits."""

    seq: int
    side_effects: bool
    approval_for_risk: str
    tool_calls: int
    mutations: int
    network: bool
    shell: bool
    reason: str


class Mode(msgspec.Struct, kw_only=True, gc=False):
    """A change of the operating mode."""

    seq: int
    was: str
    now: str
    reason: str


class Noted(msgspec.Struct, kw_only=True, gc=False):
    """An event of a family that is listed as it is."""

    seq: int
    type: str
    detail: str = ""


class File(msgspec.Struct, kw_only=True, gc=False):
    """The last thing that happened to a file."""

    path: str
    op: str
    """write, change, delete, rename."""
    seq: int
    branch: str
    time: str
    size: int
    """-1: not told."""
    hash: str
    was: str = ""
    """Its path before, of a rename."""
    count: int = 1
    """How often it was touched."""


class Block(msgspec.Struct, kw_only=True, gc=False):
    """A part of the context that was compiled for the model."""

    part: str
    """`frozen` (the beginning) or `noted` (what the last run was told)."""
    kind: str
    source: str
    tokens: int
    cut: bool
    dropped: bool


class Context(msgspec.Struct, kw_only=True, gc=False):
    """What the model was sent, as far as events tell."""

    window: int = 0
    prompt: int = 0
    """Tokens of the last prompt, as the provider counted them."""
    prompt_seq: int = 0
    frozen_seq: int = 0
    noted_seq: int = 0
    compacted_seq: int = 0
    dropped: int = 0
    before: int = 0
    after: int = 0


class Memory(msgspec.Struct, kw_only=True, gc=False):
    """Something in memory or knowledge: proposed, committed, tombstoned, observed, reflected, searched, retrieved, evaluated."""

    seq: int
    branch: str
    what: str
    id: str
    scope: str
    path: str


class Payment(msgspec.Struct, kw_only=True, gc=False):
    """A payment: reserved, signed, sent, unknown, settled, failed, released, declined, earned."""

    id: str
    state: str
    seq: int
    time: str
    amount_micro: int = 0
    payee: str = ""
    resource: str = ""
    network: str = ""
    tx: str = ""
    reason: str = ""
    session: str = ""


class Peer(msgspec.Struct, kw_only=True, gc=False):
    """An agent that works for this one."""

    call: str
    agent: str
    session: str
    state: str
    seq: int
    detail: str = ""


class Fork(msgspec.Struct, kw_only=True, gc=False):
    """A branch that was forked off here."""

    id: str
    name: str
    at: int
    seq: int


class Mark(msgspec.Struct, kw_only=True, gc=False):
    """A point worth seeing on the mini-map: user, failure, approval, payment, fork, end."""

    seq: int
    kind: str


class Session(msgspec.Struct, kw_only=True, gc=False):
    """Whose session it is."""

    id: str = ""
    name: str = ""
    owner: str = ""
    agent: str = ""
    provider: str = ""
    created: str = ""
    closed: bool = False
    deleted: bool = False
    merged_into: str = ""
    parent: str = ""
    fork: int = 0
    branch_name: str = ""


class State(msgspec.Struct, kw_only=True, dict=True):
    """Everything that the page draws, at `seq` of `branch`."""

    version: int = VERSION
    seq: int = 0
    branch: str = ""
    time: str = ""
    events: int = 0
    """How many events were folded, those that a branch inherited included."""
    status: str = "idle"
    """idle, running, paused, waiting, in_doubt, closed."""
    mode: str = ""
    held: bool = False
    suspended: str = ""
    breaker: bool = False
    run: str = ""
    """The open run."""
    step: str = ""
    """The open step's span."""
    said: bool = False
    """Whether the last answer had words."""
    session: Session = msgspec.field(default_factory=Session)
    totals: Totals = msgspec.field(default_factory=Totals)
    entries: list[Entry] = []
    dropped: int = 0
    """Entries that have left the list."""
    calls: list[Call] = []
    runs: list[Run] = []
    spans: list[Span] = []
    approvals: list[Approval] = []
    decisions: list[Decision] = []
    rules: list[Rule] = []
    queue: list[Waiting] = []
    vector: Vector | None = None
    samples: list[Sample] = []
    gates: Gates | None = None
    modes: list[Mode] = []
    rulings: list[Noted] = []
    files: list[File] = []
    context: Context = msgspec.field(default_factory=Context)
    blocks: list[Block] = []
    memory: list[Memory] = []
    judge: list[Noted] = []
    scores: list[Score] = []
    quality: Quality | None = None
    notes: list[Note] = []
    contacts: list[Contact] = []
    channels: list[Channel] = []
    talk: list[Said] = []
    hires: list[Hire] = []
    demo: Demo | None = None
    offers: list[Offer] = []
    identity: list[Noted] = []
    payments: list[Payment] = []
    peers: list[Peer] = []
    branches: list[Fork] = []
    marks: list[Mark] = []
    kinds: dict[str, int] = {}
    """Events by kind; of extension events by their dotted name."""


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(State)


def encode_state(state: State) -> bytes:
    """The state as JSON, for the page and for keeping."""
    return _encoder.encode(state)


def decode_state(content: bytes) -> State:
    """A state of one's own from `encode_state`'s bytes."""
    return _decoder.decode(content)


def digest(state: State) -> str:
    """SHA-256 of the state's canonical JSON (RFC 8785), in hex. Equal digests, equal states, here and in the page."""
    return hashlib.sha256(canonical_json(msgspec.to_builtins(state))).hexdigest()

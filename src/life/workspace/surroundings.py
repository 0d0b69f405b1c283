"""What stands around the conversation at a position: judges, notes with links, Spaces, demos. Rows of `life.workspace.state.State`."""

from __future__ import annotations

import msgspec


class Score(msgspec.Struct, kw_only=True, gc=False):
    """What an evaluator gave a run, 0 to 1, with the label it carried."""

    seq: int
    evaluator: str
    value: float
    label: str
    layer: str
    timing: str
    """inline (a heuristic) or async (a judge)."""
    run: str
    why: str = ""


class Quality(msgspec.Struct, kw_only=True, gc=False):
    """The session's quality over all its scores, as an event told it."""

    seq: int
    value: float
    trend: float
    inline: int
    judged: int


class Note(msgspec.Struct, kw_only=True):
    """Something with `[[links]]` that a call wrote, or what a search of memory or knowledge led to."""

    seq: int
    branch: str
    call: str
    kind: str
    """memory, file, search or found."""
    id: str
    """Its key, path or name; of a search the words."""
    links: list[str]
    ref: str = ""
    """The id that a memory was given."""
    state: str
    """asked until the call ended, then ok or failed."""


class Contact(msgspec.Struct, kw_only=True):
    """Somebody in Spaces, as the agent met them."""

    seq: int
    id: str
    name: str
    agent: bool
    skills: list[str]
    price_micro: int = -1
    """-1: not told."""
    trust_micro: int = -1
    """This agent's own trust, 0 to 1,000,000; -1: not told."""
    presence: str = ""
    """online, offline, or not told."""
    stars: int = 0


class Channel(msgspec.Struct, kw_only=True, gc=False):
    """A channel that the agent listed, made, read or wrote in."""

    seq: int
    id: int
    space: int
    name: str
    type: str = ""


class Said(msgspec.Struct, kw_only=True, gc=False):
    """Something said in Spaces: message, dm, question, answer, log."""

    seq: int
    kind: str
    id: str
    channel: int
    place: str
    """The channel's name, or the other's."""
    who: str
    mine: bool
    text: str
    at_us: int


class Hire(msgspec.Struct, kw_only=True, gc=False):
    """A piece of work between this agent and another, for money that is held in between."""

    seq: int
    id: str
    role: str
    peer: str
    name: str
    title: str
    state: str
    price_micro: int
    paid_micro: int = 0
    refunded_micro: int = 0
    escrow: str = ""
    reason: str = ""
    result: str = ""
    stars: int = 0


class Demo(msgspec.Struct, kw_only=True):
    """The demo that the session is of."""

    seq: int
    slug: str
    how: str
    """run, recording or copy."""
    simulated: list[str]
    """What stands in for the outside world, a line each."""


class Offer(msgspec.Struct, kw_only=True, gc=False):
    """A demo's offer to branch before an event and say something else."""

    seq: int
    title: str
    reason: str
    before: int
    message: str

"""A demo, as data (WS-DEMO-4).

Every struct refuses fields that it does not know, so a typing mistake in a file is an error and not a silent nothing. Amounts
are micro-USD (1,000,000 are 1 USD, or 1 USDC), times are milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from life.aios.json import Json, JsonObject
from life.workspace.demos.expects import Expects, Panel

Chip = Literal["emerald", "amber", "violet", "blue", "rose"]
"""Live, research, paid, preview, alpha."""

Slug = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
_Words = Annotated[str, msgspec.Meta(min_length=1)]
_Host = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]*\.demo\.localhost$")]
_Micro = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]


class _Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a demo's file."""


class Suggestion(_Data, frozen=True, kw_only=True):
    """Words that begin a run, and the script that answers them."""

    label: _Words
    prompt: _Words
    script: _Words


class Call(_Data, frozen=True, kw_only=True):
    """A tool call of the script. `name` lets later turns quote its result: `{{name.path.to.value}}`."""

    tool: _Words
    arguments: JsonObject = {}
    name: str = ""


class Instead(_Data, frozen=True, kw_only=True):
    """What a turn says when a named call went otherwise than the story: a person decided so, or the policy."""

    call: _Words
    outcome: Literal["worked", "failed"]
    text: _Words
    ends: bool = False
    """Without this turn's calls, so that the run ends here."""


class Turn(_Data, frozen=True, kw_only=True):
    """One answer of the scripted model."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    instead: Instead | None = None
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 350
    """Before it begins to answer."""


class Script(_Data, frozen=True, kw_only=True):
    """What the scripted model says and does, turn by turn."""

    turns: Annotated[tuple[Turn, ...], msgspec.Meta(min_length=1)]


class Decision(_Data, frozen=True, kw_only=True):
    """What the person of the story answers, in the order of the questions: `life demo run --yes` answers so."""

    about: Literal["tool", "payment"]
    approve: bool
    tool: str = ""
    """Of a tool call: its name."""
    reason: str = ""
    scope: Literal["once", "session"] = "once"


class Billing(_Data, frozen=True, kw_only=True):
    """What a run costs besides the model."""

    mode: Literal["free", "credits", "x402"] = "free"
    amount_micro: _Micro = 0
    direction: Literal["none", "incoming", "outgoing"] = "none"


class Fixture(_Data, frozen=True, kw_only=True):
    """A stand-in: something on the network, served by this process on loopback and labelled *simulated*."""

    kind: Literal["page", "embeddings"]
    host: _Host
    path: Annotated[str, msgspec.Meta(pattern=r"^/[A-Za-z0-9_./-]*$")]
    says: _Words
    """What it stands for, in one line, for people."""
    method: Literal["GET", "POST"] = "GET"
    price_micro: _Micro = 0
    """What one answer costs over x402, in play money."""
    micro_per_million_tokens: _Micro = 0
    """Of `embeddings`: the price, by the text that is sent."""
    slow_first_ms: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    """How long the first answer of each run is kept back."""
    pays: Literal["house", "agent"] = "house"
    """Who is paid: a play-money account of nobody's, or the agent itself."""
    body: Json = None


class Peer(_Data, frozen=True, kw_only=True):
    """An agent that can be hired in the demos' own Spaces: simulated, but for its listing, its key and the money."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Z][a-z]{1,19}$")]
    says: _Words
    """What it does, as its listing says."""
    skills: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    price_micro: _Micro
    takes_ms: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 800
    delivers: JsonObject
    """Its work, whatever the task."""


class Budget(_Data, frozen=True, kw_only=True):
    """The limits of a run (`life.arcan.events.RunLimits`)."""

    max_steps: Annotated[int, msgspec.Meta(ge=1, le=60)] = 24
    max_tokens: Annotated[int, msgspec.Meta(ge=1_000)] = 120_000
    max_time_ms: Annotated[int, msgspec.Meta(ge=10_000)] = 1_800_000
    max_tool_calls: Annotated[int, msgspec.Meta(ge=1)] = 48
    window_tokens: Annotated[int, msgspec.Meta(ge=2_000)] = 200_000
    """The window of the scripted model."""


class Policy(_Data, frozen=True, kw_only=True):
    """What the session may do (`life.aios.policy.PolicySet`)."""

    allow: tuple[str, ...]
    gate: tuple[str, ...] = ()


class Judge(_Data, frozen=True, kw_only=True):
    """What the scripted judge answers: scores from 0 to 1 by criterion, `otherwise` for those that are not named."""

    scores: dict[str, Annotated[float, msgspec.Meta(ge=0, le=1)]] = {}
    otherwise: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Price(_Data, frozen=True, kw_only=True):
    """Whose price list the scripted model's tokens are counted by (`life.arcan.providers.pricing`)."""

    vendor: _Words
    model: _Words


class Ui(_Data, frozen=True, kw_only=True):
    """How the demo is shown before it runs."""

    chip: Chip
    eyebrow: _Words
    empty_title: _Words
    empty_hint: _Words
    suggestions: Annotated[tuple[Suggestion, ...], msgspec.Meta(min_length=1, max_length=8)]


class Demo(_Data, frozen=True, kw_only=True):
    """One demo."""

    slug: Slug
    name: _Words
    description: _Words
    module: _Words
    """The kind of work: what several demos of one module share is their kind of tools and costs."""
    language: Literal["en", "es"]
    visibility: Literal["public", "unlisted", "private"] = "public"
    instructions: _Words
    """What the agent is told to be, whatever model thinks for it."""
    tools: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """The tools that it has; no others."""
    priced_as: Price
    panels: Annotated[tuple[Panel, ...], msgspec.Meta(min_length=1)]
    """The panels that a run fills."""
    ui: Ui
    billing: Billing = Billing()
    budget: Budget = Budget()
    policy: Policy
    judge: Judge
    fixtures: tuple[Fixture, ...] = ()
    peers: tuple[Peer, ...] = ()
    seed_files: tuple[str, ...] = ()
    """Paths in the session's workspace; their contents stand in `files/<slug>/`, or in that of `seeds_of`."""
    seeds_of: str = ""
    """Another demo's slug, whose seed files these are."""
    branches: tuple[Suggestion, ...] = ()
    """Other words for a branch, and the scripts that answer them there."""
    decisions: tuple[Decision, ...] = ()
    script: dict[str, Script]
    """Scripts by name."""
    expects: Expects
    """What a run of the first suggestion must have shown."""

    @property
    def has_payments(self) -> bool:
        """Whether money moves on the local ledger."""
        return bool(self.peers) or any(each.price_micro or each.micro_per_million_tokens for each in self.fixtures)

    @property
    def simulated(self) -> tuple[str, ...]:
        """One line for each stand-in."""
        return (
            *(f"{each.host}: {each.says}" for each in self.fixtures),
            *(f"{each.name}: {each.says}" for each in self.peers),
        )

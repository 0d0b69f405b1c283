"""A demo in a line and in full, as the page and the command line show it."""

from __future__ import annotations

from typing import Final

import msgspec

from life.host.demos.files import Estimate, estimate, recorded_events
from life.workspace.demos.catalogue import seed_files
from life.workspace.demos.demo import Chip, Demo
from life.workspace.demos.expects import Panel

NETWORK: Final = "eip155:4020402"
"""The local ledger of play money (`life.haima.x402.networks.LOCAL`)."""


class DemoSuggestion(msgspec.Struct, frozen=True, kw_only=True):
    """Words that begin a run."""

    label: str
    prompt: str


class DemoBilling(msgspec.Struct, frozen=True, kw_only=True):
    """What moves besides model costs: play money on the local ledger."""

    mode: str
    amount_micro: int
    direction: str
    network: str


class DemoLine(msgspec.Struct, frozen=True, kw_only=True):
    """One demo, as it is chosen."""

    slug: str
    name: str
    description: str
    language: str
    chip: Chip
    eyebrow: str
    empty_title: str
    empty_hint: str
    suggestions: tuple[DemoSuggestion, ...]
    billing: DemoBilling
    estimate_micro: Estimate | None
    """What the model calls of a run cost, from the recording's tokens and the price table; None without a recording."""
    priced_as: str
    """The model whose prices these are."""
    panels: tuple[Panel, ...]
    simulated: tuple[str, ...]
    has_recording: bool
    recording_events: int
    unavailable: str | None
    """Why it can't run here; its recording can be watched all the same."""


class DemoDetail(DemoLine, frozen=True, kw_only=True):
    """One demo in full."""

    instructions: str
    tools: tuple[str, ...]
    files: tuple[str, ...]
    allow: tuple[str, ...]
    gate: tuple[str, ...]
    branches: tuple[DemoSuggestion, ...]


def line_of(each: Demo, unavailable: str | None = None) -> DemoLine:
    """A demo as it is chosen; `unavailable` says why it can't run, where somebody knows."""
    ui = each.ui
    events = recorded_events(each.slug)
    return DemoLine(
        slug=each.slug,
        name=each.name,
        description=each.description,
        language=each.language,
        chip=ui.chip,
        eyebrow=ui.eyebrow,
        empty_title=ui.empty_title,
        empty_hint=ui.empty_hint,
        suggestions=tuple(DemoSuggestion(label=one.label, prompt=one.prompt) for one in ui.suggestions),
        billing=DemoBilling(
            mode=each.billing.mode,
            amount_micro=each.billing.amount_micro,
            direction=each.billing.direction,
            network=NETWORK,
        ),
        estimate_micro=estimate(each.slug),
        priced_as=each.priced_as.model,
        panels=each.panels,
        simulated=each.simulated,
        has_recording=events > 0,
        recording_events=events,
        unavailable=unavailable,
    )


def detail_of(each: Demo, unavailable: str | None = None) -> DemoDetail:
    """A demo in full."""
    more = {
        "instructions": each.instructions,
        "tools": each.tools,
        "files": tuple(seed_files(each)),
        "allow": each.policy.allow,
        "gate": each.policy.gate,
        "branches": tuple(DemoSuggestion(label=one.label, prompt=one.prompt) for one in each.branches),
    }
    return msgspec.convert({**msgspec.structs.asdict(line_of(each, unavailable)), **more}, DemoDetail)

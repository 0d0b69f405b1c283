"""A journal of the past gives the state and the decisions that it gave when it was written.

`golden/*.jsonl` are events as they stand in a journal; `golden/*.json` is what came of them. A change of a fold or a rule that
changes these is a new version of the rules (`life.autonomic.rules.VERSION`), and says so here.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from life.aios.envelope import decode_record
from life.aios.record import Stream
from life.autonomic import rules
from life.autonomic.homeostasis import Homeostasis
from life.autonomic.profile import judge, on_record

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.jsonl")))
def test_the_same_events_give_the_same_decisions(name: str) -> None:
    """Byte for byte, under version 1 of the rules."""
    assert rules.VERSION == 1
    homeostasis = Homeostasis()
    records = [decode_record(line) for line in (GOLDEN / f"{name}.jsonl").read_bytes().splitlines()]
    for one in records:
        homeostasis.apply(one)
    last = records[-1]
    state = homeostasis.state(Stream(last.session_id), last.agent_id, last.timestamp_us // 1000)
    verdict = judge(state)
    found = {
        "state": msgspec.to_builtins(state),
        "rules_fired": list(verdict.fired),
        "rationale": list(verdict.profile.rationale),
        "profile": msgspec.to_builtins(on_record(verdict)),
        "context": msgspec.to_builtins(verdict.context),
    }
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    assert json.loads(json.dumps(found)) == expected


def test_an_older_document_is_read_with_defaults() -> None:
    """A state that was written before a field existed."""
    from life.autonomic.state import HomeostaticState

    old = b'{"agent_id":"a","operational":{"mode":"verify","error_streak":2},"economic":{"balance_micro_credits":5}}'
    state = msgspec.json.decode(old, type=HomeostaticState)
    assert (state.operational.error_streak, state.economic.balance_micro_credits) == (2, 5)
    assert state.eval.aggregate_quality_score == 1.0 and state.cognitive.knowledge_health == 1.0

"""Hypothesis strategies for events of judges, notes, Spaces and demos: plausible ones, and ones that make no sense."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from life.workspace.judge_folds import JUDGES
from life.workspace.space_folds import SPACES
from tests.arcan.any_events import IDS, JSON, TEXTS

_NUMBERS = st.integers(-2, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(2**52, 2**54)
_LINKED = st.text("ab[]|# \n😀", max_size=24) | st.sampled_from(
    ["[[a]] and [[ b c ]]", "[[a|b]] [[a]]", "[[x\ny]]", "[[]]"]
)
_WORDS = TEXTS | _LINKED
_PEER = st.fixed_dictionaries(
    {"identity": IDS, "name": _WORDS},
    optional={
        "is_agent": st.booleans() | JSON,
        "skills": st.lists(_WORDS, max_size=3) | JSON,
        "price_micro": _NUMBERS | JSON,
        "trust_micro": _NUMBERS | JSON,
        "online": st.booleans(),
    },
)
_MESSAGE = st.fixed_dictionaries({"message_id": _NUMBERS, "from": _PEER, "text": _WORDS, "at_us": _NUMBERS})
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "call_id": IDS,
    "peers": st.lists(_PEER | JSON, max_size=3),
    "peer": _PEER | JSON,
    "channels": st.lists(st.fixed_dictionaries({"id": _NUMBERS, "name": _WORDS, "type": _WORDS}) | JSON, max_size=3),
    "channel_id": st.integers(0, 2) | _NUMBERS,
    "channel": _WORDS,
    "space_id": _NUMBERS,
    "message_id": st.integers(0, 2) | _NUMBERS,
    "text": _WORDS | JSON,
    "last": st.lists(_MESSAGE | JSON, max_size=3),
    "ask_id": IDS,
    "question": _WORDS,
    "answer": _WORDS,
    "hire_id": IDS,
    "role": st.sampled_from(["customer", "worker"]),
    "title": _WORDS,
    "price_micro": _NUMBERS | JSON,
    "paid_micro": _NUMBERS,
    "refunded_micro": _NUMBERS,
    "state": _WORDS,
    "escrow": _WORDS,
    "reason": _WORDS,
    "result": _WORDS | JSON,
    "stars": _NUMBERS,
    "trust_micro": _NUMBERS | JSON,
    "kind": _WORDS,
    "name": _WORDS,
    "at_us": _NUMBERS,
    "evaluator": _WORDS,
    "score": _NUMBERS,
    "label": _WORDS,
    "layer": _WORDS,
    "explanation": _WORDS | JSON,
    "scores": st.lists(
        st.fixed_dictionaries({"evaluator": _WORDS, "value": _NUMBERS, "label": _WORDS, "layer": _WORDS}) | JSON,
        max_size=3,
    ),
    "aggregate_quality": _NUMBERS,
    "trend": _NUMBERS,
    "inline_count": _NUMBERS,
    "async_count": _NUMBERS,
    "slug": _WORDS,
    "how": _WORDS,
    "task": _WORDS,
    "delivered": _WORDS,
    "simulated": st.lists(_WORDS, max_size=3) | JSON,
    "before_sequence": _NUMBERS,
    "message": _WORDS,
}
_NAMES = sorted({*SPACES, *JUDGES, "eval.judge_failed"})
_TOOLS = st.sampled_from(
    ["write_memory", "memory_propose", "write_file", "memory_search", "knowledge_search", "memory_graph", "toString"]
)


def _custom(name: str) -> st.SearchStrategy[dict[str, Any]]:
    data = st.fixed_dictionaries({}, optional=_FIELDS)
    return data.map(lambda given: {"type": "Custom", "event_type": name, "data": given})


_FOUND = st.lists(
    st.fixed_dictionaries(
        {}, optional={"name": _WORDS, "path": _WORDS, "id": IDS, "links": st.lists(_WORDS | JSON, max_size=3)}
    )
    | JSON,
    max_size=3,
)
_REQUESTED = st.fixed_dictionaries(
    {
        "type": st.just("ToolCallRequested"),
        "call_id": IDS,
        "tool_name": _TOOLS,
        "arguments": st.fixed_dictionaries(
            {},
            optional={
                "key": _WORDS,
                "content": _LINKED,
                "path": _WORDS,
                "query": _WORDS,
                "entries": st.lists(st.fixed_dictionaries({"content": _LINKED}) | JSON, max_size=3),
            },
        )
        | JSON,
    }
)
_COMPLETED = st.fixed_dictionaries(
    {
        "type": st.just("ToolCallCompleted"),
        "call_id": IDS,
        "tool_run_id": IDS,
        "tool_name": _TOOLS,
        "status": st.sampled_from(["ok", "error"]),
        "result": st.fixed_dictionaries({}, optional={"matches": _FOUND, "results": _FOUND, "notes": _FOUND}) | JSON,
    }
)
SURROUNDINGS: st.SearchStrategy[bytes] = st.one_of(_REQUESTED, _COMPLETED, *map(_custom, _NAMES)).map(
    lambda kind: json.dumps(kind).encode()
)
"""The payload of an event."""

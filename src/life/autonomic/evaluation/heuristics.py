"""Nine heuristics over a run's facts: formulas without any input or output, each far below a millisecond (nous.md §2).

    token_efficiency      execution   after each model call: output/input, 1 up to 0.5, 0 from 3
    budget_adherence      cost        after each model call: the share of the tokens that is left
    argument_validity     action      before each tool call: do the arguments fit their schema?
    safety_compliance     safety      after each tool call: did it fail?
    tool_correctness      action      at the end: 1 - errors/calls
    step_efficiency       execution   at the end: 1 - steps/most steps
    knowledge_freshness   reasoning   at the end: how old the index is
    knowledge_coherence   reasoning   at the end: its health
    knowledge_coverage    reasoning   at the end: pages that are not missing

What is computed at a model or tool call is told once for the run, as the mean over its calls: a score per call would be
most of the journal. Where an input is missing there is no score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from life.aios.json import Json, JsonObject
from life.autonomic.evaluation.run_facts import RunFacts, Schemas
from life.autonomic.evaluation.scores import EvalScore, Hook, Layer

LOW_RATIO: Final = 0.5
HIGH_RATIO: Final = 3.0
STALE_MS: Final = 3_600_000

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "null": (type(None),),
}


class Heuristic(NamedTuple):
    """One of the nine."""

    name: str
    layer: Layer
    hook: Hook
    value: Callable[[RunFacts, Schemas], float | None]


def token_efficiency(prompt_tokens: int, completion_tokens: int) -> float | None:
    """1 when the answer is at most half as long as the prompt, 0 from three times as long; None without a prompt."""
    if prompt_tokens <= 0:
        return None
    ratio = completion_tokens / prompt_tokens
    return min(1.0, max(0.0, (HIGH_RATIO - ratio) / (HIGH_RATIO - LOW_RATIO)))


def budget_adherence(used: int, remaining: int) -> float | None:
    """The share that is left; None when there is nothing to share out."""
    whole = used + remaining
    return max(0, remaining) / whole if whole > 0 else None


def argument_validity(schema: JsonObject | None, arguments: Json) -> float | None:
    """1 less the share of checks that fail: a required field is there, a present field has its declared type. 0 for arguments that
    are no object; None when there is nothing to check."""
    if not isinstance(arguments, Mapping):
        return 0.0
    if schema is None:
        return None
    required, properties = schema.get("required", ()), schema.get("properties", {})
    checks: list[bool] = []
    if isinstance(required, list | tuple):
        checks += [name in arguments for name in required if isinstance(name, str)]
    if isinstance(properties, Mapping):
        for name, described in properties.items():
            if name in arguments and isinstance(described, Mapping):
                declared = described.get("type")
                if isinstance(declared, str) and declared in _TYPES:
                    checks.append(_fits(arguments[name], declared))
    return sum(checks) / len(checks) if checks else None


def _fits(value: Json, declared: str) -> bool:
    if isinstance(value, bool):
        return declared == "boolean"
    return isinstance(value, _TYPES[declared])


def tool_correctness(calls: int, errors: int) -> float | None:
    """The share of calls that worked; None without calls."""
    return 1 - errors / calls if calls > 0 else None


def step_efficiency(iterations: int | None, most: int | None) -> float | None:
    """1 less the share of the permitted steps that it took."""
    if iterations is None or not most:
        return None
    return min(1.0, max(0.0, 1 - iterations / most))


def knowledge_freshness(age_ms: int | None, notes: int | None) -> float | None:
    """0 for an empty index, a half for one older than an hour; None where there is no index."""
    if age_ms is None or notes is None:
        return None
    return 0.0 if notes == 0 else 0.5 if age_ms > STALE_MS else 1.0


def knowledge_coverage(notes: int | None, missing: int | None) -> float | None:
    """The share of the pages that are mentioned and there."""
    if notes is None or missing is None or notes + missing == 0:
        return None
    return 1 - missing / (notes + missing)


def _efficiency(facts: RunFacts, _schemas: Schemas) -> float | None:
    return _mean(token_efficiency(prompt, said) for prompt, said in zip(facts.prompts, facts.completions, strict=True))


def _adherence(facts: RunFacts, _schemas: Schemas) -> float | None:
    if facts.max_tokens is None or not facts.prompts:
        return None
    return budget_adherence(facts.tokens, max(0, facts.max_tokens - facts.tokens))


def _validity(facts: RunFacts, schemas: Schemas) -> float | None:
    return _mean(argument_validity(schemas.get(call.tool_name), call.arguments) for call in facts.calls.values())


def _compliance(facts: RunFacts, _schemas: Schemas) -> float | None:
    return _mean(0.0 if call.errored else 1.0 for call in facts.calls.values() if call.errored is not None)


def _correctness(facts: RunFacts, _schemas: Schemas) -> float | None:
    ended = [call.errored for call in facts.calls.values() if call.errored is not None]
    return tool_correctness(len(ended), sum(ended))


def _steps(facts: RunFacts, _schemas: Schemas) -> float | None:
    return step_efficiency(facts.iterations, facts.max_iterations)


def _freshness(facts: RunFacts, _schemas: Schemas) -> float | None:
    age_ms = None if facts.knowledge_at_ms is None else max(0, facts.finished_ms - facts.knowledge_at_ms)
    return knowledge_freshness(age_ms, facts.knowledge_notes)


def _coherence(facts: RunFacts, _schemas: Schemas) -> float | None:
    return facts.knowledge_health


def _coverage(facts: RunFacts, _schemas: Schemas) -> float | None:
    return knowledge_coverage(facts.knowledge_notes, facts.knowledge_missing)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


HEURISTICS: Final = (
    Heuristic("token_efficiency", "execution", "after_model_call", _efficiency),
    Heuristic("budget_adherence", "cost", "after_model_call", _adherence),
    Heuristic("argument_validity", "action", "pre_tool_call", _validity),
    Heuristic("safety_compliance", "safety", "post_tool_call", _compliance),
    Heuristic("tool_correctness", "action", "on_run_finished", _correctness),
    Heuristic("step_efficiency", "execution", "on_run_finished", _steps),
    Heuristic("knowledge_freshness", "reasoning", "on_run_finished", _freshness),
    Heuristic("knowledge_coherence", "reasoning", "on_run_finished", _coherence),
    Heuristic("knowledge_coverage", "reasoning", "on_run_finished", _coverage),
)


def evaluate(facts: RunFacts, schemas: Schemas | None = None) -> list[EvalScore]:
    """The scores of a finished run, as far as their inputs are known."""
    known = schemas or {}
    found = ((heuristic, heuristic.value(facts, known)) for heuristic in HEURISTICS)
    return [
        EvalScore(evaluator=heuristic.name, value=value, layer=heuristic.layer)
        for heuristic, value in found
        if value is not None
    ]

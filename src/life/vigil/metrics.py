"""Spans → measurements. Instruments are made once per process; no session, run or user is ever a label.

`dev` is the convention of November 2026, `v1.41` the last one in the core repository; they differ in the model's metrics. Ours
(`life.*`, `vigil.*`) come with both. Source: vigil.md §4, §16, §21.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation
from opentelemetry.metrics import _Gauge as Gauge

from life.vigil import names as n
from life.vigil.config import Profile
from life.vigil.exports import Reading
from life.vigil.span import Attributes, AttributeValue, Span

TOKENS: Final = tuple(4**power for power in range(14))
SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
AGENT_SECONDS: Final = tuple(round(0.1 * 2**power, 1) for power in range(13))
MCP_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
CALLS: Final = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
SCORES: Final = tuple(tenth / 10 for tenth in range(1, 11))

READINGS: Final[Mapping[str, tuple[bool, str, str]]] = MappingProxyType(
    {
        "autonomic.projection.events": (True, "{event}", "Events that homeostasis folded."),
        "autonomic.gating.requests": (True, "{request}", "Verdicts that homeostasis gave."),
        "autonomic.rule.evaluations": (True, "{evaluation}", "How often each rule of homeostasis fired."),
        "autonomic.economic_mode": (False, "", "1 for the mode that governs."),
        "autonomic.balance_micro_credits": (False, "", "What the agent may still spend; none while it is not metered."),
        "autonomic.monthly_burn_micro_credits": (False, "", "What the agent spends a month at its present rate."),
        "autonomic.suspended_sessions": (False, "", "Sessions that stand still for want of means."),
        "autonomic.trust_score": (False, "", "Of the agent, 0 to 1."),
        "life.control.margin.l1": (False, "", "The stability margin of the agent's own loop; stable above 0."),
        "spaces.module.init": (False, "", "1 while Spaces runs in this process."),
        "spaces.module.client_connected": (True, "{session}", "Sessions that were opened in Spaces."),
        "spaces.module.client_disconnected": (True, "{session}", "Sessions of Spaces that ended."),
        "spaces.reducer.success": (True, "{command}", "Commands of Spaces that were carried out."),
        "spaces.reducer.error": (True, "{command}", "Commands of Spaces that were refused."),
        "spaces.reducer.auth_denied": (True, "{command}", "Of these, for want of a right or a login."),
        "spaces.client.connect": (True, "{connection}", "Connections that the agent made to a spacesd."),
        "spaces.client.subscribe": (True, "{subscription}", "Topics that the agent followed there."),
        "spaces.client.command": (True, "{request}", "Requests that the agent sent there."),
        "spaces.client.reducer_call": (True, "{command}", "Commands among these requests."),
        "spaces.sessions": (False, "{session}", "Sessions that are open in Spaces."),
        "spaces.subscriptions": (False, "{subscription}", "Subscriptions that are open in Spaces."),
        "spaces.position": (False, "", "Entries in the log of Spaces."),
        "spaces.export_lag": (False, "{entry}", "Entries that the journal does not have yet."),
    }
)
"""Values that are handed over as they stand: whether it is a counter, the unit, what it says."""

_MODEL_LABELS: Final = (n.OPERATION, n.PROVIDER, n.REQUEST_MODEL, n.RESPONSE_MODEL, n.SERVER_ADDRESS, n.SERVER_PORT)
_MCP_LABELS: Final = (
    n.MCP_METHOD,
    n.OPERATION,
    n.TOOL_NAME,
    n.PROMPT_NAME,
    n.MCP_PROTOCOL,
    n.RPC_STATUS,
    n.TRANSPORT,
    n.SERVER_ADDRESS,
    n.SERVER_PORT,
)


class Meters:
    """Every instrument."""

    def __init__(self, meter: Meter, profile: Profile) -> None:
        self._meter = meter
        self._dev = profile in ("dev", "both")
        self._v1_41 = profile in ("v1.41", "both")
        if self._dev:
            self._inference = self._seconds("gen_ai.client.inference.duration", "Model calls.")
            self._first_chunk = self._seconds(
                "gen_ai.client.inference.time_to_first_chunk", "Until the first piece of a streamed answer."
            )
            self._used = {
                name: meter.create_counter(f"gen_ai.client.inference.usage.{name}", "{token}", words)
                for name, words in (
                    ("input_tokens", "Tokens of prompts, cached ones included."),
                    ("output_tokens", "Tokens of answers."),
                    ("cache_read.input_tokens", "Tokens of prompts that came from a cache."),
                    ("cache_write.input_tokens", "Tokens of prompts that went into a cache."),
                    ("reasoning.output_tokens", "Tokens of thinking."),
                )
            }
            self._input = self._tokens("gen_ai.client.inference.operation.input_tokens", "Prompt tokens of a call.")
            self._output = self._tokens("gen_ai.client.inference.operation.output_tokens", "Answer tokens of a call.")
            self._agent = self._histogram("gen_ai.invoke_agent.duration", "s", "Runs.", AGENT_SECONDS)
            self._agent_calls = self._histogram(
                "gen_ai.invoke_agent.inference_calls", "{inference_call}", "Model calls of a run.", CALLS
            )
            self._agent_tools = self._histogram(
                "gen_ai.invoke_agent.tool_calls", "{tool_call}", "Tool calls of a run.", CALLS
            )
            self._tool = self._seconds("gen_ai.execute_tool.duration", "Tool calls.")
        self._mcp_client = self._histogram(
            "mcp.client.operation.duration", "s", "Requests to other MCP servers.", MCP_SECONDS
        )
        self._mcp_server = self._histogram(
            "mcp.server.operation.duration", "s", "Requests of MCP clients.", MCP_SECONDS
        )
        self._operation = self._seconds("gen_ai.client.operation.duration", "Operations of GenAI clients.")
        if self._v1_41:
            self._token_usage = self._tokens("gen_ai.client.token.usage", "Tokens of a call.")
            self._first_chunk_v1_41 = self._seconds(
                "gen_ai.client.operation.time_to_first_chunk", "Until the first piece of a streamed answer."
            )
        self._cost = meter.create_counter(
            "vigil.estimated_cost_usd", "USD", "What model calls cost, by the price table."
        )
        self._requests = meter.create_counter("vigil.requests", "{request}", "Model calls by how they ended.")
        self._executions = meter.create_counter("life.tool.executions", "{execution}", "Tool runs by how they ended.")
        self._gates = meter.create_counter("life.gate.decisions", "{decision}", "What the gate said about calls.")
        self._modes = meter.create_counter("life.mode.transitions", "{transition}", "Changes of the operating mode.")
        self._runs = meter.create_counter("life.runs", "{run}", "Runs by how they ended.")
        self._payments = meter.create_counter("life.payments", "{payment}", "Payments by what became of them.")
        self._settlements = meter.create_counter(
            "life.settlements", "{settlement}", "Settlements of a facilitator by what became of them."
        )
        self._paid = meter.create_counter("life.payments.settled", "{microcredit}", "What settled payments came to.")
        self._scores = meter.create_histogram(
            "life.eval.score", "1", "Scores of evaluators.", explicit_bucket_boundaries_advisory=SCORES
        )
        self._evaluations = meter.create_counter("life.eval.executions", "{execution}", "Evaluations.")
        self._budget_tokens = self._gauge("life.budget.tokens_remaining", "{token}", "Of the run that spoke last.")
        self._budget_cost = self._gauge("life.budget.cost_remaining_usd", "USD", "Of the run that spoke last.")
        self._dropped = meter.create_counter("vigil.export.dropped", "{span}", "Spans that no receiver got.")
        self._counts: dict[str, tuple[int, int]] = {}
        self._readings: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}

    def show(self, readings: Iterable[Reading]) -> None:
        """Hold these values until the next ones of their family (`autonomic.…`, `spaces.…`) come. A name that is none of `READINGS` is
        passed over."""
        fresh: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for reading in readings:
            if reading.name in READINGS:
                fresh.setdefault(reading.name, {})[tuple(sorted(reading.labels))] = reading.value
        for name in fresh.keys() - self._readings.keys():
            counts, unit, words = READINGS[name]
            create = self._meter.create_observable_counter if counts else self._meter.create_observable_gauge
            create(name, [partial(self._observed, name)], unit, words)
            self._readings[name] = {}
        families = {name.partition(".")[0] for name in fresh}
        for name in self._readings:
            if name.partition(".")[0] in families:
                self._readings[name] = fresh.get(name, {})

    def _observed(self, name: str, _: CallbackOptions) -> list[Observation]:
        return [Observation(value, dict(labels)) for labels, value in self._readings[name].items()]

    def dropped(self, count: int, sink: str) -> None:
        """Spans were lost on their way to a receiver."""
        self._dropped.add(count, {"vigil.exporter": sink.partition(":")[0]})

    def measure(self, spans: Iterable[Span]) -> None:
        """Count what these spans tell."""
        for span in spans:
            operation = span.attributes.get(n.OPERATION)
            if span.kind == "server":
                if n.MCP_METHOD in span.attributes:
                    self._mcp_server.record(_seconds(span), _labels(span, *_MCP_LABELS))
            elif operation == "chat":
                self._measure_chat(span)
            elif operation == "execute_tool":
                self._measure_tool(span)
            elif operation == "invoke_agent":
                self._measure_run(span)
            elif operation == "retrieval":
                self._operation.record(_seconds(span), _labels(span, n.OPERATION))
            elif span.name == n.TICK:
                self._measure_tick(span)
            elif span.name == n.PAYMENT:
                self._measure_payment(span)
            elif span.name == n.SETTLEMENT:
                self._settlements.add(1, _labels(span, n.PAYMENT_NETWORK, n.PAYMENT_OUTCOME))
            elif span.name.startswith(n.PHASE) and n.GATE_DECISION in span.attributes:
                self._gates.add(1, _labels(span, n.GATE_DECISION))
            for event in span.events:
                if event.name == "life.mode_changed":
                    self._modes.add(1, _copied(event.attributes, n.MODE_FROM, n.MODE_TO))
                elif event.name == n.EVALUATION_RESULT:
                    labels = {"life.eval.evaluator": event.attributes[n.EVALUATION_NAME]}
                    labels.update(_copied(event.attributes, n.EVAL_LAYER, n.ERROR_TYPE))
                    self._evaluations.add(1, labels)
                    score = event.attributes.get(n.EVALUATION_SCORE)
                    if isinstance(score, float):
                        self._scores.record(score, labels)

    def _measure_chat(self, span: Span) -> None:
        run = _run_of(span)
        calls, tools = self._counts.get(run, (0, 0))
        self._count(run, calls + 1, tools)
        labels = _labels(span, *_MODEL_LABELS)
        found = span.attributes
        seconds, first = _seconds(span), found.get(n.FIRST_CHUNK)
        tokens_in, tokens_out = _number(found.get(n.INPUT_TOKENS)), _number(found.get(n.OUTPUT_TOKENS))
        if self._dev:
            self._inference.record(seconds, labels)
            if isinstance(first, float):
                self._first_chunk.record(first, labels)
            typed = {**labels, "gen_ai.token.modality": "unknown" if span.error else "text"}
            cache_write = found.get(n.CACHE_WRITE_TOKENS, found.get(n.CACHE_WRITE_TOKENS_V1_41))
            self._used["input_tokens"].add(tokens_in or 0, typed)
            self._used["output_tokens"].add(tokens_out or 0, typed)
            for name, value in (
                ("cache_read.input_tokens", found.get(n.CACHE_READ_TOKENS)),
                ("cache_write.input_tokens", cache_write),
                ("reasoning.output_tokens", found.get(n.REASONING_TOKENS)),
            ):
                if isinstance(value, int):
                    self._used[name].add(value, typed)
            if tokens_in is not None:
                self._input.record(tokens_in, labels)
            if tokens_out is not None:
                self._output.record(tokens_out, labels)
        if self._v1_41:
            self._operation.record(seconds, labels)
            if isinstance(first, float):
                self._first_chunk_v1_41.record(first, labels)
            if tokens_in is not None:
                self._token_usage.record(tokens_in, {**labels, "gen_ai.token.type": "input"})
            if tokens_out is not None:
                self._token_usage.record(tokens_out, {**labels, "gen_ai.token.type": "output"})
        self._requests.add(1, {**_labels(span, n.PROVIDER, n.REQUEST_MODEL), "vigil.status": _status(span)})
        cost = found.get(n.COST_USD)
        if isinstance(cost, float) and cost > 0:
            self._cost.add(cost, _labels(span, n.PROVIDER, n.REQUEST_MODEL))

    def _measure_tool(self, span: Span) -> None:
        run = _run_of(span)
        calls, tools = self._counts.get(run, (0, 0))
        self._count(run, calls, tools + 1)
        if self._dev:
            self._tool.record(_seconds(span), _labels(span, n.OPERATION, n.TOOL_NAME))
        took_s = span.attributes.get(n.MCP_SECONDS)
        if isinstance(took_s, float):
            self._mcp_client.record(took_s, _labels(span, *_MCP_LABELS))
        self._executions.add(1, _labels(span, n.TOOL_NAME, n.TOOL_STATUS))

    def _measure_run(self, span: Span) -> None:
        calls, tools = self._counts.pop(_run_of(span), (0, 0))
        if self._dev:
            labels = _labels(span, n.OPERATION, n.AGENT_NAME)
            self._agent.record(_seconds(span), labels)
            self._agent_calls.record(calls, labels)
            self._agent_tools.record(tools, labels)
        reason = span.attributes.get(n.RUN_REASON, span.attributes.get(n.RUN_WAITS_FOR, "unfinished"))
        self._runs.add(1, {n.RUN_REASON: reason})

    def _measure_tick(self, span: Span) -> None:
        tokens, cost = span.attributes.get(n.BUDGET_TOKENS), span.attributes.get(n.BUDGET_COST)
        if isinstance(tokens, int):
            self._budget_tokens.set(tokens)
        if isinstance(cost, float):
            self._budget_cost.set(cost)

    def _measure_payment(self, span: Span) -> None:
        labels = _labels(span, n.PAYMENT_NETWORK, n.PAYMENT_OUTCOME)
        self._payments.add(1, labels)
        amount = span.attributes.get(n.PAYMENT_AMOUNT)
        if span.attributes.get(n.PAYMENT_OUTCOME) == "settled" and isinstance(amount, int):
            self._paid.add(amount, _labels(span, n.PAYMENT_NETWORK))

    def _count(self, run: str, calls: int, tools: int) -> None:
        self._counts[run] = (calls, tools)
        if len(self._counts) > 10_000:
            del self._counts[next(iter(self._counts))]

    def _histogram(self, name: str, unit: str, words: str, buckets: tuple[float, ...]) -> Histogram:
        return self._meter.create_histogram(name, unit, words, explicit_bucket_boundaries_advisory=buckets)

    def _seconds(self, name: str, words: str) -> Histogram:
        return self._histogram(name, "s", words, SECONDS)

    def _tokens(self, name: str, words: str) -> Histogram:
        return self._histogram(name, "{token}", words, TOKENS)

    def _gauge(self, name: str, unit: str, words: str) -> Gauge:
        return self._meter.create_gauge(name, unit, words)


def _labels(span: Span, *names: str) -> Attributes:
    labels = _copied(span.attributes, *names)
    if span.error is not None:
        labels[n.ERROR_TYPE] = span.error
    return labels


def _copied(attributes: Attributes, *names: str) -> Attributes:
    return {name: attributes[name] for name in names if name in attributes}


def _run_of(span: Span) -> str:
    """A subagent's run has its parent's trace, but a conversation of its own."""
    return f"{span.trace_id}/{span.attributes.get(n.CONVERSATION, '')}"


def _seconds(span: Span) -> float:
    return (span.end_us - span.start_us) / 1_000_000


def _number(value: AttributeValue | None) -> int | None:
    return value if isinstance(value, int) else None


def _status(span: Span) -> str:
    return "ok" if span.error is None else "error"

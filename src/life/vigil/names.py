"""Every name of a span, an attribute and an event that we emit: the closed set (vigil.md §23.11).

The GenAI and MCP conventions left the core repository in May 2026; no package carries their constants, so they stand here.
Source: the convention of November 2026 (schema 1.42.0-dev) and our own `life.*`, `autonomic.*`, `vigil.*` (vigil.md §13, §20).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"
SCHEMA_URL_V1_41: Final = "https://opentelemetry.io/schemas/1.41.0"
SCOPE: Final = "life.vigil"

TICK: Final = "life.tick"
PHASE: Final = "life.phase"
SANDBOX: Final = "life.sandbox"
PAYMENT: Final = "life.payment"
SETTLEMENT: Final = "life.settlement"
CUSTODY: Final = "life.custody"
EVALUATE: Final = "autonomic.evaluate"
EVALUATION: Final = "life.evaluation"
APPEND: Final = "lago.append"

# GenAI
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
CONVERSATION: Final = "gen_ai.conversation.id"
COMPACTED: Final = "gen_ai.conversation.compacted"
AGENT_NAME: Final = "gen_ai.agent.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
CACHE_WRITE_TOKENS_V1_41: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_TYPE: Final = "gen_ai.tool.type"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
TOP_K: Final = "gen_ai.retrieval.top_k"
QUERY_TEXT: Final = "gen_ai.retrieval.query.text"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_RESULT: Final = "gen_ai.evaluation.result"

# MCP
MCP_METHOD: Final = "mcp.method.name"
MCP_PROTOCOL: Final = "mcp.protocol.version"
RPC_REQUEST: Final = "jsonrpc.request.id"
RPC_STATUS: Final = "rpc.response.status_code"
TRANSPORT: Final = "network.transport"
PROMPT_NAME: Final = "gen_ai.prompt.name"

# General
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SESSION_ID: Final = "session.id"
EXIT_CODE: Final = "process.exit.code"
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
URL_PATH: Final = "url.path"
URL_SCHEME: Final = "url.scheme"

# Ours
LIFE_SESSION: Final = "life.session_id"
LIFE_RUN: Final = "life.run_id"
LIFE_BRANCH: Final = "life.branch_id"
LIFE_AGENT: Final = "life.agent_id"
RUN_REASON: Final = "life.run.reason"
RUN_STEPS: Final = "life.run.steps"
RUN_WAITS_FOR: Final = "life.run.waits_for"
UNFINISHED: Final = "life.unfinished"
TICK_INDEX: Final = "life.tick.index"
TICK_STOP: Final = "life.tick.stop_reason"
OPERATING_MODE: Final = "life.operating_mode"
LOOP_PHASE: Final = "life.loop_phase"
GATE_DECISION: Final = "life.gate.decision"
GATE_TOOL: Final = "life.gate.tool_name"
GATE_CALL: Final = "life.gate.call_id"
GATE_RULE: Final = "life.gate.rule_id"
GATE_RISK: Final = "life.gate.risk"
TOOL_STATUS: Final = "life.tool.status"
TOOL_CATEGORY: Final = "life.tool.category"
TOOL_RUN: Final = "life.tool.run_id"
MCP_SECONDS: Final = "life.mcp.duration_s"
FILES_CHANGED: Final = "life.files.changed"
EVENT_SEQ: Final = "life.event_seq"
EVENT_KIND: Final = "life.event_kind"
STATE_PROGRESS: Final = "life.state.progress"
STATE_UNCERTAINTY: Final = "life.state.uncertainty"
STATE_RISK: Final = "life.state.risk_level"
STATE_STREAK: Final = "life.state.error_streak"
STATE_PRESSURE: Final = "life.state.context_pressure"
BUDGET_TOKENS: Final = "life.budget.tokens_remaining"
BUDGET_COST: Final = "life.budget.cost_remaining_usd"
BUDGET_TIME: Final = "life.budget.time_remaining_ms"
BUDGET_CALLS: Final = "life.budget.tool_calls_remaining"
MODE_FROM: Final = "life.mode.from"
MODE_TO: Final = "life.mode.to"
LIMIT_NAME: Final = "life.limit.name"
RETRIES: Final = "life.reliability.retry_count"
FELL_BACK: Final = "life.reliability.fallback_triggered"
NOTICE: Final = "life.model.notice"
NOTICE_ERROR: Final = "life.model.error_code"
SANDBOX_ID: Final = "life.sandbox.id"
SANDBOX_TIER: Final = "life.sandbox.tier"
PAYMENT_ID: Final = "life.payment.id"
PAYMENT_NETWORK: Final = "life.payment.network"
PAYMENT_ASSET: Final = "life.payment.asset"
PAYMENT_AMOUNT: Final = "life.payment.amount_micro"
PAYMENT_RAIL: Final = "life.payment.rail"
PAYMENT_SCHEME: Final = "life.payment.scheme"
PAYMENT_OUTCOME: Final = "life.payment.outcome"
SPACES_COMMAND: Final = "life.spaces.command"
SPACES_EVENT: Final = "life.spaces.event"
SPACES_POSITION: Final = "life.spaces.position"
CUSTODY_OPERATION: Final = "life.custody.operation"
CUSTODY_BACKEND: Final = "life.custody.backend"
CUSTODY_PURPOSE: Final = "life.custody.purpose"
CUSTODY_REFUSED: Final = "life.custody.refused"
KNOWLEDGE_RESULTS: Final = "life.knowledge.result_count"
KNOWLEDGE_RELEVANCE: Final = "life.knowledge.top_relevance"
EVAL_LAYER: Final = "life.eval.layer"
EVAL_TIMING: Final = "life.eval.timing"
ECONOMIC_MODE: Final = "autonomic.economic_mode"
RULES_FIRED: Final = "autonomic.rules_fired"
LAGO_EVENTS: Final = "lago.event_count"
COST_USD: Final = "vigil.llm.estimated_cost_usd"
COST_SOURCE: Final = "vigil.llm.cost_source"

ATTRIBUTES: Final = frozenset(value for name, value in vars().items() if name.isupper() and isinstance(value, str))
"""Every attribute that a span of ours may have; a test holds it against what is exported."""

PROVIDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "anthropic": "anthropic",
        "openai": "openai",
        "openai-chat": "openai",
        "openai-responses": "openai",
        "gemini": "gcp.gemini",
        "ollama": "ollama",
        "scripted": "scripted",
    }
)
"""What the convention calls the providers of our specifications; any other keeps its own name."""

FINISHES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "completed": "stop",
        "tool_call": "tool_call",
        "max_tokens": "length",
        "refused": "content_filter",
        "vetoed": "content_filter",
        "error": "error",
    }
)
"""The convention's words for why an answer ended; anything else stays what it is called here."""

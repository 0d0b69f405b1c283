"""The routes of homeostasis (autonomic.md §11).

    GET  /gating/{session_id}             what is permitted now, and why; changes nothing
    POST /gating/{session_id}/evaluate    the same, and puts on record what is new about it
    GET  /gating/{session_id}/history     the decisions, and the rules that made them
    GET  /projection/{session_id}         the state that they rest on
    GET  /trust-score/{agent_id}          how far an agent can be relied on; public
    GET  /stability/{session_id}          the margins of the control loops
    GET  /metrics                         Prometheus text

and for the runtime's own daemon, read from the same:

    GET  /sessions/{session_id}/autonomic   the ruling on its context
    GET  /sessions/{session_id}/context     how full its context is
    GET  /sessions/{session_id}/cost        what it and its agent have used

An unknown session has the default state, and `found` tells; under `/sessions` it is a 404. `branch` chooses a branch other than main.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.events import Custom, Kind
from life.aios.ids import MAIN_BRANCH
from life.aios.json import Json, JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.http import Operation, Parameter
from life.aios.record import EventRecord, Stream, format_timestamp
from life.aios.state import GatingProfile
from life.autonomic.decisions import EconomicGates, Ruling
from life.autonomic.desk import Desk, Picture
from life.autonomic.events import PREFIX
from life.autonomic.stability import Level, stability
from life.autonomic.state import HomeostaticState
from life.autonomic.trust import TrustScore, trust_score

HttpOperation: TypeAlias = "Operation[Request, Response]"

READ: Final = "agent:read"
WRITE: Final = "agent:dispatch"
MOST_HISTORY: Final = 1_000
_BRANCH: Final = Parameter("branch", "Which branch; `main` unless told otherwise.")
_LIMIT: Final = Parameter("limit", f"How many, 1 to {MOST_HISTORY}; 100 unless told otherwise.", "integer")
_encode: Final = msgspec.json.Encoder().encode


class ProfileAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is permitted now, and why. An advisory event's `type` is its name without the prefix."""

    operational: GatingProfile
    economic: EconomicGates
    rationale: tuple[str, ...]
    advisory_events: tuple[JsonObject, ...]


class GatingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The profile of a session. `rules_fired` in the order of `rationale`; `target_tokens` when the context should be shortened."""

    session_id: str
    profile: ProfileAnswer
    rules_fired: tuple[str, ...]
    target_tokens: int | None
    last_event_seq: int
    last_event_ms: int
    found: bool


class ProjectionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a session."""

    session_id: str
    state: HomeostaticState
    found: bool


class DecisionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of the past."""

    sequence: int
    at: str
    type: str
    data: Json


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions, oldest first."""

    session_id: str
    decisions: tuple[DecisionAnswer, ...]


class TrustAnswer(TrustScore, frozen=True, kw_only=True):
    """The score, when it was made, and whether anything is known of the agent."""

    assessed_at: str
    found: bool


class StabilityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The margins; stable when every one is above zero."""

    session_id: str
    margins: dict[Level, float]
    smallest: float
    stable: bool
    estimated_levels: tuple[Level, ...]


class RulingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about the context."""

    ruling: Ruling
    pressure: float
    rationale: str
    target_tokens: int | None
    quality_score: float | None
    """None while nothing was evaluated."""
    context_window: int


class ContextAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How full the context is."""

    context_window: int
    tokens_used: int
    pressure_percent: float
    ruling: Ruling


class CostAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was used. `cost_remaining_usd` is None while nobody has said what the agent may spend; amounts are the agent's."""

    cost_remaining_usd: str | None
    balance_micro_credits: int | None
    lifetime_costs_micro: int
    cost_last_5min_micro: int
    monthly_burn_micro: int
    runway_days: float | None
    tokens_used: int
    tokens_remaining: int
    economic_mode: str


class AutonomicApi:
    """The routes over one desk."""

    def __init__(self, desk: Desk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    def operations(self) -> list[HttpOperation]:
        """The daemon's routes."""
        return [
            Operation(
                "GET",
                "/gating/{session_id}",
                "What is permitted now, and why",
                self._gating,
                None,
                GatingAnswer,
                query=(_BRANCH,),
                errors=(400,),
                scope=READ,
            ),
            Operation(
                "POST",
                "/gating/{session_id}/evaluate",
                "The same, and put on record what is new",
                self._evaluate,
                None,
                GatingAnswer,
                query=(_BRANCH,),
                errors=(400, 409, 503),
                scope=WRITE,
            ),
            Operation(
                "GET",
                "/gating/{session_id}/history",
                "The decisions of the past",
                self._history,
                None,
                HistoryAnswer,
                query=(_BRANCH, _LIMIT),
                errors=(400,),
                scope=READ,
            ),
            Operation(
                "GET",
                "/projection/{session_id}",
                "The state of a session",
                self._projection,
                None,
                ProjectionAnswer,
                query=(_BRANCH,),
                errors=(400,),
                scope=READ,
            ),
            Operation(
                "GET",
                "/trust-score/{agent_id}",
                "How far an agent can be relied on",
                self._trust,
                None,
                TrustAnswer,
                errors=(400,),
            ),
            Operation(
                "GET",
                "/stability/{session_id}",
                "The margins of the control loops",
                self._stability,
                None,
                StabilityAnswer,
                query=(_BRANCH,),
                errors=(400,),
                scope=READ,
            ),
            Operation("GET", "/metrics", "Prometheus text", self._metrics, media_type="text/plain", scope=READ),
        ]

    def session_operations(self) -> list[HttpOperation]:
        """What the runtime's daemon shows beside a session."""
        return [
            Operation(
                "GET",
                "/sessions/{session_id}/autonomic",
                "The ruling on the context",
                self._ruling,
                None,
                RulingAnswer,
                query=(_BRANCH,),
                errors=(400, 404),
            ),
            Operation(
                "GET",
                "/sessions/{session_id}/context",
                "How full the context is",
                self._context,
                None,
                ContextAnswer,
                query=(_BRANCH,),
                errors=(400, 404),
            ),
            Operation(
                "GET",
                "/sessions/{session_id}/cost",
                "What was used, and what is left",
                self._cost,
                None,
                CostAnswer,
                query=(_BRANCH,),
                errors=(400, 404),
            ),
        ]

    async def _gating(self, request: Request) -> Response:
        return _json(_gating_answer(await self._picture(request)))

    async def _evaluate(self, request: Request) -> Response:
        stream = _stream(request)
        picture = await self._desk.picture(stream)
        if picture.found and picture.news:
            sequence = await self._desk.publish(stream, picture.news)
            return _json(msgspec.structs.replace(_gating_answer(picture), last_event_seq=sequence))
        return _json(_gating_answer(picture))

    async def _history(self, request: Request) -> Response:
        text = request.query_params.get("limit", "100")
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_HISTORY:
            raise InvalidInputError(f"limit is a number from 1 to {MOST_HISTORY}.")
        stream = _stream(request)
        records = await self._desk.history(stream, int(text))
        return _json(HistoryAnswer(session_id=stream.session_id, decisions=tuple(map(_decision, records))))

    async def _projection(self, request: Request) -> Response:
        picture = await self._picture(request)
        return _json(ProjectionAnswer(session_id=picture.state.session_id, state=picture.state, found=picture.found))

    async def _trust(self, request: Request) -> Response:
        agent = self._desk.agent(str(request.path_params["agent_id"]))
        score = trust_score(agent.state)
        fields = {name: getattr(score, name) for name in score.__struct_fields__}
        return _json(TrustAnswer(**fields, assessed_at=format_timestamp(self._clock.now_us()), found=agent.found))

    async def _stability(self, request: Request) -> Response:
        picture = await self._picture(request)
        agent = self._desk.agent(picture.state.agent_id)
        budget = stability(picture.state, agent.stability.latencies_s)
        return _json(
            StabilityAnswer(
                session_id=picture.state.session_id,
                margins=budget.margins,
                smallest=budget.smallest,
                stable=budget.is_stable,
                estimated_levels=budget.estimated_levels,
            )
        )

    async def _metrics(self, _: Request) -> Response:
        headers = {"cache-control": "no-store"}
        return Response(self._desk.metrics(), 200, headers, "text/plain; version=0.0.4; charset=utf-8")

    async def _ruling(self, request: Request) -> Response:
        picture = await self._known(request)
        advice, state = picture.verdict.context, picture.state
        return _json(
            RulingAnswer(
                ruling=advice.ruling,
                pressure=advice.pressure,
                rationale=advice.rationale,
                target_tokens=advice.target_tokens,
                quality_score=state.eval.aggregate_quality_score if state.eval.count else None,
                context_window=state.cognitive.context_window,
            )
        )

    async def _context(self, request: Request) -> Response:
        picture = await self._known(request)
        cognitive = picture.state.cognitive
        return _json(
            ContextAnswer(
                context_window=cognitive.context_window,
                tokens_used=cognitive.context_tokens,
                pressure_percent=round(100 * cognitive.context_pressure, 1),
                ruling=picture.verdict.context.ruling,
            )
        )

    async def _cost(self, request: Request) -> Response:
        state = (await self._known(request)).state
        economic, balance = state.economic, state.economic.balance_micro_credits
        return _json(
            CostAnswer(
                cost_remaining_usd=None if balance is None else _usd(balance),
                balance_micro_credits=balance,
                lifetime_costs_micro=economic.lifetime_costs,
                cost_last_5min_micro=economic.cost_last_5min,
                monthly_burn_micro=economic.monthly_burn_estimate,
                runway_days=economic.runway_days,
                tokens_used=state.cognitive.total_tokens_used,
                tokens_remaining=state.cognitive.tokens_remaining,
                economic_mode=economic.mode,
            )
        )

    async def _known(self, request: Request) -> Picture:
        """The picture of a session that there is; NotFoundError for another."""
        picture = await self._picture(request)
        if not picture.found:
            raise NotFoundError(f"There is no session {picture.state.session_id}.")
        return picture

    async def _picture(self, request: Request) -> Picture:
        return await self._desk.picture(_stream(request))


def _stream(request: Request) -> Stream:
    session_id = str(request.path_params["session_id"])
    branch = request.query_params.get("branch", MAIN_BRANCH)
    if len(session_id) > 255 or len(branch) > 255:
        raise InvalidInputError("Ids have at most 255 characters.")
    return Stream(session_id, branch)


def _gating_answer(picture: Picture) -> GatingAnswer:
    state, verdict = picture.state, picture.verdict
    profile = ProfileAnswer(
        operational=verdict.profile.operational,
        economic=verdict.profile.economic,
        rationale=verdict.profile.rationale,
        advisory_events=tuple(item for event in picture.news if (item := advisory(event)) is not None),
    )
    return GatingAnswer(
        session_id=state.session_id,
        profile=profile,
        rules_fired=verdict.fired,
        target_tokens=verdict.context.target_tokens,
        last_event_seq=state.last_event_seq,
        last_event_ms=state.last_event_ms,
        found=picture.found,
    )


def advisory(event: Kind) -> JsonObject | None:
    """An event as the profile tells it: its data, with its short name as `type`."""
    if not isinstance(event, Custom) or not isinstance(event.data, dict) or not event.event_type.startswith(PREFIX):
        return None
    return {"type": event.event_type.removeprefix(PREFIX), **event.data}


def _decision(record: EventRecord) -> DecisionAnswer:
    kind = record.kind
    name, data = (kind.event_type, kind.data) if isinstance(kind, Custom) else (record.kind_name, None)
    return DecisionAnswer(
        sequence=record.sequence, at=format_timestamp(record.timestamp_us), type=name.removeprefix(PREFIX), data=data
    )


def _usd(micro: int) -> str:
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    return f"{sign}{micro // 1_000_000}.{micro % 1_000_000:06d}"


def _json(value: msgspec.Struct) -> Response:
    return Response(_encode(value), 200, {"cache-control": "no-store"}, "application/json")

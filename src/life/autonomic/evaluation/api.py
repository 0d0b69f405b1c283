"""Scores over HTTP, read from the journal (nous.md §5).

GET  /eval/sessions        sessions that have scores
GET  /eval/{session_id}    its scores, newest last, and their aggregate: null while there is none
POST /eval/scores          scores that somebody else computed; each goes into its session's stream
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Protocol, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.events import Custom
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream
from life.autonomic.evaluation.scores import (
    ASYNC_COMPLETED,
    INLINE_COMPLETED,
    AsyncCompleted,
    EvalScore,
    InlineCompleted,
    Label,
    Layer,
    Timing,
    aggregate,
)

HttpOperation: TypeAlias = "Operation[Request, Response]"

READ: Final = "agent:read"
WRITE: Final = "agent:dispatch"
MOST_SCORES: Final = 1_000
MAX_BODY_BYTES: Final = 256 * 1024
_PAGE: Final = 1_000
_encode: Final = msgspec.json.Encoder().encode
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class ScoreLine(msgspec.Struct, frozen=True, kw_only=True):
    """One score."""

    evaluator: str
    value: float
    label: Label
    layer: Layer
    timing: Timing
    run_id: str
    sequence: int
    explanation: str | None = None


class SessionScores(msgspec.Struct, frozen=True, kw_only=True):
    """A session's scores. `aggregate_quality` is the mean over the layers, each counting the same; None without scores."""

    session_id: str
    scores: tuple[ScoreLine, ...]
    aggregate_quality: float | None


class GivenScore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A score from outside."""

    evaluator: _Name
    value: Annotated[float, msgspec.Meta(ge=0, le=1)]
    layer: Layer
    session_id: _Name
    run_id: str = ""
    explanation: Annotated[str, msgspec.Meta(max_length=2_000)] | None = None


class GivenScores(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores from outside."""

    scores: Annotated[tuple[GivenScore, ...], msgspec.Meta(min_length=1, max_length=100)]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """How many were taken."""

    accepted: int


class KnownSessions(Protocol):
    """Which sessions there are."""

    def known(self) -> list[str]:
        """Every session that ever ran."""
        ...

    def scored(self) -> list[str]:
        """Those that have scores."""
        ...


class EvaluationApi:
    """The routes over one journal. `publish` puts a score into a session's stream."""

    def __init__(
        self,
        journal: Journal,
        sessions: KnownSessions,
        publish: Callable[[Stream, tuple[Custom, ...]], Awaitable[int]],
    ) -> None:
        self._journal = journal
        self._sessions = sessions
        self._publish = publish

    def operations(self) -> list[HttpOperation]:
        """The routes."""
        branch = Parameter("branch", "Which branch; `main` unless told otherwise.")
        return [
            Operation("GET", "/eval/sessions", "Sessions with scores", self._list, None, list[str], scope=READ),
            Operation(
                "POST",
                "/eval/scores",
                "Scores from outside",
                self._take,
                GivenScores,
                Accepted,
                status=201,
                errors=(400,),
                scope=WRITE,
            ),
            Operation(
                "GET",
                "/eval/{session_id}",
                "A session's scores",
                self._show,
                None,
                SessionScores,
                query=(branch,),
                scope=READ,
            ),
        ]

    async def _list(self, _: Request) -> Response:
        return _json(self._sessions.scored())

    async def _show(self, request: Request) -> Response:
        session_id = str(request.path_params["session_id"])
        stream = Stream(session_id, request.query_params.get("branch", MAIN_BRANCH))
        lines = (await scores_of(self._journal, stream))[-MOST_SCORES:]
        values = [
            EvalScore(evaluator=line.evaluator, value=line.value, layer=line.layer, timing=line.timing)
            for line in lines
        ]
        return _json(SessionScores(session_id=session_id, scores=tuple(lines), aggregate_quality=aggregate(values)))

    async def _take(self, request: Request) -> Response:
        raw = bytearray()
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                raise InvalidInputError(f"The body is larger than {MAX_BODY_BYTES} bytes.")
        try:
            given = msgspec.json.decode(bytes(raw), type=GivenScores)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInputError(f"The body does not fit: {error}.") from None
        known = set(self._sessions.known())
        unknown = next((one.session_id for one in given.scores if one.session_id not in known), None)
        if unknown is not None:
            raise InvalidInputError(f"There is no session {unknown} that ever ran.")
        for one in given.scores:
            score = EvalScore(evaluator=one.evaluator, value=one.value, layer=one.layer, explanation=one.explanation)
            data = InlineCompleted(
                evaluator=one.evaluator,
                score=one.value,
                label=score.label,
                layer=one.layer,
                session_id=one.session_id,
                run_id=one.run_id,
                explanation=one.explanation,
            )
            kind = Custom(event_type=INLINE_COMPLETED, data=msgspec.to_builtins(data))
            await self._publish(Stream(one.session_id), (kind,))
        return _json(Accepted(accepted=len(given.scores)), 201)


async def scores_of(journal: Journal, stream: Stream) -> list[ScoreLine]:
    """Every score of a branch, in the order of its events. What does not fit is passed over."""
    found: list[ScoreLine] = []
    after = 0
    while True:
        page = await journal.read(EventQuery(*stream, after_sequence=after, kinds=("Custom",)), limit=_PAGE)
        for record in page:
            after = record.sequence
            if b'"eval.' in record.payload:
                kind = record.kind
                if isinstance(kind, Custom):
                    found += _lines(kind, record.sequence)
        if len(page) < _PAGE:
            return found


def _lines(kind: Custom, sequence: int) -> list[ScoreLine]:
    try:
        if kind.event_type == INLINE_COMPLETED:
            inline = msgspec.convert(kind.data, InlineCompleted)
            return [
                ScoreLine(
                    evaluator=inline.evaluator,
                    value=inline.score,
                    label=inline.label,
                    layer=inline.layer,
                    timing="inline",
                    explanation=inline.explanation,
                    run_id=inline.run_id,
                    sequence=sequence,
                )
            ]
        if kind.event_type == ASYNC_COMPLETED:
            judged = msgspec.convert(kind.data, AsyncCompleted)
            return [
                ScoreLine(
                    evaluator=one.evaluator,
                    value=one.value,
                    label=one.label,
                    layer=one.layer,
                    timing="async",
                    explanation=one.explanation,
                    run_id=judged.run_id,
                    sequence=sequence,
                )
                for one in judged.scores
            ]
    except msgspec.ValidationError:
        return []
    return []


def _json(value: msgspec.Struct | list[str], status: int = 200) -> Response:
    return Response(_encode(value), status, {"cache-control": "no-store"}, "application/json")

"""The scripted provider: answers that are written down beforehand.

A script is a list of turns. Which one is played depends only on the conversation: the turn after as many assistant
messages as the request already holds. So a run that is killed and resumed goes on where it was, and the same journal
gives the same answers. A function from the request to a turn may stand in for the list.

As TOML (or the same as JSON, or as plain data):

    name = "greeter"

    [[turns]]
    text = "I'll write it down."
    delay_ms = 200
    usage = { prompt_tokens = 40, completion_tokens = 12 }

    [[turns.calls]]
    tool = "write_file"
    arguments = { path = "hello.txt", content = "Hello!" }

    [[turns]]
    deltas = ["Done: ", "hello.txt ", "is there."]
    delta_delay_ms = 30

    [[turns]]
    error = { kind = "rate_limited", times = 1, retry_after_ms = 500 }
    text = "Second attempt."

An `error` with `times` fails that often and then plays the turn (counted in this process only); without, it always fails.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from life.aios.errors import ProviderError
from life.aios.json import Json
from life.aios.ports.clock import Clock
from life.aios.ports.provider import Chunk, ModelRequest, StopChunk, StopReason, TextChunk, ToolCallChunk
from life.aios.state import TokenUsage
from life.arcan.errors import (
    ProviderInterruptedError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderUnauthorizedError,
    ProviderUnavailableError,
    ProviderUnreachableError,
    ScriptError,
)

ErrorKind = Literal[
    "rate_limited", "unavailable", "unreachable", "unauthorized", "rejected", "interrupted", "overloaded"
]


_WITHIN: Final = ("interrupted", "overloaded")


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call. Arguments given as text are what a model sends when it gets its JSON wrong."""

    tool: str
    arguments: Json = {}


class ScriptedFailure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong. `interrupted` and `overloaded` break off after the turn's text, the others before it."""

    kind: ErrorKind
    times: int | None = None
    message: str = "The script says so."
    retry_after_ms: int | None = None


class ScriptedTurn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer of the model."""

    text: str = ""
    deltas: tuple[str, ...] = ()
    """The text in pieces; given instead of `text`."""
    calls: tuple[ScriptedCall, ...] = ()
    usage: TokenUsage | None = None
    stop: StopReason | None = None
    """Without: `tool_call` when it calls a tool, otherwise `completed`."""
    delay_ms: int = 0
    """Before the first piece."""
    delta_delay_ms: int = 0
    """Before every further piece."""
    error: ScriptedFailure | None = None


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversation's worth of answers."""

    turns: tuple[ScriptedTurn, ...]
    name: str = ""


class ScriptedProvider:
    """A model that plays a script, or a function of the request (life.aios.ports.provider.ModelProvider)."""

    def __init__(
        self, script: Script | Callable[[ModelRequest], ScriptedTurn], *, clock: Clock, name: str | None = None
    ) -> None:
        self._script = check_script(script) if isinstance(script, Script) else script
        self._clock = clock
        given = name or (script.name if isinstance(script, Script) else "")
        self._name = f"scripted:{given}" if given else "scripted"
        self._failures: dict[int, int] = {}
        self.requests = 0
        """How many answers were asked for, failed ones included."""

    @property
    def name(self) -> str:
        """`scripted`, or `scripted:<name of the script>`."""
        return self._name

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The turn that this conversation has come to."""
        self.requests += 1
        place = request.earlier_answers + [message.role for message in request.messages].count("assistant")
        turn = self._turn(request, place)
        failure = self._failure(turn, place)
        if turn.delay_ms:
            await self._clock.sleep_us(turn.delay_ms * 1000)
        if failure is not None and failure.kind not in _WITHIN:
            raise _error(failure)
        pieces = turn.deltas or ((turn.text,) if turn.text else ())
        for index, piece in enumerate(pieces):
            if index and turn.delta_delay_ms:
                await self._clock.sleep_us(turn.delta_delay_ms * 1000)
            yield TextChunk(piece)
        if failure is not None:
            raise _error(failure)
        for index, call in enumerate(turn.calls):
            yield ToolCallChunk(f"scripted-{place}-{index}", call.tool, call.arguments)
        yield StopChunk(turn.stop or ("tool_call" if turn.calls else "completed"), turn.usage, self._name)

    def _turn(self, request: ModelRequest, place: int) -> ScriptedTurn:
        if not isinstance(self._script, Script):
            return self._script(request)
        if place < len(self._script.turns):
            return self._script.turns[place]
        return ScriptedTurn(text=f"(The script has {len(self._script.turns)} turns, and all of them were played.)")

    def _failure(self, turn: ScriptedTurn, place: int) -> ScriptedFailure | None:
        """The failure that is due now."""
        failure = turn.error
        if failure is None or failure.times is None:
            return failure
        failed = self._failures.get(place, 0)
        if failed >= failure.times:
            return None
        self._failures[place] = failed + 1
        return failure


def check_script(script: Script) -> Script:
    """`script`, when every turn says, does or breaks something; otherwise a ScriptError."""
    if not script.turns:
        raise ScriptError("The script has no turns.")
    for number, turn in enumerate(script.turns, start=1):
        if turn.text and turn.deltas:
            raise ScriptError(f"Turn {number} of the script has both 'text' and 'deltas'.")
        if not (turn.text or "".join(turn.deltas) or turn.calls or (turn.error and turn.error.times is None)):
            raise ScriptError(f"Turn {number} of the script neither says nor does anything.")
        if turn.delay_ms < 0 or turn.delta_delay_ms < 0:
            raise ScriptError(f"Turn {number} of the script has a negative delay.")
    return script


def parse_script(data: Mapping[str, Json]) -> Script:
    """A script from plain data; ScriptError says where it does not fit."""
    try:
        return check_script(msgspec.convert(data, Script))
    except msgspec.ValidationError as error:
        raise ScriptError(f"The script does not fit: {error}.") from None


def load_script(path: Path) -> Script:
    """A script from a TOML file (`.toml`) or a JSON file (any other name). A script without a name gets the file's."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"The script {path} can't be read: {type(error).__name__}.") from None
    try:
        data: dict[str, Json] = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise ScriptError(f"The script {path} can't be read: {error}.") from None
    script = parse_script(data)
    return script if script.name else msgspec.structs.replace(script, name=path.stem)


def _error(failure: ScriptedFailure) -> ProviderError:
    wait_us = None if failure.retry_after_ms is None else failure.retry_after_ms * 1000
    match failure.kind:
        case "rate_limited":
            return ProviderRateLimitedError(failure.message, retry_after_us=wait_us)
        case "unavailable" | "overloaded":
            return ProviderUnavailableError(failure.message, retry_after_us=wait_us)
        case "unreachable":
            return ProviderUnreachableError(failure.message)
        case "unauthorized":
            return ProviderUnauthorizedError(failure.message)
        case "rejected":
            return ProviderRejectedError(failure.message)
        case "interrupted":
            return ProviderInterruptedError(failure.message)

"""Playing a script: which turn comes next, and what it says, as a pure function of the request.

The script is that of the words which the person said last and which the demo knows; the turn is the one after as many answers as came
since. So a run that was killed goes on where it was, a branch with other words plays that branch's script, and the same events
always give the same answers.

What a turn says may quote results of earlier calls of the same script:

    {{norte.content.price_cop|n}}     the call named `norte`, its result's `content` (JSON in text is read), `price_cop`, grouped
    {{paid.settlement.amount_micro|usd}}

A placeholder that is the whole of a text gives the value itself, a number stays a number. What is not there is "not reported".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from typing import Final

import msgspec

from life.aios.json import Json
from life.aios.ports.provider import ChatMessage, ModelRequest, TextBlock, ToolResultBlock, ToolUseBlock
from life.workspace.demos.demo import Demo, Script, Turn
from life.workspace.demos.expects import MISSING

_PLACEHOLDER: Final = re.compile(r"\{\{([a-z0-9_]+)((?:\.[A-Za-z0-9_-]+)*)(?:\|(n|usd|json))?\}\}")
_NOTHING: Final = object()


def next_turn(demo: Demo, request: ModelRequest) -> Turn:
    """What the scripted model answers now, with every placeholder filled in."""
    found = _place(demo, request)
    if found is None:
        return Turn(text=_what_it_is(demo), delay_ms=0)
    script, begin = found
    since = request.messages[begin:]
    left_out = request.earlier_answers if begin == 0 else 0
    place = left_out + sum(message.role == "assistant" for message in since)
    if place >= len(script.turns):
        return Turn(text=_what_it_is(demo), delay_ms=0)
    results, failed = _results(script, since, left_out)
    turn = _as_it_went(script.turns[place], results, failed)
    calls = tuple(
        msgspec.structs.replace(call, arguments=_filled(call.arguments, results, demo.language)) for call in turn.calls
    )
    spoken = _filled(turn.text, results, demo.language)
    return msgspec.structs.replace(turn, text=spoken if isinstance(spoken, str) else json.dumps(spoken), calls=calls)


def said_by_person(message: ChatMessage) -> str:
    """The person's words of a turn: what the runtime had to add stands before them."""
    if message.role != "user":
        return ""
    return next((block.text for block in reversed(message.content) if isinstance(block, TextBlock)), "")


def _place(demo: Demo, request: ModelRequest) -> tuple[Script, int] | None:
    """The script that is being played, and where in the messages its words stand."""
    known = {each.prompt.strip(): each.script for each in (*demo.ui.suggestions, *demo.branches)}
    for index in range(len(request.messages) - 1, -1, -1):
        message = request.messages[index]
        words = said_by_person(message).strip()
        if not words or any(isinstance(block, ToolResultBlock) for block in message.content):
            continue
        name = known.get(words)
        if name is not None:
            return demo.script[name], index
        if not _is_told_by_runtime(words):
            return None
    return None


def _is_told_by_runtime(words: str) -> bool:
    """Whether these words are the runtime's (a notice, a summary) and not a person's."""
    return words.startswith(("[", "<"))


def _what_it_is(demo: Demo) -> str:
    labels = "; ".join(f"“{each.label}”" for each in demo.ui.suggestions)
    if demo.language == "es":
        return (
            f"Soy el guion de la demo «{demo.name}», no un modelo: hasta aquí llega. Puedo contar: {labels}. "
            "Con un modelo de verdad la misma sesión sigue: elija uno, o haga suya esta demo."
        )
    return (
        f"I am the script of the demo “{demo.name}”, not a language model, and this is as far as it goes. I can play: {labels}. "
        "With a real model the same session goes on: choose one, or make this demo yours."
    )


def _as_it_went(turn: Turn, results: Mapping[str, Json], failed: Set[str]) -> Turn:
    """The turn, or what it says where a call went otherwise."""
    other = turn.instead
    if other is None or other.call not in results or (other.call in failed) is not (other.outcome == "failed"):
        return turn
    return msgspec.structs.replace(turn, text=other.text, calls=() if other.ends else turn.calls)


def _results(
    script: Script, messages: tuple[ChatMessage, ...], left_out: int
) -> tuple[dict[str, Json], frozenset[str]]:
    """The results of the script's named calls that are still among the messages, and which of the calls failed."""
    contents = {
        block.call_id: block for message in messages for block in message.content if isinstance(block, ToolResultBlock)
    }
    found: dict[str, Json] = {}
    failed: set[str] = set()
    place = left_out
    for message in messages:
        if message.role != "assistant":
            continue
        if place < len(script.turns):
            uses = [block for block in message.content if isinstance(block, ToolUseBlock)]
            for call, use in zip(script.turns[place].calls, uses, strict=False):
                if call.name and use.call_id in contents:
                    block = contents[use.call_id]
                    found[call.name] = _read(block.content)
                    if block.is_error:
                        failed.add(call.name)
        place += 1
    return found, frozenset(failed)


def _read(content: str) -> Json:
    try:
        value: Json = json.loads(content)
    except ValueError:
        return content
    return value


def _filled(value: Json, results: Mapping[str, Json], language: str) -> Json:
    """The value with its placeholders replaced, at any depth."""
    if isinstance(value, Mapping):
        return {key: _filled(inner, results, language) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(inner, results, language) for inner in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole is not None and whole[3] is None:
        found = _value(whole, results)
        return MISSING[language] if found is _NOTHING else _as_json(found)
    return _PLACEHOLDER.sub(lambda match: _words(match, results, language), value)


def _as_json(value: object) -> Json:
    converted: Json = msgspec.to_builtins(value)
    return converted


def _value(match: re.Match[str], results: Mapping[str, Json]) -> object:
    value: object = results.get(match[1], _NOTHING)
    for step in filter(None, match[2].split(".")):
        if isinstance(value, str):
            read = _read(value)
            if isinstance(read, str) and step == "error":
                continue  # a call that was not run has words for its result
            value = read
        if isinstance(value, Mapping):
            value = value.get(step, _NOTHING)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _NOTHING
    return value


def _words(match: re.Match[str], results: Mapping[str, Json], language: str) -> str:
    value = _value(match, results)
    if value is _NOTHING or value is None:
        return MISSING[language]
    if match[3] == "json":
        return json.dumps(value, ensure_ascii=False, indent=2)
    if match[3] == "usd" and isinstance(value, int) and not isinstance(value, bool):
        return _usd(value, language)
    if match[3] == "n" and isinstance(value, int | float) and not isinstance(value, bool):
        return _grouped(value, language)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _grouped(value: int | float, language: str) -> str:
    """A number as people of this language write it."""
    shown = f"{value:,}"
    return shown.translate(str.maketrans(",.", ".,")) if language == "es" else shown


def _usd(micro: int, language: str) -> str:
    """Micro-USD in dollars, no digit lost."""
    whole, rest = divmod(micro, 1_000_000)
    fraction = f"{rest:06d}".rstrip("0").ljust(2, "0")
    point = "," if language == "es" else "."
    return f"{whole}{point}{fraction} USD"


def other_endings(demo: Demo) -> tuple[str, ...]:
    """How the answers begin with which a run ends earlier than the story."""
    return tuple(
        turn.instead.text.partition("{{")[0].strip()
        for script in demo.script.values()
        for turn in script.turns
        if turn.instead is not None and turn.instead.ends
    )


def named_calls(script: Script) -> set[str]:
    """The names that a script gives to its calls."""
    return {call.name for turn in script.turns for call in turn.calls if call.name}


def quoted_names(script: Script) -> set[str]:
    """The names that its turns quote."""
    return {match[1] for turn in script.turns for match in _PLACEHOLDER.finditer(_text_of(turn))}


def _text_of(turn: Turn) -> str:
    other = turn.instead.text if turn.instead is not None else ""
    return turn.text + other + "".join(msgspec.json.encode(call.arguments).decode() for call in turn.calls)


__all__ = ["named_calls", "next_turn", "other_endings", "quoted_names", "said_by_person"]

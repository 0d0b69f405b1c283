"""What is shown, as lines with styles: tool cards, differences, questions, notes. Nothing here knows a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.cells import cell_len
from rich.text import Text

from life.aios.json import Json
from life.cli.shell.items import (
    Asked,
    CallDone,
    Decided,
    InDoubt,
    Note,
    RunEnded,
    Said,
)
from life.cli.shell.known_files import Difference, DiffLine
from life.cli.shell.words import (
    Glyphs,
    one_line,
    plural,
    pretty_json,
    printable,
    seconds,
    short_arguments,
    size,
    wrapped,
)

_MOST_DIFF_LINES: Final = 40
_MOST_OUTPUT_LINES: Final = 8
_MOST_ARGUMENT_LINES: Final = 24
_SIGN_STYLES: Final = {"+": "green", "-": "red", " ": "dim", "@": "cyan"}
_TONES: Final = {"plain": "dim", "good": "green", "bad": "red", "warning": "yellow"}

_REASONS: Final = {
    "completed": "done",
    "budget_exceeded": "stopped: a budget is used up",
    "max_iterations": "stopped: out of steps",
    "max_tokens": "stopped: the answer reached its longest length",
    "circuit_breaker": "stopped: too many errors in a row",
    "cancelled": "stopped",
    "interrupted": "interrupted",
    "in_doubt": "stopped; nobody knows what a call did",
    "refused": "the model refused",
    "vetoed": "vetoed",
    "error": "failed",
}
_FENCE: Final = re.compile(r"\s*(```|~~~)\s*(?P<language>\S*)")
_HEADING: Final = re.compile(r"(?P<marks>#{1,6})\s+(?P<words>.*)")
_BULLET: Final = re.compile(r"(?P<indent>\s*)(?P<mark>[-*+]|\d+[.)])\s+")
_SPANS: Final = re.compile(r"(?P<code>`[^`\n]+`)|(?P<strong>\*\*[^*\n]+\*\*)")


class Markdown:
    """The little of Markdown that reads well in a terminal, line by line: the text stays as it is written."""

    def __init__(self) -> None:
        self._in_code = False

    def line(self, text: str) -> Text:
        """One finished line."""
        text = printable(text)
        if _FENCE.match(text):
            self._in_code = not self._in_code
            return Text(text, "dim")
        return self._styled(text, in_code=self._in_code)

    def preview(self, text: str) -> Text:
        """A line that is still being written; changes nothing."""
        return self._styled(printable(text), in_code=self._in_code)

    def reset(self) -> None:
        """The message is over."""
        self._in_code = False

    @staticmethod
    def _styled(text: str, *, in_code: bool) -> Text:
        if in_code:
            return Text(text, "cyan")
        heading = _HEADING.fullmatch(text)
        if heading is not None:
            return Text(text, "bold")
        styled = Text(text)
        bullet = _BULLET.match(text)
        if bullet is not None:
            styled.stylize("bold", bullet.start("mark"), bullet.end("mark"))
        for span in _SPANS.finditer(text):
            styled.stylize("cyan" if span["code"] else "bold", span.start(), span.end())
        return styled


def said(item: Said, glyphs: Glyphs) -> list[Text]:
    """The user's words."""
    rows = printable(item.text).split("\n") if item.text else []
    lines = [
        Text.assemble((f"{glyphs.prompt if number == 0 else ' '} ", "bold cyan"), (row, "bold"))
        for number, row in enumerate(rows)
    ]
    lines += [Text(f"  + {printable(name)}", "dim") for name in item.attachments]
    return lines


def card(item: CallDone, glyphs: Glyphs, width: int) -> list[Text]:
    """A finished call: what, with what, how it went, and what came of it."""
    style, word = _outcome(item)
    took = seconds(item.duration_ms) if item.duration_ms else ""
    right = f"{word} {took}".strip()
    name = one_line(item.tool_name, max(8, width // 2))
    room = width - cell_len(name) - cell_len(right) - 6
    arguments = short_arguments(item.arguments, room) if item.arguments and room >= 8 else ""
    left = f"{glyphs.call} {name}" + (f"  {arguments}" if arguments else "")
    gap = max(2, width - cell_len(left) - cell_len(right) - 1)
    head = Text.assemble(
        (f"{glyphs.call} ", style),
        (name, "bold"),
        (f"  {arguments}" if arguments else "", ""),
        " " * gap,
        (right, style),
    )
    lines = [head]
    if item.difference is not None and item.difference.lines:
        lines += difference(item.difference, glyphs, width)
    else:
        rows = [Text(row, "dim" if style == "green" else "") for row in _result_rows(item, width - 4)]
        lines += [_indented(row, glyphs) for row in rows]
    return lines


def difference(change: Difference, glyphs: Glyphs, width: int, *, most: int = _MOST_DIFF_LINES) -> list[Text]:
    """A difference under a gutter, cut to `most` lines."""
    count = plural(change.added, "line") if change.is_whole else f"+{change.added} -{change.removed}"
    about = f"new file, {count}" if change.is_new else f"whole file, {count}" if change.is_whole else count
    lines = [_indented(Text(about, "dim"), glyphs)] if len(change.lines) > 1 else []
    for line in change.lines[:most]:
        lines.append(_indented(_diff_row(line, width - 6), glyphs))
    left_out = len(change.lines) - most
    if left_out > 0:
        lines.append(_indented(Text(f"{glyphs.more} {plural(left_out, 'more line')}", "dim"), glyphs))
    return lines


def question(item: Asked, change: Difference | None, glyphs: Glyphs, width: int) -> list[Text]:
    """A call that waits for a person, with everything there is to decide by."""
    risk_style = "bold red" if item.risk in ("high", "critical") else "bold yellow"
    lines = [
        Text.assemble(
            ("? ", "bold yellow"),
            (printable(item.tool_name), "bold"),
            " wants to run  ",
            (f"risk {item.risk}", risk_style),
        )
    ]
    command = item.arguments.get("command") if isinstance(item.arguments, dict) else None
    if change is not None and change.lines:
        lines.append(_indented(Text(printable(change.path), "bold"), glyphs))
        lines += difference(change, glyphs, width)
    elif isinstance(command, str):
        rows = wrapped(command, width - 6)
        lines += [_indented(Text(f"{' ' if n else '$'} {row}", "bold"), glyphs) for n, row in enumerate(rows)]
    else:
        rows = pretty_json(item.arguments).split("\n")
        for row in rows[:_MOST_ARGUMENT_LINES]:
            lines.append(_indented(Text(printable(row)), glyphs))
        if len(rows) > _MOST_ARGUMENT_LINES:
            more = f"{glyphs.more} {plural(len(rows) - _MOST_ARGUMENT_LINES, 'more line')} (e shows all)"
            lines.append(_indented(Text(more, "dim"), glyphs))
    if item.capabilities:
        needs = wrapped(f"needs {', '.join(item.capabilities)}", width - 4)
        lines += [_indented(Text(row, "dim"), glyphs) for row in needs]
    return lines


def doubt(item: InDoubt, glyphs: Glyphs, width: int) -> list[Text]:
    """A call of which nobody knows whether it happened."""
    return [
        Text.assemble(("? ", "bold yellow"), (printable(item.tool_name), "bold"), " may or may not have happened"),
        *(_indented(Text(row), glyphs) for row in wrapped(item.explanation, width - 4)),
    ]


def decided(item: Decided, glyphs: Glyphs) -> list[Text]:
    """The answer to a question."""
    words = {"approved": "allowed", "denied": "refused", "timeout": "nobody decided in time"}[item.decision]
    reason = f" ({printable(item.reason)})" if item.reason and item.decision == "denied" else ""
    style = "green" if item.decision == "approved" else "yellow"
    return [Text(f"  {printable(item.tool_name)} {words}{reason}", style)]


def ended(item: RunEnded, glyphs: Glyphs, width: int) -> list[Text]:
    """The end of a run on one line, an error on lines of its own."""
    word = _REASONS.get(item.reason, item.reason)
    good = item.reason == "completed"
    style = "dim" if good else "yellow" if item.reason in ("cancelled", "interrupted") else "red"
    lines = [Text(f"  {row}", "red") for row in wrapped(item.error, width - 2)] if item.error else []
    lines += [Text(f"  not said: {one_line(message, width - 14)}", "yellow") for message in item.dropped]
    summary = item.summary.replace("  ", f" {glyphs.dot} ")
    first, *more = wrapped(f"{word} {glyphs.dot} {summary}", width - 2)
    told = Text.assemble("  ", (first[: len(word)], style), (first[len(word) :], "dim"))
    return [*lines, told, *(Text(f"  {row}", "dim") for row in more)]


def note(item: Note, width: int) -> list[Text]:
    """Something to know."""
    return [Text(f"  {row}", _TONES[item.tone]) for row in wrapped(item.text, width - 2)]


def thought(text: str, glyphs: Glyphs, *, shown: bool) -> list[Text]:
    """What the model thought: whole, or that there is something."""
    rows = printable(text).strip().split("\n")
    if not shown:
        return [Text(f"{glyphs.thought} thought ({plural(len(rows), 'line')}; /reasoning shows it)", "dim italic")]
    return [Text(f"{glyphs.thought if not n else ' '} {row}", "dim italic") for n, row in enumerate(rows)]


def running(tool_name: str, arguments: Json, elapsed_ms: int, spinner: str, width: int) -> Text:
    """A call that is at work."""
    took = seconds(elapsed_ms // 1000 * 1000) if elapsed_ms >= 1000 else ""
    name = one_line(tool_name, max(8, width // 2))
    words = short_arguments(arguments, max(8, width - cell_len(name) - cell_len(took) - 8)) if arguments else ""
    return Text.assemble((f"{spinner} ", "cyan"), (name, "bold"), f"  {words}  ", (took, "dim"))


def _outcome(item: CallDone) -> tuple[str, str]:
    exit_code = item.result.get("exit_code") if isinstance(item.result, dict) else None
    if item.status == "ok" and isinstance(exit_code, int) and exit_code:
        return "red", f"exit {exit_code}"
    if item.status == "ok":
        return "green", "ok"
    if item.status in ("refused", "cancelled"):
        return "yellow", "not run" if item.status == "refused" else "stopped"
    return "red", "too slow" if item.status == "timeout" else "failed"


class _Shown(msgspec.Struct):
    """Fields of results that people want to see."""

    stdout: str = ""
    stderr: str = ""
    message: str = ""
    error: str = ""
    entries: Sequence[Json] | None = None
    matches: Sequence[Json] | None = None
    files: Sequence[Json] | None = None
    paths: Sequence[Json] | None = None
    lines: int | None = None
    size_bytes: int | None = None
    status: int | None = None
    truncated: bool = False


def _result_rows(item: CallDone, width: int) -> list[str]:
    """A few rows of the result."""
    result = item.result
    if isinstance(result, str):
        return _some(result, width)
    try:
        shown = msgspec.convert(result, _Shown, strict=False)
    except msgspec.ValidationError:
        shown = _Shown()
    words = shown.message or shown.error
    if words and item.status != "ok":
        return _some(words, width)
    output = "\n".join(part for part in (shown.stdout.rstrip("\n"), shown.stderr.rstrip("\n")) if part)
    if output:
        return _some(output, width)
    for name in ("entries", "matches", "files", "paths"):
        found: Sequence[Json] | None = getattr(shown, name)
        if found is not None:
            more = " and more" if shown.truncated else ""
            return [f"{plural(len(found), *_COUNTED[name])}{more}"]
    if shown.lines is not None:
        return [f"{plural(shown.lines, 'line')}" + (f", {size(shown.size_bytes)}" if shown.size_bytes else "")]
    if isinstance(result, dict) and item.tool_name in ("bash",):
        return []
    return [one_line(pretty_json(result), width)] if result not in (None, {}, [], "") else []


_COUNTED: Final = {
    "entries": ("entry", "entries"),
    "matches": ("match", "matches"),
    "files": ("file", "files"),
    "paths": ("path", "paths"),
}


def _some(text: str, width: int) -> list[str]:
    """The first and last rows of a long text."""
    rows = printable(text).rstrip("\n").split("\n")
    if len(rows) > _MOST_OUTPUT_LINES:
        first, last = _MOST_OUTPUT_LINES // 2, _MOST_OUTPUT_LINES // 2 - 1
        left_out = len(rows) - first - last
        rows = [*rows[:first], f"({plural(left_out, 'more line')})", *rows[-last:]]
    return [one_line(row, width) if cell_len(row) > width else row for row in rows]


def _diff_row(line: DiffLine, width: int) -> Text:
    text = printable(line.text)
    if cell_len(text) > width:
        text = _cut(text, width)
    return Text(f"{line.sign} {text}", _SIGN_STYLES[line.sign])


def _cut(text: str, width: int) -> str:
    """Cut at a width in cells, blanks kept."""
    kept: list[str] = []
    room = width - 1
    for character in text:
        room -= cell_len(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def _indented(row: Text, glyphs: Glyphs) -> Text:
    return Text.assemble((f"  {glyphs.gutter} ", "dim"), row)

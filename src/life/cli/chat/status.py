"""The lines around the conversation: whose it is, how it goes, what the keys do. Always there: the agent's state, the position, the money (WS-SHELL-4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from life.aios.state import SteeringMode
from life.cli.chat.commands import PANES
from life.cli.chat.prose import ACCENT, BAD, GOOD, SOFT, WAIT, beside, cropped
from life.cli.chat.sight import Sight
from life.cli.chat.untrusted import middle, one_line
from life.cli.shell.transcript import without_attachments
from life.cli.shell.words import dollars
from life.workspace.state import State, Waiting

_STYLES: Final = {
    "idle": SOFT,
    "running": GOOD,
    "paused": WAIT,
    "waiting": WAIT,
    "in_doubt": BAD,
    "closed": SOFT,
}
_MODES: Final[dict[str, str]] = {
    "followup": "after",
    "steer": "steerNow",
    "interrupt": "interrupt",
    "collect": "collected",
}
SOURCES: Final = {
    "files": "FileWrite, FileDelete, FileRename, FileMutated",
    "journal": "*",
    "preview": "FileWrite, FileMutated, FileDelete",
    "trace": "Run*, Step*, Message, ToolCall*",
    "judge": "eval.*",
    "context": "arcan.context_*, ContextCompacted, Message, Memory*",
    "autonomic": "StateEstimated, ModeChanged, GatesUpdated, autonomic.*",
    "ledger": "finance.*, Message, Run*",
    "identity": "SessionCreated, anima.*, arcan.rule_*",
}
"""Which events feed a pane (WS-INSP-1)."""


def top_line(sight: Sight, place: str, model: str, width: int, *, acts: bool) -> Text:
    """Whose session it is, and where it runs."""
    state, words, signs = sight.state, sight.words, sight.signs
    session = state.session
    name = session.name or session.id
    dot = (f" {signs.dot} ", SOFT)
    left = Text.assemble((" Life ", "bold reverse"), " ", (one_line(name, 60, more=signs.more), "bold"))
    if session.name and session.name != session.id:
        left.append(f" {middle(session.id, 20, more=signs.more)}", SOFT)
    branch = sight.track.stream.branch_id
    if branch != "main":
        left.append_text(Text.assemble(dot, (f"{signs.turn} {one_line(session.branch_name or branch, 30)}", ACCENT)))
    right = Text()
    if width >= 70 and (provider := session.provider or model):
        right.append_text(Text.assemble((one_line(provider, 40, more=signs.more), ""), dot))
    connection = sight.track.connection
    if not acts:
        right.append(words("restricted"), WAIT)
    elif connection == "lost":
        right.append(words("conn_lost"), f"bold {BAD}")
    else:
        right.append(one_line(place, 40), SOFT)
    right.append(" ")
    return beside(left, right, width, more=signs.more)


def doing(sight: Sight) -> str:
    """What the agent does, in words."""
    state, words = sight.state, sight.words
    if state.status != "running":
        return words.term("status_", state.status)
    running = next((call for call in state.calls if call.state == "running"), None)
    if running is not None:
        return words("toolNow", tool=one_line(running.tool, 40))
    if sight.is_live and sight.track.writing:
        return words("writingNow")
    return words("thinkingNow") if state.step else words("status_running")


def spent(sight: Sight, state: State) -> Text:
    """Model cost of the session, of the run's cap."""
    words, totals = sight.words, state.totals
    told = Text(f"{words('spent')} ", SOFT)
    if not totals.steps:
        told.append("-", SOFT)
    elif totals.uncosted == totals.steps:
        told.append(words("notReported"), SOFT)
    else:
        told.append(dollars(totals.cost_micro) + ("*" if totals.uncosted else ""))
    cap = state.runs[-1].max_cost_micro if state.runs else 0
    if cap:
        told.append(f" {words('ofCap', cap=dollars(cap))}", SOFT)
    return told


def status_line(sight: Sight, width: int, hint: str) -> Text:
    """How it goes, where one looks, what it cost; or what has to be said now."""
    state, words, signs = sight.state, sight.words, sight.signs
    style = _STYLES.get(state.status, "")
    moving = state.status == "running" and sight.is_live
    sign = signs.spinner[sight.now_us // 250_000 % len(signs.spinner)] if moving else signs.live
    left = Text.assemble(" ", (f"{sign} ", style), (doing(sight), f"bold {style}" if style != SOFT else "bold"))
    if state.suspended:
        left.append(f" {signs.dot} {one_line(state.suspended, 60)}", WAIT)
    if state.breaker:
        left.append(f" {signs.dot} {words('breakerOpen')}", BAD)
    if sight.track.connection == "lost":
        left = Text(f" {signs.bad} {words('lost', why=one_line(sight.track.trouble, 200))}", f"bold {BAD}")
    if hint:
        left = Text.assemble(left, (f"  {hint}", f"bold {WAIT}"))
    right = spent(sight, state)
    right.append(" ")
    return beside(left, right, width, more=signs.more)


def rule_line(sight: Sight, width: int, steering: SteeringMode, *, busy: bool, focused: bool) -> Text:
    """The line over the input: what Enter does while a run goes on."""
    words, signs = sight.words, sight.signs
    style = ACCENT if focused else SOFT
    if not busy:
        return Text(signs.rule * width, style)
    label = Text(f"{signs.rule} ", style)
    for mode in ("followup", "steer", "interrupt"):
        label.append(f" {words(_MODES[mode])} ", "bold reverse" if mode == steering else SOFT)
    label.append(" ")
    return Text.assemble(label, (signs.rule * max(0, width - len(label.plain)), style))


def queue_lines(sight: Sight, queue: Sequence[Waiting], width: int, *, most: int = 3) -> list[Text]:
    """Messages that wait, dimly, above the input."""
    words, signs = sight.words, sight.signs
    lines = []
    for waiting in queue[:most]:
        mode = words(_MODES[waiting.mode]) if waiting.mode in _MODES else waiting.mode
        said = one_line(without_attachments(waiting.message).text, width, more=signs.more)
        lines.append(cropped(Text.assemble((f"   {signs.wait} {mode}: ", WAIT), (said, SOFT)), width, more=signs.more))
    if lines:
        more = f"+{len(queue) - most}  " if len(queue) > most else ""
        lines[-1] = beside(lines[-1], Text(f"{more}{words('queueHint')} ", SOFT), width, more=signs.more)
    return lines


def pane_tabs(sight: Sight, names: Sequence[str], chosen: str, width: int, *, focused: bool) -> Text:
    """The panes of a column with their numbers; where there is little room only the chosen one has its name."""
    words = sight.words

    def drawn(*, whole: bool) -> Text:
        line = Text()
        for name in names:
            number = PANES.index(name) + 1
            style = "bold reverse" if name == chosen and focused else "bold underline" if name == chosen else SOFT
            line.append(f" {number} {words(name)} " if whole or name == chosen else f" {number} ", style)
        return line

    line = drawn(whole=True)
    return line if len(line.plain) <= width else cropped(drawn(whole=False), width, more=sight.signs.more)


def source_line(sight: Sight, pane: str, width: int, *, acts: bool) -> Text:
    """Which events feed the pane, and as of when."""
    words, signs = sight.words, sight.signs
    events = words("allKinds").lower() if pane == "journal" else SOURCES[pane]
    live = (
        words("sourceLive")
        if sight.is_live and acts
        else words("sourceRecorded")
        if sight.is_live
        else words("sourcePast")
    )
    at = words("asOf", n=words.whole(sight.track.shown))
    right = Text(f"{at} {signs.dot} {live} ", SOFT)
    return beside(Text(f" {words('source', events=events)}", SOFT), right, width, more=signs.more)


def key_line(sight: Sight, name: str, width: int, *, mode: SteeringMode) -> Text:
    """What the keys do here."""
    words, signs = sight.words, sight.signs
    told = words(name, mode=words(_MODES[mode])) if name == "hintRunning" else words(name)
    told = told.replace("·", signs.dot)
    if signs.dot == "-":
        told = told.replace("←/→", "Left/Right").replace("↑↓", "Up/Down")
    return cropped(Text(f" {told}", SOFT), width, more=signs.more)

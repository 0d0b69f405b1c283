"""What dialogs offer: sessions, commands and panes, waiting messages, keys, events found."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from life.aios.record import Stream
from life.arcan.sessions import SessionSummary
from life.cli.chat.commands import PANES
from life.cli.chat.controller import ChatConversation
from life.cli.chat.describe import name_of, summary
from life.cli.chat.prose import ACCENT, SOFT, WAIT, beside, cropped, wrap
from life.cli.chat.reader import Wanted
from life.cli.chat.sight import Rows, day_time
from life.cli.chat.untrusted import one_line
from life.cli.shell.transcript import without_attachments

KEYS: Final = (
    ("Enter", "key_send"),
    ("Alt-Enter, Ctrl-J, \\", "key_newline"),
    ("Ctrl-T", "key_steering"),
    ("Up, Down", "key_history"),
    ("Tab", "key_complete"),
    ("Ctrl-C", "key_stop"),
    ("F2", "key_sessions"),
    ("F3, F4", "key_files"),
    ("F5, Shift-F5", "key_inspector"),
    ("1 … 9", "key_panes"),
    ("F6", "key_replayFocus"),
    ("Left, Right, Shift, Home, End, [ ]", "key_replay"),
    ("Space", "key_play"),
    ("< >", "key_speed"),
    ("Esc", "key_live"),
    ("F7, b", "key_branch"),
    ("F8", "key_queue"),
    ("F9", "key_answer"),
    ("F10", "key_pause"),
    ("Ctrl-F", "key_search"),
    ("Ctrl-P", "key_palette"),
    ("Enter (on an entry)", "key_thinking"),
    ("Ctrl-O", "key_fold"),
    ("F1, ?", "key_help"),
    ("Ctrl-Q", "key_quit"),
)
"""Keys and the names of what they do."""

_MOST: Final = 200


def says(conversation: ChatConversation, name: str, english: str) -> str:
    """What a command does, in the person's language."""
    told = conversation.words.term("cmd_", name)
    return english if told == name else told


def command_hints(conversation: ChatConversation) -> list[tuple[str, str]]:
    """Every command with what it does, and skills."""
    from life.cli.shell.telling import skill_names

    found = [(command.name, says(conversation, command.name, command.says)) for command in conversation.commands()]
    skills = skill_names(conversation) if conversation.acts else []
    return [*found, *((name, "skill") for name in skills)]


async def session_rows(conversation: ChatConversation, typed: str, width: int) -> list[Rows]:
    """Sessions, newest first; those whose name or id has the words."""
    words = typed.casefold().split()
    found = await conversation.client.sessions()
    rows = []
    for each in found:
        if all(word in f"{each.session_id} {each.name}".casefold() for word in words):
            rows.append(Rows(each.session_id, (_session_line(conversation, each, width),)))
    return rows[:_MOST] or [Rows("", (Text(conversation.words("noSessions"), SOFT),))]


def _session_line(conversation: ChatConversation, each: SessionSummary, width: int) -> Text:
    signs, words = conversation.signs, conversation.words
    here = each.session_id == conversation.session_id
    left = Text.assemble(
        (f"{signs.live if here else ' '} ", ACCENT), (one_line(each.session_id, 60, more=signs.more), "bold")
    )
    if each.name != each.session_id:
        left.append(f"  {one_line(each.name, 100, more=signs.more)}")
    state = {"open": (words("status_running"), WAIT), "closed": (words("status_closed"), SOFT)}.get(
        each.state, ("", "")
    )
    right = Text.assemble(
        state, f"  {words.whole(each.head):>7} {words('events')}", (f"  {day_time(each.updated_us)}", SOFT)
    )
    return beside(left, right, width, more=signs.more)


async def palette_rows(conversation: ChatConversation, typed: str, width: int) -> list[Rows]:
    """Panes and the registry's commands."""
    wanted = typed.casefold().removeprefix("/").split()
    rows = []
    for number, pane in enumerate(PANES, start=1):
        rows.append((f"pane/{pane}", conversation.words(pane), "", str(number)))
    for command in conversation.commands():
        name = f"/{command.name} {command.usage}".rstrip()
        rows.append((f"command/{command.name}", name, says(conversation, command.name, command.says), ""))
    return [
        Rows(
            key,
            (
                beside(
                    Text.assemble((name, "bold"), (f"  {about}", SOFT)),
                    Text(f"{hint} ", ACCENT),
                    width,
                    more=conversation.signs.more,
                ),
            ),
        )
        for key, name, about, hint in rows
        if all(word in f"{name} {about} {key}".casefold() for word in wanted)
    ]


async def queue_rows(conversation: ChatConversation, _typed: str, width: int) -> list[Rows]:
    """Messages that wait, whole as far as they fit."""
    rows = []
    for waiting in conversation.track.live.queue:
        said = wrap(Text(one_line(without_attachments(waiting.message).text, 2_000)), width, indent=Text("  "))
        head = Text.assemble((waiting.mode, f"bold {WAIT}"), (f"  #{waiting.seq}", SOFT))
        rows.append(Rows(waiting.id, (head, *said[:4])))
    return rows or [Rows("", (Text(conversation.words("queueEmpty"), SOFT),))]


async def key_rows(conversation: ChatConversation, _typed: str, width: int) -> list[Rows]:
    """Keys, then commands."""
    words, signs = conversation.words, conversation.signs
    rows = [Rows("", (_named(conversation, key, words(name), width),)) for key, name in KEYS]
    rows.append(Rows("", (Text(), Text(words("helpCommands"), "bold"))))
    for command in conversation.commands():
        name = f"/{command.name} {command.usage}".rstrip()
        rows.append(Rows("", (_named(conversation, name, says(conversation, command.name, command.says), width),)))
    return [Rows(each.key, [cropped(line, width, more=signs.more) for line in each.lines]) for each in rows]


def _named(conversation: ChatConversation, name: str, about: str, width: int) -> Text:
    label = 36 if width >= 80 else 24
    shown = name if conversation.signs.dot != "-" else name.replace("…", "..")
    return Text.assemble((f" {shown:<{label}} ", ACCENT), about)


async def found_rows(conversation: ChatConversation, typed: str, width: int) -> list[Rows]:
    """Events of the branch with these words, newest first."""
    words = tuple(typed.casefold().split())
    if not words:
        return []
    track = conversation.track
    stream: Stream = track.stream
    found = await conversation.reader.search(stream, Wanted(words=words), track.head)
    rows = []
    for sequence in found.sequences[:_MOST]:
        record = await track.ready(sequence)
        if record is None:
            continue
        line = Text.assemble((f"{sequence:>6} ", SOFT), (f"{one_line(name_of(record), 30):<24} ", ACCENT))
        line.append(one_line(summary(record), 400))
        rows.append(Rows(f"#{sequence}", (cropped(line, width, more=conversation.signs.more),)))
    return rows or [Rows("", (Text(conversation.words("nothingFound"), SOFT),))]

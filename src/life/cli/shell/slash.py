"""Commands that begin with `/`: their table, how they are found, and those that act on the conversation. Those that tell something are in
`life.cli.shell.telling`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH
from life.cli.shell import telling
from life.cli.shell.transcript import without_attachments
from life.cli.shell.words import one_line, plural

if TYPE_CHECKING:
    from life.cli.shell.conversation import Conversation

_NAME: Final = re.compile(r"/(?P<name>[A-Za-z?][A-Za-z0-9_-]*)(?:\s+(?P<rest>.*))?\s*", re.DOTALL)

Handler = Callable[["Conversation", str], Awaitable[None]]


class Command(NamedTuple):
    """One command. `usage` is what follows its name."""

    name: str
    aliases: tuple[str, ...]
    usage: str
    says: str
    handler: Handler


def is_command(text: str) -> bool:
    """Whether the text is a command and no message: `/` and a name, and no path."""
    return _NAME.fullmatch(text.strip()) is not None


async def dispatch(conversation: Conversation, text: str) -> None:
    """Do what a command says; one that nobody knows lists those that begin like it."""
    match = _NAME.fullmatch(text.strip())
    assert match is not None
    name, rest = match["name"].lower(), (match["rest"] or "").strip()
    command = find(name, conversation.more_commands)
    if command is not None:
        if not conversation.shows(command.name, rest):
            await command.handler(conversation, rest)
    elif name in telling.skill_names(conversation):
        message = await conversation.client.begin_with_skill(conversation.session_id, text.strip(), conversation.branch)
        await conversation.send(message)
    else:
        _suggest(conversation, name)


def find(name: str, more: tuple[Command, ...] = ()) -> Command | None:
    """The command of this name or alias; `more` are those that only this surface has."""
    return next((command for command in (*COMMANDS, *more) if name == command.name or name in command.aliases), None)


def _suggest(conversation: Conversation, name: str) -> None:
    found = [command for command in (*COMMANDS, *conversation.more_commands) if command.name.startswith(name)]
    skills = [skill for skill in telling.skill_names(conversation) if skill.startswith(name)]
    if not found and not skills:
        conversation.view.note(f"There is no command /{name}. /help lists them.", bad=True)
        return
    conversation.view.lines([*_rows(found, conversation), *(Text(f"  /{skill}  a skill", "dim") for skill in skills)])


def _rows(commands: list[Command], conversation: Conversation) -> list[Text]:
    if not commands:
        return []
    heads = [f"/{command.name} {command.usage}".rstrip() for command in commands]
    width = min(max(map(len, heads)), 22)
    room = max(12, conversation.surface.width - width - 4)
    return [
        Text.assemble("  ", (head.ljust(width), "bold"), "  ", (one_line(command.says, room), "dim"))
        for head, command in zip(heads, commands, strict=True)
    ]


async def _help(conversation: Conversation, rest: str) -> None:
    if rest:
        command = find(rest.removeprefix("/").lower(), conversation.more_commands)
        if command is None:
            _suggest(conversation, rest.removeprefix("/").lower())
            return
        also = f" (also {', '.join(f'/{alias}' for alias in command.aliases)})" if command.aliases else ""
        conversation.view.lines([*_rows([command], conversation), *([Text(f" {also}", "dim")] if also else [])])
        return
    keys = (
        "  @file attaches a file, Tab completes. Alt-Enter, or \\ at the end: new line.",
        "  Ctrl-C stops the run, twice leaves. Ctrl-R searches what was typed.",
        "  What is typed during a run waits for its end; /steer says it now.",
    )
    rows = _rows([*COMMANDS, *conversation.more_commands], conversation)
    conversation.view.lines([*rows, Text(""), *(Text(row, "dim") for row in keys)])


async def _quit(conversation: Conversation, _rest: str) -> None:
    conversation.quitting.set()
    conversation.changed()


async def _clear(conversation: Conversation, _rest: str) -> None:
    conversation.clear_screen()


async def _cancel(conversation: Conversation, _rest: str) -> None:
    await conversation.client.cancel(conversation.session_id, conversation.branch)


async def _pause(conversation: Conversation, _rest: str) -> None:
    await conversation.client.pause(conversation.session_id, conversation.branch)


async def _go_on(conversation: Conversation, _rest: str) -> None:
    await conversation.client.go_on(conversation.session_id, conversation.branch)


async def _steer(conversation: Conversation, rest: str) -> None:
    await conversation.say(_needed(rest, "/steer what to say"), "steer")


async def _interrupt(conversation: Conversation, rest: str) -> None:
    await conversation.say(_needed(rest, "/interrupt what to do instead"), "interrupt")


async def _followup(conversation: Conversation, rest: str) -> None:
    await conversation.say(_needed(rest, "/followup what to do next"), "followup")


async def _reasoning(conversation: Conversation, rest: str) -> None:
    if rest not in ("", "on", "off"):
        raise InvalidInputError("/reasoning, /reasoning on or /reasoning off.")
    shown = not conversation.show_thoughts if not rest else rest == "on"
    conversation.show_thoughts = conversation.view.show_thoughts = shown
    thoughts = conversation.view.thoughts()
    if shown and thoughts:
        conversation.view.lines([Text(row, "dim italic") for row in thoughts.split("\n")])
    conversation.view.note(f"Thinking is {'shown' if shown else 'not shown'} from now on.")


async def _model(conversation: Conversation, rest: str) -> None:
    if rest:
        await conversation.client.set_model(
            conversation.session_id, "" if rest == "default" else rest, conversation.branch
        )
        return
    await telling.model(conversation)


async def _undo(conversation: Conversation, _rest: str) -> None:
    """Before the last message, on a branch of its own; its words are given back."""
    sequence = conversation.view.transcript.last_message_sequence
    if not sequence:
        raise InvalidInputError("There is no message on this branch to take back.")
    client, session_id, branch = conversation.client, conversation.session_id, conversation.branch
    [record] = await client.events(session_id, branch, after=sequence - 1, limit=1)
    words = without_attachments(str(getattr(record.kind, "content", ""))).text
    forked = await client.fork_before(session_id, sequence, branch=branch)
    await conversation.attach(session_id, forked.branch_id)
    conversation.view.note(f"On the branch {forked.name}, before that message. {branch} is as it was: /branch {branch}")
    conversation.set_input(words)


async def _session(conversation: Conversation, rest: str) -> None:
    if not rest:
        conversation.view.note(f"This is session {conversation.session_id}, branch {conversation.branch}.")
        return
    await conversation.attach(None if rest == "new" else await _known_session(conversation, rest))
    conversation.view.note(f"Now in session {conversation.session_id}.")


async def _known_session(conversation: Conversation, rest: str) -> str:
    """The session of this id, name, number in the list, or beginning."""
    sessions = await conversation.client.sessions()
    if rest.isdigit() and 1 <= int(rest) <= len(sessions):
        return sessions[int(rest) - 1].session_id
    exact = [each.session_id for each in sessions if rest in (each.session_id, each.name)]
    found = exact or [each.session_id for each in sessions if each.session_id.startswith(rest)]
    if not found:
        raise InvalidInputError(
            f"There is no session {rest}.", next_step="/sessions lists them; /session new makes one."
        )
    if len(found) > 1:
        raise InvalidInputError(f"{plural(len(found), 'session')} begin with {rest}.")
    return found[0]


async def _branch(conversation: Conversation, rest: str) -> None:
    word, _, name = rest.partition(" ")
    client, session_id = conversation.client, conversation.session_id
    if not rest:
        await telling.branches(conversation)
    elif word == "new":
        wanted = _needed(name.strip(), "/branch new NAME")
        forked = await client.fork(session_id, wanted, parent=conversation.branch)
        await conversation.attach(session_id, forked.branch_id)
        conversation.view.note(f"Now on the branch {forked.name}.")
    elif word == "merge":
        result = await client.merge(session_id, _needed(name.strip(), "/branch merge NAME"), into=MAIN_BRANCH)
        await conversation.attach(session_id, MAIN_BRANCH)
        conversation.view.note(f"Merged; {plural(result.files_changed, 'file')} changed.")
    else:
        found = next((each for each in await client.branches(session_id) if rest in (each.branch_id, each.name)), None)
        if found is None:
            raise InvalidInputError(
                f"There is no branch {rest}.", next_step="/branch lists them; /branch new NAME makes one."
            )
        await conversation.attach(session_id, found.branch_id)
        conversation.view.note(f"Now on the branch {found.name}.")


async def _rules(conversation: Conversation, rest: str) -> None:
    rules = (await conversation.state()).rules
    if not rest:
        telling.rules(conversation, rules)
        return
    if not rest.isdigit() or not 1 <= int(rest) <= len(rules):
        raise InvalidInputError("/rules NUMBER takes a rule of the list back.")
    rule = rules[int(rest) - 1]
    await conversation.client.revoke_rule(conversation.session_id, conversation.branch, rule.rule_id)
    conversation.view.note(f"{rule.tool_name} is asked about again.")


async def _save(conversation: Conversation, rest: str) -> None:
    from life.cli.session_export import as_markdown

    path = Path(_needed(rest, "/save FILE")).expanduser()
    if path.exists():
        raise InvalidInputError(f"{path} is there already.")
    records = await telling.all_events(conversation)
    path.write_text(as_markdown(conversation.session_id, records), encoding="utf-8")
    conversation.view.note(f"Wrote {path}.")


def _needed(rest: str, usage: str) -> str:
    if not rest:
        raise InvalidInputError(f"{usage}.")
    return rest


COMMANDS: Final = (
    Command("help", ("h", "?"), "[COMMAND]", "what can be said here", _help),
    Command("status", ("info",), "", "session, model, state, budget", telling.status),
    Command("cost", ("usage", "tokens"), "", "tokens and money of this session", telling.cost),
    Command("context", ("ctx",), "", "how full the model's window is, and with what", telling.context),
    Command("model", (), "[SPEC]", "show the model, or choose another", _model),
    Command("reasoning", ("thinking",), "[on|off]", "show or hide what the model thinks", _reasoning),
    Command("history", ("messages",), "[N]", "the turns of this conversation", telling.history),
    Command("search", ("find",), "WORDS", "turns with these words", telling.search),
    Command("diff", (), "[FILE]", "what the agent changed in this session", telling.diff),
    Command("files", ("ls",), "", "the files of the workspace", telling.files),
    Command("memory", ("mem",), "[WORDS]", "what is remembered, or what fits some words", telling.memory),
    Command("skill", ("skills",), "", "the skills; /NAME begins one", telling.skills),
    Command("queue", (), "", "messages that wait", telling.queue),
    Command("steer", (), "TEXT", "say something to the running agent now", _steer),
    Command("followup", (), "TEXT", "a run of its own after this one", _followup),
    Command("interrupt", (), "TEXT", "stop the run and do this instead", _interrupt),
    Command("pause", (), "", "begin nothing new", _pause),
    Command("continue", ("go",), "", "go on after a pause", _go_on),
    Command("cancel", ("stop",), "", "stop the run", _cancel),
    Command("rules", ("allowed",), "[N]", "what is allowed here; N takes one back", _rules),
    Command("undo", (), "", "before the last message, on a new branch", _undo),
    Command("branch", (), "[NAME]", "list or change branches; /branch new NAME, merge NAME", _branch),
    Command("sessions", ("sess",), "", "all sessions", telling.sessions),
    Command("session", (), "[ID|new]", "change to another session", _session),
    Command("save", ("export",), "FILE", "write this conversation as Markdown", _save),
    Command("config", ("settings",), "[WORD]", "the settings in force", telling.config),
    Command("clear", (), "", "clear the screen", _clear),
    Command("quit", ("exit", "q"), "", "leave", _quit),
)
"""Every command, in the order of the help."""

"""What Tab offers: commands and their arguments, skills, and files behind `@`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from life.cli.shell.mentions import matching_files
from life.cli.shell.slash import COMMANDS
from life.cli.shell.telling import skill_names

if TYPE_CHECKING:
    from life.cli.shell.conversation import Conversation

_MENTION: Final = re.compile(r'(?:^|[\s(])@(?P<quote>"?)(?P<prefix>[^"\n]*)$')
_COMMAND: Final = re.compile(r"/(?P<name>[A-Za-z0-9_?-]*)$")


class ShellCompleter(Completer):
    """Looks at the text before the cursor only."""

    def __init__(self, conversation: Conversation, root: Path) -> None:
        self._conversation = conversation
        self._root = root

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """See Completer."""
        before = document.text_before_cursor
        command = _COMMAND.fullmatch(before)
        if command is not None:
            yield from self._commands(command["name"].lower())
            return
        mention = _MENTION.search(document.current_line_before_cursor)
        if mention is None or (not mention["quote"] and " " in mention["prefix"]):
            return
        for path in matching_files(mention["prefix"], self._root):
            quoted = mention["quote"] or " " in path
            text = f'"{path}"' if quoted and not path.endswith("/") else f'"{path}' if quoted else path
            yield Completion(text, start_position=-len(mention["quote"] + mention["prefix"]), display=path)

    def _commands(self, start: str) -> Iterable[Completion]:
        for command in COMMANDS:
            if command.name.startswith(start):
                yield Completion(command.name, start_position=-len(start), display_meta=command.says)
        for skill in skill_names(self._conversation):
            if skill.startswith(start):
                yield Completion(skill, start_position=-len(start), display_meta="skill")

"""Which programs a shell command runs, or that this can't be told for sure.

A deliberately small reader of the shell's language (POSIX 2.3–2.9): simple commands in pipelines and lists, quoting, redirections,
plain parameters in arguments. Whatever could run something that is not written there as a program's name makes the answer None:
substitutions, compound commands, functions, assignments, here-documents, builtins that evaluate their arguments, programs whose purpose is
to run others. There is no prefix trick: `ls; rm x` runs `ls` and `rm`, `./ls` is not `ls`, `"r"m` is `rm`. A program may of course do
anything that it is able to (`python3`, `git`, `make`); an operator who permits one permits that.
"""

from __future__ import annotations

import re
from typing import Final

_OPERATORS: Final = ("&>>", "<&", ">&", "&>", ">|", "<>", ">>", "&&", "||", "|&", ";", "&", "|", "\n", "<", ">")
_REDIRECTIONS: Final = frozenset(("&>>", "<&", ">&", "&>", ">|", "<>", ">>", "<", ">"))
_PROGRAM: Final = re.compile(r"[A-Za-z0-9_./+@-]*[A-Za-z0-9_+@-]")
_PARAMETER: Final = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9?#*@!-])")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\[.*\])?\+?=.*", re.DOTALL)
_RESERVED_WORDS: Final = (
    "! { } [[ ]] case coproc do done elif else esac fi for function if in select then time until while"
)
_EVALUATING_BUILTINS: Final = (
    ". alias bind builtin caller command compgen complete compopt coproc declare enable eval exec export fc getopts hash history let "
    "local mapfile popd pushd read readarray readonly return set shopt source trap typeset ulimit umask unalias unset wait"
)
"""Builtins that run, define or evaluate what they are given."""

_RUNNING_OTHERS: Final = (
    "awk bash busybox chroot chrt dash doas ed env ex expect fish flock gawk ionice ksh mawk nawk nice nohup nsenter parallel perf "
    "rbash rlwrap run-parts runuser script setarch setpriv setsid sg sh ssh stdbuf strace su sudo systemd-run taskset tclsh timeout "
    "unshare vi view vim watch xargs zsh"
)
"""Programs that are there to run others."""

_RESERVED: Final = frozenset(_RESERVED_WORDS.split())
_EVALUATING: Final = frozenset(_EVALUATING_BUILTINS.split()) | frozenset(_RUNNING_OTHERS.split())
_MAX_CHARACTERS: Final = 20_000


class _UnsureError(Exception):
    """The reader met something it does not take part in."""


def programs_of(command: str) -> tuple[str, ...] | None:
    """The programs that a command runs, sorted, each once; None when they can't be told for sure.

    An empty tuple: the command runs nothing.
    """
    if len(command) > _MAX_CHARACTERS or "\0" in command or "\r" in command:
        return None
    try:
        return tuple(sorted(_programs(_tokens(command))))
    except _UnsureError:
        return None


def _programs(tokens: list[tuple[str, str | None]]) -> set[str]:
    """Tokens are (operator, None), or (raw text, value), the value being empty text with a mark when it is not constant."""
    found: set[str] = set()
    words: list[tuple[str, str]] = []
    skip_word = False
    for text, value in [*tokens, (";", None)]:
        if value is None and text in _REDIRECTIONS:
            if skip_word:
                raise _UnsureError
            skip_word = True
        elif value is None:
            if skip_word:
                raise _UnsureError
            if words:
                found.add(_program(words))
            words = []
        elif skip_word:
            skip_word = False
        else:
            words.append((text, value))
    return found


def _program(words: list[tuple[str, str]]) -> str:
    """The program of one simple command, when its name and its arguments are harmless to read."""
    raw, name = words[0]
    if name == _VARIES or _ASSIGNMENT.fullmatch(raw) or raw in _RESERVED or _PROGRAM.fullmatch(name) is None:
        raise _UnsureError
    if name in _EVALUATING or name.rpartition("/")[2] in _EVALUATING:
        raise _UnsureError
    arguments = [value for _, value in words[1:]]
    if name in ("printf", "test", "[") and any(
        value == _VARIES or value.startswith(("-v", "-R")) for value in arguments
    ):
        raise _UnsureError  # `test -v 'a[$(id)]'` runs id
    if name == "find" and any(value == _VARIES or value.startswith(("-exec", "-ok")) for value in arguments):
        raise _UnsureError
    return name


_VARIES: Final = "\0"
"""Stands for a word whose value depends on parameters, patterns or braces."""


def _tokens(command: str) -> list[tuple[str, str | None]]:
    tokens: list[tuple[str, str | None]] = []
    position = 0
    while position < len(command):
        character = command[position]
        if character in " \t":
            position += 1
        elif command.startswith("\\\n", position):
            position += 2
        elif character == "#":
            end = command.find("\n", position)
            position = len(command) if end == -1 else end
        elif command.startswith("<<", position) or character in "()":
            raise _UnsureError
        elif operator := next((one for one in _OPERATORS if command.startswith(one, position)), None):
            tokens.append((operator, None))
            position += len(operator)
        else:
            raw, value, position = _word(command, position)
            if raw.isdigit() and position < len(command) and command[position] in "<>":
                continue  # a descriptor's number belongs to the redirection
            tokens.append((raw, value))
    return tokens


def _word(command: str, start: int) -> tuple[str, str, int]:
    """Raw text, value (`_VARIES` when it isn't constant) and end of a word."""
    value: list[str] = []
    varies = False
    position = start
    while position < len(command):
        character = command[position]
        if character in " \t\n;&|<>":
            break
        if character in "()`":
            raise _UnsureError
        if character == "'":
            end = command.find("'", position + 1)
            if end == -1:
                raise _UnsureError
            value.append(command[position + 1 : end])
            position = end + 1
        elif character == '"':
            inner, inner_varies, position = _double_quoted(command, position + 1)
            value.append(inner)
            varies = varies or inner_varies
        elif character == "\\":
            if command[position + 1 : position + 2] in ("", "\n"):
                raise _UnsureError  # a line that goes on inside a word may spell a reserved one
            value.append(command[position + 1])
            position += 2
        elif character == "$":
            position = _parameter(command, position)
            varies = True
        else:
            varies = varies or character in "*?[~{}"
            value.append(character)
            position += 1
    return command[start:position], _VARIES if varies else "".join(value), position


def _double_quoted(command: str, position: int) -> tuple[str, bool, int]:
    """Value, whether it varies, and the position after the closing quote."""
    value: list[str] = []
    varies = False
    while position < len(command):
        character = command[position]
        if character == '"':
            return "".join(value), varies, position + 1
        if character == "`":
            raise _UnsureError
        if character == "\\" and position + 1 < len(command) and command[position + 1] in '$`"\\\n':
            value.append("" if command[position + 1] == "\n" else command[position + 1])
            position += 2
        elif character == "$":
            following = command[position + 1 : position + 2]
            if following in ("", '"', " "):
                value.append("$")
                position += 1
            else:
                position = _parameter(command, position)
                varies = True
        else:
            value.append(character)
            position += 1
    raise _UnsureError


def _parameter(command: str, position: int) -> int:
    """The position after a plain parameter."""
    match = _PARAMETER.match(command, position)
    if match is None:
        raise _UnsureError
    return match.end()

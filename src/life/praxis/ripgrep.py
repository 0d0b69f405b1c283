"""ripgrep as a guide: which files of a directory are worth opening.

It only ever names candidates. Every file it names is opened again below the workspace's handle and searched by our own
engine, so its answers can't differ from ours by what it takes for a match, and a link that is exchanged under it leads
nowhere. What it must not do is miss a file; therefore it is asked only for expressions whose meaning both engines share
(`translate`), treats every file as text, and reads no ignore file: what is left out, we decide, and only tell it which
large directories it need not enter. Whenever it does not end well, it has no say, and every file is searched.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Sequence
from typing import Final

MAX_OUTPUT_BYTES: Final = 16 * 1024 * 1024
"""Of file names."""

_FOUND: Final = 0
_NOTHING: Final = 1

_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_.@+/-]+")
"""What needs no escaping in a glob; other directories are searched in vain."""

_TOKENS: Final = re.compile(
    r"(?P<literal>[A-Za-z0-9_ \"'`~@#%&=:;,<>/!-]|[^\x00-\x7f])"
    r"|(?P<escaped>\\[^A-Za-z0-9\s\x00-\x1f\x7f-\U0010ffff])"
    r"|(?P<class>\\[dwsDWSbB])"
    r"|(?P<set>\[\^?(?:[A-Za-z0-9_ .,:;/@#%=+*?()<>{}$!\"'-]|\\[dws.\]\[^/\\+*?()$|{}\"'-])+\])"
    r"|(?P<any>\.)"
    r"|(?P<anchor>[\^$])"
    r"|(?P<open>\((?:\?:|(?![?*+])))"
    r"|(?P<close>\))"
    r"|(?P<alternative>\|)"
    r"|(?P<repeat>(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??)(?![*+?{])"
)
_CLASSES: Final = {
    "\\d": "[0-9]",
    "\\D": "[^0-9]",
    "\\w": "[A-Za-z0-9_]",
    "\\W": "[^A-Za-z0-9_]",
    "\\s": "[ \\t\\x0b\\x0c\\r]",
    "\\S": "[^ \\t\\x0b\\x0c\\r]",
    "\\b": "(?-u:\\b)",
    "\\B": "",
}
"""Our classes are ASCII (`life.praxis.text_search`). `\\\\B` is dropped: to name a file too many is no error."""


def find_ripgrep() -> str | None:
    """The absolute path of `rg`, None where it is not installed."""
    return shutil.which("rg")


def translate(pattern: str) -> str | None:
    """The expression for ripgrep, matching at least wherever ours does; None when that is not certain.

    Literals, escaped punctuation, simple sets and classes, `.`, `^`, `$`, groups, alternatives and repetition are the
    common ground. `$` also stands before a `\\r`, as in our lines.
    """
    out: list[str] = []
    position = 0
    while position < len(pattern):
        token = _TOKENS.match(pattern, position)
        if token is None:
            return None
        text = token.group()
        if token.lastgroup == "class":
            text = _CLASSES[text]
            if pattern[token.end() : token.end() + 1] in ("*", "+", "?", "{") and text in ("", "(?-u:\\b)"):
                return None
        elif token.lastgroup == "anchor" and text == "$":
            text = "(?:\\r?$)"
        elif token.lastgroup == "escaped":
            text = re.escape(text[1:]) if text[1:] in "\\.+*?()|[]{}^$#&-~" else text[1:]
        elif token.lastgroup == "set":
            text = _set(text)
            if text == "":
                return None
        out.append(text)
        position = token.end()
    return "".join(out)


_SET_CLASSES: Final = {"d": "0-9", "w": "A-Za-z0-9_", "s": " \\t\\x0b\\x0c\\r"}


def _set(text: str) -> str:
    """A set, escaped for the stricter syntax; empty when its ranges are anything but letters or digits."""
    negated = text.startswith("[^")
    inner = text[2 if negated else 1 : -1]
    out: list[str] = []
    index = 0
    while index < len(inner):
        character = inner[index]
        width = 2 if character == "\\" else 1
        if inner[index + width : index + width + 1] == "-" and index + width + 1 < len(inner):  # a range
            high = inner[index + 2]
            if width == 2 or not (character.isalnum() and high.isalnum() and character <= high):
                return ""
            out.append(f"{character}-{high}")
            index += 3
            continue
        if width == 2 and inner[index + 1] in _SET_CLASSES:
            out.append(_SET_CLASSES[inner[index + 1]])
        else:
            plain = inner[index + width - 1]
            out.append(plain if plain.isalnum() else f"\\x{ord(plain):02x}")
        index += width
    return f"[{'^' if negated else ''}{''.join(out)}]"


async def candidates(
    ripgrep: str,
    pattern: str,
    *,
    workspace: str,
    base: str,
    ignore_case: bool,
    left_out: Sequence[str],
    max_bytes: int,
) -> list[str] | None:
    """Files below `base` that may hold a match of the translated `pattern`, as paths from the workspace, in no order.

    `left_out`: directories, as paths from the workspace, that hold nothing of interest.
    None when ripgrep failed, or had more to say than fits: then it is as if it were not there.
    """
    command = [
        ripgrep,
        "--no-config",
        "--files-with-matches",
        "--null",
        "--text",
        "--hidden",
        "--no-messages",
        "--no-ignore",
        "--encoding=none",
        "--color=never",
        f"--max-filesize={max_bytes}",
    ]
    if ignore_case:
        command.append("--ignore-case")
    command += [f"--glob=!/{path}" for path in left_out if _PLAIN_PATH.fullmatch(path)]
    command += ["--regexp", pattern, "--", f"./{base}"]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=workspace,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
    except OSError:
        return None
    try:
        assert process.stdout is not None
        output = await process.stdout.read(MAX_OUTPUT_BYTES + 1)
        while (more := await process.stdout.read(1 << 16)) and len(output) <= MAX_OUTPUT_BYTES:
            output += more
        if len(output) > MAX_OUTPUT_BYTES:
            return None
        if await process.wait() not in (_FOUND, _NOTHING):
            return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    names = output.decode(errors="surrogateescape").split("\0")
    return [name.removeprefix("./").removeprefix("./") for name in names if name]

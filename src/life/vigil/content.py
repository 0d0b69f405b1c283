"""What may be said of people's and models' words: nothing, unless it is asked for; and never a secret.

With capture off no text of a person, a model, a tool, a command or an error leaves the process: spans carry names, ids, numbers
and codes. With capture on, messages go onto spans in the convention's format (vigil.md §14), each cut to `max_chars`, after the
redaction. Redaction is a net under the user's own care, not a promise: it takes away what looks like a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from life.aios.json import Json
from life.vigil.errors import TelemetrySettingError

REDACTED: Final = "[redacted]"
_BEHIND: Final = 4096
"""So much behind the cut is looked at, for a secret that begins before it."""

_SECRETS: Final = (
    r"(?i)\b(?:bearer|basic)\s+[a-z0-9._~+/=-]{8,}",
    r"\b(?:sk|rk|pk)[-_][A-Za-z0-9_-]{16,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[a-z]-[A-Za-z0-9-]{10,}"
    r"|AKIA[0-9A-Z]{16}|AIza[A-Za-z0-9_-]{30,}|hvs\.[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,})",
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"(?<![0-9a-zA-Z])(?:0x)?[0-9a-fA-F]{64}(?![0-9a-zA-Z])",
    r"(?i)(?<=://)[^\s/@:]*:[^\s/@]+(?=@)",
    r"""(?i)\b(?:api[_-]?key|passw(?:or)?d|passphrase|secret|token|authorization|client[_-]secret)\\*["']?\s*[:=]\s*"""
    r"""(?:"(?:[^"\\]|\\.)*"|\\+"[^"]*"|'[^']*'|[^\s,;&}"'\\]+)""",
)
"""Authorization headers, vendors' keys, JWTs, private keys, 32 bytes in hex, passwords in URLs, and `password: …`."""


class Content:
    """How words are put on spans."""

    def __init__(self, *, capture: bool = False, max_chars: int = 8000, redact: Sequence[str] = ()) -> None:
        """`redact`: further regular expressions. TelemetrySettingError when one can't be compiled."""
        self.capture = capture
        self._max_chars = max_chars
        self._patterns = [re.compile(pattern) for pattern in _SECRETS]
        for pattern in redact:
            try:
                self._patterns.append(re.compile(pattern))
            except re.error as error:
                raise TelemetrySettingError(f"The redaction pattern {pattern!r} is none: {error}.") from None

    def text(self, words: str) -> str:
        """The words without what looks like a secret, cut."""
        words = words[: self._max_chars + _BEHIND]
        for pattern in self._patterns:
            words = pattern.sub(REDACTED, words)
        if len(words) > self._max_chars:
            words = words[: self._max_chars] + "…"
        return words

    def value(self, value: Json) -> str:
        """A JSON value as such text."""
        return self.text(value if isinstance(value, str) else msgspec.json.encode(value).decode())

    def messages(self, messages: Iterable[dict[str, Json]]) -> str:
        """Messages as the convention's JSON string. What stands in the parts was cleaned when it was put there."""
        return msgspec.json.encode(list(messages)).decode()

    def said(self, role: str, words: str) -> dict[str, Json]:
        """A message of text."""
        return {"role": role, "parts": [{"type": "text", "content": self.text(words)}]}

    def asked(self, call_id: str, tool: str, arguments: Json) -> dict[str, Json]:
        """The part in which a model asks for a tool."""
        return {"type": "tool_call", "id": call_id, "name": tool, "arguments": self.value(arguments)}

    def answered(self, call_id: str, result: Json) -> dict[str, Json]:
        """The message in which a tool answers."""
        return {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": call_id, "response": self.value(result)}],
        }

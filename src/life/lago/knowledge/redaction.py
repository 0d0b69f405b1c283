"""Secrets are taken out of what is kept as memory (lago.md §13, "Ingest").

Every occurrence of every known prefix goes, wherever a word may begin. A prefix needs eight more characters of a key behind it, so that
words like `sk-learn` stay.
"""

from __future__ import annotations

import re
from typing import Final

PREFIXES: Final = ("sk-", "ghp_", "gho_", "xoxb-", "xoxp-", "sk_live_", "sk_test_")
REDACTED: Final = "[REDACTED]"

_SECRET: Final = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, PREFIXES))})[A-Za-z0-9_-]{{8,}}")


def redact(text: str) -> str:
    """The text without the secrets in it."""
    return _SECRET.sub(REDACTED, text)

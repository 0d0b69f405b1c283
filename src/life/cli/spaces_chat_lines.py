"""The chat without a terminal: lines in, lines out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator


async def plain_lines() -> AsyncGenerator[str, None]:
    """What comes on standard input, line by line."""
    while True:
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            return
        yield line.rstrip("\n")

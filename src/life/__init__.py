"""Life: an operating system for AI agents.

    import life

    async with life.open(".life") as agent:
        async for event in agent.run("write hello.txt: Hello"):
            print(event.sequence, event.kind)

`import life` opens nothing and imports nothing else; the names below are imported when they are first used.

    open               an agent with identity, journal, wallet, tools and model
    Agent              what `open` gives
    X402Middleware     charge for routes of an ASGI application
    PayingTransport, AsyncPayingTransport   pay with httpx2
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers know the name; importing `typing` would cost a third of the import
if TYPE_CHECKING:
    from life.haima.x402.middleware import X402Middleware
    from life.haima.x402.transport import AsyncPayingTransport, PayingTransport
    from life.host.agent import Agent
    from life.host.agent import open_agent as open

__all__ = ["Agent", "AsyncPayingTransport", "PayingTransport", "X402Middleware", "__version__", "open"]

_WHERE = {
    "open": ("life.host.agent", "open_agent"),
    "Agent": ("life.host.agent", "Agent"),
    "X402Middleware": ("life.haima.x402.middleware", "X402Middleware"),
    "PayingTransport": ("life.haima.x402.transport", "PayingTransport"),
    "AsyncPayingTransport": ("life.haima.x402.transport", "AsyncPayingTransport"),
}


def __getattr__(name: str) -> object:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'life' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(where[0]), where[1])

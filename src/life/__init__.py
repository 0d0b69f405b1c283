"""Life: an operating system for AI agents.

    import life

    async with life.open(".life") as agent:
        async for event in agent.run("write hello.txt: Hello"):
            print(event.sequence, event.kind)

`import life` opens nothing and imports nothing else; the names below are imported when they are first used.

    open               an agent with identity, journal, wallet, tools and model
    tool               makes a function a tool, for `open(tools=[…])`
    Agent              what `open` gives
    open_payer         a wallet with caps and books
    AsyncPayingTransport, PayingTransport   pay with httpx2 out of such a wallet
    Charge             charge for routes of an ASGI application: one line of configuration
    ChargeWsgi         the same for WSGI (Flask, Django)
    open_till          what both share, for tools and streams of your own
    X402Middleware     charging from its parts
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers know the name; importing `typing` would cost a third of the import
if TYPE_CHECKING:
    from life.haima.x402.middleware import X402Middleware
    from life.haima.x402.transport import AsyncPayingTransport, PayingTransport
    from life.host.agent import Agent
    from life.host.agent import open_agent as open
    from life.host.haima_client import open_payer
    from life.host.haima_seller import Charge, ChargeWsgi, open_till
    from life.praxis.function_tool import tool

__all__ = [
    "Agent",
    "AsyncPayingTransport",
    "Charge",
    "ChargeWsgi",
    "PayingTransport",
    "X402Middleware",
    "__version__",
    "open",
    "open_payer",
    "open_till",
    "tool",
]

_WHERE = {
    "open": ("life.host.agent", "open_agent"),
    "Agent": ("life.host.agent", "Agent"),
    "Charge": ("life.host.haima_seller", "Charge"),
    "ChargeWsgi": ("life.host.haima_seller", "ChargeWsgi"),
    "open_till": ("life.host.haima_seller", "open_till"),
    "tool": ("life.praxis.function_tool", "tool"),
    "open_payer": ("life.host.haima_client", "open_payer"),
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

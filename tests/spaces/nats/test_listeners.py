"""The listeners' own tests, over a hub on NATS: they work unchanged.

The tests of the WebSocket, of SpacetimeDB's clients (the official npm client among them) and of both together are run once more, with the embedded engine
replaced by a hub on a deployment of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from life.aios.ports.clock import Clock, Entropy
from life.host.spaces import AnimaTokens, OpenSpaces, SpacesParts, around
from life.spaces.engine.embedded import Owner
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.engine.nats.opening import open_hub
from life.spaces.engine.nats.settings import NatsSettings
from life.spaces.limits import Limits
from life.spaces.sessions import TokenCheck
from life.testing.spaces import OPERATOR
from tests.spaces import test_listeners_together, test_websocket
from tests.spaces.spacetimedb import kit, test_listener, test_npm_client

MODULES: tuple[ModuleType, ...] = (test_websocket, test_listener, test_npm_client, test_listeners_together)
OTHERS = frozenset(
    {
        "test_a_client_that_never_reads_is_disconnected_and_others_are_not_held_up",
        "test_a_client_that_does_not_read_is_ended_and_holds_nobody_up",
    }
)
"""Tests that are about sockets, whatever the engine, and take long."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning"),
]
_numbers = itertools.count()


class OnNats:
    """Opens hubs where a test thinks it opens the embedded engine; a file stands for a deployment."""

    def __init__(self, access: NatsAccess) -> None:
        self._access = access
        self._names: dict[Path, str] = {}

    def open(
        self,
        path: Path | None,
        *,
        clock: Clock,
        entropy: Entropy,
        tokens: TokenCheck,
        owner: Owner,
        limits: Limits | None = None,
        synchronous: bool = True,
    ) -> AbstractAsyncContextManager[NatsEngine]:
        """As EmbeddedEngine.open; every acknowledgement is flushed, whatever `synchronous` says."""
        fresh = f"listeners-{next(_numbers)}"
        name = fresh if path is None else self._names.setdefault(path, fresh)
        settings = NatsSettings(name, 1, max_skew_us=None)
        return open_hub(
            self._access,
            path,
            clock=clock,
            entropy=entropy,
            tokens=tokens,
            owner=owner,
            settings=settings,
            limits=limits,
        )


@pytest.fixture(autouse=True)
def on_nats(access: NatsAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put hubs where the embedded engine was."""
    engines = OnNats(access)
    for module in (test_websocket, kit):
        monkeypatch.setattr(module, "EmbeddedEngine", engines)

    @asynccontextmanager
    async def open_spaces(
        parts: SpacesParts, *, clock: Clock, entropy: Entropy, **more: Any
    ) -> AsyncIterator[OpenSpaces]:
        opened = engines.open(
            None,
            clock=clock,
            entropy=entropy,
            tokens=AnimaTokens(parts.services, clock),
            owner=Owner(OPERATOR),
            limits=parts.limits,
        )
        async with opened as engine, around(engine, parts, clock=clock, entropy=entropy, **more) as spaces:
            yield spaces

    monkeypatch.setattr(test_listeners_together, "open_spaces", open_spaces)


def _tests(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """A module's tests with its marks, and its fixtures."""
    marks = getattr(module, "pytestmark", [])
    found: dict[str, Callable[..., Any]] = {}
    for name, value in vars(module).items():
        if name.startswith("test_") and name not in OTHERS:
            for mark in marks if isinstance(marks, list) else [marks]:
                mark(value)
            found[name] = value
        elif type(value).__name__ == "FixtureFunctionDefinition":
            found[name] = value
    return found


for _module in MODULES:
    for _name, _value in _tests(_module).items():
        assert _name not in globals(), f"two tests are called {_name}"
        globals()[_name] = _value

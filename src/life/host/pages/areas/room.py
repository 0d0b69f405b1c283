"""What every area is made of: the open system, and a table of its places."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from starlette.responses import RedirectResponse, Response

from life.haima.approval_desk import ApprovalDesk
from life.host.access import Access
from life.host.model_api import ModelApi
from life.host.model_test_call import KeyTester
from life.host.pages.parts import View
from life.host.pages.visit import Visit
from life.host.pages.watched_log import WatchedLog
from life.host.system import System

Handler = Callable[[Visit], Awaitable[View | Response]]


class Place(NamedTuple):
    """One address and who answers there."""

    path: str
    handler: Handler
    method: str = "GET"


@dataclass(frozen=True)
class Room:
    """What the handlers read and act on."""

    system: System
    access: Access
    approvals: ApprovalDesk
    models: ModelApi
    tester: KeyTester
    log: WatchedLog
    started_us: int

    @property
    def uptime_s(self) -> int:
        """Whole seconds since the daemon began to listen."""
        return (self.system.clock.monotonic_us() - self.started_us) // 1_000_000


def back_to(path: str) -> Response:
    """After a form: the page that shows what became of it."""
    return RedirectResponse(path, 303)

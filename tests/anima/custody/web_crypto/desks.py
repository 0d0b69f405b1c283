"""Desks with an enrolled soft browser, and a person who answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock, Entropy
from life.anima.custody.web_crypto.ceremony import RelyingParty
from life.anima.custody.web_crypto.desk import SigningDesk
from life.anima.custody.web_crypto.enrolling import EnrolmentDesk
from life.anima.custody.web_crypto.enrolment import Enrolment
from life.testing.clock import ManualClock, SeededEntropy
from tests.harness.soft_browser import ORIGIN, RP_ID, SoftBrowser, unb64

PARTY = RelyingParty(rp_id=RP_ID, origins=(ORIGIN,))


class MemoryStore:
    """A record that lives in the test."""

    def __init__(self) -> None:
        self.enrolment: Enrolment | None = None

    def load(self) -> Enrolment | None:
        """The record."""
        return self.enrolment

    def save(self, enrolment: Enrolment) -> None:
        """Replaced."""
        self.enrolment = enrolment


@dataclass
class Office:
    """Everything around one browser."""

    browser: SoftBrowser = field(default_factory=SoftBrowser)
    party: RelyingParty = PARTY
    clock: Clock = field(default_factory=ManualClock)
    entropy: Entropy = field(default_factory=SeededEntropy)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.enrolling = EnrolmentDesk(self.party, self.store, clock=self.clock, entropy=self.entropy)
        self.desk = SigningDesk(self.party, self.store, clock=self.clock, entropy=self.entropy)

    def enrol(self) -> Enrolment:
        """As the page does it."""
        code = self.enrolling.invite()
        asked = self.enrolling.begin(code, self.browser.device_key)
        credential = self.browser.create(unb64(asked.challenge))
        return self.enrolling.finish(code, credential, self.browser.sign(asked.signing_input))

    def approve(self, request_id: str, signing_input: str) -> None:
        """As the page does it."""
        asked = self.desk.begin(request_id)
        self.desk.answer(request_id, *self.browser.answer(asked.nonce, signing_input))

    async def waiting(self, count: int = 1) -> list[str]:
        """Ids of the requests, once there are `count`; looking marks them as shown."""
        while len(listed := self.desk.pending()) < count:
            await asyncio.sleep(0)
        return [request.id for request in listed]

    @asynccontextmanager
    async def person(self) -> AsyncIterator[None]:
        """A person who has the page open and agrees to everything."""

        async def agree() -> None:
            async with self.desk.page() as changed:
                while True:
                    await changed.wait()
                    changed.clear()
                    for request in self.desk.pending():
                        try:
                            self.approve(request.id, request.signing_input)
                        except LifeError:  # given up meanwhile
                            continue

        task = asyncio.create_task(agree())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def enrolled(**options: object) -> Office:
    """An office with an enrolled browser."""
    office = Office(**options)  # type: ignore[arg-type]
    office.enrol()
    return office

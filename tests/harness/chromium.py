"""A real browser: Debian's Chromium by Playwright, with a virtual authenticator of the DevTools protocol (part `chromium`).

The authenticator makes real passkeys and real signatures; only the finger is virtual. The browser runs headless, with a
profile of the test's own.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Page, async_playwright


class Passkeys:
    """The virtual authenticator of one page."""

    def __init__(self, session: CDPSession, authenticator_id: str) -> None:
        self._session = session
        self._id = authenticator_id

    async def recognise(self, is_verified: bool) -> None:
        """Whether the person is recognised from now on."""
        await self._session.send(
            "WebAuthn.setUserVerified", {"authenticatorId": self._id, "isUserVerified": is_verified}
        )

    async def credentials(self) -> list[dict[str, Any]]:
        """What it holds."""
        answer: dict[str, Any] = await self._session.send("WebAuthn.getCredentials", {"authenticatorId": self._id})
        held: list[dict[str, Any]] = answer["credentials"]
        return held


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[BrowserContext]:
    """A browser with this profile, which stays on disk."""
    executable = shutil.which("chromium")
    if executable is None:
        raise FileNotFoundError("Chromium is not installed")
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile, executable_path=executable, headless=True, args=["--no-sandbox", "--no-proxy-server"]
        )
        try:
            yield context
        finally:
            await context.close()


async def with_passkeys(context: BrowserContext, page: Page) -> Passkeys:
    """Give `page` an authenticator that recognises its person."""
    session = await context.new_cdp_session(page)
    await session.send("WebAuthn.enable", {"enableUI": False})
    options = {
        "protocol": "ctap2",
        "ctap2Version": "ctap2_1",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    answer = await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return Passkeys(session, answer["authenticatorId"])

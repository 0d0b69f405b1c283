"""The page in Debian's Chromium: logged in, watched for errors and for requests to anybody else."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.workspace.served import Served

PATIENCE_MS = 60_000
"""What takes longer on a busy machine is not a fault; Playwright itself waits five seconds for a sight and thirty for a page."""

expect.set_options(timeout=PATIENCE_MS)


def executable() -> str | None:
    """The browser's program."""
    return shutil.which("chromium")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable(), args=["--no-sandbox", "--no-proxy-server"]
        )
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """What went wrong in a page, and whom it asked."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.outside: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: None if _ours(request.url, address) else self.outside.append(request.url))

    def check(self) -> None:
        """No error, no request to another host."""
        assert self.errors == []
        assert self.outside == []


def _ours(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:", "file:", "about:"))


async def logged_in(browser: Browser, daemon: Served, **options: Any) -> BrowserContext:
    """A context that has opened its one-time link."""
    context = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    await page.goto(daemon.link())
    await page.close()
    return context


async def session_page(context: BrowserContext, daemon: Served, path: str) -> Watched:
    """A session's page, once its state is there."""
    page = await context.new_page()
    watched = Watched(page, daemon.address)
    await page.goto(daemon.address + path)
    await shown(page)
    return watched


async def shown(page: Page) -> None:
    """Until the state is there."""
    await asked(page, "() => window.life?.opened === true")


async def asked(page: Page, question: str, *, seconds: float = 60) -> None:
    """Until the page answers yes. (The page's policy forbids Playwright's own waiting, which evaluates text.)"""
    async with asyncio.timeout(seconds):
        while not await page.evaluate(question):
            await asyncio.sleep(0.02)


async def page_digest(page: Page) -> str:
    """The digest of the state on screen."""
    digest: str = await page.evaluate("() => window.life.digest()")
    return digest

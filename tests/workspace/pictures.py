"""Take the pictures of the documentation anew: `python -m tests.workspace.pictures` (Chromium and bubblewrap; about a minute).

A daemon of its own, demos on the scripted model, the page as it is committed. Written as PNG of moderate size into docs/images.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Page

from tests.workspace import record
from tests.workspace.browser import chromium, logged_in, shown
from tests.workspace.served import Served, served
from tests.workspace.walking import answer_until_over, demo_records, show_panes, start_demo

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES: Final = 220_000
SIZE: Final = {"width": 1280, "height": 720}
PANES: Final = {
    "sentinel": ("files", "preview", "report.md"),
    "materiales": ("timeline", "ledger", ""),
    "sentinel-pro": ("journal", "ledger", ""),
    "refactor": ("files", "preview", "stream/chunks.py"),
    "ingest": ("graph", "judge", ""),
    "research": ("spaces", "autonomic", ""),
}
"""What of each demo is shown: middle, right, file."""


async def main() -> None:
    """Take all of them."""
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder), record.TOOLS) as daemon, chromium() as browser:
            context = await logged_in(browser, daemon, viewport=SIZE)
            page = await context.new_page()
            await page.goto(f"{daemon.address}/workspace")
            await page.locator("article.demo").last.wait_for()
            await keep(page, "workspace-home")
            for demo in await demo_records(daemon):
                await start_demo(page, daemon, demo)
                await answer_until_over(page)
                await asyncio.sleep(1.5)
                middle, right, file = PANES[demo["slug"]]
                await show_panes(page, middle=middle, right=right, file=file)
                if demo["slug"] == "refactor":
                    await page.get_by_text("Difference", exact=True).click()
                await asyncio.sleep(0.5)
                await keep(page, f"demo-{demo['slug']}")
            await sessions(page, daemon)
            await context.close()
            context = await logged_in(browser, daemon, viewport=SIZE, color_scheme="dark")
            page = await context.new_page()
            await page.goto(f"{daemon.address}/workspace/s?mid=timeline&right=trace")
            await shown(page)
            await asyncio.sleep(0.5)
            await keep(page, "workspace-dark")
            await page.set_viewport_size({"width": 390, "height": 800})
            await page.goto(f"{daemon.address}/workspace/s")
            await shown(page)
            await asyncio.sleep(0.5)
            await keep(page, "workspace-phone")
            await page.set_viewport_size({"width": 1000, "height": 760})
            await page.goto(f"{daemon.address}/workspace/s?pane=right&right=autonomic")
            await shown(page)
            await asyncio.sleep(0.5)
            await keep(page, "workspace-tablet")


async def sessions(page: Page, daemon: Served) -> None:
    """A run that waits for an approval, the same at its end, and a moment of its past."""
    runtime = daemon.system.runtime
    await runtime.create_session("s", name="Audit of work orders")
    run = await runtime.start("s", "Audit the work orders and write report.md")
    await page.goto(f"{daemon.address}/workspace/s?mid=journal&right=context")
    await shown(page)
    await page.get_by_role("button", name="Approve once").wait_for()
    await asyncio.sleep(0.5)
    await keep(page, "workspace-approval")
    await page.get_by_role("button", name="Approve once").click()
    await runtime.wait("s", run)
    await show_panes(page, middle="journal", right="trace", event="41")
    await asyncio.sleep(0.5)
    await keep(page, "workspace")
    await show_panes(page, middle="files", right="autonomic")
    await page.evaluate("() => window.life.seek(23)")
    await asyncio.sleep(0.6)
    await keep(page, "workspace-past")


async def keep(page: Page, name: str) -> None:
    """Write a picture; one that is too large is an error, not a large file."""
    picture = await page.screenshot(animations="disabled")
    assert len(picture) <= MOST_BYTES, f"{name} has {len(picture)} bytes"
    (IMAGES / f"{name}.png").write_bytes(picture)
    sys.stdout.write(f"{name}.png {len(picture):,} bytes\n")


if __name__ == "__main__":
    asyncio.run(main())

"""Walking through demos in the page as a person does: run one, answer what waits, look into every pane."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import Page

from tests.workspace.browser import asked, shown
from tests.workspace.served import Served, client

MIDDLE = ("files", "journal", "timeline", "graph", "spaces")
RIGHT = ("preview", "trace", "judge", "context", "autonomic", "ledger", "identity")


async def demo_records(daemon: Served) -> list[dict[str, Any]]:
    """What the daemon says of its demos."""
    async with client(daemon) as program:
        answer = await program.get("/workspace/demos")
    demos: list[dict[str, Any]] = answer.json()["demos"]
    return demos


async def start_demo(page: Page, daemon: Served, demo: dict[str, Any]) -> str:
    """Press "Run now" on its card; the session's id."""
    await page.goto(f"{daemon.address}/workspace")
    card = page.locator(f"article.demo:has(#demo-{demo['slug']})")
    await card.get_by_role("button", name="Run now").click()
    await shown(page)
    session: str = await page.evaluate("() => window.life.id")
    return session


async def answer_until_over(page: Page, *, refuse: tuple[str, ...] = ("edit_file",), seconds: float = 60) -> int:
    """Answer whatever waits, with the page's own buttons, until the run is over; how many answers it took.

    Calls of the tools in `refuse` are refused with a reason, everything else is approved.
    """
    answers = 0
    async with asyncio.timeout(seconds):
        while await page.evaluate("() => !(window.life.state.totals.runs > 0 && window.life.state.run === '')"):
            waiting = page.locator(".chat .approval").first
            if await waiting.count() == 0:
                await asyncio.sleep(0.05)
                continue
            words = await waiting.inner_text()
            try:
                if any(words.startswith(f"{tool} ") for tool in refuse):
                    await waiting.get_by_role("button", name="Refuse").click(timeout=1000)
                    await waiting.get_by_label("Reason, for the agent").fill("Orders are evidence.", timeout=1000)
                    await waiting.get_by_role("button", name="Refuse").click(timeout=1000)
                else:
                    await waiting.get_by_role("button", name="Approve once").click(timeout=1000)
            except Exception:  # it was answered, or drawn anew, in between
                await asyncio.sleep(0.05)
                continue
            answers += 1
            await asyncio.sleep(0.1)
    return answers


async def show_panes(
    page: Page, *, middle: str = "files", right: str = "preview", file: str = "", pane: str = "", event: str = ""
) -> None:
    """Open panes by their tabs' addresses, without leaving the session."""
    query = {"mid": middle, "right": right, "file": file, "pane": pane, "event": event}
    search = urlencode({name: value for name, value in query.items() if value})
    await page.evaluate(
        "(search) => { history.pushState(null, '', location.pathname + '?' + search); dispatchEvent(new PopStateEvent('popstate')); }",
        search,
    )
    await asked(page, "() => !document.querySelector('.panel .blank')?.textContent.startsWith('Loading')")
    await asyncio.sleep(0.25)


async def empty_panes(page: Page, claimed: list[str]) -> list[str]:
    """Which of the panes that a demo claims have nothing to show."""
    file = await page.evaluate("() => window.life.state.files.findLast((one) => one.op !== 'delete')?.path ?? ''")
    found = []
    for name in claimed:
        if name == "chat":
            if await page.locator(".chat .turn").count() == 0:
                found.append(name)
            continue
        middle = name in MIDDLE
        await show_panes(page, **({"middle": name} if middle else {"right": name}), file=file)
        panel = page.locator("#mid-panel" if middle else "#right-panel")
        for _ in range(40):  # what is read from the daemon comes a moment later
            words = await panel.inner_text()
            if await panel.locator(".blank").count() == 0 and len(words.strip()) > 40:
                break
            await asyncio.sleep(0.1)
        else:
            found.append(f"{name}: {words.strip()[:80]!r}")
    return found


async def journal_of(daemon: Served, session: str) -> list[dict[str, Any]]:
    """All events of a session, as the daemon tells them."""
    async with client(daemon) as program:
        answer = await program.get(f"/sessions/{session}/events", params={"limit": 10_000})
    events: list[dict[str, Any]] = json.loads(answer.text)["events"]
    return events

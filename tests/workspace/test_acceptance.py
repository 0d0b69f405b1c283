"""The acceptance list of the screen, item by item, in Debian's Chromium against a real daemon's application.

Items 12 (recordings decode everywhere), 14 (the terminal) and 15 (the lines of the landing page) are tested where their parts are:
test_fold.py and test_recordings.py, tests/cli/chat, tests/docs. The installation into a fresh environment (1) is that of tests/packaging.
Source: workspace-ui.md §14.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, Page, Request, expect

from life.aios import events
from life.aios.ports.journal import EventQuery
from life.aios.record import EventWriter, Stream
from life.workspace.fold import advance, fold
from life.workspace.state import State, digest
from tests.workspace import record
from tests.workspace.browser import Watched, asked, chromium, logged_in, page_digest, session_page, shown
from tests.workspace.recorded import recording
from tests.workspace.served import Served, client, served
from tests.workspace.walking import answer_until_over, demo_records, empty_panes, show_panes, start_demo

pytestmark = [pytest.mark.part("chromium"), pytest.mark.slow]

AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
DEMOS = ("sentinel", "materiales", "sentinel-pro", "refactor", "ingest", "research")
UNTOUCHABLE = '[[turns]]\nerror = { kind = "unauthorized" }\n'
"""A model that fails as soon as it is asked."""


SEEK_ALL = """async (head) => {
  const digests = [];
  for (let at = 1; at <= head; at++) { await life.seek(at); digests.push(await life.digest()); }
  return digests;
}"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, record.TOOLS) as daemon:
        yield daemon


async def records_of(daemon: Served, session: str, branch: str = "main") -> list[Any]:
    return await daemon.system.journal.read(EventQuery(session, branch), limit=10_000)


async def worked(daemon: Served, session: str = "s") -> None:
    """A session whose run is over."""
    runtime = daemon.system.runtime
    await runtime.create_session(session, name="Audit of work orders")
    run = await runtime.start(session, "Audit the work orders")
    async with asyncio.timeout(20):
        while not (
            waiting := [call for call in (await runtime.state(session)).calls if call.phase == "awaiting_approval"]
        ):
            await asyncio.sleep(0.01)
    await runtime.resolve_approval(session, waiting[0].approval_id or "", approved=True, actor="page")
    await runtime.wait(session, run)


async def demo_named(daemon: Served, slug: str) -> dict[str, Any]:
    return next(demo for demo in await demo_records(daemon) if demo["slug"] == slug)


@pytest.mark.part("bubblewrap")
async def test_01_every_demo_runs_to_its_end(daemon: Served, browser: Browser) -> None:
    """Offline, without a key, by the buttons of the page: each claimed pane has something to show, no request leaves for another host, the
    console stays silent, and the screen is what the journal says."""
    context = await logged_in(browser, daemon, viewport={"width": 1440, "height": 900})
    demos = await demo_records(daemon)
    assert tuple(demo["slug"] for demo in demos) == DEMOS
    for demo in demos:
        page = await context.new_page()
        watched = Watched(page, daemon.address)
        session = await start_demo(page, daemon, demo)
        await answer_until_over(page)
        await asked(page, "() => life.state.entries.some((one) => one.kind === 'end' && one.label === 'completed')")
        if demo["simulated"]:
            await expect(page.locator(".demo-note")).to_contain_text("simulated")
        assert await empty_panes(page, demo["panels"]) == [], demo["slug"]
        head = (await daemon.system.journal.head(Stream(session))).sequence
        await asked(page, f"() => window.life.head === {head}")
        assert await page_digest(page) == digest(fold(await records_of(daemon, session))), demo["slug"]
        watched.check()
        await page.close()


async def test_02_a_reload_in_the_middle_changes_nothing(daemon: Served, browser: Browser) -> None:
    """A page that is reloaded again and again while a run goes on ends with the digest of one that never was, and of the journal.
    (At every event of every recording: test_hostile.py.)"""
    runtime = daemon.system.runtime
    await runtime.create_session("s", name="Reloaded")
    context = await logged_in(browser, daemon)
    steady = await session_page(context, daemon, "/workspace/s")
    reloaded = await session_page(context, daemon, "/workspace/s")
    run = await runtime.start("s", "Audit the work orders")
    for _ in range(3):
        await reloaded.page.reload()
        await shown(reloaded.page)
    await record.approve(runtime)
    for _ in range(3):
        await reloaded.page.reload()
        await shown(reloaded.page)
    await runtime.wait("s", run)
    head = (await daemon.system.journal.head(Stream("s"))).sequence
    expected = digest(fold(await records_of(daemon, "s")))
    for watched in (steady, reloaded):
        await asked(watched.page, f"() => window.life.head === {head}")
        assert await page_digest(watched.page) == expected
        watched.check()


def _writes_into(found: list[str]) -> Callable[[Request], None]:
    """Note requests that are more than reading."""
    return lambda request: found.append(request.url) if request.method != "GET" else None


async def test_03_recordings_replay_without_a_model(browser: Browser, tmp_path: Path) -> None:
    """The daemon's model fails when asked. The recording opens all the same; at every event the page's fold is Python's; nothing is written,
    and no request but for the journal is made."""
    async with served(tmp_path, UNTOUCHABLE) as daemon:
        context = await logged_in(browser, daemon)
        for demo in await demo_records(daemon):
            page = await context.new_page()
            watched = Watched(page, daemon.address)
            await page.goto(f"{daemon.address}/workspace")
            card = page.locator(f"article.demo:has(#demo-{demo['slug']})")
            await card.get_by_role("button", name="Watch it").click()
            await shown(page)
            session = await page.evaluate("() => window.life.id")
            assert "at=" in page.url and session.startswith("recording-")
            records = await records_of(daemon, session)
            writes: list[str] = []
            page.on("request", _writes_into(writes))
            seen = await page.evaluate(SEEK_ALL, len(records))
            state, expected = State(), []
            for each in records:
                advance(state, each)
                expected.append(digest(state))
            assert seen == expected, demo["slug"]
            assert (
                (await daemon.system.journal.head(Stream(session))).sequence == len(records) == demo["recording_events"]
            )
            assert writes == []
            watched.check()
            await page.close()


async def test_04_an_approval_survives_kill_9(browser: Browser, tmp_path: Path) -> None:
    """arcand is killed while a call waits, and started again: the approval is still there, and answering it ends the run."""
    (tmp_path / "script.toml").write_text(record.TOOLS)
    with tempfile.TemporaryDirectory() as sockets:
        environment = {
            **os.environ,
            "LIFE_KEY_FILE": str(tmp_path / "key"),
            "LIFE_MODEL_PROVIDER": f"scripted:{tmp_path / 'script.toml'}",
            "TMPDIR": sockets,
        }
        port = await _free_port()
        daemon = await _arcand(tmp_path, port, environment)
        try:
            token = (tmp_path / "life" / "token").read_text().strip()
            address = f"http://127.0.0.1:{port}"
            headers = {"authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(base_url=address, headers=headers) as program:
                await program.post("/sessions", json={"session_id": "s", "name": "Killed"})
                await program.post("/sessions/s/runs", json={"objective": "Audit the work orders", "wait": False})
                link = (await program.post("/login-links")).json()["path"]
            page = await (await browser.new_context()).new_page()
            await page.goto(address + link)
            await page.goto(f"{address}/workspace/s")
            await shown(page)
            await expect(page.get_by_role("button", name="Approve once")).to_be_visible(timeout=20_000)
            daemon.send_signal(signal.SIGKILL)
            await daemon.wait()
            await expect(page.get_by_text("Connection lost. Last event")).to_be_visible(timeout=20_000)
            daemon = await _arcand(tmp_path, port, environment)
            await asked(page, "() => window.life.connection === 'open'", seconds=60)
            await page.get_by_role("button", name="Approve once").click()
            await expect(page.get_by_text("Run ended: completed")).to_be_visible(timeout=20_000)
            async with httpx2.AsyncClient(base_url=address, headers=headers) as program:
                told = (await program.get("/sessions/s/events", params={"limit": 1000})).json()["events"]
                stated = (await program.get("/sessions/s/workspace/state")).json()
            ran = [
                one for one in told if one["kind"]["type"] == "ToolCallStarted" and one["kind"]["tool_name"] == "bash"
            ]
            assert len(ran) == 1
            await asked(page, f"() => window.life.head === {told[-1]['sequence']}")
            assert await page_digest(page) == stated["digest"]
        finally:
            if daemon.returncode is None:
                daemon.terminate()
                await daemon.wait()


async def _free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


async def _arcand(folder: Path, port: int, environment: dict[str, str]) -> asyncio.subprocess.Process:
    code = "from life.cli import arcand; arcand()"
    command = [sys.executable, "-c", code, "--data-dir", str(folder / "life"), "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(40), httpx2.AsyncClient() as program:
        while True:
            assert process.returncode is None, "arcand ended"
            try:
                if (await program.get(f"http://127.0.0.1:{port}/health")).status_code == 200:
                    return process
            except httpx2.TransportError:
                await asyncio.sleep(0.1)


async def test_05_two_browsers_answer_one_approval(daemon: Served, browser: Browser) -> None:
    """Both click; one wins, and the other is told that somebody decided."""
    runtime = daemon.system.runtime
    await runtime.create_session("s", name="Two")
    run = await runtime.start("s", "Audit the work orders")
    pages = [(await session_page(await logged_in(browser, daemon), daemon, "/workspace/s")).page for _ in range(2)]
    for page in pages:
        await expect(page.get_by_role("button", name="Approve once")).to_be_visible()
        # The second answer has to be on its way before the first one's event comes back.
        await page.evaluate("() => { life.take = () => {}; }")
    statuses: list[int] = []
    for page in pages:
        page.on("response", lambda answer: statuses.append(answer.status) if answer.request.method == "POST" else None)
        await page.get_by_role("button", name="Approve once").click()
    await runtime.wait("s", run)
    await expect(pages[1].get_by_text("Somebody decided already.")).to_be_visible()
    assert sorted(statuses)[0] == 202 and sorted(statuses)[1] in (404, 409)
    assert [each.decision for each in fold(await records_of(daemon, "s")).decisions] == ["approved"]


@pytest.mark.part("bubblewrap")
async def test_06_a_payment_is_settled_once(daemon: Served, browser: Browser) -> None:
    """The paid demo, reloaded while it waits, after the approval and at the end, with the approval sent again: one settlement."""
    demo = await demo_named(daemon, "sentinel-pro")
    page = await (await logged_in(browser, daemon)).new_page()
    watched = Watched(page, daemon.address)
    session = await start_demo(page, daemon, demo)
    question = page.locator(".chat section.approval")
    await expect(question).to_be_visible(timeout=30_000)
    await expect(question).to_contain_text("$0.50")
    for _ in range(2):
        await page.reload()
        await shown(page)
        await expect(question).to_be_visible(timeout=30_000)
    tickets = await page.evaluate(
        "async () => (await (await fetch('/v1/approvals')).json()).approvals.map((one) => one.ticket_id)"
    )
    assert len(tickets) == 1
    await question.get_by_role("button", name="Approve once").dblclick()
    await page.reload()
    await shown(page)
    async with client(daemon) as program:
        for _ in range(2):
            again = await program.post(f"/v1/approvals/{tickets[0]}", json={"decision": "approve"})
            assert again.status_code in (200, 404, 409), again.text
    await answer_until_over(page)
    await page.reload()
    await shown(page)
    settled = []
    for stream in await daemon.system.journal.streams():
        for each in await daemon.system.journal.read(EventQuery(*stream), limit=10_000):
            if b'"finance.payment_settled"' in each.payload:
                settled.append(json.loads(each.payload)["data"])
    assert len(settled) == 1 and len({one.get("tx_hash") for one in settled}) == 1
    await show_panes(page, right="ledger")
    await expect(page.locator("#right-panel")).to_contain_text("settled")
    assert await page.evaluate("() => window.life.id") == session
    watched.check()


async def test_07_a_failed_tool_is_told_as_failed_everywhere(daemon: Served, browser: Browser) -> None:
    """In the conversation, the journal, the timeline and the trace."""
    await worked(daemon)
    watched = await session_page(
        await logged_in(browser, daemon, viewport={"width": 1440, "height": 900}), daemon, "/workspace/s"
    )
    page = watched.page
    card = page.locator(".tool.bad")
    await expect(card).to_have_count(1)
    await expect(card).to_contain_text("failed")
    await show_panes(page, middle="timeline", right="trace")
    await expect(page.locator("#mid-panel .span.bad")).to_have_count(1)
    await expect(page.locator("#right-panel .span.bad")).to_have_count(1)
    await show_panes(page, middle="journal")
    await page.get_by_label("Search the journal").fill("WO-113")
    await expect(page.locator(".event-what", has_text="error").first).to_be_visible()
    watched.check()


async def test_08_totals_are_the_journals_sums(daemon: Served, browser: Browser) -> None:
    """Cost and tokens on screen are the sums of what the journal's messages carried, to the micro-unit."""
    await worked(daemon)
    usages = [
        told for each in await records_of(daemon, "s") if (told := getattr(each.kind, "token_usage", None)) is not None
    ]
    cost, tokens = (
        sum(one.cost_micro or 0 for one in usages),
        sum(one.prompt_tokens + one.completion_tokens for one in usages),
    )
    assert cost == 8000
    watched = await session_page(await logged_in(browser, daemon), daemon, "/workspace/s?right=ledger")
    tiles = watched.page.locator("#right-panel .tiles")
    await expect(tiles).to_contain_text(f"${cost / 1_000_000:.4f}")
    await expect(tiles).to_contain_text(f"{tokens:,}")
    await expect(watched.page.locator(".status [title]")).to_have_attribute("title", f"{cost:,} µUSD")
    watched.check()


async def test_09_a_branch_at_the_third_call(daemon: Served, browser: Browser) -> None:
    """Its parent stays as it was, it has the files that were there, and the comparison names where the two part."""
    await worked(daemon)
    records = await records_of(daemon, "s")
    done = [each for each in records if each.kind_name == "ToolCallCompleted"]
    at = done[2].sequence
    before = digest(fold(records))
    watched = await session_page(await logged_in(browser, daemon), daemon, f"/workspace/s?mid=journal&event={at}")
    page = watched.page
    await page.locator(".detail").get_by_role("button", name="Branch from here").click()
    await page.get_by_label("Name").fill("third")
    await page.get_by_role("button", name="Create the branch").click()
    await asked(page, "() => window.life?.opened && window.life.branch === 'third'")
    assert digest(fold(await records_of(daemon, "s"))) == before
    files = await page.evaluate("() => window.life.state.files.map((one) => one.path)")
    assert files == [row.path for row in fold(records[:at]).files] and files
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("combobox", name="Commands")).to_be_focused()
    await page.keyboard.type("compare")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Compare")
    await dialog.get_by_role("button", name="Compare").click()
    await expect(dialog).to_contain_text(f"In common up to #{at} of main")
    watched.check()


@pytest.mark.part("bubblewrap")
async def test_10_by_keyboard_alone(daemon: Served, browser: Browser) -> None:
    """Start a demo, answer its approval, expand a tool, scrub, branch: no pointer is used."""
    page = await (await logged_in(browser, daemon, viewport={"width": 1440, "height": 900})).new_page()
    watched = Watched(page, daemon.address)
    await page.goto(f"{daemon.address}/workspace")
    await expect(page.locator("article.demo").first).to_be_visible()

    async def tab_to(question: str) -> None:
        for _ in range(120):
            await page.keyboard.press("Tab")
            if await page.evaluate(f"() => {{ const at = document.activeElement; return {question}; }}"):
                return
        pytest.fail(f"no tab stop: {question}")

    await tab_to("at.textContent === 'Run Sentinel'")
    await page.keyboard.press("Enter")
    await shown(page)
    await expect(page.locator(".chat .approval")).to_be_visible(timeout=30_000)
    await tab_to("at.textContent === 'Refuse'")
    await page.keyboard.press("Enter")
    await tab_to("at.tagName === 'INPUT' && at.closest('.approval')")
    await page.keyboard.type("Orders are evidence.")
    await tab_to("at.textContent === 'Refuse'")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Run ended: completed")).to_be_visible(timeout=30_000)
    await tab_to("at.classList.contains('tool-head')")
    await page.keyboard.press("Enter")
    assert await page.evaluate("() => document.activeElement.getAttribute('aria-expanded')") == "true"
    await tab_to("at.type === 'range'")
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("Shift+ArrowLeft")
    await expect(page.locator(".mode")).to_contain_text("Paused")
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("combobox", name="Commands")).to_be_focused()
    await page.keyboard.type("branch from")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await tab_to("at.textContent === 'Create the branch'")
    await page.keyboard.press("Enter")
    await asked(page, "() => window.life?.opened && window.life.branch !== 'main'")
    watched.check()


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is missing; run: make ui")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("look", ["light", "dark", "contrast", "forced"])
async def test_10_axe_finds_nothing_serious(daemon: Served, browser: Browser, look: str) -> None:
    """No serious or critical finding in this look at 320 and 1,440 px: the first page with keys and a copy's form open, every pane, an approval,
    every dialog."""
    await worked(daemon)
    await daemon.system.runtime.create_session("w", name="Waits")
    await daemon.system.runtime.start("w", "Audit the work orders")
    await _with_neighbours(daemon)
    serious: list[str] = []
    for width in (320, 1440):
        context = await logged_in(
            browser,
            daemon,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if look == "dark" else "light",
            forced_colors="active" if look == "forced" else "none",
            reduced_motion="reduce",  # a colour on its way to another is nobody's contrast
            bypass_csp=True,
        )
        if look == "contrast":
            await context.add_init_script("localStorage.setItem('life.prefs.1', JSON.stringify({theme: 'contrast'}))")
        page = await context.new_page()

        await page.goto(f"{daemon.address}/workspace")
        await expect(page.locator("article.demo").first).to_be_visible()
        await page.get_by_role("button", name="Models and keys").click()
        await page.get_by_role("button", name="Enter a key").first.click()
        await page.get_by_role("button", name="Make it mine").first.click()
        serious += await _violations(page, look, width, "home")
        for session, panes in PANES:
            await page.goto(f"{daemon.address}/workspace/{session}")
            await shown(page)
            for middle, right in panes if width > 900 else panes[:1]:
                for pane in ("mid", "right") if width < 900 else ("mid",):
                    await show_panes(page, middle=middle, right=right, file="report.md", pane=pane, event="8")
                    serious += await _violations(page, look, width, f"{session} {middle} {right}")
        await page.goto(f"{daemon.address}/workspace/w")
        await shown(page)
        await expect(page.get_by_role("button", name="Approve once")).to_be_visible()
        serious += await _violations(page, look, width, "approval")
        await page.goto(f"{daemon.address}/workspace/s?at=20")
        await shown(page)
        overlays = ("preferences", "palette", "inbox", "keys", "branch from", "branches", "compare")
        for overlay in overlays if width > 900 else ("inbox", "branch from"):
            await page.keyboard.press("Control+." if overlay == "preferences" else "Control+k")
            await expect(page.get_by_role("dialog").first).to_be_visible(timeout=60_000)  # the first one is fetched now
            if overlay not in ("preferences", "palette"):
                await page.keyboard.type(overlay)
                await page.keyboard.press("Enter")
                await expect(page.get_by_role("dialog", name="Commands")).to_be_hidden()
                await expect(page.get_by_role("dialog").first).to_be_visible()
            serious += await _violations(page, look, width, overlay)
            await page.get_by_role("dialog").first.get_by_role("button", name="Close").click()
            await expect(page.get_by_role("dialog")).to_have_count(0)
        await context.close()
    assert serious == []
    await daemon.system.runtime.cancel("w")


async def _violations(page: Page, look: str, width: int, where: str) -> list[str]:
    """What axe finds that is serious or critical."""
    await page.add_script_tag(path=AXE)
    found = await page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{look} {width} {where}: {each['id']} {[node['html'][:140] for node in each['nodes'][:2]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


PANES = (
    (
        "s",
        (
            ("files", "preview"),
            ("journal", "trace"),
            ("timeline", "context"),
            ("files", "autonomic"),
            ("journal", "ledger"),
        ),
    ),
    ("x", (("graph", "judge"), ("spaces", "identity"))),
)
RIGHTS = ("preview", "trace", "judge", "context", "autonomic", "ledger", "identity")


async def _with_neighbours(daemon: Served) -> None:
    """A session that has one event of everything that judges, Spaces and demos write."""
    from tests.workspace.neighbours import NEIGHBOURS

    write = EventWriter(daemon.system.clock, daemon.system.entropy, agent_id="a", stream=Stream("x"))
    made = [write.event(events.SessionCreated(name="Neighbours", config={}))]
    made += [write.event(events.Custom(event_type=name, data=data)) for name, data in NEIGHBOURS.items()]
    calls = (each.kind for each in recording("knowledge") if each.kind_name.startswith("ToolCall"))
    made += [write.event(call) for call in calls]
    await daemon.system.journal.append(made)


async def test_11_a_long_session_scrolls_without_blank_rows(daemon: Served, browser: Browser) -> None:
    """Of 20,000 events a few thousand are in the page at once, whatever one scrolls and scrubs; every row that is seen is filled.
    (How fast: benches/workspace_page.py, with 100,000.)"""
    write = EventWriter(daemon.system.clock, daemon.system.entropy, agent_id="a", stream=Stream("long"))
    made = [write.event(events.SessionCreated(name="Long", config={}))]
    made += [write.event(events.UserMessage(content=f"message {number}")) for number in range(2, 20_001)]
    for start in range(0, len(made), 4000):
        await daemon.system.journal.append(made[start : start + 4000])
    watched = await session_page(await logged_in(browser, daemon), daemon, "/workspace/long?mid=journal")
    page = watched.page
    await expect(page.locator(".virtual").first).to_be_visible()
    for place in (0.0, 0.5, 0.13, 0.87, 0.31, 1.0):
        await page.evaluate(
            "(place) => { const list = document.querySelector('.virtual'); list.scrollTop = place * list.scrollHeight; }",
            place,
        )
        await asked(
            page,
            "() => { const kinds = [...document.querySelectorAll('.event-kind')]; return kinds.length > 8 && kinds.every((one) => one.textContent !== '…'); }",
        )
    for number in range(60):
        await page.evaluate("(at) => window.life.seek(at)", (number * 7919) % 20_000 + 1)
    assert await page.evaluate("() => window.life.blocks.size") <= 25
    watched.check()


async def test_13_no_digit_that_no_response_carried(daemon: Served, browser: Browser) -> None:
    """On an empty store, and in a session that was just made: every number on screen came with an answer of the daemon."""
    context = await logged_in(browser, daemon, viewport={"width": 1440, "height": 900}, timezone_id="UTC")
    page = await context.new_page()
    watched = Watched(page, daemon.address)
    bodies: list[str] = []

    async def keep(answer: Any) -> None:
        if "json" in (answer.headers.get("content-type") or ""):
            try:
                bodies.append(await answer.text())
            except Exception:  # the page went on before it was read
                return

    page.on("response", keep)
    await page.goto(f"{daemon.address}/workspace")
    await expect(page.locator("article.demo").first).to_be_visible()
    await page.get_by_role("button", name="Models and keys").click()
    await asyncio.sleep(0.5)
    strange = _uncarried(await _numbers(page), bodies)
    assert strange == [], strange
    await daemon.system.runtime.create_session("empty", name="Nothing yet")
    for middle, right in zip(
        ("files", "journal", "timeline", "graph", "spaces", "files", "files"), RIGHTS, strict=True
    ):
        await page.goto(f"{daemon.address}/workspace/empty?mid={middle}&right={right}")
        await shown(page)
        await asyncio.sleep(0.5)
        strange = _uncarried(await _numbers(page), bodies)
        assert strange == [], (middle, right, strange)
    watched.check()


async def _numbers(page: Any) -> list[str]:
    """The numbers in the texts that are seen, but for the speeds one may choose."""
    words: str = await page.evaluate(
        """() => { const walker = document.createTreeWalker(document.getElementById('life'), NodeFilter.SHOW_TEXT);
        let told = '';
        while (walker.nextNode()) { const at = walker.currentNode.parentElement; if (!at.closest('.scrubber select')) told += ' ' + walker.currentNode.data; }
        return told; }"""
    )
    return re.findall(r"\d[\d,.:]*\d|\d", words)


def _uncarried(numbers: list[str], bodies: list[str]) -> list[str]:
    """Numbers that stand in no answer, neither as they are, nor as micro-units in dollars, nor as a part of a time."""
    carried = " ".join(bodies)
    whole = {int(found) for found in re.findall(r"\d+", carried) if len(found) < 16}
    dollars = {f"{number / 1_000_000:.{digits}f}" for number in whole for digits in (2, 4, 6)}
    dollars |= {f"{number / 1_000_000:.2g}" for number in whole} | {
        f"{number / 1_000_000:.12f}".rstrip("0").rstrip(".") for number in whole
    }
    shares = {str(round(number / 10_000)) for number in whole}  # millionths in per cent
    counts = {
        str(body.count(one)) for body in bodies for one in ('"event_id"', '"id"', '"slug"', '"session_id"', '"path"')
    }
    found = []
    for number in numbers:
        plain = number.replace(",", "")
        is_time = re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", number) is not None
        if plain in carried or plain in dollars or plain in shares or plain in counts or is_time:
            continue
        found.append(number)
    return found

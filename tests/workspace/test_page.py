"""The workspace page in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.async_api import Browser, expect

from life.aios.ports.journal import EventQuery
from life.aios.record import Stream
from life.cli.session import session
from life.workspace.fold import advance, fold
from life.workspace.state import State, digest
from tests.workspace import record
from tests.workspace.browser import asked, chromium, logged_in, page_digest, session_page
from tests.workspace.served import Served, client, served

pytestmark = [pytest.mark.part("chromium"), pytest.mark.slow]
AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, record.TOOLS) as daemon:
        yield daemon


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def worked(daemon: Served) -> None:
    """A session whose run is over."""
    runtime = daemon.system.runtime
    await runtime.create_session("s", name="Audit of work orders")
    run = await runtime.start("s", "Audit the work orders")
    await record.approve(runtime)
    await runtime.wait("s", run)


async def python_digest(daemon: Served, branch: str = "main") -> str:
    return digest(fold(await daemon.system.journal.read(EventQuery("s", branch), limit=10_000)))


async def test_every_position_looks_as_python_says(daemon: Served, browser: Browser) -> None:
    """At each event the page's state is the Python fold's, byte for byte, and looking asks no model and writes nothing."""
    await worked(daemon)
    records = await daemon.system.journal.read(EventQuery("s", "main"), limit=10_000)
    context = await logged_in(browser, daemon)
    watched = await session_page(context, daemon, "/workspace/s")
    state = State()
    for each in records:
        advance(state, each)
        await watched.page.evaluate("(sequence) => window.life.seek(sequence)", each.sequence)
        assert await page_digest(watched.page) == digest(state), each.sequence
    assert (await daemon.system.journal.head(Stream("s"))).sequence == len(records)
    watched.check()


async def test_a_run_is_seen_as_it_happens(daemon: Served, browser: Browser) -> None:
    """Sent from the composer, approved by a click, the run ends on screen as it ended in the journal; a failed tool is told as failed."""
    await daemon.system.runtime.create_session("s", name="Typed")
    context = await logged_in(browser, daemon)
    watched = await session_page(context, daemon, "/workspace/s")
    page = watched.page
    await page.get_by_label("Message").fill("Audit the work orders")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Approve once").click()
    await expect(page.get_by_text("Run ended: completed")).to_be_visible()
    assert await page.locator(".tool.bad").count() == 1
    assert await page.evaluate("() => document.querySelectorAll('.chat script').length") == 0, "markup stays text"
    assert await page_digest(page) == await python_digest(daemon)
    watched.check()


async def test_an_address_is_a_moment(daemon: Served, browser: Browser) -> None:
    """`?at=` opens that moment with its panes; back and forward move through what was looked at."""
    await worked(daemon)
    context = await logged_in(browser, daemon)
    watched = await session_page(context, daemon, "/workspace/s?at=12&mid=journal&right=trace")
    page = watched.page
    await expect(page.locator(".mode")).to_contain_text("Paused at #12")
    await expect(page.get_by_role("tab", name="Journal")).to_have_attribute("aria-selected", "true")
    await page.get_by_role("tab", name="Timeline").click()
    await page.get_by_role("slider").press("ArrowRight")
    await expect(page.locator(".mode")).to_contain_text("#13")
    await asked(page, "() => location.search.includes('at=13') && location.search.includes('mid=timeline')")
    await page.go_back()
    await expect(page.get_by_role("tab", name="Journal")).to_have_attribute("aria-selected", "true")
    watched.check()


@pytest.mark.parametrize("fault", ["cut", "within", "twice", "late"])
async def test_a_bad_line_changes_nothing(daemon: Served, browser: Browser, fault: str) -> None:
    """Cut after every event, broken off within events, everything twice, everything late: the state is the same in the end."""
    await daemon.system.runtime.create_session("s", name="Bad line")
    daemon.line.fault = fault
    context = await logged_in(browser, daemon)
    watched = await session_page(context, daemon, "/workspace/s")
    run = await daemon.system.runtime.start("s", "Audit the work orders")
    await record.approve(daemon.system.runtime)
    await daemon.system.runtime.wait("s", run)
    head = (await daemon.system.journal.head(Stream("s"))).sequence
    await asked(watched.page, f"() => window.life.head === {head}", seconds=90)
    assert await page_digest(watched.page) == await python_digest(daemon)
    assert daemon.line.connections > (head // 2 if fault in ("cut", "within") else 0)
    assert watched.outside == []


async def test_a_restart_is_survived(browser: Browser, tmp_path: Path) -> None:
    """The daemon stops while a call waits and comes back: the page finds it again, the call is answered there, and the state is the journal's."""
    async with served(tmp_path, record.TOOLS) as daemon:
        port = int(daemon.address.rpartition(":")[2])
        await daemon.system.runtime.create_session("s", name="Restarted")
        context = await logged_in(browser, daemon)
        watched = await session_page(context, daemon, "/workspace/s")
        await daemon.system.runtime.start("s", "Audit the work orders")
        await expect(watched.page.get_by_role("button", name="Approve once")).to_be_visible()
    async with served(tmp_path, record.TOOLS, port=port) as daemon:
        await daemon.system.runtime.recover_all()
        await asked(watched.page, "() => window.life.connection === 'open'", seconds=60)
        await watched.page.get_by_role("button", name="Approve once").click()
        await expect(watched.page.get_by_text("Run ended: completed")).to_be_visible()
        assert await page_digest(watched.page) == await python_digest(daemon)
        assert watched.outside == []


async def test_two_browsers_one_approval(daemon: Served, browser: Browser) -> None:
    """The first answer counts; the other browser is told that somebody decided."""
    await daemon.system.runtime.create_session("s", name="Two")
    run = await daemon.system.runtime.start("s", "Audit the work orders")
    one = await session_page(await logged_in(browser, daemon), daemon, "/workspace/s")
    two = await session_page(await logged_in(browser, daemon), daemon, "/workspace/s")
    await expect(two.page.get_by_role("button", name="Approve once")).to_be_visible()
    daemon.line.fault = "late"
    await two.page.evaluate("() => { window.life.retry = () => {}; }")
    await one.page.get_by_role("button", name="Approve once").click()
    await daemon.system.runtime.wait("s", run)
    await expect(one.page.get_by_text("Run ended: completed")).to_be_visible()
    await expect(two.page.get_by_text("Run ended: completed")).to_be_visible()
    async with client(daemon) as program:
        decided = (await program.get("/sessions/s/workspace/state")).json()["state"]["decisions"]
        again = await program.post(
            f"/sessions/s/approvals/{decided[0]['id']}", json={"approved": False}, headers={"origin": daemon.address}
        )
    assert len(decided) == 1 and again.status_code in (404, 409)


async def test_fork_is_not_run(daemon: Served, browser: Browser) -> None:
    """ "View" only makes the branch: no model is asked. The branch has its parent's conversation, and the parent is as it was."""
    await worked(daemon)
    before = await python_digest(daemon)
    context = await logged_in(browser, daemon)
    watched = await session_page(context, daemon, "/workspace/s?at=20")
    page = watched.page
    await page.locator(".scrubber").get_by_role("button", name="Branch from here").click()
    await page.get_by_label("Name").fill("idea")
    await page.get_by_role("button", name="Create the branch").click()
    await asked(page, "() => window.life?.opened && window.life.branch === 'idea'")
    assert "branch=idea" in page.url
    assert await page.locator(".chat .tool").count() >= 2
    records = await daemon.system.journal.read(EventQuery("s", "idea"), limit=100)
    assert [each.kind_name for each in records if each.kind_name in ("RunStarted", "Message")] == []
    assert await python_digest(daemon) == before
    watched.check()


async def test_eight_tabs(daemon: Served, browser: Browser) -> None:
    """Eight visible tabs of one browser, which opens six connections to a host: each shows the end of the run, each gets answers."""
    await daemon.system.runtime.create_session("s", name="Eight")
    context = await logged_in(browser, daemon)
    tabs = [await session_page(context, daemon, "/workspace/s") for _ in range(8)]
    run = await daemon.system.runtime.start("s", "Audit the work orders")
    await record.approve(daemon.system.runtime)
    await daemon.system.runtime.wait("s", run)
    expected = await python_digest(daemon)
    head = (await daemon.system.journal.head(Stream("s"))).sequence
    for tab in tabs:
        await asked(tab.page, f"() => window.life.head === {head}")
        assert await page_digest(tab.page) == expected
        assert await tab.page.evaluate("async () => (await fetch('/health')).status") == 200
        tab.check()


async def test_the_export_opens_offline(daemon: Served, browser: Browser, tmp_path: Path) -> None:
    """The exported file, the daemon's and that of `arcan session export --html`, opens from disk with the same state and every pane, asks nobody
    for anything, and can be scrubbed."""
    await worked(daemon)
    async with client(daemon) as program:
        answer = await program.get("/sessions/s/workspace/export")
    assert answer.status_code == 200 and answer.headers["content-disposition"].startswith("attachment")
    file = tmp_path / "session.html"
    told = ["export", "s", "--html", "-o", str(file), "--data-dir", str(tmp_path / "life")]
    done = await asyncio.to_thread(CliRunner().invoke, session, told)
    assert done.exit_code == 0, done.output
    assert file.read_bytes() == answer.content
    context = await browser.new_context(offline=True)
    page = await context.new_page()
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    await page.goto(file.as_uri())
    await asked(page, "() => window.life?.opened === true")
    assert await page_digest(page) == await python_digest(daemon)
    await page.get_by_role("slider").press("Home")
    await page.get_by_role("slider").press("ArrowRight")
    assert await page.evaluate("() => window.life.shown") >= 1
    for name in (
        "Journal",
        "Timeline",
        "Knowledge",
        "Spaces",
        "Trace",
        "Judge",
        "Context",
        "Autonomic",
        "Ledger",
        "Identity",
    ):
        await page.get_by_role("tab", name=name).click()
        await expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert errors == []


async def test_keyboard_alone(daemon: Served, browser: Browser) -> None:
    """Open a tool, answer an approval, step back and forth, open the palette and leave it: without a pointer."""
    await daemon.system.runtime.create_session("s", name="Keys")
    run = await daemon.system.runtime.start("s", "Audit the work orders")
    watched = await session_page(await logged_in(browser, daemon), daemon, "/workspace/s")
    page = watched.page
    approve = page.get_by_role("button", name="Approve once")
    await approve.focus()
    await page.keyboard.press("Enter")
    await daemon.system.runtime.wait("s", run)
    await expect(page.get_by_text("Run ended: completed")).to_be_visible()
    await page.locator(".tool-head").first.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".tool-head").first).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator(".mode")).to_contain_text("Paused")
    await page.keyboard.press("l")
    await expect(page.locator(".mode")).to_contain_text("Live")
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("combobox", name="Commands")).to_be_focused()
    await page.keyboard.type("ledger")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("tab", name="Ledger")).to_have_attribute("aria-selected", "true")
    await page.get_by_role("tab", name="Ledger").press("ArrowRight")
    await expect(page.get_by_role("tab", name="Identity")).to_be_focused()
    watched.check()


REOPENED = """async (how) => {
    if (how === "button") document.querySelector("dialog[open] header button").click();
    else document.querySelector("dialog[open]").dispatchEvent(new Event("cancel", {cancelable: true}));
    for (let turn = 0; turn < 20; turn += 1) await null;  // the page is drawn anew; the browser's own "close" is still to come
    const closed = document.querySelector("dialog[open]") === null;
    document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "k", ctrlKey: true, bubbles: true}));
    return closed;
}"""


@pytest.mark.parametrize("how", ["button", "Escape"])
async def test_a_dialog_that_was_closed_opens_again_at_once(daemon: Served, browser: Browser, how: str) -> None:
    """The browser says a moment later that a dialog was closed; that closes no dialog that was asked for meanwhile."""
    await worked(daemon)
    watched = await session_page(await logged_in(browser, daemon), daemon, "/workspace/s")
    page = watched.page
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("dialog", name="Commands")).to_be_visible()
    assert await page.evaluate(REOPENED, how), "it was not closed at all"
    await page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    await expect(page.get_by_role("dialog", name="Commands")).to_be_visible()
    watched.check()


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is missing; run: make ui")
async def test_axe_finds_nothing_serious(daemon: Served, browser: Browser) -> None:
    """No serious or critical finding: light, dark, high contrast, forced colours, 320 to 1440 px, English and Spanish."""
    await worked(daemon)
    await daemon.system.runtime.create_session("w", name="Waits")
    await daemon.system.runtime.start("w", "Audit the work orders")
    looks = [
        ("light", 1440, "en", "/workspace/s?mid=journal&event=12&right=trace&file=report.md"),
        ("dark", 1440, "es", "/workspace/s?mid=files&file=report.md&right=preview"),
        ("contrast", 1440, "en", "/workspace/s?mid=timeline&right=autonomic&at=30"),
        ("light", 1024, "es", "/workspace/w?mid=journal&right=ledger&pane=right"),
        ("dark", 320, "en", "/workspace/w"),
        ("forced", 320, "en", "/workspace/s?pane=right&right=identity"),
        ("light", 768, "en", "/workspace"),
    ]
    serious: list[str] = []
    for theme, width, language, path in looks:
        context = await logged_in(
            browser,
            daemon,
            viewport={"width": width, "height": 900},
            locale=language,
            color_scheme="dark" if theme == "dark" else "light",
            forced_colors="active" if theme == "forced" else "none",
            bypass_csp=True,
        )
        if theme == "contrast":
            await context.add_init_script("localStorage.setItem('life.prefs.1', JSON.stringify({theme: 'contrast'}))")
        page = await context.new_page()
        await page.goto(daemon.address + path)
        await asyncio.sleep(0.5)
        await page.add_script_tag(path=AXE)
        found = await page.evaluate("async () => (await axe.run()).violations")
        serious += [
            f"{theme} {width} {path}: {each['id']} {[node['html'][:120] for node in each['nodes'][:3]]}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        await context.close()
    assert serious == []
    await daemon.system.runtime.cancel("w")

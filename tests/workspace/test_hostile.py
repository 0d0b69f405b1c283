"""What others write is text, whatever it says; what others ask is refused; what the line does to the stream changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from life.aios import events
from life.aios.events import decode_kind
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, EventWriter, Stream
from life.workspace.fold import fold
from life.workspace.state import digest
from tests.workspace import record
from tests.workspace.browser import Watched, asked, chromium, executable, logged_in, page_digest, session_page, shown
from tests.workspace.recorded import NAMES, recording
from tests.workspace.served import Served, served
from tests.workspace.walking import MIDDLE, RIGHT, show_panes

pytestmark = [pytest.mark.part("chromium"), pytest.mark.slow]

CORPUS = (
    "<script>window.hit = 1</script>",
    '"><img src=x onerror="window.hit = 1">',
    "<svg/onload=window.hit=1>",
    "javascript:window.hit=1",
    "[link](javascript:window.hit=1) ![x](https://evil.example/x.png) <https://evil.example>",
    "{{constructor.constructor('window.hit=1')()}} ${window.hit=1}",
    "</script><iframe src=https://evil.example></iframe><base href=https://evil.example>",
    '<a href="data:text/html,<script>window.hit=1</script>">x</a> <style>*{display:none}</style>',
    "\u202e\u2066gnp.exe\u0000\u001b[31m\ufeff 💥 " + "A" * 4000,
)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, record.TOOLS) as daemon:
        yield daemon


KEPT = (
    "type",
    "event_type",
    "call_id",
    "approval_id",
    "tool_run_id",
    "path",
    "hire_id",
    "identity",
    "decision",
    "status",
    "role",
    "slug",
)


def poisoned(value: Any, turn: list[int], key: str = "") -> Any:
    """A value with every text in it replaced by one of the corpus, but for those that hold events together."""
    if isinstance(value, dict):
        return {name: poisoned(inner, turn, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner, turn, key) for inner in value]
    if not isinstance(value, str) or key in KEPT or key.endswith("_hash"):
        return value
    turn[0] += 1
    return CORPUS[turn[0] % len(CORPUS)]


def poisoned_kind(each: EventRecord, turn: list[int]) -> Any:
    """The event's kind with poisoned texts; as it was where a field takes only certain words."""
    try:
        return decode_kind(json.dumps(poisoned(json.loads(each.payload), turn)).encode())
    except Exception:
        return each.kind


async def test_untrusted_text_never_becomes_html(daemon: Served, browser: Browser) -> None:
    """Every text of every recorded event replaced by an attack: no pane, no card, no dialog runs it, makes an element of it, or asks anybody."""
    turn = [0]
    write = EventWriter(daemon.system.clock, daemon.system.entropy, agent_id="a", stream=Stream("x"))
    made = [write.event(events.SessionCreated(name=CORPUS[1], config={"owner": "", "provider": CORPUS[0]}))]
    for name in ("tools", "approvals", "knowledge", "every_kind", "payment_session"):
        for each in recording(name):
            if b"session_deleted" in each.payload or each.kind_name in ("SessionCreated", "SessionClosed"):
                continue
            made.append(write.event(poisoned_kind(each, turn)))
    for start in range(0, len(made), 200):
        await daemon.system.journal.append(made[start : start + 200])
    context = await logged_in(browser, daemon, viewport={"width": 1440, "height": 900})
    watched = await session_page(context, daemon, "/workspace/x")
    page = watched.page
    while await page.get_by_role("button", name="Show earlier").count():
        await page.get_by_role("button", name="Show earlier").click()
        await asyncio.sleep(0.1)
        if await page.evaluate("() => document.querySelectorAll('.chat > *').length") > 150:
            break
    heads = page.locator(".tool-head:not(.flat)")
    for index in range(min(12, await heads.count())):
        await heads.nth(index).click(timeout=2000)
    for middle, right in zip((*MIDDLE, "files", "journal"), RIGHT, strict=True):
        await show_panes(page, middle=middle, right=right, file=CORPUS[1])
    for number in range(1, 200, 23):
        await page.evaluate("(at) => window.life.seek(at)", number)
    await page.goto(f"{daemon.address}/workspace?q=%3Cscript%3Ewindow.hit%3D1%3C%2Fscript%3E")
    await expect(page.locator(".sessions").or_(page.get_by_text("There is no session yet."))).to_be_visible()
    page = (await session_page(context, daemon, "/workspace/x?mid=spaces&right=judge")).page
    found = await page.evaluate(
        """() => ({ hit: window.hit ?? 0, made: document.querySelectorAll('#life :is(script, iframe, object, embed, base, style, img, [onload], [onerror])').length,
        links: [...document.querySelectorAll('#life a')].map((one) => one.href).filter((href) => !/^https?:/.test(href)) })"""
    )
    assert found == {"hit": 0, "made": 0, "links": []}
    assert watched.outside == []
    assert [told for told in watched.errors if not told.startswith("Failed to load resource")] == []  # no such file


async def test_others_are_refused(daemon: Served, tmp_path: Path) -> None:
    """A login link works once. A page of another origin can't write with the person's cookie, not even from the same host. A name that
    was bound to this address by somebody else is refused."""
    async with async_playwright() as playwright:
        rebound = daemon.address.replace("127.0.0.1", "evil.example")
        browser = await playwright.chromium.launch(
            executable_path=executable(),
            args=["--no-sandbox", "--no-proxy-server", "--host-resolver-rules=MAP evil.example 127.0.0.1"],
        )
        context = await browser.new_context()
        link = daemon.link()
        page = await context.new_page()
        await page.goto(link)
        assert "/login" not in page.url
        stranger = await (await browser.new_context()).new_page()
        answer = await stranger.goto(link)
        assert answer is not None and answer.status in (400, 401, 403, 410)
        await stranger.goto(f"{daemon.address}/workspace")
        assert "/login" in stranger.url

        # Another origin on the same host: the cookie is "same site" there, so the origin has to be looked at.
        evil = await asyncio.start_server(_evil_page, "127.0.0.1", 0)
        async with evil:
            port = evil.sockets[0].getsockname()[1]
            await page.goto(f"http://127.0.0.1:{port}/")
            await _attack(page, daemon.address)
        assert await daemon.system.runtime.sessions() == []

        answer = await page.goto(f"{rebound}/workspace")
        assert answer is not None and answer.status == 403
        await browser.close()


ATTACK = """async (address) => {
  const attempts = [
    ["/sessions", "text/plain", '{"name": "csrf"}'], ["/sessions", "application/x-www-form-urlencoded", "name=csrf"],
    ["/login-links", "text/plain", ""], ["/workspace/demos/sentinel/runs", "text/plain", "{}"],
    ["/workspace/demos/sentinel/recording", "text/plain", ""],
  ];
  for (const [path, type, body] of attempts)
    await fetch(address + path, { method: "POST", mode: "no-cors", credentials: "include", headers: { "content-type": type }, body }).catch(() => 0);
  return "done";
}"""


FORM = """(address) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = address + "/sessions";
  document.body.append(form);
  form.submit();
}"""


async def _attack(page: Page, address: str) -> None:
    """What a page of another origin can send with the person's cookies."""
    assert await page.evaluate(ATTACK, address) == "done"
    async with page.expect_navigation():
        await page.evaluate(FORM, address)


async def _evil_page(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = b"<!doctype html><title>evil</title><body>"
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
        % (len(body), body)
    )
    await writer.drain()
    writer.close()


def _is_begin_or_end(each: EventRecord) -> bool:
    """Another first event is written here, and one takes the session away."""
    return each.kind_name == "SessionCreated" or b'"arcan.session_deleted"' in each.payload


@pytest.mark.parametrize("fault", ["cut", "within", "twice", "late"])
async def test_the_line_at_every_event_of_every_recording(daemon: Served, browser: Browser, fault: str) -> None:
    """Every event of every golden recording comes over a line that is cut behind it, breaks off within it, repeats it or holds it back, to a page that
    was open before the first one: the state is the journal's in the end. With "cut", a view is opened anew at every event besides, as a
    reload does, and ends with the same digest."""
    context = await logged_in(browser, daemon)
    page = await context.new_page()
    watched = Watched(page, daemon.address)
    journal = daemon.system.journal
    daemon.line.fault = fault
    # Every second connection brings nothing then, so it takes long: the recordings of real runs.
    for name in NAMES if fault != "within" else ("tools", "approvals", "failures"):
        write = EventWriter(daemon.system.clock, daemon.system.entropy, agent_id="a", stream=Stream(name))
        made = [write.event(each.kind) for each in recording(name) if not _is_begin_or_end(each)]
        await journal.append([write.event(events.SessionCreated(name=name, config={}))])
        await page.goto(f"{daemon.address}/workspace/{name}")
        await shown(page)
        if fault == "cut":
            await page.evaluate(TWINS)
        for start in range(0, len(made), 8):
            await journal.append(made[start : start + 8])
        head = len(made) + 1
        await asked(page, f"() => window.life.head === {head}", seconds=60)
        expected = digest(fold(await journal.read(EventQuery(name, "main"), limit=10_000)))
        assert await page_digest(page) == expected, name
        if fault == "cut":
            await asked(
                page, f"() => {{ const twin = window.twins.at(-1); return twin.opened && twin.live.seq === {head}; }}"
            )
            assert await page.evaluate("() => window.twins.length") == len(made), name
            assert (
                await page.evaluate("() => window.twins.at(-1).follow() ?? window.twins.at(-1).digest()") == expected
            ), name
    assert watched.outside == []


TWINS = """() => {
  window.twins = [];
  const take = life.take.bind(life);
  life.take = (record) => {
    take(record);
    if (!record.sequence) return;
    window.twins.at(-1)?.close();
    const twin = new life.constructor(life.id, life.branch);
    window.twins.push(twin);
    void twin.open(null);
  };
}"""

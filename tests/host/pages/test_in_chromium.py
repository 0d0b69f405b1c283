"""The operator's pages in Debian's Chromium: readable at every width, in every theme, by everybody; quiet and alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.host.pages.seeded import something_everywhere
from tests.host.pages.test_operator_pages import ADDRESSES, MARKUP, SINGLE
from tests.workspace.browser import Watched, chromium, logged_in
from tests.workspace.served import Served, served

AXE = Path(__file__).parents[3] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [pytest.mark.part("chromium"), pytest.mark.slow]


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, '[[turns]]\ntext = "done"\n') as daemon:
        await something_everywhere(daemon.system, tmp_path, MARKUP)
        yield daemon


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is missing; run: make ui")
async def test_axe_finds_nothing_serious(daemon: Served, browser: Browser) -> None:
    """Every page once, the looks in turn: light, dark, high contrast, forced colours; 320, 768 and 1440 px; English and Spanish."""
    looks = [
        ("light", 1440, "en"),
        ("dark", 1440, "es"),
        ("contrast", 768, "en"),
        ("forced", 320, "es"),
        ("dark", 320, "en"),
        ("light", 768, "es"),
    ]
    serious: list[str] = []
    for turn, (theme, width, language) in enumerate(looks):
        context = await logged_in(
            browser,
            daemon,
            viewport={"width": width, "height": 900},
            locale=language,
            color_scheme="dark" if theme == "dark" else "light",
            forced_colors="active" if theme == "forced" else "none",
            reduced_motion="reduce",  # a colour on its way to another is nobody's contrast
            bypass_csp=True,
        )
        if theme == "contrast":
            cookie = {"name": "life_pages", "value": ".contrast", "url": daemon.address}
            await context.add_cookies([cookie])  # type: ignore[list-item]
        page = await context.new_page()
        paths = ("/inbox", "/system/models", *(ADDRESSES + SINGLE)[turn :: len(looks)])
        for path in paths:
            await page.goto(daemon.address + path)
            await _open_all(page)
            await page.add_script_tag(path=AXE)
            found = await page.evaluate("async () => (await axe.run()).violations")
            serious += [
                f"{theme} {width} {path}: {each['id']} {[node['html'][:160] for node in each['nodes'][:2]]}"
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
        await context.close()
    assert serious == []


async def test_no_page_is_wider_than_its_window(daemon: Served, browser: Browser) -> None:
    """From 320 px to a wide screen, and at 400 % zoom of 1280 px (which is 320): no sideways scrolling of the page, no error in the
    console, nobody else is asked."""
    for turn, width in enumerate((320, 768, 1920)):
        context = await logged_in(browser, daemon, viewport={"width": width, "height": 800})
        page = await context.new_page()
        watched = Watched(page, daemon.address)
        every = (*ADDRESSES, *SINGLE)
        for path in every if turn == 0 else every[turn - 1 :: 2]:
            await page.goto(daemon.address + path)
            await _open_all(page)
            wider = await page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
            assert wider <= 0, (width, path, wider)
        watched.check()
        await context.close()


async def test_a_keyboard_decides_without_script(daemon: Served, browser: Browser) -> None:
    """With script switched off and no mouse: the first stop leads to the content, the call in the inbox is approved by keys."""
    context = await logged_in(browser, daemon, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(daemon.address + "/inbox")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.locator("button:focus", has_text="Approve this call").count():
            break
    await page.keyboard.press("Enter")
    await page.wait_for_load_state()
    journal = await (await context.request.get(f"{daemon.address}/s/waits/journal?format=json")).text()
    assert '"approved"' in journal.replace("\\", "")
    await context.close()


async def test_the_policy_stops_what_would_slip_in(daemon: Served, browser: Browser) -> None:
    """Even a script that stood in a page would not run, and no frame shows one."""
    context = await logged_in(browser, daemon)
    page = await context.new_page()
    response = await page.goto(daemon.address + "/inbox")
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    ran = await page.evaluate(
        """() => new Promise(done => {
            const script = document.createElement('script');
            script.textContent = 'window.slipped = true';
            document.head.append(script);
            setTimeout(() => done(window.slipped === true), 100);
        })"""
    )
    assert ran is False
    await page.set_content(f'<iframe src="{daemon.address}/inbox"></iframe>')
    await context.close()


async def _open_all(page: Page) -> None:
    await page.evaluate("() => document.querySelectorAll('main details').forEach(each => { each.open = true })")

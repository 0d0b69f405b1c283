"""What a person says and when it counts: files along, drafts, the queue, history, hints, an approval that pauses after."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, expect

from life.aios.ports.journal import EventQuery
from life.cli.shell.transcript import without_attachments
from life.workspace.fold import fold
from tests.workspace import record
from tests.workspace.browser import asked, chromium, logged_in, session_page, shown
from tests.workspace.served import client, served

pytestmark = [pytest.mark.part("chromium"), pytest.mark.slow]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def test_files_go_along_as_text(browser: Browser, tmp_path: Path) -> None:
    """Text files are attached by choosing or dropping them, can be taken off again, and reach the model between marks that the terminal reads, too;
    what is no text, too large or too many is refused with a sentence, and nothing is sent for it."""
    async with served(tmp_path, record.TOOLS) as daemon:
        await daemon.system.runtime.create_session("s", name="Files")
        page = (await session_page(await logged_in(browser, daemon), daemon, "/workspace/s")).page
        chooser = page.locator("form.composer input[type=file]")
        note = FilePayload(name="notes.md", mimeType="text/markdown", buffer="# Größe ✓\n</attachment>".encode())
        await chooser.set_input_files([note, FilePayload(name="x.bin", mimeType="a/b", buffer=b"\xff\x00")])
        await expect(page.get_by_role("alert")).to_contain_text("x.bin is not text")
        await chooser.set_input_files([FilePayload(name="big.txt", mimeType="text/plain", buffer=b"a" * 65_537)])
        await expect(page.get_by_role("alert")).to_contain_text("big.txt is larger than 64.0 KiB")
        many = [FilePayload(name=f"{number}.txt", mimeType="text/plain", buffer=b"a" * 60_000) for number in range(3)]
        await chooser.set_input_files(many)
        await expect(page.get_by_role("alert")).to_contain_text("At most 20 files, 128.0 KiB together")
        await page.get_by_role("button", name="Remove 0.txt").click()
        await page.get_by_role("button", name="Remove 1.txt").click()
        await page.evaluate(
            """() => { const data = new DataTransfer(); data.items.add(new File(["dropped"], "drop.txt", { type: "text/plain" }));
            document.querySelector("form.composer").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })); }"""
        )
        await expect(page.get_by_label("Attached").first).to_contain_text("drop.txt")
        await page.get_by_role("textbox", name="Message").fill("Read these")
        await page.keyboard.press("Enter")
        await expect(page.locator(".turn.user .chips")).to_contain_text("notes.md")
        records = await daemon.system.journal.read(EventQuery("s", "main"), limit=100)
        sent = next(json.loads(each.payload)["content"] for each in records if each.kind_name == "UserMessage")
        said = without_attachments(sent)
        assert (said.text, said.attachments) == ("Read these", ("notes.md", "drop.txt"))
        await expect(page.locator(".turn.user .text")).to_have_text("Read these")


async def test_drafts_history_and_hints(browser: Browser, tmp_path: Path) -> None:
    """What was begun is there after a reload, a session each; the up arrow brings back what was said and the down arrow the draft; `@` offers the
    workspace's files, `/` commands, and Tab takes the chosen one."""
    async with served(tmp_path, record.TOOLS) as daemon:
        runtime = daemon.system.runtime
        await runtime.create_session("s", name="Drafts")
        await runtime.create_session("t", name="Other")
        run = await runtime.start("s", "First words")
        await record.approve(runtime)
        await runtime.wait("s", run)
        page = (await session_page(await logged_in(browser, daemon), daemon, "/workspace/s")).page
        field = page.get_by_role("textbox", name="Message")
        await field.fill("half a thought")
        await page.reload()
        await shown(page)
        await expect(field).to_have_value("half a thought")
        await page.goto(f"{daemon.address}/workspace/t")
        await shown(page)
        await expect(field).to_have_value("")
        await page.goto(f"{daemon.address}/workspace/s")
        await shown(page)
        await field.press("Home")
        await field.press("ArrowUp")
        await expect(field).to_have_value("First words")
        await field.press("End")
        await field.press("ArrowDown")
        await expect(field).to_have_value("half a thought")
        await field.fill("look at @rep")
        await expect(page.locator(".hints button")).to_have_text(["report.md"])
        await field.press("Tab")
        await expect(field).to_have_value("look at report.md ")
        await field.fill("/led")
        await field.press("Enter")
        await expect(page.get_by_role("tab", name="Ledger")).to_have_attribute("aria-selected", "true")
        await expect(field).to_have_value("")


async def test_waiting_messages_can_be_changed_and_taken_back(browser: Browser, tmp_path: Path) -> None:
    """A message that waits is taken back into the composer to be changed, or taken back for good: the model never hears it."""
    async with served(tmp_path, record.SLOW) as daemon:
        runtime = daemon.system.runtime
        await runtime.create_session("s", name="Queue")
        page = (await session_page(await logged_in(browser, daemon), daemon, "/workspace/s")).page
        await runtime.start("s", "Count")
        await runtime.pause("s", actor="test")
        field = page.get_by_role("textbox", name="Message")
        for words in ("first", "second"):
            await field.fill(words)
            await field.press("Enter")
        queue = page.get_by_role("list", name="Waiting messages").get_by_role("listitem")
        await expect(queue).to_have_count(2)
        await queue.nth(1).get_by_role("button", name="Take back").click()
        await expect(queue).to_have_count(1)
        await queue.nth(0).get_by_role("button", name="Edit").click()
        await expect(field).to_have_value("first")
        await expect(queue).to_have_count(0)
        await field.fill("changed")
        await field.press("Enter")
        await expect(queue).to_contain_text(["changed"])
        await page.get_by_role("button", name="Continue").click()
        await record.idle(runtime)
        records = await daemon.system.journal.read(EventQuery("s", "main"), limit=1000)
        heard = [json.loads(each.payload)["content"] for each in records if each.kind_name == "UserMessage"]
        assert heard == ["Count", "changed"]


async def test_approve_and_pause_after(browser: Browser, tmp_path: Path) -> None:
    """The call runs, and behind it the run holds until a person lets it go on."""
    async with served(tmp_path, record.TOOLS) as daemon:
        runtime = daemon.system.runtime
        await runtime.create_session("s", name="Pause")
        run = await runtime.start("s", "Audit the work orders")
        page = (await session_page(await logged_in(browser, daemon), daemon, "/workspace/s")).page
        await page.get_by_role("button", name="Approve and pause after").click()
        await asked(page, "() => window.life.state.held && window.life.state.calls.length === 0")
        state = fold(await daemon.system.journal.read(EventQuery("s", "main"), limit=1000))
        assert [entry.state for entry in state.entries if entry.label == "bash"] == ["ok"] and state.status == "paused"
        await page.get_by_role("button", name="Continue").click()
        await runtime.wait("s", run)
        await expect(page.get_by_text("Run ended: completed")).to_be_visible()


async def test_verify_now_really_checks(browser: Browser, tmp_path: Path) -> None:
    """The button says that everything holds; a session whose stored bytes were changed behind the journal's back does not."""
    async with served(tmp_path, record.TOOLS) as daemon:
        await daemon.system.runtime.create_session("s", name="Verified")
        page = (await session_page(await logged_in(browser, daemon), daemon, "/workspace/s?right=identity")).page
        await page.get_by_role("button", name="Verify now").click()
        await expect(page.locator(".checks li")).to_have_count(5)
        await expect(page.locator("#right-panel")).to_contain_text("Everything holds")
        journal = daemon.system.journal
        real = journal.read

        async def forged(query: EventQuery, *, limit: int = 500) -> list[object]:
            from msgspec.structs import replace

            found = await real(query, limit=limit)
            if query.session_id != "s":
                return list(found)
            return [replace(each, payload=each.payload.replace(b"Verified", b"Forged!!")) for each in found]

        journal.read = forged  # type: ignore[method-assign,assignment]
        async with client(daemon) as program:
            told = (await program.get("/sessions/s/workspace/verify")).json()
        assert not told["holds"]
        assert {check["name"]: check["outcome"] for check in told["checks"]}["chain"] == "fails"

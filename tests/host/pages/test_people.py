"""The pages in a person's hands: logging in, deciding, and what hostile text can do there."""

from __future__ import annotations

import asyncio
import html
import re
import time
from pathlib import Path

import httpx2

from life.aios import events
from life.aios.policy import PolicySet
from life.aios.record import USER, EventWriter, Stream
from life.host.system import System
from tests.host.pages.reading import ORIGIN, form_to, read

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'{{ 7*7 }}{% raw %}</pre></textarea></title>"
PAGES = ("/", "/finance/ledger", "/anima", "/system", "/inbox", "/s/s", "/s/s/journal", "/nowhere", "/openapi.json")


async def at_rest(system: System, session_id: str) -> None:
    async with asyncio.timeout(10):
        while (await system.runtime.state(session_id)).status == "running":
            await asyncio.sleep(0.005)


async def test_strangers_are_sent_to_the_login_page(stranger: httpx2.AsyncClient) -> None:
    """A browser is redirected from every page, a program gets 401; the login page tells what to do and nothing else."""
    for path in PAGES:
        answer = await stranger.get(path, headers={"accept": "text/html,*/*"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path
        assert (await stranger.get(path)).status_code == 401, path
    login = await stranger.get("/login")
    assert "life login" in login.text
    assert read(login.text).tags.count("a") == 0, "no way into the pages"
    forged = {"cookie": "life_login=9999999999.AAAA.BBBB"}
    assert (await stranger.get("/", headers=forged)).status_code == 401
    assert (await stranger.get("/", headers={"cookie": 'life_login="\\377'})).status_code == 401


async def test_a_link_is_for_one_login(stranger: httpx2.AsyncClient) -> None:
    """The cookie is HttpOnly, SameSite=Strict, for the whole site; the link is dead afterwards; HEAD does not use it up."""
    link = (await stranger.post("/login-links", headers={"authorization": "Bearer " + "t" * 43})).json()["path"]
    assert (await stranger.head(link)).status_code == 200
    first = await stranger.get(link)
    flags = {part.strip().lower() for part in first.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", f"max-age={7 * 24 * 3600}"} <= flags
    assert first.headers["cache-control"] == "no-store"
    assert (await stranger.get(link)).status_code == 401
    assert (await stranger.get("/login?code=" + "x" * 9_000)).status_code == 401


async def test_every_page_forbids_scripts_and_frames(browser: httpx2.AsyncClient, system: System) -> None:
    """The policy is on every page, the error pages too; and the pages have neither scripts nor inline handlers."""
    await system.runtime.create_session("s")
    for path in (
        "/",
        "/finance/ledger",
        "/anima",
        "/system",
        "/s/s",
        "/s/s/journal",
        "/login",
        "/s/unknown",
        "/s/%3Cb%3E",
    ):
        answer = await browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        page = read(answer.text)
        assert "script" not in page.tags, path
        assert page.handlers == [], path


async def test_an_unknown_session_is_a_page_that_says_so(browser: httpx2.AsyncClient) -> None:
    """People get a page with the sentence and the way back, not a problem document."""
    for method, path in (("GET", "/s/unknown"), ("GET", "/s/unknown/journal"), ("POST", "/s/unknown/runs")):
        fields = {"form_token": form_to((await browser.get("/")).text, "/sessions")["form_token"]}
        answer = await browser.request(method, path, headers=ORIGIN, data=fields if method == "POST" else None)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")
        assert "unknown" in read(answer.text).text
        assert read(answer.text).tags.count("a") >= 4


async def test_hostile_text_stays_text(browser: httpx2.AsyncClient, system: System, script: Path) -> None:
    """Markup in names, messages, tool arguments, file contents, results, errors and decisions is shown, never obeyed."""
    content = HOSTILE.replace("\\", "\\\\").replace("'", "\\u0027").replace('"', '\\"')
    script.write_text(
        f'[[turns]]\ntext = "{content}"\n'
        f'[[turns.calls]]\ntool = "write_file"\narguments = {{ path = "a.html", content = "{content}" }}\n'
        f'[[turns.calls]]\ntool = "read_file"\narguments = {{ path = "a.html" }}\n'
        f'[[turns.calls]]\ntool = "read_file"\narguments = {{ path = "{content}" }}\n'
        f'[[turns.calls]]\ntool = "{content}"\narguments = {{}}\n'
        f'[[turns]]\nerror = {{ kind = "rejected", message = "{content}" }}\n'
    )
    policy = PolicySet(allow_capabilities=("fs:read:**", "fs:write:**"), gate_capabilities=())
    state = await system.runtime.create_session(
        "s", name=HOSTILE, policy=policy, provider=f"scripted:{script}", owner=HOSTILE, system_prompt=HOSTILE
    )
    await system.runtime.run(state.session_id, HOSTILE)
    for path in ("/", "/s/s", "/s/s/journal", "/s/s/journal?after=1"):
        answer = await browser.get(path)
        assert answer.status_code == 200
        page = read(answer.text)
        assert "script" not in page.tags, path
        assert "img" not in page.tags, path
        assert page.handlers == []
        assert "7*7" in page.text
        assert "<script>alert(1)</script>" in page.text, "it is shown as it is"


async def test_an_approval_is_decided_on_the_page(browser: httpx2.AsyncClient, system: System, script: Path) -> None:
    """The call waits, the page shows what it wants, the form of that page lets that very call run, once."""
    script.write_text(
        '[[turns]]\n[[turns.calls]]\ntool = "write_file"\narguments = { path = "a.txt", content = "approved" }\n'
        '[[turns]]\n[[turns.calls]]\ntool = "write_file"\narguments = { path = "b.txt", content = "refused" }\n'
        '[[turns]]\ntext = "All decided."\n'
    )
    policy = PolicySet(allow_capabilities=("fs:read:**",), gate_capabilities=("fs:write:**",))
    await system.runtime.create_session("s", policy=policy, provider=f"scripted:{script}")
    await system.runtime.start("s", "go")
    for number, decision in enumerate(("approved", "denied")):
        await at_rest(system, "s")
        page = await browser.get("/s/s")
        assert "Wants your approval" in page.text
        form = form_to(page.text, "/s/s/approval")
        answer = await browser.post(form["action"], data=form | {"decision": decision}, headers=ORIGIN)
        assert (answer.status_code, answer.headers["location"]) == (303, "/s/s#end"), number
        again = await browser.post(form["action"], data=form | {"decision": decision}, headers=ORIGIN)
        assert again.status_code in (404, 409), "decided is decided"
    await at_rest(system, "s")
    assert "All decided." in (await browser.get("/s/s")).text
    workspace = system.data.workspace("s")
    assert [path.name for path in workspace.iterdir()] == ["a.txt"]


async def test_a_decision_that_is_none_decides_nothing(
    browser: httpx2.AsyncClient, system: System, script: Path
) -> None:
    """A form without its button, or with another value, is a mistake: the call goes on waiting, it is not refused."""
    script.write_text(
        '[[turns]]\n[[turns.calls]]\ntool = "write_file"\narguments = { path = "a.txt", content = "x" }\n'
    )
    policy = PolicySet(allow_capabilities=(), gate_capabilities=("fs:write:**",))
    await system.runtime.create_session("s", policy=policy, provider=f"scripted:{script}")
    await system.runtime.start("s", "go")
    await at_rest(system, "s")
    form = form_to((await browser.get("/s/s")).text, "/s/s/approval")
    for decision in ({}, {"decision": "yes"}, {"decision": ""}):
        data = {key: value for key, value in form.items() if key != "decision"} | decision
        answer = await browser.post("/s/s/approval", data=data, headers=ORIGIN)
        assert answer.status_code == 400
        assert (await system.runtime.state("s")).status == "waiting"


async def test_a_long_session_is_shown_in_reasonable_time(browser: httpx2.AsyncClient, system: System) -> None:
    """5,000 events: the conversation and the journal open, page by page to the last event, without taking seconds."""
    await system.runtime.create_session("s")
    writer = EventWriter(
        system.clock, system.entropy, agent_id=system.identity.agent_id, stream=Stream("s"), actor=USER
    )
    batch = [writer.event(events.Message(role="assistant", content=f"line {number} " * 20)) for number in range(5_000)]
    for start in range(0, len(batch), 500):
        await system.journal.append(batch[start : start + 500])
    begun = time.perf_counter()
    page = await browser.get("/s/s")
    took_s = time.perf_counter() - begun
    assert "line 4999" in page.text
    assert took_s < 5, "an upper limit for a broken way of doing it, not a measurement"
    assert len(page.content) < 200_000, "what a browser has to take every two seconds while a run goes on"
    assert "4800 earlier turns" in page.text
    assert "line 0 " in (await browser.get("/s/s?all")).text
    pages, address = 0, "/s/s/journal"
    while address:
        journal = await browser.get(address)
        pages += 1
        following = re.search(r'rel="next" href="([^"]+)"', journal.text)
        address = "/s/s/journal" + html.unescape(following[1]) if following else ""
    assert pages == 26
    assert "line 4999" in journal.text

"""A session of 100,000 events in the workspace page: how fast it opens, and the worst frame while one drags through it.

    python benches/workspace_page.py [--quick]

A daemon on loopback, Debian's Chromium, the page as it is committed. "Opens" is from the page's first script line to the folded state on
screen. A daemon folds long sessions ahead as they grow; "unfolded" is a session that was put into the journal a moment ago. Scrubbing
moves the slider to places all over the session; frames are measured in the page, by the clock, so they tell of the machine's other work, too;
"a step's work" is the processor time of the page's thread for one step. The heap is read after a collection: it has to stay where it is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.async_api import CDPSession, Page, async_playwright

from life.aios import events
from life.aios.record import EventWriter, NewEvent, Stream
from life.aios.state import AgentStateVector, TokenUsage
from life.workspace.assets import asset

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.workspace.served import Served, served

SCRUB = """async () => {
  const slider = document.querySelector('input[type=range]');
  const frames = [];
  let last = performance.now();
  let going = true;
  const frame = (now) => { frames.push(now - last); last = now; if (going) requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  for (let step = 0; step < 200; step++) {
    const far = step < 100;
    slider.value = far ? Math.floor(life.head * ((step * 37) % 100) / 100) + 1 : Math.floor(life.head / 2) + step * 5;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise(requestAnimationFrame);
  }
  while (life.seeking !== null) await new Promise(requestAnimationFrame);
  going = false;
  const sorted = frames.slice(2).sort((a, b) => a - b);
  return [sorted[Math.floor(sorted.length / 2)], sorted[Math.floor(sorted.length * 0.99)], sorted.at(-1), life.timings.worstSeekMs];
}"""


STEP = """async (place) => {
  const slider = document.querySelector('input[type=range]');
  slider.value = place;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  await new Promise(requestAnimationFrame);
  while (life.seeking !== null) await new Promise(requestAnimationFrame);
}"""


def long_session(write: EventWriter, count: int) -> list[NewEvent]:
    """Runs of six steps, each with a model answer and a tool call."""
    made = [write.event(events.SessionCreated(name="A long session", config={}))]
    number = 0
    while len(made) < count:
        made.append(write.event(events.UserMessage(content=f"What about order {number}?")))
        run = write.event(events.RunStarted(provider="scripted", max_iterations=24))
        made.append(run)
        for index in range(6):
            number += 1
            call, tool_run = f"call-{number}", f"run-{number}"
            made += [
                write.event(kind, correlation_id=run.event_id)
                for kind in (
                    events.StepStarted(index=index),
                    events.Message(
                        role="assistant",
                        content=f"I look at order **{number}** and compare it with its photos. " * 2,
                        model="scripted",
                        token_usage=TokenUsage(100, 20, 120, cost_micro=5),
                    ),
                    events.ToolCallRequested(
                        call_id=call, tool_name="read_file", arguments={"path": f"orders/WO-{number % 700}.md"}
                    ),
                    events.PolicyEvaluated(tool_name="read_file", decision="allow", rule_id="policy"),
                    events.ToolCallStarted(tool_run_id=tool_run, tool_name="read_file", call_id=call),
                    events.ToolCallCompleted(
                        tool_run_id=tool_run,
                        tool_name="read_file",
                        result={"content": "a line of the order\n" * 8},
                        duration_ms=3,
                        status="ok",
                        call_id=call,
                    ),
                    events.FileMutated(path=f"out/{number % 900}.md", content_hash="ab" * 32),
                    events.StepFinished(index=index, stop_reason="tool_call", directive_count=1),
                    events.StateEstimated(state=AgentStateVector(progress=number % 100 / 100), mode="execute"),
                )
            ]
        finished = events.RunFinished(reason="completed", total_iterations=6, final_answer="Checked.")
        made.append(write.event(finished, correlation_id=run.event_id))
    return made[:count]


async def fill(daemon: Served, session: str, count: int) -> None:
    """Put a long session into the journal."""
    system = daemon.system
    write = EventWriter(system.clock, system.entropy, agent_id=system.identity.agent_id, stream=Stream(session))
    made = long_session(write, count)
    for start in range(0, count, 2000):
        await system.journal.append(made[start : start + 2000])


async def opened(page: Page, daemon: Served, session: str) -> float:
    """Milliseconds until the session's state is there."""
    await page.goto(f"{daemon.address}/workspace/{session}?mid=journal")
    async with asyncio.timeout(60):
        while not await page.evaluate("() => window.life?.opened && document.querySelector('.chat .turn') !== null"):
            await asyncio.sleep(0.02)
    return float(await page.evaluate("life.timings.openedMs"))


async def main(count: int) -> None:
    """Measure and print."""
    first = [0, 0]
    for name in ("workspace.js", "workspace.css", "home.js", "panes.js", "en_more.js"):
        built = asset(name)
        assert built is not None, "run: make ui"
        print(f"{name:14} {len(built.content):8,} bytes   gzip {len(built.gzip):7,}   zstd {len(built.zstd):7,}")
        if name.startswith("workspace"):
            first = [first[0] + len(built.gzip), first[1] + len(built.zstd)]
    print(f"a session's page, as sent: gzip {first[0]:,}, zstd {first[1]:,} bytes   (limit 80,000)")
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder), '[[turns]]\ntext = "unused"\n') as daemon:
            await fill(daemon, "long", count)
            await quiet(daemon)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--no-proxy-server"]
                )
                page = await browser.new_page(viewport={"width": 1440, "height": 900})
                await page.goto(daemon.link())
                began = time.perf_counter()
                await page.goto(f"{daemon.address}/workspace")
                painted = await page.evaluate(
                    "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
                )
                print(
                    f"first page      {painted:8.0f} ms to the first paint, {(time.perf_counter() - began) * 1000:.0f} ms loaded"
                )
                print(f"{count:,} events")
                print(f"opens           {await opened(page, daemon, 'long'):8.0f} ms   (limit 1,000)")
                await fill(daemon, "fresh", count)
                print(f"opens, unfolded {await opened(page, daemon, 'fresh'):8.0f} ms   (right after its import)")
                await page.goto(f"{daemon.address}/workspace")
                await quiet(daemon)
                await opened(page, daemon, "long")
                cdp = await page.context.new_cdp_session(page)
                await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
                for round_ in range(1, 6):
                    median, ninety_nine, worst, fold = await page.evaluate(SCRUB)
                    heap = await heap_bytes(cdp)
                    print(
                        f"scrub {round_}         frames median {median:.1f}, p99 {ninety_nine:.1f}, worst {worst:.1f} ms; fold {fold:.1f} ms; "
                        f"heap {heap / 1_048_576:.1f} MiB after collection"
                    )
                busy = sorted([await step_ms(page, cdp, step, count) for step in range(100)])
                print(
                    f"a step's work   median {busy[50]:.1f}, p99 {busy[98]:.1f}, worst {busy[-1]:.1f} ms of the page's thread, all its frames together   (limit 50)"
                )
                await browser.close()


async def quiet(daemon: Served) -> None:
    """Until the daemon's own followers have read what was appended."""
    used = time.process_time()
    for _ in range(120):
        await asyncio.sleep(0.5)
        now = time.process_time()
        if now - used < 0.05:
            return
        used = now


async def heap_bytes(cdp: CDPSession) -> int:
    """The script heap after a collection."""
    await cdp.send("HeapProfiler.collectGarbage")
    told = await cdp.send("Runtime.getHeapUsage")
    return int(told["usedSize"])


async def step_ms(page: Page, cdp: CDPSession, step: int, count: int) -> float:
    """Processor time of the page's main thread for one step of the slider, in milliseconds: other programs on the machine do not count."""
    place = (step * 37 % 100) * count // 100 + 1 if step < 50 else count // 2 + step * 5
    before = await task_seconds(cdp)
    await page.evaluate(STEP, place)
    return (await task_seconds(cdp) - before) * 1000


async def task_seconds(cdp: CDPSession) -> float:
    told = await cdp.send("Performance.getMetrics")
    return float(next(one["value"] for one in told["metrics"] if one["name"] == "TaskDuration"))


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    asyncio.run(main(10_000 if "--quick" in sys.argv[1:] else 100_000))

"""A session of 100,000 events in the workspace page: how fast it opens, and the worst frame while one drags through it.

    python benches/workspace_page.py [--quick]

A daemon on loopback, Debian's Chromium, the page as it is committed. "Opens" is from the page's first script line to the folded state on
screen; "cold" is the first opening after the daemon started without anything kept, which folds all events once. Scrubbing moves the slider
to places all over the session; a frame is measured in the page, and what the daemon has to be asked for is fetched meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, async_playwright

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


async def opened(page: Page, daemon: Served) -> float:
    """Milliseconds until the session's state is there."""
    await page.goto(f"{daemon.address}/workspace/long?mid=journal")
    async with asyncio.timeout(60):
        while not await page.evaluate("() => window.life?.opened && document.querySelector('.chat .turn') !== null"):
            await asyncio.sleep(0.02)
    return float(await page.evaluate("life.timings.openedMs"))


async def main(count: int) -> None:
    """Measure and print."""
    for name in ("workspace.js", "workspace.css"):
        built = asset(name)
        assert built is not None, "run: make ui"
        print(f"{name:14} {len(built.content):8,} bytes   gzip {len(built.gzip):7,}   zstd {len(built.zstd):7,}")
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder), '[[turns]]\ntext = "unused"\n') as daemon:
            system = daemon.system
            write = EventWriter(system.clock, system.entropy, agent_id=system.identity.agent_id, stream=Stream("long"))
            made = long_session(write, count)
            for start in range(0, count, 2000):
                await system.journal.append(made[start : start + 2000])
            await asyncio.sleep(0.5)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--no-proxy-server"]
                )
                page = await browser.new_page(viewport={"width": 1440, "height": 900})
                await page.goto(daemon.link())
                print(f"{count:,} events")
                print(f"opens, cold     {await opened(page, daemon):8.0f} ms")
                print(f"opens, again    {await opened(page, daemon):8.0f} ms   (limit 1,000)")
                median, ninety_nine, worst, fold = await page.evaluate(SCRUB)
                print(
                    f"scrub frames    median {median:.1f}, p99 {ninety_nine:.1f}, worst {worst:.1f} ms   (limit 50); fold {fold:.1f} ms"
                )
                again = await page.evaluate(SCRUB)
                print(
                    f"the same again  median {again[0]:.1f}, p99 {again[1]:.1f}, worst {again[2]:.1f} ms; fold {again[3]:.1f} ms"
                )
                heap = await page.evaluate("performance.memory?.usedJSHeapSize ?? 0")
                print(f"heap            {heap / 1_048_576:8.1f} MiB")
                await browser.close()


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    asyncio.run(main(10_000 if "--quick" in sys.argv[1:] else 100_000))

"""A session that runs as a regression test for ever: record it once, replay it in your test suite. Offline, without a key."""

import asyncio
from pathlib import Path

import life
from life.testing.replay import assert_replays, record_session

RECORDING = Path("hello.jsonl")


async def record() -> None:
    async with life.open(".life") as agent:
        report = await agent.ask("write hello.txt: Hello from an agent", session_id="hello")
        print(report.final_answer)
        await record_session(agent.system.runtime, "hello", RECORDING)


def test_the_session_still_runs() -> None:
    """No model and no tool is called: both answer from the recording."""
    report = assert_replays(RECORDING)
    print(f"{report.model_calls} model calls replayed, byte for byte")


if __name__ == "__main__":
    asyncio.run(record())
    test_the_session_still_runs()

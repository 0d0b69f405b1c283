"""An agent in six lines: create it, run a task, iterate over its events. Offline; the scripted model needs no key."""

import asyncio

import life


async def main() -> None:
    async with life.open(".life") as agent:
        async for event in agent.run("write hello.txt: Hello from an agent"):
            print(event.sequence, event.kind)


asyncio.run(main())

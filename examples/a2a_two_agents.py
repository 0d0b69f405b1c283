"""Two agents over A2A: one serves a signed card and a skill, the other checks who signed it, asks, and reads the answer as it is written.

Both run here, offline, with a scripted model:

    python examples/a2a_two_agents.py
"""

import asyncio
import contextlib
import socket
import tempfile
from pathlib import Path

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.host.a2a import EgressHttp, a2a_parts, open_a2a
from life.host.clock import SystemClock
from life.host.system import open_system
from life.spaces.a2a.card import Profile, Skill
from life.spaces.a2a.client import discover
from life.spaces.a2a.ports import Caller


async def main() -> None:
    """Serve, discover, ask."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        model = ScriptedProvider(lambda _request: ScriptedTurn(deltas=("Bonjour, ", "le monde.")), clock=SystemClock())
        async with open_system(Path(folder) / ".life", provider=model) as system:
            skill = Skill(id="translate", name="Translate", description="English to French.", tags=("text",))
            profile = Profile("Claire", "Translates.", "1.0", f"{address}/a2a", (skill,), audience="arcand")
            # Everybody on this machine may call; a daemon asks for tokens instead (docs/a2a.md).
            async with open_a2a(a2a_parts(system), profile, callers=lambda _request: Caller("everybody")) as a2a:
                routes = [
                    Route(o.path, o.endpoint, methods=[o.method]) for o in (*a2a.public_operations, *a2a.operations)
                ]
                async with serving(Starlette(routes=routes), listener):
                    await ask(address, str(system.custody.capabilities().did))


async def ask(address: str, did: str) -> None:
    """The other agent."""
    async with httpx2.AsyncClient(timeout=30) as http:
        peer = await discover(address, EgressHttp(http), trusted={did}.__contains__)
        print(f"{peer.card.name} offers: {', '.join(skill.name for skill in peer.card.skills)}")
        print(f"signed by the expected DID: {peer.signer == did}")
        async for event in peer.stream(peer.say("Hello, world.", message_id="order-1")):
            if event.artifact_update is not None:
                print("".join(str(part.text) for part in event.artifact_update.artifact.parts), end="")
            if event.status_update is not None and event.status_update.status.state.endswith("COMPLETED"):
                print("\ncompleted")
        (task,) = (await peer.list()).tasks
        again = await peer.send(peer.say("Hello, world.", message_id="order-1"))
        print(f"sent twice, one task: {again.id == task.id}")


@contextlib.asynccontextmanager
async def serving(app: Starlette, listener: socket.socket):
    """Serve for the length of the block. The socket listens already: who comes before the server waits."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


if __name__ == "__main__":
    asyncio.run(main())

"""An agent behind A2A, served on a real port: Arcan with a scripted model, an identity, and who asks in a header."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request

from life.aios.ports.clock import Clock
from life.aios.ports.journal import Journal
from life.aios.ports.provider import ModelRequest
from life.anima.custody.in_process import InProcessAnima
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.haima.x402.till import Till
from life.host.a2a import A2a, A2aParts, open_a2a
from life.host.clock import SystemClock
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.routes import routes
from life.host.webhook_client import CheckedWebhookClient
from life.lago.journal.memory import MemoryJournal
from life.praxis.egress import EgressPolicy
from life.spaces.a2a.card import Profile, Skill
from life.spaces.a2a.ports import Caller, TaskChannel
from life.testing.clock import SeededEntropy
from tests.arcan.workbench import Workbench, calls, runtime_on, says
from tests.host.serving import serving

SEED: Final = bytes(range(32))
FREE: Final = Skill(
    id="talk", name="Talk", description="Answers questions.", tags=("text",), examples=("How are you?",)
)
PAID: Final = Skill(id="report", name="Report", description="Writes a report.", tags=("text",), price="$0.01")
PRIVATE: Final = Skill(id="inner", name="Inner", description="For friends.", tags=("text",), is_private=True)
VERSION: Final = {"a2a-version": "1.0"}


def last_words(request: ModelRequest) -> str:
    """What the user said last."""
    for message in reversed(request.messages):
        if message.role == "user":
            texts = [block.text for block in message.content if hasattr(block, "text")]
            if texts:
                return str(texts[-1])
    return ""


def assistant(request: ModelRequest) -> ScriptedTurn:
    """`sign X` asks for the tool that wants confirmation, `hang` runs until it is stopped, `break` fails; anything else is
    answered in three pieces."""
    results = [block for block in request.messages[-1].content if hasattr(block, "is_error")]
    if results:
        return says("It failed." if results[0].is_error else "It is done.")
    words = last_words(request)
    verb, _, rest = words.partition(" ")
    if verb == "sign":
        return calls(("sign", {"text": rest}), text="I ask first.")
    if verb == "hang":
        return calls(("hang", {}))
    if verb == "break":
        raise ValueError
    asked = sum(message.role == "user" for message in request.messages)
    return ScriptedTurn(deltas=("You said ", f"{words!r}, ", f"question {asked}."))


class House(NamedTuple):
    """Everything that a test looks at."""

    address: str
    did: str
    agent: A2a
    runtime: Runtime
    journal: Journal
    bench: Workbench
    custody: InProcessAnima

    @property
    def rpc(self) -> str:
        """The JSON-RPC address."""
        return f"{self.address}/a2a"


def custody(clock: Clock | None = None) -> InProcessAnima:
    """The agent's keys."""
    return InProcessAnima.from_seed(bytearray(SEED), clock=clock or SystemClock())


def caller_of(request: Request) -> Caller:
    """Whoever `x-owner` names (or a bearer token that says so); `x-approve` may approve."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return Caller(request.headers.get("x-owner") or bearer or "agent:alice", may_approve="x-approve" in request.headers)


@asynccontextmanager
async def house(
    root: Path,
    *,
    journal: Journal | None = None,
    skills: tuple[Skill, ...] = (FREE,),
    till: Till | None = None,
    turn: Callable[[ModelRequest], ScriptedTurn] = assistant,
    push: bool = True,
    push_hosts: tuple[str, ...] = ("127.0.0.1",),
    clock: Clock | None = None,
    channel: TaskChannel | None = None,
) -> AsyncIterator[House]:
    """The agent, served."""
    bench = Workbench(root, clock or SystemClock())
    keys = custody()
    entropy = SeededEntropy(f"a2a-{root.name}-{SystemClock().now_us()}")
    app = _Late()
    async with AsyncExitStack() as stack:
        store: Journal = MemoryJournal() if journal is None else journal
        if journal is None and isinstance(store, MemoryJournal):
            await stack.enter_async_context(store)
        webhooks = CheckedWebhookClient(EgressPolicy(allow_private_hosts=push_hosts))
        stack.push_async_callback(webhooks.aclose)
        provider = ScriptedProvider(turn, clock=bench.clock)
        async with runtime_on(store, bench, provider) as runtime, serving(app) as address:
            await runtime.recover_all()
            profile = Profile(
                name="Test agent",
                description="Answers.",
                version="1.2.3",
                base_url=f"{address}/a2a",
                skills=skills,
                organization="Tests",
                organization_url="https://tests.example",
                audience="arcand",
            )
            made = await stack.enter_async_context(
                open_a2a(
                    A2aParts(
                        runtime=runtime,
                        journal=store,
                        custody=keys,
                        clock=bench.clock,
                        entropy=entropy,
                        agent_id="agent-1",
                        till=till,
                        channel=channel,
                        webhooks=webhooks if push else None,
                        vault_key=bytes(32) if push else None,
                    ),
                    profile,
                    callers=caller_of,
                )
            )
            app.inner = UnexpectedErrors(
                Starlette(
                    routes=routes([*made.public_operations, *made.operations]), exception_handlers=EXCEPTION_HANDLERS
                )
            )
            did = keys.capabilities().did
            assert did is not None
            yield House(address, did, made, runtime, store, bench, keys)
            await stack.aclose()


class _Late:
    """An application that is known after its address is."""

    inner: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.inner(scope, receive, send)


async def rpc(home: House, method: str, params: Any = None, **headers: str) -> Any:
    """One JSON-RPC call; the whole answer."""
    async with httpx2.AsyncClient() as http:
        body = {"jsonrpc": "2.0", "id": "1", "method": method, "params": params or {}}
        answer = await http.post(home.rpc, json=body, headers={**VERSION, **_dashed(headers)}, timeout=20)
        assert answer.status_code == 200
        return answer.json()


def said(text: str, message_id: str = "m-1", **more: Any) -> dict[str, Any]:
    """Parameters of SendMessage."""
    configuration = more.pop("configuration", None)
    message = {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": text}], **more}
    return {"message": message, **({"configuration": configuration} if configuration else {})}


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


__all__ = ["FREE", "PAID", "PRIVATE", "VERSION", "House", "custody", "house", "rpc", "said"]

"""A2A at a real `arcand`: the official SDKs call it, a skill is paid, tasks are told in its Spaces, and kill -9 loses none."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from life.anima.custody.in_process import InProcessAnima
from life.anima.identity import agent_id_of_did
from life.anima.tokens import issue_agent_token
from life.crypto.base64url import encode_base64url
from life.crypto.did import resolve_did
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402.networks import PLAY_MONEY
from life.host.a2a import EgressHttp, agent_tokens
from life.host.a2a_paying import PayingAgent
from life.host.clock import SystemClock, SystemEntropy
from life.host.spaces_client import operator_client
from life.lago.journal.memory import MemoryJournal
from life.spaces.a2a.card import X402_EXTENSION
from life.spaces.a2a.client import A2aClient, discover
from life.spaces.a2a.wire import Task, TaskState, text_of
from life.spaces.model import Message
from life.spaces.queries import Rows, TableQuery
from tests.cli.daemon import Arcand, write_script

PEERS = Path(__file__).parents[1] / "peers"
pytestmark = pytest.mark.slow

CONFIG = """
[a2a]
name = "Claire"
description = "Works."
callers = "anyone"

[[a2a.skills]]
id = "talk"
name = "Talk"
description = "Answers."
tags = ["text"]

[[a2a.skills]]
id = "inner"
name = "Inner"
description = "For those who are known."
private = true

[[a2a.skills]]
id = "report"
name = "Report"
description = "Writes a report."
price = "$0.01"

[tools]
allow_private_hosts = ["127.0.0.1"]

[sandbox]
backend = "process"
"""
TURNS: list[dict[str, object]] = [
    {"deltas": ["Good ", "day."]},
    {"text": "Once more."},
    {"calls": [{"tool": "bash", "arguments": {"command": "true"}}]},
    {"text": "It is done."},
]


def daemon(folder: Path) -> Arcand:
    """The daemon, to be started."""
    data = folder / "life"
    data.mkdir(mode=0o700)
    (data / "config.toml").write_text(CONFIG)
    return Arcand(folder, "--provider", write_script(folder / "script.json", TURNS))


def stranger(seed: int = 7) -> tuple[InProcessAnima, Callable[[], Awaitable[str]]]:
    """An agent of another house: its keys, and its tokens for an arcand."""
    clock = SystemClock()
    keys = InProcessAnima.from_seed(bytearray(bytes([seed]) * 32), clock=clock)
    did = keys.capabilities().did
    assert did is not None
    agent_id = agent_id_of_did(did)
    assert agent_id is not None

    async def token() -> str:
        return await issue_agent_token(keys, agent_id=agent_id, audience="arcand", clock=clock, entropy=SystemEntropy())

    return keys, token


def did_of(arcand: Arcand) -> str:
    """The daemon's agent, as its operator knows it."""
    found = arcand.process.stdout().split("did:key:")[1].split()[0]
    return f"did:key:{found}"


@asynccontextmanager
async def calling(arcand: Arcand, keys: InProcessAnima, **more: Any) -> AsyncIterator[A2aClient]:
    """Our client of the daemon, with the agent's tokens."""
    did = keys.capabilities().did
    assert did is not None
    agent_id = agent_id_of_did(did)
    assert agent_id is not None
    tokens = agent_tokens(keys, SystemClock(), SystemEntropy(), agent_id=agent_id, audience="arcand")
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
        yield await discover(arcand.url, EgressHttp(http), trusted=did_of(arcand).__eq__, token=tokens, **more)


class FreshToken(httpx.Auth):
    """A new token with every request."""

    def __init__(self, token: Callable[[], Awaitable[str]]) -> None:
        self._token = token

    async def async_auth_flow(self, request: httpx.Request) -> Any:
        """Authorize one request."""
        request.headers["authorization"] = f"Bearer {await self._token()}"
        yield request


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_the_python_sdk_works_with_a_real_daemon(tmp_path: Path, binding: str) -> None:
    """PyPI a2a-sdk: the signed card verifies, a task streams, is read, listed and cancelled while it waits for approval; the extended card
    has the private skill; without a token nothing but the card is told."""
    pytest.importorskip("a2a", reason="needs PyPI a2a-sdk (the dependency group 'peers')")
    from a2a.client import ClientConfig, ClientFactory
    from a2a.client.card_resolver import A2ACardResolver
    from a2a.types import a2a_pb2 as pb
    from a2a.utils.signing import create_signature_verifier

    def public_key(kid: str | None, _jku: str | None) -> Any:
        assert kid == did_of(arcand)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), resolve_did(kid).public_key)

    def said(text: str, message_id: str, **more: Any) -> Any:
        part = pb.Message(message_id=message_id, role=pb.ROLE_USER, parts=[pb.Part(text=text)], **more)
        return pb.SendMessageRequest(message=part)

    _, token = stranger()
    with daemon(tmp_path) as arcand:
        async with httpx.AsyncClient(timeout=30, trust_env=False, auth=FreshToken(token)) as http:
            verify = create_signature_verifier(public_key, ["ES256"])
            card = await A2ACardResolver(http, arcand.url).get_agent_card(signature_verifier=verify)
            assert (card.name, [skill.id for skill in card.skills]) == ("Claire", ["talk", "report"])
            config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], streaming=True)
            client = ClientFactory(config).create(card)
            events = [event async for event in client.send_message(said("hello", "m-1"))]
            assert events[-1].status_update.status.state == pb.TASK_STATE_COMPLETED
            context = events[0].task.context_id
            got = await client.get_task(pb.GetTaskRequest(id=events[0].task.id))
            assert got.artifacts[0].parts[0].text == "Good day."
            _ = [event async for event in client.send_message(said("again", "m-2", context_id=context))]
            asked = [event async for event in client.send_message(said("sign", "m-3", context_id=context))]
            assert asked[-1].status_update.status.state == pb.TASK_STATE_INPUT_REQUIRED
            cancelled = await client.cancel_task(pb.CancelTaskRequest(id=asked[0].task.id))
            assert cancelled.status.state == pb.TASK_STATE_CANCELED
            listed = await client.list_tasks(pb.ListTasksRequest(context_id=context))
            assert listed.total_size == 3
            extended = await client.get_extended_agent_card(pb.GetExtendedAgentCardRequest())
            assert [skill.id for skill in extended.skills] == ["talk", "inner", "report"]
        with httpx2.Client(trust_env=False) as nobody:
            assert nobody.get(f"{arcand.url}/.well-known/agent-card.json").status_code == 200
            assert nobody.post(f"{arcand.url}/a2a", json={}).status_code == 401
            assert nobody.get(f"{arcand.url}/a2a/v1/tasks").status_code == 401
            shown = {"authorization": f"Bearer {await token()}"}
            assert nobody.get(f"{arcand.url}/sessions", headers=shown).status_code == 403
            again = nobody.get(f"{arcand.url}/a2a/v1/tasks", headers=shown)
            assert again.status_code == 401, "a token works once"


@pytest.mark.part("npm-peers", "node")
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_the_js_sdk_works_with_a_real_daemon(tmp_path: Path, binding: str) -> None:
    """npm @a2a-js/sdk runs its whole list of operations against the daemon, with an agent's tokens."""
    _, token = stranger()
    with daemon(tmp_path) as arcand:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), resolve_did(did_of(arcand)).public_key)
        numbers = key.public_numbers()
        x, y = (encode_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        jwk = {"kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y}
        tokens = [await token() for _ in range(40)]
        process = await asyncio.create_subprocess_exec(
            "node",
            PEERS / "a2a_client.mjs",
            arcand.url,
            binding,
            json.dumps(jwk),
            cwd=PEERS,
            env={"PATH": os.environ["PATH"], "AGENT_TOKENS": json.dumps(tokens)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await asyncio.wait_for(process.communicate(), 50)
        assert process.returncode == 0, error.decode()
    seen: dict[str, Any] = json.loads(out)
    assert seen["refused"] is True
    assert seen["said"]["artifacts"][0]["parts"][0]["text"] == "Good day."
    assert seen["streamed"][-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert seen["asked"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert (seen["kept"], seen["configs"]) == ("t", 1)
    assert seen["cancelled"]["status"]["state"] == "TASK_STATE_CANCELED"
    assert seen["extended"] == ["talk", "inner", "report"]
    assert [error.removeprefix("JsonRpc").removeprefix("Rest") for error in seen["errors"]] == [
        "TaskNotFoundError",
        "TaskNotCancelableError",
        "UnsupportedOperationError",
        "ContentTypeNotSupportedError",
    ]


async def test_a_task_is_told_in_the_daemons_spaces(tmp_path: Path) -> None:
    """What happens to a task stands in #agent-logs of the same process, signed, with the session of its work, for whoever follows; the
    session's own journal has the run. Another owner does not see the task."""
    keys, _ = stranger()
    with daemon(tmp_path) as arcand:
        async with calling(arcand, keys) as peer:
            task = await peer.send(peer.say("hello", message_id="m-1"))
            assert isinstance(task, Task)
            assert task.status.state is TaskState.COMPLETED
        async with operator_client(arcand.data) as client:
            query = Rows(tables=(TableQuery(table="message", where={"channel_id": 2}),))
            async with asyncio.timeout(10):
                while len((await client.query(query)).rows) < 3:
                    await asyncio.sleep(0.05)
            rows = [row for row in (await client.query(query)).rows if isinstance(row, Message)]
        bodies = [json.loads(row.content) for row in rows]
        assert [body["data"]["state"] for body in bodies] == ["submitted", "working", "completed"]
        assert all(row.signature for row in rows)
        session = bodies[-1]["session_id"]
        assert any(event["event_id"] == bodies[-1]["run_id"] for event in arcand.events(session))
        other, _ = stranger(8)
        async with calling(arcand, other) as peer:
            assert (await peer.list()).tasks == ()


async def test_a_paid_skill_of_a_daemon_is_paid_once(tmp_path: Path) -> None:
    """The price stands on the card; hired, the task asks for money, gets it from another agent's purse over x402 on the local ledger, and
    is worked once, however often it is hired with the same message."""
    keys, _ = stranger()
    clock = SystemClock()
    with daemon(tmp_path) as arcand:
        wallet = keys.capabilities().wallet_address
        assert wallet is not None
        arcand.process.stop()
        await fund(arcand, wallet, 50_000)
        arcand.start()
        payer = Payer(
            journal=MemoryJournal(),
            custody=keys,
            clock=clock,
            entropy=SystemEntropy(),
            agent_id="hirer",
            policy=PaymentPolicy(auto_approve_cap_micro=50_000, max_tx_per_minute=100),
        )
        await payer.open()
        async with calling(arcand, keys, extensions=(X402_EXTENSION,)) as peer:
            purse = PayingAgent(peer, payer, clock)
            order = peer.say("write", message_id="order-1", metadata={"skillId": "report"})
            hired = await purse.hire(order)
            assert hired.task.status.state is TaskState.COMPLETED
            assert text_of(hired.task.artifacts[0].parts) == "Good day."
            assert hired.receipt is not None
            assert hired.receipt.state == "settled"
            arcand.process.kill()
            arcand.start()
            assert (await purse.hire(order)).task.id == hired.task.id
        await payer.aclose()
        arcand.process.stop()
        assert await fund(arcand, wallet, 0) == 40_000


async def fund(arcand: Arcand, address: str, amount_atomic: int) -> int:
    """Give play money on the daemon's ledger while it does not run; what is there."""
    from life.host.system import open_system

    async with open_system(arcand.data, environment=arcand.env) as system:
        if amount_atomic:
            await system.ledger.fund(address, amount_atomic, asset=PLAY_MONEY.address)
        return await system.ledger.balance(address, asset=PLAY_MONEY.address)


async def test_kill_9_between_submission_and_answer_loses_no_task(tmp_path: Path) -> None:
    """The daemon dies while the model thinks; the next one finishes the same task, and tells it."""
    data = tmp_path / "life"
    data.mkdir(mode=0o700)
    (data / "config.toml").write_text(CONFIG)
    turns = [{"text": "At last.", "delay_ms": 1_500}]
    keys, _ = stranger()
    with Arcand(tmp_path, "--provider", write_script(tmp_path / "slow.json", turns)) as arcand:
        async with calling(arcand, keys) as peer:
            begun = asyncio.create_task(peer.send(peer.say("hello", message_id="m-1")))
            async with asyncio.timeout(10):
                while not (await peer.list()).tasks:
                    await asyncio.sleep(0.02)
            arcand.process.kill()
            await asyncio.gather(begun, return_exceptions=True)
            arcand.start()
            deadline = time.monotonic() + 15
            while True:
                (task,) = (await peer.list()).tasks
                if task.status.state is TaskState.COMPLETED:
                    break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            done = await peer.send(peer.say("hello", message_id="m-1"))
            assert isinstance(done, Task)
            assert (done.id, text_of(done.artifacts[0].parts)) == (task.id, "At last.")

"""npm `@a2a-js/sdk` as the client of this agent, over both bindings, and as the agent that our client calls."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from life.crypto.base64url import encode_base64url
from life.crypto.did import Curve, encode_did, resolve_did
from life.host.a2a import EgressHttp
from life.spaces.a2a.client import BINDINGS, discover
from life.spaces.a2a.errors import CardRefusedError, TaskNotFoundError
from life.spaces.a2a.wire import Task, TaskState, text_of
from tests.peers.processes import Peer, node
from tests.spaces.a2a.kit import FREE, PRIVATE, house

PEERS = Path(__file__).parents[2] / "peers"
pytestmark = pytest.mark.part("npm-peers", "node")


def jwk_of(point: bytes) -> dict[str, str]:
    """The public JWK of a P-256 point."""
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point).public_numbers()
    x, y = (encode_base64url(number.to_bytes(32, "big")) for number in (key.x, key.y))
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y}


@pytest.mark.parametrize("binding", BINDINGS)
async def test_the_js_sdk_uses_this_agent(tmp_path: Path, binding: str) -> None:
    """It verifies the signed card (and refuses a changed one), sends, streams, gets, lists, configures notifications, follows,
    cancels, reads the extended card, and gets the protocol's errors as its own."""
    async with house(tmp_path, skills=(FREE, PRIVATE)) as home:
        jwk = jwk_of(resolve_did(home.did).public_key)
        process = await asyncio.create_subprocess_exec(
            "node",
            PEERS / "a2a_client.mjs",
            home.address,
            binding,
            json.dumps(jwk),
            cwd=PEERS,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, error.decode()
        seen: dict[str, Any] = json.loads(out)
    assert seen["refused"] is True
    assert seen["said"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert seen["said"]["artifacts"][0]["parts"][0]["text"] == "You said 'hello', question 1."
    assert seen["streamed"][-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    told = [event["artifactUpdate"]["artifact"]["parts"] for event in seen["streamed"] if "artifactUpdate" in event]
    assert "".join(part.get("text", "") for parts in told for part in parts) == "You said 'again', question 2."
    assert len(seen["got"]["history"]) == 1
    assert seen["listed"] == {"total": 2, "tasks": 1, "next": True}
    assert seen["asked"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert seen["kept"] == "t"
    assert seen["configs"] == 1
    assert seen["cancelled"]["status"]["state"] == "TASK_STATE_CANCELED"
    assert seen["followed"][0]["task"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert seen["followed"][-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_CANCELED"
    assert seen["extended"] == ["talk", "inner"]
    assert [error.removeprefix("JsonRpc").removeprefix("Rest") for error in seen["errors"]] == [
        "TaskNotFoundError",
        "TaskNotCancelableError",
        "UnsupportedOperationError",
        "ContentTypeNotSupportedError",
    ]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_our_client_uses_an_agent_of_the_js_sdk(binding: str) -> None:
    """Its signed card is verified by the DID that signed it, and refused for any other; send, stream, get, cancel, errors."""
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    did = encode_did(Curve.P256, point)
    secret = encode_base64url(key.private_numbers().private_value.to_bytes(32, "big"))
    arguments = node("a2a_server.mjs", jwk=json.dumps({**jwk_of(point), "d": secret}), did=did)
    peer_process = await asyncio.to_thread(Peer.start, arguments)
    with peer_process:
        async with httpx2.AsyncClient(timeout=20) as http:
            with pytest.raises(CardRefusedError):
                await discover(peer_process.url, EgressHttp(http), trusted=lambda other: other != did)
            peer = await discover(peer_process.url, EgressHttp(http), trusted=did.__eq__, bindings=(binding,))
            assert (peer.signer, peer.binding) == (did, binding)
            task = await peer.send(peer.say("hi", message_id="m-1"))
            assert isinstance(task, Task)
            assert task.status.state is TaskState.COMPLETED
            assert text_of(task.artifacts[0].parts) == "echo hi"
            events = [event async for event in peer.stream(peer.say("there", message_id="m-2"))]
            assert any(event.artifact_update is not None for event in events)
            assert (await peer.get(task.id)).id == task.id
            with pytest.raises(TaskNotFoundError):
                await peer.get("nothing")
            streaming = peer.stream(peer.say("hang", message_id="m-3"))
            begun = (await anext(streaming)).task
            assert begun is not None
            await anext(streaming)
            assert (await peer.cancel(begun.id)).status.state is TaskState.CANCELED
            await streaming.aclose()

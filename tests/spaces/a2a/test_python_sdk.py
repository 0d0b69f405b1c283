"""PyPI `a2a-sdk` as the client of this agent, over both bindings, and as the agent that our client calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from life.crypto.did import Curve, encode_did, resolve_did
from life.host.a2a import EgressHttp
from life.spaces.a2a.client import BINDINGS, discover
from life.spaces.a2a.errors import CardRefusedError, TaskNotFoundError
from life.spaces.a2a.wire import Task, TaskState, text_of
from tests.host.serving import serving
from tests.spaces.a2a.kit import FREE, PRIVATE, House, house

pytest.importorskip("a2a", reason="needs PyPI a2a-sdk (the dependency group 'peers')")

from a2a.client import ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotCancelableError as SdkNotCancelable
from a2a.utils.errors import TaskNotFoundError as SdkNotFound
from a2a.utils.errors import UnsupportedOperationError as SdkUnsupported
from a2a.utils.signing import (
    InvalidSignaturesError,
    create_agent_card_signer,
    create_signature_verifier,
)
from starlette.applications import Starlette


def public_key(kid: str | None, _jku: str | None) -> EllipticCurvePublicKey:
    """The key that a did:key names."""
    assert kid is not None
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), resolve_did(kid).public_key)


def message(text: str, message_id: str, **more: Any) -> pb.SendMessageRequest:
    """A request of the SDK."""
    said = pb.Message(message_id=message_id, role=pb.ROLE_USER, parts=[pb.Part(text=text)], **more)
    return pb.SendMessageRequest(message=said)


@asynccontextmanager
async def sdk_client(home: House, binding: str, *, owner: str = "agent:alice") -> AsyncIterator[Any]:
    """The SDK's client of our agent, over one binding, from the verified card."""
    verify = create_signature_verifier(public_key, ["ES256"])  # type: ignore[arg-type]
    async with httpx.AsyncClient(headers={"x-owner": owner, "x-approve": "1"}, timeout=20) as http:
        card = await A2ACardResolver(http, home.address).get_agent_card(signature_verifier=verify)
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], streaming=True)
        yield ClientFactory(config).create(card)


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_the_sdk_uses_every_operation_of_this_agent(tmp_path: Path, binding: str) -> None:
    """Signed card, streaming, get, list, cancel, subscribe, push configurations, extended card, and the protocol's errors as the SDK's
    own exceptions."""
    async with house(tmp_path, skills=(FREE, PRIVATE)) as home, sdk_client(home, binding) as client:
        events = [event async for event in client.send_message(message("hello", "m-1"))]
        assert events[0].WhichOneof("payload") == "task"
        assert events[-1].status_update.status.state == pb.TASK_STATE_COMPLETED
        told = "".join(
            part.text
            for event in events
            if event.HasField("artifact_update")
            for part in event.artifact_update.artifact.parts
        )
        assert told == "You said 'hello', question 1."
        task_id = events[0].task.id
        task = await client.get_task(pb.GetTaskRequest(id=task_id))
        assert task.artifacts[0].parts[0].text == told
        assert task.history[0].parts[0].text == "hello"

        context = task.context_id
        again = [event async for event in client.send_message(message("and now", "m-2", context_id=context))]
        listed = await client.list_tasks(pb.ListTasksRequest(context_id=context, include_artifacts=True))
        assert [each.id for each in listed.tasks] == [again[0].task.id, task_id]
        assert listed.tasks[0].artifacts[0].parts[0].text == "You said 'and now', question 2."
        assert listed.total_size == 2

        asked = [event async for event in client.send_message(message("sign it", "m-3"))]
        assert asked[-1].status_update.status.state == pb.TASK_STATE_INPUT_REQUIRED
        signing = asked[0].task
        config = pb.TaskPushNotificationConfig(task_id=signing.id, id="c", url="http://127.0.0.1:9/", token="secret")
        assert (await client.create_task_push_notification_config(config)).id == "c"
        kept = await client.get_task_push_notification_config(
            pb.GetTaskPushNotificationConfigRequest(task_id=signing.id, id="c")
        )
        assert kept.token == "secret"
        configs = await client.list_task_push_notification_configs(
            pb.ListTaskPushNotificationConfigsRequest(task_id=signing.id)
        )
        assert [each.id for each in configs.configs] == ["c"]
        await client.delete_task_push_notification_config(
            pb.DeleteTaskPushNotificationConfigRequest(task_id=signing.id, id="c")
        )
        following = client.subscribe(pb.SubscribeToTaskRequest(id=signing.id))
        assert (await anext(following)).task.status.state == pb.TASK_STATE_INPUT_REQUIRED
        yes = message("approve", "m-4", task_id=signing.id)
        done = [event async for event in client.send_message(yes)]
        assert done[-1].status_update.status.state == pb.TASK_STATE_COMPLETED
        assert [event async for event in following][-1].status_update.status.state == pb.TASK_STATE_COMPLETED

        hanging = asyncio.ensure_future(_all(client.send_message(message("hang", "m-5"))))
        await asyncio.wait_for(home.bench.hanging.wait(), 10)
        (busy,) = (await client.list_tasks(pb.ListTasksRequest(status=pb.TASK_STATE_WORKING))).tasks
        cancelled = await client.cancel_task(pb.CancelTaskRequest(id=busy.id))
        assert cancelled.status.state == pb.TASK_STATE_CANCELED
        assert (await hanging)[-1].status_update.status.state == pb.TASK_STATE_CANCELED

        extended = await client.get_extended_agent_card(pb.GetExtendedAgentCardRequest())
        assert [skill.id for skill in extended.skills] == ["talk", "inner"]
        with pytest.raises(SdkNotFound):
            await client.get_task(pb.GetTaskRequest(id="nothing"))
        with pytest.raises(SdkNotCancelable):
            await client.cancel_task(pb.CancelTaskRequest(id=busy.id))
        with pytest.raises(SdkUnsupported):
            await _all(client.subscribe(pb.SubscribeToTaskRequest(id=busy.id)))


async def test_the_sdk_refuses_a_changed_card_of_ours(tmp_path: Path) -> None:
    """One letter of the name, and the SDK's verifier says no."""
    async with house(tmp_path) as home, sdk_client(home, "JSONRPC"):
        verify = create_signature_verifier(public_key, ["ES256"])  # type: ignore[arg-type]
        async with httpx.AsyncClient() as http:
            card = await A2ACardResolver(http, home.address).get_agent_card()
            verify(card)
            card.name += "!"
            with pytest.raises(InvalidSignaturesError):
                verify(card)


class Echo(AgentExecutor):
    """An agent of the SDK: streams an artifact; `hang` waits to be cancelled."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """See AgentExecutor."""
        assert context.task_id and context.context_id and context.message
        text = context.get_user_input()
        task = context.current_task
        if task is None:
            task = pb.Task(
                id=context.task_id,
                context_id=context.context_id,
                status=pb.TaskStatus(state=pb.TASK_STATE_SUBMITTED),
                history=[context.message],
            )
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        if text == "hang":
            await asyncio.sleep(3600)
        await updater.add_artifact([pb.Part(text=f"echo {text}")], artifact_id="a", name="echo")
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """See AgentExecutor."""
        assert context.task_id and context.context_id
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def sdk_app(address: str, card: pb.AgentCard) -> Starlette:
    """The SDK's server."""
    handler = DefaultRequestHandler(agent_executor=Echo(), task_store=InMemoryTaskStore(), agent_card=card)
    return Starlette(
        routes=[
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, "/rpc"),
            *create_rest_routes(handler, path_prefix="/rest"),
        ]
    )


def sdk_card(address: str) -> tuple[pb.AgentCard, str]:
    """A card signed by the SDK, and the DID of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    did = encode_did(Curve.P256, point)
    card = pb.AgentCard(
        name="Echo",
        description="Says it again.",
        version="1",
        supported_interfaces=[
            pb.AgentInterface(url=f"{address}/rpc", protocol_binding="JSONRPC", protocol_version="1.0"),
            pb.AgentInterface(url=f"{address}/rest", protocol_binding="HTTP+JSON", protocol_version="1.0"),
        ],
        capabilities=pb.AgentCapabilities(streaming=True, push_notifications=False),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[pb.AgentSkill(id="echo", name="Echo", description="Says it again.", tags=["text"])],
    )
    sign = create_agent_card_signer(key, {"alg": "ES256", "kid": did, "typ": "JOSE", "jku": None})  # type: ignore[arg-type]
    return sign(card), did


class Late:
    """An application that is known after its address is."""

    inner: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.inner(scope, receive, send)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_our_client_uses_an_agent_of_the_sdk(binding: str) -> None:
    """Its signed card is verified by the DID that signed it, and refused for any other; send, stream, get, list, cancel, and its
    errors as ours."""
    app = Late()
    async with serving(app) as address, httpx2.AsyncClient(timeout=20) as http:
        card, did = sdk_card(address)
        app.inner = sdk_app(address, card)
        with pytest.raises(CardRefusedError):
            await discover(address, EgressHttp(http), trusted=lambda other: other != did)
        peer = await discover(address, EgressHttp(http), trusted=did.__eq__, bindings=(binding,))
        assert peer.signer == did
        assert peer.binding == binding
        task = await peer.send(peer.say("hi", message_id="m-1"))
        assert isinstance(task, Task)
        assert task.status.state is TaskState.COMPLETED
        assert text_of(task.artifacts[0].parts) == "echo hi"
        events = [event async for event in peer.stream(peer.say("there", message_id="m-2"))]
        assert events[-1].status_update is not None
        assert events[-1].status_update.status.state is TaskState.COMPLETED
        assert (await peer.get(task.id)).id == task.id
        assert {each.id for each in (await peer.list()).tasks} >= {task.id}
        with pytest.raises(TaskNotFoundError):
            await peer.get("nothing")
        streaming = peer.stream(peer.say("hang", message_id="m-3"))
        begun = (await anext(streaming)).task
        assert begun is not None
        assert (await peer.cancel(begun.id)).status.state is TaskState.CANCELED
        await streaming.aclose()


async def _all(events: AsyncIterator[Any]) -> list[Any]:
    return [event async for event in events]

"""The AI SDK's stream and chat door, read by npm `ai` in its versions 6 and 7."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.arcan.doors.kit import House, frames, house, node, types

VERSIONS = [("ai-v6", "6"), ("ai", "7")]


def post(text: str, *, message_id: str = "u1", chat: str = "chat") -> dict[str, Any]:
    message = {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": chat, "messages": [message], "trigger": "submit-message"}


@pytest.mark.part("npm-peers", "node")
@pytest.mark.parametrize(("package", "version"), VERSIONS)
async def test_a_run_with_a_tool_is_one_message(tmp_path: Path, package: str, version: str) -> None:
    """Acceptance 9: every chunk passes the SDK's schema, tool parts with input and output, one start, one finish."""
    async with house(tmp_path) as home:
        seen = await node(
            "ai_sdk_chat.mjs", package, f"{home.address}/ai-sdk/chat?version={version}", "transfer bob", "none"
        )
    told = types(seen["posts"][0]["chunks"])
    assert (told.count("start"), told.count("finish"), told[-1]) == (1, 1, "finish")
    assert seen["posts"][0]["errors"] == []
    parts = seen["message"]["parts"]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    tool = next(part for part in parts if part["type"] == "tool-transfer")
    assert texts == ["I send it.", "It is done."]
    assert (tool["state"], tool["input"], tool["output"]) == ("output-available", {"to": "bob"}, {"to": "bob"})


@pytest.mark.part("npm-peers", "node")
@pytest.mark.parametrize(("package", "version"), VERSIONS)
@pytest.mark.parametrize("answer", ["yes", "no"])
async def test_an_approval_is_asked_and_answered(tmp_path: Path, package: str, version: str, answer: str) -> None:
    """The stream ends at the request; the client's answer goes on with the same message; the call runs once, or not at all."""
    async with house(tmp_path) as home:
        seen = await node(
            "ai_sdk_chat.mjs", package, f"{home.address}/ai-sdk/chat?version={version}", "sign this", answer
        )
        first, sends, second = seen["posts"]
        assert types(first["chunks"])[-3:] == ["tool-approval-request", "finish-step", "finish"]
        assert sends["sends"], "the SDK itself would send the answer"
        assert first["errors"] == second["errors"] == []
        assert (types(second["chunks"]).count("start"), types(second["chunks"]).count("finish")) == (1, 1)
        tool = next(part for part in seen["message"]["parts"] if part["type"] == "tool-sign")
        assert tool["state"] == ("output-available" if answer == "yes" else "output-denied")
        assert home.bench.effects() == (["sign:this"] if answer == "yes" else [])
        assert seen["message"]["id"] == first["message"]["id"], "it is still one message"
        assert seen["message"]["parts"][-1]["text"] == ("It is done." if answer == "yes" else "It failed.")


async def test_the_same_message_posted_again_is_the_same_run(tmp_path: Path) -> None:
    """A browser that repeats its post gets the run told again; nothing happens twice."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        one = await http.post("/ai-sdk/chat", json=post("transfer bob"))
        two = await http.post("/ai-sdk/chat", json=post("transfer bob"))
        assert one.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert one.text.endswith("data: [DONE]\n\n")
        assert frames(one.text)[0] == frames(two.text)[0]
        assert len(home.bench.effects()) == 1


async def test_an_approval_answered_twice_happens_once(tmp_path: Path) -> None:
    """The post with the answer, repeated, tells the rest again; an answer to what was never asked is refused."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        told = frames((await http.post("/ai-sdk/chat", json=post("sign this"))).text)
        request = next(frame for frame in told if frame != "[DONE]" and frame["type"] == "tool-approval-request")
        tool = {
            "type": "tool-sign",
            "state": "approval-responded",
            "approval": {"id": request["approvalId"], "approved": True},
        }
        assistant = {"id": told[0]["messageId"], "role": "assistant", "parts": [tool]}
        body = {**post("sign this"), "messages": [*post("sign this")["messages"], assistant]}
        for _ in range(2):
            assert (await http.post("/ai-sdk/chat", json=body)).status_code == 200
        assert home.bench.effects() == ["sign:this"]
        tool["approval"] = {"id": "never-asked", "approved": True}
        assert (await http.post("/ai-sdk/chat", json=body)).status_code == 409


async def test_resuming(tmp_path: Path) -> None:
    """204 when nothing is open; otherwise the open run from its beginning, and only that."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        await http.post("/ai-sdk/chat", json=post("hello"))
        assert (await http.get("/ai-sdk/chat/chat/stream")).status_code == 204
        assert (await http.get("/ai-sdk/chat/nobody/stream")).status_code == 404
        async with http.stream("POST", "/ai-sdk/chat", json=post("hang", message_id="u2")) as answer:
            async for line in answer.aiter_lines():
                if "tool-input-available" in line:
                    break
        await home.bench.hanging.wait()
        async with http.stream("GET", "/ai-sdk/chat/chat/stream") as answer:
            lines = []
            async for line in answer.aiter_lines():
                lines.append(line)
                if "tool-input-available" in line:
                    await home.runtime.cancel("chat")
        told = [each for each in types(frames("\n".join(lines))) if not each.startswith("data-")]
        assert told[0] == "start" and told.count("start") == told.count("finish") == 1 and told[-1] == "[DONE]"
        assert "text-start" not in told, "the run before is not told"


FORMATS = ["openai", "anthropic", "ai_sdk_v6", "ai_sdk_v7"]


async def _two_runs(home: House) -> tuple[str, str]:
    await home.runtime.create_session("s")
    return (await home.runtime.run("s", "transfer ann")).run_id, (await home.runtime.run("s", "hello")).run_id


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_named_run_is_told_alone(tmp_path: Path, format_: str) -> None:
    """`run` chooses; the stream ends with it, in every format."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        first, second = await _two_runs(home)
        path = f"/sessions/s/events/stream?format={format_}"
        one, two = (await http.get(f"{path}&run={first}")).text, (await http.get(f"{path}&run={second}")).text
        assert "I send it." in one and "You said" not in one
        assert "I send it." not in two and "You said" in two
        if format_ != "anthropic":
            assert one.endswith("data: [DONE]\n\n") and one.count("[DONE]") == 1


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_cut_stream_goes_on_at_every_event(tmp_path: Path, format_: str) -> None:
    """Cut after each event and resumed with Last-Event-ID: what was read and what comes are the whole, byte for byte."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        first, _ = await _two_runs(home)
        path = f"/sessions/s/events/stream?format={format_}"
        whole = (await http.get(f"{path}&run={first}")).text
        blocks = whole.split("\n\n")[:-1]
        read = ""
        for block in blocks:
            read += block + "\n\n"
            ids = [line.removeprefix("id: ") for line in block.splitlines() if line.startswith("id: ")]
            if ids and read != whole and "[DONE]" not in read and "message_stop" not in read:
                rest = await http.get(path, headers={"last-event-id": ids[0]})
                assert read + rest.text == whole, ids


async def test_what_can_not_be_streamed(tmp_path: Path) -> None:
    """Unknown formats, runs, sessions and cursors; 204 instead of waiting, when asked."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        await home.runtime.create_session("s")
        stream = "/sessions/s/events/stream"
        assert (await http.get(f"{stream}?format=morse")).status_code == 400
        assert (await http.get(f"{stream}?format=openai&run=none")).status_code == 404
        assert (await http.get(f"{stream}?format=openai&cursor=x")).status_code == 400
        assert (await http.get("/sessions/t/events/stream?format=openai")).status_code == 404
        assert (await http.get(f"{stream}?format=ai_sdk_v6&wait=false")).status_code == 204

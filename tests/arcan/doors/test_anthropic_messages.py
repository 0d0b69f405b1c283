"""POST /v1/messages with the official anthropic client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.arcan.doors.kit import House, house

anthropic = pytest.importorskip("anthropic")


def client(home: House) -> Any:
    return anthropic.AsyncAnthropic(base_url=home.address, api_key="none", max_retries=0)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


async def test_a_message_has_a_block_for_each_thing_said(tmp_path: Path) -> None:
    """Not streamed: text blocks, stop reason, usage; tools are not shown."""
    async with house(tmp_path) as home, client(home) as anthropic_client:
        message = await anthropic_client.messages.create(model="life", max_tokens=9, messages=[user("transfer bob")])
        assert [block.text for block in message.content] == ["I send it.", "It is done."]
        assert (message.stop_reason, message.model, message.role) == ("end_turn", "life", "assistant")
        assert message.usage.output_tokens > 0


async def test_a_stream_accumulates_to_the_same(tmp_path: Path) -> None:
    """The client's accumulator builds the message; its text stream is the words as they come."""
    async with house(tmp_path) as home, client(home) as anthropic_client:
        async with anthropic_client.messages.stream(model="life", max_tokens=9, messages=[user("hello")]) as stream:
            pieces = [text async for text in stream.text_stream]
            message = await stream.get_final_message()
    assert "".join(pieces) == "You said 'hello', question 1." == message.content[0].text
    assert message.stop_reason == "end_turn"


async def test_history_as_blocks_continues_the_session(tmp_path: Path) -> None:
    """The client sends back the content blocks that it was given."""
    async with house(tmp_path) as home, client(home) as anthropic_client:

        async def ask(messages: list[Any]) -> tuple[str, Any]:
            raw = await anthropic_client.messages.with_raw_response.create(
                model="life", max_tokens=9, messages=messages, system="Be kind."
            )
            return raw.headers["x-life-session"], await raw.parse()

        first, message = await ask([user("transfer bob")])
        blocks = [block.model_dump(include={"type", "text"}) for block in message.content]
        second, _ = await ask([user("transfer bob"), {"role": "assistant", "content": blocks}, user("two")])
        assert second == first
        assert "Be kind." in home.requests[0].system


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": [{"name": "transfer", "input_schema": {"type": "object"}}]},
        {"stop_sequences": ["x"]},
        {"messages": []},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        {"max_tokens": 0},
    ],
)
async def test_what_is_not_done_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """400 in Anthropic's shape; nothing ran."""
    async with house(tmp_path) as home, client(home) as anthropic_client:
        body = {"model": "life", "max_tokens": 9, "messages": [user("transfer x")], **wrong}
        with pytest.raises(anthropic.BadRequestError) as caught:
            await anthropic_client.messages.create(**body)
        assert caught.value.body["error"]["type"] == "invalid_request_error"
        assert not home.bench.effects()


async def test_an_unknown_model_is_not_found(tmp_path: Path) -> None:
    """404 in Anthropic's shape."""
    async with house(tmp_path) as home, client(home) as anthropic_client:
        with pytest.raises(anthropic.NotFoundError) as caught:
            await anthropic_client.messages.create(model="claude-none", max_tokens=9, messages=[user("x")])
        assert caught.value.body["error"]["type"] == "not_found_error"

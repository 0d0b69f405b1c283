"""POST /v1/chat/completions and GET /v1/models with the official openai client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.arcan.doors.kit import House, house

openai = pytest.importorskip("openai")


def client(home: House, **options: Any) -> Any:
    return openai.AsyncOpenAI(base_url=f"{home.address}/v1", api_key="none", max_retries=0, **options)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


async def test_one_question_one_answer(tmp_path: Path) -> None:
    """The completion has the answer, a finish reason, the usage, and says which session and run it is."""
    async with house(tmp_path) as home, client(home) as openai_client:
        raw = await openai_client.chat.completions.with_raw_response.create(
            model="life", messages=[user("hello")], temperature=0.3, max_tokens=7
        )
        completion = raw.parse()
        assert completion.choices[0].message.content == "You said 'hello', question 1."
        assert completion.choices[0].finish_reason == "stop"
        assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
        assert raw.headers["x-life-not-applied"] == "temperature, max_tokens"
        state = await home.runtime.state(raw.headers["x-life-session"])
        assert state.last_run is not None and completion.id == f"chatcmpl-{state.last_run.run_id}"


async def test_a_stream_hides_the_agents_tools_and_sets_its_messages_apart(tmp_path: Path) -> None:
    """Two messages around a tool call come as one text; one finish reason; usage when asked for; the client's model name."""
    async with house(tmp_path) as home, client(home) as openai_client:
        stream = await openai_client.chat.completions.create(
            model="life", messages=[user("transfer bob")], stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "I send it.\n\nIt is done."
    assert not any(choice.delta.tool_calls for choice in choices)
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert chunks[-1].usage is not None and {chunk.model for chunk in chunks} == {"life"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_resends_its_history_continues_its_session(tmp_path: Path, streamed: bool) -> None:
    """Same turns: same session, and the agent sees each turn once. Another answer in them: a new session that knows the turns."""
    async with house(tmp_path) as home, client(home) as openai_client:

        async def ask(*messages: dict[str, str]) -> tuple[str, str]:
            raw = await openai_client.chat.completions.with_raw_response.create(
                model="life", messages=list(messages), stream=streamed
            )
            parsed = raw.parse()
            if streamed:
                texts = [chunk.choices[0].delta.content or "" async for chunk in parsed if chunk.choices]
                return raw.headers["x-life-session"], "".join(texts)
            return raw.headers["x-life-session"], parsed.choices[0].message.content

        first, answer = await ask(user("one"))
        second, next_answer = await ask(user("one"), said(answer), user("two"))
        assert (second, next_answer) == (first, "You said 'two', question 2.")
        third, _ = await ask(user("one"), said(answer), user("two"), said(f" {next_answer}\n"), user("three"))
        assert third == first, "blanks around a text don't count"
        forked, forked_answer = await ask(user("one"), said(answer), user("other"))
        assert forked != first, "the session has gone on since"
        assert forked_answer == "You said 'other', question 2.", "the turns came along"
        foreign, _ = await ask(user("one"), said("I never said that."), user("two"))
        assert foreign not in (first, forked)
        assert (await ask(user("one")))[0] != first, "a first question is a new conversation"


async def test_a_named_session_gets_the_last_question_only(tmp_path: Path) -> None:
    """By header or by metadata; what the client remembers of it is not written again."""
    async with house(tmp_path) as home, client(home) as openai_client:
        create = openai_client.chat.completions.create
        await create(model="life", messages=[user("one")], extra_headers={"x-life-session": "mine"})
        history = [user("something"), said("else"), user("two")]
        answer = await create(model="life", messages=history, metadata={"session_id": "mine"})
        assert answer.choices[0].message.content == "You said 'two', question 2."


async def test_the_same_key_runs_once(tmp_path: Path) -> None:
    """Repeated, and at the same time: one run, one effect, the same answer. Another request under the key conflicts."""
    async with house(tmp_path) as home, client(home) as openai_client:

        async def ask(text: str) -> Any:
            return await openai_client.chat.completions.create(
                model="life", messages=[user(text)], extra_headers={"idempotency-key": "k1"}
            )

        answers = await asyncio.gather(*(ask("transfer bob") for _ in range(5)))
        answers.append(await ask("transfer bob"))
        assert len({answer.id for answer in answers}) == 1
        assert len(home.bench.effects()) == 1
        with pytest.raises(openai.ConflictError):
            await ask("transfer eve")


async def test_a_clients_own_retry_joins_the_run(tmp_path: Path) -> None:
    """What the official client repeats by itself, without a key, does not run twice; two people who say the same do."""
    async with house(tmp_path) as home, client(home) as openai_client:
        create = openai_client.chat.completions.create
        first = await create(model="life", messages=[user("transfer bob")])
        again = await create(
            model="life", messages=[user("transfer bob")], extra_headers={"x-stainless-retry-count": "1"}
        )
        assert again.id == first.id and len(home.bench.effects()) == 1
        other = await create(model="life", messages=[user("transfer bob")])
        assert other.id != first.id and len(home.bench.effects()) == 2
        named = {"x-life-session": "mine"}
        one = await create(model="life", messages=[user("transfer bob")], extra_headers=named)
        retried = named | {"x-stainless-retry-count": "1"}
        two = await create(model="life", messages=[user("transfer bob")], extra_headers=retried)
        assert one.id == two.id and len(home.bench.effects()) == 3


async def test_a_client_that_leaves_stops_nothing(tmp_path: Path) -> None:
    """The connection is cut after the first chunk; the run ends, and the conversation can be continued."""
    async with house(tmp_path) as home, client(home) as openai_client:
        stream = await openai_client.chat.completions.create(model="life", messages=[user("transfer bob")], stream=True)
        session_id = stream.response.headers["x-life-session"]
        await anext(aiter(stream))
        await stream.close()
        report = await home.runtime.wait(session_id)
        assert report.reason == "completed" and len(home.bench.effects()) == 1
        history = [user("transfer bob"), said("I send it.\n\nIt is done."), user("thanks")]
        async with asyncio.timeout(5):
            while True:
                raw = await openai_client.chat.completions.with_raw_response.create(model="life", messages=history)
                if raw.headers["x-life-session"] == session_id:
                    break


async def test_models_are_listed_and_others_unknown(tmp_path: Path) -> None:
    """`life` is there; a name that nobody offers is the client's NotFoundError with OpenAI's code."""
    async with house(tmp_path) as home, client(home) as openai_client:
        assert [model.id async for model in openai_client.models.list()] == ["life"]
        assert (await openai_client.models.retrieve("life")).id == "life"
        with pytest.raises(openai.NotFoundError) as caught:
            await openai_client.chat.completions.create(model="gpt-none", messages=[user("x")])
        assert caught.value.code == "model_not_found" and caught.value.param == "model"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "transfer", "parameters": {}}}]}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools"),
        ({"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "tool", "tool_call_id": f"call_{'0' * 26}_1", "content": "x"}]}, "messages"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"n": 2}, "n"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"stop": ["x"]}, "stop"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content",
        ),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    ],
)
async def test_what_is_not_done_is_refused_by_name(tmp_path: Path, wrong: dict[str, Any], param: str) -> None:
    """400 in OpenAI's shape with the parameter; nothing ran. Among them: a client's tool with the name of ours."""
    async with house(tmp_path) as home, client(home) as openai_client:
        with pytest.raises(openai.BadRequestError) as caught:
            await openai_client.chat.completions.create(**{"model": "life", "messages": [user("transfer x")], **wrong})
        assert caught.value.param == param and caught.value.type == "invalid_request_error"
        assert not home.bench.effects() and not await home.runtime.sessions()


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": 1}', b"\xff", b"[" * 100_000, b'{"model":"life"}'])
async def test_broken_bodies(tmp_path: Path, body: bytes) -> None:
    """400, never a traceback."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/ai-sdk/chat", "/ag-ui/runs"):
            answer = await http.post(path, content=body)
            assert answer.status_code == 400, (path, answer.text)
            if path.startswith("/v1"):
                assert set(answer.json()["error"]) >= {"message", "type"}


async def test_a_giant_body_is_refused(tmp_path: Path) -> None:
    """More than four megabytes are not read."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        answer = await http.post("/v1/chat/completions", content=b" " * 5_000_000)
        assert answer.status_code == 400


async def test_owners_do_not_meet(tmp_path: Path) -> None:
    """The same conversation of another owner is another session; naming somebody's session does not open it."""
    async with house(tmp_path) as home:
        async with (
            client(home, default_headers={"x-owner": "ann"}) as ann,
            client(home, default_headers={"x-owner": "bob"}) as bob,
        ):
            history = [user("one"), said("You said 'one', question 1."), user("two")]
            mine = await ann.chat.completions.with_raw_response.create(model="life", messages=history[:1])
            other = await bob.chat.completions.with_raw_response.create(model="life", messages=history)
            assert other.headers["x-life-session"] != mine.headers["x-life-session"]
            with pytest.raises(openai.ConflictError):
                await bob.chat.completions.create(
                    model="life",
                    messages=[user("two")],
                    extra_headers={"x-life-session": mine.headers["x-life-session"]},
                )
            assert (await home.runtime.state(mine.headers["x-life-session"])).totals.runs == 1

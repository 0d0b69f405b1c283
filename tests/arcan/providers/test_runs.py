"""Whole runs with models that think, see, cost and fail: what stands in the journal, and that nothing else is needed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from life.aios import events
from life.aios.events.codec import read_custom
from life.aios.events.kind import ImageReference
from life.aios.ports.provider import (
    ChatMessage,
    ImageBlock,
    ModelNotice,
    ReasoningBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from life.aios.record import EventRecord
from life.arcan.conversation import Conversation, build_request, encode_request
from life.arcan.events import MODEL_NOTICE, REASONING, PlacedReasoning, Reasoning
from life.arcan.providers.anthropic import AnthropicProvider
from life.arcan.providers.gemini import GeminiProvider
from life.arcan.providers.openai_responses import OpenAIResponsesProvider
from life.arcan.providers.opening import ModelOptions, ProviderOpener
from life.arcan.providers.retry import RetryPolicy
from life.arcan.providers.scripted import ScriptedProvider
from life.arcan.state import fold
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.provider import PICTURE, PICTURE_BLOB, read_picture
from tests.arcan.providers.vendor_server import VendorServer
from tests.arcan.workbench import Workbench, calls, history, runtime_on, says, script

KEY = "sk-test-4c1d7a90"  # invented

SEALS = {
    "anthropic": ["EqQBCgIYAhIM1gbcDa9GJwZA", "EmwKAhgBEgy3va3pzix/LafPsn4a"],
    "openai_responses": ["gAAAAABo-sealed-reasoning=="],
    "gemini": ["c2VhbGVkLXNpZ25hdHVyZS0y"],
}
VENDOR_CALL = {"anthropic": "toolu_01T", "openai_responses": "call_t1", "gemini": "fn-9"}


def provider_of(name: str, url: str) -> AnthropicProvider | OpenAIResponsesProvider | GeminiProvider:
    """A provider of this vendor."""
    if name == "anthropic":
        return AnthropicProvider(api_key=KEY, clock=ManualClock(), base_url=url, timeout_s=5)
    if name == "gemini":
        return GeminiProvider(api_key=KEY, clock=ManualClock(), base_url=url, timeout_s=5)
    return OpenAIResponsesProvider(api_key=KEY, clock=ManualClock(), base_url=f"{url}/v1", timeout_s=5)


def notices(records: list[EventRecord]) -> list[ModelNotice]:
    """The notices in a journal."""
    found = []
    for record in records:
        kind = record.kind
        if isinstance(kind, events.Custom) and kind.event_type == MODEL_NOTICE:
            notice = read_custom(kind, MODEL_NOTICE, ModelNotice)
            assert notice is not None
            found.append(notice)
    return found


@pytest.mark.parametrize("name", ["anthropic", "openai_responses", "gemini"])
async def test_reasoning_is_in_the_journal_and_goes_back_after_a_restart(tmp_path: Path, name: str) -> None:
    """The model thinks, calls a tool and answers. Its thoughts are an event, not words of the answer; another process that
    reads the journal sends them back as they came, with the vendor's own call id."""
    bench = Workbench(tmp_path)
    (bench.workspace / "a.txt").write_text("alpha")
    journal = MemoryJournal()
    async with VendorServer(name) as server:
        server.play("thinking_call", "text", "text")
        provider = provider_of(name, server.url)
        async with runtime_on(journal, bench, provider) as runtime:
            await runtime.create_session("s")
            report = await runtime.run("s", "Look at it.")
        async with runtime_on(journal, bench, provider, seed="again") as again:
            await again.run("s", "And now?")
        await provider.aclose()
    assert (report.reason, report.final_answer) == ("completed", "Hello, world!")
    for body in server.bodies[1:]:
        for seal in SEALS[name]:
            assert seal in body
        assert body.count(VENDOR_CALL[name]) == 2, "the call and its result"
        assert "call-1" not in body and "alpha" in body
    records = await history(journal, "s")
    kinds = [record.kind for record in records]
    thoughts = [kind for kind in kinds if isinstance(kind, events.Custom) and kind.event_type == REASONING]
    assert len(thoughts) == 1
    message = next(kind for kind in kinds if isinstance(kind, events.Message))
    assert message.content == "Looking." and message.first_token_ms is not None
    assert kinds.index(thoughts[0]) == kinds.index(message) + 1
    assert message.token_usage is not None and message.token_usage.reasoning_tokens == 16


async def test_a_cost_and_what_happened_around_a_call_are_in_the_journal(tmp_path: Path) -> None:
    """A chain whose first provider is overloaded: the repetition and the change of model with its reason, then the answer with
    its cost in micro-USD, which the run's cost counts."""
    bench = Workbench(tmp_path)
    journal = MemoryJournal()
    async with VendorServer("anthropic") as down, VendorServer("openai") as up:
        down.play("unavailable")
        options = ModelOptions(
            prices=("gpt-5.4-mini=750000/4500000/75000",), retry=RetryPolicy(attempts=2, first_wait_ms=0)
        )
        opener = ProviderOpener(
            environment={"LIFE_PROVIDER_API_KEY": KEY}, clock=bench.clock, entropy=SeededEntropy(), options=options
        )
        provider = opener(f"anthropic@{down.url}, gpt-5.4-mini@{up.url}/v1")
        async with runtime_on(journal, bench, provider) as runtime:
            await runtime.create_session("s")
            report = await runtime.run("s", "Hello?")
        await provider.aclose()  # type: ignore[attr-defined]
    records = await history(journal, "s")
    assert report.final_answer == "Hello, world!"
    assert [(notice.what, notice.provider, notice.next_provider) for notice in notices(records)] == [
        ("retried", "anthropic:claude-sonnet-5-5", ""),
        ("fell_back", "anthropic:claude-sonnet-5-5", "compatible:gpt-5.4-mini"),
    ]
    assert all("arcan.provider_unavailable" in notice.error for notice in notices(records))
    message = next(record.kind for record in records if isinstance(record.kind, events.Message))
    assert message.token_usage is not None
    assert isinstance(message.token_usage.cost_micro, int) and message.token_usage.cost_micro > 0
    assert fold("s", records).last_run.cost_micro == message.token_usage.cost_micro  # type: ignore[union-attr]
    assert not any(KEY in record.payload.decode() for record in records)


async def test_an_answer_that_fails_in_the_middle_is_asked_for_again(tmp_path: Path) -> None:
    """An overload that is announced within an answer is no reason to end a run: the step is repeated, and the half answer is
    nowhere in the conversation."""
    bench = Workbench(tmp_path)
    journal = MemoryJournal()
    async with VendorServer("anthropic") as server:
        server.play("overloaded", "text")
        provider = provider_of("anthropic", server.url)
        async with runtime_on(journal, bench, provider) as runtime:
            await runtime.create_session("s")
            report = await runtime.run("s", "Hello?")
        await provider.aclose()
    assert (report.reason, report.final_answer) == ("completed", "Hello, world!")
    records = await history(journal, "s")
    assert sum(isinstance(record.kind, events.ErrorRaised) for record in records) == 1
    assert server.bodies[0] == server.bodies[1]
    assert "Half" not in json.dumps([record.payload.decode() for record in records])


def placed(text: str, characters: int = 0, calls: int = 0) -> PlacedReasoning:
    """A thought in its place."""
    return PlacedReasoning(
        block=ReasoningBlock("v:m", text, {"signature": text}), after_characters=characters, after_calls=calls
    )


def test_thoughts_stand_where_they_came() -> None:
    """Between words, and between calls; places beyond the answer are its end."""
    said = (
        Conversation()
        .user_said("Look.")
        .assistant_said("One. Two.")
        .reasoned((placed("a"), placed("b", 5), placed("c", 9, 1), placed("d", 99, 99)), ("v-1", "v-2"))
        .tool_requested("call-1", "look", {})
        .tool_requested("call-2", "look", {})
    )
    blocks = said.messages()[1].content
    assert [getattr(block, "text", getattr(block, "vendor_id", None)) for block in blocks] == [
        "a", "One. ", "b", "Two.", "v-1", "c", "v-2", "d",
    ]  # fmt: skip
    assert said.seal().messages() == said.messages()
    assert said.seal().assistant_said("Next.").messages()[-1].content == (TextBlock("Next."),)


def test_thoughts_of_an_answer_without_words_or_calls_are_dropped() -> None:
    """There is no turn that they could stand in."""
    said = Conversation().user_said("x").assistant_said("").reasoned((placed("a"),), ()).assistant_said("y")
    assert said.messages()[-1].content == (TextBlock("y"),)


def test_images_are_blocks_with_their_hash() -> None:
    """Of the user and of a tool; the same events give the same bytes, and those hold no picture."""
    image = ImageReference("ab" * 32, "image/png")
    said = (
        Conversation()
        .user_said("What is it?", (image,))
        .objective_proposed("What is it?")
        .tool_requested("call-1", "look", {})
        .tool_answered("call-1", "b.png", is_error=False, images=(image,))
    )
    block = ImageBlock("ab" * 32, "image/png")
    assert said.messages() == (
        ChatMessage("user", (TextBlock("What is it?"), block)),
        ChatMessage("assistant", (ToolUseBlock("call-1", "look", {}),)),
        ChatMessage("user", (ToolResultBlock("call-1", "b.png", False, (block,)),)),
    )
    assert Conversation().user_said("", (image,)).messages() == (ChatMessage("user", (block,)),)
    request = build_request(said, system="", tools=(), max_output_tokens=1)
    assert encode_request(request) == encode_request(build_request(said, system="", tools=(), max_output_tokens=1))


def test_old_journals_are_read() -> None:
    """Events from before these fields decode, and new ones leave out what is not there."""
    old = events.decode_kind(
        b'{"type":"Message","role":"assistant","content":"x","token_usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
    )
    assert isinstance(old, events.Message) and old.token_usage is not None
    assert b"cost_micro" not in events.encode_kind(old) and b"first_token_ms" not in events.encode_kind(old)
    assert b"images" not in events.encode_kind(events.UserMessage(content="x"))
    assert Reasoning(blocks=()).vendor_calls == ()


async def test_a_run_may_have_another_model_and_keeps_it_over_a_restart(tmp_path: Path) -> None:
    """The specification stands in the journal: the process that takes the run up again opens the same model, and the next run
    has the session's."""
    bench = Workbench(tmp_path)
    journal = MemoryJournal()
    opened: list[str] = []

    def open_provider(specification: str) -> ScriptedProvider:
        opened.append(specification)
        turns = (calls(("sign", {"text": "x"})), says(f"This is {specification}."))
        return ScriptedProvider(script(*turns), clock=bench.clock)

    own = ScriptedProvider(
        script(says("The runtime's."), says("The runtime's."), says("The runtime's.")), clock=bench.clock
    )
    async with runtime_on(journal, bench, own, open_provider=open_provider) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Sign it.", provider="model-b")
        assert report.reason != "completed", "it waits for a person"
    async with runtime_on(journal, bench, own, seed="again", open_provider=open_provider) as runtime:
        await runtime.recover("s")
        waiting = (await runtime.state("s")).calls[0]
        await runtime.resolve_approval("s", waiting.approval_id or "", approved=True, actor="ann")
        assert (await runtime.wait("s")).final_answer == "This is model-b."
        assert (await runtime.run("s", "Hello.")).final_answer == "The runtime's."
    assert opened == ["model-b", "model-b"]


async def test_an_image_of_the_user_reaches_the_model(tmp_path: Path) -> None:
    """Only its hash is in the journal; the vendor gets the bytes."""
    bench = Workbench(tmp_path)
    journal = MemoryJournal()
    async with VendorServer("openai_responses") as server:
        provider = OpenAIResponsesProvider(
            api_key=KEY, clock=ManualClock(), base_url=f"{server.url}/v1", timeout_s=5, read_image=read_picture
        )
        async with runtime_on(journal, bench, provider) as runtime:
            await runtime.create_session("s")
            report = await runtime.run("s", "What is it?", images=(ImageReference(PICTURE_BLOB, "image/png"),))
        await provider.aclose()
    assert report.final_answer == "Hello, world!"
    picture = base64.b64encode(PICTURE).decode()
    assert picture in server.bodies[0]
    written = "".join(record.payload.decode() for record in await history(journal, "s"))
    assert PICTURE_BLOB in written and picture not in written

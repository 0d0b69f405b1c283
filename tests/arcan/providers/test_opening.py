"""Opening by specification: chains, tiers, recordings; and what providers of one service share."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.errors import InvalidInputError, LifeError, ProviderError
from life.aios.ports.provider import ModelProvider, NoticeChunk
from life.arcan.errors import UnknownProviderError
from life.arcan.providers.fallback import FallbackProvider
from life.arcan.providers.opening import ModelOptions, ProviderOpener
from life.arcan.providers.retry import RetryPolicy
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.provider import ASKED, answer, stop_of, text_of
from tests.arcan.providers.vendor_server import VendorServer


def opener(
    environment: dict[str, str] | None = None, folder: Path | None = None, options: ModelOptions | None = None
) -> ProviderOpener:
    """An opener on a clock that stands still."""
    return ProviderOpener(
        environment=environment or {}, clock=ManualClock(), entropy=SeededEntropy(), options=options, folder=folder
    )


async def close(provider: ModelProvider) -> None:
    """Close its connections."""
    await provider.aclose()  # type: ignore[attr-defined]


async def test_a_chain_asks_in_order_and_says_why_it_went_on(tmp_path: Path) -> None:
    """The first is overloaded for good, the second has no key that counts, the third answers; each step has its reason."""
    (tmp_path / "last.json").write_text('{"turns": [{"text": "Here."}]}')
    async with VendorServer("anthropic") as down, VendorServer("openai") as locked:
        down.play("unavailable")
        locked.play("unauthorized")
        environment = {"LIFE_PROVIDER_API_KEY": "sk-1"}
        options = ModelOptions(retry=RetryPolicy(attempts=2, first_wait_ms=0))
        provider = opener(environment, tmp_path, options)(
            f"anthropic@{down.url}, openai-chat:m@{locked.url}/v1, scripted:last.json"
        )
        assert provider.name == "anthropic:claude-sonnet-5-5, openai-chat:m, scripted:last"
        chunks = await answer(provider)
        await close(provider)
    assert text_of(chunks) == "Here."
    notices = [chunk.notice for chunk in chunks if isinstance(chunk, NoticeChunk)]
    assert [(notice.what, notice.error.partition(":")[0]) for notice in notices] == [
        ("retried", "arcan.provider_unavailable"),
        ("fell_back", "arcan.provider_unavailable"),
        ("fell_back", "arcan.provider_unauthorized"),
    ]
    assert [notice.next_provider for notice in notices[1:]] == ["openai-chat:m", "scripted:last"]


async def test_a_chain_does_not_change_horses_in_an_answer() -> None:
    """After the first piece another model's words would be glued to the first one's: the failure is passed on."""
    async with VendorServer("anthropic") as server:
        server.play("overloaded")
        provider = opener({"LIFE_PROVIDER_API_KEY": "k"})(f"anthropic@{server.url}, scripted")
        with pytest.raises(ProviderError) as caught:
            await answer(provider)
        await close(provider)
    assert caught.value.code == "arcan.provider_unavailable"


async def test_the_last_failure_of_a_chain_is_passed_on() -> None:
    """When nobody answers, the caller hears the last one's reason."""
    async with VendorServer("anthropic") as server:
        server.play("unauthorized")
        url = f"anthropic@{server.url}"
        provider = opener({"LIFE_PROVIDER_API_KEY": "k"})(f"{url}, {url}")
        with pytest.raises(ProviderError) as caught:
            await answer(provider)
        await close(provider)
    assert caught.value.code == "arcan.provider_unauthorized"


def test_an_empty_chain_is_refused() -> None:
    """A chain of nobody can't answer."""
    with pytest.raises(InvalidInputError):
        FallbackProvider([])


async def test_a_service_is_one_service_for_all_who_use_it() -> None:
    """Two sessions' providers of the same address share its circuit: five failures of one keep the other away."""
    async with VendorServer("anthropic") as server:
        server.play("unavailable")
        options = ModelOptions(retry=RetryPolicy(attempts=5, first_wait_ms=0, longest_retry_after_ms=1))
        open_one = opener({"LIFE_PROVIDER_API_KEY": "k"}, options=options)
        first, second = open_one(f"anthropic:a@{server.url}"), open_one(f"anthropic:b@{server.url}")
        with pytest.raises(ProviderError):
            await answer(first)
        with pytest.raises(ProviderError) as caught:
            await answer(second)
        await close(first)
        await close(second)
    assert caught.value.code == "arcan.provider_circuit_open"
    assert len(server.bodies) == 5


async def test_tiers(tmp_path: Path) -> None:
    """A tier is what the settings name for it, a chain too; one that names itself or nothing is refused."""
    (tmp_path / "s.json").write_text('{"turns": [{"text": "small"}]}')
    options = ModelOptions(
        tiers={"small": "scripted:s.json", "standard": "tier:small, scripted", "large": "tier:large"}
    )
    open_one = opener(folder=tmp_path, options=options)
    assert text_of(await answer(open_one("tier:small"))) == "small"
    assert open_one("tier:standard").name == "scripted:s, scripted"
    for text in ("tier:large", "tier:huge", "tier:"):
        with pytest.raises(UnknownProviderError):
            open_one(text)
    with pytest.raises(UnknownProviderError):
        opener()("tier:small")


async def test_record_and_replay(tmp_path: Path) -> None:
    """A real answer is recorded once and played for ever, cost included; another request is refused, not made up."""
    async with VendorServer("anthropic") as server:
        server.play("thinking_call")
        options = ModelOptions(prices=("claude-sonnet-5-5=2000000/10000000",))
        open_one = opener({"LIFE_PROVIDER_API_KEY": "k"}, tmp_path, options)
        provider = open_one(f"record:talk/a.jsonl=anthropic@{server.url}")
        recorded = await answer(provider)
        await close(provider)
    replay = opener(folder=tmp_path)("replay:talk/a.jsonl")
    assert replay.name == "replay:a.jsonl"
    assert await answer(replay) == recorded == await answer(replay)
    usage = stop_of(recorded).usage
    assert usage is not None and usage.cost_micro == 30 * 2 + 40 * 10
    with pytest.raises(ProviderError) as caught:
        await answer(replay, ASKED.__class__(messages=ASKED.messages))
    assert caught.value.code == "arcan.model_recording"


@pytest.mark.parametrize(
    "text", ["record:", "record:a.jsonl", "record:=scripted", "replay:", "replay:none.jsonl", "tier:x"]
)
def test_recordings_that_can_not_be(text: str, tmp_path: Path) -> None:
    """One sentence, a code, and no traceback."""
    with pytest.raises(LifeError) as caught:
        opener(folder=tmp_path)(text)
    assert caught.value.code in ("arcan.unknown_provider", "arcan.model_recording")


async def test_a_damaged_recording_is_refused_with_its_line(tmp_path: Path) -> None:
    """When it is opened, or when the chunk's turn comes."""
    (tmp_path / "a.jsonl").write_text("{}\n")
    with pytest.raises(ProviderError) as caught:
        opener(folder=tmp_path)("replay:a.jsonl")
    assert "Line 1" in caught.value.message


@pytest.mark.parametrize(
    ("specification", "environment", "name", "priced"),
    [
        ("anthropic", {"ANTHROPIC_API_KEY": "k"}, "anthropic:claude-sonnet-5-5", True),
        ("anthropic@https://gateway.example", {"LIFE_PROVIDER_API_KEY": "k"}, "anthropic:claude-sonnet-5-5", False),
        ("openai:gpt-5.4-mini", {"OPENAI_API_KEY": "k"}, "openai:gpt-5.4-mini", True),
        ("openai-chat:gpt-5.4-mini", {"OPENAI_API_KEY": "k"}, "openai-chat:gpt-5.4-mini", True),
        ("openai:m", {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "openai:m", False),
        ("openai-responses:m@http://127.0.0.1:1/v1", {"LIFE_PROVIDER_API_KEY": "k"}, "openai:m", False),
        ("gemini", {"GOOGLE_API_KEY": "k"}, "gemini:gemini-3.5-flash", True),
        ("gemini:gemini-0", {"GEMINI_API_KEY": "k"}, "gemini:gemini-0", False),
        ("ollama", {}, "ollama:llama3.2", False),
    ],
)
async def test_vendors(specification: str, environment: dict[str, str], name: str, priced: bool) -> None:
    """Each is opened as it is named, and knows whether its answers will have a price."""
    provider = opener(environment)(specification)
    assert provider.name == name
    assert provider.knows_price() == priced  # type: ignore[attr-defined]
    await close(provider)

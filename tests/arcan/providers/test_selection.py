"""Specifications: what they name, where keys may go, and what is said when something is missing."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

from life.aios.errors import LifeError, MissingExtraError
from life.arcan.errors import ProviderKeyMissingError, UnknownProviderError
from life.arcan.providers.opening import open_provider
from life.arcan.providers.selection import ProviderSpecification, parse_specification
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.provider import answer, text_of
from tests.arcan.providers.vendor_server import VendorServer


def opened(specification: str, environment: dict[str, str] | None = None, folder: Path | None = None) -> object:
    """A provider for a specification."""
    return open_provider(
        specification,
        environment=environment or {},
        clock=ManualClock(),
        entropy=SeededEntropy(),
        script_folder=folder,
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("scripted", ("scripted", "", "")),
        ("scripted:demo.toml", ("scripted", "demo.toml", "")),
        ("anthropic", ("anthropic", "", "")),
        ("anthropic:claude-opus-5-5", ("anthropic", "claude-opus-5-5", "")),
        ("openai:gpt-5.5", ("openai", "gpt-5.5", "")),
        ("ollama:qwen3:8b", ("ollama", "qwen3:8b", "")),
        ("openai:gpt-5.5@https://gateway.example/v1", ("openai", "gpt-5.5", "https://gateway.example/v1")),
        ("meta/llama-4@http://127.0.0.1:8000/v1", ("compatible", "meta/llama-4", "http://127.0.0.1:8000/v1")),
    ],
)
def test_specifications(text: str, parts: tuple[str, str, str]) -> None:
    """Kind, model or file, and address."""
    assert parse_specification(text) == ProviderSpecification(*parts)


@pytest.mark.parametrize(
    "text", ["", "gpt", "mock", "@http://127.0.0.1", "openai@ftp://x", "model@", "scripted@http://x"]
)
def test_what_names_no_provider(text: str) -> None:
    """One sentence, and how to say it right."""
    with pytest.raises(UnknownProviderError) as caught:
        parse_specification(text)
    assert caught.value.next_step is not None and "scripted" in caught.value.next_step


@pytest.mark.parametrize(("name", "variable"), [("anthropic", "ANTHROPIC_API_KEY"), ("openai", "OPENAI_API_KEY")])
def test_a_missing_key_is_named(name: str, variable: str) -> None:
    """A provider without its key is refused before any run, with the variable to set."""
    with pytest.raises(ProviderKeyMissingError) as caught:
        opened(name)
    assert variable in (caught.value.next_step or "")


@pytest.mark.parametrize(("name", "extra"), [("anthropic", "anthropic"), ("openai", "openai")])
def test_a_missing_extra_is_named(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the vendor's package: one sentence and the command that installs it."""
    real_import = builtins.__import__

    def without(module: str, *rest: object, **named: object) -> object:
        if module == extra:
            raise ImportError(module)
        return real_import(module, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError) as caught:
        opened(name, {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"})
    assert caught.value.next_step == f"pip install 'lifeos[{extra}]'"


async def test_a_key_goes_only_to_its_owner() -> None:
    """An address in the specification never gets the vendor's key, but the key that was set for such addresses."""
    async with VendorServer("openai") as server:
        for environment, sent in (
            ({"OPENAI_API_KEY": "sk-owner"}, "Bearer none"),
            ({"OPENAI_API_KEY": "sk-owner", "LIFE_PROVIDER_API_KEY": "sk-other"}, "Bearer sk-other"),
        ):
            provider = open_provider(
                f"openai:m@{server.url}/v1", environment=environment, clock=ManualClock(), entropy=SeededEntropy()
            )
            assert text_of(await answer(provider)) == "Hello, world!"
            assert server.headers[-1]["authorization"] == sent
            await provider.aclose()  # type: ignore[attr-defined]


async def test_the_documented_environment() -> None:
    """Models, keys and addresses come from the documented variables."""
    async with VendorServer("openai") as server:
        provider = open_provider(
            "ollama",
            environment={"OLLAMA_BASE_URL": f"{server.url}/v1", "OLLAMA_MODEL": "qwen3"},
            clock=ManualClock(),
            entropy=SeededEntropy(),
        )
        assert provider.name == "ollama:qwen3"
        assert text_of(await answer(provider)) == "Hello, world!"
        await provider.aclose()  # type: ignore[attr-defined]
    async with VendorServer("anthropic") as server:
        provider = open_provider(
            "anthropic",
            environment={"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_MODEL": "claude-x", "ANTHROPIC_API_KEY": "k-1"},
            clock=ManualClock(),
            entropy=SeededEntropy(),
        )
        assert provider.name == "anthropic:claude-x"
        assert text_of(await answer(provider)) == "Hello, world!"
        assert server.headers[-1]["authorization"] == "Bearer k-1"
        await provider.aclose()  # type: ignore[attr-defined]


def test_scripts_are_found_and_refused(tmp_path: Path) -> None:
    """`scripted:FILE` reads a file of the given folder."""
    (tmp_path / "two.json").write_text('{"turns": [{"text": "Hi."}]}')
    assert opened("scripted:two.json", folder=tmp_path).name == "scripted:two"  # type: ignore[attr-defined]
    with pytest.raises(LifeError) as caught:
        opened("scripted:none.json", folder=tmp_path)
    assert caught.value.code == "arcan.bad_script"

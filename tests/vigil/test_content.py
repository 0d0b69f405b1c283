"""Content capture: off means off everywhere; on is redacted and cut (vigil.md §14, §22, §23.2)."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.vigil import names as n
from life.vigil.content import REDACTED, Content
from life.vigil.errors import TelemetrySettingError
from life.vigil.exporters.console import ConsoleSink
from life.vigil.exporting import Exporting
from life.vigil.logs import JsonFormatter, PlaceFilter, PrettyFormatter
from life.vigil.spans import project
from tests.arcan.workbench import Workbench, calls, history, says, script
from tests.vigil.kit import spans_of, telemetry_on, watched_runtime
from tests.vigil.receivers import grpc_receiver, http_receiver

CANARY = "kanarienvogel-4711"
SCRIPT = script(
    calls(
        ("write", {"path": CANARY, "content": CANARY}), ("fail", {"why": CANARY}), (CANARY, {}), text=f"I say {CANARY}."
    ),
    calls(("look", {"path": CANARY})),
    says(f"Done with {CANARY}."),
)


async def talk(tmp_path: Path, live: object) -> None:
    """A run whose every word is the canary."""
    async with watched_runtime(Workbench(tmp_path), SCRIPT, live) as (runtime, _):  # type: ignore[arg-type]
        await runtime.create_session("s", name=CANARY, system_prompt=CANARY)
        await runtime.run("s", f"Please {CANARY}.")


async def test_nothing_of_the_content_leaves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With capture off, a word that stands in the objective, an answer, arguments, results, file contents and prompts is in no span, no
    metric and no log line, over every exporter: OTLP/HTTP, OTLP/gRPC, file, console, memory, Prometheus."""
    import urllib.request

    console = io.StringIO()
    caplog.set_level(logging.DEBUG)
    with http_receiver() as over_http, grpc_receiver() as over_grpc:
        live = telemetry_on(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": over_http.address},
            exporters=("otlp", "file:spans.jsonl", "memory", "prometheus:127.0.0.1:0"),
            root=tmp_path,
            journal_spans=True,
        )
        also = telemetry_on({"OTEL_EXPORTER_OTLP_ENDPOINT": over_grpc.address}, protocol="grpc", in_process=True)
        for number, one in enumerate((live, also)):
            (tmp_path / str(number)).mkdir()
            await talk(tmp_path / str(number), one)
            assert await asyncio.to_thread(one.flush)
        ConsoleSink(console).export(spans_of(live))
        assert isinstance(live.exports, Exporting)
        port = next(reader.port for reader in live.exports.readers if hasattr(reader, "port"))
        scrape = await asyncio.to_thread(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()
        )
        everything = [*over_http.raw, *over_grpc.raw, scrape, (tmp_path / "spans.jsonl").read_bytes()]
        everything += [console.getvalue().encode(), repr(spans_of(live)).encode(), caplog.text.encode()]
        for one in (live, also):
            await asyncio.to_thread(one.close)
    assert len(over_http.spans) > 10 and len(over_grpc.spans) > 10
    assert b"life_runs_total" in scrape and b"execute_tool write" in everything[-2]
    for place, found in enumerate(everything):
        assert CANARY.encode() not in found, place


async def test_nothing_of_the_content_is_rebuilt(tmp_path: Path) -> None:
    """The same of spans that are rebuilt from the journal, where every word stands."""
    async with watched_runtime(Workbench(tmp_path), SCRIPT, None) as (runtime, journal):
        await runtime.create_session("s")
        await runtime.run("s", f"Please {CANARY}.")
        records = await history(journal, "s")
    assert any(CANARY.encode() in record.payload for record in records)
    assert CANARY not in repr(project(records))


async def test_captured_messages(tmp_path: Path) -> None:
    """With capture on, messages stand on spans in the convention's format, and the input of a call is what is new since the last."""
    live = telemetry_on(capture_content=True)
    await talk(tmp_path, live)
    chats = sorted((span for span in spans_of(live) if span.name.startswith("chat")), key=lambda span: span.start_us)
    first_in = json.loads(str(chats[0].attributes[n.INPUT_MESSAGES]))
    assert first_in == [{"role": "user", "parts": [{"type": "text", "content": f"Please {CANARY}."}]}]
    (first_out,) = json.loads(str(chats[0].attributes[n.OUTPUT_MESSAGES]))
    assert first_out["role"] == "assistant" and first_out["finish_reason"] == "tool_call"
    assert [part["type"] for part in first_out["parts"]] == ["text", "tool_call", "tool_call", "tool_call"]
    second_in = json.loads(str(chats[1].attributes[n.INPUT_MESSAGES]))
    assert [message["role"] for message in second_in] == ["tool", "tool", "tool"]
    assert second_in[0]["parts"][0]["type"] == "tool_call_response" and "response" in second_in[0]["parts"][0]
    tool = next(span for span in spans_of(live) if span.name == "execute_tool write")
    assert json.loads(str(tool.attributes[n.TOOL_ARGUMENTS])) == {"path": CANARY, "content": CANARY}
    root = next(span for span in spans_of(live) if span.parent_id is None)
    assert CANARY in str(root.attributes[n.OUTPUT_MESSAGES])
    assert all(span.attributes.keys() <= n.ATTRIBUTES for span in spans_of(live))
    live.close()


SECRETS = [
    "Authorization: Bearer abcdefghijklmnop",
    "sk-ant-" + "api03-" + "Aa1" * 12,
    "sk-proj-abcdefghijklmnopqrstuvwx",
    "ghp_" + "a1" * 18,
    "AKIA" + "ABCDEFGH12345678",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
    "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----",
    "0x" + "4f" * 32,
    "4f" * 32,
    "postgres://user:hunter22@db/x",
    'password="correct horse"',
    "api_key: abcdef123456",
    '{"passphrase": "open sesame"}',
    "hvs.CAESIabcdefghijklmnop",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_redacted(secret: str) -> None:
    """Keys, tokens, passwords and private keys do not survive capture, wherever they stand, nor a log line."""
    content = Content(capture=True)
    for text in (secret, f"before {secret} after", json.dumps({"x": secret})):
        shown = content.text(text)
        assert REDACTED in shown
        for word in (
            "abcdefghij",
            "hunter22",
            "correct horse",
            "open sesame",
            "MIIabc",
            "4f4f4f",
            "abcdef123456",
            "a1a1a1",
            "Aa1Aa1",
        ):
            assert word not in shown
    record = logging.LogRecord("life.x", logging.INFO, "f", 1, "said %s", (secret,), None)
    PlaceFilter().filter(record)
    assert REDACTED in JsonFormatter().format(record) and REDACTED in PrettyFormatter().format(record)


def test_own_patterns_and_the_limit() -> None:
    """A pattern of one's own is redacted too, a bad one is refused by name, and long messages are cut."""
    content = Content(capture=True, max_chars=10, redact=(r"PRJ-\d+",))
    assert content.text("x PRJ-123") == f"x {REDACTED}"[:10] + "…"
    assert content.text("a" * 11) == "a" * 10 + "…"
    with pytest.raises(TelemetrySettingError, match="redaction pattern"):
        Content(redact=("(",))


@given(st.text(max_size=300))
def test_redaction_is_total(text: str) -> None:
    """Any text is handled, and redacting twice changes nothing more."""
    content = Content(max_chars=10_000)
    assert content.text(content.text(text)) == content.text(text)


def test_redaction_is_quick() -> None:
    """Text that is made to be slow (long runs of almost-secrets) takes no more than its length allows."""
    import time

    content = Content(max_chars=200_000)
    for text in (
        "eyJ" * 60_000,
        "sk-" * 60_000,
        "password" * 20_000,
        "a:" * 90_000,
        "-----BEGIN A PRIVATE KEY" * 5_000,
        "f" * 200_000,
    ):
        began = time.perf_counter()
        content.text(text)
        assert time.perf_counter() - began < 20, text[:20]

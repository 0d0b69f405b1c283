"""What others wrote can neither steer the terminal nor become markup (WS-TUI-6 and the faults of issue 9)."""

from __future__ import annotations

import json
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.color import Color

from life.aios.events.codec import kind_tag
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.cli.chat.asking import as_typed
from life.cli.chat.prose import prose
from life.cli.chat.untrusted import clean, cut, middle, one_line
from life.cli.chat.words import PLAIN, Signs
from tests.cli.chat.headless import chat_on, opened, press, scene, seen, segments

EVIL = (
    "plain [bold red]not markup[/] [@click=app.quit]no link[/] :smile: "
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\ \x1b[2J\x1b[H\x9b31mc1 \x90q\x9c "
    "\u202egnp.exe\u202c \u2066iso\u2069 zero\u200bwidth \ufeffbom \x07bell \x08back \r over\rwritten \x1bc reset \x1b(0 line"
)


def is_harmless(text: str) -> bool:
    """No control character but the line's end, nothing that changes the direction, nothing without a width of its own."""
    return all(
        character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn") for character in text
    )


@given(st.text())
def test_any_text_becomes_harmless(text: str) -> None:
    """Whatever is written, no control or directional character is left."""
    assert is_harmless(clean(text))
    assert "\n" not in one_line(text, 40) and is_harmless(one_line(text, 40))


@given(st.text(), st.integers(min_value=0, max_value=60))
def test_a_line_is_as_wide_as_it_may(text: str, width: int) -> None:
    """One line is at most as wide as it was allowed, in cells."""
    assert cell_len(one_line(text, width)) <= max(width, 1)
    assert cell_len(cut(clean(text).replace("\n", " "), width)) <= width
    assert cell_len(middle(text, width)) <= max(width, 0)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("\x1bP1$qm\x1b\\dcs", "dcs"),
        ("a\u202eb\u2066c\u200fd", "abcd"),
        ("a\tb", "a   b"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("unfinished \x1b[", "unfinished "),
        ("ü世界é", "ü世界é"),
    ],
)
def test_whole_sequences_go(written: str, shown: str) -> None:
    """Sequences go with all that belongs to them; words stay, in every script (ECMA-48 §5.4, UAX #9)."""
    assert clean(written) == shown


@given(st.text(alphabet=st.sampled_from("ab *_`#>-1.[]()!|\n~世\x1b"), max_size=200), st.integers(8, 80))
def test_any_markdown_fits(text: str, width: int) -> None:
    """Markdown of any shape gives rows of at most the width, without control characters."""
    for signs in (Signs(), PLAIN):
        for row in prose(text, width, signs):
            assert cell_len(row.plain) <= max(width, 8) and is_harmless(row.plain)


def record(payload: bytes, sequence: int) -> EventRecord:
    return EventRecord(
        event_id=f"event-{sequence}",
        session_id="s",
        branch_id="main",
        agent_id="agent",
        sequence=sequence,
        timestamp_us=1_700_000_000_000_000 + sequence,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=kind_tag(payload),
        payload=payload,
    )


def evil_session() -> list[EventRecord]:
    """A session in which every field that somebody may write is hostile."""
    kinds: list[dict[str, object]] = [
        {"type": "SessionCreated", "name": EVIL, "config": {"owner": EVIL, "provider": EVIL}},
        {"type": "UserMessage", "content": EVIL},
        {"type": "RunStarted", "provider": EVIL, "max_iterations": 3},
        {"type": "StepStarted", "index": 0},
        {"type": "Message", "role": "assistant", "content": EVIL, "model": EVIL},
        {"type": "ToolCallRequested", "call_id": "c", "tool_name": EVIL[:90], "arguments": {"path": EVIL, "x": EVIL}},
        {"type": "PolicyEvaluated", "tool_name": EVIL[:90], "decision": "require_approval", "explanation": EVIL},
        {
            "type": "ApprovalRequested",
            "approval_id": "a",
            "call_id": "c",
            "tool_name": EVIL[:90],
            "arguments": {"command": EVIL},
            "risk": "high",
            "capabilities": [EVIL],
        },
        {"type": "Queued", "queue_id": "q", "mode": "followup", "message": EVIL},
        {"type": "FileWrite", "path": EVIL, "blob_hash": "0" * 64, "size_bytes": 3},
        {"type": "GatesUpdated", "gates": {"require_approval_for_risk": EVIL}, "reason": EVIL},
        {"type": "Custom", "event_type": "eval.score", "data": {"explanation": EVIL, "reason": EVIL}},
        {
            "type": "Custom",
            "event_type": "finance.payment_settled",
            "data": {"payment_id": EVIL, "amount_micro": 5, "payee": EVIL, "resource_url": EVIL, "tx_hash": EVIL},
        },
        {"type": "MemoryCommitted", "memory_id": EVIL, "scope": EVIL, "path": EVIL},
        {"type": "ErrorRaised", "message": EVIL},
        {"type": EVIL, "content": EVIL},
        {"type": "Custom", "event_type": EVIL, "data": {"name": EVIL}},
    ]
    return [record(msgspec.json.encode(kind), number) for number, kind in enumerate(kinds, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (190, 44)])
async def test_a_hostile_session_is_only_text(size: tuple[int, int]) -> None:
    """Every pane of a session whose every word is hostile: no control character reaches the terminal, no markup is read, no link is made."""
    async with chat_on(opened(evil_session(), acts=True), size=size) as (app, pilot):
        shown = ""
        for keys in (
            (),
            ("f9",),
            ("escape", "escape"),
            *((str(number),) for number in range(1, 10)),
            ("2", "end", "enter"),
        ):
            await press(app, pilot, *keys)
            for row in segments(app):
                for each in row:
                    assert is_harmless(each.text), each
                    assert each.style is None or (each.style.link is None and "@click" not in (each.style.meta or {}))
            shown += seen(app)
        assert "[bold red]not markup[/]" in shown and "[@click=app.quit]" in shown
        assert app.is_running


async def test_what_commands_and_notes_say_is_only_text() -> None:
    """An answer of a command, and an error that quotes what was typed, are text, too."""
    async with chat_on(opened(scene("tools"))) as (app, pilot):
        app.conversation.view.note(EVIL, bad=True)
        app.conversation.keep_told()
        await press(app, pilot, *"/x[bold]y", "enter")
        assert all(is_harmless(each.text) for row in segments(app) for each in row)
        assert "[bold red]not markup[/]" in seen(app)


@given(st.text(), st.text())
def test_arguments_to_edit_show_what_they_hide(name: str, value: str) -> None:
    """Arguments are given to be changed with everything invisible escaped, and read back as what they were."""
    typed = as_typed({name: value})
    assert is_harmless(typed)
    assert json.loads(typed) == {name: value}


async def test_what_is_pasted_steers_nothing() -> None:
    """Control characters that are pasted into the input do not reach the terminal."""
    async with chat_on(opened(scene("tools"))) as (app, pilot):
        app.composer.text = EVIL
        await press(app, pilot)
        filters = app.get_line_filters()
        for row in segments(app):
            for one in filters:
                row = one.apply(row, Color(0, 0, 0))
            assert all(is_harmless(each.text) for each in row)

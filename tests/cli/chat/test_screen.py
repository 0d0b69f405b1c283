"""What keys do, over recordings: panes, dialogs, the past, and everything without a mouse."""

from __future__ import annotations

import inspect
import re

import pytest
from textual.widget import Widget

from life.aios.record import EventRecord
from life.cli.chat.asking import AskBody
from life.cli.chat.commands import CHAT_COMMANDS
from life.cli.chat.composer import Composer
from life.cli.chat.drawing import Board
from life.cli.chat.screen import ChatApp
from life.cli.shell.slash import COMMANDS, find
from tests.cli.chat.headless import chat_on, opened, press, scene, seen
from tests.cli.chat.stills import PAYMENT
from tests.workspace.recorded import recording


def is_modal(app: ChatApp) -> bool:
    return bool(app.screen.is_modal)


def test_one_registry() -> None:
    """The chat's commands are the shell's, and some more in the same registry, found by the same code; none hides another."""
    names = [name for command in (*COMMANDS, *CHAT_COMMANDS) for name in (command.name, *command.aliases)]
    assert len(names) == len(set(names))
    for command in CHAT_COMMANDS:
        assert find(command.name, CHAT_COMMANDS) is command and find(command.name) is None


def test_no_name_of_ours_hides_one_of_the_librarys() -> None:
    """A method or an attribute that the library keeps for itself is not taken by accident: that breaks far from where it is written."""
    wanted = {
        "compose",
        "render_line",
        "theme",
        "text",
        "display",
        "virtual_size",
        "_on_key",
        "_handle_exception",
        "_fatal_error",
        "get_line_filters",
        "check_action",
        "__init__",
    }
    import life.cli.chat.asking as asking
    import life.cli.chat.columns as columns
    import life.cli.chat.dialogs as dialogs
    import life.cli.chat.drawing as drawing
    import life.cli.chat.moving as moving
    import life.cli.chat.screen as screen
    import life.cli.chat.scrubber as scrubber
    import life.cli.chat.widgets as widgets

    for module in (asking, columns, dialogs, drawing, moving, screen, scrubber, widgets):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ != module.__name__ or not issubclass(kind, Widget | Board):
                continue
            library = [base for base in kind.__mro__ if base.__module__.startswith("textual.")]
            taken = set().union(*(vars(base).keys() for base in library))
            taken |= {
                name
                for base in library
                for name in re.findall(r"self\.(\w+)\s*(?::[^=\n]+)?=", inspect.getsource(base))
            }
            source = inspect.getsource(kind)
            ours = set(re.findall(r"def (\w+)\(", source)) | set(re.findall(r"self\.(\w+)(?:: [^=\n]+)? = ", source))
            assert (ours & taken) - wanted == set(), kind.__name__


async def test_every_pane_by_its_number_and_back() -> None:
    """Digits open panes outside of the input, in the input they are typed; Escape leads back to the conversation and the message."""
    async with chat_on(opened(scene("tools"))) as (app, pilot):
        await press(app, pilot, "3")
        assert app.composer.text == "3"
        app.composer.text = ""
        await press(app, pilot, "escape")
        for number, words in enumerate(
            ("report.md", "RunFinished", "Choose a file", "scripted:script", "Not evaluated"), 1
        ):
            await press(app, pilot, str(number))
            assert words in seen(app), number
        await press(app, pilot, "escape")
        assert isinstance(app.focused, Composer) and "Findings" in seen(app)


async def test_a_pane_of_a_command() -> None:
    """`/trace` shows the pane, `/journal WORDS` filters, `/at N` looks, `/preview FILE` opens a file; `/cost` answers in lines."""
    async with chat_on(opened(scene("tools"))) as (app, pilot):
        await press(app, pilot, *"/trace", "enter")
        assert "scripted:script" in seen(app) and app.right.pane == "trace"
        await press(app, pilot, "escape", *"/journal nosuchword", "enter")
        assert "0 found" in seen(app)
        await press(app, pilot, "escape", *"/at 12", "enter")
        assert "Paused at #12" in seen(app)
        await press(app, pilot, "escape", *"/preview report.md", "enter")
        assert "# Report" in seen(app) or "Report" in seen(app)
        await press(app, pilot, "escape", *"/cost", "enter")
        assert "$0.0080" in seen(app) and "answer to /cost" in seen(app)
        await press(app, pilot, *"/nonsense", "enter")
        assert "There is no command /nonsense" in seen(app)


async def test_what_is_typed_decides_nothing() -> None:
    """While a call waits, letters in the input are text; the question takes the focus only when it is asked to, and Enter answers nothing."""
    async with chat_on(opened(scene("approvals", 10), acts=True)) as (app, pilot):
        await press(app, pilot, "y", "p")
        assert app.composer.text == "yp"
        await press(app, pilot, "f9", "enter", "x", "space")
        assert isinstance(app.focused, AskBody) and "bash wants to run" in seen(app)
        app.conversation.clock.advance_us(1_000_000)  # type: ignore[attr-defined]
        await press(app, pilot, "n", "escape")
        assert isinstance(app.focused, AskBody)
        await press(app, pilot, "escape")
        assert isinstance(app.focused, Composer) and app.composer.text == "yp"


async def test_an_answer_that_is_not_taken_is_told() -> None:
    """When somebody else was first, or nothing can act here, the reason stands where the answer was given."""
    async with chat_on(opened(scene("approvals", 10), acts=True)) as (app, pilot):
        app.conversation.clock.advance_us(1_000_000)  # type: ignore[attr-defined]
        await press(app, pilot, "f9")
        app.conversation.clock.advance_us(1_000_000)  # type: ignore[attr-defined]
        await press(app, pilot, "y")
        assert "nothing runs here" in seen(app)


async def test_a_letter_in_the_moment_that_a_question_comes_answers_nothing() -> None:
    """A question that has just taken the place of another one is not answered by what was pressed for that."""
    async with chat_on(opened(scene("approvals", 10), acts=True)) as (app, pilot):
        await press(app, pilot, "f9", "y")
        assert "nothing runs here" not in seen(app)


async def test_a_payment_is_decided_by_its_ticket() -> None:
    """Approving goes to the ticket once; the answer's error is told; refusing asks for a reason."""
    async with chat_on(opened(scene("tools"), acts=True, payments=(PAYMENT,))) as (app, pilot):
        app.conversation.clock.advance_us(1_000_000)  # type: ignore[attr-defined]
        await press(app, pilot, "f9")
        assert "A payment of $0.0200 (20,000 µ)" in seen(app)
        app.conversation.clock.advance_us(1_000_000)  # type: ignore[attr-defined]
        await press(app, pilot, "y")
        assert "There is no question with this id" in seen(app)


async def test_thinking_and_results_open_and_close() -> None:
    """Enter opens an entry, Ctrl-O all of them; thinking is closed at first."""
    records: list[EventRecord] = recording("steering")
    names = [record.kind_name for record in records]
    assert "Message" in names
    async with chat_on(opened(scene("tools"))) as (app, pilot):
        await press(app, pilot, "escape", "g")
        closed = seen(app)
        await press(app, pilot, "ctrl+o")
        assert seen(app) != closed and "Arguments" in seen(app)
        await press(app, pilot, "ctrl+o")
        assert seen(app) == closed


async def test_search_leads_to_the_moment() -> None:
    """Ctrl-F finds events by their words, and Enter looks at the moment of the chosen one; nothing else happens."""
    async with chat_on(opened(scene("tools"))) as (app, pilot):
        await press(app, pilot, "ctrl+f", *"list_dir")
        assert "ToolCallRequested" in seen(app)
        await press(app, pilot, "down", "enter")
        assert not app.sight.is_live and app.conversation.track.shown < 30


async def test_completion() -> None:
    """Tab completes commands with what they do, and files behind @; without anything to complete it goes on to the next part."""
    async with chat_on(opened(scene("tools"))) as (app, pilot):
        await press(app, pilot, *"/stat")
        assert "/status" in seen(app)
        await press(app, pilot, "tab")
        assert app.composer.text == "/status "
        app.composer.text = ""
        await press(app, pilot, *"see @too", "tab")
        assert app.composer.text == "see @tools.jsonl"
        app.composer.text = ""
        await press(app, pilot, "tab")
        assert not isinstance(app.focused, Composer)


async def test_what_was_said_before() -> None:
    """Up goes back through what was said, Down forward to what was being typed."""
    async with chat_on(opened(scene("tools"))) as (app, pilot):
        await press(app, pilot, *"draft", "up")
        assert app.composer.text == "Audit the work orders and write report.md"
        await press(app, pilot, "down")
        assert app.composer.text == "draft"


async def test_dialogs_close_again() -> None:
    """Each dialog opens by its key and closes by Escape and by Ctrl-C; what was typed before is still there."""
    async with chat_on(opened(scene("tools"))) as (app, pilot):
        await press(app, pilot, *"draft")
        for number, key in enumerate(("f1", "f2", "f8", "ctrl+p", "ctrl+f")):
            await press(app, pilot, key)
            assert is_modal(app), key
            await press(app, pilot, "ctrl+c" if number % 2 else "escape")
            assert not is_modal(app) and app.composer.text == "draft" and app.is_running, key


@pytest.mark.slow
async def test_an_empty_session_has_no_figure() -> None:
    """Nothing has happened: every pane says so, and no digit is drawn that no event carried but positions and the pane's number (acceptance 13)."""
    async with chat_on(opened(scene("tools", 1))) as (app, pilot):
        for number in range(1, 10):
            await press(app, pilot, "escape", "escape", str(number))
            body = seen(app).splitlines()[2:-6]
            figures = [
                row
                for row in body
                if re.search(r"\d", re.sub(r"#\d+|\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|as of .*", "", row))
            ]
            if number == 8:  # the policy's own figures
                figures = [row for row in figures if "$" not in row]
            if number == 9:  # names and addresses
                figures = [row for row in figures if not re.search(r"did:key|0x|agent|eip155|[a-z0-9]{20}", row)]
            if number == 2:
                figures = [row for row in figures if "SessionCreated" not in row]
            assert figures == [], (number, figures)

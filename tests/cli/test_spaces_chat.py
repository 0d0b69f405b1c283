"""`life spaces chat` at a real terminal of 80 by 24, and through a pipe; and what its lines look like."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.cli import groups
from life.cli.shell.words import Glyphs
from life.cli.spaces_chat_view import ChatView
from life.spaces.model import DirectMessage, Message, MessageType, Reaction, Tombstone
from tests.cli.daemon import free_port
from tests.harness.process import ChildProcess
from tests.harness.terminal import CTRL_C, CTRL_D, ENTER, TAB, Terminal

SERVE = "from life.cli.spacesd import spacesd; spacesd()"
LIFE = "from life.cli.groups import life; life()"
NAMES = {"a" * 64: "ada", "b" * 64: "bob-with-a-very-long-name"}
NOON_US = 1_763_640_000_000_000


class Lab(NamedTuple):
    """A running spacesd with a space where the operator (ada) and the agent are."""

    data: Path

    def life(self, *words: str) -> str:
        result = CliRunner().invoke(groups.life, ["spaces", *words, "--data-dir", str(self.data)])
        assert result.exit_code == 0, result.output
        return result.output

    def chat(self, *words: str, columns: int = 80) -> Terminal:
        argv = [sys.executable, "-c", LIFE, "spaces", "chat", *words, "--data-dir", str(self.data)]
        env = {"LIFE_KEY_FILE": str(self.data.parent / "identity.key")}
        return Terminal.spawn(argv, env=env, columns=columns, lines=24)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("LIFE_KEY_FILE", str(tmp_path / "identity.key"))
    data = tmp_path / "life"
    assert CliRunner().invoke(groups.life, ["init", "--data-dir", str(data)]).exit_code == 0
    command = [sys.executable, "-c", SERVE, "--data-dir", str(data), "--bind", "127.0.0.1:0", "--admit-strangers"]
    with ChildProcess.spawn(command, name="spacesd", env={}) as daemon:
        daemon.wait_for_line(r"Ctrl-C stops it\.")
        found = Lab(data)
        found.life("create", "Lab")
        found.life("join", "Lab", "--as-agent")
        found.life("call", "set_profile", "username=ada")
        yield found


@pytest.mark.slow
def test_a_chat_at_80_by_24(lab: Lab) -> None:
    """Two people: long and wide text under itself, answers, reactions, edits, who is here and who types, words alone, completion; and the screen is
    whole."""
    lab.life("send", "general", "hello from before", "--space", "Lab")
    with lab.chat("--space", "Lab") as one, lab.chat("--space", "Lab", "--as-agent") as other:
        one.wait_for(r"^#general>")
        other.wait_for(r"^#general>")
        one.wait_for(r"hello from before")
        one.type("Good morning. " + "This does not fit on one line of eighty columns. " * 3 + ENTER)
        other.wait_for(r"Good morning\.")
        other.type("höflich 世界世界, yes" + ENTER)
        one.wait_for("世界世界, yes")
        one.type("/reply indeed" + ENTER)
        other.wait_for(r"> agent-\S+: höflich 世界世界, yes")
        other.type("/react 👍" + ENTER)
        one.wait_for("“indeed”")
        one.type("/edit indeed!" + ENTER)
        other.wait_for(r"indeed!  edited \d+")
        other.type("half a wo")
        one.wait_for(r"agent-\S+ is typing", on_screen=True)
        other.type(CTRL_C)
        other.type("/dm @ada psst" + ENTER)
        one.wait_for(r"psst  to you alone")
        other.wait_for(r"psst  to @ada alone")
        one.type("/who" + ENTER)
        one.wait_for(r"^  agent-\S+ +Member|^  agent-\S+ +Agent")
        one.type("/nonsense" + ENTER)
        one.wait_for("There is no /nonsense")
        one.type("/reply" + ENTER)
        one.wait_for("/reply .*answer a message")
        one.type("/search morning" + ENTER)
        one.settle()
        one.type("/jo")
        one.wait_for("CHANNEL: go to another", on_screen=True)
        one.type(TAB)
        one.wait_for(r"^#general> /join", on_screen=True)
        one.type("\x15")
        one.wait_for(r"^ *Lab · 2 here · \d unread elsewhere · /help$", on_screen=True)
        one.settle()
        rows = one.display()
        assert all(len(row) <= 80 for row in rows)
        assert not [row for row in rows if row.startswith("/")], "nothing is left of what was typed"
        assert one.text().count("This does not fit") == one.text().count("Good morning.") * 3, (
            "what is typed stands there once"
        )
        assert "#general> Good" not in one.text()
        one.type(CTRL_D)
        assert one.wait() == 0
        other.type("/quit" + ENTER)
        assert other.wait() == 0


@pytest.mark.slow
def test_a_chat_that_loses_its_server(tmp_path: Path) -> None:
    """The server is killed: the line of status says so, what is typed meanwhile is said when it is back, and what others said comes."""
    data = tmp_path / "life"
    command = [sys.executable, "-c", SERVE, "--data-dir", str(data), "--bind", f"127.0.0.1:{free_port()}"]
    with ExitStack() as stack:
        server = stack.enter_context(ChildProcess.spawn(command, name="spacesd", env={}))
        server.wait_for_line(r"Ctrl-C stops it\.")
        terminal = stack.enter_context(Lab(data).chat())
        terminal.wait_for(r"Hub · 1 here", on_screen=True)
        server.kill()
        terminal.wait_for("offline, trying again", on_screen=True)
        terminal.type("said while nobody heard" + ENTER)
        server = stack.enter_context(ChildProcess.spawn(command, name="spacesd", env={}))
        server.wait_for_line(r"Ctrl-C stops it\.")
        terminal.wait_for(r"said while nobody heard  \d")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
        assert Lab(data).life("history", "general").count("said while") == 1


@pytest.mark.slow
def test_a_chat_through_a_pipe(lab: Lab) -> None:
    """Through a pipe it takes lines and prints lines; going to another channel, and what is refused, is said in one line."""
    lab.life("create", "plans", "--in", "Lab")
    lines = "first words\n/join plans\nin plans\n//slash\n/delete x\n/edit 999999 no\n/help\n"
    result = CliRunner().invoke(
        groups.life, ["spaces", "chat", "--space", "Lab", "--data-dir", str(lab.data)], input=lines
    )
    assert result.exit_code == 0, result.output
    assert "#plans · Lab" in result.output
    assert "no message's number" in result.output
    assert "/search" in result.output
    history = lab.life("history", "plans")
    assert "in plans" in history
    assert ": /slash" in history
    assert "first words" in lab.life("history", "general", "--space", "Lab")


def message(number: int, content: str, **more: object) -> Message:
    fields: dict[str, object] = {"sender": "a" * 64, "created_us": NOON_US, **more}
    return Message(id=number, space_id=1, channel_id=1, content=content, **fields)  # type: ignore[arg-type]


def view() -> ChatView:
    return ChatView(NAMES, "a" * 64, Glyphs(), partners={7: "bob"})


def test_lines_of_a_chat() -> None:
    """Who, what, when; the day where it changes; answers quote; what is deleted, joined or reacted is a note."""
    shown = view()
    lines = [line.plain for line in shown.row(message(1, "hello"), 60)]
    assert lines == ["Thursday, 20 November 2025", "12:00  ada         hello  1"]
    assert [line.plain for line in shown.row(message(2, "yes", sender="b" * 64, reply_to_id=1), 60)] == [
        "12:00  bob-with-…  > ada: hello",
        "                   yes  2",
    ]
    assert [line.plain for line in shown.row(message(3, "eve joined", message_type=MessageType.JOIN), 60)] == [
        "12:00           *  eve joined"
    ]
    gone = Tombstone(
        message_id=2, space_id=1, channel_id=1, sender="b" * 64, deleted_by="a" * 64, reason="spam", at_us=NOON_US
    )
    assert [line.plain for line in shown.row(gone, 60)] == ["12:00           *  2 was deleted by ada: spam"]
    liked = Reaction(message_id=1, identity="b" * 64, emoji="👍", space_id=1, channel_id=1, at_us=NOON_US)
    assert [line.plain for line in shown.row(liked, 60)] == ["12:00           *  bob-with-a-very-long-name 👍 “hello”"]
    alone = DirectMessage(id=1, conversation_id=7, sender="a" * 64, content="psst", created_us=NOON_US)
    assert [line.plain for line in shown.row(alone, 60)] == ["12:00  ada         psst  to @bob alone"]
    other_day = message(4, "tomorrow", created_us=NOON_US + 86_400_000_000)
    assert next(iter(shown.row(other_day, 60))).plain == "Friday, 21 November 2025"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(min_size=1, max_size=400), st.integers(24, 120), st.one_of(st.none(), st.integers(1, 3)))
def test_no_line_is_wider_than_the_terminal(content: str, width: int, reply: int | None) -> None:
    """Whatever is said, in whatever script: no line is wider, and nothing in it steers the terminal."""
    shown = view()
    shown.row(message(1, content), width)
    for line in shown.row(message(2, content, sender="b" * 64, reply_to_id=reply), width):
        assert line.cell_len <= width
        assert "\x1b" not in line.plain
        assert "\n" not in line.plain

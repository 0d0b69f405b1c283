"""`life spaces …`: each command against a running spacesd, for people and with --json; and its help."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from life.cli import groups
from life.cli.lazy import load
from tests.harness.process import ChildProcess

SERVE = "from life.cli.spacesd import spacesd; spacesd()"
WORDS = [
    "channels",
    "send",
    "watch",
    "members",
    "roles",
    "invite",
    "kick",
    "ban",
    "mute",
    "dm",
    "threads",
    "search",
    "log",
    "reports",
    "list",
    "history",
    "join",
    "create",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a running spacesd and a project's agent."""
    folder = tmp_path_factory.mktemp("spaces")
    command = [sys.executable, "-c", SERVE, "--data-dir", str(folder / "life"), "--bind", "127.0.0.1:0"]
    env = {"LIFE_KEY_FILE": str(folder / "identity.key")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFE_KEY_FILE", env["LIFE_KEY_FILE"])
        assert CliRunner().invoke(groups.life, ["init", "--data-dir", str(folder / "life")]).exit_code == 0
        with ChildProcess.spawn([*command, "--admit-strangers"], name="spacesd", env=env) as daemon:
            daemon.wait_for_line(r"Ctrl-C stops it\.")
            yield folder / "life"


def life(data: Path, *words: str, code: int = 0, stdin: str = "") -> str:
    """`life spaces WORDS`, as the operator."""
    result = CliRunner().invoke(groups.life, ["spaces", *words, "--data-dir", str(data)], input=stdin)
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.slow
def test_up_tells_programs_where_it_listens(tmp_path: Path) -> None:
    """`life spaces up --json`: one object on the first line."""
    command = [sys.executable, "-c", SERVE, "--json", "--memory", "--bind", "127.0.0.1:0"]
    with ChildProcess.spawn(command, name="spacesd", env={}) as daemon:
        told = json.loads(daemon.wait_for_line(r"\{.*\}").group())
        assert told["websocket"].startswith("ws://127.0.0.1:")
        assert told["data_dir"] is None


@pytest.mark.slow
def test_talking_and_finding(data: Path) -> None:
    """Channels, threads, direct messages, search and the agents' log: written and found again, as lines and as JSON."""
    life(data, "create", "Lab")
    channel = json.loads(life(data, "create", "plans", "--in", "Lab", "--json"))
    assert channel["name"] == "plans"
    assert json.loads(life(data, "send", "plans", "we begin", "--json"))["content"] == "we begin"
    life(data, "send", "plans", stdin="from a pipe\n")
    assert "from a pipe" in life(data, "history", "plans")
    thread = json.loads(life(data, "threads", "plans", "--create", "ideas", "--text", "what next?", "--json"))
    assert "ideas" in life(data, "threads", "plans")
    life(data, "threads", "plans", "--archive", str(thread["id"]))
    assert "ideas" not in life(data, "threads", "plans")
    assert "archived" in life(data, "threads", "plans", "--all")
    life(data, "threads", "plans", "--unarchive", str(thread["id"]))
    assert "Error" in life(data, "threads", "plans", "--create", "x", code=1)
    assert "#plans" in life(data, "search", "begin", "--space", "Lab")
    assert [row["content"] for row in json.loads(life(data, "search", "BEGIN", "--json"))] == ["we begin"]
    agent = json.loads(life(data, "list", "--as-agent", "--json"))
    assert agent, "the agent is in the Hub"
    members = json.loads(life(data, "members", "1", "--json"))
    other = next(one["identity"] for one in members if one["role"] == "Agent")
    assert life(data, "dm").startswith("No direct messages yet")
    assert json.loads(life(data, "dm", other, "psst", "--json"))["content"] == "psst"
    life(data, "dm", other, "-", stdin="quietly\n")
    assert "quietly" in life(data, "dm", other)
    assert "2" in life(data, "dm", "--as-agent")
    assert json.loads(life(data, "dm", "--as-agent", "--json"))[0]["unread"] == 2
    assert life(data, "log") == "Nothing was logged.\n"
    assert json.loads(life(data, "log", "--json")) == []
    assert json.loads(life(data, "channels", "--json"))
    assert "no user" in life(data, "dm", "@nobody", "x", code=1)


@pytest.mark.slow
def test_keeping_order(data: Path) -> None:
    """Kick, ban, mute, reports: done, listed, taken back, in the moderation log; a session kick by the operator; nobody else's."""
    life(data, "create", "Court")
    life(data, "join", "Court", "--as-agent", "--json")
    other = next(
        one["identity"] for one in json.loads(life(data, "members", "Court", "--json")) if one["role"] != "Owner"
    )
    assert "muted for 30 minutes" in life(data, "mute", "Court", other, "--minutes", "30", "--reason", "loud")
    assert "loud" in life(data, "mute", "Court")
    sent = json.loads(life(data, "history", "general", "--space", "Court", "--json"))
    assert "Error" in life(data, "send", "general", "x", "--space", "Court", "--as-agent", code=1)
    life(data, "mute", "Court", other, "--lift")
    assert len(life(data, "mute", "Court").splitlines()) == 1
    message = json.loads(life(data, "send", "general", "look at me", "--space", "Court", "--json"))
    life(data, "call", "report_message", f"message_id={message['id']}", "reason=rude", "--as-agent")
    report = json.loads(life(data, "reports", "Court", "--json"))[0]
    assert "rude" in life(data, "reports", "Court")
    assert len(life(data, "reports", "Court", "--dismiss", str(report["id"])).splitlines()) == 1
    assert "dismissed" in life(data, "reports", "Court", "--all")
    assert "for 7 days" in life(data, "ban", "Court", other, "--days", "7", "--reason", "rude")
    assert json.loads(life(data, "ban", "Court", "--json"))[0]["reason"] == "rude"
    assert "Error" in life(data, "join", "Court", "--as-agent", code=1)
    life(data, "ban", "Court", other, "--lift")
    life(data, "join", "Court", "--as-agent")
    assert json.loads(life(data, "kick", "Court", other, "--reason", "bye", "--json"))["identity"] == other
    log = life(data, "log", "Court", "--moderation")
    for word in ("kick", "ban", "mute", "bye"):
        assert word in log
    assert json.loads(life(data, "log", "Court", "--moderation", "--json"))
    assert "Ended 0 sessions." in life(data, "kick", "--sessions", other)
    assert json.loads(life(data, "kick", "--sessions", other, "--json"))["sessions"] == 0
    assert "spaces.forbidden" in life(data, "kick", "--sessions", other, "--as-agent", code=1)
    assert "Error" in life(data, "kick", "Court", code=1)
    assert isinstance(sent, list)


@pytest.mark.parametrize("word", WORDS)
def test_each_command_says_how(word: str) -> None:
    """Every command has --json and an example in its help, and its first sentence is the one of the list."""
    command = load(groups.spaces.lazy[word])
    assert any("--json" in param.opts for param in command.params if isinstance(param, click.Option))
    text = command.help or ""
    assert "Example" in text, word
    assert f"life spaces {word}" in text, word
    assert " ".join(text.split("\n\n")[0].split()) == groups.spaces.lazy[word].short_help


@pytest.mark.parametrize("word", list(groups.relay.lazy))
def test_each_relay_command_says_how(word: str) -> None:
    """The same for `life relay`."""
    command = load(groups.relay.lazy[word])
    assert any("--json" in param.opts for param in command.params if isinstance(param, click.Option))
    text = command.help or ""
    assert f"Example: life relay {word}" in " ".join(text.split()), word
    assert " ".join(text.split("\n\n")[0].split()) == groups.relay.lazy[word].short_help

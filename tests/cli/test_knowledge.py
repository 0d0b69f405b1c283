"""`life knowledge …` as a user runs it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.aios.events import UserMessage
from life.aios.record import USER, EventWriter, Stream
from life.cli.identity import new
from life.cli.knowledge import knowledge
from life.host.clock import SystemClock, SystemEntropy
from life.host.lago_store import open_store

NOTES = {
    "Lake.md": "---\ntitle: The lake\ntags: [water]\nvalid_to: 2020-01-01\n---\n# Lake\nA lake has water. See [[River]] and [[Gone]].\n",
    "sub/River.md": "The river feeds the [[Lake]]. \x1b[31mred\n",
}


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two notes; the cache is below `tmp_path`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "vault"
    for name, text in NOTES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def call(*words: str | Path) -> Result:
    result = CliRunner().invoke(knowledge, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def said(*words: str | Path) -> str:
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_folder_opens_as_it_is(vault: Path, tmp_path: Path) -> None:
    """Index, search, show, links, contents, context; nothing is written into the folder."""
    (vault / "bad.md").write_bytes(b"\xff")
    result = call("index", "--vault", vault)
    assert result.stdout == "2 notes: 2 read, 0 removed, 1 that can't be read.\n"
    assert "/bad.md: not UTF-8" in result.stderr
    table = said("search", "water", "--vault", vault)
    assert "/Lake.md" in table
    assert "/sub/River.md" not in table
    assert said("show", "[[lake]]", "--vault", vault) == "# Lake\nA lake has water. See [[River]] and [[Gone]].\n\n"
    assert [line.split()[1] for line in said("links", "lake", "--vault", vault).splitlines()[1:]] == [
        "/Lake.md",
        "/sub/River.md",
    ]
    assert "/sub/River.md" in said("links", "Lake", "--back", "--vault", vault)
    assert said("contents", "--vault", vault).startswith("### /\n\n- Lake | The lake | tags: water")
    assert said("context", "water", "--vault", vault).startswith("[1] /Lake.md · sha256 ")
    assert sorted(path.name for path in vault.rglob("*")) == ["Lake.md", "River.md", "bad.md", "sub"]
    assert [path.parent for path in (tmp_path / "cache").rglob("*.db")] == [tmp_path / "cache/life/knowledge"]


def test_json_for_programs(vault: Path) -> None:
    """One document each."""
    where = ("--vault", vault, "--json")
    assert json.loads(said("index", *where)) == {"read": 2, "removed": 0, "unreadable": 0, "notes": 2, "problems": []}
    found = json.loads(said("search", "feeds", "--links", *where))
    assert [hit["path"] for hit in found["results"]] == ["/sub/River.md"]
    assert [note["path"] for note in found["linked_notes"]] == ["/Lake.md"]
    assert json.loads(said("search", "ake", "--scored", *where))["results"][0]["path"] == "/Lake.md"
    assert json.loads(said("show", "lake", *where))["backlinks"] == ["/sub/River.md"]
    assert json.loads(said("lint", *where))["missing_pages"] == ["gone"]
    assert json.loads(said("context", "water", "--tokens", "60", *where))["tokens"] <= 60


def test_nothing_steers_the_terminal(vault: Path) -> None:
    """Control characters of a note are shown as such."""
    for words in (("search", "river"), ("show", "river"), ("context", "river")):
        assert "\x1b" not in said(*words, "--vault", vault)


def test_lint_reports_and_fails_on_request(vault: Path) -> None:
    """The health, every finding by name, and an exit status for scripts."""
    out = said("lint", "--vault", vault)
    assert out.startswith("2 notes, health 0.75\n")
    assert "Broken links (1)\n  /Lake.md → Gone" in out
    assert "Stale (1)\n  /Lake.md" in out
    assert call("lint", "--vault", vault, "--fail-below", "0.8").exit_code == 1
    assert call("lint", "--vault", vault, "--fail-below", "0.7").exit_code == 0


def test_a_sessions_notes_and_events(tmp_path: Path) -> None:
    """From the project's journal: the only session is meant unless one is named; citations name the event."""
    data = tmp_path / ".life"

    async def fill(session: str) -> None:
        async with open_store(data, create=True) as store:
            await store.desk.write(session, "/notes/lake.md", b"the lake")
            clock = SystemClock()
            writer = EventWriter(clock, SystemEntropy(), agent_id="a", stream=Stream(session), actor=USER)
            await store.journal.append([writer.event(UserMessage(content="where is the lake"))])

    asyncio.run(fill("one"))
    assert "sequence 1 · sha256" in said("context", "lake", "--data-dir", data)
    found = json.loads(said("events", "lake", "--data-dir", data, "--json"))
    assert [hit["excerpt"] for hit in found["results"]] == ["[user] where is the lake"]
    assert list((data / "knowledge").glob("notes-*.db"))
    asyncio.run(fill("two"))
    refused = call("search", "lake", "--data-dir", data)
    assert (refused.exit_code, "--session" in refused.stderr) == (1, True)
    assert "/notes/lake.md" in said("search", "lake", "--data-dir", data, "--session", "two")


@pytest.mark.parametrize(
    "words",
    [
        ("search", "x", "--vault", "/nowhere/at/all"),
        ("search", "x", "--data-dir", "/nowhere/at/all"),
        ("search", "x", "--vault", ".", "--session", "s"),
    ],
)
def test_errors_are_one_sentence(words: tuple[str, ...]) -> None:
    """With a code and the next step, exit status 1."""
    result = call(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output


def test_an_unknown_note_is_named(vault: Path) -> None:
    """Not found, exit status 1; no result is no error."""
    assert call("show", "nothing", "--vault", vault).exit_code == 1
    assert call("search", "nothing", "--vault", vault).stderr == "No note matches.\n"


def test_ingest_prints_memories_without_secrets(tmp_path: Path) -> None:
    """One JSON object a line."""
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps({"message": "use the key sk-abcdefgh12345678 and ghp_abcdefgh12345678 for the lake"}))
    (cube,) = map(json.loads, said("ingest", file).splitlines())
    assert cube["content"] == "use the key [REDACTED] and [REDACTED] for the lake"
    assert (cube["tier"], cube["source"]) == ("episodic", "t.jsonl")


def test_a_folder_and_a_session_become_the_same(vault: Path, tmp_path: Path) -> None:
    """Both ways, with a dry run first."""
    data = tmp_path / ".life"

    async def fill() -> None:
        async with open_store(data, create=True) as store:
            await store.desk.write("vault:ada", "/new.md", b"from the session")

    asyncio.run(fill())
    where = (vault, "--data-dir", data, "--session", "vault:ada")
    dry = said("sync", *where, "--dry-run")
    assert dry.endswith("Nothing was done (--dry-run).\n")
    assert not (vault / "new.md").exists()
    done = json.loads(said("sync", *where, "--json"))
    assert {step["path"]: step["action"] for step in done["done"]} == {
        "/Lake.md": "upload",
        "/new.md": "download",
        "/sub/River.md": "upload",
    }
    assert (vault / "new.md").read_text() == "from the session"
    assert said("sync", *where) == "Both sides are the same.\n"
    assert "/Lake.md" in said("search", "water", "--data-dir", data, "--session", "vault:ada")


def test_sealed_notes_leave_no_plain_index(tmp_path: Path) -> None:
    """Where blobs are encrypted the index stays in memory: no word of a note is on disk."""
    data = tmp_path / ".life"
    identity = CliRunner().invoke(new, ["--data-dir", str(data)], env={"LIFE_KEY_FILE": str(tmp_path / "key")})
    assert identity.exit_code == 0, identity.output
    (data / "config.toml").write_text("[storage]\nencrypt_blobs = true\n")
    environment = {"LIFE_KEY_FILE": str(tmp_path / "key")}

    async def fill() -> None:
        async with open_store(data, create=True, environment=environment) as store:
            await store.desk.write("one", "/notes/lake.md", b"unmistakable words")

    asyncio.run(fill())
    found = CliRunner().invoke(knowledge, ["search", "unmistakable", "--data-dir", str(data)], env=environment)
    assert "/notes/lake.md" in found.output
    assert not (data / "knowledge").exists()
    assert not any(b"unmistakable" in file.read_bytes() for file in data.rglob("*") if file.is_file())

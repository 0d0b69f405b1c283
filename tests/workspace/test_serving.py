"""The page's routes: who may ask, what they answer, and what a browser is told about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from life.aios import events
from life.aios.json import JsonObject
from life.aios.ports.journal import EventQuery
from life.aios.ports.snapshots import Snapshot
from life.aios.record import EventWriter, Stream
from life.host.access import Access
from life.host.arcand import open_application
from life.host.settings import ModelSettings, Settings
from life.host.system import System, open_system
from life.host.workspace import export_session
from life.testing.clock import SeededEntropy
from life.workspace.fold import fold
from life.workspace.positions import Positions
from life.workspace.state import digest
from tests.workspace import record

HOST = "127.0.0.1:3000"
TOKEN = "t" * 43
HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>"


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    (tmp_path / "script.toml").write_text(
        record.TOOLS.replace('tool = "bash"', 'tool = "list_dir"').replace("command = ", "path = ")
    )
    settings = Settings(model=ModelSettings(provider=f"scripted:{tmp_path / 'script.toml'}"))
    environment = {"LIFE_KEY_FILE": str(tmp_path / "key")}
    async with open_system(tmp_path / "life", settings=settings, environment=environment) as system:
        yield system


@pytest.fixture
async def stranger(system: System) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser without a login."""
    access = Access(TOKEN, system.clock, SeededEntropy())
    async with (
        open_application(system, access, TOKEN, hosts=[HOST], environment={}) as app,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=f"http://{HOST}") as client,
    ):
        yield client


@pytest.fixture
async def program(stranger: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """The operator's program."""
    stranger.headers["authorization"] = f"Bearer {TOKEN}"
    return stranger


async def worked(system: System) -> None:
    await system.runtime.create_session("s", name=f"Session {HOSTILE}")
    await system.runtime.run("s", f"Audit {HOSTILE}")


async def test_strangers_see_nothing(stranger: httpx2.AsyncClient, system: System) -> None:
    """Page, files and routes want a login; a foreign host name and a foreign origin are refused."""
    await worked(system)
    routes = (
        "/workspace",
        "/workspace/s",
        "/workspace/about",
        "/sessions/s/workspace/block",
        "/sessions/s/workspace/export",
    )
    for path in routes:
        assert (await stranger.get(path)).status_code == 401, path
        assert (await stranger.get(path, headers={"accept": "text/html"})).status_code == 303, path
        told = {"authorization": f"Bearer {TOKEN}"}
        assert (await stranger.get(path, headers={**told, "host": "evil.example:3000"})).status_code == 403, path
        assert (await stranger.get(path, headers={**told, "origin": "https://evil.example"})).status_code == 403, path


async def test_the_page_allows_nothing_but_itself(program: httpx2.AsyncClient) -> None:
    """A strict policy without inline script, with trusted types; script and style for ever under their digest, compressed."""
    page = await program.get("/workspace/anything")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "require-trusted-types-for 'script'" in policy
    assert page.headers["cache-control"] == "no-store" and "<script>" not in page.text
    root = next(part.split("/")[0] for part in page.text.split('"/static/workspace/')[1:])
    for name in ("workspace.js", "workspace.css", "home.js", "panes.js", "en_more.js", "es.json"):
        address = f"{root}/{name}"
        for encoding in ("zstd, gzip", "gzip", "identity"):
            file = await program.get(f"/static/workspace/{address}", headers={"accept-encoding": encoding})
            assert file.status_code == 200 and "immutable" in file.headers["cache-control"]
            assert file.headers.get("content-encoding", "identity") == encoding.split(",")[0]
    assert (await program.get("/static/workspace/0000000000000000/workspace.js")).status_code == 404
    assert (await program.get("/static/workspace/x/..%2Fassets.py")).status_code == 404


async def test_a_block_is_the_state_before_it_and_its_events(program: httpx2.AsyncClient, system: System) -> None:
    """The page gets what the journal has; a position that is not there yet, a branch and a session that are not there are 404."""
    await worked(system)
    records = await system.journal.read(EventQuery("s", "main"), limit=10_000)
    block = (await program.get("/sessions/s/workspace/block")).json()
    assert (block["base"], block["head"], len(block["events"])) == (0, len(records), len(records))
    assert block["events"][3]["event_id"] == records[3].event_id
    for at in (0, 1, 7, len(records)):
        told = (await program.get("/sessions/s/workspace/state", params={"at": at})).json()
        assert told["digest"] == digest(fold(records[:at])), at
    for path in ("block?at=9999", "state?at=9999", "block?branch=none", "state?at=x", "search?at=-1"):
        assert (await program.get(f"/sessions/s/workspace/{path}")).status_code in (400, 404), path
    assert (await program.get("/sessions/nobody/workspace/block")).status_code == 404


async def test_search_finds_words_kinds_and_actors(program: httpx2.AsyncClient, system: System) -> None:
    """Newest first, up to a position, in any case; the limit says that there is more."""
    await worked(system)
    ask = "/sessions/s/workspace/search"
    tools = (await program.get(ask, params={"kind": "ToolCallRequested"})).json()
    sequences = [each["sequence"] for each in tools["found"]]
    assert len(sequences) == 6 and sequences == sorted(sequences, reverse=True) and tools["complete"]
    assert not (await program.get(ask, params={"kind": "ToolCallRequested", "limit": 2})).json()["complete"]
    assert {
        each["kind"] for each in (await program.get(ask, params={"q": "REPORT.md", "kind": "File"})).json()["found"]
    } >= {"FileWrite"}
    assert [each["kind"] for each in (await program.get(ask, params={"actor": "user"})).json()["found"]] == [
        "UserMessage"
    ]
    early = (await program.get(ask, params={"kind": "ToolCallRequested", "at": sequences[-1]})).json()["found"]
    assert [each["sequence"] for each in early] == [sequences[-1]]


async def test_only_files_that_the_branch_names(program: httpx2.AsyncClient, system: System) -> None:
    """A blob is given out when an event of this branch names it, never run by a browser; any other hash is unknown."""
    await worked(system)
    other = await system.equipment.blobs.put(b"of somebody else")
    state = (await program.get("/sessions/s/workspace/state")).json()["state"]
    file = next(each for each in state["files"] if each["path"] == "report.md")
    answer = await program.get(f"/sessions/s/workspace/files/{file['hash']}")
    assert answer.content.startswith(b"# Report") and "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-disposition"] == "attachment"
    name = other if isinstance(other, str) else getattr(other, "hash", "0" * 64)
    assert (await program.get(f"/sessions/s/workspace/files/{name}")).status_code == 404


async def test_an_export_is_data_and_two_hashed_texts(program: httpx2.AsyncClient, system: System) -> None:
    """Hostile names and messages stay inside the data; the file's policy allows its own script and style by hash, and no request."""
    await worked(system)
    html = (await program.get("/sessions/s/workspace/export")).text
    assert html.count("<script") == 3 and html.count("</script>") == 3
    assert HOSTILE not in html and "connect-src" not in html and "default-src 'none'" in html
    assert await export_session(system, "s") == html.encode()


async def test_long_sessions_are_folded_once(system: System) -> None:
    """A position is folded from the nearest kept state; what was kept before a restart serves afterwards, and gives the same."""
    writer = EventWriter(system.clock, system.entropy, agent_id="a", stream=Stream("long"))
    made = [writer.event(events.UserMessage(content=f"message {number}")) for number in range(6500)]
    for start in range(0, len(made), 1000):
        await system.journal.append(made[start : start + 1000])
    every = await system.journal.read(EventQuery("long", "main"), limit=10_000)
    kept = _Snapshots()

    async def no_fork(_session: str, _branch: str) -> None:
        return None

    first = Positions(system.journal, no_fork, kept)
    assert digest(await first.at(Stream("long"))) == digest(fold(every))
    assert [snapshot.position for snapshot in kept.saved.values()] == [6000]
    again = Positions(system.journal, no_fork, kept)
    for at in (6500, 6000, 6001, 5999, 1, 0):
        assert digest(await again.at(Stream("long"), at)) == digest(fold(every[:at])), at


class _Snapshots:
    """Keeps snapshots in memory."""

    def __init__(self) -> None:
        self.saved: dict[tuple[str, int], Snapshot] = {}

    async def load(self, name: str, version: int) -> Snapshot | None:
        return self.saved.get((name, version))

    async def save(self, name: str, version: int, snapshot: Snapshot) -> None:
        self.saved[(name, version)] = snapshot


async def test_money_of_a_session_without_its_signatures(program: httpx2.AsyncClient, system: System) -> None:
    """The wallets' events of this session's payments are told, others' are not, and a signature never."""
    await system.runtime.create_session("s")
    wallet = EventWriter(system.clock, system.entropy, agent_id="a", stream=Stream("wallet:eip155:4020402:0xabc"))
    told: list[tuple[str, JsonObject]] = [
        ("finance.payment_reserved", {"payment_id": "p1", "session_id": "s", "amount_micro": 100}),
        ("finance.payment_signed", {"payment_id": "p1", "signature": "0xsecret"}),
        ("finance.payment_settled", {"payment_id": "p1", "amount_micro_credits": 100}),
        ("finance.payment_reserved", {"payment_id": "p2", "session_id": "t", "amount_micro": 7}),
        ("finance.payment_settled", {"payment_id": "p2"}),
    ]
    await system.journal.append([wallet.event(events.Custom(event_type=name, data=data)) for name, data in told])
    answer = await program.get("/sessions/s/workspace/money")
    found = [(each["kind"]["event_type"], each["kind"]["data"]["payment_id"]) for each in answer.json()["events"]]
    assert found == [("finance.payment_reserved", "p1"), ("finance.payment_settled", "p1")]
    assert "0xsecret" not in answer.text

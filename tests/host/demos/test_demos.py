"""The demos in an open system and over arcand's own routes: runs, recordings, copies (WS-DEMO-2, -3, -5, -6, -7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from life.aios.errors import InvalidInputError
from life.aios.events import Message
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream, encode_record
from life.arcan.providers.opening import ProviderOpener
from life.arcan.providers.pricing import price_table
from life.arcan.providers.scripted import ScriptedProvider
from life.arcan.runtime import ProposedCall
from life.haima.approval_desk import ApprovalDesk
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.host.access import Access
from life.host.arcand import open_application
from life.host.clock import SystemClock
from life.host.demos.demos import Demos, Started
from life.host.demos.files import read_lines
from life.host.demos.playing import Outcome, Question, as_written, play
from life.host.demos.recordings import JournalWithRecordings
from life.host.demos.tool_parts import CATEGORY
from life.host.settings import EvaluationSettings, PaymentSettings, Settings, SpacesSettings
from life.host.system import System, open_system
from life.testing.clock import SeededEntropy
from life.workspace.demos.catalogue import SLUGS, demo, recording, recording_id
from life.workspace.demos.demo import Decision
from life.workspace.demos.errors import DemoNotFoundError, DemoUnavailableError, RecordingReadOnlyError
from life.workspace.fold import fold
from life.workspace.values import fields, fields_of, items, text

TOKEN = "t" * 43
HOST = "127.0.0.1:3000"
BEARER = {"authorization": f"Bearer {TOKEN}"}
OFFLINE = ("sentinel", "materiales", "sentinel-pro", "ingest", "research")
"""Those that need no sandbox."""


class HurriedClock(SystemClock):
    """The machine's clock for people who do not watch: pauses that are there for the eye are left out, time limits are not."""

    async def sleep_us(self, duration_us: int) -> None:
        """Half a second or more is meant."""
        await super().sleep_us(duration_us if duration_us >= 500_000 else min(duration_us, 1_000))


@asynccontextmanager
async def opened(folder: Path, settings: Settings | None = None) -> AsyncIterator[System]:
    environment = {"LIFE_KEY_FILE": str(folder / "key")}
    async with open_system(
        folder / "life", settings=settings or Settings(), environment=environment, clock=HurriedClock()
    ) as system:
        yield system


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with opened(tmp_path) as system:
        yield system


@pytest.fixture
async def client(system: System) -> AsyncIterator[httpx2.AsyncClient]:
    access = Access(TOKEN, system.clock, SeededEntropy())
    async with (
        open_application(system, access, TOKEN, hosts=[HOST], environment={}) as app,
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url=f"http://{HOST}", headers=BEARER, timeout=30
        ) as client,
    ):
        yield client


async def played(system: System, slug: str, started: Started | None = None) -> Outcome:
    """Run a demo to its end, answered as its file says."""
    demos = Demos(system)
    started = started or await demos.run(slug)
    async with asyncio.timeout(60):
        return await play(system, demos, demo(slug), started, answer=as_written(demo(slug)))


def told(records: list[EventRecord], name: str) -> list[Mapping[str, object]]:
    """The data of a session's extension events of this name."""
    contents = [fields_of(record.payload) for record in records if record.kind_name == "Custom"]
    return [fields(content.get("data")) for content in contents if text(content.get("event_type")) == name]


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", OFFLINE)
async def test_a_run_shows_everything_that_its_file_promises(system: System, slug: str) -> None:
    """Real session, real tools, real money on the local ledger: every assertion of the file holds, every claimed panel is filled."""
    outcome = await played(system, slug)
    assert outcome.unmet == []
    assert outcome.reason == "completed"
    assert "not reported" not in outcome.answer
    assert "sin dato" not in outcome.answer


@pytest.mark.part("bubblewrap")
async def test_refactor_runs_its_tests_in_the_sandbox(system: System) -> None:
    """One person's word for the session; the first test fails, the second passes, and a stale edit is recovered from."""
    outcome = await played(system, "refactor")
    assert outcome.unmet == []
    results = [
        fields(fields_of(one.payload).get("result")) for one in outcome.records if one.kind_name == "ToolCallCompleted"
    ]
    assert [result["exit_code"] for result in results if "exit_code" in result] == [1, 0, 0]
    assert {result["sandbox"] for result in results if "sandbox" in result} <= {"bubblewrap", "landlock"}


async def test_every_suggestion_is_played_to_an_answer(system: System) -> None:
    """Beyond the first, whose promises are checked, each suggestion has a script that ends by itself."""
    demos = Demos(system)
    for slug in SLUGS:
        for number, suggestion in enumerate(demo(slug).ui.suggestions[1:], start=1):
            started = await demos.run(slug, suggestion=number)
            report = await system.runtime.wait(started.session_id, started.run_id)
            assert report.reason == "completed"
            assert report.final_answer == demo(slug).script[suggestion.script].turns[-1].text


async def test_two_demos_side_by_side_keep_apart(system: System) -> None:
    """Two runs of one demo and one of another at the same time: each shows what it promises, and pays for itself."""
    outcomes = await asyncio.gather(played(system, "ingest"), played(system, "ingest"), played(system, "sentinel"))
    assert [outcome.unmet for outcome in outcomes] == [[], [], []]


async def test_money_moves_once_and_to_the_right_side(system: System) -> None:
    """sentinel-pro: the agent has half a play dollar more, and the buyer's books are not the agent's."""
    demos = Demos(system)
    started = await demos.run("sentinel-pro")
    wallet = system.identity.wallet.address
    before = await system.ledger.balance(wallet, asset=PLAY_MONEY.address)
    outcome = await played(system, "sentinel-pro", started)
    assert outcome.unmet == []
    assert await system.ledger.balance(wallet, asset=PLAY_MONEY.address) - before == 500_000
    assert {record.agent_id for record in outcome.money} == {"demo-buyer"}
    assert system.payer.purse(system.settings.payments.network).state.open_payments() == []


async def test_a_peer_is_hired_in_a_place_of_the_demos_own(system: System) -> None:
    """research: the price goes from the wallet into escrow and, accepted, to the peer; what is learnt about simulated agents is no belief.
    The second event says what the session is, and results of stand-ins carry the word."""
    demos = Demos(system)
    started = await demos.run("research")
    before = await system.ledger.balance(system.identity.wallet.address, asset=PLAY_MONEY.address)
    outcome = await played(system, "research", started)
    assert outcome.unmet == []
    assert before - await system.ledger.balance(system.identity.wallet.address, asset=PLAY_MONEY.address) == 20_000
    opened_as = told(outcome.records[1:2], "demo.opened")[0]
    assert (opened_as["slug"], opened_as["how"]) == ("research", "run")
    assert opened_as["simulated"] == list(demo("research").simulated)
    results = b"".join(one.payload for one in outcome.records if one.kind_name == "ToolCallCompleted")
    assert b"Lex (simulated)" in results
    assert b"simulated project page" in results
    states = [one["state"] for one in told(outcome.records, "spaces.hire_changed")]
    assert states == ["delivered", "paid"]
    assert told(outcome.records, "spaces.rated")[0]["stars"] == 4
    assert [hire.state for hire in fold(outcome.records).hires] == ["paid"]
    beliefs = system.registry.state(system.identity.agent_id)
    assert beliefs is not None
    assert beliefs.beliefs.trust_scores == {}
    assert system.spaces.spaces is None


async def test_what_timed_out_was_not_paid(system: System) -> None:
    """materiales: three purchases, three sellers, each paid once; nothing is open afterwards."""
    outcome = await played(system, "materiales")
    assert len(told(outcome.money, "finance.payment_reserved")) == 3
    assert not told(outcome.money, "finance.payment_ambiguous")
    late = [
        fields(fields_of(one.payload).get("result")) for one in outcome.records if one.kind_name == "ToolCallCompleted"
    ]
    assert [len(items(one["late"])) for one in late if "late" in one] == [1, 0]


async def test_the_offered_branch_plays_its_own_script(system: System) -> None:
    """sentinel: forked before the words, said otherwise, the branch comes to its own report and main keeps its own."""
    outcome = await played(system, "sentinel")
    session_id = outcome.records[0].session_id
    offer = told(outcome.records, "demo.branch_offered")[0]
    assert offer["message"] == demo("sentinel").branches[0].prompt
    before = offer["before_sequence"]
    assert isinstance(before, int)
    branch, run_id = await system.runtime.branches.rerun(session_id, before, str(offer["message"]), name="strict")
    report = await system.runtime.wait(session_id, run_id, branch=branch.branch_id)
    assert report.reason == "completed"
    assert "three of five are open" in (report.final_answer or "")
    own = Path(await system.runtime.workspace(session_id)) / "report.md"
    other = Path(await system.runtime.workspace(session_id, branch=branch.branch_id)) / "report.md"
    assert "strict" in other.read_text()
    assert "strict" not in own.read_text()


@pytest.mark.parametrize(
    "slug",
    [
        "sentinel",
        pytest.param("sentinel-pro", marks=pytest.mark.slow),
        pytest.param("research", marks=pytest.mark.slow),
    ],
)
async def test_a_question_survives_a_restart(tmp_path: Path, slug: str) -> None:
    """The process ends while a call, or a payment, waits for a person. The next one asks the same question, and the run completes, paid once."""
    async with opened(tmp_path) as first:
        started = await Demos(first).run(slug)
        await waits(first, started)
    async with opened(tmp_path) as second:
        assert await second.runtime.recover_all() == [started.session_id]
        outcome = await played(second, slug, started)
        assert outcome.reason == "completed"
        assert outcome.unmet == []
        settled = [one["amount_micro_credits"] for one in told(outcome.money, "finance.payment_settled")]
        assert settled == {"sentinel": [], "sentinel-pro": [500_000], "research": [20_000]}[slug]


async def waits(system: System, started: Started) -> None:
    """Until somebody is asked something."""
    desk = ApprovalDesk(system.journal, system.clock, system.entropy, agent_id="test")
    try:
        async with asyncio.timeout(30):
            while True:
                state = await system.runtime.state(started.session_id)
                if state.status == "waiting" or (await desk.page()).tickets:
                    return
                await asyncio.sleep(0.05)
    finally:
        await desk.aclose()


async def test_another_model_plays_the_same_demo_without_the_scripted_judge(system: System, tmp_path: Path) -> None:
    """A named model thinks instead of the script; heuristics score it, and no judge says what was written for the script."""
    file = tmp_path / "model.json"
    file.write_text(
        '{"turns": [{"text": "I look.", "calls": [{"tool": "list_dir", "arguments": {"path": "orders"}}]}, {"text": "Five orders."}]}'
    )
    demos = Demos(system)
    started = await demos.run("sentinel", model=f"scripted:{file}")
    async with asyncio.timeout(30):
        outcome = await play(system, demos, demo("sentinel"), started, answer=as_written(demo("sentinel")))
    assert outcome.answer == "Five orders."
    assert told(outcome.records, "eval.InlineCompleted")
    assert not told(outcome.records, "eval.AsyncCompleted")


async def test_a_project_that_evaluates_by_itself_is_not_judged_twice(tmp_path: Path) -> None:
    """With evaluation.inline on, every heuristic scores a demo's run once."""
    async with opened(tmp_path, Settings(evaluation=EvaluationSettings(inline=True))) as system:
        outcome = await played(system, "sentinel")
        async with asyncio.timeout(10):
            while not told(
                records := await Demos(system).records_of(outcome.records[0].session_id), "eval.egri_outcome"
            ):
                await asyncio.sleep(0.05)
        names = [one["evaluator"] for one in told(records, "eval.InlineCompleted")]
        assert len(names) == len(set(names))


async def test_costs_are_those_of_the_price_table(system: System) -> None:
    """The run's cost is the sum of its answers', each rounded up from tokens and the table's prices."""
    outcome = await played(system, "ingest")
    state = fold(outcome.records)
    price = demo("ingest").priced_as
    expected = 0
    for record in outcome.records:
        if record.kind_name == "Message":
            usage = record.kind.token_usage if isinstance(record.kind, Message) else None
            assert usage is not None
            expected += price_table().cost_micro(price.vendor, price.model, usage) or 0
    assert state.totals.cost_micro == expected > 0


@pytest.mark.parametrize(
    ("slug", "approve", "words"),
    [
        ("sentinel", True, "is marked as reopened"),
        ("sentinel-pro", False, "Nothing was paid (demo refused this payment: I'd rather not.)"),
        ("research", False, "I could not hire anybody (I'd rather not.)"),
    ],
)
async def test_who_decides_otherwise_is_told_the_truth(system: System, slug: str, approve: bool, words: str) -> None:
    """The script says what really happened; nothing is paid that was refused, and the judge does not praise a story that did not take place."""

    async def otherwise(question: Question) -> Decision:
        return Decision(about=question.about, approve=approve, reason="" if approve else "I'd rather not.")

    demos = Demos(system)
    started = await demos.run(slug)
    async with asyncio.timeout(60):
        outcome = await play(system, demos, demo(slug), started, answer=otherwise)
    assert outcome.reason == "completed"
    assert words in outcome.answer
    assert "not reported" not in outcome.answer
    assert not told(outcome.money, "finance.payment_settled")
    assert bool(told(outcome.records, "eval.AsyncCompleted")) is approve
    assert bool(told(outcome.records, "eval.judge_failed")) is not approve
    if slug == "sentinel":
        order = Path(await system.runtime.workspace(started.session_id)) / "orders/WO-1184.md"
        assert "status: reopened" in order.read_text()


# --- where it can't run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payments", "word"),
    [(PaymentSettings(enabled=False), "switched off"), (PaymentSettings(network="eip155:8453"), "eip155:8453")],
)
async def test_a_demo_that_needs_play_money_says_why_it_can_not_run(
    tmp_path: Path, payments: PaymentSettings, word: str
) -> None:
    """Refused before anything is made; demos without money run all the same."""
    async with opened(tmp_path, Settings(payments=payments)) as system:
        demos = Demos(system)
        assert word in (demos.unavailable("research") or "")
        with pytest.raises(DemoUnavailableError):
            await demos.run("research")
        assert await system.runtime.sessions() == []
        assert demos.unavailable("sentinel") is None


async def test_unknown_names_and_numbers_are_refused(system: System) -> None:
    """A demo that is not there, a suggestion that it has not; no session is left."""
    demos = Demos(system)
    with pytest.raises(DemoNotFoundError):
        await demos.run("nothing")
    for number in (-1, 3):
        with pytest.raises(InvalidInputError):
            await demos.run("sentinel", suggestion=number)
    assert await system.runtime.sessions() == []


async def test_the_project_keeps_its_own_spaces(tmp_path: Path) -> None:
    """Where the agent has tools for Spaces itself, a demo hires in the demos' place all the same, and the project's is not even opened."""
    async with opened(tmp_path, Settings(spaces=SpacesSettings(place="embedded", tools="on"))) as system:
        outcome = await played(system, "research")
        assert outcome.unmet == []
        assert system.spaces.spaces is None


async def test_nothing_of_spaces_is_there_before_a_demo_is_played(system: System, tmp_path: Path) -> None:
    """A project that plays no demo has no tool, no folder and no open place more than before; looking at the demos changes nothing."""
    demos = Demos(system)
    assert [demos.unavailable(slug) for slug in OFFLINE] == [None] * len(OFFLINE)
    assert not [name for name in system.runtime.tool_names if name.startswith("spaces_")]
    assert not (tmp_path / "life" / "demos").exists()


async def test_the_demos_tools_are_nobody_elses(system: System) -> None:
    """An ordinary session is offered none of them and can't call one by guessing its name."""
    own = {each.name for each in system.equipment.toolbox.definitions() if each.category == CATEGORY}
    assert {"query_spans", "fetch_quotes", "request_payment"} <= own
    assert all(each.by_name_only for each in system.equipment.toolbox.definitions() if each.name in own)
    await system.runtime.create_session("plain")
    run_id = await system.runtime.start(
        "plain",
        "hello",
        proposed=ProposedCall("request_payment", {"url": "http://sentinel-pro.demo.localhost/audits"}),
    )
    await system.runtime.wait("plain", run_id)
    page = await system.journal.read(EventQuery("plain", "main", kinds=("ToolCallFailed", "ToolCallStarted")))
    assert [record.kind_name for record in page] == ["ToolCallFailed"]
    assert b"There is no tool named" in page[0].payload


# --- recordings -------------------------------------------------------------------------------------------------------


async def test_a_recording_is_the_file_and_no_provider_is_opened(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every event as it stands in the file, byte for byte; a provider that is opened or asked would fail the test (WS-DEMO-6)."""

    def opened_one(*_: object, **__: object) -> object:
        raise AssertionError("A provider was constructed.")

    monkeypatch.setattr(ProviderOpener, "__call__", opened_one)
    monkeypatch.setattr(ScriptedProvider, "__init__", opened_one)
    for slug in SLUGS:
        session_id = await Demos(system).open_recording(slug)
        own = await Demos(system).records_of(session_id)
        written = [record for record in read_lines(recording(slug)) if record.session_id == session_id]
        assert [encode_record(one) for one in own] == [encode_record(one) for one in written]
        assert (await system.runtime.state(session_id)).status == "closed"


async def test_a_recording_leaves_the_project_as_it_was(system: System) -> None:
    """Not one event of it is in the project's journal, no list names it, and nothing can be added to it."""
    journal = system.journal
    assert isinstance(journal, JournalWithRecordings)
    before = await journal.inner.streams()
    session_id = await Demos(system).open_recording("materiales")
    assert await Demos(system).open_recording("materiales") == session_id
    assert await journal.inner.streams() == await journal.streams() == before
    assert await system.runtime.sessions() == []
    state = await system.runtime.state(session_id)
    with pytest.raises(RecordingReadOnlyError):
        await system.runtime.delete_session(session_id, actor="test")
    assert await system.runtime.state(session_id) == state
    assert [record.kind_name for record in await journal.money_of(session_id)]
    assert await journal.money_of("anything") == []


async def test_a_session_with_a_similar_name_is_ones_own(system: System) -> None:
    """Only the ids of the shipped recordings mean a recording."""
    await system.runtime.create_session("recording-of-mine")
    assert (await system.journal.head(Stream("recording-of-mine"))).sequence == 1
    assert (await system.journal.head(Stream("recording-sentinel-000000000000"))).sequence == 0


# --- copies -----------------------------------------------------------------------------------------------------------


async def test_a_copy_has_everything_but_a_run(system: System) -> None:
    """Files, instructions, tools and policy of the demo, the project's own model, and nothing started (WS-DEMO-5)."""
    session_id = await Demos(system).copy("sentinel", name="My audits", owner="")
    state = await system.runtime.state(session_id)
    assert (state.name, state.status, state.totals.runs) == ("My audits", "idle", 0)
    assert state.config.provider == ""
    assert state.config.policy is not None
    assert state.config.policy.gate_capabilities == demo("sentinel").policy.gate
    assert state.config.system_prompt.startswith(demo("sentinel").instructions.strip()[:40])
    root = Path(await system.runtime.workspace(session_id))
    assert sorted(path.name for path in (root / "orders").iterdir())[0] == "WO-1181.md"
    report = await system.runtime.run(session_id, "list orders")
    assert "WO-1185" in (report.final_answer or "")
    with pytest.raises(InvalidInputError):
        await Demos(system).copy("sentinel", name="x" * 81)


# --- over HTTP --------------------------------------------------------------------------------------------------------


async def test_the_list_has_what_the_page_shows(client: httpx2.AsyncClient) -> None:
    """Six demos in order; estimates from the recordings, not typed in; one of them in Spanish."""
    answer = await client.get("/workspace/demos")
    found = answer.json()["demos"]
    assert [each["slug"] for each in found] == list(SLUGS)
    assert [each["slug"] for each in found if each["language"] == "es"] == ["materiales"]
    for each in found:
        state = fold(one for one in read_lines(recording(each["slug"])) if one.session_id == recording_id(each["slug"]))
        assert each["estimate_micro"]["typical"] == state.totals.cost_micro > 0
        assert each["estimate_micro"]["high"] >= each["estimate_micro"]["typical"]
        assert each["has_recording"]
        assert each["billing"]["network"] == LOCAL
        assert each["recording_events"] == state.events
        assert 1 <= len(each["suggestions"]) <= 8
    detail = (await client.get("/workspace/demos/sentinel")).json()
    assert detail["files"] == list(demo("sentinel").seed_files)
    assert detail["branches"][0]["prompt"] == demo("sentinel").branches[0].prompt


async def test_a_run_over_http_is_a_session_like_any_other(client: httpx2.AsyncClient) -> None:
    """201 with session and run; its state, events and files are where every session's are."""
    answer = await client.post("/workspace/demos/sentinel/runs", json={"suggestion": 1})
    assert answer.status_code == 201
    session_id, run_id = answer.json()["session_id"], answer.json()["run_id"]
    async with asyncio.timeout(20):
        while (await client.get(f"/sessions/{session_id}/runs/{run_id}")).json()["status"] == "running":
            await asyncio.sleep(0.05)
    assert (await client.get(f"/sessions/{session_id}")).json()["last_run"]["reason"] == "completed"
    assert [each["session_id"] for each in (await client.get("/sessions")).json()] == [session_id]
    files = (await client.get(f"/sessions/{session_id}/files")).json()["files"]
    assert "orders/WO-1184.md" in [each["path"] for each in files]


async def test_a_recording_over_http_can_be_looked_at_whole(client: httpx2.AsyncClient) -> None:
    """State, events, files with their contents and money; a run on it is refused."""
    session_id = (await client.post("/workspace/demos/research/recording")).json()["session_id"]
    assert (await client.post("/workspace/demos/research/recording")).json()["session_id"] == session_id
    assert (await client.get(f"/sessions/{session_id}")).json()["status"] == "closed"
    state = (await client.get(f"/sessions/{session_id}/workspace/state")).json()["state"]
    assert state["demo"]["how"] == "recording"
    assert {file["path"] for file in state["files"]} == {"notes.md", "shortlist.md"}
    for file in state["files"]:
        content = await client.get(f"/sessions/{session_id}/workspace/files/{file['hash']}")
        assert content.status_code == 200
        assert b"Loomwork" in content.content
    money = (await client.get(f"/sessions/{session_id}/workspace/money")).json()["events"]
    assert "finance.payment_settled" in [event["kind"]["event_type"] for event in money]
    refused = await client.post(f"/sessions/{session_id}/runs", json={"objective": "go on"})
    assert refused.status_code == 409


async def test_bad_requests_get_problem_documents(client: httpx2.AsyncClient) -> None:
    """Each with its status and a stable code; no session is made."""
    for path, body, status, code in (
        ("nothing/runs", {}, 404, "demo.not_found"),
        ("nothing/recording", {}, 404, "demo.not_found"),
        ("nothing/copies", {}, 404, "demo.not_found"),
        ("sentinel/runs", {"suggestion": 9}, 400, "life.invalid_input"),
        ("sentinel/runs", {"sugestion": 1}, 400, "life.invalid_input"),
        ("sentinel/runs", {"model": "nobody"}, 400, "arcan.unknown_provider"),
        ("sentinel/copies", {"model": "nobody"}, 400, "arcan.unknown_provider"),
        ("sentinel/copies", {"name": "x" * 81}, 400, "life.invalid_input"),
    ):
        answer = await client.post(f"/workspace/demos/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await client.get("/sessions")).json() == []

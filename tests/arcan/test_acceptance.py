"""The fourteen acceptance points of the runtime (arcan.md §17): the tests that stand here, and where the others are."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from life.aios import events
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.provider import ModelRequest, TextBlock
from life.aios.record import EventRecord
from life.aios.state import SteeringMode, TokenUsage
from life.arcan.events import RunLimits
from life.arcan.providers.scripted import Script, ScriptedCall, ScriptedProvider, ScriptedTurn
from life.arcan.runtime import ProposedCall, Runtime
from life.arcan.settings import RuntimeSettings
from life.cli.groups import arcan
from life.lago.journal.memory import MemoryJournal
from life.praxis.tools.bash import Bash
from life.praxis.workspace import WorkspacePolicy
from life.testing.clock import ManualClock, SeededEntropy
from tests.acceptance import missing_tests
from tests.arcan.realtime import SystemClock
from tests.arcan.test_crash import fifteen_tools
from tests.arcan.workbench import Workbench, calls, history, kinds, runtime_on, says, script
from tests.cli.daemon import BIN
from tests.praxis.tools.test_bash import PlayedSandbox, played, registry_over

POINTS = {
    1: (
        "tests.arcan.test_acceptance:test_1_one_identity_that_nobody_changed",
        "tests.cli.test_identity:test_new_makes_an_identity_once",
        "tests.anima.test_genesis:test_a_forged_journal_is_refused",
    ),
    2: (
        "tests.arcan.test_acceptance:test_2_a_text_answer_is_one_model_call",
        "tests.host.test_arcand:test_a_run_from_creation_to_answer",
        "tests.arcan.doors.test_streaming:test_pieces_come_as_they_are_written",
    ),
    3: ("tests.arcan.test_acceptance:test_3_fifteen_tools_in_one_run",),
    4: (
        "tests.arcan.test_kill_run:test_killed_at_every_event",
        "tests.arcan.test_crash:test_killed_at_every_append_the_run_ends_the_same",
        "tests.arcan.test_crash:test_every_prefix_folds_alike_and_can_be_resumed",
        "tests.arcan.test_crash:test_4_every_prefix_with_people_comes_to_rest",
        "tests.cli.test_arcand_crash:test_a_killed_daemon_takes_its_run_up_again",
    ),
    5: (
        "tests.arcan.test_acceptance:test_5_approve_after_a_restart_runs_that_call_once",
        "tests.arcan.test_acceptance:test_5_denied_and_timed_out_the_model_is_told",
    ),
    6: (
        "tests.arcan.test_acceptance:test_6_proposed_calls_pass_the_gate",
        "tests.arcan.test_acceptance:test_6_what_leads_out_is_denied_whoever_asks",
        "tests.praxis.sandbox.test_shell_programs:test_bash_runs_nothing_that_was_not_told",
    ),
    7: (
        "tests.arcan.test_owners:test_7_two_owners_never_meet",
        "tests.arcan.test_owners:test_every_route_of_a_session_asks_whose_it_is",
        "tests.arcan.memory.test_service:test_two_owners_never_see_each_other",
    ),
    8: (
        "tests.arcan.doors.test_streaming:test_reconnecting_under_load_loses_and_repeats_nothing",
        "tests.arcan.doors.test_streaming:test_thousands_of_missed_events_are_delivered",
        "tests.cli.test_arcand_stream:test_twenty_reconnecting_clients_lose_and_repeat_nothing",
    ),
    9: (
        "tests.arcan.doors.test_ai_sdk:test_a_run_with_a_tool_is_one_message",
        "tests.arcan.doors.test_ai_sdk:test_an_approval_is_asked_and_answered",
    ),
    10: (
        "tests.arcan.test_acceptance:test_10_cancel_stops_a_stream_and_a_command_within_two_seconds",
        "tests.praxis.sandbox.test_in_a_session:test_cancelling_a_run_ends_its_command",
    ),
    11: (
        "tests.arcan.test_acceptance:test_11_every_budget_stops_a_run",
        "tests.arcan.test_acceptance:test_11_time_stops_a_run",
    ),
    12: (
        "tests.praxis.tools.test_bash:test_file_tools_and_commands_share_one_workspace",
        "tests.praxis.sandbox.test_in_a_session:test_the_journal_tells_what_a_command_did",
    ),
    13: ("tests.arcan.test_acceptance:test_13_messages_in_every_mode_keep_the_system_prompt",),
    14: (
        "tests.arcan.agents.test_spawn:test_cycles_and_depth_end_where_they_must",
        "tests.arcan.agents.test_spawn:test_a_recursion_bomb_stays_within_its_budget",
        "tests.arcan.agents.test_spawn:test_children_work_side_by_side_and_share_the_budget",
        "tests.arcan.agents.test_spawn:test_a_typed_agent_answers_and_is_charged",
    ),
}
"""Which tests prove which point."""


def test_every_point_has_its_tests() -> None:
    """Each of the fourteen points names tests that exist, say what they promise, and check something."""
    assert sorted(POINTS) == list(range(1, 15))
    assert missing_tests(POINTS) == []


@pytest.mark.parametrize("changed", [None, "soul.json", "seed.enc"])
def test_1_one_identity_that_nobody_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str | None
) -> None:
    """Acceptance 1: `identity new` twice gives the same DID and a private seed; with one changed byte in soul or seed the daemon
    does not start, says why with a code, and leaves the file as it is."""
    monkeypatch.chdir(tmp_path)
    environment = {"LIFE_KEY_FILE": str(tmp_path / "keys" / "identity.key")}
    runner = CliRunner(env={**environment, "LIFE_PASSPHRASE": None})
    first, again = (json.loads(runner.invoke(arcan, ["identity", "new", "--json"]).stdout) for _ in range(2))
    assert first["did"] == again["did"] and (first["created"], again["created"]) == (True, False)
    folder = tmp_path / ".life" / "identity"
    assert (folder / "seed.enc").stat().st_mode & 0o777 == 0o600
    if changed is not None:
        content = bytearray((folder / changed).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / changed).write_bytes(content)
    command = [str(BIN / "arcand"), "--port", "0", "--data-dir", str(tmp_path / ".life")]
    daemon = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert daemon.stdout is not None
        listens = any("listens" in line for line in daemon.stdout)  # up to that line, or to the end
        assert listens is (changed is None)
        if changed is not None:
            told = daemon.communicate(timeout=30)[1]
            assert daemon.returncode != 0 and "Traceback" not in told
            assert "[anima." in told or "[custody." in told
            assert (folder / changed).read_bytes() == bytes(content)
    finally:
        daemon.kill()
        daemon.communicate()


SIGN = script(calls(("sign", {"text": "the contract"}), text="I'll sign."), says("So be it."))


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


class Listening(ScriptedProvider):
    """A scripted model that keeps what it was asked."""

    def __init__(self, plan: Script, bench: Workbench) -> None:
        self.heard: list[ModelRequest] = []

        def turn(request: ModelRequest) -> ScriptedTurn:
            self.heard.append(request)
            said = sum(message.role == "assistant" for message in request.messages)
            return plan.turns[min(said, len(plan.turns) - 1)]

        super().__init__(turn, clock=bench.clock)


def user_texts(request: ModelRequest) -> list[str]:
    """What people said in a request, in order."""
    return [
        block.text
        for message in request.messages
        if message.role == "user"
        for block in message.content
        if isinstance(block, TextBlock)
    ]


async def test_2_a_text_answer_is_one_model_call(journal: MemoryJournal, bench: Workbench) -> None:
    """Acceptance 2: prompt, text, RunFinished; exactly one model call."""
    model = Listening(script(says("Hello.")), bench)
    async with runtime_on(journal, bench, model) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Hi.")).final_answer == "Hello."
    assert len(model.heard) == 1
    assert (await kinds(journal, "s"))[-1] == "RunFinished"


async def test_3_fifteen_tools_in_one_run(journal: MemoryJournal, bench: Workbench) -> None:
    """Acceptance 3: fifteen tool calls finish within one run, whatever the mode says, and the session still answers."""
    async with runtime_on(journal, bench, fifteen_tools()) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Do the fifteen things.")
        assert (report.reason, report.final_answer) == ("completed", "All fifteen are done.")
        assert (await kinds(journal, "s")).count("ToolCallStarted") == 15
        assert (await kinds(journal, "s")).count("RunStarted") == 1
        again = await runtime.run("s", "And now?")
    assert again.status == "finished"


async def test_5_approve_after_a_restart_runs_that_call_once(journal: MemoryJournal, bench: Workbench) -> None:
    """Acceptance 5: pause, restart, approve: that very call, once."""
    async with runtime_on(journal, bench, SIGN) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Sign it.")
        assert report.pending is not None and report.pending.approval_id is not None
    async with runtime_on(journal, bench, SIGN, seed="second") as runtime:
        await runtime.recover_all()
        (ticket,) = await runtime.pending_approvals()
        assert (ticket.call_id, ticket.arguments) == (report.pending.call_id, {"text": "the contract"})
        await runtime.resolve_approval("s", ticket.approval_id, approved=True, actor="ann")
        assert (await runtime.wait("s")).final_answer == "So be it."
        assert await runtime.pending_approvals() == []
    assert bench.effects() == ["sign:the contract"]


async def test_5_denied_and_timed_out_the_model_is_told(journal: MemoryJournal, bench: Workbench) -> None:
    """Acceptance 5: refused, the model reads why and explains; undecided for 300 s it counts as refused."""
    assert isinstance(bench.clock, ManualClock)
    model = Listening(SIGN, bench)
    async with runtime_on(journal, bench, model) as runtime:
        for session_id in ("denied", "late"):
            await runtime.create_session(session_id)
            report = await runtime.run(session_id, "Sign it.")
            assert report.pending is not None and report.pending.approval_id is not None
            if session_id == "denied":
                await runtime.resolve_approval(
                    session_id, report.pending.approval_id, approved=False, actor="ann", reason="Too dear."
                )
            else:
                for _ in range(400):
                    await asyncio.sleep(0)
                    bench.clock.advance_us(1_000_000)
            assert (await runtime.wait(session_id)).reason == "completed"
    assert "Too dear." in str(model.heard[1].messages[-1])
    assert "Nobody decided in time." in str(model.heard[-1].messages[-1])
    assert bench.effects() == []


async def test_6_proposed_calls_pass_the_gate(journal: MemoryJournal, bench: Workbench) -> None:
    """Acceptance 6: a call that the client proposes is denied, asked about or run by the same rules as the model's."""
    policy = PolicySet(allow_capabilities=("fs:write:**",), gate_capabilities=("payments:*",))
    settings = RuntimeSettings(policy=policy)
    async with runtime_on(journal, bench, script(says("x"), says("Seen.")), settings=settings) as runtime:
        outcomes = {}
        for tool, arguments in (
            ("secret", {}),
            ("transfer", {"to": "eve"}),
            ("write", {"path": "a.txt", "content": "hi"}),
            ("nothing", {}),
        ):
            await runtime.create_session(tool)
            run_id = await runtime.start(tool, "Do it.", proposed=ProposedCall(tool, arguments))
            outcomes[tool] = await runtime.wait(tool, run_id)
    assert outcomes["transfer"].status == "waiting"
    assert [outcomes[tool].reason for tool in ("secret", "write", "nothing")] == ["completed"] * 3
    assert bench.effects() == ["write:a.txt=hi"]
    names = await kinds(journal, "secret")
    assert "policy.violation" in names and "ToolCallStarted" not in names


async def test_6_what_leads_out_is_denied_whoever_asks(journal: MemoryJournal, tmp_path: Path) -> None:
    """Acceptance 6: with `ls` and `find` permitted, another program behind a semicolon, after `-exec` or in a substitution is denied,
    and so are links and `..` that lead out of the workspace; from the model and proposed alike. Nothing of it happens."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (tmp_path / "secret").write_text("hidden")
    (workspace / "link").symlink_to(tmp_path / "secret")
    sandbox = PlayedSandbox(played())
    policy = PolicySet(allow_capabilities=("fs:read:**", "fs:write:**", "exec:cmd:ls"))
    denied: list[tuple[str, dict[str, Json]]] = [
        ("bash", {"command": "ls; id"}),
        ("bash", {"command": "find . -exec id {} ;"}),
        ("bash", {"command": "ls $(id)"}),
        ("read_file", {"path": "../secret"}),
        ("write_file", {"path": "../secret", "content": "x"}),
        ("read_file", {"path": "link"}),
        ("write_file", {"path": "link", "content": "x"}),
    ]
    clock = SystemClock()

    def model(request: ModelRequest) -> ScriptedTurn:
        said = user_texts(request)[0]
        if len(request.messages) > 1 or said == "Propose.":
            return says("Done.")
        return calls(denied[int(said)], ("bash", {"command": "ls"}))

    registry = registry_over(sandbox, tmp_path / "marks")
    bash = Bash(
        sandbox, WorkspacePolicy(), marks_directory=tmp_path / "marks", entropy=SeededEntropy("bash"), confirm=False
    )
    registry.register(bash, replace=True)
    async with Runtime(
        journal,
        registry,
        provider=ScriptedProvider(model, clock=clock),
        clock=clock,
        entropy=SeededEntropy("six"),
        agent_id="agent-1",
        workspace_of=lambda _: str(workspace),
        settings=RuntimeSettings(policy=policy),
    ) as runtime:
        for number, (tool, arguments) in enumerate(denied):
            for asks, proposed in (("model", None), ("client", ProposedCall(tool, arguments))):
                await runtime.create_session(f"{asks}-{number}")
                objective = str(number) if proposed is None else "Propose."
                await runtime.start(f"{asks}-{number}", objective, proposed=proposed)
                assert (await runtime.wait(f"{asks}-{number}")).final_answer == "Done."
    assert [asked.argv[-1] for asked in sandbox.asked] == ["ls"] * len(denied)
    assert (tmp_path / "secret").read_text() == "hidden" and (workspace / "link").is_symlink()
    for asks in ("model", "client"):
        for number in range(len(denied)):
            records = await history(journal, f"{asks}-{number}")
            assert not any(b"hidden" in each.payload for each in records)
            done = [each.kind for each in records if isinstance(each.kind, events.ToolCallCompleted)]
            assert [each.tool_name for each in done if each.status == "ok"] == (["bash"] if asks == "model" else [])


def endless(turn: ScriptedTurn) -> ScriptedProvider:
    """A model that repeats itself, with arguments that differ so that it is no loop."""
    count = 0

    def next_turn(_: ModelRequest) -> ScriptedTurn:
        nonlocal count
        count += 1
        renewed = tuple(
            ScriptedCall(call.tool, {**call.arguments, "n": count})
            for call in turn.calls
            if isinstance(call.arguments, dict)
        )
        return ScriptedTurn(calls=renewed, usage=turn.usage)

    return ScriptedProvider(next_turn, clock=ManualClock())


LOOK = ScriptedCall("transfer", {"to": "x"})


@pytest.mark.parametrize(
    ("limit", "limits", "turn"),
    [
        ("tokens", RunLimits(max_tokens=250), ScriptedTurn(calls=(LOOK,), usage=TokenUsage(90, 10, 100))),
        (
            "cost",
            RunLimits(max_cost_micro=25_000),
            ScriptedTurn(calls=(LOOK,), usage=TokenUsage(9, 1, 10, cost_micro=10_000)),
        ),
        ("cost", RunLimits(max_cost_micro=25_000), ScriptedTurn(calls=(LOOK,), usage=TokenUsage(9, 1, 10))),
        ("tool_calls", RunLimits(max_tool_calls=3), ScriptedTurn(calls=(LOOK,))),
        ("errors", RunLimits(max_errors=2), ScriptedTurn(calls=(ScriptedCall("fail", {}),))),
    ],
    ids=["tokens", "cost", "cost nobody knows", "tool calls", "errors"],
)
async def test_11_every_budget_stops_a_run(
    journal: MemoryJournal, bench: Workbench, limit: str, limits: RunLimits, turn: ScriptedTurn
) -> None:
    """Acceptance 11: tokens, cost (by what the provider says, and when it says nothing), tool calls, errors."""
    async with runtime_on(journal, bench, endless(turn)) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "For ever.", limits=limits)
        assert report.reason == "budget_exceeded"
        state = await runtime.state("s")
    reached = [r.kind.data for r in await history(journal, "s") if r.kind_name == "Custom"]  # type: ignore[attr-defined]
    assert {"limit": limit} in [{"limit": data["limit"]} for data in reached if "limit" in data]
    if limits.max_cost_micro is not None and turn.usage is not None and isinstance(turn.usage.cost_micro, int):
        assert state.last_run is not None and state.last_run.cost_micro == 30_000
        assert len(bench.effects()) == 2, "the third answer's call did not run"


async def test_11_time_stops_a_run(journal: MemoryJournal, bench: Workbench) -> None:
    """Acceptance 11: working time."""
    assert isinstance(bench.clock, ManualClock)
    async with runtime_on(journal, bench, script(calls(("hang", {})))) as runtime:
        await runtime.create_session("s")
        task = asyncio.create_task(runtime.run("s", "Hang.", limits=RunLimits(max_time_ms=10_000)))
        while not task.done():
            await asyncio.sleep(0)
            bench.clock.advance_us(100_000)
        assert task.result().reason == "budget_exceeded"


async def test_10_cancel_stops_a_stream_and_a_command_within_two_seconds(tmp_path: Path) -> None:
    """Acceptance 10: on the real clock, a model in the middle of its answer and a process that a tool runs are stopped."""
    clock = SystemClock()
    plan = script(ScriptedTurn(deltas=tuple("word " for _ in range(500)), delta_delay_ms=50))
    bench = Workbench(tmp_path, clock=clock)
    async with runtime_on(MemoryJournal(), bench, plan) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Tell.")
        async for record in runtime.subscribe("s"):
            if record.sequence == 0:
                break
        began = clock.monotonic_us()
        report = await runtime.cancel("s")
        assert clock.monotonic_us() - began < 2_000_000
        assert report is not None and report.reason == "cancelled"
    command = RunsCommand(tmp_path / "two", clock)
    async with runtime_on(MemoryJournal(), command, script(calls(("hang", {})))) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Run.")
        await command.hanging.wait()
        began = clock.monotonic_us()
        report = await runtime.cancel("s")
        assert clock.monotonic_us() - began < 2_000_000
        assert report is not None and report.reason in ("cancelled", "in_doubt")
        assert command.process is not None and command.process.returncode is not None, "the process is gone"


class RunsCommand(Workbench):
    """`hang` runs a real process."""

    def __init__(self, root: Path, clock: SystemClock) -> None:
        super().__init__(root, clock=clock)
        self.process: asyncio.subprocess.Process | None = None

    async def _hang(self, arguments, context):  # type: ignore[no-untyped-def]
        self.process = await asyncio.create_subprocess_exec("sleep", "60")
        self.hanging.set()
        try:
            await self.process.wait()
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()


async def until_asked(runtime: Runtime, kind: str) -> EventRecord:
    """The first event of this kind."""
    async for record in runtime.subscribe("s"):
        if record.kind_name == kind:
            return record
    raise AssertionError


@pytest.mark.parametrize("steering", ["collect", "followup", "steer", "interrupt"])
async def test_13_messages_in_every_mode_keep_the_system_prompt(
    journal: MemoryJournal, bench: Workbench, steering: SteeringMode
) -> None:
    """Acceptance 13: while a tool runs, a message waits: steer goes on in the same run after that tool, the others begin
    another run; an interrupt drops the rest of the step. Every request has the session's system prompt."""
    plan = script(
        calls(("hold", {}), ("write", {"path": "late.txt", "content": "x"})),
        says("First done."),
        says("Second done."),
    )
    model = Listening(plan, bench)
    holding = Holding(bench.root, bench.clock)
    async with runtime_on(journal, holding, model) as runtime:
        await runtime.create_session("s", system_prompt="You are Ann's.")
        run_id = await runtime.start("s", "Begin.")
        await holding.hanging.wait()
        receipt = await runtime.send("s", "Something else!", steering=steering)
        assert receipt.queued and receipt.queue_position == 1
        assert [message.message for message in (await runtime.state("s")).queue] == ["Something else!"]
        holding.release.set()
        first = await runtime.wait("s", run_id)
        await runtime.wait("s")
        state = await runtime.state("s")
    assert state.queue == ()
    assert {request.system for request in model.heard} == {"You are Ann's."}
    assert user_texts(model.heard[-1])[-1] == "Something else!"
    names = await kinds(journal, "s")
    assert names.count("RunStarted") == (1 if steering == "steer" else 2)
    assert first.reason == ("interrupted" if steering == "interrupt" else "completed")
    dropped = steering in ("steer", "interrupt")
    assert ("Steered" in names) is dropped
    if dropped:
        steered = next(r.kind for r in await history(journal, "s") if r.kind_name == "Steered")
        assert steered.preempted_at == "tool:write:call-2"  # type: ignore[attr-defined]
    assert holding.effects() == ([] if dropped else ["write:late.txt=x"])
    assert names.count("QueueDrained") == 1


class Holding(Workbench):
    """With a tool that runs until it is released."""

    def __init__(self, root: Path, clock: object) -> None:
        super().__init__(root, clock=clock)  # type: ignore[arg-type]
        self.release = asyncio.Event()

    def definitions(self):  # type: ignore[no-untyped-def]
        from tests.arcan.workbench import _tool

        return [*super().definitions(), _tool("hold", read_only=True)]

    async def probe(self, call, context, prepared):  # type: ignore[no-untyped-def]
        from life.aios.ports.tools import Probe

        if call.tool_name == "hold":
            return Probe(answer="repeatable", explanation="It only waits.")
        return await super().probe(call, context, prepared)

    async def _hold(self, arguments, context):  # type: ignore[no-untyped-def]
        from life.aios.ports.tools import ToolOutcome

        self.hanging.set()
        await self.release.wait()
        return ToolOutcome(status="ok", output="held")

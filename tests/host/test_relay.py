"""Relay as people run it: a hub, an arcand with its relay node at home, owners elsewhere; real processes, real links, real approvals."""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from life.aios.errors import ConflictError, NotFoundError, UnavailableError
from life.anima.identity import agent_id_of_did
from life.anima.registry import IdentityRegistry
from life.anima.rotation import rotate_identity
from life.anima.seed_rotation import SeedRotator
from life.cli.groups import life
from life.host.access import load_or_create_token
from life.host.anima_identity import open_agent_identity
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.relay import ArcandSessions, call_of, keys_of, trust_of
from life.host.spaces_client import agent_client
from life.lago.journal.memory import MemoryJournal
from life.spaces.relay.carrier import SpacesCarrier
from life.spaces.relay.errors import RelayOutcomeUnknownError, RelayRefusedError
from life.spaces.relay.events import OPERATOR
from life.spaces.relay.log import RelayLog
from life.spaces.relay.node import RelayNode
from life.spaces.relay.operations import (
    Decide,
    Doubt,
    FileNamed,
    Nothing,
    OnBranch,
    OpenSession,
    Page,
    QueueNamed,
    RuleNamed,
    RunNamed,
    Say,
    Start,
)
from life.spaces.relay.owner import RelayOwner
from tests.anima.material import did_of, handle, raw_key, seed_of
from tests.cli.daemon import Arcand, children, kind
from tests.cli.shell_kit import Turns, environment, script
from tests.harness.process import ChildProcess
from tests.harness.terminal import CTRL_C, CTRL_D, ENTER, Terminal
from tests.spaces.relay.kit import RecordingSessions

HUB = "from life.cli.spacesd import spacesd; spacesd()"
LIFE = "from life.cli.groups import life; life()"
HOME_ENVIRONMENT = {"LIFE_SPACES_PLACE": "off"}

APPROVAL: Turns = (
    {
        "text": "I need a command.",
        "calls": [{"tool": "bash", "arguments": {"command": "echo once >> /tmp/nowhere; echo ran"}}],
    },
    {"text": "All is done."},
    {"text": "Now a long one.", "calls": [{"tool": "bash", "arguments": {"command": "sleep 4321"}}]},
    {"text": "A second answer."},
    {"text": "A third answer."},
)


class Place:
    """A project: its folder, its identity, its commands."""

    def __init__(self, folder: Path, hub: str) -> None:
        self.folder = folder
        self.hub = hub
        folder.mkdir(exist_ok=True)
        self.env = {**environment(folder), **HOME_ENVIRONMENT}

    def argv(self, *words: str, hub: bool = True) -> list[str]:
        more = ["--data-dir", str(self.folder / "life"), *(["--address", self.hub] if hub else [])]
        return [sys.executable, "-c", LIFE, *words, *more]

    def life(self, *words: str, code: int = 0, hub: bool = True) -> str:
        """A command to its end; what it printed."""
        argv = self.argv(*words, hub=hub)[3:]
        result = CliRunner(env=self.env).invoke(life, argv)
        assert result.exit_code == code, f"{words}: {result.output}"
        return str(result.stdout if code == 0 else result.output)

    def init(self) -> str:
        """Make the project; its DID."""
        self.life("init", hub=False)
        return self.did()

    def did(self) -> str:
        found = re.search(r"did:key:\w+", self.life("identity", "show", hub=False))
        assert found is not None
        return found.group()


class Net:
    """A hub, a home with arcand and its node, and an owner elsewhere, who is allowed everything."""

    def __init__(self, stack: ExitStack, folder: Path, turns: Turns = APPROVAL) -> None:
        self._stack = stack
        self.folder = folder
        self.hub_port = 0
        self.hub = self.start_hub()
        address = f"http://127.0.0.1:{self.hub_port}"
        self.home = Place(folder / "home", address)
        self.arcand = stack.enter_context(
            Arcand(self.home.folder, "--provider", script(self.home.folder, turns), env=self.home.env)
        )
        self.node_did = self.home.did()
        self.away = Place(folder / "away", address)
        self.owner_did = self.away.init()
        self.home.life("relay", "allow", self.owner_did, "--name", "Ada")
        self.node = self.start_node()
        self.away.life("relay", "nodes", "--add", self.node_did, "--name", "home")

    def start_hub(self) -> ChildProcess:
        command = [sys.executable, "-c", HUB, "--data-dir", str(self.folder / "hub"), "--admit-strangers"]
        hub = self._stack.enter_context(
            ChildProcess.spawn([*command, "--bind", f"127.0.0.1:{self.hub_port}"], name="hub", env={})
        )
        self.hub_port = int(hub.wait_for_line(r"listens on http://127\.0\.0\.1:(\d+)").group(1))
        hub.wait_for_line(r"Ctrl-C stops it\.")
        return hub

    def start_node(self) -> ChildProcess:
        node = self._stack.enter_context(
            ChildProcess.spawn(self.home.argv("relay", "serve"), name="node", env=self.home.env, cwd=self.home.folder)
        )
        node.wait_for_line(r"Ctrl-C stops it\.")
        return node

    def attach(self, place: Place, session: str, *options: str) -> Terminal:
        return self._stack.enter_context(
            Terminal.spawn(
                place.argv("relay", "attach", self.node_did, session, *options), env=place.env, cwd=place.folder
            )
        )

    def watch(self, place: Place, session: str, *options: str) -> ChildProcess:
        return self._stack.enter_context(
            ChildProcess.spawn(
                place.argv("relay", "attach", self.node_did, session, "--json", *options),
                env=place.env,
                cwd=place.folder,
            )
        )

    def kinds(self, session: str) -> list[str]:
        return [kind(event) for event in self.arcand.events(session)]


def is_running(command: str, ancestor: int) -> bool:
    """Whether a process below another one has this command line (Linux)."""
    for child in children(ancestor):
        with suppress(OSError):
            if Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").strip() == command.encode():
                return True
        if is_running(command, child):
            return True
    return False


@contextmanager
def net(folder: Path, turns: Turns = APPROVAL) -> Iterator[Net]:
    with ExitStack() as stack:
        yield Net(stack, folder, turns)


@pytest.mark.slow
def test_watch_steer_and_approve_from_elsewhere(tmp_path: Path) -> None:
    """Attach, say something, approve the call that asks, see the end, stop a command that runs: on a screen of 80x24; then the lists, and what a stranger sees of it."""
    with net(tmp_path) as n:
        with n.attach(n.away, "talk") as terminal:
            terminal.wait_for(r"^›")
            terminal.type("do it" + ENTER)
            terminal.wait_for(r"^allow\? y/n/e/s ›")
            terminal.wait_for("bash wants to run")
            terminal.type("y" + ENTER)
            terminal.wait_for(r"^  done · 2 steps")
            terminal.settle()
            assert all(len(row) <= 80 for row in terminal.display())
            terminal.type("again" + ENTER)
            terminal.wait_for(r"sleep 4321[\s\S]*^allow\? y/n/e/s ›")
            terminal.type("y" + ENTER)
            deadline = time.monotonic() + 20
            while not is_running("sleep 4321", n.arcand.process.pid):
                assert time.monotonic() < deadline
                terminal.settle()
            terminal.type(CTRL_C)
            terminal.wait_for(r"^  stopped · ")
            assert not is_running("sleep 4321", n.arcand.process.pid), "stopping from elsewhere leaves no child (R4)"
            terminal.type(CTRL_D)
            assert terminal.wait() == 0
        events = n.arcand.events("talk")
        decided = [event["actor"] for event in events if kind(event) == "ApprovalResolved"]
        asked = [event["actor"] for event in events if kind(event) == "UserMessage"]
        assert decided == [{"type": "user", "component": n.owner_did}] * 2, "the journal names whose approval it was"
        assert asked == [{"type": "user", "component": n.owner_did}] * 2
        assert json.loads(n.away.life("relay", "sessions", "home", "--json"))[0]["session_id"] == "talk"
        assert "talk" in n.away.life("relay", "sessions", "home")
        assert json.loads(n.away.life("relay", "nodes", "--json"))[0]["status"] == "online"
        assert "Ada" in n.away.life("relay", "grants", "--node", "home")
        stranger = Place(tmp_path / "stranger", n.away.hub)
        stranger.init()
        assert "does not answer" in stranger.life("relay", "sessions", n.node_did, code=1)
        log = (tmp_path / "hub" / "spaces" / "spaces.db").read_bytes()
        log += (tmp_path / "hub" / "spaces" / "spaces.db-wal").read_bytes()
        assert b"life-relay/1" in log
        assert b"do it" not in log
        assert b"All is done" not in log


@pytest.mark.slow
def test_two_owners_one_approval_and_a_second_device(tmp_path: Path) -> None:
    """A device that the owner allowed from elsewhere may watch and approve one session and nothing else; of two answers one wins, and the other
    is told; revoking the owner takes the device along."""
    with net(tmp_path) as n:
        device = Place(tmp_path / "device", n.away.hub)
        did = device.init()
        n.away.life("relay", "allow", did, "--node", "home", "--session", "talk", "--may", "approve", "--name", "phone")
        n.arcand.start_run("talk", "go")
        n.arcand.start_run("other", "go")
        with n.attach(n.away, "talk") as first, n.attach(device, "talk") as second:
            first.wait_for(r"^allow\? y/n/e/s ›")
            second.wait_for(r"^allow\? y/n/e/s ›")
            first.type("n not now" + ENTER)
            first.wait_for(r"^  done")
            second.wait_for("bash refused|denied|not now")
            second.type("hello" + ENTER)
            second.wait_for("you may not do this with it")
        assert n.kinds("talk").count("ApprovalResolved") == 1
        assert n.kinds("talk").count("ToolCallStarted") == 0
        assert "may not do this" in device.life("relay", "attach", n.node_did, "other", "--plain", code=1)
        assert [one["session_id"] for one in json.loads(device.life("relay", "sessions", n.node_did, "--json"))] == [
            "talk"
        ]
        n.home.life("relay", "revoke", n.owner_did)
        assert json.loads(n.home.life("relay", "grants", "--json")) == []
        assert "does not answer" in device.life("relay", "sessions", n.node_did, code=1)


@pytest.mark.slow
def test_kill_9_of_everything(tmp_path: Path) -> None:
    """The node, the hub and the attached terminal are killed while a call waits; afterwards the terminal goes on where it was, one approval takes
    effect once, and no event is missing or there twice."""
    with net(tmp_path) as n:
        n.arcand.start_run("talk", "go")
        watching = n.watch(n.away, "talk")
        watching.wait_for_line(".*ApprovalRequested.*")
        with n.attach(n.away, "talk") as terminal:
            terminal.wait_for(r"^allow\? y/n/e/s ›")
            n.node.kill()
            time.sleep(0.5)
            n.start_node()
            terminal.wait_for("Connected again", deadline_s=60)
            n.hub.kill()
            time.sleep(0.5)
            n.start_hub()
            terminal.kill()
        with n.attach(n.away, "talk") as terminal:
            terminal.wait_for(r"^allow\? y/n/e/s ›", deadline_s=60)
            terminal.type("y" + ENTER)
            terminal.wait_for(r"^  done", deadline_s=60)
        watching.wait_for_line(".*RunFinished.*", deadline_s=90)
        seen = [json.loads(line) for line in watching.stdout().splitlines()]
        stored = [event["sequence"] for event in seen if event["sequence"]]
        assert stored == list(range(1, len(n.arcand.events("talk")) + 1))
        assert n.kinds("talk").count("ApprovalResolved") == 1
        assert n.kinds("talk").count("ToolCallCompleted") == 1


@pytest.mark.slow
async def test_10_mb_through_a_real_server_that_stands_still(tmp_path: Path) -> None:
    """10 MB of log lines over a real spacesd with its rate limits; in the middle it is frozen for five seconds: every event, once, in order."""
    clock, entropy = SystemClock(), SystemEntropy()
    sessions, chance = RecordingSessions(), random.Random(4)
    words = [chance.randbytes(3).hex() for _ in range(3000)]
    for _ in range(500):
        sessions.add("notes", " ".join(chance.choices(words, k=3000)))
    node_custody, owner_custody = handle(seed_of(1)), handle(seed_of(2))
    log = RelayLog(MemoryJournal(), clock, entropy, agent_id="agent-home")
    await log.allow(did_of(owner_custody), session="notes", rights=("watch",), by=OPERATOR)
    command = [sys.executable, "-c", HUB, "--memory", "--admit-strangers", "--bind", "127.0.0.1:0"]
    with ChildProcess.spawn(command, name="hub", env={}) as hub:
        address = hub.wait_for_line(r"listens on (http://127\.0\.0\.1:\d+)").group(1)
        hub.wait_for_line(r"Ctrl-C stops it\.")
        async with (
            agent_client(node_custody, str(agent_id_of_did(did_of(node_custody))), tmp_path, address) as node_client,
            agent_client(owner_custody, str(agent_id_of_did(did_of(owner_custody))), tmp_path, address) as owner_client,
        ):
            carrier = SpacesCarrier(node_client, clock)
            await carrier.be_reachable()
            node = RelayNode(
                carrier, sessions, log, node_custody, did=did_of(node_custody), clock=clock, entropy=entropy
            )
            serving = asyncio.create_task(node.run())
            found: list[bytes] = []
            began_us = clock.monotonic_us()
            async with RelayOwner.attached(
                SpacesCarrier(owner_client, clock),
                did_of(node_custody),
                owner_custody,
                did=did_of(owner_custody),
                clock=clock,
                entropy=entropy,
            ) as owner:
                async with aclosing(owner.watch("notes", "main", 0)) as records:
                    async for record in records:
                        found.append(record)
                        if len(found) == 250:
                            hub.suspend()
                            await asyncio.sleep(5)
                            hub.resume()
                        if len(found) == 500:
                            break
            seconds = (clock.monotonic_us() - began_us) / 1_000_000 - 5
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
    assert found == sessions.records["notes"]
    size = sum(map(len, found))
    assert size > 10_000_000
    print(f"{size / 1_000_000:.1f} MB in {seconds:.1f} s beside the pause")


async def test_what_arcand_answers(tmp_path: Path) -> None:
    """Its refusals come under their own codes; a failure of its own, or of the line, leaves open whether a change happened, and says nothing else
    about a question; the token goes only to the daemon that holds the directory's lock."""
    data = DataDirectory.create(tmp_path / "life")
    token = load_or_create_token(data.token, SystemEntropy())
    asked: list[httpx2.Request] = []
    answers: list[httpx2.Response | Exception] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        sessions = ArcandSessions(http, data)

        async def send() -> bytes:
            return await sessions.carry_out("send", "s", Say(message="hi"), command_id="c", owner="did:key:x")

        async def view() -> bytes:
            return await sessions.carry_out("view", "s", OnBranch(), command_id="c", owner="did:key:x")

        with pytest.raises(UnavailableError):
            await send()
        assert not asked, "no daemon, no token"
        with data.lock("arcand") as lock:
            lock.publish("http://127.0.0.1:1")
            problem = {"code": "arcand.own", "detail": "No.", "status": 409}
            answers += [
                httpx2.Response(202, content=b'{"run_id":"r"}'),
                httpx2.Response(409, json=problem),
                httpx2.Response(500),
                httpx2.ReadTimeout("slow"),
                httpx2.ConnectError("away"),
                httpx2.Response(503, json=problem),
            ]
            assert await send() == b'{"run_id":"r"}'
            for refusal in (
                ConflictError,
                RelayOutcomeUnknownError,
                RelayOutcomeUnknownError,
                UnavailableError,
                UnavailableError,
            ):
                with pytest.raises(refusal):
                    await send()
            answers += [httpx2.ReadTimeout("slow"), httpx2.Response(500), httpx2.Response(404, json=problem)]
            for kind_of in (UnavailableError, RelayRefusedError, NotFoundError):
                with pytest.raises(kind_of):
                    await view()
            assert {request.headers["authorization"] for request in asked} == {f"Bearer {token}"}
            assert {request.headers["life-acting-for"] for request in asked} == {"did:key:x"}


async def test_a_rotation_that_the_journal_knows_is_followed(tmp_path: Path) -> None:
    """The new key is known to have followed the old one, the old one is not believed any more; of a key that the journal does not know nothing is said."""
    clock, entropy, journal = SystemClock(), SystemEntropy(), MemoryJournal()
    folder, stranger = tmp_path / "identity", did_of(handle(seed_of(9)))
    agent = await open_agent_identity(journal, folder, raw_key(), clock=clock, entropy=entropy)
    old = agent.identity.did
    async with IdentityRegistry.open(journal, clock) as registry:
        keys, is_trusted = keys_of(registry), trust_of(registry, clock)
        assert (keys(old), is_trusted(old)) == ((old,), True)
        rotator = SeedRotator.open(folder, raw_key(), clock=clock, entropy=entropy)
        rotation = await rotate_identity(
            journal, rotator, agent.custody, agent_id=agent.identity.agent_id, clock=clock, cool_down_s=0
        )
        await rotator.close()
        await registry.catch_up(agent.identity.agent_id)
        new = rotation.link.new_did
        assert (keys(new), is_trusted(new)) == ((new, old), True)
        assert (keys(old), is_trusted(old)) == ((old,), False)
        assert (keys(stranger), is_trusted(stranger)) == ((stranger,), True)
    await journal.aclose()


def test_every_operation_is_one_request() -> None:
    """Each operation of the runtime means one route of the session API, with its names quoted."""
    cases: Sequence[tuple[str, object, str, str]] = (
        ("view", OnBranch(branch="b"), "GET", "/sessions/s/state"),
        ("sessions", Nothing(), "GET", "/sessions"),
        ("branches", Nothing(), "GET", "/sessions/s/branches"),
        ("files", OnBranch(), "GET", "/sessions/s/files"),
        ("file", FileNamed(path="a b/c?.txt"), "GET", "/sessions/s/files/a%20b/c%3F.txt"),
        ("events", Page(after=4), "GET", "/sessions/s/events"),
        ("report", RunNamed(run_id="a/b"), "GET", "/sessions/s/runs/a%2Fb"),
        ("open_session", OpenSession(), "POST", "/sessions"),
        ("start", Start(objective="go"), "POST", "/sessions/s/runs"),
        ("send", Say(message="hi"), "POST", "/sessions/s/messages"),
        ("withdraw", QueueNamed(queue_id="q"), "DELETE", "/sessions/s/queue/q"),
        ("cancel", OnBranch(), "POST", "/sessions/s/cancel"),
        ("resume", OnBranch(), "POST", "/sessions/s/resume"),
        ("pause", OnBranch(), "POST", "/sessions/s/pause"),
        ("continue", OnBranch(), "POST", "/sessions/s/continue"),
        ("decide", Decide(approval_id="a#b", approved=True), "POST", "/sessions/s/approvals/a%23b"),
        ("doubt", Doubt(call_id="c", decision="done"), "POST", "/sessions/s/doubts/c"),
        ("revoke_rule", RuleNamed(rule_id="r"), "DELETE", "/sessions/s/rules/r"),
    )
    for operation, arguments, method, path in cases:
        call = call_of(operation, "s", arguments, command_id="the-id")  # type: ignore[arg-type]
        assert (call.method, call.path) == (method, path)
    assert call_of("start", "s", Start(objective="go"), command_id="the-id").body["idempotency_key"] == "the-id"  # type: ignore[index,call-overload]
    assert call_of("decide", "s", Decide(approval_id="a", approved=True, arguments=None), command_id="x").body == {
        "approved": True,
        "reason": None,
        "scope": "once",
        "arguments": None,
    }

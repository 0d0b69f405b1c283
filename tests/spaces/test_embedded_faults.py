"""What goes wrong around the embedded engine: crashes, full disks, damaged files, wild clocks, crowds, slow readers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from life.spaces.commands import (
    Admit,
    CreateChannel,
    CreateServer,
    JoinServer,
    KickMember,
    MuteMember,
    SendMessage,
    SetChannelOverride,
    StartTyping,
)
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.engine.embedded_store import EmbeddedStore
from life.spaces.errors import (
    LogDamagedError,
    MutedError,
    RateLimitedError,
    SlowConsumerError,
    SpacesUnavailableError,
)
from life.spaces.identity import SYSTEM, identity_of
from life.spaces.limits import Limits, Rate, RateLimiter
from life.spaces.model import Member, Message, Role, Space
from life.spaces.queries import History, TableQuery
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.spaces import GENERAL, OPERATOR, ScriptedTokens, contents, enter, furnish, sent

KILLED = """
import asyncio, sys
from pathlib import Path
from life.host.clock import SystemClock, SystemEntropy
from life.spaces.commands import SendMessage
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.testing.spaces import OPERATOR, ScriptedTokens, enter

async def main():
    tokens = ScriptedTokens()
    opened = EmbeddedEngine.open(Path(sys.argv[1]), clock=SystemClock(), entropy=SystemEntropy(), tokens=tokens,
                                 owner=Owner(OPERATOR), limits=None)
    async with opened as engine:
        caller = await enter(engine, tokens, "writer")
        async def write(lane):
            number = 0
            while True:
                number += 1
                client_id = f"{sys.argv[2]}-{lane}-{number}"
                result = await engine.submit(SendMessage(channel_id=1, content=client_id, client_id=client_id), caller)
                print(result.position, client_id, flush=True)
        await asyncio.gather(*(write(lane) for lane in range(8)))

asyncio.run(main())
"""


def opened(path: Path | None, clock: ManualClock | None = None, limits: Limits | None = None) -> Any:
    """An engine in a file."""
    return EmbeddedEngine.open(
        path,
        clock=clock or ManualClock(),
        entropy=SeededEntropy(),
        tokens=ScriptedTokens(),
        owner=Owner(OPERATOR),
        limits=limits,
        synchronous=False,
    )


@pytest.mark.slow
async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Killed again and again while eight writers are at it: every acknowledged message is there, once, at its position, and the log
    replays to the stored state."""
    path = tmp_path / "spaces.db"
    acknowledged: dict[str, int] = {}
    for round_ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), str(round_)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            await asyncio.sleep(0.05 + 0.03 * round_)
            os.kill(child.pid, signal.SIGKILL)
            lines = [first, *child.stdout.read().splitlines()]
        for line in lines:
            words = line.split()
            if len(words) == 2 and words[1].count("-") == 2:
                acknowledged.setdefault(words[1], int(words[0]))
    assert len(acknowledged) > 50
    async with opened(path) as engine:
        stored = {row.content: row for row in engine.state.table(Message).values() if row.client_id}
        # the last line of a killed process may be cut short
        known = {name: position for name, position in acknowledged.items() if name in stored}
        assert len(acknowledged) - len(known) <= 5
        positions = {
            row.content: entry.position
            for entry in await engine.entries(0, limit=10**6)
            for event in entry.events
            for row in event.puts
            if isinstance(row, Message)
        }
        assert all(positions[name] == position for name, position in known.items())
        assert len(stored) == len({row.client_id for row in stored.values()})
        assert engine.verify() == engine.state.position


async def test_a_group_that_the_disk_refuses_did_not_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The callers are told, the state is as before, subscribers are told to resume, and the next command goes through."""
    async with opened(tmp_path / "s.db") as engine:
        tokens = ScriptedTokens()
        caller = await enter(engine, tokens, "ann")
        listener = await engine.subscribe([TableQuery(table="message")], caller)
        digest = engine.state.digest()
        real = EmbeddedStore.commit

        def full(*_: object) -> None:
            raise SpacesUnavailableError("The disk has no room; nothing was stored.")

        monkeypatch.setattr(EmbeddedStore, "commit", full)
        outcomes = await asyncio.gather(
            *(
                engine.submit(SendMessage(channel_id=GENERAL, content=str(n), client_id=str(n)), caller)
                for n in range(5)
            ),
            return_exceptions=True,
        )
        assert all(isinstance(outcome, SpacesUnavailableError) for outcome in outcomes)
        assert engine.state.digest() == digest
        with pytest.raises(SpacesUnavailableError):
            listener.take()
        monkeypatch.setattr(EmbeddedStore, "commit", real)
        again = await engine.submit(SendMessage(channel_id=GENERAL, content="0", client_id="0"), caller)
        assert not again.duplicate
        assert engine.verify() == engine.state.position


async def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    """The file has one engine at a time."""
    async with opened(tmp_path / "s.db"):
        with pytest.raises(SpacesUnavailableError, match="in use"):
            async with opened(tmp_path / "s.db"):
                pass


Harm = Callable[[apsw.Connection], object]


@pytest.mark.parametrize(
    "harm",
    [
        lambda db: db.execute("UPDATE entry SET data = CAST(replace(CAST(data AS TEXT), 'hello', 'h3llo') AS BLOB)"),
        lambda db: db.execute("DELETE FROM entry WHERE position = 2"),
        lambda db: db.execute("DELETE FROM entry WHERE position = (SELECT max(position) FROM entry)"),
        lambda db: db.execute("UPDATE row SET data = '{'"),
    ],
)
async def test_a_changed_log_is_not_opened(tmp_path: Path, harm: Harm) -> None:
    """A changed or missing entry, or a row that can't be read, stops the engine from starting."""
    path = tmp_path / "s.db"
    async with opened(path) as engine:
        caller = await enter(engine, ScriptedTokens(), "ann")
        for _ in range(3):
            await engine.submit(SendMessage(channel_id=GENERAL, content="hello"), caller)
    connection = apsw.Connection(str(path))
    harm(connection)
    connection.close()
    with pytest.raises(LogDamagedError):
        async with opened(path):
            pass


async def test_verification_finds_a_row_that_the_log_does_not_tell_of(tmp_path: Path) -> None:
    """Replaying from empty is compared with the stored rows."""
    path = tmp_path / "s.db"
    async with opened(path):
        pass
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE row SET data = CAST(replace(CAST(data AS TEXT), 'general', 'generol') AS BLOB)")
    connection.close()
    async with opened(path) as engine:
        with pytest.raises(LogDamagedError):
            engine.verify()


async def test_another_file_is_not_taken_for_a_log(tmp_path: Path) -> None:
    """Neither text nor another database is opened or changed."""
    text = tmp_path / "text.db"
    text.write_text("no database at all, " * 200)
    other = tmp_path / "other.db"
    connection = apsw.Connection(str(other))
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(SpacesUnavailableError):
            async with opened(path):
                pass
        if path is text:
            assert path.read_bytes() == before


async def test_time_in_the_log_never_goes_back(tmp_path: Path) -> None:
    """The wall clock steps back a year: entries keep their order in time, mutes end when they should by the log's own time."""
    clock = ManualClock()
    async with opened(tmp_path / "s.db", clock) as engine:
        room = await furnish(engine, ScriptedTokens())
        await engine.submit(
            MuteMember(server_id=room.space_id, identity=room.agent.identity, duration_s=60), room.owner
        )
        clock.step_wall_us(-365 * 86_400_000_000)
        await engine.submit(SendMessage(channel_id=room.channel_id, content="back then"), room.owner)
        with pytest.raises(MutedError):
            await engine.submit(SendMessage(channel_id=room.channel_id, content="x"), room.agent)
        clock.step_wall_us(2 * 365 * 86_400_000_000)
        await engine.submit(SendMessage(channel_id=room.channel_id, content="later"), room.agent)
        times = [entry.at_us for entry in await engine.entries(0, limit=1000)]
        assert times == sorted(times)


@pytest.mark.slow
async def test_a_space_of_ten_thousand(tmp_path: Path) -> None:
    """Ten thousand members: a message, a role, a kick and an override stay quick, and the log replays."""
    async with opened(tmp_path / "s.db") as engine:
        owner = await enter(engine, ScriptedTokens(), "olga")
        space = (await engine.submit(CreateServer(name="crowd"), owner)).row
        assert isinstance(space, Space)
        callers = []
        for number in range(10_000):
            did = f"did:test:{number}"
            await engine.submit(Admit(identity=identity_of(did), did=did, is_agent=False), SYSTEM)
            caller = await engine.adopt(ScriptedLogin(did)) if number < 3 else None
            if caller is not None:
                callers.append(caller.caller)
        from msgspec import structs

        base = callers[0]
        everybody = [
            structs.replace(base, identity=identity_of(f"did:test:{n}"), did=f"did:test:{n}") for n in range(10_000)
        ]
        for start in range(0, 10_000, 500):
            await asyncio.gather(
                *(engine.submit(JoinServer(server_id=space.id), one) for one in everybody[start : start + 500])
            )
        assert engine.state.count(Member, ("space_id",), space.id) == 10_001
        channel = next(row.channel_id for row in engine.state.table(Message).values() if row.space_id == space.id)
        listeners = [await engine.subscribe([TableQuery(table="message", where={"channel_id": channel}, latest=1)], one) for one in callers]  # fmt: skip
        started = time.perf_counter()
        await engine.submit(SendMessage(channel_id=channel, content="hello, crowd"), everybody[9_999])
        await engine.submit(KickMember(server_id=space.id, identity=everybody[5_000].identity), owner)
        await engine.submit(
            SetChannelOverride(channel_id=channel, subject="role:Member", permission="message.send", effect="deny"),
            owner,
        )
        assert time.perf_counter() - started < 20
        assert all(len(listener.take()) >= 1 for listener in listeners)
        assert engine.verify() == engine.state.position


def ScriptedLogin(did: str) -> Any:  # noqa: N802  # reads as the struct it makes
    """A login that the host has checked."""
    from life.spaces.sessions import Login

    return Login(did=did, key="", kind="person")


async def test_a_reader_that_never_reads_is_cut_off_and_nobody_else_notices() -> None:
    """Its queue stays bounded, transient updates go first, then it ends with SlowConsumerError and resumes without loss."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        where = [TableQuery(table="message", where={"channel_id": room.channel_id})]
        slow = await engine.subscribe(where, room.member)
        quick = await engine.subscribe(where, room.moderator)
        seen = 0
        for number in range(1500):
            await engine.submit(SendMessage(channel_id=room.channel_id, content=str(number)), room.owner)
            if number == 100:
                await engine.submit(StartTyping(channel_id=room.channel_id), room.owner)
            seen += len([update for update in quick.take() if update.position])
            assert slow.waiting <= 1024
        assert seen == 1500 and slow.dropped >= 1
        with pytest.raises(SlowConsumerError):
            slow.take()
        again = await engine.subscribe(where, room.member, since=slow.position)
        caught_up: list[str] = []
        while len(caught_up) < 1500:
            await again.ready()
            caught_up += [text for update in again.take() for text in contents(update)]
            assert again.waiting <= 1024
        assert caught_up == [str(number) for number in range(1500)]


async def test_a_flood_is_refused_at_the_door_and_quiet_ones_are_not() -> None:
    """Five per second, twenty at once: the twenty-first is told when to come back, nothing of it reaches the log, others write on."""
    clock = ManualClock()
    async with opened(None, clock, Limits()) as engine:
        loud = await enter(engine, ScriptedTokens(), "loud")
        quiet = await enter(engine, ScriptedTokens(), "quiet")
        accepted = 0
        error: RateLimitedError | None = None
        for number in range(100):
            try:
                await engine.submit(SendMessage(channel_id=GENERAL, content=str(number)), loud)
                accepted += 1
            except RateLimitedError as refusal:
                error = refusal
        assert accepted == 20 and error is not None and 0 < error.retry_after_ms <= 200
        await engine.submit(SendMessage(channel_id=GENERAL, content="me too"), quiet)
        clock.advance_us(200_000)
        await engine.submit(SendMessage(channel_id=GENERAL, content="again"), loud)


def test_buckets_are_bounded_and_survive_a_clock_that_steps_back() -> None:
    """A step back locks nobody out for longer than the burst takes."""
    limiter = RateLimiter(Limits(message=Rate(1, 2)))
    caller = __import__("life.spaces.identity", fromlist=["Caller"]).Caller(identity="a", did="a")
    command = SendMessage(channel_id=1, content="x")
    limiter.check_command(command, caller, 10**12)
    limiter.check_command(command, caller, 10**12)
    with pytest.raises(RateLimitedError) as caught:
        limiter.check_command(command, caller, 0)
    assert caught.value.retry_after_ms <= 2000


async def test_history_is_paged_by_id_with_tombstones_in_place() -> None:
    """before, after and around give the right pages, and say whether there is more."""
    from life.spaces.commands import DeleteMessage

    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        side = (await engine.submit(CreateChannel(server_id=room.space_id, name="side"), room.owner)).row
        channel = int(getattr(side, "id"))  # noqa: B009
        ids = [
            sent(await engine.submit(SendMessage(channel_id=channel, content=str(n)), room.member)).id
            for n in range(30)
        ]
        await engine.submit(DeleteMessage(message_id=ids[15]), room.member)

        async def page(**how: int) -> tuple[list[int], bool]:
            found = await engine.query(History(channel_id=channel, **how), room.member)
            return [int(getattr(row, "id", 0) or getattr(row, "message_id", 0)) for row in found.rows], found.more

        assert await page(limit=10) == (ids[20:], True)
        assert await page(limit=10, before=ids[20]) == (ids[10:20], True)
        assert await page(limit=10, before=ids[5]) == (ids[:5], False)
        assert await page(limit=10, after=ids[24]) == (ids[25:], False)
        assert await page(limit=10, after=ids[4]) == (ids[5:15], True)
        assert await page(limit=6, around=ids[15]) == (ids[12:18], True)


def test_roles_have_five_levels() -> None:
    """W7: five tiers, five levels."""
    assert [role.level for role in Role] == [50, 40, 30, 20, 10]
    assert msgspec.json.encode(Role.AGENT) == b'"Agent"'


async def test_newcomers_are_let_in_at_a_rate() -> None:
    """Identities cost nothing: of a thousand at once so many get in as the rate says, the others are told when to come back and leave no trace;
    whoever was here before is let in at any time."""
    clock = ManualClock()
    async with opened(None, clock, limits=Limits(newcomer=Rate(10, 50))) as engine:
        tokens = ScriptedTokens()
        known = await enter(engine, tokens, "known")
        inside, refused_ = 0, 0
        for number in range(200):
            try:
                await enter(engine, tokens, f"sybil{number}")
                inside += 1
            except RateLimitedError as error:
                assert int(error.details["retry_after_ms"]) > 0
                refused_ += 1
        assert (inside, refused_) == (49, 151)
        assert len(engine.state.table(Member)) == 1 + 1 + 49
        assert (await engine.health()).sessions == 0
        assert (await enter(engine, tokens, "known")).identity == known.identity
        clock.advance_us(1_000_000)
        await enter(engine, tokens, "sybil199")

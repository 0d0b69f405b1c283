"""Several hubs over one log: one order, one answer per command, everybody told, and nothing served that is not the log."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec
import pytest

from life.anima.tokens import issue_agent_token
from life.crypto.base64url import decode_base64url, encode_base64url
from life.host.anima_identity import open_agent_identity
from life.host.anima_verifier import open_identity_services
from life.host.clock import SystemClock, SystemEntropy
from life.host.spaces import AUDIENCE, AnimaTokens
from life.lago.journal.memory import MemoryJournal
from life.lago.nats_server import NatsServer
from life.spaces.commands import BlockIdentity, CreateServer, SendMessage, SetProfile, StartTyping
from life.spaces.engine.embedded import Owner
from life.spaces.engine.nats import opening
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.blocks import FORMAT, Block, Kick, chained, pack
from life.spaces.engine.nats.draft import Asked
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.engine.nats.errors import CutOffError, NotDurableError, OutcomeUnknownError, StreamUnfitError
from life.spaces.engine.nats.link import Link, Msg, Stored
from life.spaces.engine.nats.names import Names
from life.spaces.engine.nats.settings import NatsSettings
from life.spaces.engine.port import Result
from life.spaces.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    LogDamagedError,
    SpacesConflictError,
    SpacesUnavailableError,
    StaleSequenceError,
    TokenReplayedError,
    UnauthenticatedError,
)
from life.spaces.identity import SYSTEM
from life.spaces.model import Message, Profile, Space
from life.spaces.queries import History
from life.spaces.sessions import Login
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.spaces import GENERAL, ScriptedTokens, contents, ended, enter, replayed, sent, updates, watch
from tests.anima.material import raw_key
from tests.harness.nats_cluster import access_of, open_hub

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")

_names = itertools.count()


class Hubs(NamedTuple):
    """Two hubs of one deployment."""

    left: NatsEngine
    right: NatsEngine
    tokens: ScriptedTokens
    clock: ManualClock
    name: str


@pytest.fixture
async def hubs(access: NatsAccess, tmp_path: Path) -> AsyncIterator[Hubs]:
    """Two hubs with a file each."""
    tokens, clock, name = ScriptedTokens(), ManualClock(), f"hubs-{next(_names)}"
    async with AsyncExitStack() as stack:
        left, right = [
            await stack.enter_async_context(
                open_hub(access, tmp_path / f"{side}.db", tokens=tokens, name=name, replicas=1, clock=clock)
            )
            for side in ("left", "right")
        ]
        yield Hubs(left, right, tokens, clock, name)


async def level(*engines: NatsEngine) -> None:
    """Wait until all know the whole log."""
    for engine in engines:
        await engine.follower.sync()


async def test_two_hubs_write_one_log(hubs: Hubs) -> None:
    """Commands through both at once get one order without gaps; both hold the same state, and the log replays to it."""
    people = [await enter(hubs.left, hubs.tokens, f"p{number}") for number in range(10)]
    await level(hubs.right)
    commands = [SendMessage(channel_id=GENERAL, content=f"m{number}") for number in range(200)]
    results = await asyncio.gather(
        *(
            (hubs.left, hubs.right)[number % 2].submit(command, people[number % 10])
            for number, command in enumerate(commands)
        )
    )
    await level(hubs.left, hubs.right)
    positions = sorted(result.position for result in results)
    assert positions == list(range(positions[0], positions[0] + 200))
    assert hubs.left.state.digest() == hubs.right.state.digest() == (await replayed(hubs.right)).digest()
    assert hubs.left.verify() == hubs.right.verify() == positions[-1]
    page = await hubs.right.query(History(channel_id=GENERAL, limit=200), people[0])
    assert len({sent(result).id for result in results}) == 200 and len(page.rows) == 200


async def test_one_winner_whichever_hub_is_asked(hubs: Hubs) -> None:
    """Forty race for one name over two hubs: one gets it."""
    people = [await enter(hubs.left, hubs.tokens, f"p{number}") for number in range(40)]
    outcomes = await asyncio.gather(
        *(
            (hubs.left, hubs.right)[number % 2].submit(SetProfile(username="winner"), caller)
            for number, caller in enumerate(people)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Result) for one in outcomes) == 1
    assert sum(isinstance(one, AlreadyExistsError) for one in outcomes) == 39


async def test_a_repeat_at_another_hub_gets_the_first_answer(hubs: Hubs) -> None:
    """The key of a command holds on every hub, also when both are asked at once; another command under it is a conflict."""
    caller = await enter(hubs.left, hubs.tokens, "ann")
    first, second = await asyncio.gather(
        hubs.left.submit(CreateServer(name="once"), caller, key="k"),
        hubs.right.submit(CreateServer(name="once"), caller, key="k"),
    )
    assert first.position == second.position and {first.duplicate, second.duplicate} == {True, False}
    assert first.row == second.row
    with pytest.raises(SpacesConflictError):
        await hubs.right.submit(CreateServer(name="twice"), caller, key="k")
    await level(hubs.left)
    assert sum(space.name == "once" for space in hubs.left.state.table(Space).values()) == 1


async def test_a_refusal_rests_on_the_newest_state(hubs: Hubs) -> None:
    """What was accepted by one hub is known to the other when it is asked next, even if it has not heard of it yet."""
    for number in range(20):
        caller = await enter(hubs.left, hubs.tokens, f"new{number}")
        await hubs.right.submit(SendMessage(channel_id=GENERAL, content="hello"), caller)  # a member since just now
        await hubs.left.submit(SetProfile(username=f"name{number}"), caller)
        other = await enter(hubs.right, hubs.tokens, f"other{number}")
        with pytest.raises(AlreadyExistsError):
            await hubs.right.submit(SetProfile(username=f"name{number}"), other)
        await hubs.right.submit(BlockIdentity(identity=other.identity), caller)
        again = await hubs.left.submit(BlockIdentity(identity=other.identity), caller)
        assert again.position == 0 and not again.events


async def test_subscribers_of_every_hub_are_told_in_order(hubs: Hubs) -> None:
    """A subscriber gets what others sent through the other hub; it goes on at another hub from its position, without loss."""
    ann, bob = [await enter(hubs.left, hubs.tokens, name) for name in ("ann", "bob")]
    await level(hubs.right)
    listener = await watch(hubs.right, f"channel:{GENERAL}", bob)
    for number in range(5):
        await hubs.left.submit(SendMessage(channel_id=GENERAL, content=str(number)), ann)
    seen = await updates(listener, 3)
    assert [text for one in seen for text in contents(one)] == ["0", "1", "2"]
    await listener.aclose()
    moved = await watch(hubs.left, f"channel:{GENERAL}", bob, since=seen[-1].position)
    await hubs.right.submit(SendMessage(channel_id=GENERAL, content="5"), bob)
    assert [text for one in await updates(moved, 3) for text in contents(one)] == ["3", "4", "5"]
    last = await hubs.left.submit(SendMessage(channel_id=GENERAL, content="6"), ann)
    resumed = await watch(hubs.right, f"channel:{GENERAL}", bob, since=last.position)  # perhaps not known there yet
    assert resumed.position == last.position
    with pytest.raises(StaleSequenceError):
        await watch(hubs.right, f"channel:{GENERAL}", bob, since=10**6)


async def test_a_kick_ends_sessions_on_every_hub(hubs: Hubs) -> None:
    """Thrown out on one hub: sessions and subscriptions end on the other at once; a revocation that one hub learns ends the key's
    sessions everywhere; others stay."""
    here = await hubs.left.login(hubs.tokens.token("kit"))
    there = await hubs.right.login(hubs.tokens.token("kit"))
    bystander = await hubs.right.login(hubs.tokens.token("bea"))
    listener = await watch(hubs.right, f"channel:{GENERAL}", there.caller)
    assert await hubs.left.kick(here.caller.identity) == 1
    assert await ended(here) == await ended(there) == "kicked"
    with pytest.raises(UnauthenticatedError):
        await updates(listener, 1)
    old = await hubs.left.adopt(Login("did:test:kit", "did:key:old"))
    new = await hubs.right.adopt(Login("did:test:kit", "did:key:new"))
    same = await hubs.right.adopt(Login("did:test:kit", "did:key:old"))
    refuse_key(hubs.tokens, "did:key:old")
    await hubs.left.look()
    assert await ended(old) == await ended(same) == "revoked"
    assert new.is_open and bystander.is_open


def refuse_key(tokens: ScriptedTokens, key: str) -> None:
    """Let one hub's verifier say that a key is revoked; the other hub must learn it from the log."""
    asked = iter([True])

    async def is_revoked(login: Login) -> bool:
        return login.key == key and next(asked, False)

    tokens.is_revoked = is_revoked  # type: ignore[method-assign]


async def test_a_token_is_good_once_over_all_hubs(access: NatsAccess) -> None:
    """A token that one hub has taken is refused by the next, though that one's own verifier never saw it."""
    name = f"once-{next(_names)}"
    mine, theirs = ScriptedTokens(), ScriptedTokens()
    async with (
        open_hub(access, None, tokens=mine, name=name, replicas=1) as left,
        open_hub(access, None, tokens=theirs, name=name, replicas=1) as right,
    ):
        token = mine.token("ann")
        await left.login(token)
        with pytest.raises(TokenReplayedError):
            await right.login(token)
        session = await right.login(mine.token("ann"))
        again = mine.token("ann")
        await left.login(again)
        with pytest.raises(TokenReplayedError):
            await right.renew(session, again)


async def test_a_token_with_its_signature_written_otherwise_is_the_same_token(
    access: NatsAccess, tmp_path: Path
) -> None:
    """ECDSA's (r, s) and (r, n-s) sign the same, so whoever overhears a token can write it in a second way: it is used up all the same."""
    name, clock, entropy, journal = f"once-{next(_names)}", SystemClock(), SystemEntropy(), MemoryJournal()
    agent = await open_agent_identity(journal, tmp_path / "identity", raw_key(), clock=clock, entropy=entropy)
    async with AsyncExitStack() as stack:
        hubs = []
        for _ in range(2):
            services = await stack.enter_async_context(
                open_identity_services(journal, clock=clock, directory=None, daemon=AUDIENCE, environment={})
            )
            tokens = AnimaTokens(services, clock)
            hub = open_hub(access, None, tokens=tokens, name=name, replicas=1)  # type: ignore[arg-type]  # the real check
            hubs.append(await stack.enter_async_context(hub))
        shown = await issue_agent_token(
            agent.custody, agent_id=agent.identity.agent_id, audience=AUDIENCE, clock=clock, entropy=entropy
        )
        said, _, signature = shown.rpartition(".")
        raw = decode_base64url(signature)
        other = raw[:32] + (_P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
        await hubs[0].login(shown)
        with pytest.raises(TokenReplayedError):
            await hubs[1].login(f"{said}.{encode_base64url(other)}")
    await journal.aclose()


_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""FIPS 186-4, D.1.2.3."""


async def test_a_kick_is_in_the_log(hubs: Hubs) -> None:
    """A hub that did not hear of a kick at once learns it from the log."""
    session = await hubs.right.login(hubs.tokens.token("kit"))
    hooked: list[str] = []
    hubs.right.on_kick(lambda kick: hooked.append(kick.reason))
    writer = hubs.left._writer
    await level(hubs.left)
    before = hubs.left.replica.sequence
    await writer.submit(Asked(None, SYSTEM, kick=Kick(identity=session.caller.identity, reason="late")))
    assert await ended(session) == "late" and hooked == ["late"]
    await level(hubs.left, hubs.right)
    assert hubs.left.replica.sequence == before + 1
    assert hubs.left.state.position == hubs.right.state.position


async def test_who_came_back_after_a_kick_may_stay(hubs: Hubs) -> None:
    """A hub hears of a kick more than once, and late: it ends what was open when it heard of it first, and nothing that was opened since.
    The next kick is another one."""
    heard: list[bytes] = []

    async def overhear(message: Msg) -> None:
        heard.append(message.data)

    await hubs.left.link.subscribe(hubs.left.names.kick, overhear)
    first = await hubs.right.login(hubs.tokens.token("kim"))
    identity = first.caller.identity
    await hubs.left.kick(identity, reason="rude")
    assert await ended(first) == "rude"
    await until(lambda: bool(heard))
    back = [await hub.login(hubs.tokens.token("kim")) for hub in (hubs.left, hubs.right)]
    for _ in range(2):
        await hubs.left.link.tell(hubs.left.names.kick, heard[0])
    await until(lambda: len(heard) == 3)
    await level(hubs.left, hubs.right)
    assert await hubs.right.kick(identity, reason="again") == 1, "the session on the hub that was asked is still open"
    assert [await ended(session) for session in back] == ["again", "again"]


async def test_presence_and_typing_cross_hubs(hubs: Hubs) -> None:
    """Who is present on one hub is so on the other, until they leave or fall silent; typing is delivered there and stored nowhere."""
    pia = await hubs.left.login(hubs.tokens.token("pia"))
    again = await hubs.right.login(hubs.tokens.token("pia"))
    bob = await enter(hubs.right, hubs.tokens, "bob")
    identity = pia.caller.identity
    listener = await watch(hubs.right, "space:1", bob)
    await hubs.left.set_presence(pia, "busy", "in a call")
    await until(lambda: state_of(hubs.right, identity) == ("busy", "in a call"))
    (told,) = await updates(listener, 1)
    assert told.transient is not None and told.transient.data["state"] == "busy"
    await hubs.right.set_presence(again, "online")
    await hubs.left.logout(pia)
    await until(lambda: state_of(hubs.right, identity) == ("online", "") == state_of(hubs.left, identity))
    hubs.clock.advance_us(31_000_000)
    assert state_of(hubs.left, identity) == ("offline", "") == state_of(hubs.right, identity)
    position = hubs.left.state.position
    typing = await watch(hubs.right, f"channel:{GENERAL}", bob)
    await hubs.left.submit(StartTyping(channel_id=GENERAL), pia.caller)
    (shown,) = await updates(typing, 1)
    assert shown.transient is not None and shown.transient.kind == "typing.started"
    assert hubs.left.state.position == hubs.right.state.position == position


def state_of(engine: NatsEngine, identity: str) -> tuple[str, str]:
    """What a hub thinks of somebody."""
    found = engine._presence.of(identity)
    return found.state, found.status_text


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_hubs_that_begin_at_once_begin_one_log(access: NatsAccess) -> None:
    """Five hubs open a deployment that nobody has made yet: one stream, one Hub, one owner."""
    tokens, name = ScriptedTokens(), f"first-{next(_names)}"
    async with AsyncExitStack() as stack:
        engines = await asyncio.gather(
            *(stack.enter_async_context(open_hub(access, None, tokens=tokens, name=name, replicas=1)) for _ in range(5))
        )
        await level(*engines)
        assert len({engine.deployment for engine in engines}) == 1
        assert len({engine.state.digest() for engine in engines}) == 1
        assert [entry.command for entry in await engines[0].entries(0)] == ["initialize"]


async def test_a_newcomer_knows_who_is_here(access: NatsAccess, hubs: Hubs) -> None:
    """A hub that opens later reads the log and the leases, and holds the same state."""
    pia = await hubs.left.login(hubs.tokens.token("pia"))
    await hubs.left.set_presence(pia, "idle")
    await hubs.left.submit(SendMessage(channel_id=GENERAL, content="x"), pia.caller)
    third = open_hub(access, None, tokens=hubs.tokens, name=hubs.name, replicas=1, clock=hubs.clock)
    async with third as engine:
        assert engine.state.digest() == hubs.left.state.digest()
        await until(lambda: state_of(engine, pia.caller.identity)[0] == "idle")


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_hub_restarts_from_its_file(access: NatsAccess, tmp_path: Path) -> None:
    """A hub reads on where it stopped; without its file it reads everything; both give the same state."""
    tokens, name, path = ScriptedTokens(), f"file-{next(_names)}", tmp_path / "hub.db"
    async with open_hub(access, path, tokens=tokens, name=name, replicas=1) as engine:
        caller = await enter(engine, tokens, "ann")
        for number in range(20):
            await engine.submit(SendMessage(channel_id=GENERAL, content=str(number)), caller)
        left_at = engine.replica.sequence
    async with open_hub(access, None, tokens=tokens, name=name, replicas=1) as engine:
        await engine.submit(SendMessage(channel_id=GENERAL, content="meanwhile"), caller)
        digest = engine.state.digest()
    async with open_hub(access, path, tokens=tokens, name=name, replicas=1) as engine:
        assert engine.state.digest() == digest and engine.replica.sequence == left_at + 1
        assert len(await engine.entries(0, limit=500)) == engine.state.position == engine.verify()


async def test_a_file_of_another_history_is_refused(access: NatsAccess, tmp_path: Path) -> None:
    """A projection with an entry that the servers never stored, a changed one, or one of another deployment is not served."""
    tokens, name, path = ScriptedTokens(), f"history-{next(_names)}", tmp_path / "hub.db"
    async with open_hub(access, path, tokens=tokens, name=name, replicas=1) as engine:
        caller = await enter(engine, tokens, "ann")
        await engine.submit(SendMessage(channel_id=GENERAL, content="true"), caller)
    with pytest.raises(LogDamagedError):
        async with open_hub(access, path, tokens=tokens, name=f"{name}-other", replicas=1):
            pass
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE entry SET digest = zeroblob(32) WHERE position = (SELECT max(position) FROM entry)")
    connection.close()
    with pytest.raises(LogDamagedError):
        async with open_hub(access, path, tokens=tokens, name=name, replicas=1):
            pass
    path.unlink()
    async with open_hub(access, path, tokens=tokens, name=name, replicas=1) as engine:
        assert engine.verify() == engine.state.position


@pytest.mark.parametrize("kind", ["chain", "bytes", "position", "format", "noise"])
async def test_a_block_that_does_not_follow_stops_the_hub(hubs: Hubs, kind: str) -> None:
    """A block of another chain, with changed bytes, positions or format, or no block at all: every hub stops and serves nothing of it."""
    caller = await enter(hubs.left, hubs.tokens, "ann")
    good = (await hubs.left.entries(0))[-1]
    await level(hubs.left, hubs.right)
    digest = hubs.left.replica.store.digest
    position = hubs.left.state.position
    entry = msgspec.json.encode(msgspec.structs.replace(good, position=position + (2 if kind == "position" else 1)))
    block = Block(
        format=FORMAT + (kind == "format"),
        block="evil",
        hub="evil",
        first=position + 1,
        before="00" * 32 if kind == "chain" else digest.hex(),
        after=chained(digest, [entry]).hex(),
        entries=(msgspec.Raw(entry),),
    )
    packed = pack(block)
    body = b"noise" if kind == "noise" else packed.body[:-2] + b" }" if kind == "bytes" else packed.body
    states = [engine.state.digest() for engine in hubs[:2]]
    names = hubs.left.names
    await hubs.left.link.append(names.stream, names.log, body, packed.headers, expected=hubs.left.replica.sequence)
    for engine in hubs[:2]:
        await until(lambda engine=engine: engine._damage is not None)  # type: ignore[misc]
        with pytest.raises(LogDamagedError):
            await engine.query(History(channel_id=GENERAL), caller)
        with pytest.raises(LogDamagedError):
            await engine.submit(SendMessage(channel_id=GENERAL, content="x"), caller)
        health = await engine.health()
        assert not health.ready and "damage" in health.detail
    assert [engine.state.digest() for engine in hubs[:2]] == states


async def test_one_damaged_copy_is_not_the_log(access: NatsAccess, hubs: Hubs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server gives damaged pages: a hub asks the log's leader for each message instead and takes nothing damaged; when the leader's are damaged
    as well, it does not open."""
    caller = await enter(hubs.left, hubs.tokens, "ann")
    for number in range(10):
        await hubs.left.submit(SendMessage(channel_id=GENERAL, content=str(number)), caller)
    genuine_page, genuine_at = Link.sparse_page, Link.at
    damaged = 0

    async def page(link: Link, stream: str, start: int, limit: int) -> list[Stored]:
        nonlocal damaged
        found = await genuine_page(link, stream, start, limit)
        if stream != hubs.name:
            return found
        damaged += len(found)
        return [Stored(one.sequence, one.body[:-1] + b"?", one.headers) for one in found]

    async def at(link: Link, stream: str, sequence: int) -> Stored | None:
        found = await genuine_at(link, stream, sequence)
        return None if found is None else Stored(found.sequence, found.body[:-1] + b"?", found.headers)

    monkeypatch.setattr(Link, "sparse_page", page)
    third = open_hub(access, None, tokens=hubs.tokens, name=hubs.name, replicas=1, clock=hubs.clock)
    async with third as engine:
        assert damaged >= 10 and engine.state.digest() == hubs.left.state.digest()
        assert (await engine.health()).ready
    monkeypatch.setattr(Link, "at", at)
    with pytest.raises(LogDamagedError):
        async with open_hub(access, None, tokens=hubs.tokens, name=hubs.name, replicas=1, clock=hubs.clock):
            pass


# ── the servers ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("swept")
async def test_settings_that_can_lose_something_are_refused(access: NatsAccess, tmp_path: Path) -> None:
    """Three copies are asked of one server; without a system user nobody knows whether it flushes: refused, unless accepted."""
    tokens = ScriptedTokens()
    with pytest.raises(SpacesUnavailableError, match="3 copies"):
        async with open_hub(access, None, tokens=tokens, name="three", replicas=3):
            pass
    unknown = access._replace(system_user=None, system_password=None)
    with pytest.raises(NotDurableError, match="unknown"):
        async with open_hub(unknown, None, tokens=tokens, name="unknown", replicas=1):
            pass
    opened = opening.open_hub(
        unknown,
        None,
        clock=ManualClock(),
        entropy=SeededEntropy(),
        tokens=tokens,
        owner=Owner("operator"),
        settings=NatsSettings("unknown", 1, accept_unverified=True, max_skew_us=None),
    )
    async with opened as engine:
        assert engine.durability.level == "unverified"
    async with open_hub(access, None, tokens=tokens, name="unknown", replicas=1) as engine:
        assert engine.durability == ("single_copy", 1, ())


@pytest.mark.usefixtures("swept")
async def test_a_stream_of_somebody_else_is_not_touched(access: NatsAccess) -> None:
    """A stream of that name with other settings is refused and stays as it is; a name that can't be one too; nobody there is said."""
    tokens = ScriptedTokens()
    async with open_hub(access, None, tokens=tokens, name="mine", replicas=1) as engine:
        config = {"name": "taken", "subjects": ["taken.log"], "storage": "memory"}
        await engine.link.ask("$JS.API.STREAM.CREATE.taken", config, dict)
        with pytest.raises(StreamUnfitError, match="storage"):
            async with open_hub(access, None, tokens=tokens, name="taken", replicas=1):
                pass
    with pytest.raises(InvalidArgumentError):
        Names("no.such")
    with pytest.raises(SpacesUnavailableError, match="could be reached"):
        async with open_hub(access._replace(servers=("nats://127.0.0.1:9",)), None, tokens=tokens, patience_s=0.5):
            pass
    with pytest.raises(SpacesUnavailableError, match="Authorization"):
        async with open_hub(access._replace(password="wrong"), None, tokens=tokens, patience_s=2):
            pass


async def test_a_hub_with_a_wrong_clock_writes_nothing(access: NatsAccess) -> None:
    """The log's time never goes back, so a hub whose clock is a year off is kept from setting it; once set right, it goes on."""
    tokens, name = ScriptedTokens(), f"clock-{next(_names)}"
    async with open_hub(access, None, tokens=tokens, name=name, replicas=1) as good:
        caller = await enter(good, tokens, "ann")
        clock = ManualClock(SystemClock().now_us() + 365 * 86_400_000_000)
        ahead = open_hub(access, None, tokens=tokens, name=name, replicas=1, clock=clock, max_skew_us=60_000_000)
        async with ahead as bad:
            at_us = bad.state.at_us
            with pytest.raises(SpacesUnavailableError, match="clock"):
                await bad.submit(SendMessage(channel_id=GENERAL, content="x"), caller)
            assert bad.state.at_us == at_us
            assert (await bad.query(History(channel_id=GENERAL), caller)).position == bad.state.position
            clock.step_wall_us(-365 * 86_400_000_000)
            await level(bad)
            await bad.submit(SendMessage(channel_id=GENERAL, content="x"), caller)


async def test_more_than_a_message_holds(hubs: Hubs) -> None:
    """Many long messages at once go into several blocks; all arrive."""
    people = [await enter(hubs.left, hubs.tokens, f"p{number}") for number in range(300)]
    text = "é" * 4000
    results = await asyncio.gather(
        *(hubs.left.submit(SendMessage(channel_id=GENERAL, content=text), one) for one in people)
    )
    assert len({result.position for result in results}) == 300
    await level(hubs.right)
    assert hubs.left.state.digest() == hubs.right.state.digest()


class Relay:
    """A relay between a hub and the server that loses one block, or the answer to it, with the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.lose: str | None = None
        self.lost = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        """Its address."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        deaf = asyncio.Event()

        async def out() -> None:
            while data := await reader.read(2**20):
                if self.lose is not None and b"Nats-Expected-Last-Sequence" in data:
                    lose, self.lose = self.lose, None
                    self.lost += 1
                    if lose == "block":
                        writer.close()
                        return
                    deaf.set()
                there_writer.write(data)

        async def back() -> None:
            while data := await there_reader.read(2**20):
                if deaf.is_set():
                    writer.close()
                    return
                writer.write(data)

        tasks = [asyncio.create_task(out()), asyncio.create_task(back())]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for each in (writer, there_writer):
            each.close()


@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize("lost", ["block", "answer"])
async def test_a_lost_answer_is_looked_up_not_guessed(server: NatsServer, access: NatsAccess, lost: str) -> None:
    """A block, or the answer to it, is lost with the connection: the command, even without a key, is carried out once and answered."""
    tokens, name = ScriptedTokens(), f"lost-{lost}"
    relay = Relay(int(server.url.rpartition(":")[2]))
    async with relay.run() as url, open_hub(access, None, tokens=tokens, name=name, replicas=1) as other:
        caller = await enter(other, tokens, "ann")
        behind = access._replace(servers=(url,))
        async with open_hub(behind, None, tokens=tokens, name=name, replicas=1) as engine:
            for number in range(5):
                relay.lose = lost
                mine, theirs = await asyncio.gather(
                    engine.submit(SendMessage(channel_id=GENERAL, content=f"mine {number}"), caller),
                    other.submit(SendMessage(channel_id=GENERAL, content=f"theirs {number}"), caller),
                )
                assert mine.position != theirs.position and not mine.duplicate
                assert relay.lost == number + 1
            await level(other)
            assert engine.state.digest() == other.state.digest()
        page = await other.query(History(channel_id=GENERAL, limit=200), caller)
        texts = [row.content for row in page.rows if isinstance(row, Message) and row.sender == caller.identity]
        assert sorted(texts) == sorted(f"{whose} {number}" for whose in ("mine", "theirs") for number in range(5))


@pytest.mark.slow
@pytest.mark.usefixtures("swept")
async def test_a_server_that_stands_still(tmp_path: Path) -> None:
    """Without an answer a command is `unavailable` with an unknown outcome, refusals and reads are refused, nothing is invented; when the
    server goes on, a repeat under the same key is carried out once."""
    tokens = ScriptedTokens()
    async with NatsServer.run(tmp_path / "own", entropy=SeededEntropy("own")) as own:
        opened = open_hub(access_of(own.access), None, tokens=tokens, replicas=1, patience_s=1.5)
        async with opened as engine:
            session = await engine.login(tokens.token("ann"))
            command = SendMessage(channel_id=GENERAL, content="x", client_id="1")
            before = engine.state.digest()
            own.freeze()
            try:
                with pytest.raises(OutcomeUnknownError):
                    await engine.submit(command, session.caller)
                with pytest.raises(SpacesUnavailableError):
                    await engine.submit(SetProfile(username="!"), session.caller)
                assert engine.state.digest() == before
                async with asyncio.timeout(20):
                    while (await engine.health()).ready:
                        await asyncio.sleep(0.05)
                with pytest.raises(CutOffError):
                    await engine.query(History(channel_id=GENERAL), session.caller)
                with pytest.raises(CutOffError):
                    await engine.login(tokens.token("bob"))
            finally:
                own.thaw()
            async with asyncio.timeout(20):
                while not (await engine.health()).ready:
                    await asyncio.sleep(0.05)
            result = await engine.submit(command, session.caller)
            again = await engine.submit(command, session.caller)
            assert result.position == again.position and again.duplicate
            assert engine.state.get(Profile, session.caller.identity) is not None
            page = await engine.query(History(channel_id=GENERAL), session.caller)
            assert sum(getattr(row, "content", "") == "x" for row in page.rows) == 1

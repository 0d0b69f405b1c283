"""Rotation in two phases: what it refuses, and that one key is valid at every moment (anima.md §15, AN-CUS-6)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from life.aios.errors import ConflictError, CustodyError, JournalUnavailableError
from life.aios.json import JsonObject
from life.aios.ports.custody import Capabilities, Custody
from life.aios.record import NewEvent, format_timestamp
from life.anima.chain import RotationLink, acceptance_claims, proof_claims, verify_chain
from life.anima.custody.in_process import InProcessAnima
from life.anima.errors import (
    CustodyAuthFailedError,
    CustodyUnavailableError,
    IdentityMismatchError,
    IdentityRevokedError,
    RotationCoolingError,
    RotationIncompleteError,
    RotationRefusedError,
    SoulNotFoundError,
    StaleHandleError,
    UserRejectedError,
)
from life.anima.events import PolicyViolationDetected
from life.anima.genesis import ensure_genesis, identity_event, load_state, rotation_event
from life.anima.home import open_identity, read_identity
from life.anima.revoking import revoke_identity
from life.anima.rotation import KeyRotator, rotate_identity, settle_rotation
from life.anima.seed_file import NEXT_SEED_FILE, read_header, read_seed_file
from life.anima.seed_rotation import SeedRotator, rotation_is_pending
from life.anima.soul_rotation import SoulFileRotator
from life.lago.journal.memory import MemoryJournal
from tests.anima.material import AgentBench, agent_bench, did_of, handle, raw_key, seed_of


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """An agent that never rotated."""
    return await agent_bench(tmp_path / "identity")


def rotator_of(agent: AgentBench, *, key: int = 7) -> SeedRotator:
    """A rotator of the agent's folder."""
    return SeedRotator.open(agent.folder, raw_key(key), clock=agent.clock, entropy=agent.entropy)


async def rotate_with(agent: AgentBench, rotator: KeyRotator, custody: Custody | None = None, **options: Any) -> None:
    """Rotate by a rotator of the test's own."""
    await rotate_identity(
        agent.journal,
        rotator,
        custody or agent.custody,
        agent_id=agent.agent_id,
        clock=agent.clock,
        **({"cool_down_s": 0} | options),
    )


class Refusing:
    """A handle whose backend refuses: the person said no, the PIN was wrong, the device is gone."""

    def __init__(self, inner: Custody, error: BaseException) -> None:
        self._inner = inner
        self._error = error

    def capabilities(self) -> Capabilities:
        """As the real handle."""
        return self._inner.capabilities()

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """No."""
        raise self._error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Wrapped:
    """A rotator some of whose steps fail."""

    def __init__(self, inner: SeedRotator, **steps: Callable[[], Any]) -> None:
        self._inner = inner
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        step = self._steps.get(name)
        if step is None:
            return getattr(self._inner, name)

        async def replaced(*_: Any) -> Any:
            outcome = step()
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        return replaced


async def test_a_rotation(agent: AgentBench) -> None:
    """The journal has the rotation with both proofs, soul.json the chain, the seed file the new key and the old wallet."""
    before, wallet = agent.did, agent.opened.identity.wallet
    rotation = await agent.rotate()
    assert (rotation.link.old_did, rotation.link.new_did, rotation.resumed) == (before, agent.did, False)
    assert (rotation.link.rotated_at_seq, agent.opened.identity.wallet) == (4, wallet)
    state = await load_state(agent.journal, agent.agent_id)
    assert state.identity is not None and state.keys is not None
    assert (state.identity.did, state.keys.dids, state.violations) == (agent.did, (before, agent.did), 0)
    assert state.identity.auth_public_key != state.soul.root_public_key if state.soul else False
    assert await ensure_genesis(agent.journal, agent.opened.identity) == state
    container = read_seed_file(agent.folder / "seed.enc")
    assert container is not None and read_header(container).did == agent.did
    assert not (agent.folder / NEXT_SEED_FILE).exists()
    assert (agent.folder / "seed.enc").stat().st_mode & 0o777 == 0o600
    assert agent.opened.identity.root_did == before


async def test_many_rotations(agent: AgentBench) -> None:
    """Each follows from the one before; the agent id, the soul and the wallet stay."""
    first = agent.opened.identity
    for _ in range(4):
        await agent.rotate()
    identity = agent.opened.identity
    assert (identity.agent_id, identity.soul, identity.wallet) == (first.agent_id, first.soul, first.wallet)
    assert verify_chain(identity.rotations, start=first.did) == identity.did
    assert len(identity.rotations) == 4


async def test_the_old_container_does_not_open_the_new_identity(agent: AgentBench) -> None:
    """A backup of the seed from before the rotation is another key, and is said to be."""
    old = (agent.folder / "seed.enc").read_bytes()
    await agent.rotate()
    (agent.folder / "seed.enc").write_bytes(old)
    with pytest.raises(IdentityMismatchError):
        open_identity(agent.folder, raw_key(), clock=agent.clock)


async def test_a_rotated_identity_moves_to_another_journal(agent: AgentBench) -> None:
    """With an empty journal the rotations are written again from soul.json; with one that is behind, what is missing is."""
    await agent.rotate()
    behind = MemoryJournal()
    await ensure_genesis(behind, agent.opened.identity)
    await agent.rotate()
    await agent.rotate()
    for journal in (behind, MemoryJournal()):
        state = await ensure_genesis(journal, agent.opened.identity)
        assert state.identity is not None and state.identity.did == agent.did
        assert state.violations == 0
        assert await ensure_genesis(journal, agent.opened.identity) == state


async def test_soul_json_with_a_forged_chain_is_refused(agent: AgentBench, tmp_path: Path) -> None:
    """A chain whose proofs do not hold, or leads elsewhere, keeps the identity from opening."""
    await agent.rotate()
    path = agent.folder / "soul.json"
    good = json.loads(path.read_text())
    changes: tuple[dict[str, Any], ...] = (
        {"rotations": []},
        {"rotations": good["rotations"] * 2},
        {"did": good["rotations"][0]["old_did"]},
    )
    for change in changes:
        path.write_text(json.dumps(good | change))
        with pytest.raises(IdentityMismatchError):
            read_identity(agent.folder)
    path.write_text(json.dumps(good))
    assert read_identity(agent.folder).did == agent.did


@pytest.mark.parametrize(
    "error",
    [
        UserRejectedError("no"),
        CustodyAuthFailedError("wrong PIN"),
        CustodyUnavailableError("gone"),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_leaves_the_old_key(agent: AgentBench, error: BaseException) -> None:
    """Whatever the old key's backend says, nothing was rotated: the old key signs, and no half of a new one is left."""
    before = agent.did
    rotator = rotator_of(agent)
    with pytest.raises(type(error)):
        await rotate_with(agent, rotator, Refusing(agent.custody, error))
    await rotator.close()
    assert not rotation_is_pending(agent.folder)
    assert open_identity(agent.folder, raw_key(), clock=agent.clock).identity.did == before
    agent.verifier().verify_agent_token(await agent.token())


async def test_the_new_keys_refusal_counts_too(agent: AgentBench) -> None:
    """Without proof of possession by the new key there is no rotation."""
    rotator = rotator_of(agent)
    made = await rotator.prepare()
    wrapped: Any = Wrapped(
        rotator, prepared=lambda: None, prepare=lambda: Refusing(made, CustodyUnavailableError("gone"))
    )
    with pytest.raises(CustodyUnavailableError):
        await rotate_with(agent, wrapped)
    await rotator.close()
    assert not rotation_is_pending(agent.folder)
    agent.verifier().verify_agent_token(await agent.token())


async def test_a_wrong_secret_leaves_the_old_key(agent: AgentBench) -> None:
    """A key source that does not open the seed ends the rotation before anything was made."""
    rotator = rotator_of(agent, key=8)
    with pytest.raises(CustodyAuthFailedError):
        await rotate_with(agent, rotator)
    await rotator.close()
    assert not rotation_is_pending(agent.folder)


async def test_a_full_disk_leaves_the_old_key(agent: AgentBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key that can't be stored is not rotated to."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    rotator = rotator_of(agent)
    monkeypatch.setattr("life.anima.seed_rotation.write_seed_file", full)
    with pytest.raises(CustodyUnavailableError, match="No space left"):
        await rotate_with(agent, rotator)
    await rotator.close()
    agent.verifier().verify_agent_token(await agent.token())


async def test_rotations_lie_an_hour_apart(agent: AgentBench) -> None:
    """A second one within the hour is refused unless it is wanted (AN-ROT-7)."""
    await agent.rotate(cool_down_s=3600)
    agent.clock.advance_us(3_599 * 1_000_000)
    with pytest.raises(RotationCoolingError):
        await agent.rotate(cool_down_s=3600)
    assert not rotation_is_pending(agent.folder)
    agent.clock.advance_us(1_000_000)
    await agent.rotate(cool_down_s=3600)


async def test_a_replaced_or_revoked_key_does_not_rotate(agent: AgentBench) -> None:
    """The handle must hold the current key, and the identity must live."""
    old = agent.custody
    await agent.rotate()
    rotator = rotator_of(agent)
    with pytest.raises(StaleHandleError):
        await rotate_with(agent, rotator, old)
    await revoke_identity(
        agent.journal, agent.custody, agent_id=agent.agent_id, reason="compromised", clock=agent.clock
    )
    with pytest.raises(IdentityRevokedError):
        await rotate_with(agent, rotator)
    await rotator.close()
    assert not rotation_is_pending(agent.folder)


async def test_one_rotator_at_a_time(agent: AgentBench) -> None:
    """A second process is kept out, or it would throw the first one's new key away."""
    rotator = rotator_of(agent)
    with pytest.raises(ConflictError):
        rotator_of(agent)
    await rotator.close()
    await rotator.close()
    await rotator_of(agent).close()


async def test_other_events_do_not_disturb(agent: AgentBench) -> None:
    """An event that comes in between is taken into account, and the rotation goes on."""
    journal = agent.journal
    real, calls = journal.append, 0

    async def busy(events: Any, *, expected: Any = None) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await real([_other(agent)])
        return await real(events, expected=expected)

    journal.append = busy  # type: ignore[method-assign]
    rotation = await agent.rotate()
    assert rotation.link.rotated_at_seq == 5


async def test_a_faster_rotation_wins(agent: AgentBench) -> None:
    """When another successor of the key is stored first, this one is thrown away: a key has one (AN-ROT-3)."""
    journal, real = agent.journal, agent.journal.append
    rival = await rotated_to(agent, seed_of(1))

    async def overtaken(events: Any, *, expected: Any = None) -> Any:
        await real([rotation_event(rival, agent_id=agent.agent_id)])
        return await real(events, expected=expected)

    journal.append = overtaken  # type: ignore[method-assign]
    with pytest.raises(RotationRefusedError):
        await agent.rotate()
    journal.append = real  # type: ignore[method-assign]
    assert not rotation_is_pending(agent.folder)
    state = await load_state(journal, agent.agent_id)
    assert state.keys is not None
    assert (state.keys.current_did, len(state.keys.links)) == (rival.new_did, 1)


async def test_an_unknown_outcome_is_settled_from_the_journal(agent: AgentBench) -> None:
    """When the journal fails after storing, the new key is kept, and the next start completes the rotation."""
    journal, real = agent.journal, agent.journal.append
    before = agent.did

    async def lost(events: Any, *, expected: Any = None) -> Any:
        await real(events, expected=expected)
        raise JournalUnavailableError("the connection broke")

    journal.append = lost  # type: ignore[method-assign]
    with pytest.raises(JournalUnavailableError):
        await agent.rotate()
    journal.append = real  # type: ignore[method-assign]
    assert rotation_is_pending(agent.folder)
    assert read_identity(agent.folder).did == before
    rotator = rotator_of(agent)
    assert await settle_rotation(journal, rotator, agent_id=agent.agent_id) == "completed"
    await rotator.close()
    assert read_identity(agent.folder).did != before
    opened = open_identity(agent.folder, raw_key(), clock=agent.clock)
    await ensure_genesis(journal, opened.identity)


async def test_a_journal_that_stored_nothing_discards(agent: AgentBench) -> None:
    """The same failure before storing: the next start throws the new key away."""
    journal, real, before = agent.journal, agent.journal.append, agent.did

    async def down(events: Any, *, expected: Any = None) -> Any:
        raise JournalUnavailableError("the connection broke")

    journal.append = down  # type: ignore[method-assign]
    with pytest.raises(JournalUnavailableError):
        await agent.rotate()
    journal.append = real  # type: ignore[method-assign]
    rotator = rotator_of(agent)
    assert await settle_rotation(journal, rotator, agent_id=agent.agent_id) == "discarded"
    assert await settle_rotation(journal, rotator, agent_id=agent.agent_id) == "nothing"
    await rotator.close()
    assert open_identity(agent.folder, raw_key(), clock=agent.clock).identity.did == before


async def test_the_only_copy_of_a_key_is_never_thrown_away(agent: AgentBench) -> None:
    """Killed between soul.json and the seed, and then started on an empty journal or an older one: the new key is kept."""
    older = MemoryJournal()
    await ensure_genesis(older, agent.opened.identity)
    await agent.rotate()
    (agent.folder / "seed.enc").rename(agent.folder / NEXT_SEED_FILE)
    content = (agent.folder / NEXT_SEED_FILE).read_bytes()
    for journal in (MemoryJournal(), older):
        (agent.folder / NEXT_SEED_FILE).write_bytes(content)
        (agent.folder / NEXT_SEED_FILE).chmod(0o600)
        rotator = rotator_of(agent)
        with pytest.raises((StaleHandleError, SoulNotFoundError)):
            await rotate_identity(journal, rotator, agent.custody, agent_id=agent.agent_id, clock=agent.clock)
        published = read_identity(agent.folder).rotations
        assert await settle_rotation(journal, rotator, agent_id=agent.agent_id, published=published) == "completed"
        await rotator.close()
        assert open_identity(agent.folder, raw_key(), clock=agent.clock).identity.did == agent.did


async def test_a_key_that_nothing_is_known_of_is_left_alone(agent: AgentBench) -> None:
    """On an empty journal a prepared key is neither used nor destroyed."""
    rotator = rotator_of(agent)
    await rotator.prepare()
    assert await settle_rotation(MemoryJournal(), rotator, agent_id=agent.agent_id) == "nothing"
    assert rotation_is_pending(agent.folder)
    assert await settle_rotation(agent.journal, rotator, agent_id=agent.agent_id) == "discarded"
    await rotator.close()


async def test_a_switch_that_fails_is_made_up_for(agent: AgentBench) -> None:
    """The rotation counts once it is stored; rotating again finishes the switch instead of making another key."""
    rotator = rotator_of(agent)
    failing: Any = Wrapped(rotator, commit=lambda: CustodyUnavailableError("gone"))
    with pytest.raises(RotationIncompleteError):
        await rotate_with(agent, failing)
    again = await rotate_identity(agent.journal, rotator, agent.custody, agent_id=agent.agent_id, clock=agent.clock)
    await rotator.close()
    assert again.resumed
    assert open_identity(agent.folder, raw_key(), clock=agent.clock).identity.did == again.link.new_did


async def test_a_foreign_prepared_key_is_not_committed(agent: AgentBench) -> None:
    """The switch is only to the key that the journal names."""
    rotator = rotator_of(agent)
    await rotator.prepare()
    rival = await rotated_to(agent, seed_of(1))
    with pytest.raises(IdentityMismatchError):
        await rotator.commit((rival,))
    await rotator.close()


class StoredKey:
    """A rotator of keys that some store holds outside of the folder."""

    def __init__(self, agent: AgentBench) -> None:
        self.made: InProcessAnima | None = None
        self.old_is_gone = False
        self.fails = False
        self._agent = agent

    async def prepared(self) -> InProcessAnima | None:
        """The new key, until the switch."""
        return None if self.old_is_gone else self.made

    async def prepare(self) -> InProcessAnima:
        """A new key."""
        self.made = handle(seed_of(300), clock=self._agent.clock)
        return self.made

    async def commit(self, links: tuple[RotationLink, ...]) -> None:
        """The old key is destroyed."""
        if self.fails:
            raise CustodyUnavailableError("gone")
        assert self.made is not None and links[-1].new_did == did_of(self.made)
        self.old_is_gone = True

    async def discard(self) -> None:
        """The new key is destroyed."""
        self.made = None

    async def close(self) -> None:
        """Nothing is open."""


async def test_other_backends_rotate_with_the_soul_file(agent: AgentBench) -> None:
    """Keys that live elsewhere: soul.json is sealed by the new key before the old one is destroyed; interrupted between
    the two, settling finishes it."""
    store = StoredKey(agent)
    rotator = SoulFileRotator(store, agent.folder)
    store.fails = True
    with pytest.raises(RotationIncompleteError):
        await rotate_with(agent, rotator)
    assert store.made is not None
    identity = read_identity(agent.folder)
    assert (identity.did, identity.wallet) == (did_of(store.made), agent.opened.identity.wallet)
    store.fails = False
    assert await settle_rotation(agent.journal, rotator, agent_id=agent.agent_id) == "completed"
    assert store.old_is_gone
    assert await settle_rotation(agent.journal, rotator, agent_id=agent.agent_id) == "nothing"
    await ensure_genesis(agent.journal, identity)
    await rotator.close()


async def test_another_backends_refusal_changes_nothing(agent: AgentBench) -> None:
    """The old key says no: the new one is destroyed, soul.json is as it was."""
    store, before = StoredKey(agent), (agent.folder / "soul.json").read_bytes()
    with pytest.raises(UserRejectedError):
        await rotate_with(agent, SoulFileRotator(store, agent.folder), Refusing(agent.custody, UserRejectedError("no")))
    assert store.made is None
    assert (agent.folder / "soul.json").read_bytes() == before


async def test_no_secret_in_any_text(agent: AgentBench) -> None:
    """Rotators and errors show no key."""
    rotator = rotator_of(agent)
    prepared = await rotator.prepare()
    texts = f"{rotator!r} {prepared!r}"
    await rotator.close()
    with pytest.raises(CustodyError):
        await prepared.sign_token({})
    assert "seed" not in texts.replace("SeedRotator", "").replace("seed_rotation", "")


# Kill −9. A child process dies before each file operation of a rotation in turn, and before and after the append.

CRASHING = '''
import asyncio, json, os, sys
from pathlib import Path
from life.anima.custody.in_process import InProcessAnima
from life.anima.genesis import ensure_genesis, load_state
from life.anima.home import create_identity, open_identity, read_identity
from life.anima.key_source import RawKey
from life.anima.rotation import rotate_identity
from life.anima.seed_rotation import SeedRotator
from life.host.anima_identity import open_agent_identity
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock, SeededEntropy

top = Path(sys.argv[1])
OPERATIONS = ("open", "write", "fsync", "fchmod", "unlink", "replace", "rename", "close")
key = lambda: RawKey(bytearray([7]) * 32)


async def rotate(place, seed, deadly=None):
    clock, entropy = ManualClock(), SeededEntropy(seed)
    async with SqliteJournal.open(place / "journal.db", clock=clock, writer="in_loop") as journal:
        agent = await open_agent_identity(journal, place / "identity", key(), clock=clock, entropy=entropy)
        if deadly is not None:
            deadly(journal)
        rotator = SeedRotator.open(place / "identity", key(), clock=clock, entropy=entropy)
        await rotate_identity(
            journal, rotator, agent.custody, agent_id=agent.identity.agent_id, clock=clock, cool_down_s=0
        )
        await rotator.close()


def child(place, fatal):
    """Die before step number `fatal` of the rotation; exit 0 when there are fewer."""
    count = 0

    def step():
        nonlocal count
        if count == fatal:
            os.kill(os.getpid(), 9)
        count += 1

    def arm(journal):
        def deadly(real):
            def operation(*arguments, **options):
                step()
                return real(*arguments, **options)
            return operation
        for name in OPERATIONS:
            setattr(os, name, deadly(getattr(os, name)))
        append = journal.append
        async def appended(*arguments, **options):
            step()
            stored = await append(*arguments, **options)
            step()
            return stored
        journal.append = appended

    asyncio.run(rotate(place, "rotation", arm))
    os._exit(0)


async def look(place):
    """What the next start finds: everything must tell of one key, and that key must sign."""
    clock = ManualClock()
    async with SqliteJournal.open(place / "journal.db", clock=clock, writer="in_loop") as journal:
        agent_id = read_identity(place / "identity").agent_id
        told = (await load_state(journal, agent_id)).identity.did
        agent = await open_agent_identity(
            journal, place / "identity", key(), clock=clock, entropy=SeededEntropy("later"), create=False
        )
        token = agent.custody.sign_claims({"iss": agent.identity.did})
        agent.custody.close()
        return told, agent.identity.did, agent.state.identity.did, agent.settled, agent.state.violations, bool(token)


report, fatal = [], 0
first = top / "first"
first.mkdir()
asyncio.run(rotate(first, "birth"))  # the second rotation is the one that is killed: chains are longer than one link
while True:
    place = top / str(fatal)
    os.system(f"cp -r {first} {place}")
    before = read_identity(place / "identity").did
    pid = os.fork()
    if pid == 0:
        child(place, fatal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    told, did, folded, settled, violations, signs = asyncio.run(look(place))
    again = asyncio.run(look(place))
    report.append({
        "died": code == -9,
        "one": told == did == folded == read_identity(place / "identity").did == again[1],
        "rotated": did != before,
        "settled": settled,
        "calm": again[3] == "nothing" and violations == 0 and signs,
        "files": sorted(path.name for path in (place / "identity").iterdir()),
    })
    if code == 0:
        break
    fatal += 1
print(json.dumps(report))
'''


def test_killed_at_every_step(tmp_path: Path) -> None:
    """Killed −9 before each file operation and around the append, the next start finds one valid key: the old one before
    the append, the new one after it, in the journal, in soul.json and in the seed file alike."""
    ended = subprocess.run(
        [sys.executable, "-c", CRASHING, str(tmp_path)], capture_output=True, text=True, check=False, timeout=110
    )
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert len(report) > 20, "every operation was a crash point"
    assert [run["died"] for run in report] == [True] * (len(report) - 1) + [False]
    assert all(run["one"] and run["calm"] for run in report), report
    order = [run["rotated"] for run in report]
    assert order == sorted(order), "there is one moment at which the new key becomes the valid one"
    assert {run["settled"] for run in report} == {"nothing", "discarded", "completed"}
    for run in report:
        assert set(run["files"]) <= {
            ".lock",
            ".rotation.lock",
            "seed.enc",
            "soul.json",
            "seed.next.enc.new",
            "soul.json.new",
        }


async def rotated_to(agent: AgentBench, seed: bytes) -> RotationLink:
    """A rival rotation of the agent's key, signed by the very key."""
    second = handle(seed, clock=agent.clock)
    new_did = did_of(second)
    return RotationLink(
        old_did=agent.did,
        new_did=new_did,
        rotation_proof_jws=await agent.custody.sign_token(proof_claims(agent.did, new_did, now_s=agent.now_s)),
        new_key_proof=await second.sign_token(acceptance_claims(agent.did, new_did, now_s=agent.now_s)),
        rotated_at=format_timestamp(agent.clock.now_us()),
    )


def _other(agent: AgentBench) -> NewEvent:
    return identity_event(
        PolicyViolationDetected(capability="x", reason="r", blocked=False),
        event_id="other-event",
        agent_id=agent.agent_id,
        timestamp_us=agent.clock.now_us(),
    )

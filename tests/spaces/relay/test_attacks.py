"""Attackers in every place: a stranger, another tenant, a hub that does what it likes, a false node. R1–R13 of spaces.md §11.1, W20."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import aclosing

import msgspec
import pytest

from life.aios.errors import InvalidInputError
from life.crypto import jws
from life.crypto.base64url import encode_base64url
from life.crypto.did import resolve_did
from life.spaces.relay import envelopes
from life.spaces.relay.envelopes import (
    COMMAND_TYP,
    OPEN_TYP,
    CommandProof,
    Opening,
    digest,
    parse,
    sign,
    verify,
    write,
)
from life.spaces.relay.errors import (
    RelayExpiredError,
    RelayForbiddenError,
    RelayForgedError,
    RelayOfflineError,
    RelayOutcomeUnknownError,
)
from life.spaces.relay.events import OPERATOR
from life.spaces.relay.link import SILENCE_US
from life.spaces.relay.node import MAX_LINKS_PER_OWNER
from life.spaces.relay.operations import (
    OPERATIONS,
    Allow,
    Decide,
    FileNamed,
    Nothing,
    OnBranch,
    Page,
    Revoke,
    RunNamed,
    Say,
    Start,
    Watch,
    read_arguments,
)
from life.spaces.relay.state import KEEP_COMMANDS_S
from tests.spaces.relay.kit import Done, HubCarrier, Sent, World, world


async def test_a_stranger_hears_nothing() -> None:
    """R1, W20: a key that is allowed nothing gets no answer at all, whatever ids it guesses; the node looks switched off."""
    async with world() as w:
        await w.allow(2, "own")
        with pytest.raises(RelayOfflineError):
            async with w.owner(3):
                pass
        node = w.node
        assert node is not None
        assert node.owners == []
        assert node.ignored >= 3
        assert not [sent for sent in w.hub.log if sent.sender == w.node_did]
        assert w.sessions.done == []


async def test_another_tenant_reaches_only_what_is_theirs() -> None:
    """R1, R2: every operation on a session that is somebody else's is refused in the words of one that does not exist, and nothing happens there."""
    async with world() as w:
        await w.allow(2, "own")
        await w.allow(3, "watch", "steer", "approve", session="diary")
        w.sessions.records["diary"].clear()
        arguments = {
            "events": Page(),
            "report": RunNamed(run_id="r"),
            "file": FileNamed(path="a.txt"),
            "start": Start(objective="go"),
            "send": Say(message="hi"),
            "decide": Decide(approval_id="a", approved=True),
        }
        async with w.owner(3) as tenant:
            for name, operation in OPERATIONS.items():
                if operation.any_session or name in ("doubt", "revoke_rule", "withdraw", "unwatch"):
                    continue
                wanted = arguments.get(name) or operation.arguments()
                theirs = await w.refused(tenant, name, "notes", wanted)
                nobodys = await w.refused(tenant, name, "no-such-session", wanted)
                assert isinstance(theirs, RelayForbiddenError)
                assert (theirs.code, theirs.message) == (nobodys.code, nobodys.message)
            assert w.sessions.done == []
            assert await w.ask(tenant, "sessions", "") == [{"session_id": "diary"}]
            await w.ask(tenant, "pause", "diary", OnBranch())
            for name, wanted in (
                ("grants", Nothing()),
                ("allow", Allow(did=w.did(3), rights=("own",))),
                ("revoke", Revoke(did=w.did(2))),
            ):
                assert isinstance(await w.refused(tenant, name, "", wanted), RelayForbiddenError)
        assert [done.session for done in w.sessions.done] == ["", "diary"]


@pytest.mark.parametrize(
    ("rights", "allowed"),
    [
        (("watch",), {"view"}),
        (("steer",), {"view", "send"}),
        (("approve",), {"view", "decide"}),
        (("steer", "approve"), {"view", "send", "decide"}),
        (("own",), {"view", "send", "decide", "grants"}),
    ],
)
async def test_each_right_opens_what_it_says(rights: tuple[str, ...], allowed: set[str]) -> None:
    """Who may watch, who may steer, who may approve, who may allow others: each right opens its operations and no others."""
    async with world() as w:
        await w.allow(2, *rights, session="*")  # type: ignore[arg-type]
        async with w.owner() as owner:
            for name, session, wanted in (
                ("view", "notes", OnBranch()),
                ("send", "notes", Say(message="hi")),
                ("decide", "notes", Decide(approval_id="a", approved=True)),
                ("grants", "", Nothing()),
            ):
                if name in allowed:
                    await w.ask(owner, name, session, wanted)
                else:
                    assert isinstance(await w.refused(owner, name, session, wanted), RelayForbiddenError)


async def test_what_the_hub_replays_or_reorders_happens_once() -> None:
    """A hub that delivers everything three times and in any order: each command is carried out once, each event comes once, in order."""
    chance = random.Random(5)
    held: list[Sent] = []

    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:

            def meddle(sent: Sent) -> list[Sent]:
                held.extend([sent] * 3)
                chance.shuffle(held)
                out, held[:] = held[: len(held) // 2 + 1], held[len(held) // 2 + 1 :]
                return out

            w.hub.meddle = meddle
            for number in range(20):
                w.sessions.add("notes", f"event {number}")
            assert len(await w.collect(owner, 20)) == 20
            for number in range(5):
                await w.ask(owner, "send", "notes", Say(message=f"m{number}"))
            said = [done.arguments.message for done in w.sessions.done if isinstance(done.arguments, Say)]
            assert said == [f"m{number}" for number in range(5)]
            w.hub.meddle = lambda sent: [sent]
            for sent in list(w.hub.log):
                w.hub.deliver(sent)  # everything that was ever sent, once more
            await w.pass_time(3)
            assert [done.operation for done in w.sessions.done] == ["send"] * 5
            assert owner.is_linked


async def test_a_recording_replayed_to_a_restarted_node_does_nothing() -> None:
    """Whatever a hub kept of before a restart of the node: the link is gone with its keys, and the command's id is on disk."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            await w.ask(owner, "send", "notes", Say(message="pay the bill"))
            recording = list(w.hub.log)
            await w.kill_node()
        await w.start_node()
        for sent in recording:
            w.hub.deliver(sent)
        await w.pass_time(5)
        assert [done.operation for done in w.sessions.done] == ["send"]


async def test_a_hub_can_not_make_the_dead_look_alive() -> None:
    """R8: heartbeats and events that are played again prove nothing: a node that is gone is known to be within 30 s."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.sessions.add("notes", "x")
            await w.collect(owner, 1)
            await w.pass_time(25)
            recording = [sent for sent in w.hub.log if sent.sender == w.node_did]
            w.hub.meddle = lambda sent: [] if sent.sender == w.node_did else [sent]
            for _ in range(8):
                await w.pass_time(4)
                for sent in recording:
                    w.hub.deliver(sent)
            assert not owner.is_linked


async def test_frames_that_were_changed_or_invented_are_dropped() -> None:
    """R2: one bit changed in any frame, numbers exchanged, frames of the node sent back to it, text of the hub's own: nothing gets in."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            spoiled = 0

            def meddle(sent: Sent) -> list[Sent]:
                nonlocal spoiled
                words = sent.text.split(" ")
                if words[1] not in ("data", "control"):
                    return [sent]
                spoiled += 1
                body = words[4]
                flipped = body[:9] + ("A" if body[9] != "A" else "B") + body[10:]
                moved = [*words[:3], str(int(words[3]) + 1), body]
                bodies = [
                    [*words[:4], flipped],
                    moved,
                    [*words[:4], "AAAA"],
                    [*words[:3], "1", "%%%"],
                    ["life-relay/1", "x"],
                ]
                other = next(one for one in w.hub.parties(sent.place) if one != sent.sender)
                false = [sent._replace(text=" ".join(one)) for one in bodies]
                return [*false, sent._replace(sender=other), sent]

            w.hub.meddle = meddle
            w.sessions.add("notes", "genuine")
            assert await w.collect(owner, 1) == [b'{"sequence":1,"text":"genuine"}']
            await w.ask(owner, "send", "notes", Say(message="hi"))
            assert spoiled > 4
            assert [done.operation for done in w.sessions.done] == ["send"]
            assert owner.links == 1


async def test_the_hub_reads_nothing() -> None:
    """Messages, events, session names and reasons stand nowhere in what travels; what is stored of a command is sealed as well."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.sessions.records["secretproject"] = []
            w.sessions.add("secretproject", "the launch code is 0000")
            await w.collect(owner, 1, session="secretproject")
            await w.ask(owner, "send", "secretproject", Say(message="meet me at the harbour"))
        carried = "\n".join(sent.text for sent in w.hub.log)
        for word in ("secretproject", "launch", "harbour", "send"):
            assert word not in carried
            for padding in (b"", b"x", b"xx"):  # base64 of a word depends on where it begins
                spelled = encode_base64url(padding + word.encode())[4 if padding else 0 : -3]
                assert len(spelled) < 4 or spelled not in carried
        assert any(sent.stored and " data " in sent.text for sent in w.hub.log), (
            "a command that changes something is stored"
        )


async def test_whatever_arrives_the_link_stands() -> None:
    """Thousands of texts made from genuine ones by cutting, exchanging and inserting, to both sides: no fault, no effect, the same link."""
    chance = random.Random(11)
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            for number in range(5):
                w.sessions.add("notes", f"{number}")
            await w.collect(owner, 5)
            await w.ask(owner, "pause", "notes", OnBranch())
            genuine = list(w.hub.log)
            for _ in range(3000):
                sent, other = chance.choice(genuine), chance.choice(genuine)
                text = list(sent.text)
                for _ in range(chance.randint(1, 4)):
                    at = chance.randrange(len(text) + 1)
                    match chance.randrange(4):
                        case 0:
                            del text[at : at + chance.randint(1, 40)]
                        case 1:
                            text[at:at] = chance.choice([" ", "A", "-1", "\x00", "é", "9" * 20, " data "])
                        case 2:
                            text[at:] = other.text[at:]
                        case _:
                            text[at : at + 1] = chance.choice("ABCxyz_-019 ")
                w.hub.deliver(sent._replace(text="".join(text)))
                w.hub.deliver(sent._replace(text="".join(text), sender=other.sender))
                if chance.random() < 0.05:
                    await w.pass_time(0.05)
            await w.pass_time(2)
            assert [done.operation for done in w.sessions.done] == ["pause"]
            assert w.node is not None
            assert owner.links == 1
            assert await w.collect(owner, 5) == w.sessions.records["notes"]


async def test_a_false_node_is_not_believed() -> None:
    """A hub that answers an opening itself, with a key of its own or another node's signature, gets no link; neither does one that answers with the
    node's answer to another opening."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner():
            pass
        old = next(sent.text.split(" ") for sent in w.hub.log if " accept " in sent.text)
        await w.kill_node()
        mallory = w.custody(9)

        def meddle(sent: Sent) -> list[Sent]:
            if " open " not in sent.text:
                return []
            token = sent.text.split(" ")[2]
            opening = msgspec.json.decode(jws.parse(token).payload, type=Opening)
            claims = envelopes.Acceptance(
                link=opening.link,
                owner=opening.owner,
                node=opening.node,
                key=encode_base64url(bytes(range(32))),
                opening_sha256=digest(token),
                iat=opening.iat,
            )
            forged = mallory.sign_claims(msgspec.to_builtins(claims), typ=envelopes.ACCEPT_TYP)  # type: ignore[attr-defined]
            texts = [write("accept", opening.link, forged), write("accept", opening.link, old[3])]
            return [Sent(sent.place, w.node_did, text, False) for text in texts]

        w.hub.meddle = meddle
        with pytest.raises(RelayOfflineError):
            async with w.owner():
                pass


async def test_openings_that_are_not_the_owners_are_ignored() -> None:
    """For another node, signed by another key, too old, from the future, too long, by another algorithm: no link."""
    async with world() as w:
        owner_did = await w.allow(2, "own")
        custody, mallory = w.custody(2), w.custody(9)
        carrier: HubCarrier = w.hub.carrier(w.did(9))
        now_s = w.clock.now_us() // 1_000_000
        good = Opening(
            link="A" * 22,
            owner=owner_did,
            node=w.node_did,
            key=encode_base64url(bytes(range(32))),
            iat=now_s,
            exp=now_s + 60,
        )
        change = msgspec.structs.replace
        tokens = [
            await sign(mallory, good, typ=OPEN_TYP),
            await sign(custody, change(good, owner=w.did(9)), typ=OPEN_TYP),
            await sign(custody, change(good, node=w.did(9)), typ=OPEN_TYP),
            await sign(custody, change(good, iat=now_s - 200, exp=now_s - 140), typ=OPEN_TYP),
            await sign(custody, change(good, iat=now_s + 200, exp=now_s + 260), typ=OPEN_TYP),
            await sign(custody, change(good, exp=now_s + 6000), typ=OPEN_TYP),
            await sign(custody, change(good, link="../etc"), typ=OPEN_TYP),
            await sign(custody, change(good, key="AAAA"), typ=OPEN_TYP),
            await sign(custody, change(good, key=encode_base64url(bytes(32))), typ=OPEN_TYP),
            await sign(custody, good, typ=COMMAND_TYP),
            # R13: a token under a shared secret is none
            f"{encode_base64url(msgspec.json.encode({'alg': 'HS256', 'typ': OPEN_TYP, 'kid': owner_did}))}.e30.{'A' * 43}",
            "x" * 9000,
        ]
        for token in tokens:
            await carrier.reach(w.node_did, write("open", token))
        await w.pass_time(2)
        assert w.node is not None
        assert w.node.owners == []
        await carrier.reach(w.node_did, write("open", await sign(custody, change(good, link="B" * 22), typ=OPEN_TYP)))
        await w.pass_time(2)
        assert w.node.owners == [owner_did], "the genuine one is believed, whoever brings it"


async def test_commands_must_be_the_links_own_and_in_time() -> None:
    """An owner's terminal that lies: a command for another link or node, of another owner, with other arguments, expired, signed with another key."""
    async with world() as w:
        did = await w.allow(2, "own")
        custody, mallory = w.custody(2), w.custody(9)
        async with w.owner() as owner:
            link = owner._link
            assert link is not None
            raw = msgspec.json.encode(Say(message="go"))
            now_s = w.clock.now_us() // 1_000_000
            numbers = itertools.count(1)

            async def say(signer: object = custody, arguments: bytes = raw, **other: object) -> str | None:
                good = CommandProof(
                    id=f"command-{next(numbers)}",
                    link=link.id,
                    owner=did,
                    node=w.node_did,
                    operation="send",
                    session="notes",
                    arguments_sha256=digest(raw),
                    iat=now_s,
                    exp=now_s + 60,
                )
                proof = msgspec.structs.replace(good, **other)
                token = await sign(signer, proof, typ=COMMAND_TYP)  # type: ignore[arg-type]
                future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
                owner._replies[proof.id] = future  # type: ignore[assignment]
                await link.put(
                    b'{"type":"command","proof":%s,"arguments":%s}' % (msgspec.json.encode(token), arguments)
                )
                message = await w.during(future)
                error = message.error  # type: ignore[attr-defined]
                return None if error is None else str(error.code)

            assert await say(signer=mallory) == RelayForgedError.code
            assert await say(link="A" * 22) == RelayForgedError.code
            assert await say(node=w.did(9)) == RelayForgedError.code
            assert await say(owner=w.did(9)) == RelayForgedError.code
            assert await say(arguments=b'{"message":"other"}') == RelayForgedError.code
            assert await say(operation="cancel", arguments=raw) == InvalidInputError.code
            assert await say(operation="delete") == InvalidInputError.code
            assert await say(session="../../x") == InvalidInputError.code
            assert await say(iat=now_s - 120, exp=now_s - 60) == RelayExpiredError.code
            assert await say(exp=now_s + 3600) == RelayExpiredError.code
            assert await say(iat=now_s + 100, exp=now_s + 160) == RelayExpiredError.code
            assert w.sessions.done == []
            assert await say() is None
            assert len(w.sessions.done) == 1


@pytest.mark.parametrize(
    "path", ["../../../approvals", "a/../../b", "/etc/passwd", "a//b", ".", "..", "a/./b", "", "a\\..\\b", "a\x00b"]
)
def test_a_file_is_named_within_the_workspace(path: str) -> None:
    """R10: no path that an HTTP client would normalise into another route, or a server into another folder."""
    with pytest.raises(InvalidInputError):
        read_arguments("file", "notes", msgspec.json.encode({"path": path}))


@pytest.mark.parametrize("name", ["..", ".", "", "a\nb", "x" * 300, "ü"])
def test_names_do_not_become_paths(name: str) -> None:
    """Approval, call, run and rule ids stand in addresses; what could change one is refused, and so are unknown fields and operations."""
    for operation, field in (
        ("decide", "approval_id"),
        ("report", "run_id"),
        ("doubt", "call_id"),
        ("revoke_rule", "rule_id"),
    ):
        required: dict[str, dict[str, object]] = {"decide": {"approved": True}, "doubt": {"decision": "done"}}
        rest = required.get(operation, {})
        with pytest.raises(InvalidInputError):
            read_arguments(operation, "notes", msgspec.json.encode({field: name, **rest}))
    for session in ("", "a/b", "..", "wallet:x", "*"):
        with pytest.raises(InvalidInputError):
            read_arguments("view", session, b"{}")
    with pytest.raises(InvalidInputError):
        read_arguments("send", "notes", b'{"message":"x","owner":"somebody"}')
    with pytest.raises(InvalidInputError):
        read_arguments("shell", "notes", b"{}")


async def test_whoever_steers_does_not_raise_the_limits() -> None:
    """A run's limits are the operator's and owners' to set: arcand takes what the node says for the operator's word."""
    async with world() as w:
        await w.allow(2, "steer", session="notes")
        await w.allow(3, "own")
        async with w.owner(2) as steering, w.owner(3) as owner:
            wanted = Start(objective="go", limits={"max_steps": 10**6})
            assert isinstance(await w.refused(steering, "start", "notes", wanted), RelayForbiddenError)
            await w.ask(steering, "start", "notes", Start(objective="go"))
            await w.ask(owner, "start", "notes", wanted)
            assert len(w.sessions.done) == 2


async def test_what_a_node_says_does_not_steer_a_terminal() -> None:
    """Words of a refusal are shown; escape sequences in them are not."""

    def rude(_: Done) -> bytes:
        raise InvalidInputError("no\x1b[2J\x07 way")

    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.sessions.answer = rude
            error = await w.refused(owner, "view", "notes", OnBranch())
            assert "\x1b" not in error.message
            assert "way" in error.message


async def test_approvals_are_decisions_and_never_text() -> None:
    """R3: an approval reaches the runtime as a decision about one ticket, not as a message."""
    async with world() as w:
        await w.allow(2, "approve", session="notes")
        async with w.owner() as owner:
            await w.ask(owner, "decide", "notes", Decide(approval_id="t1", approved=False, reason="no"))
            assert [done.operation for done in w.sessions.done] == ["decide"]
            assert isinstance(await w.refused(owner, "send", "notes", Say(message="y")), RelayForbiddenError)


async def test_a_revocation_ends_what_is_open_within_a_second() -> None:
    """Revoked at the node's own command line while somebody watches: the watch ends, commands are refused, the link is closed, no new one opens."""
    async with world() as w:
        did = await w.allow(2, "watch", session="notes")
        await w.log.allow(did, session="diary", rights=("watch",), by=OPERATOR)
        async with w.owner() as owner:
            watching = asyncio.ensure_future(_drain(owner.watch("notes", "main", 0)))
            await w.pass_time(1)
            await w.log.revoke(did, session="notes", by=OPERATOR)
            with pytest.raises(RelayForbiddenError):
                await w.during(watching, seconds=3)
            assert isinstance(await w.refused(owner, "view", "notes", OnBranch()), RelayForbiddenError)
            await w.ask(owner, "view", "diary", OnBranch())
            await w.log.revoke(did, by=OPERATOR)
            await w.pass_time(3)
            assert not owner.is_linked
            assert w.node is not None
            assert w.node.owners == []


async def _drain(records: object) -> None:
    async with aclosing(records) as rows:  # type: ignore[type-var]
        async for _ in rows:  # type: ignore[attr-defined]
            pass


async def test_a_revoked_key_is_not_listened_to() -> None:
    """A key that the node knows to be revoked opens nothing, and an open link of it is closed."""
    revoked: set[str] = set()
    async with world() as w:
        did = await w.allow(2, "own")
        assert w.node is not None
        w.node._is_trusted = w.node._runner._is_trusted = lambda one: one not in revoked
        async with w.owner() as owner:
            revoked.add(did)
            assert isinstance(
                await w.refused(owner, "pause", "notes", OnBranch()),
                (RelayForbiddenError, RelayOfflineError, RelayOutcomeUnknownError),
            )
            await w.pass_time(3)
            assert not owner.is_linked
        assert w.sessions.done == []


async def test_floods_are_contained() -> None:
    """An owner that opens link after link keeps its newest; one that sends more commands than are worked off is cut; junk costs nothing."""
    async with world() as w:
        await w.allow(2, "own")
        carrier = w.hub.carrier(w.did(2))
        now_s = w.clock.now_us() // 1_000_000
        for number in range(40):
            opening = Opening(
                link=f"{number:022d}",
                owner=w.did(2),
                node=w.node_did,
                key=encode_base64url(bytes(range(32))),
                iat=now_s,
                exp=now_s + 60,
            )
            await carrier.reach(w.node_did, write("open", await sign(w.custody(2), opening, typ=OPEN_TYP)))
            await w.settle()
        assert w.node is not None
        assert len(w.node.owners) == MAX_LINKS_PER_OWNER
        for junk in (
            "",
            "life-relay/1",
            "life-relay/1 open",
            "life-relay/1 data x y z",
            "life-relay/1 open " + "x" * 20_000,
        ):
            await carrier.reach(w.node_did, junk)
        await w.pass_time(SILENCE_US / 1_000_000 + 2)
        assert w.node.owners == [], "nobody was heard, so they are gone"
        async with w.owner() as owner:
            w.sessions.hold = asyncio.Event()
            asks = [asyncio.ensure_future(owner.ask("view", "notes", OnBranch())) for _ in range(200)]
            await w.pass_time(3)
            w.sessions.hold.set()
            await w.during(asyncio.wait(asks), seconds=90)
            for one in asks:
                assert one.exception() is None or isinstance(one.exception(), RelayOfflineError)


def test_what_travels_is_read_strictly() -> None:
    """Another mark, more or fewer words, numbers that are none, a link id of another form: no envelope."""
    link = "A" * 22
    for text in (
        "",
        "hello",
        f"life-relay/2 data {link} 1 AAAA",
        f"life-relay/1 data {link} 0 AAAA",
        f"life-relay/1 data {link} 01 AAAA",
        f"life-relay/1 data {link} 1 AAAA more",
        f"life-relay/1 data {link}A 1 AAAA",
        f"life-relay/1 data {link} -1 AAAA",
        f"life-relay/1 data {link} 99999999999999999 AAAA",
        f"life-relay/1  data {link} 1 AAAA",
        "life-relay/1 accept x y",
        f"life-relay/1 gone {link} now",
    ):
        with pytest.raises(RelayForgedError):
            parse(text)
    assert parse(f"life-relay/1 data {link} 7 AAAA").number == 7


async def test_a_signature_under_another_type_or_key_is_none() -> None:
    """An opening is no acceptance, a message's signature no command: each has its own type."""
    w = World()
    token = await sign(w.custody(2), Watch(), typ=OPEN_TYP)
    with pytest.raises(RelayForgedError):
        verify(token, Opening, typ=OPEN_TYP, by=w.did(2))
    assert resolve_did(w.did(2)).did == w.did(2)
    await w.aclose()


async def test_a_stranger_who_writes_frames_hears_nothing_either() -> None:
    """R1, W20: frames of links that never were, from somebody who is allowed nothing, are no way to learn that the node is there; an owner is told
    that their link is gone, so that they open another one at once."""
    async with world() as w:
        await w.allow(2, "own")
        for number in (3, 2):
            carrier = w.hub.carrier(w.did(number))
            place = w.hub.place(w.did(number), w.node_did)
            for kind in ("data", "control"):
                await carrier.signal(place, write(kind, f"{kind:A<22}", "1", "AAAA"))
                await w.pass_time(1)
            answers = [sent for sent in w.hub.log if sent.sender == w.node_did]
            assert len(answers) == (0 if number == 3 else 2)
            assert all(sent.place == place and " gone " in sent.text for sent in answers)


async def test_a_watch_is_not_hidden_behind_another_of_its_id() -> None:
    """Two watches under one id: the second is refused, so that a revocation finds everything that is watched, and the bound counts it."""
    async with world() as w:
        await w.allow(2, "watch", session="notes")
        await w.allow(2, "watch", session="diary")
        async with w.owner() as owner:
            queue: asyncio.Queue[object] = asyncio.Queue()
            owner._watches["watch-of-mine"] = queue  # type: ignore[assignment]
            await w.ask(owner, "watch", "diary", Watch(), command_id="watch-of-mine")
            for session in ("diary", "notes"):
                again = await w.refused(owner, "watch", session, Watch(), command_id="watch-of-mine")
                assert isinstance(again, RelayForbiddenError)
            await w.log.revoke(w.did(2), session="diary", by=OPERATOR)
            await w.pass_time(2)
            w.sessions.add("diary", "after the revocation")
            await w.pass_time(2)
            told = [queue.get_nowait() for _ in range(queue.qsize())]
            assert len(told) == 1
            assert isinstance(told[0], RelayForbiddenError)


async def test_nobody_holds_up_the_revocation_of_others() -> None:
    """A terminal that takes nothing, and a server that lets a goodbye wait for ever, do not keep other links open, nor their own."""
    async with world() as w:
        for number in (2, 3):
            await w.allow(number, "watch", session="notes")
            await w.allow(number, "watch", session="diary")
        async with w.owner(2) as slow, w.owner(3) as other:
            place = w.hub.place(w.did(2), w.node_did)
            w.hub.meddle = lambda sent: (
                [] if (sent.sender, sent.place) == (w.node_did, place) and " data " in sent.text else [sent]
            )
            slow_watch = asyncio.create_task(anext(slow.watch("notes", "main", 0)))
            await w.pass_time(1)
            for number in range(8):
                w.sessions.add("notes", random.Random(number).randbytes(500_000).hex())
            await w.pass_time(1)
            queue: asyncio.Queue[object] = asyncio.Queue()
            other._watches["a-watch"] = queue  # type: ignore[assignment]
            await w.ask(other, "watch", "diary", Watch(), command_id="a-watch")
            await w.log.revoke(w.did(2), session="notes", by=OPERATOR)
            await w.pass_time(2)
            await w.log.revoke(w.did(3), session="diary", by=OPERATOR)
            await w.pass_time(2)
            w.sessions.add("diary", "after the revocation")
            await w.pass_time(2)
            told = [queue.get_nowait() for _ in range(queue.qsize())]
            assert [type(one) for one in told] == [RelayForbiddenError]
            node = w.node
            assert node is not None
            node._carrier.signal = _never  # type: ignore[method-assign]
            for number in (2, 3):
                await w.log.revoke(w.did(number), by=OPERATOR)
            await w.pass_time(2)
            assert node.owners == []
            slow_watch.cancel()
            await asyncio.gather(slow_watch, return_exceptions=True)


async def _never(place: int, text: str) -> None:
    await asyncio.Event().wait()


async def test_an_old_id_is_not_a_way_past_the_record() -> None:
    """A command under the id of one that the node has forgotten is refused: it would be carried out without a record of its own."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            await w.ask(owner, "pause", "notes", OnBranch(), command_id="used-once")
        w.clock.advance_us((KEEP_COMMANDS_S + 200) * 1_000_000)
        await w.allow(3, "watch")
        async with w.owner() as owner:
            refused = await w.refused(owner, "cancel", "notes", OnBranch(), command_id="used-once")
            assert isinstance(refused, RelayForbiddenError)
        assert [done.operation for done in w.sessions.done] == ["pause"]


async def test_commands_that_wait_fill_no_memory() -> None:
    """An owner who sends long commands while one is carried out loses the link long before their number would end it."""
    async with world() as w:
        await w.allow(2, "steer")
        w.sessions.hold = asyncio.Event()
        async with w.owner() as owner:
            link, node = owner._link, w.node
            assert link is not None
            assert node is not None
            mine = next(iter(node._links.values()))
            held = asyncio.create_task(owner.ask("pause", "notes", OnBranch()))
            await w.pass_time(1)
            assert [done.operation for done in w.sessions.done] == ["pause"]
            for _ in range(12):
                await link.put(msgspec.json.encode({"type": "command", "proof": "", "arguments": "y" * 900_000}))
            await w.pass_time(3)
            assert mine._commands.qsize() <= 5
            assert mine.link.closed.is_set()
            held.cancel()
            await asyncio.gather(held, return_exceptions=True)
            w.sessions.hold.set()


async def test_rights_stay_with_whoever_rotates_a_key() -> None:
    """A key that follows another by rotation may what that one was allowed, until it is allowed something itself; what is taken back from it does not
    come back through the old one; the key that was rotated away may nothing."""
    async with world() as w:
        node, old, new = w.node, w.did(2), w.did(3)
        assert node is not None
        await w.allow(2, "own")
        node._runner._keys_of = lambda did: (new, old) if did == new else (did,)
        node._is_trusted = node._runner._is_trusted = lambda did: did != old
        async with w.owner(3) as owner:
            await w.ask(owner, "pause", "notes", OnBranch())
            await w.ask(owner, "allow", "", Allow(did=w.did(4), rights=("watch",)))
            assert {one.did: one.by for one in (await w.log.sync()).grants()}[w.did(4)] == old
            assert w.sessions.done[-1].owner == new, "who signed is who is named"
            await w.log.allow(new, session="notes", rights=("watch",), by=OPERATOR)
            assert isinstance(await w.refused(owner, "pause", "notes", OnBranch()), RelayForbiddenError)
            await w.log.revoke(new, session="notes", by=OPERATOR)
            await w.pass_time(2)
            assert node.owners == []
        with pytest.raises(RelayOfflineError):
            async with w.owner(2):
                pass

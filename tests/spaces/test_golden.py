"""A log of an earlier day still gives the state that it gave then, byte for byte."""

from __future__ import annotations

from pathlib import Path

from life.spaces.commands import (
    AddReaction,
    BanMember,
    CreateThread,
    EditMessage,
    KickMember,
    MuteMember,
    PublishListing,
    SendDirectMessage,
    SendMessage,
    SetChannelOverride,
)
from life.spaces.events import decode_entry, encode_entry
from life.spaces.state import State
from life.testing.spaces import ScriptedTokens, furnish, sent
from tests.spaces.test_embedded_faults import opened

GOLDEN = Path(__file__).parent / "golden"


async def scenario() -> tuple[bytes, str]:
    """The log of a busy day, one entry a line, and the state's digest at its end."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        message = sent(
            await engine.submit(SendMessage(channel_id=room.channel_id, content="hé\n❤️", client_id="1"), room.owner)
        )
        await engine.submit(AddReaction(message_id=message.id, emoji="👍"), room.member)
        await engine.submit(EditMessage(message_id=message.id, content="changed"), room.owner)
        await engine.submit(CreateThread(channel_id=room.channel_id, name="t", content="x"), room.agent)
        await engine.submit(SendDirectMessage(recipient=room.member.identity, content="psst"), room.owner)
        await engine.submit(PublishListing(name="g", description="d", price_per_request_micro=5), room.agent)
        override = SetChannelOverride(
            channel_id=room.channel_id, subject="role:Agent", permission="message.send", effect="deny"
        )
        await engine.submit(override, room.owner)
        await engine.submit(
            MuteMember(server_id=room.space_id, identity=room.member.identity, duration_s=5), room.moderator
        )
        await engine.submit(KickMember(server_id=room.space_id, identity=room.agent.identity, reason="r"), room.admin)
        await engine.submit(BanMember(server_id=room.space_id, identity=room.member.identity), room.owner)
        entries = await engine.entries(0, limit=1000)
        return b"\n".join(encode_entry(entry) for entry in entries) + b"\n", engine.state.digest()


def test_an_old_log_replays_to_its_state() -> None:
    """Reading, folding and writing again: the same bytes, the same digest."""
    log = (GOLDEN / "log.jsonl").read_bytes()
    state = State()
    for line in log.splitlines():
        entry = decode_entry(line)
        assert encode_entry(entry) == line
        state.apply(entry)
    assert state.digest() == (GOLDEN / "digest.txt").read_text().strip()


async def test_the_same_day_makes_the_same_log() -> None:
    """The reducers are deterministic: the scenario's log is the stored one, byte for byte."""
    log, digest = await scenario()
    assert log == (GOLDEN / "log.jsonl").read_bytes()
    assert digest == (GOLDEN / "digest.txt").read_text().strip()
